/** What of a gate's history is drawn and told. */

import type { RolloutGate } from "../../api/types";
import { clockTime } from "../../lib/time";
import { percent } from "../../lib/words";
import type { GatePoint } from "./history";
import { changeWords, evidenceWords, isQuery, numberWords, testOf, VERDICTS } from "./rolloutWords";

/** What the lower chart shows: how many units of each arm, how much the arms differ, or what a source answered. */
export type Measure = "counts" | "change" | "answer";

export function measureOf(gate: RolloutGate): Measure {
  if (isQuery(gate)) return "answer";
  return testOf(gate) === "happened" ? "counts" : "change";
}

export interface Row {
  at: number;
  evidence: number;
  treatment: number;
  control: number;
  /** The change or the answer; null where there is none. */
  value: number | null;
}

export function rowsOf(points: GatePoint[], _measure: Measure): Row[] {
  return points.map(({ at, judgement: { evidence, met, value } }) => ({
    at,
    evidence,
    treatment: met.treatment,
    control: met.control,
    value: typeof value === "number" && Number.isFinite(value) ? value : null,
  }));
}

/** What was measured, of one point. */
export function measuredAt({ judgement: { met, value } }: GatePoint, measure: Measure, variant: string, baseline: string): string {
  if (measure === "answer") return typeof value === "number" ? `answer ${numberWords(value)}` : "no answer";
  const counts = `${met.treatment.toLocaleString("en")} with ${variant}, ${met.control.toLocaleString("en")} with ${baseline}`;
  return measure === "change" && typeof value === "number" ? `${changeWords(value)}, ${counts}` : counts;
}

/** Like “14:32, at 25 %: no harm found, evidence 0.3 to 1; 12 with on, 9 with off”. */
export function pointsWords(point: GatePoint, measure: Measure, variant: string, baseline: string): string {
  const { judgement } = point;
  const evidence = measure === "answer" ? "" : `, evidence ${evidenceWords(judgement.evidence)}`;
  return `${clockTime(point.at)}, at ${percent(point.share)}: ${VERDICTS[judgement.verdict][0]}${evidence}; ${judgement.problem ?? measuredAt(point, measure, variant, baseline)}`;
}

/** What a preview says of gates, as sentences. */

import type { GatePreview } from "../../api/generated";
import type { RolloutGate } from "../../api/types";
import { percent } from "../../lib/words";
import { testOf } from "./rolloutWords";

/** How much worse, as people say it. */
const STEPS = [0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 4, 9];

/** Like “that double”, “that get 3.4 times as many”, “+30 %”. */
function found(ratio: number, { worse }: RolloutGate): string {
  if (worse === "down") return `that fall by ${percent(Math.round((1 - ratio) * 100) * 1_000)}`;
  if (Math.abs(ratio - 2) < 0.075) return "that double";
  if (Math.abs(ratio - 3) < 0.1) return "that triple";
  return ratio >= 2 ? `that become ${Number(ratio.toFixed(1))} times as much` : `that rise by ${percent(Math.round((ratio - 1) * 100) * 1_000)}`;
}

/** The largest round change that is missed; null where there is none worth a word. */
function missed(ratio: number, { worse }: RolloutGate): string | null {
  const change = worse === "down" ? 1 - ratio : ratio - 1;
  const most = STEPS.findLast((step) => step <= change * 0.8);
  if (most === undefined) return null;
  return `${worse === "down" ? "−" : "+"}${percent(most * 100_000)}`;
}

const SUBJECTS = { happened: "", mean: "means of ", ratio: "means of ", quantile: "quantiles of " } as const;

/** Like “finds checkout-error that double, and misses +50 %”. */
export function detectWords(preview: GatePreview, gate: RolloutGate): string {
  const what = `${SUBJECTS[testOf(gate)]}${gate.metric ?? gate.key}`;
  const ratio = preview.detectable;
  if (typeof ratio !== "number") return `finds nothing of ${what}: too few units are seen by then`;
  const less = missed(ratio, gate);
  return `finds ${what} ${found(ratio, gate)}${less ? `, and misses ${less}` : ""}`;
}

/** What a preview says of gates, as sentences. */

import type { GatePreview } from "../../api/generated";
import type { RolloutGate } from "../../api/types";
import { percent } from "../../lib/words";
import { testOf } from "./rolloutWords";

/** Round changes, as people name them. */
const ROUND = [0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 4, 9];

const part = (of: number) => percent(Math.round(of * 100) * 1_000);

/** Like “double”, “become 3.4 times as many”, “rise by 30 %”. */
function become(ratio: number, gate: RolloutGate): string {
  if (gate.worse === "down") return `fall by ${part(1 - ratio)}`;
  if (Math.abs(ratio - 2) < 0.075) return "double";
  if (Math.abs(ratio - 3) < 0.1) return "triple";
  return ratio > 2 ? `become ${Number(ratio.toFixed(1))} times as ${testOf(gate) === "happened" ? "many" : "large"}` : `rise by ${part(ratio - 1)}`;
}

/** The largest round change that is well below what is found; null where none is. */
function missed(ratio: number, { worse }: RolloutGate): string | null {
  const change = worse === "down" ? 1 - ratio : ratio - 1;
  const most = ROUND.findLast((step) => step <= change * 0.8);
  return most === undefined ? null : `${worse === "down" ? "−" : "+"}${part(most)}`;
}

/** Like “finds errors that double, and misses +50 %”. */
export function detectWords({ detectable, gate: key }: GatePreview, gate: RolloutGate): string {
  if (typeof detectable !== "number") return `finds nothing of ${key}: too few units are seen by then`;
  const less = missed(detectable, gate);
  return `finds ${key} that ${become(detectable, gate)}${less ? `, and misses ${less}` : ""}`;
}

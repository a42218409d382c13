/** What was heard of evaluations, and what that says of a change. */

import type { FlagConfig, FlagInsights, Serve } from "../../api/types";
import { percent, serveWords, shares, WHOLE } from "../../lib/words";

const OWN_DEFAULT = "the caller’s default";

/** A variant’s name; the empty one is none. */
export const variantWords = (variant: string) => (variant === "" ? OWN_DEFAULT : variant);

/** By variant, the most frequent first. */
export function summed({ minutes }: FlagInsights): [string, number][] {
  const sums = new Map<string, number>();
  for (const { variants } of minutes) {
    for (const [variant, n] of Object.entries(variants)) sums.set(variant, (sums.get(variant) ?? 0) + n);
  }
  return [...sums].toSorted(([a, n], [b, m]) => m - n || a.localeCompare(b));
}

/** Like “12.5 %”, of counts. */
export const portion = (n: number, total: number) => percent(Math.round((n / total) * 1_000) * (WHOLE / 1_000));

/** How many evaluations of the last hour a rule decided, of all; null where nothing was heard. */
export function matchedWords(found: FlagInsights, rule: string): string | null {
  const total = totalOf(found);
  if (total === 0) return null;
  const n = found.rules[rule] ?? 0;
  const of = `of ${total.toLocaleString("en")} evaluations in the last hour`;
  return n === 0 ? `It applied to none ${of}` : `It applied to ${n.toLocaleString("en")} ${of}: ${portion(n, total)}`;
}

const totalOf = (found: FlagInsights) => summed(found).reduce((sum, [, n]) => sum + n, 0);

/** What was served in the last hour, and about what would be, like “Then: about 40 % on, 60 % off.” */
export function estimateWords(found: FlagInsights, after: FlagConfig): string {
  const sums = summed(found);
  const total = totalOf(found);
  if (total === 0) return "In the last hour, nothing was heard of evaluations here: how many this reaches is not known.";
  const times = `${total.toLocaleString("en")} ${total === 1 ? "time" : "times"}`;
  const now = sums.map(([variant, n]) => `${portion(n, total)} ${variantWords(variant)}`).join(", ");
  return `In the last hour it was evaluated ${times} here: ${now}. Then${thenWords(found, total, after)}.`;
}

function thenWords({ rules }: FlagInsights, total: number, after: FlagConfig): string {
  if (after.killed || !after.enabled) return `: ${percent(WHOLE)} ${after.offVariant ?? OWN_DEFAULT}`;
  const decided = after.prerequisites.length + after.targets.length + after.rules.length > 0;
  const byRules = Object.values(rules).reduce((sum, n) => sum + n, 0);
  const whom = !decided ? "" : byRules > 0 ? `, of the ${(total - byRules).toLocaleString("en")} that no rule decided` : ", by default";
  return `${whom}: about ${mixWords(after.default)}`;
}

function mixWords(serve: Serve): string {
  if ("variant" in serve) return `${percent(WHOLE)} ${serve.variant}`;
  if (serve.distribution.rollout) return serveWords(serve);
  return shares(serve.distribution)
    .map(({ variant, weight }) => `${percent(weight)} ${variant}`)
    .join(", ");
}

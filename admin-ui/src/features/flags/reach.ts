/** Whether a change reaches everybody at once. */

import type { FlagConfig, Serve } from "../../api/types";
import { shares, WHOLE } from "../../lib/words";

type Served = Pick<FlagConfig, "enabled" | "killed" | "offVariant" | "default">;

/** The variant that a serve gives to everybody; null where it gives several, or not to all. */
export function wholeVariant(serve: Serve): string | null {
  if ("variant" in serve) return serve.variant;
  const [only, ...others] = shares(serve.distribution);
  const isForAll = (serve.distribution.rollout?.share ?? WHOLE) === WHOLE;
  return only && others.length === 0 && isForAll ? only.variant : null;
}

/** What everybody gets whom no target and no rule decides for; null where that is not one variant. */
export function servedToAll({ enabled, killed, offVariant, default: serve }: Served): string | null {
  return enabled && !killed ? wholeVariant(serve) : (offVariant ?? null);
}

/**
 * The variant that a change gives to everybody who is served by default, and did not before; null where it gives none.
 * Back to the off variant is the way to safety: that is none.
 */
export function newForEveryone(before: Served, after: Served): string | null {
  const then = servedToAll(after);
  return then === servedToAll(before) || then === (before.offVariant ?? null) ? null : then;
}

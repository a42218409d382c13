/** Which flags of the list are shown. `search` and `tag` mean what they mean to the API. */

import { isBroken } from "../../api/client";
import type { Broken, FlagState, ListedFlag } from "../../api/types";

export const KINDS = ["boolean", "string", "number", "json"] as const;
/** `rolling` is one more than the others: such a flag is on, too. */
export const STATES = ["on", "off", "killed", "rolling"] as const;

export interface FlagFilter {
  /** Text within the key, name or description, in any case. */
  search?: string | undefined;
  tag?: string | undefined;
  kind?: (typeof KINDS)[number] | undefined;
  state?: (typeof STATES)[number] | undefined;
  /** Where the flag is in `state`; absent: in any environment. */
  environment?: string | undefined;
}

/** Whether the flag is wanted. A broken one matches by its key, so that it can be found. */
export function matches(flag: ListedFlag | Broken, { search = "", tag, kind, state, environment }: FlagFilter): boolean {
  const contains = (text: string) => text.toLowerCase().includes(search.toLowerCase());
  if (isBroken(flag)) return contains(flag.key) && tag === undefined && kind === undefined && state === undefined;
  return (
    (contains(flag.key) || contains(flag.name) || contains(flag.description ?? "")) &&
    (tag === undefined || (flag.tags ?? []).includes(tag)) &&
    (kind === undefined || flag.kind === kind) &&
    (state === undefined || isIn(flag, state, environment))
  );
}

function isIn(flag: ListedFlag, state: FlagFilter["state"], environment: string | undefined): boolean {
  const asked = environment === undefined ? Object.values(flag.environments) : [flag.environments[environment]];
  return asked.some((status) => status !== undefined && (state === "rolling" ? Boolean(status.rollout) : stateOf(status) === state));
}

/** Undefined where the configuration cannot be read: that is no state. */
function stateOf({ killed, enabled, broken }: FlagState): FlagFilter["state"] {
  if (killed) return "killed";
  if (enabled) return "on";
  return broken ? undefined : "off";
}

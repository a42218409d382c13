/** The cached list of flags, kept by what answers and the stream tell: nobody reads a thousand flags again for one. */

import type { QueryClient } from "@tanstack/react-query";

import type { ChangedObject } from "../lib/stream";
import { summaryOf } from "../lib/words";
import { isBroken } from "./client";
import { queries } from "./queries";
import type { FlagConfig, FlagState, ListedFlag } from "./types";

/** Changes a flag of the cached list; returns what it was. */
export function changeListed(queryClient: QueryClient, project: string, key: string, change: (flag: ListedFlag) => ListedFlag): ListedFlag | undefined {
  const { queryKey } = queries.allFlags(project);
  const before = listedFlag(queryClient, project, key);
  if (!before) return undefined;
  const after = change(before);
  // What was asked for earlier would put the flag back as it was: it is asked for anew.
  const isBeingRead = queryClient.isFetching({ queryKey }) > 0;
  void queryClient.cancelQueries({ queryKey });
  queryClient.setQueryData(queryKey, (list) => list && { ...list, pages: list.pages.map((page) => ({ ...page, items: page.items.map((item) => (item === before ? after : item)) })) });
  if (isBeingRead) void queryClient.invalidateQueries({ queryKey });
  return before;
}

/** Changes how a flag of the cached list stands in one environment; returns how it stood. */
export function changeState(
  queryClient: QueryClient,
  project: string,
  flag: string,
  environment: string,
  change: (state: FlagState) => FlagState,
): FlagState | undefined {
  const inEnvironment = (listed: ListedFlag): ListedFlag => {
    const state = listed.environments[environment];
    return state ? { ...listed, environments: { ...listed.environments, [environment]: change(state) } } : listed;
  };
  return changeListed(queryClient, project, flag, inEnvironment)?.environments[environment];
}

/** Puts a stored configuration where it is read. */
export function keepConfig(queryClient: QueryClient, project: string, stored: FlagConfig): void {
  const { flag, environment, enabled, killed, version, rollout } = stored;
  queryClient.setQueryData(queries.config(project, flag, environment).queryKey, stored);
  changeState(queryClient, project, flag, environment, () => ({ enabled, killed, version, summary: summaryOf(stored), ...(rollout ? { rollout } : {}) }));
}

/** Whether the cached list lacks something of a change that the stream tells of; null stands for a change of anything. */
export function isListBehind(queryClient: QueryClient, project: string, environment: string, changed: ChangedObject[] | null): boolean {
  if (changed === null) return true;
  return changed.some(({ kind, key, version }) => {
    if (kind !== "flag") return false;
    const flag = listedFlag(queryClient, project, key);
    // As evaluated, a flag's version is the sum of its own and of its configuration's.
    return version === null || !flag || flag.version + (flag.environments[environment]?.version ?? 0) < version;
  });
}

function listedFlag(queryClient: QueryClient, project: string, key: string): ListedFlag | undefined {
  const pages = queryClient.getQueryData(queries.allFlags(project).queryKey)?.pages ?? [];
  return pages.flatMap(({ items }) => items).find((item): item is ListedFlag => item.key === key && !isBroken(item));
}

/** Has everything of a project read again. */
export function invalidateProject(queryClient: QueryClient, project: string): Promise<void> {
  return queryClient.invalidateQueries({ queryKey: ["project", project] });
}

/** Has everything of a project read again but the list of flags, which has the change already. */
export function invalidateAllButList(queryClient: QueryClient, project: string): Promise<void> {
  const [, , list] = queries.allFlags(project).queryKey;
  return queryClient.invalidateQueries({ queryKey: ["project", project], predicate: ({ queryKey }) => queryKey[2] !== list });
}

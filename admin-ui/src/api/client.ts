/** Every call that the UI makes, over the generated client: answers as values, everything else as a `Problem`. */

import * as sdk from "./generated";
import { client } from "./generated/client.gen";
import { Problem, problemOf } from "./problem";
import type { Broken, ConfigPatch, NewFlag } from "./types";

client.setConfig({
  baseUrl: window.location.origin,
  // The session's cookie alone is not enough to write: other sites cannot set this header.
  headers: { "X-Tidegate-Csrf": "1" },
  fetch: (request) => globalThis.fetch(request),
});

interface Answer<T> {
  data?: T | undefined;
  error?: unknown;
  response?: Response | undefined;
}

/** What was answered, or a `Problem`. */
export async function settled<T>(answer: Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer;
  if (response?.ok) return data as T;
  if (error instanceof DOMException && error.name === "AbortError") throw error;
  if (!response) throw problemOf(error);
  const { status } = response;
  if (error !== null && typeof error === "object" && "code" in error) throw new Problem({ ...(error as sdk.Problem), status });
  throw new Problem({ status, code: "internal", detail: `The server answered ${status} without saying why.` });
}

/** What the list leaves out because it cannot be read; such things are named where they can be seen to be missing. */
export function isBroken<T extends object>(item: T | Broken): item is Broken {
  return "broken" in item && !("createdAt" in item);
}

function whole<T extends object>(items: (T | Broken)[]): T[] {
  return items.filter((item): item is T => !isBroken(item));
}

export const ifMatch = (version: number) => ({ "If-Match": `"${version}"` });

/** The most that a page may hold. */
export const limit = 200;

/** No list is followed for longer: what is beyond is for searches, not for pages. */
const MAX_PAGES = 50;

/** All items of a list, page after page. */
export async function everything<T>(page: (cursor: string | undefined) => Promise<{ items: T[]; nextCursor?: string | null }>): Promise<T[]> {
  const items: T[] = [];
  let cursor: string | undefined;
  for (let pages = 0; pages < MAX_PAGES; pages++) {
    // oxlint-disable-next-line no-await-in-loop -- each page names the next
    const { items: more, nextCursor } = await page(cursor);
    items.push(...more);
    if (!nextCursor) break;
    cursor = nextCursor;
  }
  return items;
}

export const because = (reason: string) => (reason === "" ? {} : { reason });
export const after = (cursor: string | undefined) => (cursor === undefined ? {} : { cursor });

export const api = {
  setupNeeded: () => settled(sdk.getSetup()),
  setup: (body: sdk.Setup) => settled(sdk.completeSetup({ body })),
  session: () => settled(sdk.getSession()),
  signIn: (body: sdk.SignIn) => settled(sdk.signIn({ body })),
  signInByLink: (secret: string) => settled(sdk.followLink({ body: { secret } })),
  signOut: () => settled(sdk.signOut()),

  projects: () => settled(sdk.listProjects({ query: { limit } })).then(({ items }) => whole(items)),
  createProject: (body: sdk.CreateProject) => settled(sdk.createProject({ body })),
  renameProject: (project: string, version: number, name: string, reason: string) =>
    settled(sdk.updateProject({ path: { project }, headers: ifMatch(version), body: { name, ...because(reason) } })),
  archiveProject: (project: string, version: number, reason: string) => settled(sdk.archiveProject({ path: { project }, headers: ifMatch(version), query: because(reason) })),
  environments: (project: string) => settled(sdk.listEnvironments({ path: { project }, query: { limit } })).then(({ items }) =>
      // In the order of their making, which is the way that changes take: development first, production last.
      whole(items).toSorted((a, b) => a.createdAt.localeCompare(b.createdAt) || Number(a.production) - Number(b.production)),
    ),
  createEnvironment: (project: string, body: sdk.CreateEnvironment) => settled(sdk.createEnvironment({ path: { project }, body })),
  updateEnvironment: (project: string, environment: string, version: number, body: sdk.ReasonedUpdateEnvironment) =>
    settled(sdk.updateEnvironment({ path: { project, environment }, headers: ifMatch(version), body })),
  archiveEnvironment: (project: string, environment: Pick<sdk.EnvironmentState, "key" | "version">, reason: string) =>
    settled(sdk.archiveEnvironment({ path: { project, environment: environment.key }, headers: ifMatch(environment.version), query: because(reason) })),
  keys: (project: string, environment: string) => everything((cursor) => settled(sdk.listKeys({ path: { project, environment }, query: { limit, ...after(cursor) } }))),
  createKey: (project: string, environment: string, body: sdk.NewSdkKey) => settled(sdk.createKey({ path: { project, environment }, body })),
  revokeKey: (project: string, environment: string, key: string, reason: string) =>
    settled(sdk.revokeKey({ path: { project, environment, key }, query: because(reason) })),
  system: () => settled(sdk.getSystem()),
  verifyAudit: () => settled(sdk.verifyAudit()),
  insights: (project: string, flag: string, environment: string) => settled(sdk.getFlagInsights({ path: { project, flag, environment } })),
  environmentInsights: (project: string, environment: string) => settled(sdk.getEnvironmentInsights({ path: { project, environment } })),
  receipts: (project: string, environment: string) => settled(sdk.getReceipts({ path: { project, environment } })),

  flags: (project: string, query: { search?: string; cursor?: string }, signal: AbortSignal) =>
    settled(sdk.listFlags({ path: { project }, query: { ...query, limit }, signal })),
  flagFile: (project: string, environment: string) => settled(sdk.getFlagFile({ path: { project, environment } })),
  flag: (project: string, flag: string) => settled(sdk.getFlag({ path: { project, flag } })),
  updateFlag: (project: string, flag: string, version: number, body: sdk.ReasonedUpdateFlag) =>
    settled(sdk.updateFlag({ path: { project, flag }, headers: ifMatch(version), body })),
  archiveFlag: (project: string, flag: string, version: number, reason: string) =>
    settled(sdk.archiveFlag({ path: { project, flag }, headers: ifMatch(version), query: because(reason) })),
  createFlag: (project: string, body: NewFlag) => settled(sdk.createFlag({ path: { project }, body })),
  config: (project: string, flag: string, environment: string) => settled(sdk.getConfiguration({ path: { project, flag, environment } })),
  /** What `patchConfig` would store; nothing is written. */
  previewConfig: (project: string, flag: string, environment: string, version: number, body: ConfigPatch) =>
    settled(sdk.configureFlag({ path: { project, flag, environment }, headers: ifMatch(version), query: { dryRun: true }, body })),
  patchConfig: (project: string, flag: string, environment: string, version: number, patch: ConfigPatch, reason: string) =>
    settled(sdk.configureFlag({ path: { project, flag, environment }, headers: ifMatch(version), body: reason === "" ? patch : { ...patch, reason } })),
  kill: (project: string, environment: string, flag: string, reason: string) =>
    settled(sdk.kill({ path: { project, environment }, body: { flag, reason } })),
  restore: (project: string, environment: string, flag: string, reason: string) =>
    settled(sdk.restore({ path: { project, environment }, body: { flag, reason } })),

  segments: (project: string, environment: string) =>
    everything((cursor) => settled(sdk.listSegments({ path: { project, environment }, query: { limit, ...after(cursor) } }))),
  segment: (project: string, environment: string, segment: string) => settled(sdk.getSegment({ path: { project, environment, segment } })),
  createSegment: (project: string, environment: string, body: sdk.ReasonedCreateSegment) => settled(sdk.createSegment({ path: { project, environment }, body })),
  updateSegment: (project: string, environment: string, segment: string, version: number, patch: sdk.UpdateSegment, reason: string) =>
    settled(sdk.updateSegment({ path: { project, environment, segment }, headers: ifMatch(version), body: { ...patch, ...because(reason) } })),
  archiveSegment: (project: string, environment: string, segment: string, version: number, reason: string) =>
    settled(sdk.archiveSegment({ path: { project, environment, segment }, headers: ifMatch(version), query: because(reason) })),

  rollout: (project: string, environment: string, rollout: string) => settled(sdk.getRollout({ path: { project, environment, rollout } })),
  startRollout: (project: string, environment: string, body: sdk.ReasonedStartRollout) =>
    settled(sdk.startRollout({ path: { project, environment }, body })),
  /** `generation`: the last move that was seen; needed where the share may rise by this one. */
  moveRollout: (project: string, environment: string, rollout: string, generation: number | undefined, move: { action: sdk.RolloutAction; gate?: string }, reason: string) =>
    settled(
      sdk.moveRollout({
        path: { project, environment, rollout },
        ...(generation === undefined ? {} : { headers: ifMatch(generation) }),
        body: { ...move, reason },
      }),
    ),

  members: (project: string) => everything((cursor) => settled(sdk.listMembers({ path: { project }, query: { limit, ...after(cursor) } }))),
  /** `version` where the person has a role already. */
  setMember: (project: string, user: string, role: sdk.Role, version: number | null, reason: string) =>
    settled(sdk.setMember({ path: { project, user }, ...(version === null ? {} : { headers: ifMatch(version) }), body: { role, ...because(reason) } })),
  removeMember: (project: string, user: string, version: number, reason: string) =>
    settled(sdk.removeMember({ path: { project, user }, headers: ifMatch(version), query: because(reason) })),
  users: () => everything((cursor) => settled(sdk.listUsers({ query: { limit, ...after(cursor) } }))),
  createUser: (body: sdk.NewUser) => settled(sdk.createUser({ body })),
  updateUser: (user: string, version: number, body: sdk.ReasonedUserPatch) => settled(sdk.updateUser({ path: { user }, headers: ifMatch(version), body })),
  archiveUser: (user: string, version: number, reason: string) =>
    settled(sdk.archiveUser({ path: { user }, headers: ifMatch(version), query: because(reason) })),
  signInLink: (user: string) => settled(sdk.createSignInLink({ path: { user }, body: {} })),
  tokens: () => everything((cursor) => settled(sdk.listTokens({ query: { limit, ...after(cursor) } }))),
  createToken: (body: sdk.ReasonedNewToken) => settled(sdk.createToken({ body })),
  revokeToken: (token: string, reason: string) => settled(sdk.revokeToken({ path: { token }, query: because(reason) })),

  audit: (query: NonNullable<sdk.ListAuditData["query"]>, signal: AbortSignal | null = null) => settled(sdk.listAudit({ query, signal })),
  auditRow: (sequence: number) => settled(sdk.getAuditRow({ path: { sequence } })),
};

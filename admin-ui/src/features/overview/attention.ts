/** What needs somebody, of all that a project has. */

import type { Environment, ListedFlag, Broken, Receipts, Rollout, RolloutWaiting, SegmentItem } from "../../api/types";
import { isBroken } from "../../api/client";
import { percent } from "../../lib/words";

export interface InEnvironment {
  environment: Environment;
  rollouts: Rollout[];
  receipts: Receipts | null;
  segments: (SegmentItem | Broken)[];
}

export type Subject =
  | { kind: "flag"; flag: string }
  | { kind: "rollout"; flag: string; rollout: string }
  | { kind: "segment"; segment: string }
  | { kind: "environment" };

export interface Item {
  id: string;
  /** What is the matter, in a word or two. */
  state: string;
  tone: "killed" | "waiting";
  subject: Subject;
  title: string;
  environment: Environment | null;
  detail: string;
  /** Since when, where that is known. */
  since: string | null;
}

export interface Section {
  title: string;
  items: Item[];
}

export interface Kill {
  actorName: string;
  reason: string;
  at: string;
}

/** A flag in an environment, as a map's key. */
export const placeOf = (flag: string, environment: string) => `${environment}/${flag}`;

/** Where flags are killed. */
export function killedPlaces(flags: (ListedFlag | Broken)[], environments: Environment[]): { flag: string; environment: string }[] {
  return flags.flatMap((flag) =>
    isBroken(flag) ? [] : environments.filter(({ key }) => flag.environments[key]?.killed).map(({ key }) => ({ flag: flag.key, environment: key })),
  );
}

/** Rolled back or killed for so long ago is still news. */
export const LATELY_MS = 7 * 86_400_000;
/** An SDK applies a change in milliseconds: one that has not after this is behind. */
const BEHIND_MS = 10_000;

/** What a rollout waits for that time alone may not bring. */
const HELD: Partial<Record<RolloutWaiting, string>> = {
  sampleRatio: "held: the arms are not of the size that they should be",
  noTelemetry: "held: nothing is heard of the flag",
  lost: "held: what it measured was lost",
  differs: "held: the flag is not as the rollout left it",
  inconclusive: "held: a gate does not know",
  suspect: "held: a gate is suspicious",
  unproved: "held: a gate has not proved that there is no harm",
  off: "held: the flag is off or killed",
};

/** Why a rollout needs somebody; null where it does not. */
export function rolloutNeeds(rollout: Rollout, now: number): Pick<Item, "state" | "tone" | "detail"> | null {
  const { status, live, share, variant, baseline } = rollout;
  const said = live?.reason ?? (rollout.reason || undefined);
  if (status.state === "rolledBack" || status.state === "killed") {
    if (now - status.since > LATELY_MS) return null;
    return status.state === "killed"
      ? { state: "killed by its rollout", tone: "killed", detail: said ?? `${variant} did harm` }
      : { state: "rolled back", tone: "killed", detail: said ?? `everyone gets ${baseline} again` };
  }
  if (status.state === "paused" || status.waiting === "paused") return { state: "paused", tone: "waiting", detail: `${variant} stays at ${percent(share)}` };
  if (status.state === "completed") return null;
  if (status.waiting === "approval") return { state: "waits for approval", tone: "waiting", detail: `${variant} is at ${percent(share)}` };
  const held = status.waiting ? HELD[status.waiting] : undefined;
  return held ? { state: "held", tone: "waiting", detail: said ?? held.replace("held: ", "") } : null;
}

/** All that needs somebody, the most urgent first; nothing where all is well. */
export function attention(flags: (ListedFlag | Broken)[], places: InEnvironment[], now: number, kills: ReadonlyMap<string, Kill> = new Map()): Section[] {
  const rollouts = places.flatMap(({ environment, rollouts: all }) =>
    // Of a flag, its newest rollout counts.
    [...new Map(all.map((rollout) => [rollout.flag, rollout])).values()].flatMap((rollout): Item[] => {
      const needs = rolloutNeeds(rollout, now);
      return needs
        ? [
            {
              id: `rollout ${environment.key} ${rollout.id}`,
              subject: { kind: "rollout", flag: rollout.flag, rollout: rollout.id },
              title: rollout.flag,
              environment,
              since: new Date(rollout.status.since).toISOString(),
              ...needs,
            },
          ]
        : [];
    }),
  );
  const broken: Item[] = [
    ...flags.filter(isBroken).map(
      ({ key, broken: why }): Item => ({ id: `broken flag ${key}`, state: "cannot be read", tone: "killed", subject: { kind: "flag", flag: key }, title: key, environment: null, detail: why, since: null }),
    ),
    ...places.flatMap(({ environment, segments }) => {
      const listed = segments.filter((each): each is Broken => isBroken(each as Broken));
      const ofSegments = listed.map(
        ({ key, broken: why }): Item => ({
          id: `broken segment ${environment.key} ${key}`,
          state: "cannot be read",
          tone: "killed",
          subject: { kind: "segment", segment: key },
          title: key,
          environment,
          detail: why,
          since: null,
        }),
      );
      const ofFlags = flags.flatMap((flag): Item[] => {
        const why = isBroken(flag) ? undefined : flag.environments[environment.key]?.broken;
        if (!why) return [];
        return [
          {
            id: `broken configuration ${environment.key} ${flag.key}`,
            state: "cannot be read",
            tone: "killed",
            subject: { kind: "flag", flag: flag.key },
            title: flag.key,
            environment,
            detail: why,
            since: null,
          },
        ];
      });
      return [...ofSegments, ...ofFlags];
    }),
  ];
  const killed = flags.flatMap((flag): Item[] =>
    isBroken(flag)
      ? []
      : places
          .filter(({ environment }) => flag.environments[environment.key]?.killed)
          .map(({ environment }): Item => {
            const kill = kills.get(placeOf(flag.key, environment.key));
            return {
              id: `killed ${environment.key} ${flag.key}`,
              state: "killed",
              tone: "killed",
              subject: { kind: "flag", flag: flag.key },
              title: flag.key,
              environment,
              detail: kill ? `by ${kill.actorName}: “${kill.reason}”` : flag.name,
              since: kill?.at ?? null,
            };
          }),
  );
  const behind = places.flatMap(({ environment, receipts }): Item[] => {
    if (!receipts || receipts.applied >= receipts.connected || now - receipts.changedAt < BEHIND_MS) return [];
    const n = receipts.connected - receipts.applied;
    const names = [...new Set(receipts.behind.map(({ sdk }) => sdk))].slice(0, 4).join(", ");
    return [
      {
        id: `behind ${environment.key}`,
        state: `${n} of ${receipts.connected} ${receipts.connected === 1 ? "SDK" : "SDKs"} behind`,
        tone: "waiting",
        subject: { kind: "environment" },
        title: environment.name,
        environment,
        detail: `without revision ${receipts.revision}${names ? `: ${names}` : ""}`,
        since: new Date(receipts.changedAt).toISOString(),
      },
    ];
  });
  return [
    { title: "Cannot be read", items: broken },
    { title: "Rollouts", items: rollouts },
    { title: "SDKs behind", items: behind },
    { title: "Killed flags", items: killed },
  ].filter(({ items }) => items.length > 0);
}

/** Rollouts that go on by themselves. */
export function underWay(places: InEnvironment[], now: number): { rollout: Rollout; environment: Environment }[] {
  return places.flatMap(({ environment, rollouts }) =>
    rollouts
      .filter((rollout) => (rollout.status.state === "running" || rollout.status.state === "guarding") && rolloutNeeds(rollout, now) === null)
      .map((rollout) => ({ rollout, environment })),
  );
}

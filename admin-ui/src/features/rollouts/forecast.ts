/** When a rollout decides next, and when everybody has the variant: what is known of it, and what is not. */

import type { Rollout } from "../../api/types";
import { hasEnded } from "./rolloutWords";

export interface Expected {
  /** Not before then, in milliseconds since 1970; null: nobody knows. */
  at: number | null;
  /** What else it waits for, and nobody knows for how long: then `at` is a bound. Empty: by then, if no gate is against it. */
  unknown: string[];
}

export interface Forecast {
  /** What comes next, like “50 %” or “the end”. */
  next: Expected & { what: "begin" | "step" | "end" };
  /** When the last step begins; null: everybody has it already. */
  everybody: Expected | null;
  /** How much of the step's bake is done, 0 to 1. */
  baked: number;
  /** How much of it is left, in milliseconds. */
  leftMs: number;
}

/** What a rollout waits for whose end nobody can tell. */
const UNKNOWN: Partial<Record<NonNullable<Rollout["status"]["waiting"]>, string>> = {
  paused: "somebody resumes it",
  turn: "it is its turn",
  off: "the flag is on again",
  converging: "every connected SDK has the share",
  sampleRatio: "the arms are as large as each other again",
  noTelemetry: "something is heard of the flag",
  lost: "SDKs lose fewer events",
  differs: "the arms are alike again",
  inconclusive: "its gates know",
  suspect: "the suspicion is gone",
  unproved: "the proof is there",
  units: "enough units were seen",
  approval: "somebody approves",
};

/** The time that the controller noted when it began to wait, where that is what it waits for now. */
function noted({ evidence, status }: Rollout): number | null {
  if (!evidence || evidence.code !== status.waiting) return null;
  if (evidence.code === "scheduled") return evidence.at;
  if (evidence.code === "frozen") return evidence.until;
  return evidence.code === "window" ? (evidence.opens ?? null) : null;
}

/** The time that it waits for, where there is one: the schedule, the end of the freeze, the opening of the window. */
export function waitsUntil(rollout: Rollout): number | null {
  const { waiting } = rollout.status;
  const time = noted(rollout);
  if (time !== null) return time;
  if (waiting === "scheduled" && rollout.spec.startAt) return Date.parse(rollout.spec.startAt);
  // The sentence says it, too.
  const said = waiting === "frozen" || waiting === "window" ? /\d{4}-\d\d-\d\dT[\d:.]+Z/.exec(rollout.live?.reason ?? "")?.[0] : undefined;
  return said ? Date.parse(said) : null;
}

/** Null once it has ended. `now` by the server's clock, as well as it is known. */
export function forecast(rollout: Rollout, now: number): Forecast | null {
  const { spec, status } = rollout;
  if (hasEnded(rollout)) return null;
  if (status.state === "guarding") {
    const ends = status.since + (spec.guardMs ?? 0);
    return { next: { what: "end", at: Math.max(now, ends), unknown: [] }, everybody: null, baked: Math.min(1, (now - status.since) / (spec.guardMs ?? 1)), leftMs: Math.max(0, ends - now) };
  }
  const present = status.step ?? -1;
  const step = spec.steps[present];
  const doneMs = step ? status.bake.doneMs + (typeof status.bake.since === "number" ? Math.max(0, now - status.bake.since) : 0) : 0;
  const leftMs = step && status.skipped !== true ? Math.max(0, step.bakeMs - doneMs) : 0;
  const unknown = new Set<string>();
  const { waiting } = status;
  const reason = status.state === "paused" ? UNKNOWN.paused : waiting ? UNKNOWN[waiting] : undefined;
  if (reason) unknown.add(reason);
  if (step?.approval && status.approved !== true && status.skipped !== true) unknown.add("somebody approves");
  let at: number | null = now + leftMs;
  const until = waitsUntil(rollout);
  if (until !== null) at = Math.max(at, until);
  else if (waiting === "window" || waiting === "frozen") {
    at = null;
    unknown.add(waiting === "window" ? "a window opens" : "the freeze ends");
  } else if (!step && spec.startAt && Date.parse(spec.startAt) > now) at = Date.parse(spec.startAt);
  const last = spec.steps.length - 1;
  const what = step ? (present === last ? "end" : "step") : "begin";
  const next: Forecast["next"] = { what, at, unknown: [...unknown] };
  if (present === last) return { next, everybody: null, baked: bakedPart(doneMs, step?.bakeMs), leftMs };

  const between = spec.steps.slice(present + 1, last);
  const later = new Set(unknown);
  if (between.some(({ approval }) => approval)) later.add("somebody approves");
  if (between.some(({ minUnits = 0 }) => minUnits > 1)) later.add("enough units were seen");
  if ((spec.windows ?? []).length > 0) later.add("its windows are open");
  const everybody = { at: at === null ? null : at + between.reduce((sum, { bakeMs }) => sum + bakeMs, 0), unknown: [...later] };
  return { next, everybody, baked: bakedPart(doneMs, step?.bakeMs), leftMs };
}

function bakedPart(doneMs: number, bakeMs: number | undefined): number {
  return bakeMs ? Math.min(1, doneMs / bakeMs) : 0;
}

/** Like “somebody approves and its windows are open”. */
export function unknownWords(unknown: string[]): string {
  return unknown.length > 1 ? `${unknown.slice(0, -1).join(", ")} and ${unknown.at(-1)}` : (unknown[0] ?? "");
}

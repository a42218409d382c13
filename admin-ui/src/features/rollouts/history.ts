/** What the controller saw of a rollout over time. */

import { queryOptions } from "@tanstack/react-query";

import { settled } from "../../api/client";
import { getRolloutHistory, type LiveRollout } from "../../api/generated";
import type { GateJudgement, RolloutArms } from "../../api/types";

/** One look of the controller. */
export type RolloutLook = LiveRollout;

/** Looks at most so often for more of it. */
export const HISTORY_MS = 15_000;

export const historyOf = (project: string, environment: string, rollout: string) =>
  queryOptions({
    // Not below the project: the stream invalidates that with every change, and this is read every 15 s anyway.
    queryKey: ["history", project, environment, rollout],
    // Oldest first, some 2,000 at most.
    queryFn: () => settled(getRolloutHistory({ path: { project, environment, rollout } })).then(({ items }) => items),
  });

/** One gate's part of a look. */
export interface GatePoint {
  at: number;
  step: number | null;
  share: number;
  units: RolloutArms;
  judgement: GateJudgement;
}

export function pointsOf(looks: RolloutLook[], gate: string): GatePoint[] {
  return looks.flatMap(({ at, step, share, units, gates }) => {
    const judgement = gates.find((each) => each.gate === gate);
    return judgement ? [{ at: Date.parse(at), step: step ?? null, share, units, judgement }] : [];
  });
}

/** Where steps begin, and their shares. */
export function stepMarks(points: GatePoint[]): { at: number; step: number; share: number }[] {
  return points.flatMap(({ at, step, share }, index) => (step !== null && step !== (points[index - 1]?.step ?? null) ? [{ at, step, share }] : []));
}

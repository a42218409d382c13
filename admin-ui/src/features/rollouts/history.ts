/** What the controller saw of a rollout over time. */

import { queryOptions } from "@tanstack/react-query";

import { client } from "../../api/generated/client.gen";
import { Problem, problemOf } from "../../api/problem";
import type { GateJudgement, RolloutArms } from "../../api/types";

/** One look of the controller. */
export interface RolloutLook {
  /** RFC 3339. */
  at: string;
  /** The step that was in force, from 0; absent before the first. */
  step?: number | null;
  share: number;
  reason: string;
  units: RolloutArms;
  gates: GateJudgement[];
}

/** Looks at most so often for more of it. */
export const HISTORY_MS = 15_000;

/** Oldest first, some 2,000 at most. */
async function readHistory(project: string, environment: string, rollout: string): Promise<RolloutLook[]> {
  const { data, error, response } = await client.get<{ 200: { items: RolloutLook[] } }, unknown>({
    url: "/api/v1/projects/{project}/environments/{environment}/rollouts/{rollout}/history",
    path: { project, environment, rollout },
  });
  if (response?.ok && data) return data.items;
  if (!response) throw problemOf(error);
  if (error !== null && typeof error === "object" && "code" in error) throw new Problem({ ...(error as { code: string }), status: response.status });
  throw new Problem({ status: response.status, code: "internal", detail: `The server answered ${response.status} without saying why.` });
}

export const historyOf = (project: string, environment: string, rollout: string) =>
  queryOptions({
    // Not below the project: the stream invalidates that with every change, and this is read every 15 s anyway.
    queryKey: ["history", project, environment, rollout],
    queryFn: () => readHistory(project, environment, rollout),
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

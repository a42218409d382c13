import { expect, it } from "vitest";

import type { Rollout } from "../../api/types";
import { forecast, unknownWords, waitsUntil } from "./forecast";

const MINUTE = 60_000;
const NOW = Date.parse("2026-11-26T12:00:00Z");

function rollout(status: Partial<Rollout["status"]>, more: Partial<Omit<Rollout, "status">> = {}): Rollout {
  return {
    id: "r",
    flag: "f",
    variant: "on",
    baseline: "off",
    salt: "s",
    reason: "",
    spec: { steps: [10_000, 25_000, 50_000, 100_000].map((share) => ({ share, bakeMs: 15 * MINUTE })) },
    share: 10_000,
    startedAt: "2026-11-26T11:00:00Z",
    ...more,
    status: { generation: 1, state: "running", step: 0, since: NOW - 20 * MINUTE, bake: { doneMs: 0 }, ...status },
  };
}

const minutes = (at: number | null | undefined) => (typeof at === "number" ? (at - NOW) / MINUTE : at);

it("counts what has baked before and since, and adds the steps between", () => {
  const { next, everybody, baked } = forecast(rollout({ waiting: "baking", bake: { doneMs: 4 * MINUTE, since: NOW - MINUTE } }), NOW) ?? {};
  expect([next?.what, minutes(next?.at), next?.unknown]).toEqual(["step", 10, []]);
  expect([minutes(everybody?.at), everybody?.unknown]).toEqual([40, []]);
  expect(baked).toBeCloseTo(1 / 3);
});

it("does not count while the bake stands still", () => {
  const told = forecast(rollout({ waiting: "suspect", bake: { doneMs: 4 * MINUTE } }), NOW);
  expect([minutes(told?.next.at), told?.next.unknown]).toEqual([11, ["the suspicion is gone"]]);
});

it("says that a person has to approve, now or later", () => {
  const steps = [10_000, 50_000, 100_000].map((share, index) => ({ share, bakeMs: 15 * MINUTE, approval: index === 1 }));
  const told = forecast(rollout({ waiting: "baking", bake: { doneMs: 0, since: NOW } }, { spec: { steps } }), NOW);
  expect(told?.next.unknown).toEqual([]);
  expect(told?.everybody?.unknown).toEqual(["somebody approves"]);
  const waits = rollout({ step: 1, waiting: "approval", bake: { doneMs: 15 * MINUTE, since: NOW } }, { spec: { steps } });
  expect(forecast(waits, NOW)?.next).toEqual({ what: "step", at: NOW, unknown: ["somebody approves"] });
});

it("waits for the time that it noted, or that its sentence says", () => {
  const until = NOW + 90 * MINUTE;
  const baked = { step: 0, waiting: "window", bake: { doneMs: 15 * MINUTE, since: NOW } } as const;
  const noted = rollout(baked, { evidence: { code: "window", opens: until } });
  expect(waitsUntil(noted)).toBe(until);
  expect(minutes(forecast(noted, NOW)?.next.at)).toBe(90);
  const live = { at: "2026-11-26T12:00:00Z", share: 10_000, units: { treatment: 0, control: 0 }, gates: [] };
  expect(waitsUntil(rollout(baked, { live: { ...live, reason: `the next window opens at ${new Date(until).toISOString()}` } }))).toBe(until);
  const never = rollout(baked, { live: { ...live, reason: "none of its windows opens ever again" } });
  expect(forecast(never, NOW)?.next).toEqual({ what: "step", at: null, unknown: ["a window opens"] });
  // What was noted of another wait is not what it waits for now.
  expect(waitsUntil(rollout(baked, { evidence: { code: "frozen", until } }))).toBeNull();
});

it("begins when it is scheduled, and when it is its turn nobody knows", () => {
  const spec = { ...rollout({}).spec, startAt: new Date(NOW + 30 * MINUTE).toISOString() };
  const { step: _, ...before } = rollout({ waiting: "scheduled" }, { spec }).status;
  const told = forecast({ ...rollout({}, { spec }), status: before }, NOW);
  expect([told?.next.what, minutes(told?.next.at), minutes(told?.everybody?.at)]).toEqual(["begin", 30, 75]);
  const turn = forecast({ ...rollout({}), status: { ...before, waiting: "turn" } }, NOW);
  expect(turn?.next.unknown).toEqual(["it is its turn"]);
});

it("ends with the last step or with its guard, and has nothing to tell once it is over", () => {
  const last = forecast(rollout({ step: 3, waiting: "baking", bake: { doneMs: 0, since: NOW - MINUTE } }), NOW);
  expect([last?.next.what, minutes(last?.next.at), last?.everybody]).toEqual(["end", 14, null]);
  const guard = forecast(rollout({ state: "guarding", step: 3, since: NOW - 60 * MINUTE }, { spec: { ...rollout({}).spec, guardMs: 90 * MINUTE } }), NOW);
  expect(minutes(guard?.next.at)).toBe(30);
  expect(forecast(rollout({ state: "completed" }), NOW)).toBeNull();
});

it("names what is not known", () => {
  expect(unknownWords([])).toBe("");
  expect(unknownWords(["a", "b", "c"])).toBe("a, b and c");
});

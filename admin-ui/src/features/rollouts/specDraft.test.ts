import { expect, it } from "vitest";

import { Problem } from "../../api/problem";
import type { RolloutSpec } from "../../api/types";
import { cleaned, daysOf, errorsOf, freeKey, gateChanged, gateRemoved, isUnfinished, readSpec, stepAdded, testChanged, weeklyWindow, windowKind, within } from "./specDraft";

const SPEC: RolloutSpec = {
  steps: [
    { share: 10_000, bakeMs: 60_000, gates: ["errors"] },
    { share: 100_000, bakeMs: 60_000 },
  ],
  gates: [
    { key: "errors", metric: "e" },
    { key: "slow", metric: "s" },
  ],
};

it("sends only what is said, and an empty list of gates where that means something", () => {
  const spec: RolloutSpec = {
    steps: [{ share: 100_000, bakeMs: 1, minUnits: 0, approval: false, segments: [], gates: [] }],
    gates: [{ key: "a", metric: "m", above: null, limit: null }],
    windows: [],
    guardMs: null,
    startAt: null,
    onHarm: "kill",
  };
  expect(cleaned(spec)).toEqual({ steps: [{ share: 100_000, bakeMs: 1, gates: [] }], gates: [{ key: "a", metric: "m" }], onHarm: "kill" });
});

it("reads JSON as far as the form needs it", () => {
  expect(readSpec(JSON.stringify(SPEC))).toEqual({ spec: SPEC });
  for (const text of ["{", "[]", "{}", '{"steps": [1]}', '{"steps": [], "gates": 1}', '{"steps": [{"gates": "a"}]}']) expect(readSpec(text)).toHaveProperty("wrong");
});

it("places what the server refused by its JSON Pointer", () => {
  const errors = errorsOf(new Problem({ status: 422, code: "invalid", detail: "too low", field: "/spec/steps/1/share" }));
  expect([errors("/steps/1/share"), errors("/steps/0/share")]).toEqual(["too low", undefined]);
  expect(within(errors, "/steps/1")("/share")).toBe("too low");
  expect(errorsOf(new Problem({ status: 422, code: "invalid", detail: "no", field: "/variant" }))("/variant")).toBeUndefined();
  expect(errorsOf(null)("")).toBeUndefined();
});

it("keeps steps with the gate that they name", () => {
  expect(gateChanged(SPEC, 0, { key: "failures", metric: "e" }).steps[0]?.gates).toEqual(["failures"]);
  expect(gateRemoved(SPEC, 0)).toMatchObject({ gates: [{ key: "slow" }], steps: [{ gates: [] }, {}] });
});

it("adds a step between the last two", () => {
  expect(stepAdded(SPEC.steps).map(({ share }) => share)).toEqual([10_000, 55_000, 100_000]);
});

it("leaves out what another test does not know", () => {
  const gate = { key: "a", metric: "m", above: 3, limit: { share: 0.2 }, proof: 2 };
  expect(testChanged(gate, "quantile")).toEqual({ key: "a", metric: "m", test: "quantile", quantile: 0.95 });
  expect(testChanged(gate, "happened")).toEqual({ key: "a", metric: "m", test: "happened", limit: { share: 0.2 }, proof: 2 });
});

it("gives no key twice", () => {
  expect(freeKey("errors", SPEC.gates ?? [])).toBe("errors-2");
  expect(freeKey("other", SPEC.gates ?? [])).toBe("other");
});

it("makes weekly windows that begin on one of their days", () => {
  // A Thursday.
  const today = new Date(2026, 10, 26, 13, 0);
  expect(weeklyWindow(["TU", "MO"], "09:00", 1, "UTC", today)).toEqual({ start: "2026-11-30T09:00", zone: "UTC", rrule: "FREQ=WEEKLY;BYDAY=MO,TU", durationMs: 1 });
  expect(weeklyWindow(["TH"], "09:00", 1, "UTC", today).start).toBe("2026-11-26T09:00");
  expect(weeklyWindow(["SU"], "09:00", 1, "UTC", today).start).toBe("2026-11-29T09:00");
  expect(daysOf("FREQ=WEEKLY;BYDAY=MO,TU")).toEqual(["MO", "TU"]);
  expect(["FREQ=WEEKLY;BYDAY=MO", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", undefined].map((rrule) => windowKind(rrule === undefined ? {} : { rrule }))).toEqual(["weekly", "rule", "once"]);
});

it("takes a gate that does not say what it watches for unfinished, not for wrong", () => {
  expect(isUnfinished(SPEC)).toBe(false);
  expect(isUnfinished({ ...SPEC, gates: [{ key: "errors", metric: "" }] })).toBe(true);
  expect(isUnfinished({ ...SPEC, gates: [{ key: "rate", source: "prometheus", query: "" }] })).toBe(true);
  expect(isUnfinished({ ...SPEC, gates: [{ key: "rate", source: "prometheus", query: "up" }] })).toBe(false);
});

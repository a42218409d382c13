import { expect, it } from "vitest";

import type { Test } from "../../api/types";
import { duplicated, evenly, moved, parseTargeting, patchOf, settled, targetingOf, valueKind, valuesFrom, weightsOf, withOperator, withWeights, type Targeting } from "./draft";

const VARIANTS = ["a", "b", "c"].map((key) => ({ key, value: key }));
const BASE: Targeting = { prerequisites: [], targets: [], rules: [{ id: "x", serve: { variant: "a" } }], default: { variant: "b" } };

it("sends the fields that changed, and no other", () => {
  expect(patchOf(BASE, structuredClone(BASE))).toEqual({});
  expect(patchOf(BASE, { ...BASE, default: { variant: "a" } })).toEqual({ default: { variant: "a" } });
});

it("moves rules, but not off the list", () => {
  expect(moved(["a", "b", "c"], 2, 0)).toEqual(["c", "a", "b"]);
  expect(moved(["a", "b", "c"], 0, 1)).toEqual(["b", "a", "c"]);
  expect(moved(["a", "b"], 1, 2)).toEqual(["a", "b"]);
});

it("duplicates a rule right after it, with a name of its own", () => {
  const serve = { variant: "a" };
  const ids = (rules: { id?: string }[]) => rules.map(({ id }) => id);
  const two = duplicated([{ id: "x", conditions: [], serve }, { id: "y", serve }], 0);
  expect(ids(two)).toEqual(["x", "x-copy", "y"]);
  expect(two[1]).toEqual({ id: "x-copy", conditions: [], serve });
  expect(ids(duplicated(two, 0))).toEqual(["x", "x-copy-2", "x-copy", "y"]);
  // Without a name, the server names both.
  expect(ids(duplicated([{ serve }], 0))).toEqual([undefined, undefined]);
});

it("leaves out what a rollout has for itself", () => {
  const rule = { id: "x", serve: { variant: "a" } };
  const config = {
    flag: "f", environment: "e", version: 1, snapshotVersion: 1, enabled: true, killed: false, availability: "private" as const, salt: "s", issues: [],
    prerequisites: [], targets: [],
    rules: [{ id: "rollout-r1", serve: { variant: "b" } }, rule],
    default: { distribution: { ranges: [{ start: 0, end: 100_000, variant: "b" }] } },
    rollout: "r1",
  };
  expect(targetingOf(config, { id: "r1", baseline: "a" })).toEqual({ prerequisites: [], targets: [], rules: [rule], default: { variant: "a" } });
  expect(targetingOf(config).rules).toHaveLength(2);
});

it("edits stored ranges as weights, and keeps what units are drawn by", () => {
  const distribution = {
    bucketBy: "accountId",
    salt: "t",
    rollout: { share: 5 },
    ranges: [
      { start: 0, end: 10, variant: "b" },
      { start: 10, end: 90_000, variant: "a" },
      { start: 90_000, end: 100_000, variant: "b" },
    ],
  };
  expect(weightsOf(distribution, VARIANTS)).toEqual([
    { variant: "a", weight: 89_990 },
    { variant: "b", weight: 10_010 },
    { variant: "c", weight: 0 },
  ]);
  expect(withWeights(distribution, [{ variant: "c", weight: 100_000 }])).toEqual({
    bucketBy: "accountId",
    salt: "t",
    rollout: { share: 5 },
    weights: [{ variant: "c", weight: 100_000 }],
  });
});

it("shows weights as the server would store them", () => {
  const asked: unknown[] = [];
  const ranges = [{ start: 0, end: 100_000, variant: "b" }];
  const reweight = (previous: unknown) => {
    asked.push(previous);
    return ranges;
  };
  const split = (more: object) => ({ distribution: { weights: [{ variant: "a", weight: 100_000 }], ...more } });
  const stored: Targeting = { ...BASE, rules: [{ id: "x", serve: { distribution: { ranges } } }], default: { distribution: { bucketBy: "team", ranges } } };
  const draft: Targeting = {
    ...BASE,
    rules: [{ serve: split({}) }, { id: "x", serve: split({ bucketBy: null }) }, { id: "y", serve: split({ weights: [{ variant: "a", weight: 7 }] }) }],
    default: split({ bucketBy: "user" }),
  };
  const after = settled(stored, draft, reweight);
  // A new rule and another unit begin anew; the rule with the stored one's name goes on from its ranges.
  expect(asked).toEqual([[], ranges, []]);
  expect(after.rules[1]?.serve).toEqual({ distribution: { bucketBy: null, ranges } });
  expect(after.rules[2]).toEqual(draft.rules[2]);
  expect(after.default).toEqual({ distribution: { bucketBy: "user", ranges } });
});

it("splits evenly into a whole", () => {
  expect(evenly(VARIANTS).map(({ weight }) => weight)).toEqual([33_334, 33_333, 33_333]);
});

it("knows what a test's values are", () => {
  const check = (test: Partial<Test>, kind: string) => expect(valueKind({ operator: "in", ...test })).toBe(kind);
  check({ values: ["a"] }, "text");
  check({ values: [1, 2] }, "number");
  check({ values: [true] }, "boolean");
  check({ values: [1, "a"] }, "json");
  check({ values: [] }, "text");
  check({ operator: "exists" }, "nothing");
  check({ operator: "lessThan", values: ["soon"] }, "number");
  check({ operator: "before", values: [7] }, "json");
});

it("keeps values from one operator to the next as far as they mean something", () => {
  expect(withOperator({ attribute: "a", operator: "in", values: [3], ignoreCase: true }, "lessThan")).toEqual({ attribute: "a", operator: "lessThan", values: [3] });
  expect(withOperator({ attribute: "a", operator: "in", values: [3] }, "startsWith")).toEqual({ attribute: "a", operator: "startsWith", values: ["3"] });
  expect(withOperator({ attribute: "a", operator: "in", values: ["x"], ignoreCase: true }, "endsWith")).toEqual({ attribute: "a", operator: "endsWith", values: ["x"], ignoreCase: true });
  expect(withOperator({ attribute: "a", operator: "in", values: ["x"] }, "exists")).toEqual({ attribute: "a", operator: "exists" });
  expect(valuesFrom(["18", "many"], "number")).toEqual([18, "many"]);
});

it("reads a draft that a form can show, and says where it cannot", () => {
  expect(parseTargeting('{"default": {"variant": "a"}}')).toEqual({ prerequisites: [], targets: [], rules: [], default: { variant: "a" } });
  expect(parseTargeting("{")).toMatch(/Not JSON/);
  expect(parseTargeting('{"default": {"variant": "a"}, "salt": "x"}')).toMatch(/“salt” is not part/);
  expect(parseTargeting('{"default": {"variant": "a"}, "rules": [{"serve": {}}]}')).toMatch(/^\/rules\/0\/serve must be/);
  expect(parseTargeting('{"rules": []}')).toMatch(/^\/default must be/);
});

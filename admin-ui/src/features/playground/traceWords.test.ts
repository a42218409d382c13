import { expect, it } from "vitest";

import type { Explained, FlagInFile } from "../../api/types";
import { withTimes } from "./Sentence";
import { drawsOf, reasonWords, sameAnswer, Steps, whyWords } from "./traceWords";

const FLAG: FlagInFile = {
  key: "f",
  kind: "boolean",
  enabled: true,
  salt: "s",
  variants: [
    { key: "on", value: true },
    { key: "off", value: false },
  ],
  rules: [
    { id: "a", serve: { variant: "on" } },
    { id: "b", serve: { variant: "on" } },
  ],
  default: { variant: "off" },
};

const answer = (more: Partial<Explained>): Explained => ({ flag: "f", version: 1, reason: "DEFAULT", value: true, variant: "on", steps: [], ...more });

it("tells of groups by their members, and of what was not looked at", () => {
  const test = { attribute: "a", operator: "exists" };
  const steps = new Steps([
    { path: "/rules/0/conditions/0/any/0", held: false, detail: "" },
    { path: "/rules/0/conditions/0/any/1/none/0", held: false, detail: "" },
    { path: "/rules/0/conditions/1", held: false, detail: "" },
  ]);
  expect(steps.condition("/rules/0/conditions/0", { any: [test, { none: [test] }, test] })).toBe("held");
  expect(steps.condition("/rules/0/conditions/0/any/2", test)).toBe("unlooked");
  expect(steps.condition("/rules/0/conditions/0", { all: [test, test] })).toBe("unlooked");
  expect(steps.rule(0)).toBe("failed");
  expect(steps.rule(1)).toBe("unlooked");
});

it("draws with the salts that the evaluator draws with", () => {
  const asked: string[] = [];
  const bucket = (salt: string, unit: string) => {
    asked.push(`${salt} ${unit}`);
    return salt === "s/rollout" ? 9 : 60_000;
  };
  const serve = { distribution: { bucketBy: "/account/id", rollout: { share: 10 }, weights: [{ variant: "on", weight: 50_000 }, { variant: "off", weight: 50_000 }] } };
  const draws = drawsOf(serve, FLAG, { account: { id: 7 } }, bucket);
  expect(asked).toEqual(["s/rollout 7", "s 7"]);
  expect(draws.map(({ ranges }) => ranges.map(({ start, end, label }) => `${start} ${end} ${label}`))).toEqual([
    ["0 10 in", "10 100000 not in"],
    ["0 50000 on", "50000 100000 off"],
  ]);
  // Who is not in the rollout has no second draw.
  expect(drawsOf({ distribution: { ...serve.distribution, rollout: { share: 9 } } }, FLAG, { account: { id: 7 } }, bucket)).toHaveLength(1);
  expect(drawsOf(serve, FLAG, { account: { id: 0.5 } }, bucket)).toEqual([]);
});

it("shows times as people read them", () => {
  expect(withTimes("`$now` is 1795707438476; asked is `time > 1797613200000`")).toBe("`$now` is 2026-11-26T15:37:18.476Z; asked is `time > 2026-12-18T17:00:00Z`");
  expect(withTimes("`age` is 1795707438476; asked is `> 18`")).toBe("`age` is 1795707438476; asked is `> 18`");
});

it("says why", () => {
  expect(whyWords(answer({ reason: "TARGETING_MATCH", rule: "b" }), FLAG)).toBe("Gets on (true): rule 2 · b matched.");
  expect(whyWords(answer({ reason: "TARGETING_MATCH" }), FLAG)).toBe("Gets on (true): the targeting key is listed by name.");
  expect(whyWords(answer({ reason: "SPLIT", rule: "a", bucket: 41_203 }), FLAG)).toBe("Gets on (true): it fell into bucket 41,203 of rule 1 · a.");
  expect(whyWords(answer({ reason: "DISABLED" }), { ...FLAG, killed: true })).toBe("Gets on (true): the flag is killed.");
  expect(whyWords(answer({ reason: "ERROR", errorCode: "PARSE_ERROR", variant: null, value: null }), FLAG)).toBe("Gets the application’s own default: the flag does not compile.");
  expect(reasonWords(answer({ reason: "DISABLED" }), FLAG)).toBe("a prerequisite is not met");
});

it("compares values, not reasons", () => {
  expect(sameAnswer(answer({}), answer({ reason: "SPLIT", bucket: 7 }))).toBe(true);
  expect(sameAnswer(answer({}), answer({ variant: "off", value: false }))).toBe(false);
  expect(sameAnswer(answer({ value: { a: 1, b: 2 } }), answer({ value: { b: 2, a: 1 } }))).toBe(true);
  expect(sameAnswer(answer({}), undefined)).toBe(false);
});

import { describe, expect, it } from "vitest";

import type { ServedMinute } from "../../api/generated";
import type { FlagConfig, Serve } from "../../api/types";
import { estimateWords, matchedWords, summed } from "./served";

it("adds variants up over the minutes, the most frequent first", () => {
  const minutes: ServedMinute[] = [
    { at: "2026-11-21T09:30:00Z", variants: { on: 3, off: 1, "": 2 } },
    { at: "2026-11-21T09:32:00Z", variants: { off: 4 } },
  ];
  expect(summed({ minutes, rules: {}, lastAt: "2026-11-21T09:32:05Z" })).toEqual([
    ["off", 5],
    ["on", 3],
    ["", 2],
  ]);
  expect(summed({ minutes: [], rules: {} })).toEqual([]);
});

describe("an estimate", () => {
  const heard = (variants: Record<string, number>, rules: Record<string, number> = {}) => ({ minutes: [{ at: "2026-11-21T09:30:00Z", variants }], rules });
  const config = (serve: Serve, more: object = {}) => ({ enabled: true, killed: false, offVariant: "off", prerequisites: [], targets: [], rules: [], default: serve, ...more }) as unknown as FlagConfig;
  const split: Serve = { distribution: { weights: [{ variant: "on", weight: 40_000 }, { variant: "off", weight: 60_000 }] } };
  const rule = { conditions: [], serve: { variant: "on" } };

  it.each([
    [heard({ off: 12_400 }), config(split), "In the last hour it was evaluated 12,400 times here: 100 % off. Then: about 40 % on, 60 % off."],
    [heard({ off: 3, on: 1 }), config({ variant: "on" }), "In the last hour it was evaluated 4 times here: 75 % off, 25 % on. Then: about 100 % on."],
    [heard({ on: 1 }), config(split, { enabled: false }), "In the last hour it was evaluated 1 time here: 100 % on. Then: 100 % off."],
    [heard({ "": 2 }), config(split, { killed: true, offVariant: null }), "In the last hour it was evaluated 2 times here: 100 % the caller’s default. Then: 100 % the caller’s default."],
    [heard({ off: 2 }), config(split, { rules: [rule] }), "In the last hour it was evaluated 2 times here: 100 % off. Then, by default: about 40 % on, 60 % off."],
    [heard({ off: 9_000, on: 1_000 }, { beta: 900, staff: 100 }), config(split, { rules: [rule] }), "In the last hour it was evaluated 10,000 times here: 90 % off, 10 % on. Then, of the 9,000 that no rule decided: about 40 % on, 60 % off."],
    [heard({ off: 2 }), config({ distribution: { weights: [{ variant: "on", weight: 100_000 }], rollout: { share: 5_000 } } }), "In the last hour it was evaluated 2 times here: 100 % off. Then: about on for 5 % of units."],
    [heard({}), config(split), "In the last hour, nothing was heard of evaluations here: how many this reaches is not known."],
  ])("of %j", (found, after, words) => expect(estimateWords(found, after).replaceAll("\u202f", " ")).toBe(words));
});

it("says to how many a rule applied, where something was heard", () => {
  const found = { minutes: [{ at: "2026-11-21T09:30:00Z", variants: { on: 1_240, off: 2_060 } }], rules: { beta: 1_240 } };
  expect(matchedWords(found, "beta")?.replaceAll("\u202f", " ")).toBe("It applied to 1,240 of 3,300 evaluations in the last hour: 37.6 %");
  expect(matchedWords(found, "staff")).toBe("It applied to none of 3,300 evaluations in the last hour");
  expect(matchedWords({ minutes: [], rules: {} }, "beta")).toBeNull();
});

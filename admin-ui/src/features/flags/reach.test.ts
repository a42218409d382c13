import { describe, expect, it } from "vitest";

import type { FlagConfig, Serve } from "../../api/types";
import { newForEveryone, wholeVariant } from "./reach";

const ON: Serve = { variant: "on" };
const OFF: Serve = { variant: "off" };
const split = (on: number, more: object = {}): Serve => ({ distribution: { weights: [{ variant: "on", weight: on }, { variant: "off", weight: 100_000 - on }], ...more } });
const config = (serve: Serve, more: Partial<FlagConfig> = {}) => ({ enabled: true, killed: false, offVariant: "off", default: serve, ...more });

describe("one variant for everybody", () => {
  it.each([
    [ON, "on"],
    [split(100_000), "on"],
    [split(0), "off"],
    [split(99_999), null],
    [split(100_000, { rollout: { share: 50_000 } }), null],
    [split(100_000, { rollout: { share: 100_000 } }), "on"],
  ])("%j is %s", (serve, variant) => expect(wholeVariant(serve)).toBe(variant));
});

describe("a change that reaches everyone", () => {
  it.each([
    ["the last part of a split", config(split(25_000)), config(split(100_000)), "on"],
    ["the other variant at once", config(OFF), config(ON), "on"],
    ["switching on what is on by default", config(ON, { enabled: false }), config(ON), "on"],
    ["lifting a kill", config(ON, { killed: true }), config(ON), "on"],
    ["another off variant of a flag that is off", config(ON, { enabled: false }), config(ON, { enabled: false, offVariant: "on" }), "on"],
    ["a flag whose off variant is the application’s own default", config(split(50_000), { offVariant: null }), config(OFF, { offVariant: null }), "off"],
  ])("%s", (_, before, after, variant) => expect(newForEveryone(before, after)).toBe(variant));

  it.each([
    ["a larger share", config(split(25_000)), config(split(99_000))],
    ["the same in other words", config(ON), config(split(100_000))],
    ["back to nobody", config(split(25_000)), config(OFF)],
    ["switching off", config(ON), config(ON, { enabled: false })],
    ["a kill", config(ON), config(ON, { killed: true })],
    ["switching on a split", config(split(25_000), { enabled: false }), config(split(25_000))],
  ])("is not: %s", (_, before, after) => expect(newForEveryone(before, after)).toBeNull());
});

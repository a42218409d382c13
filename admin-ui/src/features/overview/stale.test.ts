import { describe, expect, it } from "vitest";

import type { FlagConfig, ListedFlag } from "../../api/types";
import { candidates, staleFlags, type Production } from "./stale";

const NOW = Date.parse("2026-11-21T12:00:00Z");
const daysAgo = (days: number) => new Date(NOW - days * 86_400_000).toISOString();

const flag = (key: string, more: object = {}, state: object = {}) =>
  ({ key, name: key, createdAt: daysAgo(200), environments: { eu: { enabled: true, killed: false, summary: "on", ...state }, us: { enabled: true, killed: false, summary: "on", ...state } }, ...more }) as unknown as ListedFlag;
const config = (more: object = {}) => ({ enabled: true, killed: false, offVariant: "off", prerequisites: [], targets: [], rules: [], default: { variant: "on" }, updatedAt: daysAgo(90), ...more }) as unknown as FlagConfig;

const production = (eu: FlagConfig, us: FlagConfig, more: Partial<Production> = {}): Production => ({
  environments: ["eu", "us"],
  configs: new Map([
    ["eu/f", eu],
    ["us/f", us],
  ]),
  heard: new Map([
    ["eu", { lastAt: { other: daysAgo(1) } }],
    ["us", { lastAt: { other: daysAgo(1) } }],
  ]),
  heardSince: null,
  ...more,
});
const heard = (eu: Record<string, string>, us: Record<string, string> = { other: daysAgo(1) }) => ({
  heard: new Map([
    ["eu", { lastAt: eu }],
    ["us", { lastAt: us }],
  ]),
});
const why = (of: Production, one = flag("f")) => staleFlags([one], of, NOW).map((stale) => stale.why);

describe("a stale flag", () => {
  const split = { distribution: { ranges: [{ start: 0, end: 50_000, variant: "on" }, { start: 50_000, end: 100_000, variant: "off" }] } };
  it.each([
    ["gives one variant, as it did for long", production(config(), config({ updatedAt: daysAgo(60) })), "on for everyone, last changed 2 months ago"],
    ["was never configured", production(config({ updatedAt: null }), config({ updatedAt: null })), "on for everyone, last changed 6 months ago"],
    ["is off", production(config({ enabled: false }), config({ enabled: false })), "off for everyone, last changed 3 months ago"],
    ["is still asked for", production(config(), config(), heard({ f: daysAgo(3) }, { f: daysAgo(1) })), "on for everyone, last changed 3 months ago; last evaluated yesterday"],
    ["is not asked for", production(config(), config(), { heardSince: daysAgo(9) }), "on for everyone, last changed 3 months ago; not asked for since the server started 9 days ago"],
    ["was not asked for in a long time", production(config({ default: split }), config({ default: split }), { heardSince: daysAgo(70) }), "not asked for since the server started 2 months ago"],
    ["was asked for long ago", production(config({ rules: [{}] }), config(), { ...heard({ f: daysAgo(40) }), heardSince: daysAgo(70) }), "last evaluated last month"],
  ])("%s", (_, of, words) => expect(why(of)).toEqual([words]));

  it.each([
    ["changed lately somewhere", production(config(), config({ updatedAt: daysAgo(29) }))],
    ["different from place to place", production(config(), config({ enabled: false }))],
    ["a split", production(config({ default: split }), config({ default: split }))],
    ["decided by rules", production(config({ rules: [{}] }), config({ rules: [{}] }))],
    ["not heard of by a server that started lately", production(config({ default: split }), config(), { heardSince: daysAgo(9) })],
    ["asked for long ago, as far as one server of many knows", production(config({ rules: [{}] }), config(), heard({ f: daysAgo(40) }))],
    ["not known", production(config(), config(), { configs: new Map() })],
    ["not heard of where nothing was heard at all", production(config({ default: split }), config(), { ...heard({}), heardSince: daysAgo(90) })],
    ["not heard of where that is not known", production(config({ default: split }), config(), { heard: new Map(), heardSince: daysAgo(90) })],
    ["in no production", { ...production(config(), config()), environments: [] }],
  ])("is none that is %s", (_, of) => expect(why(of)).toEqual([]));

  it("is neither new, nor meant to stay, nor killed, nor unreadable", () => {
    const of = production(config(), config());
    expect(why(of, flag("f", { permanent: true }))).toEqual([]);
    expect(why(of, flag("f", { createdAt: daysAgo(29) }))).toEqual([]);
    expect(why(of, flag("f", {}, { killed: true }))).toEqual([]);
    expect(staleFlags([{ key: "f", broken: "no variants", version: 1 }], of, NOW)).toEqual([]);
  });
});

it("reads the configurations of old flags that seem to give one variant, the oldest first", () => {
  const flags = [
    flag("younger"),
    flag("oldest", { createdAt: daysAgo(400) }),
    flag("new", { createdAt: daysAgo(3) }),
    flag("split", {}, { summary: "on 10 % / off 90 %" }),
    flag("whole", {}, { summary: "on 100 %" }),
    flag("ruled", {}, { summary: "1 rule, else on" }),
    flag("partial", {}, { summary: "5 % of units: on 100 %" }),
    flag("killed", {}, { killed: true, summary: "killed" }),
  ];
  expect(candidates(flags, ["eu", "us"], NOW).map(({ key }) => key)).toEqual(["oldest", "younger", "whole"]);
});

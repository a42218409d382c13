import { expect, it } from "vitest";

import type { Condition } from "../../api/types";
import { SOMEBODY, somebodyFor } from "./sample";

const test = (attribute: string, operator: string, values: unknown[], more: object = {}) => ({ attribute, operator, values, ...more }) as Condition;

it.each<[string, Condition[], object]>([
  ["a value", [test("country", "in", ["DE", "FR"])], { country: "DE" }],
  ["an ending", [test("email", "endsWith", ["@example.org"])], { email: "@example.org" }],
  ["a number beyond", [test("orders", "greaterThan", [3]), test("age", "lessThan", [18])], { orders: 4, age: 17 }],
  ["a version", [test("version", "semverGreaterOrEqual", ["4.2.0"])], { version: "4.2.0" }],
  ["an address", [test("ip", "inCidr", ["10.1.0.0/16"])], { ip: "10.1.0.0" }],
  ["the targeting key", [test("targetingKey", "startsWith", ["staff-"])], { targetingKey: "staff-" }],
  ["one of a group", [{ any: [test("email", "matches", ["^a"]), test("plan", "in", ["pro"]), test("plan", "in", ["team"])] }], { plan: "pro" }],
  ["all of a group", [{ all: [test("plan", "in", ["pro"]), test("country", "in", ["DE"])] }], { plan: "pro", country: "DE" }],
])("somebody has %s", (_, conditions, attributes) => expect(somebodyFor(conditions)).toEqual({ ...SOMEBODY, ...attributes }));

it.each<[string, Condition]>([
  ["a negation", test("country", "in", ["DE"], { negate: true })],
  ["a group of which none holds", { none: [test("country", "in", ["DE"])] }],
  ["a pattern", test("email", "matches", ["^a"])],
  ["a segment", { operator: "segment", values: ["beta"] }],
  ["the time", test("$now", "after", ["2026-12-24"])],
  ["something nested", test("/app/version", "in", ["1"])],
  ["nothing to compare with", test("country", "in", [])],
])("nothing is known for %s", (_, condition) => expect(somebodyFor([condition])).toEqual(SOMEBODY));

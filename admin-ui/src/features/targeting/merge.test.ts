import { expect, it } from "vitest";

import type { Rule } from "../../api/types";
import type { Targeting } from "./draft";
import { merge, piecesOf } from "./merge";

const rule = (id: string, variant = "on"): Rule => ({ id, serve: { variant } });
const of = (rules: Rule[], more: Partial<Targeting> = {}): Targeting => ({ prerequisites: [], targets: [], rules, default: { variant: "off" }, ...more });
const ids = ({ rules }: Targeting) => rules.map(({ id }) => id);

const BASE = of([rule("a"), rule("b"), rule("c")]);

it("takes what only one side changed", () => {
  const theirs = of([rule("a"), rule("b", "off"), rule("c")], { targets: [{ variant: "on", values: ["u"] }] });
  const mine = of([rule("a", "off"), rule("b"), rule("c")], { default: { variant: "on" } });
  const pieces = piecesOf(BASE, theirs, mine);
  expect(pieces.map(({ id, from }) => `${id}: ${from}`)).toEqual(["targets: theirs", "default: mine", "rule a: mine", "rule b: theirs"]);
  expect(merge(BASE, theirs, mine, {})).toEqual(of([rule("a", "off"), rule("b", "off"), rule("c")], { targets: theirs.targets, default: mine.default }));
});

it("asks where both changed the same, and does what is chosen", () => {
  const theirs = of([rule("a"), rule("b", "off"), rule("c")]);
  const mine = of([rule("a"), rule("c")]);
  expect(piecesOf(BASE, theirs, mine)).toMatchObject([{ id: "rule b", from: null, mine: undefined }]);
  expect(ids(merge(BASE, theirs, mine, { "rule b": "mine" }))).toEqual(["a", "c"]);
  expect(merge(BASE, theirs, mine, { "rule b": "theirs" }).rules).toEqual([rule("a"), rule("b", "off"), rule("c")]);
});

it("asks nothing where both did the same", () => {
  const both = of([rule("b"), rule("a")]);
  expect(piecesOf(BASE, both, structuredClone(both))).toEqual([]);
});

it("keeps new rules of both sides, each behind the rule that it was put behind", () => {
  const theirs = of([rule("a"), rule("t"), rule("b"), rule("c")]);
  const mine = of([rule("a"), rule("b"), rule("", "off"), rule("c")]);
  expect(merge(BASE, theirs, mine, {}).rules).toEqual([rule("a"), rule("t"), rule("b"), rule("", "off"), rule("c")]);
});

it("takes the order of the side that changed it", () => {
  const shuffled = of([rule("c"), rule("a"), rule("b")]);
  expect(ids(merge(BASE, shuffled, of([rule("a"), rule("b", "off"), rule("c")]), {}))).toEqual(["c", "a", "b"]);
  expect(ids(merge(BASE, BASE, shuffled, {}))).toEqual(["c", "a", "b"]);
  const other = of([rule("b"), rule("a"), rule("c")]);
  expect(piecesOf(BASE, shuffled, other)).toMatchObject([{ id: "rules order", from: null }]);
  expect(ids(merge(BASE, shuffled, other, { "rules order": "theirs" }))).toEqual(["c", "a", "b"]);
});

it("takes the rules as a whole where names come twice", () => {
  const mine = of([rule("a"), rule("a")]);
  const theirs = of([rule("b")]);
  expect(piecesOf(BASE, theirs, mine)).toMatchObject([{ id: "rules", from: null }]);
  expect(ids(merge(BASE, theirs, mine, { rules: "theirs" }))).toEqual(["b"]);
});

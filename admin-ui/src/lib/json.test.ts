import { describe, expect, it } from "vitest";

import { canonical, diffLines, fold } from "./json";

const changed = (before: unknown, after: unknown) =>
  diffLines(before, after)
    .filter(({ kind }) => kind !== "same")
    .map(({ kind, text }) => `${kind === "added" ? "+" : "-"}${text.trim()}`);

describe("canonical", () => {
  it("does not depend on the order of members", () => {
    expect(canonical({ b: 1, a: { d: [1, { y: 0, x: 0 }], c: 2 } })).toBe(canonical({ a: { c: 2, d: [1, { x: 0, y: 0 }] }, b: 1 }));
  });

  it("leaves out members that JSON does not have", () => {
    expect(canonical({ a: undefined, b: 1 })).toBe(canonical({ b: 1 }));
  });
});

describe("diffLines", () => {
  it("finds a changed member and nothing else", () => {
    expect(changed({ enabled: false, rules: [1, 2, 3] }, { rules: [1, 2, 3], enabled: true })).toEqual(['-"enabled": false,', '+"enabled": true,']);
  });

  it("finds every member, also one that no form has a field for", () => {
    expect(changed({ a: 1 }, { a: 1, surprise: { deep: true } }).join("\n")).toContain("surprise");
  });

  it("shows what is new or gone whole", () => {
    expect(changed(null, { a: 1 })).toEqual(["+{", '+"a": 1', "+}"]);
    expect(changed({ a: 1 }, null)).toEqual(["-{", '-"a": 1', "-}"]);
  });

  it("is empty where nothing differs, also where both are long", () => {
    const long = { values: Array.from({ length: 5_000 }, (_, at) => at) };
    expect(changed(long, structuredClone(long))).toEqual([]);
  });

  it("replaces long values whole", () => {
    const long = (last: number) => ({ values: [...Array.from({ length: 2_000 }, (_, at) => at), last] });
    expect(changed(long(1), long(2)).length).toBeGreaterThan(4_000);
  });
});

describe("fold", () => {
  it("keeps three lines around a change and counts the rest", () => {
    const before = Object.fromEntries(Array.from({ length: 20 }, (_, at) => [`k${String(at).padStart(2, "0")}`, at]));
    const parts = fold(diffLines(before, { ...before, k10: "new" }));
    expect(parts.map((part) => ("hidden" in part ? part.hidden : part.lines.length))).toEqual([8, 8, 7]);
  });
});

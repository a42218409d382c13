import { expect, it } from "vitest";

import { attributesAskedFor, contextOf, formOf, parseContext } from "./context";

it("says the same as a form and as JSON", () => {
  const context = { targetingKey: "u", plan: "pro", age: 34, beta: false, teams: ["a"], address: { city: "Delft" } };
  const form = formOf(context);
  expect(form && contextOf(form)).toEqual({ context, problems: [null, null, null, null, null] });
  expect(formOf({ targetingKey: 7 })).toBeNull();
});

it("leaves out rows that say nothing, and tells why", () => {
  const { context, problems } = contextOf({
    targetingKey: "",
    rows: [
      { name: "age", type: "number", value: "many" },
      { name: "", type: "text", value: "lost" },
      { name: "plan", type: "text", value: "pro" },
      { name: "plan", type: "text", value: "team" },
      { name: "teams", type: "json", value: "[a]" },
      { name: "", type: "text", value: "" },
    ],
  });
  expect(context).toEqual({ plan: "pro" });
  expect(problems).toEqual(["Not a number", "Name the attribute", null, "This attribute is there twice", "Not JSON: texts need quotes", null]);
});

it("takes objects as contexts only", () => {
  expect(parseContext('{"a": 1}')).toEqual({ a: 1 });
  expect(parseContext("[]")).toMatch(/object/);
  expect(parseContext("{")).toMatch(/Not JSON/);
});

it("knows what rules ask for, groups and segments included", () => {
  const file = {
    flags: [
      {
        key: "f",
        kind: "boolean" as const,
        variants: [],
        default: { distribution: { bucketBy: "accountId", weights: [] } },
        rules: [
          {
            conditions: [{ any: [{ attribute: "age", operator: "lessThan", values: [18] }, { none: [{ attribute: "beta", operator: "in", values: [true] }] }] }],
            serve: { variant: "on" },
          },
        ],
      },
    ],
    segments: [{ key: "s", rules: [{ conditions: [{ attribute: "plan", operator: "in", values: ["pro"] }] }] }],
  };
  expect(attributesAskedFor(file)).toEqual([
    { name: "accountId", type: "text" },
    { name: "age", type: "number" },
    { name: "beta", type: "boolean" },
    { name: "plan", type: "text" },
  ]);
});

/** An evaluation context as people fill it in, and as JSON. */

import type { FlagFile } from "../../api/types";
import type { EvaluationContext } from "./evaluator";

export type AttributeType = "text" | "number" | "boolean" | "json";

export interface AttributeRow {
  name: string;
  type: AttributeType;
  /** As typed; of a boolean, `true` or `false`. */
  value: string;
}

export interface ContextForm {
  targetingKey: string;
  rows: AttributeRow[];
}

const TARGETING_KEY = "targetingKey";

/** The form that says the same; null where a form cannot, because the targeting key is no text. */
export function formOf(context: EvaluationContext): ContextForm | null {
  const { [TARGETING_KEY]: targetingKey = "", ...attributes } = context;
  if (typeof targetingKey !== "string") return null;
  return { targetingKey, rows: Object.entries(attributes).map(([name, value]) => rowOf(name, value)) };
}

function rowOf(name: string, value: unknown): AttributeRow {
  if (typeof value === "string") return { name, type: "text", value };
  if (typeof value === "number") return { name, type: "number", value: String(value) };
  if (typeof value === "boolean") return { name, type: "boolean", value: String(value) };
  return { name, type: "json", value: JSON.stringify(value) };
}

export interface ReadForm {
  context: EvaluationContext;
  /** What is wrong with each row, which is then left out; null where nothing is. */
  problems: (string | null)[];
}

export function contextOf({ targetingKey, rows }: ContextForm): ReadForm {
  const context: EvaluationContext = targetingKey === "" ? {} : { [TARGETING_KEY]: targetingKey };
  const problems = rows.map((row) => {
    if (row.name === "") return row.value === "" ? null : "Name the attribute";
    if (row.name === TARGETING_KEY) return "The targeting key has its own field";
    if (Object.hasOwn(context, row.name)) return "This attribute is there twice";
    const value = valueOf(row);
    if ("problem" in value) return value.problem;
    context[row.name] = value.value;
    return null;
  });
  return { context, problems };
}

function valueOf({ type, value }: AttributeRow): { value: unknown } | { problem: string } {
  switch (type) {
    case "text":
      return { value };
    case "boolean":
      return { value: value === "true" };
    case "number": {
      const number = Number(value);
      return value.trim() === "" || !Number.isFinite(number) ? { problem: "Not a number" } : { value: number };
    }
    case "json":
      try {
        return { value: JSON.parse(value) as unknown };
      } catch {
        return { problem: "Not JSON: texts need quotes" };
      }
  }
}

/** The context of a text, or what is wrong with it. */
export function parseContext(text: string): EvaluationContext | string {
  try {
    const value: unknown = JSON.parse(text);
    if (value === null || typeof value !== "object" || Array.isArray(value)) return "A context is an object: {…}";
    return value as EvaluationContext;
  } catch (error) {
    return `Not JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}

/** An attribute that rules ask for, with the kind of value that they compare it with. */
export interface AskedFor {
  name: string;
  type: AttributeType;
}

const NUMBERS = new Set(["lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual"]);

/** The attributes that conditions of the file look at, in the order of their names; of one flag, if named. */
export function attributesAskedFor(file: FlagFile, flag?: string): AskedFor[] {
  const found = new Map<string, AttributeType>();
  const look = (condition: unknown): void => {
    if (condition === null || typeof condition !== "object") return;
    const { attribute, operator, values, ...rest } = condition as Record<string, unknown>;
    for (const members of Object.values(rest)) if (Array.isArray(members)) members.forEach(look);
    if (typeof attribute !== "string" || attribute === "" || attribute === TARGETING_KEY || attribute.startsWith("$") || attribute.startsWith("/")) return;
    const [first] = Array.isArray(values) ? values : [];
    const type = NUMBERS.has(String(operator)) || typeof first === "number" ? "number" : typeof first === "boolean" ? "boolean" : "text";
    if (!found.has(attribute)) found.set(attribute, type);
  };
  const distributed = (serve: unknown) => {
    const { distribution } = (serve ?? {}) as { distribution?: { bucketBy?: string | null } };
    if (distribution?.bucketBy) look({ attribute: distribution.bucketBy, operator: "" });
  };
  for (const each of file.flags ?? []) {
    if (flag !== undefined && each.key !== flag) continue;
    distributed(each.default);
    for (const rule of each.rules ?? []) {
      rule.conditions?.forEach(look);
      distributed(rule.serve);
    }
  }
  if (flag === undefined) for (const segment of file.segments ?? []) for (const rule of segment.rules ?? []) rule.conditions.forEach(look);
  return [...found].map(([name, type]) => ({ name, type })).toSorted((a, b) => a.name.localeCompare(b.name));
}

/** What people change of a flag in an environment, and what becomes of it. */

import type { BucketRange, Condition, ConfigPatch, Distribution, Flag, FlagConfig, FlagInFile, Prerequisite, Rollout, Rule, Serve, Target, Test, Variant } from "../../api/types";
import { canonical } from "../../lib/json";
import { shares, WHOLE } from "../../lib/words";

/** The part of a configuration that decides who gets what. */
export interface Targeting {
  prerequisites: Prerequisite[];
  targets: Target[];
  rules: Rule[];
  default: Serve;
}

export const FIELDS = ["prerequisites", "targets", "rules", "default"] as const satisfies (keyof Targeting)[];

/**
 * What people decide of a configuration. Under a rollout, which moves the default and may have a rule for itself, that is
 * what is in force without it: everyone else has its baseline.
 */
export function targetingOf(config: FlagConfig, rollout?: Pick<Rollout, "id" | "baseline">): Targeting {
  const { prerequisites, targets, rules, default: serve } = config;
  if (!rollout) return { prerequisites, targets, rules, default: serve };
  return { prerequisites, targets, rules: rules.filter(({ id }) => id !== `rollout-${rollout.id}`), default: { variant: rollout.baseline } };
}

export const same = (a: unknown, b: unknown) => canonical(a) === canonical(b);

/** The fields that differ; each is replaced as a whole. */
export function patchOf(base: Targeting, draft: Targeting): ConfigPatch {
  return Object.fromEntries(FIELDS.filter((field) => !same(base[field], draft[field])).map((field) => [field, draft[field]]));
}

/** The flag as the evaluator would have it with this draft. */
export function inFile(flag: Pick<Flag, "key" | "kind" | "variants">, config: FlagConfig, draft: Targeting): FlagInFile {
  const { enabled, killed, offVariant = null, salt, availability, snapshotVersion } = config;
  const { key, kind, variants } = flag;
  return { key, kind, variants, version: snapshotVersion, enabled, killed, offVariant, salt, availability, ...draft };
}

type Reweight = (previous: BucketRange[], weights: { variant: string; weight: number }[]) => BucketRange[];

/**
 * The draft as it would be stored: weights become ranges that move the fewest buckets away from where they are, a rule's
 * from the stored rule with its name. Weights that do not add up stay.
 */
export function settled(stored: Targeting, draft: Targeting, reweight: Reweight): Targeting {
  const settle = (before: Serve | undefined, after: Serve): Serve => {
    if (!("distribution" in after) || !("weights" in after.distribution) || sumOf(after.distribution.weights) !== WHOLE) return after;
    const { weights, ...rest } = after.distribution;
    return { distribution: { ...rest, ranges: reweight(before ? rangesFor(before, after.distribution) : [], weights) } };
  };
  const ofRule = (id: string | undefined) => (id ? stored.rules.find((rule) => rule.id === id)?.serve : undefined);
  return { ...draft, rules: draft.rules.map((rule) => ({ ...rule, serve: settle(ofRule(rule.id), rule.serve) })), default: settle(stored.default, draft.default) };
}

/** The stored ranges, where a unit has the same bucket in both. */
function rangesFor(before: Serve, after: Distribution): BucketRange[] {
  if (!("distribution" in before) || !("ranges" in before.distribution)) return [];
  const drawn = ({ salt, bucketBy, algorithm }: Distribution) => [salt ?? null, bucketBy ?? null, algorithm ?? "xxh3-v1"];
  return same(drawn(before.distribution), drawn(after)) ? before.distribution.ranges : [];
}

/** The draft of a text, or what is wrong with it. What it means is the compiler's to judge. */
export function parseTargeting(text: string): Targeting | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return `Not JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (value === null || typeof value !== "object" || Array.isArray(value)) return "An object is needed: prerequisites, targets, rules, default";
  const members = value as Record<string, unknown>;
  const unknown = Object.keys(members).find((name) => !(FIELDS as readonly string[]).includes(name));
  if (unknown !== undefined) return `“${unknown}” is not part of the targeting: ${FIELDS.join(", ")}`;
  for (const field of ["prerequisites", "targets", "rules"]) if (!Array.isArray(members[field] ?? [])) return `“${field}” must be a list`;
  const wrong = shapeOf(members);
  if (wrong !== null) return wrong;
  const { prerequisites = [], targets = [], rules = [], default: serve } = members as Partial<Targeting>;
  return { prerequisites, targets, rules, default: serve as Serve };
}

const isObject = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === "object" && !Array.isArray(value);

/** What the form could not show. */
function shapeOf(members: Record<string, unknown>): string | null {
  const serve = (value: unknown, at: string) => {
    if (isObject(value) && typeof value["variant"] === "string") return null;
    const distribution = isObject(value) ? value["distribution"] : undefined;
    if (isObject(distribution) && [distribution["weights"], distribution["ranges"]].some((list) => Array.isArray(list) && list.every(isObject))) return null;
    return `${at} must be {"variant": …} or {"distribution": {"weights": […]}}`;
  };
  const list = (name: string) => (members[name] ?? []) as unknown[];
  for (const [at, rule] of list("rules").entries()) {
    if (!isObject(rule)) return `/rules/${at} must be an object`;
    if (!Array.isArray(rule["conditions"] ?? [])) return `/rules/${at}/conditions must be a list`;
    if (!(rule["conditions"] as unknown[] | undefined ?? []).every(isObject)) return `/rules/${at}/conditions must hold objects`;
    const wrong = serve(rule["serve"], `/rules/${at}/serve`);
    if (wrong !== null) return wrong;
  }
  for (const [at, target] of list("targets").entries()) {
    if (!isObject(target) || typeof target["variant"] !== "string" || !Array.isArray(target["values"])) return `/targets/${at} must be {"variant": …, "values": […]}`;
  }
  for (const [at, needed] of list("prerequisites").entries()) {
    if (!isObject(needed) || typeof needed["flag"] !== "string" || !Array.isArray(needed["variants"])) return `/prerequisites/${at} must be {"flag": …, "variants": […]}`;
  }
  return serve(members["default"], "/default");
}

/** The list with one item elsewhere. */
export function moved<T>(list: T[], from: number, to: number): T[] {
  const item = list[from];
  if (item === undefined || to < 0 || to >= list.length) return list;
  const rest = list.toSpliced(from, 1);
  return rest.toSpliced(to, 0, item);
}

/** The rules with one of them twice, the copy right after it: as it is, but for its name, which is its own. */
export function duplicated(rules: Rule[], at: number): Rule[] {
  const rule = rules[at];
  if (!rule) return rules;
  const taken = new Set(rules.map(({ id }) => id));
  const names = rule.id ? [`${rule.id}-copy`, ...rules.map((_, n) => `${rule.id}-copy-${n + 2}`)] : [];
  return rules.toSpliced(at + 1, 0, { ...structuredClone(rule), id: names.find((name) => !taken.has(name)) });
}

export const replaced = <T>(list: T[], at: number, item: T): T[] => list.map((each, index) => (index === at ? item : each));
export const without = <T>(list: T[], at: number): T[] => list.toSpliced(at, 1);

/** The weight of each variant of the flag, in the flag's order; those of no variant that it has come last. */
export function weightsOf(distribution: Distribution, variants: Variant[]): { variant: string; weight: number }[] {
  const weights = new Map(variants.map(({ key }) => [key, 0]));
  for (const { variant, weight } of shares(distribution)) weights.set(variant, weight);
  return [...weights].map(([variant, weight]) => ({ variant, weight }));
}

/** The same draw with other weights: what units are drawn by stays, so that the fewest move. */
export function withWeights(distribution: Distribution, weights: { variant: string; weight: number }[]): Distribution {
  const { ranges: _ranges, weights: _weights, ...rest } = distribution as Distribution & { ranges?: unknown; weights?: unknown };
  return { ...rest, weights };
}

export const sumOf = (weights: { weight: number }[]) => weights.reduce((sum, { weight }) => sum + weight, 0);

/** The whole in as equal weights as whole numbers allow. */
export function evenly(variants: Variant[]): { variant: string; weight: number }[] {
  const each = Math.floor(WHOLE / variants.length);
  return variants.map(({ key }, at) => ({ variant: key, weight: at === 0 ? WHOLE - each * (variants.length - 1) : each }));
}

/** A split for what served one variant: all to that one at first. */
export function splitOf(variant: string, variants: Variant[]): Distribution {
  return { weights: variants.map(({ key }) => ({ variant: key, weight: key === variant ? WHOLE : 0 })) };
}

export type Group = { any: Condition[] } | { all: Condition[] } | { none: Condition[] };

export const NEW_TEST: Test = { attribute: "", operator: "in", values: [] };
export const NEW_SEGMENT_TEST: Test = { operator: "segment", values: [] };

export type ValueKind = "text" | "number" | "boolean" | "json" | "nothing";

const NUMBER_OPERATORS = new Set(["lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual"]);
/** Operators that compare texts, and may do so whatever their case. */
export const CASED_OPERATORS = new Set(["in", "contains", "startsWith", "endsWith", "matches"]);

/** What a test's values are; `json` where a form cannot say. */
export function valueKind({ operator, values = [] }: Test): ValueKind {
  if (operator === "exists") return values.length === 0 ? "nothing" : "json";
  if (values.some((value) => value === null || typeof value === "object")) return "json";
  const kinds = new Set(values.map((value) => typeof value));
  if (NUMBER_OPERATORS.has(operator)) return "number";
  if (operator !== "in" || kinds.size === 0) return kinds.size === 0 || (kinds.size === 1 && kinds.has("string")) ? "text" : "json";
  if (kinds.size > 1) return "json";
  return kinds.has("number") ? "number" : kinds.has("boolean") ? "boolean" : "text";
}

/** Typed values as the kind that they are to be; a text that is no number stays, for the compiler to name. */
export function valuesFrom(texts: string[], kind: ValueKind): unknown[] {
  if (kind !== "number") return texts;
  return texts.map((text) => {
    const number = Number(text);
    return text.trim() !== "" && Number.isFinite(number) ? number : text;
  });
}

/** The test with another operator, its values as far as they can be kept. */
export function withOperator(test: Test, operator: string): Test {
  const { ignoreCase, values, ...rest } = test;
  const kind = valueKind({ operator, values: [] });
  const texts = (values ?? []).map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
  const kept = kind === "nothing" ? [] : operator === "in" ? (values ?? []) : valuesFrom(texts, kind);
  return { ...rest, operator, ...(kind === "nothing" ? {} : { values: kept }), ...(ignoreCase && CASED_OPERATORS.has(operator) ? { ignoreCase } : {}) };
}

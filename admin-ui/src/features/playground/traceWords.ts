/** What the trace of an evaluation says of each place of a flag. */

import type { Answer, BucketRange, Explained, FlagInFile, Serve, Step } from "../../api/types";
import type { EvaluationContext } from "./evaluator";
import { brief, canonical } from "../../lib/json";
import { WHOLE } from "../../lib/words";

/** `unlooked`: the answer was clear before. */
export type State = "held" | "failed" | "unlooked";

/** Steps by their paths. */
export class Steps {
  readonly #steps: Step[];

  constructor(steps: Step[]) {
    this.#steps = steps;
  }

  at(path: string): Step | undefined {
    return this.#steps.find((step) => step.path === path);
  }

  /** The steps below a path, as if it were the root. */
  below(path: string): Steps {
    const inner = this.#steps.filter((step) => step.path.startsWith(`${path}/`));
    return new Steps(inner.map((step) => ({ ...step, path: step.path.slice(path.length) })));
  }

  get isEmpty(): boolean {
    return this.#steps.length === 0;
  }

  /** How a condition came out. Groups are not traced themselves: their members tell. */
  condition(path: string, condition: unknown): State {
    const members = membersOf(condition);
    if (!members) {
      const step = this.at(path);
      return step ? (step.held ? "held" : "failed") : "unlooked";
    }
    const { kind, of } = members;
    const states = of.map((member, at) => this.condition(`${path}/${kind}/${at}`, member));
    if (of.length > 0 && states.every((state) => state === "unlooked")) return "unlooked";
    const oneHeld = states.includes("held");
    if (kind === "any") return oneHeld ? "held" : "failed";
    if (kind === "none") return oneHeld ? "failed" : "held";
    return states.every((state) => state === "held") ? "held" : "failed";
  }

  /** How a rule came out: held where it served. */
  rule(at: number): State {
    const path = `/rules/${at}`;
    const served = this.at(path);
    if (served) return served.held ? "held" : "failed";
    return this.below(path).isEmpty ? "unlooked" : "failed";
  }
}

export type GroupKind = "any" | "all" | "none";

/** The members of a group of conditions; null where it is a test. */
export function membersOf(condition: unknown): { kind: GroupKind; of: unknown[] } | null {
  if (condition === null || typeof condition !== "object") return null;
  for (const kind of ["any", "all", "none"] as const) {
    const of = (condition as Record<string, unknown>)[kind];
    if (Array.isArray(of)) return { kind, of };
  }
  return null;
}

/** One draw of a unit: where it fell, between which boundaries. */
export interface Draw {
  title: string;
  bucket: number;
  ranges: { start: number; end: number; label: string; variant: string | null }[];
}

/** What decides by bucket where `serve` is reached; empty where nothing does, or the context has no unit for it. */
export function drawsOf(serve: Serve, flag: Pick<FlagInFile, "salt">, context: EvaluationContext, bucket: (salt: string, unit: string) => number): Draw[] {
  if (!("distribution" in serve)) return [];
  const { distribution } = serve;
  const unit = unitOf(attribute(context, distribution.bucketBy ?? "targetingKey"));
  if (unit === null) return [];
  const draws: Draw[] = [];
  const { rollout } = distribution;
  if (rollout) {
    const at = bucket(rollout.salt ?? `${flag.salt ?? ""}/rollout`, unit);
    draws.push({
      title: "In the rollout?",
      bucket: at,
      ranges: [
        { start: 0, end: rollout.share, label: "in", variant: null },
        { start: rollout.share, end: WHOLE, label: "not in", variant: null },
      ].filter(({ start, end }) => end > start),
    });
    if (at >= rollout.share) return draws;
  }
  const ranges = rangesOf(distribution);
  if (ranges.length > 1) {
    draws.push({
      title: "Which variant?",
      bucket: bucket(distribution.salt ?? flag.salt ?? "", unit),
      ranges: ranges.map(({ start, end, variant }) => ({ start, end, label: variant, variant })),
    });
  }
  return draws;
}

type Split = { weights: { variant: string; weight: number }[] } | { ranges: BucketRange[] };

/** The table of buckets; weights are laid out from 0 in their order. */
export function rangesOf(split: Split): BucketRange[] {
  if ("ranges" in split) return split.ranges.toSorted((a, b) => a.start - b.start);
  let start = 0;
  return split.weights.map(({ variant, weight }) => ({ variant, start, end: (start += weight) })).filter((range) => range.end > range.start);
}

function attribute(context: EvaluationContext, name: string): unknown {
  if (!name.startsWith("/")) return context[name];
  return name
    .slice(1)
    .split("/")
    .map((step) => step.replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce<unknown>((value, step) => (value !== null && typeof value === "object" ? (value as Record<string, unknown>)[step] : undefined), context);
}

function unitOf(value: unknown): string | null {
  if (typeof value === "string") return value;
  return typeof value === "number" && Number.isSafeInteger(value) ? String(value) : null;
}

/** Whether two environments answer the same: the reason may be another. */
export function sameAnswer(a: Answer | undefined, b: Answer | undefined): boolean {
  return a !== undefined && b !== undefined && a.variant === b.variant && (a.errorCode ?? null) === (b.errorCode ?? null) && canonical(a.value ?? null) === canonical(b.value ?? null);
}

/** The variant or, where there is none, what the application does. */
export function answerWords(answer: Answer): string {
  return answer.variant ?? "the application’s default";
}

const ERRORS: Record<string, string> = {
  FLAG_NOT_FOUND: "there is no such flag here",
  PARSE_ERROR: "the flag does not compile",
  TARGETING_KEY_MISSING: "a bucket is needed, and the context has no unit for it",
  INVALID_CONTEXT: "the unit is neither a text nor a whole number",
};

const grouped = (bucket: number) => bucket.toLocaleString("en");

/** Why, in a few words: “rule 2 · beta”, “default, bucket 41,203”. */
export function reasonWords(answer: Answer, flag: FlagInFile | undefined): string {
  const at = flag?.rules?.findIndex(({ id }) => answer.rule !== null && answer.rule !== undefined && id === answer.rule) ?? -1;
  const rule = answer.rule === null || answer.rule === undefined ? null : `rule${at < 0 ? "" : ` ${at + 1}`}${answer.rule === "" ? "" : ` · ${answer.rule}`}`;
  switch (answer.reason) {
    case "TARGETING_MATCH":
      return rule ?? "targeted by name";
    case "SPLIT":
      return `${rule ?? "default"}, bucket ${grouped(answer.bucket ?? 0)}`;
    case "STATIC":
      return "the same for everyone";
    case "DEFAULT":
      return "no rule matched";
    case "DISABLED":
      return flag?.killed ? "killed" : flag?.enabled === false ? "off" : "a prerequisite is not met";
    case "ERROR":
      return ERRORS[answer.errorCode ?? ""] ?? "an error";
    default:
      return answer.reason.toLowerCase();
  }
}

/** The answer to “why did this user get this?” in a sentence. */
export function whyWords(explained: Explained, flag: FlagInFile | undefined): string {
  const what = explained.variant ? `Gets ${explained.variant} (${brief(explained.value ?? null, 80)})` : "Gets the application’s own default";
  const reason = reasonWords(explained, flag);
  switch (explained.reason) {
    case "TARGETING_MATCH":
      return explained.rule === null || explained.rule === undefined ? `${what}: the targeting key is listed by name.` : `${what}: ${reason} matched.`;
    case "SPLIT":
      return `${what}: it fell into bucket ${grouped(explained.bucket ?? 0)} of ${explained.rule === null || explained.rule === undefined ? "the default" : reason.replace(/, bucket .*$/, "")}.`;
    case "STATIC":
      return `${what}: everyone does.`;
    case "DISABLED":
      return `${what}: ${flag?.killed ? "the flag is killed" : flag?.enabled === false ? "the flag is off" : reason}.`;
    default:
      return `${what}: ${reason}.`;
  }
}

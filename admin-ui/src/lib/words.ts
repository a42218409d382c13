/** Configurations and audit rows as sentences. */

import type { AuditRow, Distribution, FlagConfig, FlagHead, FlagKind, FlagState, Serve, Test, Variant } from "../api/types";
import { brief } from "./json";

/** All weights, shares and buckets are of this whole. */
export const WHOLE = 100_000;

/** Holds a number and its percent sign together. */
const THIN = "\u202f";

/** A weight as a percentage, like “25 %” or “0.125 %”. */
export function percent(weight: number): string {
  return `${Number((weight / (WHOLE / 100)).toFixed(3))}${THIN}%`;
}

/** How much of the buckets each variant has, in order of appearance; variants with nothing are left out. */
export function shares(distribution: Distribution): { variant: string; weight: number }[] {
  const sums = new Map<string, number>();
  const add = (variant: string, weight: number) => sums.set(variant, (sums.get(variant) ?? 0) + weight);
  if ("weights" in distribution) for (const { variant, weight } of distribution.weights) add(variant, weight);
  else for (const { variant, start, end } of distribution.ranges) add(variant, end - start);
  return [...sums].filter(([, weight]) => weight > 0).map(([variant, weight]) => ({ variant, weight }));
}

/** Like “`on`”, “`on` 25 %, `off` 75 %”, or “`on` for 5 % of units”. */
export function serveWords(serve: Serve): string {
  if ("variant" in serve) return serve.variant;
  const { distribution } = serve;
  const parts = shares(distribution);
  const only = parts.length === 1 ? parts[0] : undefined;
  const split = only ? only.variant : parts.map(({ variant, weight }) => `${variant} ${percent(weight)}`).join(", ");
  const by = distribution.bucketBy && !(only && !distribution.rollout) ? `, by ${distribution.bucketBy}` : "";
  return distribution.rollout ? `${split} for ${percent(distribution.rollout.share)} of units${by}` : `${split}${by}`;
}

const OPERATORS: Record<string, [string, string]> = {
  in: ["is", "is not"],
  contains: ["contains", "does not contain"],
  startsWith: ["starts with", "does not start with"],
  endsWith: ["ends with", "does not end with"],
  matches: ["matches", "does not match"],
  lessThan: ["<", "is not <"],
  lessOrEqual: ["≤", "is not ≤"],
  greaterThan: [">", "is not >"],
  greaterOrEqual: ["≥", "is not ≥"],
  semverEqual: ["is version", "is not version"],
  semverLess: ["is a version below", "is not a version below"],
  semverLessOrEqual: ["is at most version", "is not at most version"],
  semverGreater: ["is a version above", "is not a version above"],
  semverGreaterOrEqual: ["is at least version", "is not at least version"],
  before: ["is before", "is not before"],
  after: ["is after", "is not after"],
  inCidr: ["is in network", "is not in network"],
};

const SHOWN_VALUES = 4;

function listWords(values: unknown[]): string {
  const shown = values.slice(0, SHOWN_VALUES).map((value) => brief(value, 40));
  const rest = values.length - shown.length;
  return rest > 0 ? `${shown.join(", ")} or ${rest} more` : shown.join(" or ");
}

function testWords(test: Test): string {
  const values = test.values ?? [];
  if (test.operator === "segment") return `${test.negate ? "not in" : "in"} segment ${listWords(values)}`;
  const attribute = test.attribute ?? "";
  if (test.operator === "exists") return `${attribute} ${test.negate ? "is absent" : "is present"}`;
  const [holds, not] = OPERATORS[test.operator] ?? [test.operator, `not ${test.operator}`];
  const many = test.operator === "in" && values.length > 1;
  const verb = many ? (test.negate ? "is none of" : "is one of") : test.negate ? not : holds;
  return `${attribute} ${verb} ${listWords(values)}${test.ignoreCase ? " (any case)" : ""}`;
}

/** A condition as a clause, like “plan is one of “pro” or “team””. A newer server may send shapes of its own. */
export function conditionWords(condition: unknown): string {
  const members = record(condition);
  for (const group of ["any", "all", "none"]) {
    const of = members[group];
    if (Array.isArray(of)) return `${group} of (${of.map(conditionWords).join("; ")})`;
  }
  if (typeof members["operator"] === "string") return testWords(members as unknown as Test);
  return `something this version does not know: ${brief(condition)}`;
}

export function kindWords(kind: FlagKind): string {
  return kind === "json" ? "JSON" : kind;
}

export type Tone = "killed" | "off" | "on" | "partial";

/** What a flag does in an environment: a word to read, a tone to colour, a level (0..1) to draw. */
export interface StateWords {
  tone: Tone;
  label: string;
  /** What comes before the default, like “2 rules first”; empty where nothing does. */
  before: string;
  level: number;
}

/**
 * From the list's one-line state. `summary` is the server's: “on”, “on 25 % / off 75 %”, “5 % of units: on”, each
 * perhaps after “2 targets, 1 rule, else ”.
 */
export function stateWords(state: FlagState, flag: Pick<FlagHead, "kind" | "variants">): StateWords {
  if (state.killed) return { tone: "killed", label: "Killed", before: "", level: 0 };
  if (!state.enabled) return { tone: "off", label: state.broken ? "Broken" : "Off", before: "", level: 0 };
  const cut = state.summary.lastIndexOf(", else ");
  const before = cut < 0 ? "" : `${state.summary.slice(0, cut)} first`;
  const serve = (cut < 0 ? state.summary : state.summary.slice(cut + ", else ".length)).replaceAll(" %", `${THIN}%`);
  const [, units, split = serve] = /^([\d.]+)\s*% of units: (.*)$/.exec(serve) ?? [];
  const on = flag.kind === "boolean" ? flag.variants.find(({ value }) => value === true)?.key : undefined;
  const served = split.split(" / ").map((part) => {
    const [, variant = part, share = "100"] = /^(.*) ([\d.]+)\s*%$/.exec(part) ?? [];
    return { variant, share: Number(share) };
  });
  const share = on === undefined ? 100 : (served.find(({ variant }) => variant === on)?.share ?? 0);
  const level = (share / 100) * (units === undefined ? 1 : Number(units) / 100);
  const [only] = served;
  const whole = served.length === 1 && units === undefined && only;
  const label = whole ? `${capital(only.variant)} ${before === "" ? "for everyone" : "by default"}` : capital(serve);
  return { tone: level === 1 && served.length === 1 ? "on" : "partial", label, before, level };
}

/** A configuration's one-line state, as the server's list words it. */
export function summaryOf(config: Pick<FlagConfig, "killed" | "enabled" | "prerequisites" | "targets" | "rules" | "default">): string {
  if (config.killed) return "killed";
  if (!config.enabled) return "off";
  const counted = (n: number, what: string) => (n === 0 ? [] : [`${n} ${what}${n === 1 ? "" : "s"}`]);
  const before = [
    ...counted(config.prerequisites.length, "prerequisite"),
    ...counted(
      config.targets.reduce((sum, { values }) => sum + values.length, 0),
      "target",
    ),
    ...counted(config.rules.length, "rule"),
  ];
  return [...before, `${before.length > 0 ? "else " : ""}${serveSummary(config.default)}`].join(", ");
}

function serveSummary(serve: Serve): string {
  if ("variant" in serve) return serve.variant;
  const { distribution } = serve;
  const plain = (weight: number) => percent(weight).replace(THIN, " ");
  const split = shares(distribution)
    .map(({ variant, weight }) => `${variant} ${plain(weight)}`)
    .join(" / ");
  return distribution.rollout ? `${plain(distribution.rollout.share)} of units: ${split}` : split;
}

function capital(text: string): string {
  // Only the words of the UI: a variant's key stays as it is.
  return text === "on" || text === "off" || /^(on|off) /.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
}

/** What a disabled or killed flag serves. */
export function offWords(config: Pick<FlagConfig, "offVariant">, variants: Variant[]): string {
  const variant = variants.find(({ key }) => key === config.offVariant);
  return variant ? `${variant.key} (${brief(variant.value)})` : "the application’s own default";
}

export interface AuditWords {
  /** Like “turned on”. */
  verb: string;
  /** What it was done to, like “new-checkout”. */
  subject: string;
  /** What kind of thing that is, like “flag”. */
  kind: string;
  tone: Tone | "neutral";
  /** What changed, like “default: 10 % on → 25 % on”; empty where the verb says it all. */
  detail: string;
}

const record = (value: unknown): Record<string, unknown> =>
  value !== null && typeof value === "object" && !Array.isArray(value) ? (value as Record<string, unknown>) : {};

/** Versions and stamps change with everything: they are no news. */
const NO_NEWS = new Set(["version", "snapshotVersion", "updatedAt", "revision", "rollout", "guard"]);

/** The top-level members that differ. */
export function changedMembers(before: unknown, after: unknown): string[] {
  const [old, now] = [record(before), record(after)];
  const names = new Set([...Object.keys(old), ...Object.keys(now)]);
  return [...names].filter((name) => !NO_NEWS.has(name) && JSON.stringify(old[name]) !== JSON.stringify(now[name])).toSorted();
}

const VERBS: Record<string, string> = {
  create: "created",
  update: "changed",
  configure: "changed",
  set: "changed",
  remove: "removed",
  archive: "archived",
  kill: "killed",
  restore: "restored",
  revoke: "revoked",
  link: "made a sign-in link for",
  start: "started",
  lock: "began a rollout of",
  advance: "raised",
  complete: "completed",
  wait: "waits with",
  pause: "paused",
  resume: "resumed",
  approve: "approved the next step of",
  skip: "ended the wait of",
  guard: "is through, and watches",
  restart: "ended, to begin anew,",
  override: "overrode a gate of",
  heed: "heeds a gate again of",
  rollBack: "rolled back",
};

const NAMED = new Set(["SDK key", "token", "user"]);

/** An audit row as a sentence: who is left to the caller. */
export function auditWords(row: AuditRow): AuditWords {
  const action = row.action.slice(row.action.lastIndexOf(".") + 1);
  const slash = row.resource.indexOf("/");
  const kind = (slash < 0 ? row.resource : row.resource.slice(0, slash)).replace("sdkKey", "SDK key");
  const subject = slash < 0 ? "" : row.resource.slice(slash + 1);
  const changed = changedMembers(row.before, row.after);
  const [old, now] = [record(row.before), record(row.after)];
  // A rollout is known by its flag; its id is nobody's word.
  const flag = kind === "rollout" ? (now["flag"] ?? old["flag"]) : undefined;
  // Neither is that of a key, a token or a person: they have names.
  const given = NAMED.has(kind) ? (now["name"] ?? old["name"]) : undefined;
  const known = [flag, given].find((each): each is string => typeof each === "string" && each !== "");
  const words = { subject: known ?? subject, kind, detail: "" };
  if (action === "kill") return { ...words, verb: "killed", tone: "killed" };
  if (action === "restore") return { ...words, verb: "restored", tone: "on" };
  const moved = kind === "flag" && row.action.startsWith("rollout.");
  const update = action === "update" || action === "configure" || moved;
  if (update && changed.length === 1 && changed[0] === "enabled") {
    return now["enabled"] === true ? { ...words, verb: "turned on", tone: "on" } : { ...words, verb: "turned off", tone: "off" };
  }
  const verb = VERBS[action] ?? row.action;
  if (row.action === "session.create") return { ...words, kind: "", subject: "", verb: "signed in", tone: "neutral" };
  if (!update || row.before === null) return { ...words, verb, tone: "neutral" };
  const details = changed.map((name) => {
    if (name === "default") return `default: ${serveBrief(old[name])} → ${serveBrief(now[name])}`;
    const [was, is] = [old[name], now[name]];
    if (isScalar(was) && isScalar(is)) return `${memberWords(name)}: ${brief(was, 32)} → ${brief(is, 32)}`;
    return memberWords(name);
  });
  return { ...words, verb, tone: "neutral", detail: details.join("; ") };
}

const isScalar = (value: unknown) => value === undefined || value === null || typeof value !== "object";

function serveBrief(value: unknown): string {
  const serve = record(value);
  return "variant" in serve || "distribution" in serve ? serveWords(serve as Serve) : brief(value);
}

/** `offVariant` as “off variant”. */
function memberWords(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

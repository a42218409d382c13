/** Rollouts as sentences: steps, states, verdicts, and what gates test. */

import type { GateJudgement, Rollout, RolloutGate, RolloutSpec, RolloutStep, RolloutWindow } from "../../api/types";
import { percent } from "../../lib/words";
import type { TagTone } from "./Tag";

/** Evidence from which on a rollout holds, and from which on it acts. */
export const HOLDS = 20;
export const ACTS = 100;

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

const UNITS: [number, string][] = [
  [DAY_MS, "d"],
  [HOUR_MS, "h"],
  [MINUTE_MS, "min"],
  [1_000, "s"],
];

/** Like “15 min”, “1 h 30 min”, “2 d”: the two largest units. */
export function timeWords(ms: number): string {
  const whole = Math.max(0, Math.round(ms / 1_000) * 1_000);
  const at = UNITS.findIndex(([size]) => whole >= size);
  if (at < 0) return "0 s";
  const parts: string[] = [];
  let rest = whole;
  for (const [size, unit] of UNITS.slice(at, at + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count} ${unit}`);
  }
  return parts.join(" ");
}

/** A number as people read it: three significant digits, thousands apart. */
export function numberWords(value: number): string {
  return Math.abs(value) >= 1_000 ? Math.round(value).toLocaleString("en") : value.toLocaleString("en", { maximumSignificantDigits: 3 });
}

/** Like “0.3 to 1”; 20 to 1 holds, 100 to 1 acts. */
export function evidenceWords(number: number): string {
  if (number >= 1_000_000) return "over a million to 1";
  return `${number >= 10 ? Math.round(number).toLocaleString("en") : number.toFixed(1)} to 1`;
}

/** Like “+4.2 %”. */
export function changeWords(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value * 100).toFixed(1)}\u202f%`;
}

const plainPercent = (part: number) => percent(part * 100_000);

/** The segments that have the variant at a step: its own, and those of the steps before. */
export function segmentsAt({ steps }: RolloutSpec, index: number): string[] {
  return steps.slice(0, index + 1).flatMap(({ segments = [] }) => segments);
}

/** Whether nobody has the variant at the step, and the old one is compared with itself. */
export function isAA(spec: RolloutSpec, index: number): boolean {
  return spec.steps[index]?.share === 0 && segmentsAt(spec, index).length === 0;
}

/** Like “10 %”, “internal”, “10 % and internal”; a first step for nobody compares the old variant with itself. */
export function stepWords({ share, segments = [] }: RolloutStep): string {
  if (share === 0 && segments.length === 0) return "A/A";
  return [...(share > 0 ? [percent(share)] : []), ...segments].join(" and ");
}

/** The gates that count at a step. */
export function gatesAt({ steps, gates = [] }: RolloutSpec, index: number): string[] {
  return steps[index]?.gates ?? gates.map(({ key }) => key);
}

export const STATES: Record<Rollout["status"]["state"], [string, TagTone]> = {
  running: ["Running", "good"],
  paused: ["Paused", "warn"],
  guarding: ["Through, guarded", "good"],
  completed: ["Completed", "good"],
  rolledBack: ["Rolled back", "bad"],
  killed: ["Killed", "bad"],
};

export const hasEnded = ({ status: { state } }: Pick<Rollout, "status">) => state === "completed" || state === "rolledBack" || state === "killed";

export const VERDICTS: Record<GateJudgement["verdict"], [string, TagTone]> = {
  pass: ["no harm found", "good"],
  suspect: ["suspicious", "warn"],
  harm: ["harm", "bad"],
  limit: ["beyond its limit", "bad"],
  pending: ["too few seen yet", "plain"],
  unopposed: ["nobody to compare with", "plain"],
  unproved: ["not proved yet", "warn"],
  inconclusive: ["not known", "warn"],
};

/** What a verdict does to the rollout. */
export function verdictEffect(verdict: GateJudgement["verdict"], { severity }: Pick<RolloutGate, "severity">, onHarm: RolloutSpec["onHarm"]): string {
  const acts = severity === "signal" ? "holds it: a signal never ends it" : onHarm === "kill" ? "kills the flag" : onHarm === "hold" ? "pauses it" : "rolls it back";
  switch (verdict) {
    case "pass":
      return "The rollout goes on.";
    case "suspect":
      return "The rollout holds until the evidence is below 5 to 1 again, or strong enough to act.";
    case "harm":
      return `This ${acts}.`;
    case "limit":
      return `This ${acts}, at once.`;
    case "pending":
      return "Too few units were seen at this step: it waits once it has baked.";
    case "unopposed":
      return "Everybody has the new variant; only limits are watched.";
    case "unproved":
      return "Nothing speaks against it, and the proof is not there: it waits once it has baked.";
    case "inconclusive":
      return "What is not known never counts as good: the bake stops until it is known.";
  }
}

/** How many of each arm; in an A/A bake both have the old variant. */
export function armWords({ spec, status, variant, baseline }: Rollout, { treatment, control }: GateJudgement["met"]): string {
  const aa = typeof status.step === "number" && isAA(spec, status.step);
  const [a, b] = [treatment.toLocaleString("en"), control.toLocaleString("en")];
  return aa ? `${a} and ${b}, all with ${baseline}` : `${a} with ${variant}, ${b} with ${baseline}`;
}

const DEFAULT_MARGIN = 0.1;

export const marginOf = ({ margin }: RolloutGate) => margin ?? DEFAULT_MARGIN;
export const isQuery = ({ source }: RolloutGate) => source !== undefined && source !== null;
export const testOf = ({ test = "happened" }: RolloutGate) => test;

/** What the gate compares, and what it calls harm. */
export function gateWords(gate: RolloutGate, variant = "the new variant", baseline = "the old one"): string[] {
  return isQuery(gate) ? queryWords(gate, variant, baseline) : eventWords(gate, variant, baseline);
}

function eventWords(gate: RolloutGate, variant: string, baseline: string): string[] {
  const margin = plainPercent(marginOf(gate));
  const down = gate.worse === "down";
  const worse = down ? "lower" : "higher";
  const within = timeWords(gate.withinMs ?? 10 * MINUTE_MS);
  const sentences: string[] = [];
  switch (testOf(gate)) {
    case "happened": {
      const what = typeof gate.above === "number" ? `a ${gate.metric} above ${numberWords(gate.above)}` : gate.metric;
      sentences.push(`Harm is when ${what} happens to over ${margin} ${down ? "fewer" : "more"} units with ${variant} than with ${baseline}.`);
      break;
    }
    case "mean":
      sentences.push(`Harm is when a unit’s total of ${gate.metric}, within ${within} of its first exposure, is on average over ${margin} ${worse} with ${variant} than with ${baseline}.`);
      break;
    case "ratio":
      sentences.push(`Harm is when the mean ${gate.metric}, of what is measured within ${within} of a unit’s first exposure, is over ${margin} ${worse} with ${variant} than with ${baseline}.`);
      break;
    case "quantile":
      sentences.push(`Harm is when the p${Number(((gate.quantile ?? 0.95) * 100).toFixed(2))} of ${gate.metric} is over ${margin} ${worse} with ${variant} than with ${baseline}.`);
      break;
  }
  if (gate.limit) sentences.push(`At once when it happens to over ${plainPercent(gate.limit.share)} of units with ${variant}, and at least ${gate.limit.units ?? 20}.`);
  if (typeof gate.proof === "number") sentences.push(`A step ends only when it is proved to happen to less than ${numberWords(gate.proof)} times as many.`);
  if (gate.severity === "signal") sentences.push("A signal: it holds, and never ends the rollout.");
  return sentences;
}

function queryWords(gate: RolloutGate, variant: string, baseline: string): string[] {
  const every = timeWords(gate.everyMs ?? 15_000);
  const lasting = gate.forMs ? ` for ${timeWords(gate.forMs)} without a gap` : ", at once";
  const sentences = [`Asks ${gate.source} every ${every}.`];
  if (typeof gate.controlQuery === "string") {
    sentences.push(
      `Harm is when the answer for ${variant} is over ${plainPercent(marginOf(gate))} ${gate.worse === "down" ? "lower" : "higher"} than that for ${baseline}${lasting}.`,
      "Not calibrated: requests are compared, not units, so nobody knows how often it is wrong.",
    );
  } else {
    const bounds = [
      ...(typeof gate.max === "number" ? [`above ${numberWords(gate.max)}`] : []),
      ...(typeof gate.min === "number" ? [`below ${numberWords(gate.min)}`] : []),
    ];
    sentences.push(`Harm is when the answer is ${bounds.join(" or ")}${lasting}.`);
  }
  if (gate.severity === "signal") sentences.push("A signal: it holds, and never ends the rollout.");
  return sentences;
}

/** The gate's part of the tolerated error, of those on events; null where it takes no part or there is no other. */
export function weightPart(gate: RolloutGate, gates: RolloutGate[]): number | null {
  const events = gates.filter((each) => !isQuery(each));
  if (isQuery(gate) || events.length < 2) return null;
  const sum = events.reduce((total, { weight }) => total + (weight ?? 1), 0);
  return (gate.weight ?? 1) / sum;
}

/** What was measured, on one line: “1.33 times as many”, “+4.2 %”, “answers 0.02”. */
export function measuredWords(judgement: GateJudgement, gate: RolloutGate | undefined): string | null {
  const { value, ratio } = judgement;
  if (gate && isQuery(gate)) {
    if (typeof value !== "number") return null;
    return `answers ${numberWords(value)}${typeof ratio === "number" ? `, ${ratio.toFixed(2)} times control` : ""}`;
  }
  if (typeof value === "number") return changeWords(value);
  return typeof ratio === "number" ? `${ratio.toFixed(2)} times as many` : null;
}

const DAYS: Record<string, string> = { MO: "Mon", TU: "Tue", WE: "Wed", TH: "Thu", FR: "Fri", SA: "Sat", SU: "Sun" };

/** Like “Mon to Fri from 09:00, 8 h, Europe/Berlin”. */
export function windowWords({ start, zone, rrule, durationMs }: RolloutWindow): string {
  const time = start.slice(11, 16);
  const lasts = timeWords(durationMs);
  if (!rrule) return `${start.replace("T", " ")}, for ${lasts}, ${zone}`;
  const parts = new Map(rrule.split(";").map((part) => part.split("=", 2) as [string, string]));
  const simple = [...parts.keys()].every((name) => ["FREQ", "BYDAY"].includes(name));
  const days = (parts.get("BYDAY") ?? "").split(",").filter((name) => name !== "");
  if (simple && parts.get("FREQ") === "DAILY" && days.length === 0) return `every day from ${time}, for ${lasts}, ${zone}`;
  if (simple && parts.get("FREQ") === "WEEKLY" && days.length > 0 && days.every((name) => name in DAYS)) {
    return `${daysWords(days)} from ${time}, for ${lasts}, ${zone}`;
  }
  return `${rrule}, from ${start.replace("T", " ")}, for ${lasts}, ${zone}`;
}

function daysWords(days: string[]): string {
  const all = Object.keys(DAYS);
  const at = days.map((name) => all.indexOf(name)).toSorted((a, b) => a - b);
  const [first, last] = [at[0] ?? 0, at.at(-1) ?? 0];
  const names = at.map((index) => DAYS[all[index] ?? ""] ?? "");
  return at.length > 2 && last - first === at.length - 1 ? `${names[0]} to ${names.at(-1)}` : names.join(", ");
}

/** Why somebody may not, in the words of what is refused here. */
export function refusalWords(refusal: string | null, doing: string): string | null {
  return refusal?.replace(/^(Changing flags|Killing and restoring flags|This)(?= needs)/, doing) ?? null;
}

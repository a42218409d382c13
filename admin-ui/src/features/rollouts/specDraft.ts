/** A rollout's spec while it is written: what is left out where it is sent, what follows from a change, and helpers for windows. */

import type { Problem } from "../../api/problem";
import type { RolloutGate, RolloutSpec, RolloutStep, RolloutWindow } from "../../api/types";
import { isQuery, MINUTE_MS, testOf } from "./rolloutWords";

/** The key of the template that is always there. */
export const DEFAULT = "default";

export const EMPTY: RolloutSpec = { steps: [{ share: 100_000, bakeMs: 15 * MINUTE_MS }], gates: [], onHarm: "rollBack" };

const isSaid = (value: unknown) => value !== undefined && value !== null && value !== "";

function said<T extends object>(of: T): T {
  return Object.fromEntries(Object.entries(of).filter(([, value]) => isSaid(value))) as T;
}

/** What is sent: without what nobody said. */
export function cleaned(spec: RolloutSpec): RolloutSpec {
  const { gates = [], windows = [], steps, ...rest } = spec;
  return {
    ...said(rest),
    steps: steps.map(({ segments = [], minUnits = 0, approval = false, ...step }) => ({
      ...said(step),
      ...(minUnits > 0 ? { minUnits } : {}),
      ...(approval ? { approval } : {}),
      ...(segments.length > 0 ? { segments } : {}),
    })),
    ...(gates.length > 0 ? { gates: gates.map((gate) => said(gate)) } : {}),
    ...(windows.length > 0 ? { windows: windows.map(({ rrule, ...window }) => ({ ...window, ...(typeof rrule === "string" ? { rrule } : {}) })) } : {}),
  };
}

/** Reads a spec that somebody wrote as JSON, far enough for the form to show it; the server checks the rest. */
export function readSpec(text: string): { spec: RolloutSpec } | { wrong: string } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { wrong: `This is no JSON: ${error instanceof Error ? error.message : "it cannot be read"}` };
  }
  const isObject = (value: unknown): value is Record<string, unknown> => value !== null && typeof value === "object" && !Array.isArray(value);
  if (!isObject(json)) return { wrong: "A spec is an object with steps." };
  if (!Array.isArray(json["steps"]) || !json["steps"].every(isObject)) return { wrong: "steps is a list of objects, like { \"share\": 10000, \"bakeMs\": 900000 }." };
  for (const name of ["gates", "windows"]) {
    const list = json[name];
    if (list !== undefined && (!Array.isArray(list) || !list.every(isObject))) return { wrong: `${name} is a list of objects.` };
  }
  for (const step of json["steps"]) {
    for (const name of ["gates", "segments"]) {
      if (isSaid(step[name]) && !Array.isArray(step[name])) return { wrong: `A step’s ${name} is a list of keys.` };
    }
  }
  return { spec: json as RolloutSpec };
}

/** What the server refused, where its JSON Pointer is that of a field of the spec. */
export type FieldErrors = (pointer: string) => string | undefined;

export function errorsOf(problem: Problem | null, base = "/spec"): FieldErrors {
  const field = problem?.field;
  if (!problem || field === undefined || !field.startsWith(base)) return () => undefined;
  const at = field.slice(base.length);
  // In a field, what the server sets as code is told as text.
  return (pointer) => (pointer === at ? problem.message.replaceAll("`", "") : undefined);
}

/** Whether a gate does not say yet what it watches: nothing is wrong with that while it is being written. */
export const isUnfinished = ({ gates }: RolloutSpec): boolean =>
  (gates ?? []).some((gate) => (isQuery(gate) ? !gate.query : !gate.metric));

/** The same errors, seen from a part of the spec. */
export const within = (errors: FieldErrors, base: string): FieldErrors => (pointer) => errors(`${base}${pointer}`);

export function replaced<T>(list: T[], index: number, item: T): T[] {
  return list.map((each, at) => (at === index ? item : each));
}

export function without<T>(list: T[], index: number): T[] {
  return list.filter((_, at) => at !== index);
}

/** Between the last two shares, or before the last. */
export function stepAdded(steps: RolloutStep[]): RolloutStep[] {
  const last = steps.at(-1);
  if (!last) return EMPTY.steps;
  const before = steps.at(-2)?.share ?? 0;
  const middle = Math.round((before + last.share) / 2 / 1_000) * 1_000;
  return [...steps.slice(0, -1), { share: middle, bakeMs: last.bakeMs }, last];
}

/** The spec with a gate changed; steps that name it by its key go on naming it. */
export function gateChanged(spec: RolloutSpec, index: number, gate: RolloutGate): RolloutSpec {
  const gates = spec.gates ?? [];
  const old = gates[index]?.key;
  const steps = old === undefined || old === gate.key || old === "" ? spec.steps : spec.steps.map((step) => (step.gates ? { ...step, gates: step.gates.map((key) => (key === old ? gate.key : key)) } : step));
  return { ...spec, steps, gates: replaced(gates, index, gate) };
}

export function gateRemoved(spec: RolloutSpec, index: number): RolloutSpec {
  const gates = spec.gates ?? [];
  const key = gates[index]?.key;
  return { ...spec, gates: without(gates, index), steps: spec.steps.map((step) => (step.gates ? { ...step, gates: step.gates.filter((each) => each !== key) } : step)) };
}

/** The gate with another test, without what only the old one knows. */
export function testChanged(gate: RolloutGate, test: NonNullable<RolloutGate["test"]>): RolloutGate {
  const { above: _above, withinMs: _within, quantile: _quantile, limit, proof, ...kept } = gate;
  return {
    ...kept,
    test,
    ...(test === "happened" ? { limit: limit ?? null, proof: proof ?? null } : {}),
    ...(test === "quantile" ? { quantile: 0.95 } : {}),
  };
}

/** Whether limits and proofs mean anything of it. */
export const takesLimits = (gate: RolloutGate) => !isQuery(gate) && testOf(gate) === "happened" && gate.worse !== "down";

/** A key that no gate has. */
export function freeKey(wanted: string, gates: RolloutGate[]): string {
  const taken = new Set(gates.map(({ key }) => key));
  if (!taken.has(wanted)) return wanted;
  for (let n = 2; ; n++) if (!taken.has(`${wanted}-${n}`)) return `${wanted}-${n}`;
}

export const WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"] as const;
export type Weekday = (typeof WEEKDAYS)[number];

export type WindowKind = "weekly" | "once" | "rule";

/** The days of a plain weekly rule; null of any other. */
export function daysOf(rrule: string | null | undefined): Weekday[] | null {
  const match = /^FREQ=WEEKLY;BYDAY=([A-Z,]+)$/.exec(rrule ?? "");
  const days = match?.[1]?.split(",") ?? [];
  return days.length > 0 && days.every((day) => (WEEKDAYS as readonly string[]).includes(day)) ? (days as Weekday[]) : null;
}

export function windowKind({ rrule }: Pick<RolloutWindow, "rrule">): WindowKind {
  if (rrule === undefined || rrule === null) return "once";
  return daysOf(rrule) ? "weekly" : "rule";
}

const pad = (n: number) => String(n).padStart(2, "0");

const dateText = (date: Date) => `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;

/** A window on these days, from a time on: it begins on the first of them that is not before `today`. */
export function weeklyWindow(days: Weekday[], time: string, durationMs: number, zone: string, today: Date): RolloutWindow {
  const sorted = WEEKDAYS.filter((day) => days.includes(day));
  const first = new Date(today);
  // Sunday is 0 there, and the last here.
  for (let n = 0; n < 7 && sorted.length > 0 && !sorted.includes(WEEKDAYS[(first.getDay() + 6) % 7] ?? "MO"); n++) first.setDate(first.getDate() + 1);
  return { start: `${dateText(first)}T${time}`, zone, rrule: `FREQ=WEEKLY;BYDAY=${sorted.join(",")}`, durationMs };
}

/** Weekdays, nine to five. */
export function workingHours(zone: string, today: Date): RolloutWindow {
  return weeklyWindow(["MO", "TU", "WE", "TH", "FR"], "09:00", 8 * 60 * MINUTE_MS, zone, today);
}

export function ownZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
}

/** As an input of date and time takes it, by the clocks of here. */
export function localText(at: string | null | undefined): string {
  const date = at ? new Date(at) : null;
  if (!date || Number.isNaN(date.getTime())) return "";
  return `${dateText(date)}T${pad(date.getHours())}:${pad(date.getMinutes())}`;
}

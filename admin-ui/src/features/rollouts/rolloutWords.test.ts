import { expect, it } from "vitest";

import type { RolloutGate } from "../../api/types";
import { detectWords } from "./previewWords";
import { gateWords, measuredWords, numberWords, refusalWords, timeWords, weightPart, windowWords } from "./rolloutWords";

it("tells times by their two largest units", () => {
  expect([0, 900_000, 5_400_000, 90_061_000, 2_000].map(timeWords)).toEqual(["0 s", "15 min", "1 h 30 min", "1 d 1 h", "2 s"]);
});

it("tells what gates test", () => {
  const first = (gate: Omit<RolloutGate, "key">) => gateWords({ key: "g", ...gate }, "on", "off")[0]?.replaceAll("\u202f", " ");
  expect(first({ metric: "errors" })).toBe("Harm is when errors happens to over 10 % more units with on than with off.");
  expect(first({ metric: "ms", above: 800 })).toContain("a ms above 800");
  expect(first({ metric: "buys", worse: "down", margin: 0.05 })).toContain("over 5 % fewer units");
  expect(first({ metric: "amount", test: "mean", worse: "down" })).toMatch(/total of amount, within 10 min .* over 10 % lower/);
  expect(first({ metric: "ms", test: "quantile", quantile: 0.95 })).toContain("the p95 of ms is over 10 % higher");
  const query = gateWords({ key: "g", source: "prometheus", query: "up", min: 1, max: 3, forMs: 300_000 });
  expect(query.join(" ")).toBe("Asks prometheus every 15 s. Harm is when the answer is above 3 or below 1 for 5 min without a gap.");
  expect(gateWords({ key: "g", source: "p", query: "a", controlQuery: "b" }).join(" ")).toContain("Not calibrated");
  expect(gateWords({ key: "g", metric: "m", severity: "signal", proof: 2, limit: { share: 0.2, units: 20 } })).toHaveLength(4);
});

it("tells a gate's part of the tolerated error among those on events", () => {
  const gates: RolloutGate[] = [{ key: "a", metric: "a", weight: 3 }, { key: "b", metric: "b" }, { key: "q", source: "p", query: "up", min: 1 }];
  expect(gates.map((gate) => weightPart(gate, gates))).toEqual([0.75, 0.25, null]);
  expect(weightPart({ key: "a", metric: "a" }, [{ key: "a", metric: "a" }])).toBeNull();
});

it("tells what was measured", () => {
  const judgement = { gate: "g", verdict: "pass", evidence: 1, met: { treatment: 1, control: 1 } } as const;
  expect(measuredWords({ ...judgement, ratio: 1.333 }, undefined)).toBe("1.33 times as many");
  expect(measuredWords({ ...judgement, value: -0.042 }, { key: "g", metric: "m", test: "mean" })).toBe("−4.2\u202f%");
  expect(measuredWords({ ...judgement, value: 0.0213 }, { key: "g", source: "p" })).toBe("answers 0.0213");
});

it("tells windows of the usual kinds, and rules as they are", () => {
  const at = { start: "2026-11-02T09:00", zone: "Europe/Berlin", durationMs: 8 * 3_600_000 };
  expect(windowWords({ ...at, rrule: "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR" })).toBe("Mon to Fri from 09:00, for 8 h, Europe/Berlin");
  expect(windowWords({ ...at, rrule: "FREQ=WEEKLY;BYDAY=TU,SA" })).toBe("Tue, Sat from 09:00, for 8 h, Europe/Berlin");
  expect(windowWords({ ...at, rrule: "FREQ=DAILY" })).toMatch(/^every day from 09:00/);
  expect(windowWords(at)).toMatch(/^2026-11-02 09:00, for 8 h/);
  expect(windowWords({ ...at, rrule: "FREQ=MONTHLY;BYMONTHDAY=1" })).toMatch(/^FREQ=MONTHLY/);
});

it("tells what a step finds and what it misses", () => {
  const words = (detectable: number | null, gate: Partial<RolloutGate> = {}) => detectWords({ gate: "errors", events: 100, detectable }, { key: "errors", metric: "e", ...gate }).replaceAll("\u202f", " ");
  expect(words(2.02)).toBe("finds errors that double, and misses +50 %");
  expect(words(3.64)).toBe("finds errors that become 3.6 times as many, and misses +200 %");
  expect(words(1.31, { test: "mean" })).toBe("finds errors that rise by 31 %, and misses +20 %");
  expect(words(0.7, { worse: "down" })).toBe("finds errors that fall by 30 %, and misses −20 %");
  expect(words(null)).toBe("finds nothing of errors: too few units are seen by then");
});

it("names what is refused", () => {
  expect(refusalWords("Killing and restoring flags needs the role operator; you are a viewer here", "Moving a rollout")).toBe("Moving a rollout needs the role operator; you are a viewer here");
  expect(refusalWords(null, "x")).toBeNull();
});

it("tells large numbers whole, and small ones by three digits", () => {
  expect([1_957.449, 29_361.9, 12.345, 0.3333].map(numberWords)).toEqual(["1,957", "29,362", "12.3", "0.333"]);
});

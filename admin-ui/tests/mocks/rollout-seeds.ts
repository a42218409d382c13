/** Rollouts of every kind, their templates and their pasts, for the API from memory to begin with. */

import type { GateJudgement, Rollout, RolloutGate, RolloutSpec, RolloutTemplate } from "../../src/api/types";
import type { RolloutLook } from "../../src/features/rollouts/history";

const MINUTE_MS = 60_000;
const at = (ms: number) => new Date(ms).toISOString();

const steps = (...list: [number, number][]) => list.map(([share, minutes]) => ({ share, bakeMs: minutes * MINUTE_MS }));

const template = (key: string, name: string, description: string, spec: RolloutSpec): RolloutTemplate => ({ key, name, description, spec, version: 0 });

export const TEMPLATES: RolloutTemplate[] = [
  template("careful", "Careful", "Ten minutes of both arms with the old variant, then 1, 5, 10, 25 and 50 %; 5 % are held back for the last comparison", {
    steps: steps([0, 10], [1_000, 30], [5_000, 30], [10_000, 60], [25_000, 60], [50_000, 60], [95_000, 120], [100_000, 10]),
    onHarm: "rollBack",
  }),
  template("default", "Default", "10, 25, 50 and 100 %, a quarter of an hour each", { steps: steps([10_000, 15], [25_000, 15], [50_000, 15], [100_000, 15]), onHarm: "rollBack" }),
  template("fast", "Fast", "25, 50 and 100 %, five minutes each: for much traffic", { steps: steps([25_000, 5], [50_000, 5], [100_000, 15]), onHarm: "rollBack" }),
  {
    key: "payments",
    name: "Payments",
    description: "With the team’s gates, and an approval before half of everybody.",
    spec: {
      steps: [...steps([5_000, 60]), { share: 25_000, bakeMs: 60 * MINUTE_MS, approval: true }, ...steps([50_000, 60], [100_000, 60])],
      gates: [{ key: "errors", metric: "payment-error", limit: { share: 0.2, units: 20 } }],
      onHarm: "rollBack",
    },
    version: 3,
  },
];

/** The same numbers each time. */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

/** A past that ends with what the rollout says now: evidence that wanders, counts that grow. */
export function historyOf(rollout: Rollout, now: number, minutes = 40): RolloutLook[] {
  const present = rollout.status.step ?? 0;
  const looks: RolloutLook[] = [];
  const all = minutes * 4;
  const random = noise(7);
  const drift = new Map<string, number>();
  for (let n = 0; n <= all; n++) {
    const part = n / all;
    const step = Math.min(present, Math.floor(part * (present + 1)));
    const gates = (rollout.live?.gates ?? []).map((gate): GateJudgement => {
      const end = Math.log(Math.max(gate.evidence, 0.02));
      const wander = (drift.get(gate.gate) ?? 0) * 0.9 + (random() - 0.5) * 0.8;
      drift.set(gate.gate, wander);
      const evidence = n === all ? gate.evidence : Math.exp(end * part ** 1.6 + wander * (1 - part));
      const met = { treatment: Math.round(gate.met.treatment * part ** 1.3), control: Math.round(gate.met.control * part ** 1.3) };
      const value = typeof gate.value === "number" ? gate.value * (0.6 + 0.4 * part) + (random() - 0.5) * 0.02 * (1 - part) : gate.value;
      return { ...gate, evidence, met, verdict: n === all ? gate.verdict : evidence >= 100 ? "harm" : evidence >= 20 ? "suspect" : gate.verdict === "inconclusive" && n < all - 12 ? "pass" : n < 6 ? "pending" : "pass", ...(value === undefined ? {} : { value }), ...(n === all ? {} : { problem: null }) };
    });
    looks.push({
      at: at(now - (all - n) * 15_000),
      step,
      share: rollout.spec.steps[step]?.share ?? 0,
      reason: n === all ? (rollout.live?.reason ?? "baking") : "baking for another 9 min",
      units: { treatment: Math.round(4_200 * part), control: Math.round(4_180 * part) },
      gates,
    });
  }
  return looks;
}

type RolloutSeed = Pick<Rollout, "id" | "flag" | "spec" | "reason"> & Partial<Pick<Rollout, "variant" | "baseline" | "evidence">> & {
  environment: string;
  status: Partial<Rollout["status"]>;
  minutes: number;
  gates?: GateJudgement[];
};

/** One of each kind that there is something to see of. */
export function seededRollouts(now: number): { environment: string; rollout: Rollout; history: RolloutLook[] }[] {
  const four = steps([10_000, 15], [25_000, 15], [50_000, 15], [100_000, 15]);
  const gates: RolloutGate[] = [
    { key: "errors", metric: "checkout-error", limit: { share: 0.2, units: 20 }, weight: 3, proof: 2 },
    { key: "slow", metric: "checkout-ms", above: 800, severity: "signal" },
    { key: "revenue", metric: "order-amount", test: "mean", worse: "down", margin: 0.05 },
    { key: "error-rate", source: "prometheus", max: 0.1, forMs: 300_000, query: 'sum(rate(http_requests_total{job="shop",code=~"5.."}[1m])) / sum(rate(http_requests_total{job="shop"}[1m]))' },
  ];
  const judged: GateJudgement[] = [
    { gate: "errors", verdict: "pass", evidence: 2.4, met: { treatment: 61, control: 52 }, ratio: 1.17 },
    { gate: "slow", verdict: "suspect", evidence: 34, met: { treatment: 141, control: 96 }, ratio: 1.47 },
    { gate: "revenue", verdict: "pass", evidence: 0.21, met: { treatment: 2_144, control: 2_151 }, value: 0.013 },
    { gate: "error-rate", verdict: "inconclusive", evidence: 0, met: { treatment: 0, control: 0 }, value: 0.021, problem: "has no number newer than 90 s" },
  ];
  const seeds: RolloutSeed[] = [
    { id: "r-payments", flag: "payments-v2", environment: "staging", variant: "off", baseline: "on", spec: { steps: [{ ...four[0]!, segments: ["beta-testers"] }, { ...four[1]!, minUnits: 500 }, { ...four[2]!, approval: true }, four[3]!], gates, onHarm: "rollBack", guardMs: 86_400_000 }, status: { step: 1, waiting: "suspect", bake: { doneMs: 6 * MINUTE_MS }, overridden: ["revenue"] }, minutes: 24, reason: "suspicious: `slow` for 141 units in treatment, 96 in control, evidence 34 to 1", gates: judged },
    { id: "r-aa", flag: "search-ranking", environment: "development", variant: "hybrid", baseline: "neural", spec: { steps: [{ share: 0, bakeMs: 10 * MINUTE_MS }, ...four], gates: [{ key: "errors", metric: "search-error" }], onHarm: "kill" }, status: { step: 0, waiting: "baking", bake: { doneMs: 2 * MINUTE_MS, since: now - MINUTE_MS } }, minutes: 4, reason: "baking for another 7 min", gates: [{ gate: "errors", verdict: "pass", evidence: 0.6, met: { treatment: 4, control: 5 }, ratio: 0.8 }] },
    { id: "r-window", flag: "home-hero", environment: "staging", variant: "plain", baseline: "winter", spec: { steps: four, onHarm: "rollBack", windows: [{ start: "2026-11-02T09:00", zone: "Europe/Berlin", rrule: "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH", durationMs: 25_200_000 }] }, status: { step: 1, waiting: "window", bake: { doneMs: 15 * MINUTE_MS, since: now - 3_000 } }, minutes: 200, reason: `the next window opens at ${at(now + 14 * 3_600_000)}`, evidence: { code: "window", opens: now + 14 * 3_600_000 } },
    { id: "r-turn", flag: "passkeys", environment: "development", variant: "off", baseline: "on", spec: { steps: four, onHarm: "rollBack" }, status: { waiting: "turn" }, minutes: 11, reason: "one rollout goes at a time, and it is the turn of that of `payments-v2`", evidence: { code: "turn", of: "payments-v2" } },
    { id: "r-approval", flag: "recommendations", environment: "staging", variant: "off", baseline: "on", spec: { steps: [four[0]!, { ...four[1]!, approval: true }, four[3]!], gates: [{ key: "p95", metric: "recommend-ms", test: "quantile", quantile: 0.95, margin: 0.05 }], onHarm: "hold" }, status: { step: 1, waiting: "approval", bake: { doneMs: 15 * MINUTE_MS, since: now - 4_000 } }, minutes: 70, reason: "a person has to approve the next step", gates: [{ gate: "p95", verdict: "pass", evidence: 0.08, met: { treatment: 3_100, control: 3_092 }, value: -0.021 }] },
    { id: "r-guard", flag: "express-shipping", environment: "development", variant: "off", baseline: "on", spec: { steps: four, gates: [gates[0]!], onHarm: "rollBack", guardMs: 86_400_000 }, status: { state: "guarding", step: 3, since: now - 5 * 3_600_000, waiting: "guarding" }, minutes: 400, reason: "everybody has the variant; gates are watched for another 19 h 0 min", gates: [{ gate: "errors", verdict: "unopposed", evidence: 0, met: { treatment: 211, control: 0 } }] },
    { id: "r-harm", flag: "dark-mode", environment: "staging", variant: "off", baseline: "on", spec: { steps: four, gates: [{ key: "render-error", metric: "render-error" }], onHarm: "rollBack" }, status: { state: "rolledBack", step: 1 }, minutes: 2_900, reason: "harm: `render-error` for 27 units in treatment, 9 in control, evidence 131 to 1", gates: [{ gate: "render-error", verdict: "harm", evidence: 131, met: { treatment: 27, control: 9 }, ratio: 3 }] },
  ];
  return seeds.map(({ environment, status: given, minutes, gates: says = [], ...seed }) => {
    const status = { generation: 3, state: "running", since: now - Math.min(minutes, 16) * MINUTE_MS, bake: { doneMs: 0 }, ...given } satisfies Rollout["status"];
    const ended = status.state === "rolledBack";
    const share = ended ? 0 : (seed.spec.steps[status.step ?? -1]?.share ?? 0);
    const live = { at: at(now), share, reason: seed.reason, units: { treatment: 4_210, control: 4_188 }, gates: says };
    const rollout: Rollout = { variant: "on", baseline: "off", ...seed, salt: `s-${seed.flag}/rollout`, status, share, startedAt: at(now - minutes * MINUTE_MS), live };
    const history = says.length > 0 || status.step !== undefined ? historyOf(rollout, ended ? now - 2_880 * MINUTE_MS : now) : [];
    return { environment, rollout: ended ? { ...rollout, live: null } : rollout, history };
  });
}

/** Rollouts, templates, metric sources and channels of the API from memory. */

import type { DeliveryView, Environment, GateJudgement, MetricSource, NotificationChannel, Project, Rollout, RolloutGate, RolloutPreview, RolloutSpec, RolloutTemplate } from "../../src/api/types";
import type { RolloutLook } from "../../src/features/rollouts/history";

const MINUTE_MS = 60_000;
const at = (ms: number) => new Date(ms).toISOString();

export const problem = (status: number, code: string, detail: string, more: object = {}) =>
  new Response(JSON.stringify({ status, code, title: code, detail, ...more }), { status, headers: { "content-type": "application/problem+json" } });

const json = (value: unknown, status = 200) => new Response(status === 204 ? null : JSON.stringify(value), { status, headers: { "content-type": "application/json" } });

export interface DeliveryState {
  templates: RolloutTemplate[];
  sources: MetricSource[];
  channels: NotificationChannel[];
  deliveries: DeliveryView[];
  histories: Map<string, RolloutLook[]>;
  project: Project;
  /** What the next preview is refused with. */
  refuse: { field: string; detail: string } | null;
}

const steps = (...list: [number, number][]) => list.map(([share, minutes]) => ({ share, bakeMs: minutes * MINUTE_MS }));

export function deliveryState(now: Date): DeliveryState {
  const stamp = { createdAt: at(now.getTime() - 9e8), updatedAt: at(now.getTime() - 9e8), version: 2 };
  const template = (key: string, name: string, description: string, spec: RolloutSpec, version = 0): RolloutTemplate => ({ key, name, description, spec, version });
  const delivery = (id: string, state: DeliveryView["state"], minutes: number, more: Partial<DeliveryView>): DeliveryView => ({
    id,
    state,
    event: "rollout.advanced",
    severity: "info",
    title: "checkout in production: advances to 25 %",
    sequence: 40 + minutes,
    createdAt: at(now.getTime() - minutes * MINUTE_MS),
    attempts: 1,
    status: 204,
    durationMs: 38,
    ...more,
  });
  return {
    templates: [
      template("careful", "Careful", "Ten minutes of both arms with the old variant, then 1, 5, 10, 25 and 50 %; 5 % are held back for the last comparison", {
        steps: steps([0, 10], [1_000, 30], [5_000, 30], [10_000, 60], [25_000, 60], [50_000, 60], [95_000, 120], [100_000, 10]),
        onHarm: "rollBack",
      }),
      template("default", "Default", "10, 25, 50 and 100 %, a quarter of an hour each", { steps: steps([10_000, 15], [25_000, 15], [50_000, 15], [100_000, 15]), onHarm: "rollBack" }),
      template("fast", "Fast", "25, 50 and 100 %, five minutes each: for much traffic", { steps: steps([25_000, 5], [50_000, 5], [100_000, 15]), onHarm: "rollBack" }),
      template(
        "payments",
        "Payments",
        "With the team’s gates, and an approval before half of everybody.",
        {
          steps: [...steps([5_000, 60]), { share: 25_000, bakeMs: 60 * MINUTE_MS, approval: true }, ...steps([50_000, 60], [100_000, 60])],
          gates: [{ key: "errors", metric: "payment-error", limit: { share: 0.2, units: 20 } }],
          onHarm: "rollBack",
        },
        3,
      ),
    ],
    sources: [
      { key: "prometheus", name: "Prometheus", kind: "prometheus", url: "https://metrics.example.org", credential: "prometheus", ...stamp },
      { key: "stats", name: "Checkout statistics", kind: "http", url: "https://stats.example.org", description: "What the checkout service counts itself.", ...stamp },
    ],
    channels: [
      { key: "ops", name: "Ops room", target: { kind: "webhook", url: "https://hooks.example.org/tidegate" }, minSeverity: "warning", environments: ["production"], ...stamp },
      { key: "team", name: "Checkout team", target: { kind: "email", to: ["checkout@example.org", "support@example.org"] }, minSeverity: "info", environments: [], ...stamp },
    ],
    deliveries: [
      delivery("msg_3", "waiting", 2, { event: "rollout.holds", severity: "warning", title: "search-ranking in production: holds at 10 %, as errors is suspicious", attempts: 3, status: 503, problem: "the receiver answered 503", nextAttemptAt: at(now.getTime() + MINUTE_MS) }),
      delivery("msg_2", "delivered", 30, {}),
      delivery("msg_1", "dead", 300, { event: "rollout.rolledBack", severity: "critical", title: "payments-v2 in production: harm rolled `on` back from 25 %", attempts: 56, status: null, durationMs: null, problem: "no address: the name is not known" }),
    ],
    histories: new Map(),
    project: { key: "shop", name: "Harbor Shop", oneRolloutAtATime: false, ...stamp, version: 1 },
    refuse: null,
  };
}

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

interface RolloutSeed {
  id: string;
  flag: string;
  environment: string;
  variant?: string;
  baseline?: string;
  spec: RolloutSpec;
  status: Partial<Rollout["status"]>;
  minutes: number;
  reason?: string;
  gates?: GateJudgement[];
  evidence?: Rollout["evidence"];
}

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
  return seeds.map(({ id, flag, environment, variant = "on", baseline = "off", spec, status, minutes, reason, gates: says = [], evidence }) => {
    const full: Rollout["status"] = { generation: 3, state: "running", since: now - Math.min(minutes, 16) * MINUTE_MS, bake: { doneMs: 0 }, ...status };
    const share = full.state === "rolledBack" ? 0 : (spec.steps[full.step ?? -1]?.share ?? 0);
    const live = { at: at(now), share, reason: reason ?? "", units: { treatment: 4_210, control: 4_188 }, gates: says };
    const rollout: Rollout = {
      id,
      flag,
      variant,
      baseline,
      salt: `s-${flag}/rollout`,
      spec,
      status: full,
      share,
      reason: reason ?? "",
      startedAt: at(now - minutes * MINUTE_MS),
      live,
      ...(evidence === undefined ? {} : { evidence }),
    };
    const history = says.length > 0 || full.step !== undefined ? historyOf(rollout, full.state === "rolledBack" ? now - 2_880 * MINUTE_MS : now) : [];
    const ended = full.state === "rolledBack";
    return { environment, rollout: ended ? { ...rollout, live: null } : rollout, history };
  });
}

/** Like the server's, roughly: more traffic finds less. */
export function previewOf(spec: RolloutSpec, unitsPerMinute: number, baselines: Record<string, { rate: number; spread?: number }>): RolloutPreview {
  const known = { ...baselines };
  for (const gate of spec.gates ?? []) if (gate.metric === "checkout-error" && !known[gate.key]) known[gate.key] = { rate: 0.01, spread: 0.5 };
  let seen = 0;
  const previewed = spec.steps.map(({ share, bakeMs }) => {
    const compared = Math.min(share, 100_000 - share) / 100_000;
    seen += (unitsPerMinute * compared * bakeMs) / MINUTE_MS;
    return {
      share,
      ...(unitsPerMinute > 0 ? { durationMs: bakeMs } : {}),
      units: (unitsPerMinute * share * bakeMs) / 100_000 / MINUTE_MS,
      gates: (spec.gates ?? []).flatMap(({ key, worse }) => {
        const rate = known[key]?.rate;
        if (rate === undefined || compared === 0) return [];
        const events = 2 * seen * rate;
        const effect = events < 8 ? null : 1 + 11 / Math.sqrt(events);
        return [{ gate: key, events, ...(effect === null ? {} : { detectable: worse === "down" ? 1 / effect : effect }) }];
      }),
    };
  });
  const notes = (spec.gates ?? []).filter(({ key, metric }) => metric && !known[key]).map(({ key }) => `\`${key}\`: nothing is known of how often it happens now: say its rate in \`baselines\``);
  return { spec, unitsPerMinute, baselines: Object.fromEntries(Object.entries(known).map(([key, value]) => [key, { spread: 0.5, ...value }])), steps: previewed, notes, ...(unitsPerMinute > 0 ? { durationMs: spec.steps.reduce((sum, { bakeMs }) => sum + bakeMs, 0) } : {}) };
}

/** The first breach of the rules for specs, as the server finds it. */
export function breachOf(spec: RolloutSpec): { field: string; detail: string } | null {
  let before = -1;
  for (const [index, gate] of (spec.gates ?? []).entries()) {
    if (gate.source === undefined && !gate.metric) return { field: `/spec/gates/${index}/metric`, detail: "a metric's name has 1 to 128 bytes" };
    if (gate.source !== undefined && !gate.query) return { field: `/spec/gates/${index}/query`, detail: "a query has 1 to 4096 bytes" };
  }
  for (const [index, { share, bakeMs }] of spec.steps.entries()) {
    if (typeof share !== "number" || share <= before) return { field: `/spec/steps/${index}/share`, detail: `each share is above the one before, here above ${Math.max(0, before)}` };
    if (typeof bakeMs !== "number" || bakeMs < 1_000) return { field: `/spec/steps/${index}/bakeMs`, detail: "a bake takes 1000 ms to 30 days" };
    before = share;
  }
  return before === 100_000 ? null : { field: `/spec/steps/${spec.steps.length - 1}/share`, detail: "the last step is for everybody: 100000" };
}

const PRESETS = [
  { key: "error-rate", name: "Error rate", description: "More than 10 % of requests fail, for 5 minutes.", parameters: [{ name: "requests", description: "the counter of requests", default: "http_requests_total" }, { name: "job", description: "the job that is rolled out; empty: all", default: "" }] },
  { key: "critical-endpoint", name: "Critical endpoint", description: "More than 1 % of the requests to one endpoint fail, for 5 minutes.", parameters: [{ name: "endpoint", description: "the endpoint" }] },
];

interface Asked {
  method: string;
  path: string[];
  url: URL;
  headers: Headers;
  body: Record<string, unknown>;
  rank: number;
  now: Date;
}

type Versioned = { key: string; version: number };

/** Lists, makes, changes and archives things with keys. */
function crud<T extends Versioned>(all: T[], what: string, { method, headers, body, now, rank }: Asked, key: string | undefined, needed: [number, string], make: (body: Record<string, unknown>) => object): Response {
  if (key === undefined && method === "GET") return json({ items: all });
  if (rank < needed[0]) return problem(403, "forbidden", `this needs the role ${needed[1]}`);
  const { reason: _, ...fields } = body;
  const stamp = { version: 1, createdAt: now.toISOString(), updatedAt: now.toISOString() };
  if (key === undefined) {
    if (all.some((each) => each.key === fields["key"])) return problem(409, "key_taken", `${what} \`${String(fields["key"])}\` is there already: choose another key`);
    const made = { ...stamp, ...fields } as unknown as T;
    all.push(made);
    return json({ ...made, ...make(fields) }, 201);
  }
  const index = all.findIndex((each) => each.key === key);
  const found = all[index];
  if (!found) return problem(404, "not_found", `there is no ${what} \`${key}\``);
  if (headers.get("if-match") !== `"${found.version}"`) return problem(412, "stale", `${what} \`${key}\` is at version ${found.version}, not ${headers.get("if-match")}`);
  if (method === "DELETE") {
    all.splice(index, 1);
    return json(null, 204);
  }
  const next = { ...found, ...fields, version: found.version + 1 };
  all[index] = next;
  return json(next);
}

/** What of the API is here; null: something else. */
export function deliveryApi(state: DeliveryState, environments: Environment[], asked: Asked): Response | null {
  const { method, path, body, rank, headers } = asked;
  if (path[0] === "gate-presets") {
    if (method === "GET") return json({ items: PRESETS });
    const parameters = (body["parameters"] ?? {}) as Record<string, string>;
    return json({ gates: [{ key: path[1] ?? "", source: body["source"], query: `sum(rate(${parameters["requests"] ?? "http_requests_total"}[5m]))`, max: 0.1, forMs: 300_000, severity: "harm" }] });
  }
  if (path[0] !== "projects" || path[1] !== "shop") return null;
  const [, , kind, key, what, id] = path;
  if (kind === undefined) {
    if (method === "GET") return json(state.project);
    if (rank < 4) return problem(403, "forbidden", "this needs the role admin");
    if (headers.get("if-match") !== `"${state.project.version}"`) return problem(412, "stale", "somebody changed it");
    const { reason: _, ...fields } = body;
    state.project = { ...state.project, ...fields, version: state.project.version + 1 };
    return json(state.project);
  }
  if (kind === "rollout-templates") {
    const spec = body["spec"] as RolloutSpec | undefined;
    const breach = spec ? breachOf(spec) : null;
    if (breach) return problem(422, "invalid", breach.detail, { field: breach.field });
    return crud(state.templates, "template", asked, key, [2, "editor"], () => ({}));
  }
  if (kind === "metric-sources" && what === "test") {
    const query = String(body["query"]);
    return json(query.includes("nothing") ? { problem: "answers with an empty result" } : { value: 0.0213, at: asked.now.toISOString() });
  }
  if (kind === "metric-sources") return crud(state.sources, "metric source", asked, key, [4, "admin"], () => ({}));
  if (kind === "notification-channels") {
    if (rank < 4) return problem(403, "forbidden", "this needs the role admin");
    if (what === "test") return json(key === "team" ? { delivered: false, status: 550, problem: "the mail server answered 550: no such mailbox", durationMs: 210 } : { delivered: true, status: 204, durationMs: 41 });
    if (what === "deliveries" && id === undefined) return json({ items: key === "ops" ? state.deliveries : [] });
    if (what === "deliveries") {
      const index = state.deliveries.findIndex((each) => each.id === id);
      const found = state.deliveries[index];
      if (!found) return problem(404, "not_found", "there is no such delivery");
      const again: DeliveryView = { ...found, state: "waiting", attempts: 0, problem: null, status: null, durationMs: null };
      state.deliveries[index] = again;
      return json(again);
    }
    if (what === "key") {
      const found = state.channels.find((each) => each.key === key);
      if (!found) return problem(404, "not_found", "there is no such channel");
      if (headers.get("if-match") !== `"${found.version}"`) return problem(412, "stale", "somebody changed it");
      Object.assign(found, { version: found.version + 1, previousKeyUntil: at(asked.now.getTime() + 86_400_000) });
      return json({ ...found, signingKey: "whsec_bmV3IGtleSBuZXcga2V5IG5ldyBrZXkgbmV3IGtleQ" });
    }
    return crud(state.channels, "channel", asked, key, [4, "admin"], (made) => ((made["target"] as { kind?: string } | undefined)?.kind === "webhook" ? { signingKey: "whsec_Zmlyc3Qga2V5IGZpcnN0IGtleSBmaXJzdCBrZXk" } : {}));
  }
  if (kind === "environments" && key !== undefined && what === undefined && method === "PATCH") {
    if (rank < 4) return problem(403, "forbidden", "this needs the role admin");
    const found = environments.find((each) => each.key === key);
    if (!found) return problem(404, "not_found", "there is no such environment");
    if (headers.get("if-match") !== `"${found.version}"`) return problem(412, "stale", "somebody changed it");
    const freezes = (body["freezes"] ?? []) as { rrule?: string }[];
    const bad = freezes.findIndex(({ rrule }) => rrule !== undefined && !rrule.startsWith("FREQ="));
    if (bad >= 0) return problem(422, "invalid", "a rule of RFC 5545, like `FREQ=WEEKLY;BYDAY=MO,TU,WE,TH`", { field: `/freezes/${bad}/rrule` });
    Object.assign(found, { freezes, version: found.version + 1 });
    return json(found);
  }
  if (kind === "environments" && what === "rollouts" && id === "preview") {
    const spec = body["spec"] as RolloutSpec;
    const breach = state.refuse ?? breachOf(spec);
    if (breach) return problem(422, "invalid", breach.detail, { field: breach.field });
    return json(previewOf(spec, (body["unitsPerMinute"] as number | undefined) ?? 600, (body["baselines"] ?? {}) as Record<string, { rate: number }>));
  }
  if (kind === "environments" && what === "rollouts" && path[6] === "history") return json({ items: state.histories.get(id ?? "") ?? [] });
  return null;
}

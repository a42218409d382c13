/** The REST API from memory, as far as the UI uses it: for the tests, and for looking at the UI without a server. */

import type { AuditRow, Environment, Flag, FlagConfig, FlagFile, FlagInFile, FlagKind, ListedFlag, Me, Role, Rollout, Serve, Variant } from "../../src/api/types";
import { summaryOf } from "../../src/lib/words";
import { breachOf, deliveryApi, deliveryState, historyOf, seededRollouts, type DeliveryState } from "./rollouts";
import { adminState, emptyState, handleAdmin, type AdminState } from "./admin";

export interface Backend {
  /** By their ids. */
  rollouts: Map<string, Rollout>;
  /** Templates, sources, channels, and the rollouts' pasts. */
  delivery: DeliveryState;
  handle(request: Request): Promise<Response>;
  /** Changes a configuration behind the UI's back. */
  meddle(flag: string, environment: string, patch: Partial<FlagConfig>): void;
  config(flag: string, environment: string): FlagConfig;
  audit: AuditRow[];
  admin: AdminState;
  me: Me | null;
  setupNeeded: boolean;
  requests: { method: string; path: string; headers: Headers; body: unknown }[];
  subscribe(listener: (environment: string) => void): () => void;
  revision(environment: string): number;
}

const BOOLEAN: Variant[] = [
  { key: "on", value: true },
  { key: "off", value: false },
];

const LONG_AGO = { createdAt: "2026-01-05T09:00:00.000Z", updatedAt: "2026-01-05T09:00:00.000Z" };

const ENVIRONMENTS: Environment[] = [
  { key: "development", name: "Development", production: false, color: "#2f9e6e", revision: 41, epoch: "e1", version: 1, ...LONG_AGO },
  { key: "staging", name: "Staging", production: false, color: "#7a6ff0", revision: 29, epoch: "e1", version: 1, ...LONG_AGO },
  { key: "production", name: "Production", production: true, color: "#e08a1e", revision: 17, epoch: "e1", version: 1, ...LONG_AGO },
];

const split = (weight: number): Serve => ({
  distribution: {
    ranges: [
      { start: 0, end: weight, variant: "on" },
      { start: weight, end: 100_000, variant: "off" },
    ],
  },
});

interface Seed {
  key: string;
  name: string;
  description: string;
  tags: string[];
  kind?: FlagKind;
  variants?: Variant[];
  off?: string;
  states: Record<string, Partial<FlagConfig>>;
}

const ON: Serve = { variant: "on" };

const SEEDS: Seed[] = [
  {
    key: "new-checkout",
    name: "New checkout",
    description: "The one-page checkout with saved addresses.",
    tags: ["checkout", "release"],
    states: {
      development: { enabled: true, default: ON },
      staging: { enabled: true, default: split(50_000) },
      production: {
        enabled: true,
        default: split(25_000),
        rules: [
          {
            id: "staff-first",
            conditions: [{ attribute: "email", operator: "endsWith", values: ["@tidegate.example"], ignoreCase: true }],
            serve: { variant: "on" },
          },
          {
            id: "beta-in-europe",
            conditions: [
              { operator: "segment", values: ["beta-testers"] },
              { attribute: "country", operator: "in", values: ["DE", "FR", "IT", "NL", "ES"] },
            ],
            serve: split(60_000),
          },
        ],
        targets: [{ variant: "off", values: ["user-4711"] }],
        prerequisites: [{ flag: "payments-v2", variants: ["on"] }],
      },
    },
  },
  {
    key: "payments-v2",
    name: "Payments v2",
    description: "Sends payments through the new provider.",
    tags: ["checkout", "ops"],
    states: { development: { enabled: true, default: ON }, staging: { enabled: true, default: ON }, production: { enabled: true, default: ON } },
  },
  {
    key: "search-ranking",
    name: "Search ranking",
    description: "Which ranking model answers a search.",
    tags: ["search", "experiment"],
    kind: "string",
    variants: [
      { key: "classic", value: "bm25" },
      { key: "hybrid", value: "hybrid-2" },
      { key: "neural", value: "neural-1" },
    ],
    off: "classic",
    states: {
      development: { enabled: true, default: { variant: "neural" } },
      staging: { enabled: true, default: { variant: "hybrid" } },
      production: {
        enabled: true,
        default: {
          distribution: {
            ranges: [
              { start: 0, end: 80_000, variant: "classic" },
              { start: 80_000, end: 90_000, variant: "hybrid" },
              { start: 90_000, end: 100_000, variant: "neural" },
            ],
          },
        },
      },
    },
  },
  {
    key: "recommendations",
    name: "Recommendations",
    description: "“You may also like” under the basket.",
    tags: ["basket"],
    states: {
      development: { enabled: true, default: ON },
      staging: { enabled: true, default: ON },
      production: {
        enabled: true,
        killed: true,
        kill: { reason: "the model answers in 900 ms, the basket waits", actorName: "Ada Lindqvist", at: "2026-11-21T08:12:00Z" },
        default: ON,
      },
    },
  },
  {
    key: "api-rate-limit",
    name: "API rate limit",
    description: "Requests a minute and client.",
    tags: ["ops"],
    kind: "number",
    variants: [
      { key: "strict", value: 60 },
      { key: "normal", value: 600 },
    ],
    off: "normal",
    states: { development: { enabled: false, default: { variant: "strict" } }, staging: { enabled: true, default: { variant: "strict" } }, production: { enabled: false, default: { variant: "strict" } } },
  },
  {
    key: "dark-mode",
    name: "Dark mode",
    description: "",
    tags: ["release"],
    states: { development: { enabled: true, default: ON }, staging: { enabled: true, default: ON }, production: { enabled: true, default: split(90_000) } },
  },
  {
    key: "home-hero",
    name: "Home page hero",
    description: "Title, picture and button of the home page.",
    tags: ["marketing"],
    kind: "json",
    variants: [
      { key: "winter", value: { title: "Warm things", image: "/img/winter.avif", button: "See all" } },
      { key: "plain", value: { title: "Welcome" } },
    ],
    off: "plain",
    states: { development: { enabled: true, default: { variant: "winter" } }, staging: { enabled: true, default: { variant: "winter" } }, production: { enabled: false, default: { variant: "winter" } } },
  },
  {
    key: "express-shipping",
    name: "Express shipping",
    description: "Next-day delivery where the warehouse is near.",
    tags: ["checkout"],
    states: { development: { enabled: true, default: ON }, staging: { enabled: false, default: ON }, production: { enabled: false, default: ON } },
  },
  {
    key: "legacy-invoices",
    name: "Legacy invoices",
    description: "The old PDF renderer, until the last customer is off it.",
    tags: ["billing", "cleanup"],
    states: { development: { enabled: false, default: ON }, staging: { enabled: false, default: ON }, production: { enabled: true, default: split(10_000) } },
  },
  {
    key: "passkeys",
    name: "Passkeys",
    description: "Signing in without a password.",
    tags: ["accounts", "release"],
    states: { development: { enabled: true, default: ON }, staging: { enabled: true, default: split(5_000) }, production: { enabled: false, default: split(5_000) } },
  },
];

const problem = (status: number, code: string, detail: string, more: object = {}) =>
  new Response(JSON.stringify({ status, code, title: code, detail, ...more }), { status, headers: { "content-type": "application/problem+json" } });

const json = (value: unknown, status = 200, version?: number) =>
  new Response(status === 204 ? null : JSON.stringify(value), {
    status,
    headers: { "content-type": "application/json", ...(version === undefined ? {} : { etag: `"${version}"` }) },
  });

/** A rollout at its first step, as a server that has looked once tells of it. */
function rolloutOf(flag: string, variant: string, baseline: string, now: Date, spec: Rollout["spec"]): Rollout {
  const gates = (spec.gates ?? []).map(({ key }) => ({ gate: key, verdict: "pass" as const, evidence: 0.31, met: { treatment: 12, control: 9 }, ratio: 1.33 }));
  return {
    id: `r-${flag}`,
    flag,
    variant,
    baseline,
    salt: "s",
    spec,
    status: { generation: 2, state: "running", step: 0, since: now.getTime(), bake: { doneMs: 0 }, waiting: "baking" },
    share: spec.steps[0]?.share ?? 0,
    reason: "",
    startedAt: now.toISOString(),
    live: { at: now.toISOString(), share: spec.steps[0]?.share ?? 0, reason: "baking for another 12 min", units: { treatment: 420, control: 415 }, gates },
  };
}

const initial = (flag: string, environment: string, serve: Serve): FlagConfig => ({
  flag,
  environment,
  version: 1,
  snapshotVersion: 1,
  enabled: false,
  killed: false,
  prerequisites: [],
  targets: [],
  rules: [],
  default: serve,
  availability: "private",
  salt: `s-${flag}`,
  issues: [],
});

export interface BackendOptions {
  role?: Role | "instanceAdmin";
  signedIn?: boolean;
  /** Adds as many generated flags. */
  more?: number;
  /** An instance that nobody has used yet. */
  empty?: boolean;
  now?: () => Date;
  /** Begins with rollouts of every kind. */
  withRollouts?: boolean;
}

export function createBackend({ role = "instanceAdmin", signedIn = true, more = 0, empty = false, now = () => new Date(), withRollouts = false }: BackendOptions = {}): Backend {
  const person: Me = {
    user: { id: "u1", name: "Ada Lindqvist", email: "ada@example.org" },
    instanceAdmin: role === "instanceAdmin",
    roles: role === "instanceAdmin" ? {} : { shop: role },
  };
  const environments = empty ? [] : structuredClone(ENVIRONMENTS);
  const generated: Seed[] = Array.from({ length: more }, (_, at) => ({
    key: `flag-${String(at).padStart(4, "0")}`,
    name: `Flag ${at}`,
    description: "",
    tags: [`team-${at % 7}`],
    states: {},
  }));
  const flags = new Map<string, Flag>();
  const configs = new Map<string, FlagConfig>();
  for (const seed of empty ? [] : [...SEEDS, ...generated]) {
    const variants = seed.variants ?? BOOLEAN;
    const { key, name, description, tags, kind = "boolean" } = seed;
    flags.set(key, { key, name, description, tags, kind, variants, defaultVariant: variants[0]?.key ?? "", salt: `s-${key}`, version: 1, ...LONG_AGO });
    for (const environment of environments) {
      configs.set(`${key}/${environment.key}`, {
        ...initial(key, environment.key, ON),
        version: 3,
        offVariant: seed.off ?? "off",
        ...seed.states[environment.key],
      });
    }
  }

  const listeners = new Set<(environment: string) => void>();
  const backend: Backend = {
    rollouts: new Map(),
    delivery: deliveryState(now()),
    handle,
    meddle(flag, environment, patch) {
      store(flag, environment, { ...backend.config(flag, environment), ...patch }, "flag.configure", "", "Bo Ek");
    },
    config(flag, environment) {
      if (!flags.has(flag)) throw new Error(`no ${flag} in ${environment}`);
      // An environment made later has every flag as it begins.
      const config = configs.get(`${flag}/${environment}`) ?? initial(flag, environment, ON);
      return config;
    },
    audit: [],
    admin: adminState(),
    me: signedIn ? person : null,
    setupNeeded: false,
    requests: [],
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    revision: (environment) => environments.find(({ key }) => key === environment)?.revision ?? 0,
  };
  if (empty) backend.admin = emptyState();
  else seedAudit();
  const places = new Map<string, string>();
  for (const { environment, rollout, history } of withRollouts ? seededRollouts(now().getTime()) : []) {
    places.set(rollout.id, environment);
    backend.rollouts.set(rollout.id, rollout);
    backend.delivery.histories.set(rollout.id, history);
    const { state } = rollout.status;
    if (state === "running" || state === "paused") Object.assign(backend.config(rollout.flag, environment), { enabled: true, killed: false, rollout: rollout.id });
    if (state === "guarding") Object.assign(backend.config(rollout.flag, environment), { enabled: true, guard: rollout.id });
    const begun = { flag: rollout.flag, status: { ...rollout.status, state: "running", step: null } };
    record(new Date(rollout.startedAt), "rollout.start", `rollout/${rollout.id}`, environment, null, begun, "the release of the week", "Bo Ek");
    if (rollout.status.step !== undefined) record(new Date(Date.parse(rollout.startedAt) + 900_000), "rollout.advance", `rollout/${rollout.id}`, environment, begun, rollout, "the step has baked, and no gate has anything against going on", "Rollout controller");
    if (state === "rolledBack") record(new Date(Date.parse(rollout.startedAt) + 1_200_000), "rollout.rollBack", `rollout/${rollout.id}`, environment, begun, rollout, "harm: `render-error` for 27 units in treatment, 9 in control, evidence 131 to 1", "Rollout controller");
  }
  return backend;

  function record(at: Date, action: string, resource: string, environment: string | null, before: unknown, after: unknown, reason: string, actorName: string) {
    const sequence = backend.audit.length + 1;
    const hash = (n: number) => (n === 0 ? "0" : (n * 2654435761).toString(16)).padEnd(64, "0").slice(0, 64);
    backend.audit.push({
      sequence,
      at: at.toISOString(),
      actor: `user:${actorName.toLowerCase().replace(" ", ".")}`,
      actorName,
      action,
      project: "shop",
      environment,
      resource,
      before,
      after,
      reason,
      requestId: `req-${sequence}`,
      hash: hash(sequence),
      leafVersion: 1,
      previousHash: hash(sequence - 1),
    });
  }

  function seedAudit() {
    const base = now().getTime();
    const hours = (n: number) => new Date(base - n * 3_600_000);
    const production = (key: string) => structuredClone(backend.config(key, "production"));
    const checkout = production("new-checkout");
    record(hours(52), "flag.create", "flag/passkeys", null, null, { key: "passkeys", kind: "boolean" }, "", "Bo Ek");
    record(hours(51), "flag.configure", "flag/dark-mode", "production", { ...production("dark-mode"), default: split(50_000) }, production("dark-mode"), "half has had it for a week", "Ada Lindqvist");
    record(hours(27), "segment.update", "segment/beta-testers", "production", { included: ["a", "b"] }, { included: ["a", "b", "c"] }, "", "Bo Ek");
    record(hours(26), "flag.configure", "flag/new-checkout", "production", { ...checkout, enabled: false }, { ...checkout, enabled: true }, "go-live with the payments team", "Ada Lindqvist");
    record(hours(4), "flag.configure", "flag/new-checkout", "production", { ...checkout, default: split(10_000) }, checkout, "error rate is flat", "Ada Lindqvist");
    record(hours(1.4), "flag.kill", "flag/recommendations", "production", { ...production("recommendations"), killed: false, kill: null }, production("recommendations"), "the model answers in 900 ms, the basket waits", "Ada Lindqvist");
    record(hours(0.2), "flag.configure", "flag/express-shipping", "staging", { ...production("express-shipping"), enabled: true }, { ...production("express-shipping"), enabled: false }, "", "Bo Ek");
  }

  function store(flag: string, environment: string, next: FlagConfig, action: string, reason: string, actorName: string): FlagConfig {
    const before = backend.config(flag, environment);
    const at = now();
    const after = { ...next, version: before.version + 1, updatedAt: at.toISOString() };
    configs.set(`${flag}/${environment}`, after);
    record(at, action, `flag/${flag}`, environment, before, after, reason, actorName);
    const row = environments.find(({ key }) => key === environment);
    if (row) row.revision++;
    for (const tell of listeners) tell(environment);
    return after;
  }

  function withStates(flag: Flag): ListedFlag {
    const states = environments.map(({ key }) => {
      const config = backend.config(flag.key, key);
      const { enabled, killed, version, rollout } = config;
      return [key, { enabled, killed, version, summary: summaryOf(config), ...(rollout ? { rollout } : {}) }];
    });
    return { ...flag, environments: Object.fromEntries(states) };
  }

  function flagFile(environment: string): FlagFile {
    return {
      flags: [...flags.values()].map(({ key, kind, variants }): FlagInFile => {
        const { enabled, killed, offVariant = null, salt, prerequisites, targets, rules, default: serve, snapshotVersion } = backend.config(key, environment);
        return { key, kind, variants, version: snapshotVersion, enabled, killed, offVariant, salt, prerequisites, targets, rules, default: serve };
      }),
      segments: [
        {
          key: "beta-testers",
          version: 1,
          included: ["user-7", "user-12"],
          excluded: ["user-13"],
          rules: [{ conditions: [{ attribute: "plan", operator: "in", values: ["team", "enterprise"] }, { attribute: "appVersion", operator: "semverGreaterOrEqual", values: ["4.2.0"] }] }],
        },
      ],
    };
  }

  function page<T>(items: T[], url: URL): Response {
    const limit = Number(url.searchParams.get("limit") ?? 50);
    const start = Number(url.searchParams.get("cursor") ?? 0);
    const end = start + limit;
    return json({ items: items.slice(start, end), ...(end < items.length ? { nextCursor: String(end) } : {}) });
  }

  async function handle(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const path = url.pathname.replace(/^\/api\/v1/, "");
    const text = await request.text();
    const body = (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>;
    const { method } = request;
    backend.requests.push({ method, path: path + url.search, headers: request.headers, body });
    if (method !== "GET" && request.headers.get("x-tidegate-csrf") !== "1") return problem(403, "csrf", "the header `X-Tidegate-Csrf` is missing");

    if (path === "/setup") {
      if (method === "GET") return json({ needed: backend.setupNeeded });
      if (String(body["password"]).length < 12) return problem(422, "invalid", "at least 12 characters", { field: "/password" });
      backend.setupNeeded = false;
      backend.me = person;
      return json(person, 201);
    }
    if (path === "/session/link") {
      if (body["secret"] !== "good-secret") return problem(401, "unauthenticated", "this link was used, or its time is over");
      backend.me = person;
      return json(person);
    }
    if (path === "/session" && method === "POST") {
      if (body["password"] !== "correct horse battery") return problem(401, "unauthenticated", "email and password do not belong together");
      backend.me = person;
      return json(person);
    }
    const { me } = backend;
    if (!me) return problem(401, "unauthenticated", "sign in first");
    if (path === "/session") {
      if (method === "DELETE") backend.me = null;
      return method === "DELETE" ? json(null, 204) : json(me);
    }
    const rank = me.instanceAdmin ? 4 : ["viewer", "editor", "operator", "admin"].indexOf(me.roles["shop"] ?? "") + 1;

    const { project: shop } = backend.delivery;
    if (path === "/projects" && method === "GET") return json({ items: backend.admin.projects.map((each) => (each.key === shop.key ? shop : each)) });
    if (path === `/projects/${shop.key}` && method === "DELETE") {
      if (environments.length > 0) return problem(409, "in_use", "the project has environments: archive them first");
      backend.admin.projects = [];
      return json(null, 204);
    }
    if (path === "/audit/verification") return json({ rows: backend.audit.length, head: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" });
    if (path === "/system") {
      const controller = { holder: "01JDA7", epoch: 3, since: now().toISOString(), renewedAt: now().toISOString() };
      return json({ version: "0.1.0", startedAt: LONG_AGO.createdAt, now: now().toISOString(), epoch: "e1", isShared: false, databaseBytes: 12_400_000, controller });
    }
    if (path.startsWith("/audit/")) {
      const row = backend.audit.find(({ sequence }) => path === `/audit/${sequence}`);
      return row ? json(row) : problem(404, "not_found", "there is no such row");
    }
    if (path === "/audit") {
      const wanted = (name: "environment" | "resource" | "actor" | "action" | "since" | "until") => url.searchParams.get(name);
      const [since, until] = [wanted("since") ?? "", wanted("until") ?? "9999"];
      // The cursor is a row's number: what follows is older.
      const before = Number(url.searchParams.get("cursor") ?? Number.POSITIVE_INFINITY);
      const limit = Number(url.searchParams.get("limit") ?? 50);
      const found = backend.audit
        .filter((row) => row.sequence < before)
        .filter((row) => row.action.startsWith(wanted("action") ?? "") && row.at >= since && row.at < until)
        .filter((row) => (["environment", "resource", "actor"] as const).every((name) => wanted(name) === null || row[name] === wanted(name)))
        .toReversed();
      const items = found.slice(0, limit);
      return json({ items, ...(found.length > limit ? { nextCursor: String(items.at(-1)?.sequence) } : {}) });
    }
    const at = path.slice(1).split("/").map(decodeURIComponent);
    const told = deliveryApi(backend.delivery, environments, { method, path: at, url, headers: request.headers, body, rank, now: now() });
    if (told) return told;
    const [projects, project, kind, ...rest] = at;
    const administered = handleAdmin(
      backend.admin,
      {
        environments,
        now,
        problem,
        json,
        page,
        record: (moment, action, resource, environment, before, after, because) => record(moment, action, resource, environment, before, after, because, me.user.name),
        flagFile: (environment) => ({ flags: flagFile(environment).flags ?? [] }),
        rollouts: (environment) =>
          [...backend.rollouts.values()]
            .filter(({ id, flag }) => {
              const place = backend.admin.rolloutsAt.get(id) ?? places.get(id);
              return place === undefined ? backend.config(flag, environment).rollout === id : place === environment;
            })
            .toSorted((one, other) => one.startedAt.localeCompare(other.startedAt)),
      },
      { method, at, url, body, ifMatch: request.headers.get("if-match"), rank, instanceAdmin: me.instanceAdmin },
    );
    if (administered) return administered;
    if (projects !== "projects" || project !== "shop") return problem(404, "not_found", "there is no such project");

    if (kind === "environments") {
      const [environment, what] = rest;
      if (environment === undefined) return json({ items: environments });
      if (what === "flag-file") return json(flagFile(environment));
      if (what === "receipts") return json({ epoch: "e1", revision: backend.revision(environment), changedAt: now().getTime(), connected: 3, applied: 3, behind: [], slowestMs: 38 });
      // Nobody asks for it any more.
      if (what === "insights") return json({ lastAt: Object.fromEntries([...flags.keys()].filter((key) => key !== "legacy-invoices").map((key) => [key, now().toISOString()])) });
      if (what === "keys") {
        if (method === "POST") return json({ id: "k2", ...body, key: "tgs_abcdefghijklmnop_0123456789abcdef_a1b2c3" }, 201);
        return json({ items: [{ id: "k1", name: "checkout service", kind: "server", version: 1, project, environment, createdAt: LONG_AGO.createdAt }] });
      }
      if (what === "rollouts" && rest[2] !== undefined) {
        const rollout = backend.rollouts.get(rest[2]);
        if (!rollout) return problem(404, "not_found", "there is no such rollout");
        if (method === "GET") return json({ ...rollout, ...(rollout.live ? { live: { ...rollout.live, at: now().toISOString() } } : {}) }, 200, rollout.status.generation);
        if (rank < 3) return problem(403, "forbidden", "this needs the role operator");
        const seen = request.headers.get("if-match");
        if (seen === null && !["pause", "rollBack", "heed"].includes(String(body["action"]))) return problem(428, "version_required", "say which generation you saw");
        if (seen !== null && seen !== `"${rollout.status.generation}"`) return problem(412, "stale", "it was moved in between");
        const overridden = body["action"] === "override" ? [String(body["gate"])] : (rollout.status.overridden ?? []);
        const state = body["action"] === "rollBack" ? "rolledBack" : body["action"] === "pause" ? "paused" : rollout.status.state;
        const moved: Rollout = { ...rollout, status: { ...rollout.status, state, overridden, generation: rollout.status.generation + 1 } };
        backend.rollouts.set(moved.id, moved);
        record(now(), `rollout.${String(body["action"])}`, `rollout/${moved.id}`, environment, rollout, moved, String(body["reason"]), me.user.name);
        if (state === "rolledBack") {
          const config = { ...backend.config(moved.flag, environment), default: { variant: moved.baseline }, rollout: null };
          store(moved.flag, environment, config, "rollout.rollBack", String(body["reason"]), me.user.name);
        }
        return json(moved, 200, moved.status.generation);
      }
      if (what === "rollouts" && method === "GET") {
        return json({ items: [...backend.rollouts.values()].filter(({ id }) => (places.get(id) ?? "development") === environment).toSorted((a, b) => a.startedAt.localeCompare(b.startedAt)) });
      }
      if (what === "rollouts") {
        const breach = breachOf(body["spec"] as Rollout["spec"]);
        if (breach) return problem(422, "invalid", breach.detail, { field: breach.field });
        const [flag, variant] = [String(body["flag"]), String(body["variant"])];
        const config = backend.config(flag, environment);
        const baseline = "variant" in config.default ? config.default.variant : "";
        const started = rolloutOf(flag, variant, baseline, now(), body["spec"] as Rollout["spec"]);
        backend.rollouts.set(started.id, started);
        places.set(started.id, environment);
        backend.delivery.histories.set(started.id, historyOf(started, now().getTime(), 2));
        store(flag, environment, { ...config, rollout: started.id }, "rollout.lock", String(body["reason"]), me.user.name);
        return json(started, 201, 1);
      }
      if (what === "kill" || what === "restore") {
        if (rank < 3) return problem(403, "forbidden", "this needs the role operator");
        const reason = String(body["reason"] ?? "");
        if (reason === "") return problem(422, "invalid", "say why", { field: "/reason" });
        const flag = String(body["flag"]);
        const killed = what === "kill";
        const kill = killed ? { reason, actorName: me.user.name, at: now().toISOString() } : null;
        const stored = store(flag, environment, { ...backend.config(flag, environment), killed, kill }, `flag.${what}`, reason, me.user.name);
        return json({ [killed ? "killed" : "restored"]: [{ flag, version: stored.version }], revision: backend.revision(environment) });
      }
    }
    if (kind === "flags") {
      const [key, , environment] = rest;
      if (key === undefined && method === "GET") {
        const search = (url.searchParams.get("search") ?? "").toLowerCase();
        const tag = url.searchParams.get("tag");
        const found = [...flags.values()].filter(
          (flag) => `${flag.key} ${flag.name} ${flag.description}`.toLowerCase().includes(search) && (tag === null || flag.tags?.includes(tag)),
        );
        return page(found.map(withStates), url);
      }
      if (key === undefined) {
        if (rank < 2) return problem(403, "forbidden", "this needs the role editor");
        const created = { salt: "s", version: 1, ...LONG_AGO, ...body } as unknown as Flag;
        if (flags.has(created.key)) return problem(409, "key_taken", `the key \`${created.key}\` is taken`, { field: "/key" });
        flags.set(created.key, created);
        for (const each of environments) {
          configs.set(`${created.key}/${each.key}`, {
            ...initial(created.key, each.key, { variant: created.defaultVariant }),
            offVariant: created.offVariant ?? null,
          });
        }
        return json(created, 201);
      }
      const flag = flags.get(key);
      if (!flag) return problem(404, "not_found", `there is no flag \`${key}\``);
      if (environment === undefined && method !== "GET") {
        if (rank < 2) return problem(403, "forbidden", "this needs the role editor");
        if (request.headers.get("if-match") !== `"${flag.version}"`) return problem(412, "stale", `flag \`${key}\` is at version ${flag.version}`);
        if (method === "DELETE") {
          const needing = [...configs.values()].find(({ prerequisites }) => prerequisites.some((each) => each.flag === key));
          if (needing) return problem(409, "in_use", `flag \`${key}\` is a prerequisite of \`${needing.flag}\` in \`${needing.environment}\`: take it out there first`);
          flags.delete(key);
          return json(null, 204);
        }
        const { reason: _, ...fields } = body;
        const next = { ...flag, ...fields, version: flag.version + 1 } as Flag;
        flags.set(key, next);
        return json(next, 200, next.version);
      }
      if (environment === undefined) return json(flag);
      if (rest[3] === "insights") {
        const minute = (ago: number) => new Date(Math.floor(now().getTime() / 60_000 - ago) * 60_000).toISOString();
        const served = Array.from({ length: 40 }, (_, n) => ({ at: minute(40 - n), variants: { on: 30 + ((n * 7) % 20), off: 60 + ((n * 11) % 30) } }));
        const rules = Object.fromEntries(backend.config(key, environment).rules.map(({ id }) => [id, 240]));
        return json({ lastAt: now().toISOString(), minutes: served, rules });
      }
      const config = backend.config(key, environment);
      if (method === "GET") return json(config, 200, config.version);
      if (rank < 2) return problem(403, "forbidden", "this needs the role editor");
      const expected = request.headers.get("if-match");
      if (expected === null) return problem(428, "version_required", "say which version you read");
      if (expected !== `"${config.version}"`) {
        return problem(412, "stale", `flag \`${key}\` is at version ${config.version}, not ${expected.replaceAll('"', "")}: read it again and repeat the change`);
      }
      const { reason = "", ...patch } = body;
      const next: FlagConfig = { ...config, ...patch };
      const decides = ["offVariant", "prerequisites", "targets", "rules", "default"].some((name) => name in patch);
      const running = decides && config.rollout ? backend.rollouts.get(config.rollout) : undefined;
      if (running && url.searchParams.get("restartRollout") !== "true") {
        return problem(409, "in_use", `the rollout \`${running.id}\` moves this flag: roll it back, let it complete, or say \`restartRollout=true\``);
      }
      if (running) {
        if (!("default" in patch)) next.default = { variant: running.baseline };
        if (!("variant" in next.default)) return problem(409, "in_use", "the flag's default serves several variants: set it to the one that everybody has now");
        if (next.default.variant === running.variant) return problem(422, "invalid", "the flag's default serves this variant to everybody already", { field: "/variant" });
        next.rules = next.rules.filter(({ id }) => id !== `rollout-${running.id}`);
        next.rollout = `${running.id}-again`;
      }
      if ("distribution" in next.default && "weights" in next.default.distribution) {
        const { weights, ...kept } = next.default.distribution;
        let start = 0;
        const ranges = weights.map(({ variant, weight }) => ({ start, end: (start += weight), variant }));
        next.default = { distribution: { ...kept, ranges: ranges.filter((range) => range.end > range.start) } };
      }
      if (url.searchParams.get("dryRun") === "true") return json({ ...next, changes: [] });
      if (running && next.rollout && "variant" in next.default) {
        backend.rollouts.set(running.id, { ...running, status: { ...running.status, state: "rolledBack" } });
        backend.rollouts.set(next.rollout, { ...rolloutOf(key, running.variant, next.default.variant, now(), running.spec), id: next.rollout });
        places.set(next.rollout, environment);
      }
      const stored = store(key, environment, next, "flag.configure", String(reason), me.user.name);
      return json(stored, 200, stored.version);
    }
    return problem(404, "not_found", `nothing at ${path}`);
  }
}

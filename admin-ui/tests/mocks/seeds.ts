/** What the API from memory begins with: a shop with flags, segments and people. */

import type { DeliveryView, Environment, Flag, FlagConfig, GatePreset, MetricSource, NotificationChannel, Project, Role, SdkKey, Segment, Serve, Token, User, Variant } from "../../src/api/types";

export const BOOLEAN: Variant[] = [{ key: "on", value: true }, { key: "off", value: false }];

export const LONG_AGO = { createdAt: "2026-01-05T09:00:00.000Z", updatedAt: "2026-01-05T09:00:00.000Z" };

const environmentOf = (key: string, name: string, color: string, revision: number): Environment => ({ key, name, color, revision, production: key === "production", epoch: "e1", version: 1, ...LONG_AGO });

export const ENVIRONMENTS = [environmentOf("development", "Development", "#2f9e6e", 41), environmentOf("staging", "Staging", "#7a6ff0", 29), environmentOf("production", "Production", "#e08a1e", 17)];

/** `on` for some of the buckets. */
export const split = (weight: number): Serve => ({ distribution: { ranges: [{ start: 0, end: weight, variant: "on" }, { start: weight, end: 100_000, variant: "off" }] } });

export const ON: Serve = { variant: "on" };

type State = Partial<FlagConfig>;

const on = (serve: Serve = ON, more: Partial<FlagConfig> = {}) => ({ enabled: true, default: serve, ...more });
const off = (serve: Serve = ON) => ({ enabled: false, default: serve });

/** A flag, and how it stands in the environments. */
type FlagSeed = [Flag, Record<string, State>];

function flag(key: string, name: string, description: string, tags: string[], [development, staging, production]: [State, State, State], more: Partial<Flag> = {}): FlagSeed {
  const served = { kind: "boolean", variants: BOOLEAN, defaultVariant: more.variants?.[0]?.key ?? "on", offVariant: "off" } as const;
  return [{ key, name, description, tags, ...served, salt: `s-${key}`, version: 1, ...LONG_AGO, ...more }, { development, staging, production }];
}

export const FLAGS: FlagSeed[] = [
  flag("new-checkout", "New checkout", "The one-page checkout with saved addresses.", ["checkout", "release"], [
    on(),
    on(split(50_000)),
    on(split(25_000), {
      rules: [
        { id: "staff-first", conditions: [{ attribute: "email", operator: "endsWith", values: ["@tidegate.example"], ignoreCase: true }], serve: ON },
        {
          id: "beta-in-europe",
          conditions: [{ operator: "segment", values: ["beta-testers"] }, { attribute: "country", operator: "in", values: ["DE", "FR", "IT", "NL", "ES"] }],
          serve: split(60_000),
        },
      ],
      targets: [{ variant: "off", values: ["user-4711"] }],
      prerequisites: [{ flag: "payments-v2", variants: ["on"] }],
    }),
  ]),
  flag("payments-v2", "Payments v2", "Sends payments through the new provider.", ["checkout", "ops"], [on(), on(), on()]),
  flag(
    "search-ranking",
    "Search ranking",
    "Which ranking model answers a search.",
    ["search", "experiment"],
    [
      on({ variant: "neural" }),
      on({ variant: "hybrid" }),
      on({ distribution: { ranges: [{ start: 0, end: 80_000, variant: "classic" }, { start: 80_000, end: 90_000, variant: "hybrid" }, { start: 90_000, end: 100_000, variant: "neural" }] } }),
    ],
    { kind: "string", variants: [{ key: "classic", value: "bm25" }, { key: "hybrid", value: "hybrid-2" }, { key: "neural", value: "neural-1" }], offVariant: "classic" },
  ),
  flag("recommendations", "Recommendations", "“You may also like” under the basket.", ["basket"], [
    on(),
    on(),
    on(ON, { killed: true, kill: { reason: "the model answers in 900 ms, the basket waits", actorName: "Ada Lindqvist", at: "2026-11-21T08:12:00Z" } }),
  ]),
  flag("api-rate-limit", "API rate limit", "Requests a minute and client.", ["ops"], [off({ variant: "strict" }), on({ variant: "strict" }), off({ variant: "strict" })], {
    kind: "number",
    variants: [{ key: "strict", value: 60 }, { key: "normal", value: 600 }],
    offVariant: "normal",
  }),
  flag("dark-mode", "Dark mode", "", ["release"], [on(), on(), on(split(90_000))]),
  flag("home-hero", "Home page hero", "Title, picture and button of the home page.", ["marketing"], [on({ variant: "winter" }), on({ variant: "winter" }), off({ variant: "winter" })], {
    kind: "json",
    variants: [{ key: "winter", value: { title: "Warm things", image: "/img/winter.avif", button: "See all" } }, { key: "plain", value: { title: "Welcome" } }],
    offVariant: "plain",
  }),
  flag("express-shipping", "Express shipping", "Next-day delivery where the warehouse is near.", ["checkout"], [on(), off(), off()]),
  flag("legacy-invoices", "Legacy invoices", "The old PDF renderer, until the last customer is off it.", ["billing", "cleanup"], [off(), off(), on(split(10_000))]),
  flag("passkeys", "Passkeys", "Signing in without a password.", ["accounts", "release"], [on(), on(split(5_000)), off(split(5_000))]),
];

export const PROJECT: Project = { key: "shop", name: "Harbor Shop", oneRolloutAtATime: false, version: 1, ...LONG_AGO };

/** Flags without anything to them, where there have to be many. */
export const generatedFlags = (count: number): FlagSeed[] => Array.from({ length: count }, (_, at) => flag(`flag-${String(at).padStart(4, "0")}`, `Flag ${at}`, "", [`team-${at % 7}`], [{}, {}, {}]));

const segment = (key: string, name: string, description: string, more: Partial<Segment>): Segment => ({ key, name, description, version: 2, ...LONG_AGO, ...more });

export const segmentsOf = (environment: string): Segment[] => [
  segment("beta-testers", "Beta testers", "People who asked to see things early.", {
    included: Array.from({ length: environment === "production" ? 2400 : 12 }, (_, at) => `user-${1000 + at}`),
    excluded: ["user-1007", "user-4711"],
    rules: [{ conditions: [{ attribute: "plan", operator: "in", values: ["beta", "insider"] }] }],
  }),
  segment("staff", "Staff", "Everybody with an address of ours.", {
    rules: [{ conditions: [{ attribute: "email", operator: "endsWith", values: ["@tidegate.example"], ignoreCase: true }] }],
  }),
  segment("friends", "Friends and family", "Staff, and those they invited.", {
    included: ["user-1", "user-2"],
    rules: [{ conditions: [{ operator: "segment", values: ["staff"] }] }],
  }),
  segment("unused", "Nobody asks for it", "", {}),
];

const sdkKey = (id: string, environment: string, name: string, more: Partial<SdkKey> = {}): SdkKey => {
  const server = { kind: "server", secureMode: false } as const;
  return { id, name, ...server, allowedOrigins: [], version: 1, project: "shop", environment, createdAt: LONG_AGO.createdAt, ...more };
};

export const KEYS: SdkKey[] = [
  ...ENVIRONMENTS.map(({ key: environment }) => sdkKey(`k1-${environment}`, environment, "checkout service")),
  sdkKey("k2-production", "production", "web shop", { kind: "client", allowedOrigins: ["https://shop.example.org", "https://www.shop.example.org"], secureMode: true }),
];

const person = (id: string, name: string, email: string, roles: User["roles"], more: Partial<User> = {}): User => ({ id, name, email, roles, hasPassword: true, instanceAdmin: false, version: 1, ...LONG_AGO, ...more });

export const PEOPLE: User[] = [
  person("u1", "Ada Lindqvist", "ada@example.org", { shop: "admin" }, { instanceAdmin: true }),
  person("u2", "Bo Ek", "bo@example.org", { shop: "operator" }),
  person("u3", "Chidi Okafor", "chidi@example.org", { shop: "viewer" }, { hasPassword: false }),
  person("u4", "Dana Whitfield-Montgomery", "dana.whitfield-montgomery@a-rather-long-domain.example.org", {}, { hasPassword: false }),
];

const token = (id: string, name: string, role: Role, expiresAt: string): Token => ({ id, name, project: "shop", role, instanceAdmin: false, expiresAt, version: 1, createdAt: LONG_AGO.createdAt });

export const TOKENS = [token("t1", "deploy pipeline", "operator", "2027-01-31T00:00:00.000Z"), token("t2", "old importer", "editor", "2026-10-01T00:00:00.000Z")];

const STAMP = { ...LONG_AGO, version: 2 };

export const SOURCES: MetricSource[] = [
  { key: "prometheus", name: "Prometheus", kind: "prometheus", url: "https://metrics.example.org", credential: "prometheus", ...STAMP },
  { key: "stats", name: "Checkout statistics", kind: "http", url: "https://stats.example.org", description: "What the checkout service counts itself.", ...STAMP },
];

export const CHANNELS: NotificationChannel[] = [
  { key: "ops", name: "Ops room", target: { kind: "webhook", url: "https://hooks.example.org/tidegate" }, minSeverity: "warning", environments: ["production"], ...STAMP },
  { key: "team", name: "Checkout team", target: { kind: "email", to: ["checkout@example.org", "support@example.org"] }, minSeverity: "info", environments: [], ...STAMP },
];

/** Of the first channel. */
export function deliveries(now: Date): DeliveryView[] {
  const minutesFrom = (minutes: number) => new Date(now.getTime() + minutes * 60_000).toISOString();
  const advanced = { event: "rollout.advanced", severity: "info", title: "checkout in production: advances to 25 %", attempts: 1, status: 204, durationMs: 38 } as const;
  const delivery = (id: string, state: DeliveryView["state"], ago: number, more: Partial<DeliveryView>): DeliveryView => ({ id, state, ...advanced, sequence: 40 + ago, createdAt: minutesFrom(-ago), ...more });
  return [
    delivery("msg_3", "waiting", 2, { event: "rollout.holds", severity: "warning", title: "search-ranking in production: holds at 10 %, as errors is suspicious", attempts: 3, status: 503, problem: "the receiver answered 503", nextAttemptAt: minutesFrom(1) }),
    delivery("msg_2", "delivered", 30, {}),
    delivery("msg_1", "dead", 300, { event: "rollout.rolledBack", severity: "critical", title: "payments-v2 in production: harm rolled `on` back from 25 %", attempts: 56, status: null, durationMs: null, problem: "no address: the name is not known" }),
  ];
}

export const PRESETS: GatePreset[] = [
  { key: "error-rate", name: "Error rate", description: "More than 10 % of requests fail, for 5 minutes.", parameters: [{ name: "requests", description: "the counter of requests", default: "http_requests_total" }, { name: "job", description: "the job that is rolled out; empty: all", default: "" }] },
  { key: "critical-endpoint", name: "Critical endpoint", description: "More than 1 % of the requests to one endpoint fail, for 5 minutes.", parameters: [{ name: "endpoint", description: "the endpoint" }] },
];

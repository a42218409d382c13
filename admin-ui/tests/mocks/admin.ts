/** Segments, people, keys and tokens from memory: the part of the API that administers. */

import type { Environment, Member, Receipts, Rollout, SdkKey, Segment, Token, User } from "../../src/api/types";

const LONG_AGO = { createdAt: "2026-01-05T09:00:00.000Z", updatedAt: "2026-01-05T09:00:00.000Z" };

export interface AdminState {
  /** By `environment/key`. */
  segments: Map<string, Segment>;
  users: Map<string, User>;
  keys: Map<string, SdkKey>;
  tokens: Map<string, Token>;
  /** What differs from three SDKs that are all up to date, by environment. */
  receipts: Map<string, Partial<Receipts>>;
  /** Where rollouts are whose flag does not say so any more, by their ids. */
  rolloutsAt: Map<string, string>;
  projects: { key: string; name: string; version: number; createdAt: string; updatedAt: string }[];
}

export interface AdminRequest {
  method: string;
  /** The segments of the path, behind `/api/v1`. */
  at: string[];
  url: URL;
  body: Record<string, unknown>;
  ifMatch: string | null;
  rank: number;
  instanceAdmin: boolean;
}

export interface AdminDeps {
  environments: Environment[];
  now(): Date;
  problem(status: number, code: string, detail: string, more?: object): Response;
  json(value: unknown, status?: number, version?: number): Response;
  page<T>(items: T[], url: URL): Response;
  record(at: Date, action: string, resource: string, environment: string | null, before: unknown, after: unknown, reason: string): void;
  /** Flags and segments whose rules use it. */
  flagFile(environment: string): { flags: { key: string; rules?: unknown[] }[] };
  rollouts(environment: string): Rollout[];
}

const segment = (key: string, name: string, description: string, more: Partial<Segment>): Segment => ({ key, name, description, version: 2, ...LONG_AGO, ...more });

const person = (id: string, name: string, email: string, role: User["roles"][string] | null, more: Partial<User> = {}): User => ({
  id,
  name,
  email,
  hasPassword: true,
  instanceAdmin: false,
  roles: role ? { shop: role } : {},
  version: 1,
  ...LONG_AGO,
  ...more,
});

export function adminState(): AdminState {
  const state: AdminState = { segments: new Map(), users: new Map(), keys: new Map(), tokens: new Map(), receipts: new Map(), rolloutsAt: new Map(), projects: [{ key: "shop", name: "Harbor Shop", version: 1, ...LONG_AGO }] };
  for (const environment of ["development", "staging", "production"]) {
    const all = [
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
    for (const each of all) state.segments.set(`${environment}/${each.key}`, each);
    state.keys.set(`k1-${environment}`, {
      id: `k1-${environment}`,
      name: "checkout service",
      kind: "server",
      allowedOrigins: [],
      secureMode: false,
      version: 1,
      project: "shop",
      environment,
      createdAt: LONG_AGO.createdAt,
    });
  }
  state.keys.set("k2-production", {
    id: "k2-production",
    name: "web shop",
    kind: "client",
    allowedOrigins: ["https://shop.example.org", "https://www.shop.example.org"],
    secureMode: true,
    version: 1,
    project: "shop",
    environment: "production",
    createdAt: LONG_AGO.createdAt,
  });
  for (const each of [
    person("u1", "Ada Lindqvist", "ada@example.org", "admin", { instanceAdmin: true }),
    person("u2", "Bo Ek", "bo@example.org", "operator"),
    person("u3", "Chidi Okafor", "chidi@example.org", "viewer", { hasPassword: false }),
    person("u4", "Dana Whitfield-Montgomery", "dana.whitfield-montgomery@a-rather-long-domain.example.org", null, { hasPassword: false }),
  ]) {
    state.users.set(each.id, each);
  }
  state.tokens.set("t1", { id: "t1", name: "deploy pipeline", project: "shop", role: "operator", instanceAdmin: false, expiresAt: "2027-01-31T00:00:00.000Z", version: 1, createdAt: LONG_AGO.createdAt });
  state.tokens.set("t2", { id: "t2", name: "old importer", project: "shop", role: "editor", instanceAdmin: false, expiresAt: "2026-10-01T00:00:00.000Z", version: 1, createdAt: LONG_AGO.createdAt });
  return state;
}

/** Of an instance that nobody has used yet. */
export function emptyState(): AdminState {
  const { users, receipts } = adminState();
  return { segments: new Map(), keys: new Map(), tokens: new Map(), receipts, rolloutsAt: new Map(), projects: [], users: new Map([...users].slice(0, 1)) };
}

const uses = (rules: unknown, key: string) => new RegExp(`"operator":"segment"[^}]*"${key}"|"values":\\["${key}"\\][^}]*"operator":"segment"`).test(JSON.stringify(rules ?? []));

/** The answer, or null where the request is of another part. */
export function handleAdmin(state: AdminState, deps: AdminDeps, request: AdminRequest): Response | null {
  const { json, page, problem, record } = deps;
  const moment = deps.now();
  const { at, body, ifMatch, instanceAdmin, method, rank, url } = request;
  const reason = String(body["reason"] ?? url.searchParams.get("reason") ?? "");
  const checked = (version: number, what: string): Response | null => {
    if (ifMatch === null) return problem(428, "version_required", "say which version you read");
    return ifMatch === `"${version}"` ? null : problem(412, "stale", `${what} is at version ${version}, not ${ifMatch.replaceAll('"', "")}: read it again and repeat the change`);
  };
  const { reason: _, ...given } = body;

  if (at[0] === "users") {
    if (at[1] === undefined && method === "GET") return rank < 4 ? problem(403, "forbidden", "this needs the role admin") : page([...state.users.values()], url);
    if (!instanceAdmin) return problem(403, "forbidden", "this needs an administrator of the instance");
    if (at[1] === undefined) {
      if ([...state.users.values()].some(({ email }) => email === body["email"])) return problem(409, "key_taken", "somebody has this address already", { field: "/email" });
      const user = person(`u${state.users.size + 1}`, String(body["name"]), String(body["email"]), null, { hasPassword: false, ...(given as Partial<User>) });
      state.users.set(user.id, user);
      return json(user, 201);
    }
    const user = state.users.get(at[1]);
    if (!user) return problem(404, "not_found", "there is no such person");
    if (at[2] === "link") return json({ link: `http://localhost:8420/#/link/tgl_${user.id}`, expiresAt: new Date(deps.now().getTime() + 86_400_000).toISOString() }, 201);
    const refused = method === "GET" ? null : checked(user.version, "this person");
    if (refused) return refused;
    if (method === "DELETE") {
      if (user.id === "u1") return problem(409, "in_use", "the last administrator cannot be archived");
      state.users.delete(user.id);
      return json(null, 204);
    }
    const next = { ...user, ...given, version: user.version + 1 } as User;
    state.users.set(user.id, next);
    return json(next, 200, next.version);
  }

  if (at[0] === "tokens") {
    if (rank < 4) return problem(403, "forbidden", "this needs the role admin");
    if (method === "GET") return page([...state.tokens.values()], url);
    if (method === "POST") {
      const token = { id: `t${state.tokens.size + 1}`, instanceAdmin: false, version: 1, createdAt: deps.now().toISOString(), ...given } as Token;
      state.tokens.set(token.id, token);
      return json({ ...token, token: "tgt_abcdefghijklmnop_0123456789abcdef_d4e5f6" }, 201);
    }
    state.tokens.delete(at[1] ?? "");
    return json(null, 204);
  }

  if (at[0] === "projects" && at[1] === undefined && method === "POST") {
    const project = { key: String(body["key"]), name: String(body["name"]), version: 1, ...LONG_AGO };
    if (state.projects.some(({ key }) => key === project.key)) return problem(409, "key_taken", `the key \`${project.key}\` is taken`, { field: "/key" });
    state.projects.push(project);
    return json(project, 201);
  }

  if (at[0] !== "projects") return null;
  const [, project, kind, ...rest] = at;
  if (kind === "members") {
    const member = (user: User): Member => ({ id: user.id, name: user.name, email: user.email, role: user.roles["shop"] ?? "viewer", version: user.version });
    if (method === "GET") return page([...state.users.values()].filter(({ roles }) => roles["shop"]).map(member), url);
    if (rank < 4) return problem(403, "forbidden", "this needs the role admin");
    const user = state.users.get(rest[0] ?? "");
    if (!user) return problem(404, "not_found", "there is no such person");
    const refused = user.roles["shop"] ? checked(user.version, "this membership") : null;
    if (refused) return refused;
    const { shop: had, ...others } = user.roles;
    const next: User = { ...user, version: user.version + 1, roles: method === "DELETE" ? others : { ...others, shop: body["role"] as Member["role"] } };
    state.users.set(user.id, next);
    record(moment, method === "DELETE" ? "member.remove" : "member.set", `member/${user.id}`, null, had ? { role: had } : null, method === "DELETE" ? null : { role: body["role"] }, reason);
    return method === "DELETE" ? json(null, 204) : json(member(next), 200, next.version);
  }
  if (kind !== "environments") return null;

  const [environment, what, id] = rest;
  if (environment === undefined) {
    if (method !== "POST") return null;
    if (rank < 4) return problem(403, "forbidden", "this needs the role admin");
    if (deps.environments.some(({ key }) => key === body["key"])) return problem(409, "key_taken", `the key \`${String(body["key"])}\` is taken`, { field: "/key" });
    const made = { production: false, revision: 0, epoch: "e1", version: 1, createdAt: deps.now().toISOString(), updatedAt: deps.now().toISOString(), ...given } as unknown as Environment;
    deps.environments.push(made);
    return json(made, 201);
  }
  const row = deps.environments.find(({ key }) => key === environment);
  if (what === undefined) {
    if (!row) return problem(404, "not_found", "there is no such environment");
    if (method === "GET") return json(row, 200, row.version);
    const refused = rank < 4 ? problem(403, "forbidden", "this needs the role admin") : checked(row.version, `environment \`${environment}\``);
    if (refused) return refused;
    if (method === "DELETE") {
      const running = deps.rollouts(environment).filter(({ status }) => status.state === "running" || status.state === "paused");
      if (running.length > 0) return problem(409, "in_use", `rollouts go on in the environment, of ${running.map(({ flag }) => `\`${flag}\``).join(", ")}: end them first`);
      deps.environments.splice(deps.environments.indexOf(row), 1);
      return json(null, 204);
    }
    Object.assign(row, given, { version: row.version + 1 });
    return json(row, 200, row.version);
  }
  if (what === "receipts") {
    // An environment that nothing was changed in yet has nobody who asks.
    const connected = row && row.createdAt === LONG_AGO.createdAt ? 3 : 0;
    return json({ epoch: "e1", revision: row?.revision ?? 0, changedAt: deps.now().getTime(), snapshotBytes: 41_300, servers: 1, connected, applied: connected, behind: [], sdks: connected === 0 ? [] : [{ sdk: "tidegate-rust/0.1.0", key: `k1-${environment}`, connected: 2, applied: 2, oldest: row?.revision ?? 0, connectedAt: deps.now().getTime() - 3_600_000 }, { sdk: "tidegate-js/0.1.0", key: "k2-production", connected: 1, applied: 1, oldest: row?.revision ?? 0, connectedAt: deps.now().getTime() - 60_000 }], slowestMs: 38, ...state.receipts.get(environment) });
  }
  if (what === "keys") {
    if (rank < 4) return problem(403, "forbidden", "this needs the role admin");
    if (method === "GET") return page([...state.keys.values()].filter((key) => key.environment === environment), url);
    if (method === "DELETE") {
      state.keys.delete(id ?? "");
      return json(null, 204);
    }
    const client = body["kind"] === "client";
    const key = { id: `k${state.keys.size + 1}`, allowedOrigins: [], secureMode: false, version: 1, project, environment, createdAt: deps.now().toISOString(), ...given } as unknown as SdkKey;
    state.keys.set(key.id, key);
    return json({ ...key, key: `${client ? "tgc" : "tgs"}_abcdefghijklmnop_0123456789abcdef_a1b2c3`, ...(key.secureMode ? { signingSecret: "tgsig_fedcba9876543210" } : {}) }, 201);
  }
  if (what === "rollouts" && id === undefined && method === "GET") {
    const flag = url.searchParams.get("flag");
    return page(deps.rollouts(environment).filter((rollout) => flag === null || rollout.flag === flag), url);
  }
  const ofEnvironment = [...state.segments.entries()].filter(([name]) => name.startsWith(`${environment}/`)).map(([, each]) => each);
  if (what === "flag-file" && method === "GET") {
    const segments = ofEnvironment.map(({ key, included, excluded, rules, version }) => ({ key, included, excluded, rules, version }));
    return json({ ...deps.flagFile(environment), segments, broken: [] });
  }
  if (what === "segments") {
    if (id === undefined && method === "GET") {
      return page(
        ofEnvironment.map(({ key, name, description = "", included = [], excluded = [], rules = [], version }) => ({
          key,
          name,
          description,
          version,
          nIncluded: included.length,
          nExcluded: excluded.length,
          nRules: rules.length,
        })),
        url,
      );
    }
    if (method !== "GET" && rank < 2) return problem(403, "forbidden", "this needs the role editor");
    const compiles = () =>
      JSON.stringify(body["rules"] ?? []).includes('"operator":"nonsense"')
        ? problem(422, "does_not_compile", "the change does not compile", { issues: [{ collection: "segments", key: id ?? String(body["key"]), path: "/rules/0/conditions/0/operator", message: "unknown operator `nonsense`", severity: "error", code: "unknown_operator" }] })
        : null;
    if (id === undefined) {
      const key = String(body["key"]);
      if (state.segments.has(`${environment}/${key}`)) return problem(409, "key_taken", `the key \`${key}\` is taken`, { field: "/key" });
      const refused = compiles();
      if (refused) return refused;
      const made = { ...segment(key, "", "", given as Partial<Segment>), version: 1 };
      state.segments.set(`${environment}/${key}`, made);
      record(moment, "segment.create", `segment/${key}`, environment, null, made, reason);
      return json(made, 201, 1);
    }
    const found = state.segments.get(`${environment}/${id}`);
    if (!found) return problem(404, "not_found", `there is no segment \`${id}\``);
    if (method === "GET") return json(found, 200, found.version);
    const refused = checked(found.version, `segment \`${id}\``) ?? compiles();
    if (refused) return refused;
    if (method === "DELETE") {
      const users = [
        ...deps.flagFile(environment).flags.filter(({ rules }) => uses(rules ?? [], id)).map(({ key }) => `flag \`${key}\``),
        ...ofEnvironment.filter(({ rules }) => uses(rules ?? [], id)).map(({ key }) => `segment \`${key}\``),
      ];
      if (users.length > 0) return problem(409, "in_use", `segment \`${id}\` is used by ${users.join(", ")}: take it out there first`);
      state.segments.delete(`${environment}/${id}`);
      record(moment, "segment.archive", `segment/${id}`, environment, found, null, reason);
      return json(null, 204);
    }
    const next = { ...found, ...given, version: found.version + 1, updatedAt: moment.toISOString() } as Segment;
    state.segments.set(`${environment}/${id}`, next);
    record(moment, "segment.update", `segment/${id}`, environment, found, next, reason);
    return json(next, 200, next.version);
  }
  return null;
}

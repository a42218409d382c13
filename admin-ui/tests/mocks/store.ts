/** What the API from memory remembers, and how changes are written down. */

import type { AuditRow, DeliveryView, Environment, Flag, FlagConfig, Me, MetricSource, NotificationChannel, Project, Receipts, Role, Rollout, RolloutTemplate, SdkKey, Segment, Token, User } from "../../src/api/types";
import type { RolloutLook } from "../../src/features/rollouts/history";
import { Collection } from "./operations";
import { seededRollouts, TEMPLATES } from "./rollout-seeds";
import { CHANNELS, deliveries, ENVIRONMENTS, FLAGS, generatedFlags, KEYS, PEOPLE, PROJECT, segmentsOf, SOURCES, split, TOKENS } from "./seeds";

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

type Change = Pick<AuditRow, "action" | "resource"> & Partial<Pick<AuditRow, "environment" | "before" | "after" | "reason" | "actorName">> & { at?: Date };

const byKey = <T extends { key: string }>(items: T[]): [string, T][] => items.map((item) => [item.key, structuredClone(item)]);
const byId = <T extends { id: string }>(items: T[]): [string, T][] => items.map((item) => [item.id, structuredClone(item)]);

/** A flag where nobody has configured it yet. */
function initial({ key: flag, defaultVariant, offVariant = null }: Flag, environment: string): FlagConfig {
  const nothing = { enabled: false, killed: false, prerequisites: [], targets: [], rules: [], issues: [] };
  return { flag, environment, version: 1, snapshotVersion: 1, ...nothing, default: { variant: defaultVariant }, offVariant, availability: "private", salt: `s-${flag}` };
}

export class Store {
  private readonly clock: () => Date;
  private instant: Date | null = null;
  /** Who signs in. */
  readonly person: Me;
  me: Me | null;
  setupNeeded = false;
  readonly projects = new Collection<Project>("project", byKey([PROJECT]));
  readonly environments = new Collection<Environment>("environment", byKey(ENVIRONMENTS));
  readonly flags = new Collection<Flag>("flag");
  /** By `flag/environment`. */
  readonly configs = new Map<string, FlagConfig>();
  /** By `environment/segment`. */
  readonly segments = new Collection<Segment>("segment", ENVIRONMENTS.flatMap(({ key }) => byKey(segmentsOf(key)).map(([segment, item]): [string, Segment] => [`${key}/${segment}`, item])));
  readonly users = new Collection<User>("person", byId(PEOPLE));
  readonly keys = new Collection<SdkKey>("key", byId(KEYS));
  readonly tokens = new Collection<Token>("token", byId(TOKENS));
  readonly templates = new Collection<RolloutTemplate>("template", byKey(TEMPLATES));
  readonly sources = new Collection<MetricSource>("metric source", byKey(SOURCES));
  readonly channels = new Collection<NotificationChannel>("channel", byKey(CHANNELS));
  readonly deliveries: Map<string, DeliveryView>;
  readonly rollouts = new Map<string, Rollout>();
  /** The environments of rollouts, and their pasts. */
  readonly places = new Map<string, string>();
  readonly histories = new Map<string, RolloutLook[]>();
  /** What differs from three SDKs that are all up to date, by environment. */
  readonly receipts = new Map<string, Partial<Receipts>>();
  readonly audit: AuditRow[] = [];

  constructor({ role = "instanceAdmin", signedIn = true, more = 0, empty = false, now = () => new Date(), withRollouts = false }: BackendOptions) {
    const instanceAdmin = role === "instanceAdmin";
    this.clock = now;
    this.person = { user: { id: "u1", name: "Ada Lindqvist", email: "ada@example.org" }, instanceAdmin, roles: instanceAdmin ? {} : { shop: role } };
    this.me = signedIn ? this.person : null;
    this.deliveries = new Map(byId(deliveries(now())));
    for (const [flag, states] of structuredClone([...FLAGS, ...generatedFlags(more)])) {
      this.flags.set(flag.key, flag);
      for (const [environment, state] of Object.entries(states)) this.configs.set(`${flag.key}/${environment}`, { ...initial(flag, environment), version: 3, ...state });
    }
    seedAudit(this);
    if (withRollouts) seedRollouts(this);
    if (empty) this.clear();
  }

  readonly now = (): Date => this.instant ?? this.clock();

  /** All of a request is at one time: what is stored names its row of the audit log by it. */
  protected atOnce<T>(act: () => T): T {
    this.instant = this.clock();
    try {
      return act();
    } finally {
      this.instant = null;
    }
  }

  /** Leaves only the first administrator. */
  private clear(): void {
    for (const all of [this.projects, this.environments, this.flags, this.configs, this.segments, this.keys, this.tokens, this.rollouts]) all.clear();
    this.audit.length = 0;
    for (const id of this.users.keys()) if (id !== this.person.user.id) this.users.delete(id);
  }

  /** What new things have. */
  stamp(): { version: number; createdAt: string; updatedAt: string } {
    const at = this.now().toISOString();
    return { version: 1, createdAt: at, updatedAt: at };
  }

  config(flag: string, environment: string): FlagConfig {
    const begun = initial(this.flags.read(flag), environment);
    return this.configs.get(`${flag}/${environment}`) ?? begun;
  }

  /** Stores a configuration, and counts the environment's revision. */
  configure(next: FlagConfig, change: Pick<Change, "action" | "reason" | "actorName">): FlagConfig {
    const { flag, environment } = next;
    const before = this.config(flag, environment);
    const at = this.now();
    const after = { ...next, version: before.version + 1, updatedAt: at.toISOString() };
    this.configs.set(`${flag}/${environment}`, after);
    this.record({ ...change, at, resource: `flag/${flag}`, environment, before, after });
    const row = this.environments.get(environment);
    if (row) this.environments.set(environment, { ...row, revision: row.revision + 1 });
    return after;
  }

  /** Changes a configuration behind the UI's back. */
  meddle(flag: string, environment: string, patch: Partial<FlagConfig>): void {
    this.configure({ ...this.config(flag, environment), ...patch }, { action: "flag.configure", actorName: "Bo Ek" });
  }

  revision(environment: string): number {
    return this.environments.get(environment)?.revision ?? 0;
  }

  record({ environment = null, before = null, after = null, reason = "", at = this.now(), actorName = this.me?.user.name ?? "", ...what }: Change): void {
    const sequence = this.audit.length + 1;
    const hash = (n: number) => (n === 0 ? "0" : (n * 2654435761).toString(16)).padEnd(64, "0").slice(0, 64);
    const actor = `user:${actorName.toLowerCase().replace(" ", ".")}`;
    const chain = { hash: hash(sequence), leafVersion: 1, previousHash: hash(sequence - 1) };
    this.audit.push({ ...what, sequence, at: at.toISOString(), actor, actorName, project: "shop", environment, before, after, reason, requestId: `req-${sequence}`, ...chain });
  }
}

function seedAudit(store: Store): void {
  const base = store.now().getTime();
  const record = (hoursAgo: number, action: string, resource: string, environment: string | null, before: unknown, after: unknown, reason: string, actorName: string) =>
    store.record({ at: new Date(base - hoursAgo * 3_600_000), action, resource, environment, before, after, reason, actorName });
  const production = (key: string) => store.config(key, "production");
  const checkout = production("new-checkout");
  record(52, "flag.create", "flag/passkeys", null, null, { key: "passkeys", kind: "boolean" }, "", "Bo Ek");
  record(51, "flag.configure", "flag/dark-mode", "production", { ...production("dark-mode"), default: split(50_000) }, production("dark-mode"), "half has had it for a week", "Ada Lindqvist");
  record(27, "segment.update", "segment/beta-testers", "production", { included: ["a", "b"] }, { included: ["a", "b", "c"] }, "", "Bo Ek");
  record(26, "flag.configure", "flag/new-checkout", "production", { ...checkout, enabled: false }, { ...checkout, enabled: true }, "go-live with the payments team", "Ada Lindqvist");
  record(4, "flag.configure", "flag/new-checkout", "production", { ...checkout, default: split(10_000) }, checkout, "error rate is flat", "Ada Lindqvist");
  record(1.4, "flag.kill", "flag/recommendations", "production", { ...production("recommendations"), killed: false, kill: null }, production("recommendations"), "the model answers in 900 ms, the basket waits", "Ada Lindqvist");
  record(0.2, "flag.configure", "flag/express-shipping", "staging", { ...production("express-shipping"), enabled: true }, { ...production("express-shipping"), enabled: false }, "", "Bo Ek");
}

function seedRollouts(store: Store): void {
  for (const { environment, rollout, history } of seededRollouts(store.now().getTime())) {
    const { flag, id, startedAt, status } = rollout;
    store.places.set(id, environment);
    store.rollouts.set(id, rollout);
    store.histories.set(id, history);
    const moves = status.state === "running" || status.state === "paused";
    const config = store.config(flag, environment);
    if (moves) store.configs.set(`${flag}/${environment}`, { ...config, enabled: true, killed: false, rollout: id });
    if (status.state === "guarding") store.configs.set(`${flag}/${environment}`, { ...config, enabled: true, guard: id });
    const begun = { flag, status: { ...status, state: "running", step: null } };
    const record = (minutes: number, action: string, before: unknown, after: unknown, reason: string, actorName: string) =>
      store.record({ at: new Date(Date.parse(startedAt) + minutes * 60_000), action, resource: `rollout/${id}`, environment, before, after, reason, actorName });
    record(0, "rollout.start", null, begun, "the release of the week", "Bo Ek");
    if (status.step !== undefined) record(15, "rollout.advance", begun, rollout, "the step has baked, and no gate has anything against going on", "Rollout controller");
    if (status.state === "rolledBack") record(20, "rollout.rollBack", begun, rollout, "harm: `render-error` for 27 units in treatment, 9 in control, evidence 131 to 1", "Rollout controller");
  }
}

/** Flags and their configurations. */

import type { Flag, FlagConfig, ListedFlag, Rollout } from "../../src/api/types";
import { summaryOf } from "../../src/lib/words";
import { merged, mustBeCurrent, page, Refusal, type Answer, type Asked, type Handlers } from "./operations";
import { begin } from "./rollouts";
import { BOOLEAN } from "./seeds";
import type { Store } from "./store";

export const flagHandlers = (store: Store): Handlers => ({
  listFlags: ({ query }) => {
    const search = (query.search ?? "").toLowerCase();
    const found = store.flags
      .all()
      .filter(({ key, name, description = "", tags }) => `${key} ${name} ${description}`.toLowerCase().includes(search) && (query.tag === undefined || tags?.includes(query.tag)));
    return page(found.map((flag) => withStates(store, flag)), query);
  },
  getFlag: ({ path }) => store.flags.read(path.flag),
  createFlag: ({ body }) => {
    const { variants = BOOLEAN, defaultVariant, ...fields } = body;
    return store.flags.add(body.key, { ...fields, variants, defaultVariant: defaultVariant ?? variants[0]?.key ?? "", salt: "s", ...store.stamp() });
  },
  updateFlag: ({ path, ifMatch, body }) => store.flags.patch(path.flag, ifMatch, body),
  archiveFlag: ({ path, ifMatch }) => {
    const { key } = store.flags.seen(path.flag, ifMatch);
    const needing = [...store.configs.values()].find(({ prerequisites }) => prerequisites.some(({ flag }) => flag === key));
    if (needing) throw new Refusal(409, "in_use", `flag \`${key}\` is a prerequisite of \`${needing.flag}\` in \`${needing.environment}\`: take it out there first`);
    store.flags.delete(key);
  },

  getConfiguration: ({ path }) => store.config(path.flag, path.environment),
  configureFlag: (asked) => configured(store, asked),
  getFlagInsights: ({ path }) => {
    const now = store.now().getTime();
    const minute = (ago: number) => new Date(Math.floor(now / 60_000 - ago) * 60_000).toISOString();
    const minutes = Array.from({ length: 40 }, (_, n) => ({ at: minute(40 - n), variants: { on: 30 + ((n * 7) % 20), off: 60 + ((n * 11) % 30) } }));
    const rules = store.config(path.flag, path.environment).rules.flatMap(({ id }) => (id === undefined ? [] : [[id, 240] as const]));
    return { lastAt: store.now().toISOString(), minutes, rules: Object.fromEntries(rules) };
  },

  kill: ({ path, body, reason }) => {
    const kill = { reason, actorName: store.me?.user.name ?? "", at: store.now().toISOString() };
    return { killed: [switched(store, path.environment, body.flag ?? "", reason, { killed: true, kill })], revision: store.revision(path.environment) };
  },
  restore: ({ path: { environment }, body, reason }) => ({ restored: [switched(store, environment, body.flag ?? "", reason, { killed: false, kill: null })], revision: store.revision(environment) }),
});

function withStates(store: Store, flag: Flag): ListedFlag {
  const states = [...store.environments.keys()].map((environment) => {
    const config = store.config(flag.key, environment);
    const { enabled, killed, version, rollout } = config;
    return [environment, { enabled, killed, version, summary: summaryOf(config), ...(rollout ? { rollout } : {}) }];
  });
  return { ...flag, environments: Object.fromEntries(states) };
}

function switched(store: Store, environment: string, flag: string, reason: string, change: Pick<FlagConfig, "killed" | "kill">): { flag: string; version: number } {
  if (reason === "") throw new Refusal(422, "invalid", "say why", { field: "/reason" });
  const { version } = store.configure({ ...store.config(flag, environment), ...change }, { action: change.killed ? "flag.kill" : "flag.restore", reason });
  return { flag, version };
}

/** Weights become ranges of buckets, as the server stores them. */
function ranged(serve: FlagConfig["default"]): FlagConfig["default"] {
  if (!("distribution" in serve) || !("weights" in serve.distribution)) return serve;
  const { weights, ...kept } = serve.distribution;
  let start = 0;
  const ranges = weights.map(({ variant, weight }) => ({ start, end: (start += weight), variant }));
  return { distribution: { ...kept, ranges: ranges.filter((range) => range.end > range.start) } };
}

function configured(store: Store, { path, query, body, reason, ifMatch }: Asked<"configureFlag">): Answer<"configureFlag"> {
  const config = store.config(path.flag, path.environment);
  mustBeCurrent(ifMatch, config.version, `flag \`${path.flag}\``);
  const decides = (["offVariant", "prerequisites", "targets", "rules", "default"] as const).some((name) => name in body);
  const running = decides && config.rollout ? store.rollouts.get(config.rollout) : undefined;
  if (running && !query.restartRollout) {
    throw new Refusal(409, "in_use", `the rollout \`${running.id}\` moves this flag: roll it back, let it complete, or say \`restartRollout=true\``);
  }
  const changed = merged(config, running ? { default: { variant: running.baseline }, ...body } : body);
  const next = { ...changed, default: ranged(changed.default) };
  const restarted = running ? restart(store, running, next) : undefined;
  const stored = restarted ? { ...next, rollout: restarted.id, rules: next.rules.filter(({ id }) => id !== `rollout-${running?.id}`) } : next;
  if (query.dryRun) return { ...stored, changes: [] };
  if (running && restarted) {
    store.rollouts.set(running.id, { ...running, status: { ...running.status, state: "rolledBack" } });
    store.rollouts.set(restarted.id, restarted);
    store.places.set(restarted.id, path.environment);
  }
  return store.configure(stored, { action: "flag.configure", reason });
}

/** The rollout that begins anew with the changed flag. */
function restart(store: Store, { id, flag, variant, spec }: Rollout, { default: serve }: FlagConfig): Rollout {
  if (!("variant" in serve)) throw new Refusal(409, "in_use", "the flag's default serves several variants: set it to the one that everybody has now");
  if (serve.variant === variant) throw new Refusal(422, "invalid", "the flag's default serves this variant to everybody already", { field: "/variant" });
  return { ...begin(flag, variant, serve.variant, store.now(), spec), id: `${id}-again` };
}

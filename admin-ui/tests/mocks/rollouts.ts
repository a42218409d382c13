/** Rollouts and their templates. */

import type { Rollout, RolloutPreview, RolloutSpec } from "../../src/api/types";
import { mustBeCurrent, page, Refusal, type Answer, type Asked, type Handlers } from "./operations";
import { historyOf } from "./rollout-seeds";
import type { Store } from "./store";

const MINUTE_MS = 60_000;

export const rolloutHandlers = (store: Store): Handlers => ({
  listRollouts: ({ path, query }) => {
    const found = [...store.rollouts.values()].filter(({ id, flag }) => store.places.get(id) === path.environment && (query.flag === undefined || flag === query.flag));
    return page(found.toSorted((one, other) => one.startedAt.localeCompare(other.startedAt)), query);
  },
  getRollout: ({ path }) => {
    const rollout = rolloutOf(store, path.rollout);
    return rollout.live ? { ...rollout, live: { ...rollout.live, at: store.now().toISOString() } } : rollout;
  },
  getRolloutHistory: ({ path }) => ({ items: store.histories.get(path.rollout) ?? [] }),
  startRollout: (asked) => started(store, asked),
  moveRollout: (asked) => moved(store, asked),
  previewRollout: ({ body }) => previewOf(specOf(store, body), body.unitsPerMinute ?? 600, body.baselines ?? {}),

  listRolloutTemplates: ({ query }) => page(store.templates.all(), query),
  getRolloutTemplate: ({ path }) => store.templates.read(path.template),
  createRolloutTemplate: ({ body }) => {
    mustBeSound(body.spec);
    return store.templates.add(body.key, { description: "", ...body, version: 1 });
  },
  updateRolloutTemplate: ({ path, ifMatch, body }) => {
    if (body.spec) mustBeSound(body.spec);
    return store.templates.patch(path.template, ifMatch, body);
  },
  archiveRolloutTemplate: ({ path, ifMatch }) => store.templates.archive(path.template, ifMatch),
});

function rolloutOf(store: Store, id: string): Rollout {
  const rollout = store.rollouts.get(id);
  if (!rollout) throw new Refusal(404, "not_found", "there is no such rollout");
  return rollout;
}

function specOf(store: Store, { spec, template }: { spec?: RolloutSpec | null; template?: string | null }): RolloutSpec {
  const found = spec ?? store.templates.read(template ?? "default").spec;
  mustBeSound(found);
  return found;
}

function started(store: Store, { path: { environment }, body, reason }: Asked<"startRollout">): Answer<"startRollout"> {
  const spec = specOf(store, body);
  const config = store.config(body.flag, environment);
  const baseline = "variant" in config.default ? config.default.variant : "";
  const rollout = begin(body.flag, body.variant, baseline, store.now(), spec);
  store.rollouts.set(rollout.id, rollout);
  store.places.set(rollout.id, environment);
  store.histories.set(rollout.id, historyOf(rollout, store.now().getTime(), 2));
  store.configure({ ...config, rollout: rollout.id }, { action: "rollout.lock", reason });
  return rollout;
}

/** Moves that raise no share go by no generation. */
const ALWAYS = new Set(["pause", "rollBack", "heed"]);

function moved(store: Store, { path: { environment, rollout: id }, ifMatch, body: { action, gate }, reason }: Asked<"moveRollout">): Answer<"moveRollout"> {
  const rollout = rolloutOf(store, id);
  const { generation, overridden = [], state: before } = rollout.status;
  if (ifMatch !== null || !ALWAYS.has(action)) mustBeCurrent(ifMatch, generation, `rollout \`${id}\``);
  const state = action === "rollBack" ? "rolledBack" : action === "pause" ? "paused" : before;
  const status = { ...rollout.status, state, overridden: action === "override" && gate ? [gate] : overridden, generation: generation + 1 };
  const after: Rollout = { ...rollout, status };
  store.rollouts.set(id, after);
  store.record({ action: `rollout.${action}`, resource: `rollout/${id}`, environment, before: rollout, after, reason });
  if (action === "rollBack") {
    const config = { ...store.config(after.flag, environment), default: { variant: after.baseline }, rollout: null };
    store.configure(config, { action: "rollout.rollBack", reason });
  }
  return after;
}

/** A rollout at its first step, as a server that has looked once tells of it. */
export function begin(flag: string, variant: string, baseline: string, now: Date, spec: RolloutSpec): Rollout {
  const gates = (spec.gates ?? []).map(({ key }) => ({ gate: key, verdict: "pass" as const, evidence: 0.31, met: { treatment: 12, control: 9 }, ratio: 1.33 }));
  const share = spec.steps[0]?.share ?? 0;
  const status = { generation: 2, state: "running", step: 0, since: now.getTime(), bake: { doneMs: 0 }, waiting: "baking" } as const;
  const live = { at: now.toISOString(), share, reason: "baking for another 12 min", units: { treatment: 420, control: 415 }, gates };
  return { id: `r-${flag}`, flag, variant, baseline, salt: "s", spec, status, share, reason: "", startedAt: now.toISOString(), live };
}

/** Like the server's, roughly: more traffic finds less. */
function previewOf(spec: RolloutSpec, unitsPerMinute: number, baselines: Record<string, { rate: number; spread?: number }>): RolloutPreview {
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

/** Refuses the first breach of the rules for specs, as the server does. */
function mustBeSound({ gates = [], steps }: RolloutSpec): void {
  const refuse = (field: string, detail: string): never => {
    throw new Refusal(422, "invalid", detail, { field: `/spec/${field}` });
  };
  for (const [index, { source, metric, query }] of gates.entries()) {
    if (source === undefined && !metric) refuse(`gates/${index}/metric`, "a metric's name has 1 to 128 bytes");
    if (source !== undefined && !query) refuse(`gates/${index}/query`, "a query has 1 to 4096 bytes");
  }
  let before = -1;
  for (const [index, { share, bakeMs }] of steps.entries()) {
    if (share <= before) refuse(`steps/${index}/share`, `each share is above the one before, here above ${Math.max(0, before)}`);
    if (bakeMs < 1_000) refuse(`steps/${index}/bakeMs`, "a bake takes 1000 ms to 30 days");
    before = share;
  }
  if (before !== 100_000) refuse(`steps/${steps.length - 1}/share`, "the last step is for everybody: 100000");
}

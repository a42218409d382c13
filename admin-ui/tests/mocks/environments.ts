/** Projects, environments, their SDK keys, and what SDKs have received. */

import type { Environment, Receipts } from "../../src/api/types";
import { page, Refusal, type Handlers } from "./operations";
import { LONG_AGO } from "./seeds";
import type { Store } from "./store";

export const environmentHandlers = (store: Store): Handlers => ({
  listProjects: ({ query }) => page(store.projects.all(), query),
  getProject: ({ path }) => store.projects.read(path.project),
  createProject: ({ body }) => store.projects.add(body.key, { ...body, ...store.stamp() }),
  updateProject: ({ path, ifMatch, body }) => store.projects.patch(path.project, ifMatch, body),
  archiveProject: ({ path, ifMatch }) => {
    store.projects.seen(path.project, ifMatch);
    if (store.environments.size > 0) throw new Refusal(409, "in_use", "the project has environments: archive them first");
    store.projects.delete(path.project);
  },

  listEnvironments: ({ query }) => page(store.environments.all(), query),
  getEnvironment: ({ path }) => store.environments.read(path.environment),
  createEnvironment: ({ body }) => store.environments.add(body.key, { production: false, ...body, revision: 0, epoch: "e1", ...store.stamp() }),
  updateEnvironment: ({ path, ifMatch, body }) => {
    const bad = (body.freezes ?? []).findIndex(({ rrule }) => rrule && !rrule.startsWith("FREQ="));
    if (bad >= 0) throw new Refusal(422, "invalid", "a rule of RFC 5545, like `FREQ=WEEKLY;BYDAY=MO,TU,WE,TH`", { field: `/freezes/${bad}/rrule` });
    return store.environments.patch(path.environment, ifMatch, body);
  },
  archiveEnvironment: ({ path, ifMatch }) => {
    store.environments.seen(path.environment, ifMatch);
    const running = [...store.rollouts.values()].filter(({ id, status }) => store.places.get(id) === path.environment && ["running", "paused", "guarding"].includes(status.state));
    if (running.length > 0) throw new Refusal(409, "in_use", `rollouts go on in the environment, of ${running.map(({ flag }) => `\`${flag}\``).join(", ")}: end them first`);
    store.environments.delete(path.environment);
  },

  getReceipts: ({ path }) => receiptsOf(store, store.environments.read(path.environment)),
  // Nobody asks for one of the flags any more.
  getEnvironmentInsights: () => ({ lastAt: Object.fromEntries([...store.flags.keys()].filter((key) => key !== "legacy-invoices").map((key) => [key, store.now().toISOString()])) }),

  listKeys: ({ path, query }) => page(store.keys.all().filter(({ environment }) => environment === path.environment), query),
  createKey: ({ path, body }) => {
    const id = `k${store.keys.size + 1}`;
    const { allowedOrigins, ...fields } = body;
    const key = store.keys.add(id, { secureMode: false, ...fields, ...path, id, allowedOrigins: allowedOrigins ?? [], version: 1, createdAt: store.now().toISOString() });
    const secret = `${key.kind === "client" ? "tgc" : "tgs"}_abcdefghijklmnop_0123456789abcdef_a1b2c3`;
    return { ...key, key: secret, ...(key.secureMode ? { signingSecret: "tgsig_fedcba9876543210" } : {}) };
  },
  revokeKey: ({ path }) => void store.keys.delete(path.key),
});

function receiptsOf(store: Store, { key: environment, createdAt, revision }: Environment): Receipts {
  // An environment that nothing was changed in yet has nobody who asks.
  const connected = createdAt === LONG_AGO.createdAt ? 3 : 0;
  const now = store.now().getTime();
  const sdks = [
    { sdk: "tidegate-rust/0.1.0", key: `k1-${environment}`, connected: 2, applied: 2, oldest: revision, connectedAt: now - 3_600_000 },
    { sdk: "tidegate-js/0.1.0", key: "k2-production", connected: 1, applied: 1, oldest: revision, connectedAt: now - 60_000 },
  ];
  return { epoch: "e1", revision, changedAt: now, snapshotBytes: 41_300, servers: 1, connected, applied: connected, behind: [], sdks: connected === 0 ? [] : sdks, slowestMs: 38, ...store.receipts.get(environment) };
}

/** Metric sources, presets of gates, notification channels, and what became of notifications. */

import { page, Refusal, type Handlers } from "./operations";
import { PRESETS } from "./seeds";
import type { Store } from "./store";

export const deliveryHandlers = (store: Store): Handlers => ({
  listGatePresets: () => ({ items: PRESETS }),
  expandGatePreset: ({ path, body: { parameters = {}, source } }) => {
    const query = `sum(rate(${parameters["requests"] ?? "http_requests_total"}[5m]))`;
    return { gates: [{ key: path.preset, source, query, max: 0.1, forMs: 300_000, severity: "harm" }] };
  },

  listMetricSources: ({ query }) => page(store.sources.all(), query),
  getMetricSource: ({ path }) => store.sources.read(path.source),
  createMetricSource: ({ body }) => store.sources.add(body.key, { ...body, ...store.stamp() }),
  updateMetricSource: ({ path, ifMatch, body }) => store.sources.patch(path.source, ifMatch, body),
  archiveMetricSource: ({ path, ifMatch }) => store.sources.archive(path.source, ifMatch),
  testMetricSource: ({ body }) => (body.query.includes("nothing") ? { problem: "answers with an empty result" } : { value: 0.0213, at: store.now().toISOString() }),

  listChannels: ({ query }) => page(store.channels.all(), query),
  getChannel: ({ path }) => store.channels.read(path.channel),
  createChannel: ({ body }) => {
    const channel = store.channels.add(body.key, { environments: [], minSeverity: "info", ...body, ...store.stamp() });
    return body.target.kind === "webhook" ? { ...channel, signingKey: "whsec_Zmlyc3Qga2V5IGZpcnN0IGtleSBmaXJzdCBrZXk" } : channel;
  },
  updateChannel: ({ path, ifMatch, body }) => store.channels.patch(path.channel, ifMatch, body),
  archiveChannel: ({ path, ifMatch }) => store.channels.archive(path.channel, ifMatch),
  changeChannelKey: ({ path, ifMatch }) => {
    const previousKeyUntil = new Date(store.now().getTime() + 86_400_000).toISOString();
    const channel = store.channels.patch(path.channel, ifMatch, { previousKeyUntil });
    return { ...channel, signingKey: "whsec_bmV3IGtleSBuZXcga2V5IG5ldyBrZXkgbmV3IGtleQ" };
  },
  testChannel: ({ path }) =>
    path.channel === "team"
      ? { delivered: false, status: 550, problem: "the mail server answered 550: no such mailbox", durationMs: 210 }
      : { delivered: true, status: 204, durationMs: 41 },

  listDeliveries: ({ path, query }) => page(path.channel === "ops" ? [...store.deliveries.values()] : [], query),
  retryDelivery: ({ path }) => {
    const found = store.deliveries.get(path.delivery);
    if (!found) throw new Refusal(404, "not_found", "there is no such delivery");
    const again = { ...found, state: "waiting", attempts: 0, problem: null, status: null, durationMs: null } as const;
    store.deliveries.set(path.delivery, again);
    return again;
  },
});

// OpenFeature's own SDKs with our providers, against a real server: what they make of our answers and events is what counts.

import assert from "node:assert/strict";
import { test } from "node:test";

import { OpenFeature as Server, ProviderEvents, ProviderStatus } from "@openfeature/server-sdk";
import { OpenFeature as Web, ProviderEvents as WebEvents } from "@openfeature/web-sdk";
import { createClient } from "tidegate";
import { TidegateProvider } from "tidegate/openfeature-server";
import { TidegateWebProvider } from "tidegate/openfeature-web";

import { DemoServer, until } from "./server.mjs";

const server = await DemoServer.start();
const ada = { targetingKey: "ada", country: "DE" };
const quiet = { debug: () => {}, warn: () => {} };
const connect = (options = {}) => createClient({ url: server.url, key: server.key, logger: quiet, graceMs: 300, ...options });
const EVENTS = [ProviderEvents.Ready, ProviderEvents.Stale, ProviderEvents.Error, ProviderEvents.ConfigurationChanged];

/** Every event that a client of an SDK tells, with the flags that it names. */
function heard(client) {
  const events = [];
  for (const event of EVENTS) {
    client.addHandler(event, ({ flagsChanged } = {}) => events.push(flagsChanged ? [event, ...flagsChanged] : event));
  }
  return events;
}

for (const [name, api, Provider, options] of [
  ["server", Server, TidegateProvider, ada],
  ["web", Web, TidegateWebProvider, undefined],
]) {
  test(`${name}: values, details and errors`, async () => {
    if (name === "web") await Web.setContext(ada);
    await api.setProviderAndWait(new Provider(connect()));
    const client = api.getClient();
    // The web SDK answers at once, the server SDK with promises.
    assert.equal(await client.getBooleanValue("new-checkout", false, options), true);
    assert.equal(await client.getStringValue("checkout-button-color", "blue", options), "green");
    assert.equal(await client.getNumberValue("free-shipping-threshold", 49, options), 35);
    const model = await client.getObjectDetails("recommendations", {}, options);
    assert.deepEqual([model.value.model, model.reason], ["embedding-v2", "STATIC"]);
    assert.ok(model.flagMetadata.version > 0);

    const unknown = await client.getBooleanDetails("nothing", true, options);
    assert.deepEqual([unknown.value, unknown.reason, unknown.errorCode], [true, "ERROR", "FLAG_NOT_FOUND"]);
    const mistyped = await client.getStringDetails("new-checkout", "mine", options);
    assert.deepEqual([mistyped.value, mistyped.errorCode], ["mine", "TYPE_MISMATCH"]);
  });

  test(`${name}: a change is told once, with its keys; an outage is stale, an error, then ready`, async () => {
    const client = api.getClient();
    const events = heard(client);
    await server.configure("new-checkout", { enabled: false });
    await until("the change", () => client.getBooleanValue("new-checkout", true, options), (value) => value === false);
    await server.configure("new-checkout", { enabled: true });
    await until("the change", () => client.getBooleanValue("new-checkout", false, options));
    // Which express-delivery needs.
    const changed = ["PROVIDER_CONFIGURATION_CHANGED", "new-checkout", "express-delivery"];
    // A handler that comes late runs at once.
    assert.deepEqual(events, ["PROVIDER_READY", changed, changed]);

    // A segment that nobody uses changes no answer; later, those of the flag that uses it.
    events.length = 0;
    await server.createSegment(`of-${name}`, ["grace"]);
    const conditions = [{ operator: "segment", values: [`of-${name}`] }];
    await server.configure("express-delivery", { rules: [{ id: "of", conditions, serve: { variant: "on" } }] });
    await until("the rule", () => events.length, (length) => length > 0);
    await server.changeSegment(`of-${name}`, ["ada"]);
    await until("the segment", () => events.length, (length) => length > 1);
    const used = ["PROVIDER_CONFIGURATION_CHANGED", "express-delivery"];
    assert.deepEqual(events, [used, used]);

    events.length = 0;
    await server.kill();
    await until("the error", () => client.providerStatus, (status) => status === ProviderStatus.ERROR);
    assert.equal(await client.getBooleanValue("new-checkout", false, options), true);
    await server.restart();
    await until("the recovery", () => client.providerStatus, (status) => status === ProviderStatus.READY);
    assert.deepEqual(events, ["PROVIDER_STALE", "PROVIDER_ERROR", "PROVIDER_READY"]);
  });

  test(`${name}: a key that opens nothing is fatal`, async () => {
    const provider = new Provider(connect({ key: "tgs_wrong" }));
    await assert.rejects(api.setProviderAndWait("stranger", provider));
    assert.equal(api.getClient("stranger").providerStatus, ProviderStatus.FATAL);
  });

  test(`${name}: what is tracked goes to the server, and the client ends with the SDK`, async () => {
    const bodies = [];
    const observed = async (url, init) => {
      if (String(url).endsWith("/events")) bodies.push(init.body);
      return new Response(null, { status: 202 });
    };
    // Without a stream, all goes over HTTP.
    const blocked = () => {
      throw new Error("blocked");
    };
    const client = connect({ fetch: observed, openSocket: blocked, bootstrap: { flags: [] }, polling: false });
    await api.setProviderAndWait("tracked", new Provider(client, { deadlineMs: 1 }));
    if (name === "web") await Web.setContext("tracked", ada);
    api.getClient("tracked").track("paid", ...(name === "web" ? [{ value: 9.5 }] : [ada, { value: 9.5 }]));
    await api.close();
    const [batch] = bodies.map((body) => JSON.parse(body));
    assert.deepEqual([batch.measurements[0].metric, batch.measurements[0].value], ["paid", 9.5]);
    assert.match(batch.measurements[0].unit, /^[0-9a-f]{16}$/);
  });
}

test("web: another context has other answers, at once", async () => {
  await Web.setContext(ada);
  await Web.setProviderAndWait(new TidegateWebProvider(connect()));
  const client = Web.getClient();
  const split = { distribution: { weights: [{ variant: "on", weight: 50_000 }, { variant: "off", weight: 50_000 }] } };
  await server.configure("new-checkout", { enabled: true, default: split });
  await until("the split", () => client.getBooleanDetails("new-checkout", false).reason, (reason) => reason === "SPLIT");
  const buckets = new Set();
  for (const targetingKey of ["ada", "bob", "eve"]) {
    await Web.setContext({ targetingKey });
    buckets.add(client.getBooleanDetails("new-checkout", false).flagMetadata.bucket);
  }
  assert.equal(buckets.size, 3);
  await Web.close();
});

test("web, with a client key: another context is reconciled with the server", async () => {
  const toGermans = { conditions: [{ attribute: "country", operator: "in", values: ["DE"] }], serve: { variant: "on" } };
  const rules = { enabled: true, availability: "values", rules: [toGermans], default: { variant: "off" } };
  await server.configure("new-checkout", rules);
  await Web.setContext(ada);
  await Web.setProviderAndWait(new TidegateWebProvider(connect({ key: server.clientKey() })));
  const client = Web.getClient();
  await until("the answer for the context", () => client.getBooleanValue("new-checkout", false));
  const events = [];
  for (const event of [WebEvents.Reconciling, WebEvents.ContextChanged]) client.addHandler(event, () => events.push(event));
  await Web.setContext({ targetingKey: "bob", country: "FR" });
  assert.equal(client.getBooleanValue("new-checkout", true), false);
  assert.deepEqual(events, [WebEvents.Reconciling, WebEvents.ContextChanged]);
  await Web.close();
});

test.after(() => server.stop());

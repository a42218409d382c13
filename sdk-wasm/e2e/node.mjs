// The package, as an application has it, against a real server: what happens to its flags when things happen to the server.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Context, NotReadyError, createClient, fileCache, standardSocket } from "tidegate";
import { WebSocket } from "ws";

import { counting } from "./counting.mjs";
import { Gateway } from "./gateway.mjs";
import { CROWD, DemoServer, until } from "./server.mjs";

const server = await DemoServer.start();
const ada = { targetingKey: "ada", country: "DE" };
const quiet = { debug: () => {}, warn: () => {} };
const connect = (options = {}) => createClient({ url: server.url, key: server.key, context: ada, logger: quiet, ...options });

/** Everything that a client tells. */
function heard(client) {
  const news = { changes: [], statuses: [] };
  client.onChange((change) => news.changes.push(change));
  client.onStatus((status) => news.statuses.push(status));
  return news;
}

test("flags of every kind are there, with how they came about", async () => {
  const client = connect();
  assert.equal(await client.ready(10_000), "READY");
  assert.equal(client.boolean("new-checkout", false), true);
  assert.equal(client.string("checkout-button-color", "blue"), "green");
  assert.equal(client.number("free-shipping-threshold", 49), 35);
  assert.equal(client.json("recommendations", {}).model, "embedding-v2");
  assert.throws(() => {
    client.json("recommendations", {}).model = "mine";
  }, TypeError);

  const details = client.booleanDetails("new-checkout", false);
  assert.deepEqual([details.variant, details.reason, details.errorCode], ["on", "STATIC", undefined]);
  assert.ok(details.flagVersion > 0);
  assert.equal(client.booleanDetails("nothing", true).errorCode, "FLAG_NOT_FOUND");
  assert.equal(client.stringDetails("new-checkout", "mine").errorCode, "TYPE_MISMATCH");
  assert.equal(client.string("new-checkout", "mine"), "mine");
  assert.ok(client.flagKeys().includes("new-checkout"));
  await client.close();
  // Evaluations go on.
  assert.equal(client.boolean("new-checkout", false), true);
});

test("a change and a kill are heard, with the keys of just what changed", async () => {
  const client = connect();
  await client.ready(10_000);
  const news = heard(client);
  await server.configure("new-checkout", { enabled: false });
  await until("the change", () => client.boolean("new-checkout", true), (value) => value === false);
  assert.deepEqual(news.changes.map(({ flags, killed }) => [flags, killed]), [[["new-checkout"], false]]);
  assert.ok(news.changes[0].changedAt > 0);
  await server.configure("new-checkout", { enabled: true });
  await until("the change", () => client.boolean("new-checkout", false));

  news.changes.length = 0;
  await server.operate("kill", "new-checkout");
  await until("the kill", () => client.boolean("new-checkout", true), (value) => value === false);
  assert.equal(client.booleanDetails("new-checkout", true).reason, "DISABLED");
  assert.deepEqual(news.changes[0], { ...news.changes[0], flags: ["new-checkout"], killed: true });
  await server.operate("restore", "new-checkout");
  await until("the restoration", () => client.boolean("new-checkout", false));
  await client.close();
});

test("a killed server is survived, and its changes are heard after its restart", async () => {
  const client = connect({ graceMs: 300 });
  await client.ready(10_000);
  const news = heard(client);
  await server.kill();
  await until("the outage", () => client.status, (status) => status === "ERROR");
  assert.deepEqual(news.statuses, ["STALE", "ERROR"]);
  assert.deepEqual([client.boolean("new-checkout", false), client.booleanDetails("new-checkout", false).reason], [true, "STALE"]);
  await server.restart();
  await until("the recovery", () => client.status, (status) => status === "READY");
  assert.deepEqual([news.statuses, news.changes], [["STALE", "ERROR", "READY"], []]);
  await server.configure("new-checkout", { enabled: false });
  await until("the change", () => client.boolean("new-checkout", true), (value) => value === false);
  await server.configure("new-checkout", { enabled: true });
  await client.close();
});

test("the cache starts a client without a server, and another key does not get it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-cache-"));
  const cache = fileCache(join(folder, "flags"));
  const first = connect({ cache });
  await first.ready(10_000);
  await first.close();
  assert.ok(!readFileSync(join(folder, "flags"), "utf8").includes(server.key));

  const away = { url: "http://127.0.0.1:9", cache };
  const offline = connect({ cache, offline: true });
  assert.deepEqual([offline.status, offline.boolean("new-checkout", false)], ["READY", true]);
  const stranger = connect({ ...away, offline: true });
  assert.equal(stranger.booleanDetails("new-checkout", false).errorCode, "PROVIDER_NOT_READY");

  await server.kill();
  const stale = connect({ cache });
  assert.deepEqual([await stale.ready(50), stale.boolean("new-checkout", false)], ["STALE", true]);
  const nothing = connect();
  await assert.rejects(nothing.ready(50), NotReadyError);
  assert.equal(nothing.boolean("new-checkout", true), true);
  await server.restart();
  assert.deepEqual(await Promise.all([stale.ready(10_000), nothing.ready(10_000)]), ["READY", "READY"]);
  await Promise.all([stale, nothing, offline, stranger].map((client) => client.close()));
  rmSync(folder, { recursive: true });
});

test("a wrong key is fatal, and said so at once", async () => {
  const client = connect({ key: "tgs_wrong" });
  await assert.rejects(client.ready(10_000), (error) => error instanceof NotReadyError && error.status === "FATAL");
  await client.close();
  assert.throws(() => connect({ key: "two words" }), TypeError);
  assert.throws(() => connect({ url: "localhost" }), TypeError);
});

test("a socket of the standard's kind does, too", async () => {
  const client = connect({ openSocket: standardSocket(WebSocket) });
  assert.equal(await client.ready(10_000), "READY");
  await client.close();
});

test("a large transfer comes compressed, whatever opens the socket", async () => {
  await server.createSegment("crowd", CROWD);
  const frames = { text: 0, binary: 0 };
  for (const options of [{}, { openSocket: counting(standardSocket(WebSocket), frames) }]) {
    const client = connect(options);
    assert.equal(await client.ready(10_000), "READY");
    assert.equal(client.string("checkout-button-color", "blue"), "green");
    await client.close();
  }
  assert.ok(frames.binary > 0, JSON.stringify(frames));
});

test("where no websocket passes, the client polls, until one does", async () => {
  const gateway = await Gateway.start(server);
  const client = connect({ url: gateway.url, polling: { intervalMs: 50, afterAttempts: 1 } });
  assert.equal(await client.ready(10_000), "READY");
  assert.equal(client.boolean("new-checkout", false), true);
  const news = heard(client);
  await server.configure("new-checkout", { enabled: false });
  await until("the change", () => client.boolean("new-checkout", true), (value) => value === false);
  assert.deepEqual(news.changes.map(({ flags }) => flags), [["new-checkout"]]);
  await until("an answer without news", () => gateway.unchanged > 0);

  gateway.passes = true;
  await until("a stream", () => gateway.streams > 0);
  await server.configure("new-checkout", { enabled: true });
  await until("the change", () => client.boolean("new-checkout", false));
  const polls = gateway.polls;
  await server.configure("new-checkout", { enabled: false });
  await until("the change", () => client.boolean("new-checkout", true), (value) => value === false);
  assert.equal(gateway.polls, polls);
  await server.configure("new-checkout", { enabled: true });
  assert.ok(news.statuses.every((status) => status === "READY"), news.statuses.join());
  await client.close();
  await gateway.stop();
});

test("what is evaluated and measured reaches the server, over the stream and over HTTP, once each", async () => {
  const counted = async (name) => {
    const lines = (await (await fetch(`${server.url}/metrics`)).text()).split("\n");
    const matching = lines.filter((line) => line.startsWith(`tidegate_${name}_total`));
    return matching.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  };
  const before = [await counted("exposures"), await counted("measurements")];
  const posts = [];
  const observed = (url, init) => {
    if (String(url).endsWith("/events")) posts.push(url);
    return fetch(url, init);
  };
  const gateway = await Gateway.start(server);
  const streamed = connect({ fetch: observed });
  const posted = connect({ url: gateway.url, fetch: observed, polling: { afterAttempts: 0 } });
  for (const client of [streamed, posted]) {
    await client.ready(10_000);
    client.boolean("new-checkout", false);
    client.track("paid", 9.5);
    await client.flush();
    assert.equal(posts.length, client === streamed ? 0 : 1);
    await client.close();
  }
  const after = [await counted("exposures"), await counted("measurements")];
  assert.deepEqual(after, before.map((count) => count + 2));
  await gateway.stop();
});

test("a client key gets the answers for its context, over a stream and by polling", async () => {
  const key = server.clientKey();
  const gateway = await Gateway.start(server);
  const toGermans = {
    conditions: [{ attribute: "country", operator: "in", values: ["DE"] }],
    serve: { variant: "on" },
  };
  for (const options of [{}, { url: gateway.url, polling: { afterAttempts: 0, intervalMs: 50 } }]) {
    await server.configure("new-checkout", { availability: "values", rules: [toGermans], default: { variant: "off" } });
    const client = connect({ ...options, key });
    await client.ready(10_000);
    // A stream may begin with what was there just before.
    await until("the rule", () => client.boolean("new-checkout", false));
    assert.equal(client.booleanDetails("recommendations", true).errorCode, "FLAG_NOT_FOUND");
    await client.setContext({ targetingKey: "bob", country: "FR" });
    assert.equal(client.boolean("new-checkout", true), false);
    await client.setContext(ada);
    assert.equal(client.boolean("new-checkout", false), true);
    await server.operate("kill", "new-checkout");
    await until("the kill", () => client.boolean("new-checkout", true), (value) => value === false);
    await server.operate("restore", "new-checkout");
    await until("the restoration", () => client.boolean("new-checkout", false));
    await client.close();
  }
  await server.configure("new-checkout", { rules: [], default: { variant: "on" } });
  await gateway.stop();
});

test("contexts of every form, and none, have answers", async () => {
  const client = connect();
  await client.ready(10_000);
  const asked = (context) => client.booleanDetails("new-checkout", false, context).errorCode;
  assert.equal(asked(new Context(ada)), undefined);
  assert.equal(asked({ ...ada, since: new Date(0), nested: { list: [1, null, undefined, "x"] } }), undefined);
  const cycle = {};
  cycle.itself = cycle;
  for (const wrong of [{ targetingKey: 7 }, { large: 1n }, cycle, new Context(cycle), { lone: "\ud800" }]) {
    assert.equal(asked(wrong), "INVALID_CONTEXT");
    assert.equal(client.boolean("new-checkout", false, wrong), false);
  }
  await client.close();
});

test.after(() => server.stop());

// OpenFeature's own clients, against the demo project of a real server: what they make of our answers is what counts.
//
// TIDEGATE_URL and TIDEGATE_SDK_KEY name the server and a server key of the environment `development`; with
// TIDEGATE_TOKEN, an API token, the flag `new-checkout` is turned off on the way.

import assert from "node:assert/strict";

import { OFREPProvider } from "@openfeature/ofrep-provider";
import { OFREPWebProvider } from "@openfeature/ofrep-web-provider";
import { OpenFeature as Server } from "@openfeature/server-sdk";
import { ProviderEvents, OpenFeature as Web } from "@openfeature/web-sdk";
import { EventSource } from "eventsource";

const { TIDEGATE_URL: baseUrl, TIDEGATE_SDK_KEY: key, TIDEGATE_TOKEN: token } = process.env;
const headers = [["Authorization", `Bearer ${key}`]];
const context = { targetingKey: "ada", country: "DE", since: new Date(0), nested: { list: [1, null, "x"] } };

/** The parts of an answer that both kinds of client have. */
const parts = ({ value, variant, reason, errorCode }) => ({ value, variant, reason, errorCode });
const served = (value, variant) => ({ value, variant, reason: "STATIC", errorCode: undefined });

await check("server provider, one flag at a time", async () => {
  await Server.setProviderAndWait(new OFREPProvider({ baseUrl, headers }));
  const client = Server.getClient();
  assert.deepEqual(parts(await client.getBooleanDetails("new-checkout", false, context)), served(true, "on"));
  assert.deepEqual(parts(await client.getStringDetails("checkout-button-color", "blue", context)), served("green", "green"));
  assert.deepEqual(parts(await client.getNumberDetails("free-shipping-threshold", 49, context)), served(35, "reduced"));
  const recommendations = await client.getObjectDetails("recommendations", {}, context);
  assert.equal(recommendations.value.model, "embedding-v2");
  // Without any context, as many applications begin.
  assert.equal(await client.getBooleanValue("new-checkout", false), true);

  const unknown = await client.getBooleanDetails("never made", true, context);
  assert.deepEqual([unknown.value, unknown.errorCode], [true, "FLAG_NOT_FOUND"]);
  const mistyped = await client.getStringDetails("new-checkout", "mine", context);
  assert.deepEqual([mistyped.value, mistyped.errorCode], ["mine", "TYPE_MISMATCH"]);
});

await check("server provider, with a key that opens nothing", async () => {
  const stranger = new OFREPProvider({ baseUrl, headers: [["Authorization", "Bearer tgs_wrong"]] });
  await Server.setProviderAndWait("stranger", stranger);
  const refused = await Server.getClient("stranger").getBooleanDetails("new-checkout", false, context);
  assert.deepEqual([refused.value, refused.errorCode], [false, "GENERAL"]);
});

await check("web provider, all flags, fetched again when the context changes", async () => {
  const statuses = [];
  const observed = async (input, init) => {
    const answer = await fetch(input, init);
    statuses.push(answer.status);
    return answer;
  };
  const provider = new OFREPWebProvider({ baseUrl, headers, fetchImplementation: observed, pollInterval: -1, cacheMode: "disabled" });
  await Web.setContext(context);
  await Web.setProviderAndWait(provider);
  const client = Web.getClient();
  assert.deepEqual(parts(client.getBooleanDetails("new-checkout", false)), served(true, "on"));
  assert.equal(client.getNumberValue("free-shipping-threshold", 49), 35);

  // Another attribute, the same targeting key: the client sends its old tag, which must not fit.
  await Web.setContext({ ...context, country: "FR" });
  await Web.setContext({ ...context, country: "FR" });
  assert.deepEqual(statuses, [200, 200, 304]);
  assert.equal(client.getBooleanValue("new-checkout", false), true);

  await turnOff("new-checkout");
  await Web.setContext({ ...context, country: "FR" });
  assert.deepEqual(parts(client.getBooleanDetails("new-checkout", true)), { ...served(false, "off"), reason: "DISABLED" });
  await Web.close();
});

await check("web provider, told of a change by the event stream", async () => {
  globalThis.EventSource = EventSource;
  const provider = new OFREPWebProvider({ baseUrl, headers, pollInterval: -1, cacheMode: "disabled" });
  await Web.setProviderAndWait("live", provider, context);
  const client = Web.getClient("live");
  assert.equal(client.getBooleanValue("image-compression", true), true);
  const changed = new Promise((resolve) => client.addHandler(ProviderEvents.ConfigurationChanged, resolve));
  await turnOff("image-compression");
  const { flagsChanged } = await changed;
  assert.deepEqual(flagsChanged, ["image-compression"]);
  assert.equal(client.getBooleanValue("image-compression", true), false);
  await Web.clearProviders();
});

async function turnOff(flag) {
  const url = `${baseUrl}/api/v1/projects/shop/flags/${flag}/environments/development`;
  const authorization = `Bearer ${token}`;
  const before = await fetch(url, { headers: { authorization } });
  const answer = await fetch(url, {
    method: "PATCH",
    headers: { authorization, "content-type": "application/json", "if-match": before.headers.get("etag") },
    body: JSON.stringify({ enabled: false, reason: "a client watches" }),
  });
  assert.equal(answer.status, 200, await answer.text());
}

async function check(name, work) {
  await work();
  console.log(`ok: ${name}`);
}

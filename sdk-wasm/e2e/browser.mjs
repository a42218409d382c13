// The package in Chromium: every vector, and the example page against a real server.

import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { createServer } from "node:http";
import { extname } from "node:path";
import { test } from "node:test";
import { deflateRawSync } from "node:zlib";

import { chromium } from "playwright-core";

import { Gateway } from "./gateway.mjs";
import { CROWD, DemoServer, until } from "./server.mjs";

const CANDIDATES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json" };

const executablePath = CANDIDATES.find((path) => path && existsSync(path));
if (!executablePath) throw new Error("no Chromium found: please install it (Debian: apt install chromium), or name it in $CHROMIUM");

// The package and the example, as any web server would give them.
const root = new URL("../", import.meta.url);
const files = createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://localhost");
  const file = new URL(`.${pathname.endsWith("/") ? `${pathname}index.html` : pathname}`, root);
  if (!file.href.startsWith(root.href) || !existsSync(file)) return response.writeHead(404).end();
  response.writeHead(200, { "content-type": TYPES[extname(file.pathname)] ?? "text/plain" }).end(readFileSync(file));
});
await new Promise((resolve) => {
  files.listen(0, "127.0.0.1", resolve);
});
const site = `http://127.0.0.1:${files.address().port}`;

const server = await DemoServer.start();
const browser = await chromium.launch({
  executablePath,
  args: [...(process.getuid?.() === 0 ? ["--no-sandbox"] : []), "--disable-gpu", "--no-first-run", "--disable-background-networking"],
});
const context = await browser.newContext();

/** A page on which nothing may go wrong. */
async function open(path) {
  const page = await context.newPage();
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(String(error)));
  await page.goto(site + path);
  return page;
}

test("every vector has the answer it has everywhere", async () => {
  const page = await open("/tests/blank.html");
  const folder = new URL("../spec/vectors/", root);
  const n = { evaluations: 0, buckets: 0 };
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".json"))) {
    const text = readFileSync(new URL(name, folder), "utf8");
    const { cases, rows } = JSON.parse(text);
    n.evaluations += cases?.length ?? 0;
    n.buckets += rows?.length ?? 0;
    const found = await page.evaluate(async (json) => {
      const tidegate = await import("/dist/browser.js");
      const core = await import("/dist/core.js");
      await core.load();
      const { complaints, ofBucketing } = await import("/tests/vectors.mjs");
      const vectors = JSON.parse(json);
      return complaints(tidegate, vectors.rows ? ofBucketing(vectors) : vectors);
    }, text);
    assert.deepEqual(found, [], name);
  }
  assert.ok(n.evaluations >= 1_261 && n.buckets >= 352, `vectors are append-only: only ${JSON.stringify(n)} are left`);
  assert.deepEqual(page.troubles, []);
  await page.close();
});

for (const inflates of [true, false]) {
  test(`a large transfer comes ${inflates ? "compressed" : "as text where the browser cannot inflate"}`, async () => {
    await server.createSegment(`crowd-${inflates}`, CROWD);
    // Client keys, which are for pages, get text. A server key gets more, but must not come from a page.
    const gateway = await Gateway.start(server);
    gateway.passes = true;
    const page = await open("/tests/blank.html");
    if (!inflates) await page.evaluate(() => delete globalThis.DecompressionStream);
    const found = await page.evaluate(
      async ([url, key]) => {
        const { createClient, standardSocket } = await import("/dist/browser.js");
        const { counting } = await import("/e2e/counting.mjs");
        const frames = { text: 0, binary: 0 };
        const openSocket = counting(standardSocket(WebSocket), frames);
        const client = createClient({ url, key, openSocket, polling: false, events: false });
        const status = await client.ready(10_000);
        const color = client.string("checkout-button-color", "blue");
        await client.close();
        return { status, color, frames };
      },
      [gateway.url, server.key],
    );
    assert.deepEqual([found.status, found.color], ["READY", "green"]);
    assert.equal(found.frames.binary > 0, inflates, JSON.stringify(found.frames));
    assert.deepEqual(page.troubles, []);
    await page.close();
    await gateway.stop();
  });
}

test("a frame that holds more than it declares is not inflated any further", async () => {
  const page = await open("/tests/blank.html");
  const bomb = deflateRawSync(Buffer.alloc(64 * 1024 * 1024));
  const found = await page.evaluate(async (base64) => {
    const { standardInflate } = await import("/dist/inflate.js");
    let fed = 0;
    function Counting(format) {
      const count = new TransformStream({
        transform: (piece, controller) => {
          fed += piece.byteLength;
          controller.enqueue(piece);
        },
      });
      return { writable: count.writable, readable: count.readable.pipeThrough(new DecompressionStream(format)) };
    }
    const compressed = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const outcome = await standardInflate(Counting)(compressed, 1_000).then(() => "inflated", () => "refused");
    return { outcome, fed };
  }, bomb.toString("base64"));
  assert.equal(found.outcome, "refused");
  assert.ok(found.fed < bomb.length / 2, `${found.fed} bytes of ${bomb.length} were inflated`);
  assert.deepEqual(page.troubles, []);
  await page.close();
});

test("the example page follows changes, kills, an outage and a restart", async () => {
  // One flag as rules, which the page evaluates, the others as the server's answers for it.
  await server.configure("new-checkout", { availability: "rules" });
  for (const flag of ["checkout-button-color", "free-shipping-threshold"]) await server.configure(flag, { availability: "values" });
  const example = `/examples/browser/?${new URLSearchParams({ url: server.url, key: server.clientKey() })}`;
  const page = await open(example);
  const text = (id) => page.locator(`#${id}`).textContent();
  const shows = (id, expected) => until(`${expected} in #${id}`, () => text(id), (found) => found === expected);

  await shows("status", "READY");
  await shows("pay", "Pay with one click");
  assert.equal(await text("threshold"), "35");

  await server.configure("new-checkout", { enabled: false });
  await shows("pay", "Go to checkout");
  await server.configure("new-checkout", { enabled: true });
  await shows("pay", "Pay with one click");
  await server.operate("kill", "new-checkout");
  await shows("pay", "Go to checkout");
  await server.operate("restore", "new-checkout");
  await shows("pay", "Pay with one click");

  const receipts = await server.call("GET", "/api/v1/projects/shop/environments/development/receipts");
  const newest = `"revision":${receipts.body.revision},`;
  const stored = () => page.evaluate(() => Object.values(localStorage).join("\n"));
  await until(`${newest} in the cache`, stored, (found) => found.includes(newest));
  await server.kill();
  await shows("status", "STALE");
  // Another visit, while the server is away: the page starts with what it last had.
  const offline = await open(example);
  await until("the cached flags", () => offline.locator("#pay").textContent(), (found) => found === "Pay with one click");
  assert.deepEqual(offline.troubles, []);
  await offline.close();

  await server.restart();
  await shows("status", "READY");
  // What the page tells of its evaluations.
  await page.locator("#pay").click();
  const metrics = async () => (await fetch(`${server.url}/metrics`)).text();
  await until("the page's measurement", metrics, (told) => /tidegate_measurements_total\S* [1-9]/.test(told));
  await server.configure("new-checkout", { enabled: false });
  await shows("pay", "Go to checkout");
  assert.deepEqual(page.troubles, []);
  await page.close();
});

test.after(async () => {
  await browser.close();
  files.close();
  await server.stop();
});

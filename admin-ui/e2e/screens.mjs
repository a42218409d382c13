// Every screen of rollouts and of Delivery against the API from memory, which has rollouts of every kind: no violation that axe knows of in
// either scheme, no error in the console, and nothing that sticks out of a narrow screen. Needs no server.
//
//   npm run e2e:screens
//
// TIDEGATE_PICTURES names a folder for pictures of all of them.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";

import { createServer } from "vite";

import { launch, Watch } from "./browser.mjs";

const SCREENS = {
  rollouts: "rollouts",
  "a rollout that holds": "flags/payments-v2/rollouts/r-payments?environment=staging",
  "an A-A bake": "flags/search-ranking/rollouts/r-aa?environment=development",
  "a rollout that waits for its window": "flags/home-hero/rollouts/r-window?environment=staging",
  "a rollout that waits for its turn": "flags/passkeys/rollouts/r-turn?environment=development",
  "a rollout that waits for approval": "flags/recommendations/rollouts/r-approval?environment=staging",
  "a guard": "flags/express-shipping/rollouts/r-guard?environment=development",
  "a rollout that was rolled back": "flags/dark-mode/rollouts/r-harm?environment=staging",
  "a flag with a rollout": "flags/payments-v2?environment=staging&tab=rollout",
  "a flag with a guard": "flags/express-shipping?environment=development&tab=rollout",
  "a flag with a past rollout": "flags/dark-mode?environment=staging&tab=rollout",
  "the targeting of a flag with a rollout": "flags/payments-v2?environment=staging",
  "a killed flag": "flags/recommendations?environment=production",
  "insights of a flag": "flags/new-checkout?tab=insights",
  "history of a flag": "flags/new-checkout?tab=history",
  "settings of a flag": "flags/search-ranking?tab=settings",
  "the start of a rollout": "flags/dark-mode/rollouts/new?environment=development",
  templates: "delivery/templates",
  "a template": "delivery/templates/payments",
  "metric sources": "delivery/sources",
  channels: "delivery/channels",
  "a channel": "delivery/channels/ops",
  freezes: "delivery/freezes",
};

const MODES = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  narrow: { colorScheme: "light", viewport: { width: 390, height: 800 } },
};

const pictures = process.env.TIDEGATE_PICTURES;
if (pictures) await mkdir(pictures, { recursive: true });

const vite = await createServer({ configFile: "vite.mock.config.ts", configLoader: "runner", server: { port: 0, host: "127.0.0.1" }, logLevel: "error" });
await vite.listen();
const base = `http://127.0.0.1:${vite.httpServer.address().port}/projects/shop`;
const browser = await launch();
let failed = false;

for (const [mode, options] of Object.entries(MODES)) {
  const watch = new Watch();
  const context = await watch.context(browser, options);
  // There is no stream, and the page says so.
  await context.routeWebSocket(/\/stream/, () => {});
  const page = await context.newPage();
  const look = async (what) => {
    await watch.accessible(page, `${what}, ${mode}`);
    const out = await page.evaluate(() => {
      const main = document.querySelector("main");
      return Math.max(document.documentElement.scrollWidth - window.innerWidth, main.scrollWidth - main.clientWidth);
    });
    if (out > 0) watch.troubles.push(`it sticks out by ${out} px`);
    if (pictures) await page.screenshot({ path: `${pictures}/${what.replaceAll(" ", "-")}-${mode}.png` });
    console.log(`${watch.troubles.length === 0 ? "ok " : "NOT"} ${what}, ${mode}${watch.troubles.map((trouble) => `\n    ${trouble}`).join("")}`);
    failed ||= watch.troubles.length > 0;
    watch.troubles.length = 0;
  };
  for (const [what, path] of Object.entries(SCREENS)) {
    await page.goto(`${base}/${path}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.waitForFunction(() => !document.querySelector('main [aria-label^="Loading"]'));
    await look(what);
  }
  await page.goto(`${base}/${SCREENS["a rollout that holds"]}`);
  await page.getByRole("slider", { name: "slow over time" }).focus();
  await page.keyboard.press("Home");
  assert.match(await page.getByRole("slider", { name: "slow over time" }).getAttribute("aria-valuetext"), /at 10.%: too few seen yet/);
  await page.getByRole("region", { name: "slow" }).getByText("Table").click();
  await look("a gate as a table");
  await page.getByRole("button", { name: "Roll back…" }).click();
  await page.getByRole("dialog").waitFor();
  await look("rolling back");
  await page.keyboard.press("Escape");
  await page.goto(`${base}/${SCREENS["the start of a rollout"]}`);
  await page.getByRole("button", { name: "Gate on events" }).click();
  await page.getByRole("button", { name: "Gate on a metric source" }).click();
  await page.getByRole("button", { name: "Weekdays 9–17" }).click();
  // The metric is not named yet: nothing is asked, and nothing is red.
  await page.getByText(/^Say what each gate watches/).waitFor();
  await look("a start with gates and windows");
  await page.getByRole("tab", { name: "JSON" }).click();
  await look("a start as JSON");
  await page.goto(`${base}/delivery/channels`);
  await page.getByRole("button", { name: "New channel" }).click();
  await page.getByRole("dialog").waitFor();
  await look("a new channel");
  await context.close();
}

await browser.close();
await vite.close();
if (failed) process.exit(1);
console.log("all screens held");

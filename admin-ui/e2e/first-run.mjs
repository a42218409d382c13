// From an empty server to an application that follows a flag, with nothing but what the screen says.
//
//   TIDEGATE_LINK=http://127.0.0.1:8580/#/link/… npm run e2e:first-run

import assert from "node:assert/strict";

import { hasJavaScript, runCheckout, runModule } from "./application.mjs";
import { base, browser, call, control, end, fact, flip, link, live, watch } from "./flow.mjs";

const ADMIN = { name: "Robin Marsh", email: "robin@example.org", password: "quiet harbor, early boat" };
/** What the set-up proposes, and the example application asks. */
const FLAG = "new-checkout";

const page = await (await watch.context(browser)).newPage();
const step = () => page.getByRole("list", { name: "Set-up" }).locator('[aria-current="step"]').innerText();
const headed = (name) => page.getByRole("heading", { name, exact: true }).waitFor();

await fact("the printed link makes the first account", async () => {
  await page.goto(link);
  await headed("Set up Tidegate");
  assert.ok(!page.url().includes(link.split("/").at(-1)), page.url());
  await watch.accessibleInBoth(page, "the first account");
  await page.getByLabel("Your name").fill(ADMIN.name);
  await page.getByLabel("Email").fill(ADMIN.email);
  await page.locator('input[type="password"]').fill(ADMIN.password);
  await page.getByRole("button", { name: "Create the account" }).click();
});

await fact("it leads to the first project", async () => {
  await headed("Your first project");
  assert.match(await step(), /Project$/);
  await watch.accessibleInBoth(page, "the first project");
  await page.getByLabel("Name").fill("Corner shop");
  await page.getByRole("button", { name: "Create the project" }).click();
});

await fact("to environments, of which one is not wanted", async () => {
  await headed("Where flags are evaluated");
  await watch.accessibleInBoth(page, "the first environments");
  await page.getByRole("switch", { name: /Staging/ }).locator("xpath=following-sibling::*[1]").click();
  await page.getByRole("button", { name: "Create 2 environments" }).click();
});

await fact("a set-up that was left is taken up where it was", async () => {
  await headed("Your first flag");
  await page.getByRole("button", { name: "Later" }).click();
  await headed("Overview");
  await watch.accessibleInBoth(page, "the overview of an empty project");
  await page.getByRole("link", { name: "Go on" }).click();
});

await fact("to the first flag", async () => {
  await headed("Your first flag");
  await watch.accessibleInBoth(page, "the first flag");
  assert.equal(await page.getByLabel("Key").inputValue(), FLAG);
  await page.getByRole("button", { name: "Create the flag" }).click();
});

let application;
const ON = hasJavaScript ? /^true$/ : /NEW checkout/;
const OFF = hasJavaScript ? /^false$/ : /old checkout/;

await fact("and to code that connects an application as it stands", async () => {
  await headed("Connect an application");
  await watch.accessibleInBoth(page, "the first key");
  await page.getByRole("button", { name: "Make a key for Development" }).click();
  await page.getByText("Waiting for the first SDK to connect to Development…").waitFor();
  const label = hasJavaScript ? "JavaScript" : "Example";
  await page.getByRole("radiogroup", { name: "Language" }).getByText(label).click();
  const code = await page.getByLabel(`Code: ${label}`).innerText();
  await watch.accessibleInBoth(page, "the code");
  application = hasJavaScript ? runModule(code) : runCheckout(base, /tgs_\w+/.exec(code)[0]);
  await application.says(ON);
  await page.getByText("Connected: 1 SDK has the flags of Development.").waitFor();
  await watch.accessibleInBoth(page, "an application that is connected");
  return label;
});

await fact("the application follows the flag", async () => {
  await page.getByRole("button", { name: "To the flags" }).click();
  await live(page);
  await flip(page, FLAG, "Development");
  await application.says(OFF);
  await flip(page, FLAG, "Development");
  await application.says(ON);
  assert.equal(await control(page, FLAG, "Production").isChecked(), false);
  await application.stop();
});

await fact("every screen of a new project is accessible", async () => {
  const project = /\/projects\/([^/]+)/.exec(page.url())[1];
  for (const path of ["", "flags", `flags/${FLAG}`, "rollouts", "segments", "playground", "delivery/templates", "delivery/sources", "delivery/channels", "delivery/freezes", "audit", "environments", "members", "system"]) {
    await page.goto(`${base}/projects/${project}/${path}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.waitForLoadState("networkidle");
    await watch.accessibleInBoth(page, `${path} of a new project`);
  }
});

await fact("the account signs in again by its password", async () => {
  watch.expected.add(401);
  await page.getByRole("button", { name: /appearance and signing out/ }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.getByLabel(/Email/).fill(ADMIN.email);
  await page.locator('input[type="password"]').fill(ADMIN.password);
  await page.getByRole("button", { name: "Sign in" }).click();
  await headed("Overview");
  assert.equal((await call(page, "GET", "/session")).body.user.name, ADMIN.name);
});

await end();

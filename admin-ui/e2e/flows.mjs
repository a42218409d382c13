// The main flows of the admin UI against a running server with the demo project.
//
//   TIDEGATE_LINK=http://127.0.0.1:8580/#/link/… npm run e2e
//
// Prints a line per fact that held; ends with 1 and pictures where one did not.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";

import { runCheckout } from "./application.mjs";
import { base, browser, call, control, dialog, end, fact, flip, link, live, makeKey, toast, watch } from "./flow.mjs";

/** Whether the UI was built with its evaluator: without Rust's wasm32 target, `cargo xtask` leaves it out, and says so. */
const hasEvaluator = existsSync(new URL("../src/wasm/evaluator_bg.wasm", import.meta.url));
const FLAG = "new-checkout";
const OTHER = "express-delivery";
const FAILING = "payment-fallback";

const context = await watch.context(browser, { colorScheme: "light" });

/** Another page of the same session, in a window of its own: Chromium draws a tab behind another twice a second. */
const another = async () => (await watch.context(browser, { storageState: await context.storageState() })).newPage();

const rowMenu = async (page, flag, item) => {
  await page.getByRole("button", { name: `Actions for ${flag}`, exact: true }).click();
  await page.getByRole("menuitem", { name: item }).click();
};

/** How long after the next click on `from` the element is on `to`, in milliseconds, by the pages' own clocks. */
async function latency(from, to, selector, doing) {
  const clicked = from.evaluate(
    () => new Promise((done) => window.addEventListener("click", () => done(Date.now()), { capture: true, once: true })),
  );
  const seen = to.evaluate(
    (wanted) =>
      new Promise((done) => {
        const look = () => document.querySelector(wanted) && (observer.disconnect(), done(Date.now()));
        const observer = new MutationObserver(look);
        observer.observe(document, { subtree: true, childList: true, attributes: true });
      }),
    selector,
  );
  await doing();
  return `seen ${(await seen) - (await clicked)} ms after the click`;
}

const page = await context.newPage();
let project = "";

await fact("a one-time link signs in and is gone from the address", async () => {
  await page.goto(link);
  await page.waitForURL(/\/projects\/[^/]+$/);
  assert.ok(!page.url().includes("link"), page.url());
  project = /\/projects\/([^/]+)/.exec(page.url())[1];
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.getByRole("link", { name: /^All \d+ flags$/ }).click();
  await control(page, FLAG, "Development").waitFor();
});

await fact("the stream is live", () => live(page));

const second = await another();
await second.goto(`${base}/projects/${project}/flags`);
await live(second);

await fact("a toggle outside of production takes one click, and a second page sees it live", async () => {
  const before = await control(page, FLAG, "Development").isChecked();
  const now = `[role="switch"][aria-label^="${FLAG} in Development: ${before ? "Off" : "On"}"]`;
  const seen = await latency(page, second, now, () => flip(page, FLAG, "Development"));
  await toast(page, `${FLAG} is ${before ? "off" : "on"} in Development`).getByRole("button", { name: "Undo" }).click();
  await toast(page, "Undone").waitFor();
  await page.waitForFunction(
    ([flag, was]) => document.querySelector(`[role="switch"][aria-label^="${flag} in Development:"]`)?.checked === was,
    [FLAG, before],
  );
  return seen;
});

await fact("a toggle in production shows what would change, and Escape leaves all as it was", async () => {
  await control(page, FLAG, "Production").focus();
  await page.keyboard.press("Space");
  await dialog(page).getByRole("region", { name: "Difference of the configuration" }).waitFor();
  assert.match(await dialog(page).innerText(), /"enabled": false/);
  await watch.accessible(page, "the confirmation, light");
  await page.keyboard.press("Escape");
  await dialog(page).waitFor({ state: "detached" });
  assert.ok(await control(page, FLAG, "Production").isChecked());
  // The focus came back.
  await page.waitForFunction((flag) => document.activeElement?.getAttribute("aria-label")?.startsWith(`${flag} in Production:`), FLAG);
});

await fact("a change that comes while the dialog is open is told, and the difference is made anew", async () => {
  await flip(page, FLAG, "Production");
  const difference = dialog(page).getByRole("region", { name: "Difference of the configuration" });
  await difference.waitFor();
  const path = `/projects/${project}/flags/${FLAG}/environments/production`;
  const { body } = await call(second, "GET", path);
  const changed = await call(second, "PATCH", path, { availability: "values", reason: "meanwhile" }, { "if-match": `"${body.version}"` });
  assert.equal(changed.status, 200);
  await dialog(page).getByText("Somebody else changed this flag meanwhile").waitFor();
  await dialog(page).getByLabel(/Reason/).fill("freeze for the release");
  await dialog(page).getByRole("button", { name: "Turn off in Production" }).click();
  await toast(page, `${FLAG} is off in Production`).waitFor();
  const after = await call(second, "GET", path);
  assert.deepEqual([after.body.enabled, after.body.availability], [false, "values"]);
});

await fact("a change that overtakes is refused and shown, never overwritten", async () => {
  watch.expected.add(412);
  const path = `/projects/${project}/flags/${FLAG}/environments/production`;
  // The stream is held back, so that the page knows of nothing.
  const blind = await another();
  await blind.routeWebSocket(/\/stream/, () => {});
  await blind.goto(`${base}/projects/${project}/flags`);
  await flip(blind, FLAG, "Production");
  await dialog(blind).getByRole("region", { name: "Difference of the configuration" }).waitFor();
  const { body } = await call(second, "GET", path);
  assert.equal((await call(second, "PATCH", path, { availability: "private" }, { "if-match": `"${body.version}"` })).status, 200);
  await dialog(blind).getByRole("button", { name: "Turn on in Production" }).click();
  await dialog(blind).getByText("Somebody else changed this flag meanwhile").waitFor();
  assert.equal((await call(second, "GET", path)).body.enabled, false);
  await dialog(blind).getByRole("button", { name: "Turn on in Production" }).click();
  await toast(blind, `${FLAG} is on in Production`).waitFor();
  const after = await call(second, "GET", path);
  assert.deepEqual([after.body.enabled, after.body.availability], [true, "private"]);
  await blind.context().close();
  watch.expected.delete(412);
});

await fact("a kill needs a reason and in production the key, is everywhere at once, and a restore takes it back", async () => {
  await rowMenu(page, OTHER, "Kill in Production…");
  const kill = dialog(page).getByRole("button", { name: "Kill in Production" });
  assert.ok(await kill.isDisabled());
  await dialog(page).getByLabel(/Reason/).fill("couriers are on strike");
  assert.ok(await kill.isDisabled());
  await dialog(page).getByLabel(`Type ${OTHER} to confirm`).fill(OTHER);
  await watch.accessible(page, "the kill, light");
  const killed = (of) =>
    of.waitForFunction((flag) => {
      const row = [...document.querySelectorAll('[role="row"]')].find((each) => each.textContent.includes(flag));
      return row?.querySelector('[data-tone="killed"]');
    }, OTHER, { polling: 10 });
  // Waited for from before the click, as it goes away by itself.
  const told = toast(page, `${OTHER} is killed in Production`).waitFor();
  const seen = await latency(page, second, `[role="row"]:has([aria-label="Actions for ${OTHER}"]) [data-tone="killed"]`, () => kill.click());
  await told;
  await killed(page);
  await page.goto(`${base}/projects/${project}/flags/${OTHER}?environment=production`);
  await page.getByText("“couriers are on strike”").first().waitFor();
  await watch.accessible(page, "a killed flag, light");
  await page.getByRole("button", { name: "Restore…" }).click();
  await dialog(page).getByLabel(/Reason/).fill("they are back");
  await dialog(page).getByRole("button", { name: "Restore in Production" }).click();
  await page.getByRole("button", { name: "Kill…" }).waitFor();
  return seen;
});

await fact("the share of a flag is changed through the same confirmation, and the change undone by a revert", async () => {
  await page.goto(`${base}/projects/${project}/flags/${FLAG}?environment=production`);
  const field = page.getByRole("textbox", { name: "Percentage that gets on" });
  await field.fill("40");
  await page.getByRole("button", { name: "Review…" }).click();
  await dialog(page).getByRole("region", { name: "Difference of the configuration" }).waitFor();
  await dialog(page).getByLabel(/Reason/).fill("no complaints");
  await dialog(page).getByRole("button", { name: /in Production$/ }).click();
  // The dialog says so, too, before it is saved.
  await dialog(page).waitFor({ state: "detached" });
  await toast(page, `${FLAG} serves on to 40`).getByRole("button", { name: "Undo…" }).click();
  await dialog(page).getByRole("region", { name: "What reverting changes" }).waitFor();
  assert.match(await dialog(page).getByLabel(/Reason/).inputValue(), /^Undoes change \d+$/);
  await watch.accessible(page, "the way back, light");
  await dialog(page).getByRole("button", { name: "Revert in Production" }).click();
  await dialog(page).waitFor({ state: "detached" });
  await page.getByText(/on 25.%, off 75.%/).first().waitFor();
});

await fact("the audit log tells all of it, and what differed", async () => {
  await page.goto(`${base}/projects/${project}/audit`);
  await page.getByRole("button", { name: /changed new-checkout in Production.*no complaints/s }).waitFor();
  await page.getByLabel("Flag").fill(OTHER);
  await page.waitForURL(/resource=/);
  await page.getByRole("button", { name: new RegExp(`restored ${OTHER} in Production`) }).first().waitFor();
  const row = page.getByRole("button", { name: new RegExp(`killed ${OTHER} in Production.*couriers are on strike`, "s") });
  await row.click();
  const difference = page.getByRole("region", { name: /What change \d+ changed/ });
  assert.match(await difference.innerText(), /couriers are on strike/);
  await watch.accessible(page, "the audit log, light");
});

await fact("search and tag are in the address and survive a reload", async () => {
  await page.goto(`${base}/projects/${project}/flags`);
  await page.getByRole("textbox", { name: /Search/ }).fill("delivery");
  await page.waitForURL(/search=delivery/);
  await control(page, FLAG, "Production").waitFor({ state: "detached" });
  await page.reload();
  await control(page, OTHER, "Production").waitFor();
  assert.equal(await control(page, FLAG, "Production").count(), 0);
  await page.getByRole("button", { name: "Clear the search" }).click();
  await control(page, FLAG, "Production").waitFor();
});

await fact("flags are tagged together, found by that tag, and untagged", async () => {
  const tag = `flow-${Date.now().toString(36)}`;
  await page.goto(`${base}/projects/${project}/flags`);
  for (const flag of [FLAG, OTHER]) await page.getByRole("checkbox", { name: `Select ${flag}`, exact: true }).check();
  const bar = page.getByRole("region", { name: "Selected flags" });
  await bar.getByRole("button", { name: "Tag…", exact: true }).click();
  await dialog(page).getByRole("combobox", { name: "Tag" }).fill(tag);
  await dialog(page).getByLabel(/^Reason/).fill("of one flow");
  await watch.accessible(page, "the tagging, light");
  await dialog(page).getByRole("button", { name: "Tag 2 flags" }).click();
  await toast(page, `2 flags tagged “${tag}”`).waitFor();
  await bar.waitFor({ state: "detached" });

  await page.getByRole("button", { name: `Only flags tagged ${tag}` }).first().click();
  await page.getByText(/^2 of \d+ flags$/).waitFor();
  await page.waitForURL(new RegExp(`tag=${tag}`));
  await page.getByRole("checkbox", { name: "Select all 2 that match" }).check();
  await bar.getByRole("button", { name: "Untag…" }).click();
  await dialog(page).getByRole("combobox", { name: "Tag" }).selectOption(tag);
  await dialog(page).getByLabel(/^Reason/).fill("the flow is over");
  // The list shows it before the server has answered.
  const untagged = toast(page, `2 flags without “${tag}”`).waitFor();
  await dialog(page).getByRole("button", { name: "Untag 2 flags" }).click();
  await page.getByText("No flag matches").waitFor();
  await untagged;
  for (const flag of [FLAG, OTHER]) {
    const { body } = await call(page, "GET", `/projects/${project}/flags/${flag}`);
    assert.ok(!body.tags.includes(tag), `${flag}: ${body.tags}`);
  }
});

await fact("a key is changed for another under a running application", async () => {
  await page.goto(`${base}/projects/${project}/environments`);
  const before = runCheckout(base, await makeKey(page, "Development", "the old key"));
  await before.says(/connected/);
  const after = runCheckout(base, await makeKey(page, "Development", "the new key"));
  await after.says(/connected/);
  await page.getByRole("button", { name: "Revoke the old key" }).click();
  await dialog(page).getByText("1 SDK is connected with this key now").waitFor();
  await dialog(page).getByLabel("Reason").fill("a key a year");
  await watch.accessible(page, "the revocation");
  await dialog(page).getByRole("button", { name: "Revoke", exact: true }).click();
  await before.says(/the server refuses the key/);
  await page.getByRole("cell", { name: "the old key", exact: true }).waitFor({ state: "detached" });
  await call(page, "POST", `/projects/${project}/environments/development/kill`, { flag: FLAG, reason: "does the new key hear of it?" });
  await after.says(/KILLED.*new-checkout/);
  await call(page, "POST", `/projects/${project}/environments/development/restore`, { flag: FLAG, reason: "it does" });
  await Promise.all([before.stop(), after.stop()]);
  await page.goto(`${base}/projects/${project}/audit`);
  await page.getByRole("button", { name: /created.*the old key/s }).waitFor();
  await page.getByRole("button", { name: /revoked.*the old key.*a key a year/s }).waitFor();
});

await fact("a flag is made, and a taken key is named at its field", async () => {
  watch.expected.add(409);
  await page.goto(`${base}/projects/${project}/flags`);
  await page.getByRole("button", { name: "New flag" }).click();
  await dialog(page).getByLabel(/^Name/).fill(FLAG.replace("-", " "));
  await dialog(page).getByRole("button", { name: "Create flag" }).click();
  await dialog(page).getByRole("alert").waitFor();
  await dialog(page).getByLabel(/^Name/).fill("Gift wrapping");
  await dialog(page).getByRole("button", { name: "Create flag" }).click();
  await page.waitForURL(/\/flags\/gift-wrapping/);
  await page.getByRole("heading", { name: "Gift wrapping" }).waitFor();
  watch.expected.delete(409);
});

await fact("the playground says who gets what and why, with the server's evaluator in the browser", async () => {
  const asked = { targetingKey: "ada", email: "ada@harbor-goods.example" };
  await page.goto(`${base}/projects/${project}/playground?flag=${FLAG}&context=${encodeURIComponent(JSON.stringify(asked))}`);
  if (!hasEvaluator) {
    await page.getByText("This build has no evaluator for the browser").waitFor();
    return "it was built without";
  }
  const trace = page.getByRole("region", { name: `${FLAG} in Production` });
  await trace.getByText(/^Gets /).waitFor();
  const said = await page.evaluate(
    ([at, key, who]) =>
      fetch(`/api/v1/projects/${at}/environments/production/explain`, {
        method: "POST",
        headers: { "x-tidegate-csrf": "1", "content-type": "application/json" },
        body: JSON.stringify({ flag: key, context: who }),
      }).then((answer) => answer.json()),
    [project, FLAG, asked],
  );
  const why = await trace.getByText(/^Gets /).innerText();
  assert.ok(why.startsWith(`Gets ${said.variant} (`), `${why}, but the server: ${JSON.stringify(said)}`);
  // What is loaded is enough: no answer needs the server.
  await page.context().setOffline(true);
  await page.getByLabel("Targeting key").fill("");
  await page.getByRole("row", { name: new RegExp(`^${FLAG}`) }).getByText(/TARGETING_KEY_MISSING|TARGETING_MATCH|DISABLED|STATIC|DEFAULT/).first().waitFor();
  await page.context().setOffline(false);
  await live(page);
  return why;
});

await fact("a rule is written, refused while it does not compile, and saved; a change that came first is merged", async () => {
  watch.expected.add(412);
  const other = `/projects/${project}/flags/gift-wrapping/environments/development`;
  await page.goto(`${base}/projects/${project}/flags/gift-wrapping?environment=development`);
  await page.getByRole("button", { name: /^Edit the targeting/ }).click();
  await page.getByRole("button", { name: "Rule", exact: true }).click();
  const values = page.getByRole("combobox", { name: "Values of condition 1 of rule 1", exact: true });
  await page.getByRole("combobox", { name: "Attribute of condition 1 of rule 1" }).fill("email");
  await page.getByRole("combobox", { name: "Operator of condition 1 of rule 1" }).selectOption("matches");
  await values.fill("(");
  await values.press("Enter");
  if (hasEvaluator) {
    await page.getByText("This does not compile").waitFor();
    assert.ok(await page.getByRole("button", { name: "Save", exact: true }).isDisabled());
  }
  await values.press("Backspace");
  await values.fill("^ada@");
  await values.press("Enter");
  // Somebody else is faster; the stream tells of it, or the answer to the save does.
  const { body: config } = await call(page, "GET", other);
  const theirs = await call(page, "PATCH", other, { targets: [{ variant: "on", values: ["grace"] }] }, { "if-match": `"${config.version}"` });
  assert.equal(theirs.status, 200, JSON.stringify(theirs.body));
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await dialog(page).getByText("only they changed it").waitFor();
  await watch.accessible(page, "the merge");
  await dialog(page).getByRole("button", { name: "Go on with this" }).click();
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("region", { name: "How it is evaluated" }).waitFor();
  const { body: merged } = await call(page, "GET", other);
  assert.deepEqual([merged.targets, merged.rules.length, merged.rules[0].conditions], [[{ variant: "on", values: ["grace"] }], 1, [{ attribute: "email", operator: "matches", values: ["^ada@"] }]]);
  watch.expected.delete(412);
});

await fact("the targeting of one environment is copied to another, as a draft", async () => {
  const path = (environment) => `/projects/${project}/flags/gift-wrapping/environments/${environment}`;
  await page.goto(`${base}/projects/${project}/flags/gift-wrapping?environment=staging`);
  await page.getByRole("button", { name: "Copy from…" }).click();
  await page.getByRole("menuitem", { name: "Development" }).click();
  await page.getByText("Changed: units by name, rules").waitFor();
  assert.deepEqual((await call(page, "GET", path("staging"))).body.rules, []);
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("region", { name: "How it is evaluated" }).waitFor();
  const [from, to] = await Promise.all(["development", "staging"].map((environment) => call(page, "GET", path(environment))));
  assert.deepEqual([to.body.targets, to.body.rules], [from.body.targets, from.body.rules]);
});

await fact("an environment is made, and archived once its key is typed; every page has it no more", async () => {
  await page.goto(`${base}/projects/${project}/environments`);
  await page.getByRole("button", { name: "New environment" }).click();
  await dialog(page).getByLabel(/^Name/).fill("Sandbox");
  await dialog(page).getByRole("button", { name: "Create environment" }).click();
  await dialog(page).waitFor({ state: "detached" });
  await second.reload();
  await second.getByRole("columnheader", { name: "Sandbox" }).waitFor();
  await page.getByRole("button", { name: "Archive Sandbox" }).click();
  await dialog(page).getByRole("textbox", { name: "Reason" }).fill("a try");
  assert.ok(await dialog(page).getByRole("button", { name: "Archive" }).isDisabled());
  await dialog(page).getByLabel("Type sandbox to confirm").fill("sandbox");
  await watch.accessible(page, "archiving an environment");
  await dialog(page).getByRole("button", { name: "Archive" }).click();
  await page.getByRole("button", { name: "Archive Sandbox" }).waitFor({ state: "detached" });
  await second.getByRole("columnheader", { name: "Sandbox" }).waitFor({ state: "detached" });
  await Promise.all([live(page), live(second)]);
});

await fact("a viewer sees everything, is told why nothing can be changed, and the API refuses too", async () => {
  watch.expected.add(403);
  const email = "vera@example.org";
  const made = await call(page, "POST", "/users", { name: "Vera Viewer", email, instanceAdmin: false, roles: { [project]: "viewer" } });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const invited = await call(page, "POST", `/users/${made.body.id}/link`, {});
  assert.ok(invited.body?.link, JSON.stringify(invited));
  const theirs = await watch.context(browser);
  const viewer = await theirs.newPage();
  await viewer.goto(invited.body.link.replace(/^https?:\/\/[^/]+/, base));
  await viewer.getByRole("link", { name: /^All \d+ flags$/ }).click();
  const disabled = viewer.getByRole("switch", { name: /needs the role editor; you are a viewer here/ }).first();
  await disabled.waitFor();
  assert.equal(await disabled.getAttribute("aria-disabled"), "true");
  await watch.accessible(viewer, "the list of a viewer");
  const path = `/projects/${project}/flags/${FLAG}/environments/development`;
  const { body } = await call(viewer, "GET", path);
  const refused = await call(viewer, "PATCH", path, { enabled: !body.enabled }, { "if-match": `"${body.version}"` });
  assert.deepEqual([refused.status, refused.body.code], [403, "forbidden"]);
  await theirs.close();
  watch.expected.delete(403);
});

await fact("the palette kills for a reason, says on how many SDKs it is applied, and gives the focus back", async () => {
  await page.goto(`${base}/projects/${project}/flags`);
  await live(page);
  const opener = page.getByRole("button", { name: "New flag" });
  await opener.focus();
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox", { name: /^Find a flag/ }).fill(`kill ${OTHER}`);
  await page.getByRole("option", { name: `Kill ${OTHER} in Staging…` }).waitFor();
  await watch.accessible(page, "the palette");
  await page.getByRole("option", { name: `Kill ${OTHER} in Staging…` }).click();
  await dialog(page).getByLabel("Reason").fill("from the palette");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await toast(page, `${OTHER} is killed in Staging`).getByText(/Applied on \d+ of \d+ SDK|No SDK is connected/).waitFor();
  await page.waitForFunction(() => document.activeElement?.textContent?.includes("New flag"));
  await call(page, "POST", `/projects/${project}/environments/staging/restore`, { flag: OTHER, reason: "the flow is over" });
});

await fact("keys jump and search, and a viewer of the keyboard's help switches them off", async () => {
  await page.keyboard.press("g");
  await page.keyboard.press("s");
  await page.waitForURL(/\/segments/);
  await page.getByLabel("Search segments by name, key or description").waitFor();
  await page.keyboard.press("/");
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label")?.startsWith("Search segments"));
  await page.keyboard.press("Escape");
  await page.getByRole("main").focus();
  await page.keyboard.press("?");
  await dialog(page).getByText("Search in the list").waitFor();
  await watch.accessible(page, "the shortcuts");
  await page.keyboard.press("Escape");
  await dialog(page).waitFor({ state: "detached" });
});

await fact("a segment takes thousands of members, and its change is reverted from the audit log", async () => {
  const key = `flow-${Date.now().toString(36)}`;
  const path = `/projects/${project}/environments/development/segments`;
  assert.equal((await call(page, "POST", path, { key, name: "Of the flow" })).status, 201);
  const members = Array.from({ length: 2_500 }, (_, at) => `unit-${at}`);
  assert.equal((await call(page, "PATCH", `${path}/${key}`, { included: members }, { "if-match": '"1"' })).status, 200);
  await page.goto(`${base}/projects/${project}/segments/${key}?environment=development`);
  await page.getByRole("region", { name: "Included: 2500 targeting keys" }).waitFor();
  await page.getByRole("textbox", { name: "Add to included" }).fill("one-more");
  await page.getByRole("button", { name: "Add 1" }).click();
  await page.getByRole("button", { name: "Save in Development…" }).click();
  await dialog(page).getByRole("button", { name: "Save in Development" }).click();
  await page.getByRole("region", { name: "Included: 2501 targeting keys" }).waitFor();
  await dialog(page).waitFor({ state: "detached" });
  await page.goto(`${base}/projects/${project}/audit?resource=segment%2F${key}`);
  await page.getByRole("button", { name: new RegExp(`changed segment ${key}`) }).first().click();
  await page.getByRole("button", { name: "Revert…" }).click();
  await dialog(page).getByRole("region", { name: "What reverting changes" }).waitFor();
  await watch.accessible(page, "the revert");
  await dialog(page).getByLabel("Reason").fill("one too many");
  await dialog(page).getByRole("button", { name: "Revert in Development" }).click();
  await dialog(page).waitFor({ state: "detached" });
  const { body } = await call(page, "GET", `${path}/${key}`);
  assert.deepEqual(body.included, members.toSorted());
  assert.equal((await call(page, "DELETE", `${path}/${key}?reason=flow`, undefined, { "if-match": `"${body.version}"` })).status, 204);
});

await fact("the audit log is verified, and exported whole", async () => {
  await page.goto(`${base}/projects/${project}/audit`);
  await page.getByRole("button", { name: "Verify" }).click();
  await page.getByText(/^[\d,]+ rows, whole/).waitFor();
  await watch.accessible(page, "a verified log");
  await page.getByRole("button", { name: "Export" }).click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("menuitem", { name: /CSV/ }).click()]);
  const lines = readFileSync(await download.path(), "utf8").split("\r\n");
  assert.ok(lines[0].startsWith("sequence,at,actor"), lines[0]);
  await page.getByText(/changes exported/).waitFor();
  return `${lines.length} lines`;
});

/** The rollout's page tells that the step of that share goes on. */
const atShare = (share) =>
  page.getByRole("list", { name: "Steps" }).locator('[aria-current="step"]').filter({ hasText: new RegExp(`${share}\\s%`) }).waitFor();

/** From its flag's page to the rollout's own, started with what `fill` does to the form. */
async function startRollout(flag, fill) {
  await page.goto(`${base}/projects/${project}/flags/${flag}?environment=development&tab=rollout`);
  await page.getByRole("button", { name: "Roll out another variant…" }).click();
  await page.getByRole("button", { name: "Start in Development" }).waitFor();
  await fill();
  await page.getByRole("textbox", { name: "Reason" }).fill("a flow of the browser");
  await page.getByRole("button", { name: "Start in Development" }).click();
  await page.waitForURL(/\/rollouts\/[0-9A-Z]+/);
}

await fact("a rollout’s spec becomes a template, and a taken key is named at its field", async () => {
  watch.expected.add(422);
  await startRollout(FLAG, async () => {
    await page.getByRole("button", { name: "Save as template…" }).click();
    await dialog(page).getByRole("textbox", { name: "Name" }).fill("Default");
    await dialog(page).getByRole("button", { name: "Save template" }).click();
    await dialog(page).getByRole("alert").waitFor();
    assert.equal(await dialog(page).getByRole("textbox", { name: "Key" }).getAttribute("aria-invalid"), "true");
    await watch.accessible(page, "a template with a taken key");
    await dialog(page).getByRole("textbox", { name: "Key" }).fill("of-the-flow");
    await dialog(page).getByRole("textbox", { name: "Name" }).fill("Of the flow");
    await dialog(page).getByRole("button", { name: "Save template" }).click();
    await dialog(page).waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Of the flow", pressed: true }).waitFor();
  });
  watch.expected.delete(422);
});

await fact("a change of a flag under rollout begins the rollout anew, and says so before", async () => {
  const path = `/projects/${project}/flags/${FLAG}/environments/development`;
  await atShare("10");
  const { body: before } = await call(page, "GET", path);
  const rule = `rule ${before.rules.length + 1}`;
  await page.goto(`${base}/projects/${project}/flags/${FLAG}?environment=development`);
  await page.getByRole("button", { name: /^Edit the targeting/ }).click();
  await page.getByRole("button", { name: "Rule", exact: true }).click();
  await page.getByRole("combobox", { name: `Attribute of condition 1 of ${rule}` }).fill("email");
  const values = page.getByRole("combobox", { name: `Values of condition 1 of ${rule}`, exact: true });
  await values.fill("ada@example.org");
  await values.press("Enter");
  await page.getByRole("button", { name: "Save and restart the rollout…" }).click();
  await dialog(page).getByRole("region", { name: "What changes for whom" }).waitFor();
  await dialog(page).getByText(/The 10.% of units that have “off” by it get “on” again/).waitFor();
  await watch.accessible(page, "the restart of a rollout");
  await dialog(page).getByRole("textbox", { name: "Reason" }).fill("Ada first");
  await dialog(page).getByRole("button", { name: "Save and restart" }).click();
  await dialog(page).waitFor({ state: "detached" });
  const { body: after } = await call(page, "GET", path);
  assert.ok(after.rollout && after.rollout !== before.rollout, JSON.stringify(after));
  assert.equal(after.rules.length, before.rules.length + 1);
  await page.getByRole("navigation", { name: "Parts of the flag" }).getByRole("link", { name: /^Rollout/ }).click();
  await page.getByRole("list", { name: "Past rollouts" }).getByText("Rolled back").first().waitFor();
  await page.getByRole("button", { name: "Roll back…" }).click();
  await dialog(page).getByRole("textbox", { name: "Reason" }).fill("the flow is over");
  await dialog(page).getByRole("button", { name: "Roll back" }).click();
  await page.getByRole("button", { name: "Roll out another variant…" }).waitFor();
});

await fact("a rollout goes to 100 % by a person's hand, with a reason for each step", async () => {
  await startRollout(FLAG, async () => {});
  for (const share of ["10", "25", "50", "100"]) {
    await atShare(share);
    await page.getByRole("button", { name: "Next step now…" }).click();
    await dialog(page).getByRole("textbox", { name: "Reason" }).fill(`enough of ${share} %`);
    await dialog(page).getByRole("button", { name: "Go to the next step" }).click();
    await dialog(page).waitFor({ state: "detached" });
  }
  await page.getByText("Completed").first().waitFor();
  const { body } = await call(page, "GET", `/projects/${project}/flags/${FLAG}/environments/development`);
  assert.deepEqual(body.default, { variant: "off" });
});

await fact("a release that fails is rolled back by itself, and its page says why", async () => {
  await startRollout(FAILING, async () => {
    await page.getByRole("tab", { name: "JSON" }).click();
    const spec = { steps: [{ share: 50_000, bakeMs: 600_000 }, { share: 100_000, bakeMs: 600_000 }], gates: [{ key: "errors", metric: "errors", limit: { share: 0.2 } }] };
    await page.getByRole("textbox", { name: "The spec" }).fill(JSON.stringify(spec));
  });
  await atShare("50");
  const key = (await call(page, "POST", `/projects/${project}/environments/development/keys`, { name: "the failing release", kind: "server", reason: "a flow" })).body.key;
  const units = Array.from({ length: 200 }, (_, n) => `unit-${n}`);
  const taken = await fetch(`${base}/api/v1/events`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({
      id: "fails",
      exposures: await Promise.all(
        units.map(async (targetingKey) => {
          const { variant, metadata } = await evaluated(key, targetingKey);
          return { flag: FAILING, targetingKey, variant, bucket: metadata.bucket };
        }),
      ),
      measurements: units.map((targetingKey) => ({ metric: "errors", targetingKey })),
    }),
  });
  assert.equal(taken.status, 202, await taken.text());
  await page.getByText("Rolled back").first().waitFor();
  await page.getByText(/errors.*is beyond its limit/).first().waitFor();
});

/** What a server's client gets over OFREP. */
async function evaluated(key, targetingKey) {
  const answer = await fetch(`${base}/ofrep/v1/evaluate/flags/${FAILING}`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
    body: JSON.stringify({ context: { targetingKey } }),
  });
  return answer.json();
}

const SCREENS = [
  "",
  "flags",
  `flags/${FLAG}`,
  `flags/${FLAG}?environment=development&tab=rollout`,
  `flags/${FLAG}?tab=insights`,
  `flags/${FLAG}?tab=history`,
  `flags/${FLAG}?tab=settings`,
  "flags/checkout-button-color",
  "flags/image-compression",
  `flags/${FLAG}/rollouts/new`,
  "rollouts",
  "segments",
  "segments/beta-testers",
  `playground?compare=development&flag=${FLAG}`,
  "delivery/templates",
  "delivery/templates/new",
  "delivery/sources",
  "delivery/channels",
  "delivery/freezes",
  "audit",
  "audit?row=1",
  "environments",
  "members",
  "members?tab=users",
  "members?tab=tokens",
  "system",
];

for (const scheme of ["light", "dark"]) {
  await fact(`every screen is accessible, ${scheme}`, async () => {
    await page.emulateMedia({ colorScheme: scheme });
    for (const path of SCREENS) {
      await page.goto(`${base}/projects/${project}/${path}`);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.waitForLoadState("networkidle");
      await watch.accessible(page, `${path}, ${scheme}`);
    }
    await page.goto(`${base}/projects/${project}/flags/gift-wrapping?environment=development`);
    await page.getByRole("button", { name: /^Edit the targeting/ }).click();
    await page.getByRole("button", { name: /^Rule 1/ }).click();
    await page.getByRole("button", { name: "Group", exact: true }).click();
    if (hasEvaluator) await page.getByText("This does not compile").waitFor();
    await watch.accessible(page, `the rule editor, ${scheme}`);
    await page.getByRole("button", { name: "Discard" }).click();
    await page.goto(`${base}/projects/${project}/flags`);
    await flip(page, FLAG, "Production");
    await dialog(page).getByRole("region").waitFor();
    await watch.accessible(page, `the confirmation, ${scheme}`);
    await page.keyboard.press("Escape");
    await rowMenu(page, FLAG, "Kill in Production…");
    await watch.accessible(page, `the kill, ${scheme}`);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "New flag" }).click();
    await dialog(page).waitFor();
    await watch.accessible(page, `the new flag, ${scheme}`);
    await page.keyboard.press("Escape");
    await dialog(page).waitFor({ state: "detached" });
    await page.getByRole("checkbox", { name: /^Select all \d+ that match$/ }).check();
    await watch.accessible(page, `the selected flags, ${scheme}`);
    await page.getByRole("button", { name: "Archive…" }).click();
    await dialog(page).waitFor();
    await watch.accessible(page, `archiving them, ${scheme}`);
    await page.keyboard.press("Escape");
  });
}

await fact("every screen is accessible on a narrow screen, and nothing sticks out of it", async () => {
  await page.setViewportSize({ width: 360, height: 740 });
  for (const path of SCREENS) {
    await page.goto(`${base}/projects/${project}/${path}`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.waitForLoadState("networkidle");
    const out = await page.evaluate(() => {
      const main = document.querySelector("main");
      return Math.max(document.documentElement.scrollWidth - window.innerWidth, main.scrollWidth - main.clientWidth);
    });
    assert.ok(out <= 0, `${path} sticks out by ${out} px`);
    await watch.accessible(page, `${path}, narrow`);
  }
  await page.getByRole("button", { name: "Open the menu" }).click();
  await page.getByRole("dialog").getByRole("link", { name: "Audit log" }).click();
  await page.waitForURL(/\/audit/);
  await page.setViewportSize({ width: 1280, height: 860 });
});

await fact("a lost stream is told, and found again", async () => {
  await page.goto(`${base}/projects/${project}/flags`);
  await live(page);
  await context.setOffline(true);
  const cut = await another();
  await cut.routeWebSocket(/\/stream/, (socket) => socket.close());
  await context.setOffline(false);
  await cut.goto(`${base}/projects/${project}/flags`);
  await cut.locator('[data-phase="connecting"]:visible').waitFor();
  await cut.context().close();
  await live(page);
});

await fact("signing out ends the session, and the sign-in is accessible in both schemes", async () => {
  watch.expected.add(401);
  await page.getByRole("button", { name: /appearance and signing out/ }).click();
  await page.getByRole("menuitem", { name: "Sign out" }).click();
  await page.waitForURL(/\/sign-in/);
  // The other page is of the same session.
  await second.waitForURL(/\/sign-in/);
  await watch.accessibleInBoth(page, "the sign-in");
  assert.equal((await call(page, "GET", "/session")).status, 401);
  await page.getByLabel(/Email/).fill("robin@harbor-goods.example");
  await page.locator('input[type="password"]').fill("not the password");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").waitFor();
});

await end();

// A flow: facts about a running server's pages, one after the other.
//
// TIDEGATE_LINK names the one-time link that the server printed, TIDEGATE_FAILURES a folder for pictures of what went wrong.

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";

import { launch, Watch } from "./browser.mjs";

export const link = process.env.TIDEGATE_LINK;
if (!link) throw new Error("TIDEGATE_LINK: the one-time link that the server printed");
export const base = new URL(link).origin;
const failures = process.env.TIDEGATE_FAILURES ?? "e2e/failures";

export const browser = await launch();
export const watch = new Watch();

/** A fact; what goes wrong in it names it, and leaves a picture of each open page. */
export async function fact(what, check) {
  const began = performance.now();
  try {
    const said = await check();
    assert.deepEqual(watch.troubles, []);
    console.log(`ok  ${what}${said ? ` (${said})` : ""}, ${Math.round(performance.now() - began)} ms`);
  } catch (error) {
    console.error(`NOT ${what}\n${error.stack}\n${watch.troubles.join("\n")}`);
    await picture();
    await browser.close();
    process.exit(1);
  }
}

async function picture() {
  await mkdir(failures, { recursive: true });
  const pages = browser.contexts().flatMap((context) => context.pages());
  for (const [at, page] of pages.entries()) {
    const path = `${failures}/failure-${at}.png`;
    await page.screenshot({ path });
    console.error(`at ${page.url()}; picture: ${path}`);
  }
}

export async function end() {
  await browser.close();
  console.log("all held: no console error, no broken policy, no answer of 500, no violation that axe knows");
}

export const dialog = (page) => page.getByRole("dialog");
export const toast = (page, text) => page.getByRole("alert").filter({ hasText: text });
export const live = (page) => page.locator('[data-phase="live"]:visible').waitFor();

/** The switch of a flag in an environment. */
export const control = (page, flag, environment) => page.getByRole("switch", { name: new RegExp(`^${flag} in ${environment}:`) });
/** Clicks where a person does: on the track, which lies over the input that is named. */
export const flip = async (page, flag, environment) => {
  // While a change is on its way, the switch does nothing.
  await page.locator(`[role="switch"][aria-label^="${flag} in ${environment}:"]:not([data-busy])`).waitFor();
  await control(page, flag, environment).locator("xpath=following-sibling::*[1]").click();
};

/** Calls the API as the page's person does. */
export const call = (page, method, path, body, headers = {}) =>
  page.evaluate(
    async ([verb, url, text, more]) => {
      const response = await fetch(`/api/v1${url}`, {
        method: verb,
        headers: { "x-tidegate-csrf": "1", ...(text ? { "content-type": "application/json" } : {}), ...more },
        ...(text ? { body: text } : {}),
      });
      const answer = await response.text();
      return { status: response.status, body: answer === "" ? null : JSON.parse(answer) };
    },
    [method, path, body === undefined ? "" : JSON.stringify(body), headers],
  );

/** Makes an SDK key where the environments are, and gives what is shown once. */
export async function makeKey(page, environment, name) {
  await page.getByRole("button", { name: `New SDK key for ${environment}` }).click();
  await dialog(page).getByLabel(/Name/).fill(name);
  await dialog(page).getByRole("button", { name: "Create key" }).click();
  const key = await dialog(page).getByText(/^tgs_/).innerText();
  await dialog(page).getByRole("button", { name: "Done" }).click();
  await page.getByRole("cell", { name, exact: true }).waitFor();
  return key;
}

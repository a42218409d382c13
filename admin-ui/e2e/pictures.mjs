// The README's pictures, of the running demo: what `cargo xtask screenshots` runs.
//
//   TIDEGATE_LINK=http://127.0.0.1:8580/#/link/… TIDEGATE_PICTURES=docs/images node e2e/pictures.mjs

import { mkdir } from "node:fs/promises";

import { launch, Watch } from "./browser.mjs";

const { TIDEGATE_LINK: link, TIDEGATE_PICTURES: folder } = process.env;
if (!link || !folder) throw new Error("TIDEGATE_LINK: the one-time link that the server printed; TIDEGATE_PICTURES: where the pictures go");
const base = new URL(link).origin;
const FLAG = "review-summaries";

const browser = await launch();
const watch = new Watch();
const context = await watch.context(browser, { viewport: { width: 1360, height: 1000 } });
const page = await context.newPage();
await mkdir(folder, { recursive: true });
await page.goto(link);
await page.waitForURL(/\/projects\/[^/]+/);
const project = /\/projects\/([^/]+)/.exec(page.url())[1];
const at = (path) => page.goto(`${base}/projects/${project}/${path}`);

/** In both themes; `ready` waits for what the picture is of. */
async function picture(name, ready) {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    await ready();
    await page.locator('[data-phase="live"]:visible').waitFor();
    await page.screenshot({ path: `${folder}/${name}-${scheme}.png` });
  }
}

await picture("flags", () => at("flags"));
await picture("playground", async () => {
  await at(`playground?compare=development&flag=new-checkout`);
  await page.getByRole("region", { name: "new-checkout in Production" }).waitFor();
});

// The healthy release of the demo climbs through 25 % about half a minute after it began.
const rollout = await page.evaluate(async (path) => {
  const { items } = await (await fetch(path)).json();
  return items.find(({ flag }) => flag === "review-summaries").id;
}, `/api/v1/projects/${project}/environments/development/rollouts`);
await at(`flags/${FLAG}/rollouts/${rollout}?environment=development`);
await page.getByText("25 % of units").first().waitFor({ timeout: 120_000 });
await picture("rollout", async () => {
  await at(`flags/${FLAG}/rollouts/${rollout}?environment=development`);
  const gate = page.getByRole("heading", { name: "Gates" });
  await gate.waitFor();
  await page.locator("canvas").first().waitFor();
  // The share and the countdown above, the first gate's chart below.
  await page.setViewportSize({ width: 1360, height: 1500 });
});

await browser.close();
if (watch.troubles.length > 0) throw new Error(watch.troubles.join("\n"));

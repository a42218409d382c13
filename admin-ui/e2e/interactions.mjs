// How fast the flag list of a project with 1,000 flags answers to a person, by the browser's own clock, beside the floor of the same run.
//
//   TIDEGATE_LINK=http://127.0.0.1:8580/#/link/… npm run e2e:interactions
//
// Ends with 1 where a bar is missed. A bench: no test runs it.

import { loadavg } from "node:os";

import { launch, Watch } from "./browser.mjs";

const link = process.env.TIDEGATE_LINK;
if (!link) throw new Error("TIDEGATE_LINK: the one-time link that the server printed");
const base = new URL(link).origin;
const PROJECT = "thousand-flags";
const FLAGS = 1_000;
const TIMES = 20;
/** From the input to the frame that shows what it did, 19 times of 20: others may have the machine in between. */
const BAR_MS = 100;

const keyOf = (n) => `flag-${String(n).padStart(4, "0")}`;
/** The one flag whose name has it: no other flag is found. */
const wordOf = (n) => `word${String(n).padStart(4, "0")}`;

const browser = await launch();
const context = await new Watch().context(browser);
const page = await context.newPage();

/** Calls the API as the page's person does; a second run finds made what the first has made. */
async function make(path, body) {
  const response = await context.request.post(`${base}/api/v1${path}`, { headers: { "x-tidegate-csrf": "1" }, data: body });
  if (!response.ok() && response.status() !== 409) throw new Error(`${response.status()} for ${path}: ${await response.text()}`);
}

async function makeProject() {
  await make("/projects", { key: PROJECT, name: "A thousand flags" });
  await make(`/projects/${PROJECT}/environments`, { key: "development", name: "Development" });
  await make(`/projects/${PROJECT}/environments`, { key: "staging", name: "Staging" });
  await make(`/projects/${PROJECT}/environments`, { key: "production", name: "Production", production: true });
  for (let n = 0; n < FLAGS; n++) {
    const description = n % 3 === 0 ? "What it is for, in about as many words as people write." : "";
    await make(`/projects/${PROJECT}/flags`, { key: keyOf(n), name: `Flag ${wordOf(n)}`, description, kind: "boolean", tags: [`team-${n % 7}`] });
  }
}

/** The milliseconds from the next event of `type` to the end of the frame that first shows `shows`, by the page's clock. */
async function untilPainted(type, shows, act) {
  const measured = page.evaluate(
    ([name, selector]) =>
      new Promise((done) => {
        let began = 0;
        // The time at which the browser took the input, before any handler ran.
        window.addEventListener(name, ({ timeStamp }) => (began = timeStamp), { capture: true, once: true });
        const look = () => {
          if (began === 0 || !document.querySelector(selector)) return;
          observer.disconnect();
          // A task that is posted from within a frame runs once that is painted.
          requestAnimationFrame(() => {
            const { port1, port2 } = new MessageChannel();
            port1.addEventListener("message", () => done(performance.now() - began));
            port1.start();
            port2.postMessage(null);
          });
        };
        const observer = new MutationObserver(look);
        observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
      }),
    [type, shows],
  );
  // The listener is there before the input comes.
  await page.evaluate(() => 0);
  await act();
  return measured;
}

/** An input that changes one attribute: what no page can be faster than here. */
async function floor() {
  await page.evaluate(() => window.addEventListener("keydown", () => document.body.setAttribute("data-floor", ""), { once: true }));
  const took = await untilPainted("keydown", "body[data-floor]", () => page.keyboard.press("Shift"));
  await page.evaluate(() => document.body.removeAttribute("data-floor"));
  return took;
}

/** Types a word whose last letter leaves one flag of those that the letters before it found. */
async function filter(n) {
  const field = page.getByRole("textbox", { name: /^Search flags/ });
  const word = wordOf(n * 37);
  await field.fill(word.slice(0, -1));
  await page.locator(`[role="row"]:has-text("${word}")`).waitFor();
  await field.press("End");
  return untilPainted("keydown", `[role="table"][aria-rowcount="2"] [aria-label="Actions for ${keyOf(n * 37)}"]`, () => page.keyboard.press(word.at(-1)));
}

async function toggle(n) {
  const key = keyOf(n % 8);
  const control = page.getByRole("switch", { name: new RegExp(`^${key} in Development:`) });
  const track = control.locator("xpath=following-sibling::*[1]");
  // Where the one before is still on its way, it is not toggled again.
  await page.locator(`[role="switch"][aria-label^="${key} in Development:"]:not([data-busy])`).waitFor();
  const shows = (await control.isChecked()) ? ":not(:checked)" : ":checked";
  return untilPainted("pointerdown", `[role="switch"][aria-label^="${key} in Development:"]${shows}`, () => track.click());
}

async function repeated(measure) {
  const times = [];
  for (let n = 0; n < TIMES; n++) times.push(await measure(n));
  times.sort((a, b) => a - b);
  return { median: times[Math.floor(TIMES / 2)], p95: times[Math.ceil(TIMES * 0.95) - 1], worst: times.at(-1) };
}

await page.goto(link);
await page.waitForURL(/\/projects\//);
await makeProject();

await page.addInitScript(() => {
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const { value, sources } of list.getEntries()) window.shifts.push({ value, what: sources.map(({ node }) => node?.textContent?.slice(0, 60)) });
  }).observe({ type: "layout-shift", buffered: true });
});
await page.goto(`${base}/projects/${PROJECT}/flags`);
// Its last page has come.
const counted = page.getByRole("status").filter({ hasText: /^[\d,]+ flags$/ });
await counted.waitFor();
const said = await counted.innerText();
await page.waitForLoadState("networkidle");
const shifts = await page.evaluate(() => window.shifts);

const rows = { floor: await repeated(floor), filter: await repeated(filter) };
await page.getByRole("button", { name: "Clear the search" }).click();
rows.toggle = await repeated(toggle);
await browser.close();

const ms = (value) => value.toFixed(1).padStart(8);
console.log(`${said}, ${TIMES} times each, load average ${loadavg()[0].toFixed(2)}; milliseconds from the input to its frame, bar ${BAR_MS} at p95`);
console.log(`${"".padEnd(8)}${["median", "p95", "worst", "× floor"].map((word) => word.padStart(8)).join("")}`);
for (const [name, { median, p95, worst }] of Object.entries(rows)) {
  console.log(`${name.padEnd(8)}${ms(median)}${ms(p95)}${ms(worst)}${ms(median / rows.floor.median)}`);
}
const shift = shifts.reduce((sum, { value }) => sum + value, 0);
console.log(`layout shift on load: ${shift}, bar 0`);
for (const { value, what } of shifts) console.log(`  ${value}: ${what.join("; ")}`);

if (shift > 0 || [rows.filter, rows.toggle].some(({ p95 }) => p95 > BAR_MS)) {
  console.error("a bar is missed");
  process.exit(1);
}

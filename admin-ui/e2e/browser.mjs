// Chromium, and what every page of it is watched for.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { chromium } from "playwright-core";

const require = createRequire(import.meta.url);
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const CANDIDATES = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export async function launch() {
  const executablePath = CANDIDATES.find((path) => path && existsSync(path));
  if (!executablePath) throw new Error("no Chromium found: please install it (Debian: apt install chromium), or name it in $CHROMIUM");
  const root = process.getuid?.() === 0;
  return chromium.launch({
    executablePath,
    args: [
      ...(root ? ["--no-sandbox"] : []),
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}

/** Everything that must not happen on any page: errors in the console, broken policies, answers of 500 and above. */
export class Watch {
  troubles = [];
  /** Statuses of answers that a step provokes, like 412; the browser reports them in the console. */
  expected = new Set();

  async context(browser, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: "reduce", ...options });
    // A wait ends with what it waits for; this only ends a test that hangs, on a machine that is busy with others.
    context.setDefaultTimeout(60_000);
    await context.addInitScript(() => {
      document.addEventListener("securitypolicyviolation", (event) => {
        // oxlint-disable-next-line no-console -- the console is how it gets out of the page
        console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
      });
    });
    context.on("page", (page) => this.#follow(page));
    return context;
  }

  #follow(page) {
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      const status = /status of (\d+)/.exec(message.text())?.[1];
      if (status && this.expected.has(Number(status))) return;
      this.troubles.push(`console: ${message.text()} (${page.url()})`);
    });
    page.on("pageerror", (error) => this.troubles.push(`page: ${error}`));
    page.on("response", (response) => {
      if (response.status() >= 500) this.troubles.push(`${response.status()} from ${response.url()}`);
    });
  }

  /** No violation of WCAG 2.2 AA that axe knows of. */
  async accessible(page, what) {
    await page.waitForFunction(() => document.getAnimations().every((animation) => animation.playState !== "running"));
    // Evaluated, not added as a script: the page's policy would refuse that, as it should.
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() =>
      // oxlint-disable-next-line no-undef -- it was put there by the line above
      axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
    );
    for (const { id, help, nodes } of violations) {
      const where = nodes.slice(0, 3).map(({ html, failureSummary }) => `${html.slice(0, 160)}: ${failureSummary?.split("\n").at(-1)?.trim()}`);
      this.troubles.push(`axe on ${what}: ${id}, ${help}\n      ${where.join("\n      ")}`);
    }
  }

  async accessibleInBoth(page, what) {
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      await this.accessible(page, `${what}, ${scheme}`);
    }
  }
}

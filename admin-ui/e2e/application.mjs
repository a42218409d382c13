// Applications that use an SDK, as processes of their own.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
/** The Rust SDK's example application; $TIDEGATE_CHECKOUT names another build of it. */
const CHECKOUT = process.env.TIDEGATE_CHECKOUT ?? at("../../target/debug/examples/checkout");
const JAVASCRIPT_SDK = at("../../sdk-wasm");
/** Whether the JavaScript SDK was built: without Rust's wasm32 target, `cargo xtask` leaves it out, and says so. */
export const hasJavaScript = existsSync(join(JAVASCRIPT_SDK, "dist/node.js"));
/** Who says nothing for so long has hung. */
const PATIENCE_MS = 60_000;

class Application {
  #child;
  #lines;

  constructor(program, args, variables = {}) {
    this.#child = spawn(program, args, { env: { ...process.env, ...variables }, stdio: ["ignore", "pipe", "inherit"] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
    // A flow that fails ends at once.
    process.on("exit", () => this.#child.kill());
  }

  /** Reads on until it prints such a line. */
  async says(pattern) {
    for (;;) {
      const hung = setTimeout(() => this.#child.kill(), PATIENCE_MS);
      const { value, done } = await this.#lines.next();
      clearTimeout(hung);
      if (done) throw new Error(`the application ended before it said ${pattern}`);
      if (pattern.test(value)) return value;
    }
  }

  async stop() {
    const gone = once(this.#child, "exit");
    this.#child.kill();
    await gone;
  }
}

/** The example application, which asks `new-checkout` for four customers. */
export function runCheckout(url, key) {
  if (!existsSync(CHECKOUT)) throw new Error(`please run \`cargo build --example checkout\`, or name it in $TIDEGATE_CHECKOUT: there is no ${CHECKOUT}`);
  return new Application(CHECKOUT, [], { TIDEGATE_URL: url, TIDEGATE_SDK_KEY: key });
}

/** An application that is this module, in Node.js, with the JavaScript SDK installed. */
export function runModule(code) {
  const folder = mkdtempSync(join(tmpdir(), "tidegate-application-"));
  process.on("exit", () => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(JAVASCRIPT_SDK, join(folder, "node_modules/tidegate"));
  writeFileSync(join(folder, "app.mjs"), code);
  return new Application(process.execPath, [join(folder, "app.mjs")]);
}

// The real server, as a process: the binary that $TIDEGATE_BINARY names.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const binary = process.env.TIDEGATE_BINARY;
if (!binary) throw new Error("name the server's binary in $TIDEGATE_BINARY; `cargo test` does");

/** A condition that does not hold by then never will, in milliseconds. */
const PATIENCE_MS = 30_000;

/** Waits for what `read` gives to satisfy `holds`, and gives it. */
export async function until(what, read, holds = Boolean) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await read();
    if (holds(found)) return found;
    if (Date.now() > deadline) throw new Error(`${what} never came; last seen: ${JSON.stringify(found)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Members of a segment that takes some 50 KiB, however well it is compressed. */
export const CROWD = Array.from({ length: 5_000 }, (_, index) => `member-${index}-${(index * 2_654_435_761) % 2 ** 32}`);

/** A server with the demo project `shop`, on SQLite in a folder of its own. */
export class DemoServer {
  #folder = mkdtempSync(join(tmpdir(), "tidegate-e2e-"));
  #child;
  url;
  key;
  token;

  static async start() {
    const server = new DemoServer();
    await server.#serve("127.0.0.1:0");
    const create = ["token", "create", "--name", "e2e", "--role", "shop=admin", "--database", "demo.db"];
    server.token = server.#run(create).match(/tgp_\w+/)[0];
    return server;
  }

  /** `kill -9`. */
  async kill() {
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  /** At the same address, with the same data. */
  async restart() {
    await this.#serve(new URL(this.url).host);
  }

  async stop() {
    await this.kill();
    rmSync(this.#folder, { recursive: true });
  }

  get log() {
    return readFileSync(join(this.#folder, "server.log"), "utf8");
  }

  /** A client key of the environment `development`. */
  clientKey() {
    const environment = ["--project", "shop", "--environment", "development"];
    const create = ["key", "create", ...environment, "--client", "--name", "e2e", "--database", "demo.db"];
    return this.#run(create).match(/tgc_\w+/)[0];
  }

  /** Changes a flag in `development`. */
  async configure(flag, configuration) {
    const path = `/api/v1/projects/shop/flags/${flag}/environments/development`;
    const before = await this.call("GET", path);
    await this.call("PATCH", path, { ...configuration, reason: "e2e" }, { "if-match": before.headers.get("etag") });
  }

  async createSegment(key, included) {
    const path = "/api/v1/projects/shop/environments/development/segments";
    await this.call("POST", path, { key, name: key, included, reason: "e2e" });
  }

  async changeSegment(key, included) {
    const path = `/api/v1/projects/shop/environments/development/segments/${key}`;
    const before = await this.call("GET", path);
    await this.call("PATCH", path, { included, reason: "e2e" }, { "if-match": before.headers.get("etag") });
  }

  async operate(what, flag) {
    await this.call("POST", `/api/v1/projects/shop/environments/development/${what}`, { flag, reason: "e2e" });
  }

  async call(method, path, body, headers = {}) {
    const answer = await fetch(this.url + path, {
      method,
      headers: { authorization: `Bearer ${this.token}`, "content-type": "application/json", ...headers },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return { headers: answer.headers, body: text === "" ? undefined : JSON.parse(text) };
  }

  #run(args) {
    return execFileSync(binary, args, { cwd: this.#folder, encoding: "utf8", env: this.#environment() });
  }

  async #serve(address) {
    const log = openSync(join(this.#folder, "server.log"), "a");
    this.#child = spawn(binary, ["serve", "--data-dir", this.#folder, "--demo", "--listen", address], {
      cwd: this.#folder,
      env: this.#environment(),
      stdio: ["ignore", "pipe", log],
    });
    for await (const line of createInterface({ input: this.#child.stdout })) {
      this.key ??= /TIDEGATE_SDK_KEY=(\S+)/.exec(line)?.[1];
      const listens = /listens on (\S+)/.exec(line);
      if (listens) {
        this.url = listens[1];
        // Leaving the loop closed the reader, not the pipe: the server may go on to print.
        this.#child.stdout.resume();
        return;
      }
    }
    throw new Error(`the server ended:\n${this.log}`);
  }

  /** Whatever the shell has configured is not this server's business. */
  #environment() {
    return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("TIDEGATE_")));
  }
}

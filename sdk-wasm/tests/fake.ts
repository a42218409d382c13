// A server that is not there: sockets that the test opens, feeds and cuts.

import { readFileSync } from "node:fs";

import { Client, type ClientOptions } from "../js/client.js";
import { loadSync } from "../js/core.js";
import type { Inflate } from "../js/frame.js";
import { createClient } from "../js/node.js";
import type { OpenSocket, SocketListener } from "../js/socket.js";
import type { Logger } from "../js/types.js";

/** An environment without flags has this digest. */
const POSITION = { epoch: "e1", revision: 1, digest: "0".repeat(32) };

export const HELLO = JSON.stringify({ type: "hello", protocol: 1, heartbeatMs: 60_000 });

export const INTENT = JSON.stringify({ type: "intent", transfer: "full", to: POSITION });
export const COMMIT = JSON.stringify({ type: "commit", to: POSITION });

/** The lines of a change set that brings nothing but a revision. */
export const CHANGE_SET = `${INTENT}\n${COMMIT}`;

export interface FakeSocket {
  listener: SocketListener;
  sent: { type: string; [field: string]: unknown }[];
  closed: boolean;
}

export interface Request {
  url: string;
  method: string;
  headers: Record<string, string>;
  body: string | undefined;
}

export class Fake {
  readonly sockets: FakeSocket[] = [];
  readonly requests: Request[] = [];
  readonly warnings: string[] = [];
  readonly debug: string[] = [];
  /** No socket opens. */
  blocked = false;
  /** What HTTP answers. */
  answer: (request: Request) => Response = () => new Response(null, { status: 202 });

  readonly openSocket: OpenSocket = (_server, listener) => {
    if (this.blocked) throw new Error("blocked");
    const socket: FakeSocket = { listener, sent: [], closed: false };
    this.sockets.push(socket);
    return {
      send: (text) => void socket.sent.push(...text.split("\n").map((line) => JSON.parse(line) as FakeSocket["sent"][0])),
      close: () => {
        socket.closed = true;
      },
    };
  };

  readonly fetch = async (input: string | URL | globalThis.Request, init: RequestInit = {}): Promise<Response> => {
    const request = {
      url: String(input),
      method: init.method ?? "GET",
      headers: init.headers as Record<string, string>,
      body: init.body as string | undefined,
    };
    this.requests.push(request);
    return this.answer(request);
  };

  readonly logger: Logger = {
    debug: (message) => void this.debug.push(message),
    warn: (message) => void this.warnings.push(message),
  };

  client(options: Partial<ClientOptions> = {}): Client {
    return createClient({ ...this.#options, ...options });
  }

  /** On a platform of which only this is known. */
  clientWith(inflate: Inflate | undefined): Client {
    const loadNow = () => loadSync(readFileSync(new URL("../js/wasm/tidegate_bg.wasm", import.meta.url)));
    return new Client({ ...this.#options, polling: false }, { loadNow, openSocket: this.openSocket, inflate });
  }

  get #options(): ClientOptions {
    return {
      url: "https://flags.example.com",
      key: "tgs_secret",
      openSocket: this.openSocket,
      fetch: this.fetch as typeof fetch,
      logger: this.logger,
    };
  }

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error("no socket was opened");
    return socket;
  }

  /** The socket opens, and the server sends all it has: nothing. */
  serve(): FakeSocket {
    const { socket } = this;
    socket.listener.onOpen();
    socket.listener.onText(HELLO);
    socket.listener.onText(CHANGE_SET);
    return socket;
  }
}

/** A flag file with one flag of each kind. */
export const FLAGS = {
  flags: [
    flag("a-boolean", "boolean", true),
    flag("a-string", "string", "text"),
    flag("a-number", "number", 1.5),
    flag("a-json", "json", { list: [{ deep: 1 }] }),
    { ...flag("split", "boolean", true), salt: "s", default: { distribution: { weights: [{ variant: "v", weight: 50_000 }, { variant: "w", weight: 50_000 }] } }, variants: [{ key: "v", value: true }, { key: "w", value: false }] },
  ],
};

function flag(key: string, kind: string, value: unknown) {
  return { key, kind, version: 3, enabled: true, variants: [{ key: "v", value }], default: { variant: "v" } };
}

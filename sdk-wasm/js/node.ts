// The entry for Node.js.

import { readFileSync } from "node:fs";
import { inflateRawSync } from "node:zlib";

import { WebSocket } from "ws";

import { Client, type ClientOptions } from "./client.js";
import { loadSync } from "./core.js";
import { type Inflate, MAX_FRAME_BYTES } from "./frame.js";
import { type OpenSocket, lostBy, retryAfterMs } from "./socket.js";
import type { Flags } from "./types.js";

export { Client, type ClientOptions } from "./client.js";
export { Context } from "./context.js";
export type { WasmSource } from "./core.js";
export { fileCache } from "./file-cache.js";
export { type OpenSocket, type WebSocketConstructor, standardSocket } from "./socket.js";
export * from "./types.js";

/** Node.js 20 has no `WebSocket` of its own; this one also tells why a server refuses. */
const openSocket: OpenSocket = (server, listener) => {
  const socket = new WebSocket(server.stream, ["tidegate.v1"], {
    headers: { authorization: server.authorization },
    maxPayload: MAX_FRAME_BYTES,
    // Frames are compressed by the protocol, once for all clients.
    perMessageDeflate: false,
  });
  let trouble = "the connection was closed";
  let told = false;
  const closed = (...why: Parameters<typeof listener.onClosed>) => {
    if (told) return;
    told = true;
    listener.onClosed(...why);
  };
  socket.on("open", () => listener.onOpen());
  socket.on("message", (data: Buffer, isBinary: boolean) => {
    if (isBinary) listener.onBinary(data);
    else listener.onText(data.toString("utf8"));
  });
  socket.on("unexpected-response", (request, { statusCode = 0, headers }) => {
    request.destroy();
    const wait = retryAfterMs(headers["retry-after"], Date.now());
    closed(lostBy(statusCode), wait, `the server answered ${statusCode}`);
  });
  socket.on("error", (error: Error & { code?: string }) => {
    trouble = error.code ?? error.message;
  });
  socket.on("close", () => closed("broken", 0, trouble));
  return {
    send: (text) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close: () => {
      told = true;
      if (socket.readyState === WebSocket.OPEN) {
        socket.close(1000);
        // Who does not answer is not waited for, and must not keep the process alive.
        setTimeout(() => socket.terminate(), 500).unref();
      } else {
        socket.terminate();
      }
    },
  };
};

/** At once: a frame takes less than the way to another thread and back. */
const inflate: Inflate = (compressed, length) =>
  // Zero is no limit that is allowed.
  inflateRawSync(compressed, { maxOutputLength: Math.max(length, 1) });

/**
 * Begins to connect, and returns at once: evaluations have their defaults until the first flags are here (see `ready`), or
 * what a bootstrap or cache holds.
 *
 * Throws a `TypeError` where the URL or the key cannot be right.
 */
export function createClient<F = Flags>(options: ClientOptions): Client<F> {
  return new Client<F>(options, {
    loadNow: () => loadSync(readFileSync(new URL("./wasm/tidegate_bg.wasm", import.meta.url))),
    openSocket,
    inflate,
  });
}

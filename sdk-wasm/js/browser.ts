// The entry for browsers and workers.

import { Client, type ClientOptions } from "./client.js";
import { standardInflate } from "./inflate.js";
import { standardSocket } from "./socket.js";
import type { Flags } from "./types.js";

export { Client, type ClientOptions } from "./client.js";
export { Context } from "./context.js";
export type { WasmSource } from "./core.js";
export { type OpenSocket, type WebSocketConstructor, standardSocket } from "./socket.js";
export { localStorageCache } from "./storage-cache.js";
export * from "./types.js";

/**
 * Begins to load the WASM core and to connect, and returns at once: evaluations have their defaults until the first flags
 * are here (see `ready`), or what a bootstrap or cache holds.
 *
 * Throws a `TypeError` where the URL or the key cannot be right.
 */
export function createClient<F = Flags>(options: ClientOptions): Client<F> {
  const client = new Client<F>(options, {
    openSocket: standardSocket(WebSocket),
    inflate: standardInflate(globalThis.DecompressionStream),
  });
  // The last moment at which a page that goes away is sure to run. Workers have no document.
  globalThis.document?.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") client.flushAndForget();
  });
  return client;
}

// The last good flags, in a browser's storage.

import type { Cache } from "./types.js";

/** The part of the standard's `Storage` that is used here. */
export type StringStorage = Pick<Storage, "getItem" | "setItem">;

/**
 * Keeps the last good flags in `localStorage`, or what else is like it, under `tidegate:` and a hash of server, key and, with
 * a client key, context. Where the storage is full or forbidden, there is no cache.
 */
export function localStorageCache(storage?: StringStorage): Cache {
  const name = (scope: string) => `tidegate:${scope}`;
  // Looked up late: where it is forbidden, even naming it throws.
  const place = () => storage ?? localStorage;
  return {
    read: (scope) => place().getItem(name(scope)),
    write: (scope, text) => place().setItem(name(scope), text),
  };
}

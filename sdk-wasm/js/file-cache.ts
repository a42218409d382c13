// The last good flags, in a file.

import { readFileSync } from "node:fs";
import { open, rename } from "node:fs/promises";

import type { Cache } from "./types.js";

/**
 * Keeps the last good flags in this file, whose folder must exist. The file is replaced in one step, carries a checksum, and
 * is used for the same server and key only.
 */
export function fileCache(path: string): Cache {
  return {
    read: () => {
      try {
        return readFileSync(path, "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
        throw error;
      }
    },
    write: async (_scope, text) => {
      // In the same folder, so that renaming replaces; of this process, so that two do not write into one.
      const temporary = `${path}.${process.pid}.tmp`;
      const file = await open(temporary, "w");
      try {
        await file.writeFile(text);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(temporary, path);
    },
  };
}

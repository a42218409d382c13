// Puts the WASM core beside the compiled JavaScript: `dist` is the package.
import { cpSync } from "node:fs";

cpSync(new URL("../js/wasm/", import.meta.url), new URL("../dist/wasm/", import.meta.url), { recursive: true });

// The WASM core, loaded once for all clients of a program.

import init, { type InitInput, initSync } from "./wasm/tidegate.js";

export { Engine, EvaluationContext } from "./wasm/tidegate.js";
export type * from "./wasm/tidegate.js";

/** Where the WASM core comes from: a module, its bytes, or a place to fetch it from. */
export type WasmSource = InitInput | Promise<InitInput>;

let loaded = false;
let loading: Promise<void> | undefined;

export function isLoaded(): boolean {
  return loaded;
}

/** Compiles the core at once: browsers refuse this on the main thread. */
export function loadSync(module: BufferSource | WebAssembly.Module): void {
  if (loaded) return;
  initSync({ module });
  loaded = true;
}

/** Loads the core from where it is told, or from beside this module, as bundlers understand it. */
export function load(source?: WasmSource): Promise<void> {
  loading ??= (async () => {
    try {
      await init(source === undefined ? undefined : { module_or_path: source });
      loaded = true;
    } catch (error) {
      // The next client may have more luck.
      loading = undefined;
      throw error;
    }
  })();
  return loaded ? Promise.resolve() : loading;
}

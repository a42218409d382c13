import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** Where `npm run dev` finds the API. */
const target = process.env.TIDEGATE_URL ?? "http://127.0.0.1:8580";

export default defineConfig({
  plugins: [react()],
  // The server puts a fresh nonce in place of this word in each index.html that it sends.
  html: { cspNonce: "__CSP_NONCE__" },
  server: { proxy: { "/api": { target, ws: true } } },
  build: { target: "es2022", assetsInlineLimit: 0, chunkSizeWarningLimit: 900, reportCompressedSize: false, manifest: true },
  test: {
    environment: "jsdom",
    setupFiles: ["tests/setup.ts"],
    // A document and the imports for each file took most of the time; what a test leaves behind, the set-up takes away.
    isolate: false,
    include: ["src/**/*.test.{ts,tsx}", "tests/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    unstubGlobals: true,
  },
});

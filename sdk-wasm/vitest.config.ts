import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["tests/**/*.test.ts"],
    // A lost promise is a bug: fail on what nobody caught.
    dangerouslyIgnoreUnhandledErrors: false,
    typecheck: { enabled: false },
  },
});

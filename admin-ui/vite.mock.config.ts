/** `npm run mock`: the UI with the API answered from memory, to look at it without a server. */

import { defineConfig, mergeConfig } from "vite";

import { middleware } from "./tests/mocks/middleware";
import config from "./vite.config";

export default mergeConfig(
  { ...config, server: {} },
  defineConfig({
    plugins: [
      {
        name: "tidegate-mock-api",
        configureServer: (server) => void server.middlewares.use(middleware()),
        configurePreviewServer: (server) => void server.middlewares.use(middleware()),
      },
    ],
  }),
);

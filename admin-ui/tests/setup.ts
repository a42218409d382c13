/** What jsdom lacks, and the API from memory behind `fetch`. */

import "@testing-library/jest-dom/vitest";

import { readFileSync } from "node:fs";

import { notifications } from "@mantine/notifications";
import { cleanup, configure } from "@testing-library/react";
import { http, HttpResponse, type DefaultBodyType, type StrictRequest } from "msw";
import { setupServer } from "msw/node";
import { afterAll, afterEach, beforeAll, beforeEach, expect, vi } from "vitest";

import { createBackend, type Backend } from "./mocks/backend";
import { violations } from "./mocks/contract";
import { FakeSocket } from "./mocks/socket";

// Two cores may be busy elsewhere.
configure({
  asyncUtilTimeout: 8_000,
  // The whole document would drown what failed.
  getElementError: (message) => new Error(message ?? "not found"),
});
vi.setConfig({ testTimeout: 30_000 });

// There is no canvas here: what is drawn is looked at in a browser.
vi.mock("uplot", () => ({
  default: class {
    height = 1;
    cursor = {};
    scales = {};
    setData() {}
    setSize() {}
    setCursor() {}
    valToPos = () => 0;
    destroy() {}
  },
}));

let current: Backend = createBackend();

/** Puts another backend behind the API for this test. */
export function serve(backend: Backend): Backend {
  current = backend;
  return backend;
}

/** Requests that no server would take, and answers that none would give. */
const wrong: string[] = [];

async function answer({ request }: { request: StrictRequest<DefaultBodyType> }): Promise<Response> {
  const response = await current.handle(request.clone());
  wrong.push(...(await violations(request, response)));
  return response;
}

const evaluator = () => HttpResponse.arrayBuffer(new Uint8Array(readFileSync("src/wasm/evaluator_bg.wasm")).buffer);
const server = setupServer(http.all("*/api/v1/*", answer), http.get("*/evaluator_bg.wasm", evaluator));

beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
beforeEach(() => {
  serve(createBackend());
  FakeSocket.all.length = 0;
  vi.stubGlobal("WebSocket", FakeSocket);
  window.localStorage.clear();
  window.sessionStorage.clear();
});
afterEach(() => {
  notifications.clean();
  cleanup();
  expect([...new Set(wrong.splice(0))]).toEqual([]);
});
afterAll(() => server.close());

window.matchMedia = (query: string) => ({
  matches: false,
  media: query,
  onchange: null,
  addEventListener: () => {},
  removeEventListener: () => {},
  addListener: () => {},
  removeListener: () => {},
  dispatchEvent: () => false,
});
window.ResizeObserver = class {
  observe() {}
  unobserve() {}
  disconnect() {}
};
// A textarea that grows waits for fonts.
Object.defineProperty(document, "fonts", { configurable: true, value: new EventTarget() });
Element.prototype.scrollTo = () => {};
Element.prototype.scrollIntoView = () => {};
window.scrollTo = () => {};
// The lists measure themselves: a window of 900 px in which every row is 90 px high.
for (const side of ["Height", "Width"] as const) {
  Object.defineProperty(HTMLElement.prototype, `client${side}`, { configurable: true, get: () => 900 });
  Object.defineProperty(HTMLElement.prototype, `offset${side}`, { configurable: true, get: () => 90 });
}

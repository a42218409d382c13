/** The API from memory is the document's: every operation can be called, and what it takes and answers is as the document says. */

import { expect, it } from "vitest";

import { OPERATIONS, type Operations } from "../src/api/generated/operations.gen";
import { createBackend, type Backend } from "./mocks/backend";
import { violations } from "./mocks/contract";
import { openapi, successOf, type OperationId } from "./mocks/document";
import { sampleOf } from "./mocks/sample";

/** What the API from memory has. */
const THERE: Record<string, string> = {
  project: "shop",
  environment: "staging",
  flag: "dark-mode",
  segment: "unused",
  rollout: "r-payments",
  user: "u2",
  template: "payments",
  source: "stats",
  channel: "ops",
  delivery: "msg_1",
  sequence: "1",
};

/** Bodies for which the smallest valid one is not enough. */
const BODIES: { [Id in OperationId]?: Operations[Id]["data"]["body"] } = {
  completeSetup: { secret: "s", name: "Ada", email: "ada@example.org", password: "correct horse battery" },
  signIn: { email: "ada@example.org", password: "correct horse battery" },
  followLink: { secret: "good-secret" },
  kill: { flag: "dark-mode", reason: "declines doubled" },
  restore: { flag: "dark-mode", reason: "declines are over" },
  startRollout: { flag: "dark-mode", variant: "off" },
  createRolloutTemplate: { key: "night", name: "Night", spec: { steps: [{ share: 100_000, bakeMs: 60_000 }] } },
};

/** What is in the way of an operation. */
const CLEARED: { [Id in OperationId]?: (backend: Backend) => void } = {
  archiveEnvironment: ({ rollouts }) => rollouts.clear(),
  archiveProject: ({ environments }) => environments.clear(),
};

function bodyOf(id: OperationId): unknown {
  const { method, path } = OPERATIONS[id];
  const content = openapi.paths[path]?.[method.toLowerCase()]?.requestBody?.content["application/json"];
  return BODIES[id] ?? (content && sampleOf(content.schema));
}

function requestOf(id: OperationId, version: string): Request {
  const { method, path } = OPERATIONS[id];
  const url = new URL(path.replaceAll(/\{([^}]+)\}/g, (_, name: string) => THERE[name] ?? "a"), "http://localhost");
  for (const { in: place, name, required } of openapi.paths[path]?.[method.toLowerCase()]?.parameters ?? []) {
    if (place === "query" && required) url.searchParams.set(name, "a");
  }
  const body = bodyOf(id);
  const headers = { "if-match": `"${version}"`, "x-tidegate-csrf": "1", "content-type": "application/json" };
  return new Request(url, { method, headers, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
}

/** Calls an operation, by the version that it is refused with at first where it goes by one. */
async function call(backend: Backend, id: OperationId): Promise<{ request: Request; response: Response }> {
  const first = await backend.handle(requestOf(id, "999"));
  const { detail = "" } = first.status === 412 ? await first.json() : {};
  const request = requestOf(id, /version (\d+)/.exec(detail)?.[1] ?? "999");
  return { request, response: first.status === 412 ? await backend.handle(request.clone()) : first };
}

const operations = Object.values(openapi.paths).flatMap((item) => Object.values(item));

it.each(operations)("answers $operationId", async (operation) => {
  const backend = createBackend({ withRollouts: true });
  CLEARED[operation.operationId]?.(backend);
  const { request, response } = await call(backend, operation.operationId);
  expect(await violations(request, response)).toEqual([]);
  expect(response.status).toBe(successOf(operation)?.status ?? 400);
});

const FLAG = "/api/v1/projects/shop/flags/dark-mode";

it.each([
  ["PATCH", FLAG, { name: "Dark" }, ["PATCH /api/v1/projects/shop/flags/dark-mode: the header lacks If-Match"]],
  ["GET", `${FLAG}?deep=1`, undefined, ["GET /api/v1/projects/shop/flags/dark-mode: there is no parameter deep"]],
  ["POST", "/api/v1/session", { email: "ada@example.org" }, ["POST /api/v1/session: must have required property 'password'"]],
  ["POST", "/api/v1/session", undefined, ["POST /api/v1/session: it lacks a body"]],
  ["POST", "/api/v1/tokens", { name: "t", until: "tomorrow" }, ["POST /api/v1/tokens: must NOT have unevaluated properties until"]],
  ["GET", "/api/v1/flags", undefined, ["GET /api/v1/flags: there is no such operation"]],
])("finds what no server takes: %s %s %j", async (method, path, body, found) => {
  const request = new Request(`http://localhost${path}`, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  // A refusal is as the document says.
  const problem = { status: 422, code: "invalid", title: "Invalid", detail: "no" };
  expect(await violations(request, Response.json(problem, { status: 422 }))).toEqual(found);
});

it("refuses who is not signed in, who may not, who says no version, and other sites", async () => {
  const statusOf = async (backend: Backend, headers: Record<string, string>) => (await backend.handle(new Request(`http://localhost${FLAG}`, { method: "PATCH", headers, body: '{"name":"Dark"}' }))).status;
  const csrf = { "x-tidegate-csrf": "1" };
  expect(await statusOf(createBackend({ signedIn: false }), csrf)).toBe(401);
  expect(await statusOf(createBackend({ role: "viewer" }), { ...csrf, "if-match": '"1"' })).toBe(403);
  expect(await statusOf(createBackend({ role: "editor" }), { ...csrf, "if-match": '"1"' })).toBe(200);
  expect(await statusOf(createBackend(), csrf)).toBe(428);
  expect(await statusOf(createBackend(), { "if-match": '"1"' })).toBe(403);
});

/** Every call that the UI makes, in one place. */

import { Problem, problemOf } from "./problem";
import type {
  AuditRow,
  ConfigPatch,
  Environment,
  Flag,
  FlagConfig,
  Me,
  NewFlag,
  Page,
  Project,
  Receipts,
  SdkKey,
} from "./types";

type Query = Record<string, string | number | boolean | undefined>;

interface Options {
  query?: Query;
  body?: unknown;
  ifMatch?: number;
  signal?: AbortSignal | undefined;
}

async function call<T>(method: string, path: string, { query = {}, body, ifMatch, signal }: Options = {}): Promise<T> {
  const url = new URL(`/api/v1${path}`, window.location.origin);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
  }
  const headers = new Headers({ accept: "application/json" });
  if (method !== "GET") headers.set("x-tidegate-csrf", "1");
  if (body !== undefined) headers.set("content-type", method === "PATCH" ? "application/merge-patch+json" : "application/json");
  if (ifMatch !== undefined) headers.set("if-match", `"${ifMatch}"`);
  let response: Response;
  try {
    response = await fetch(url, { method, headers, body: body === undefined ? null : JSON.stringify(body), signal: signal ?? null });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw problemOf(error);
  }
  const text = await response.text();
  if (response.ok) return (text === "" ? undefined : JSON.parse(text)) as T;
  throw problemFrom(response.status, text);
}

function problemFrom(status: number, text: string): Problem {
  try {
    return new Problem({ ...JSON.parse(text), status });
  } catch {
    return new Problem({ status, code: "internal", detail: `The server answered ${status} without saying why.` });
  }
}

const enc = encodeURIComponent;
const project = (p: string) => `/projects/${enc(p)}`;
const environment = (p: string, e: string) => `${project(p)}/environments/${enc(e)}`;
const config = (p: string, f: string, e: string) => `${project(p)}/flags/${enc(f)}/environments/${enc(e)}`;

export const api = {
  setupNeeded: () => call<{ needed: boolean }>("GET", "/setup"),
  setup: (body: { secret: string; name: string; email: string; password: string }) => call<Me>("POST", "/setup", { body }),
  session: () => call<Me>("GET", "/session"),
  signIn: (body: { email: string; password: string }) => call<Me>("POST", "/session", { body }),
  signInByLink: (secret: string) => call<Me>("POST", "/session/link", { body: { secret } }),
  signOut: () => call<void>("DELETE", "/session"),

  projects: () => call<Page<Project>>("GET", "/projects", { query: { limit: 200 } }),
  createProject: (body: { key: string; name: string }) => call<Project>("POST", "/projects", { body }),
  environments: (p: string) => call<Page<Environment>>("GET", `${project(p)}/environments`, { query: { limit: 200 } }),
  createEnvironment: (p: string, body: { key: string; name: string; production: boolean }) =>
    call<Environment>("POST", `${project(p)}/environments`, { body }),
  keys: (p: string, e: string) => call<Page<SdkKey>>("GET", `${environment(p, e)}/keys`, { query: { limit: 200 } }),
  createKey: (p: string, e: string, body: { name: string; kind: "server" | "client" }) =>
    call<SdkKey & { key: string }>("POST", `${environment(p, e)}/keys`, { body }),
  revokeKey: (p: string, e: string, key: Pick<SdkKey, "id" | "version">) =>
    call<void>("DELETE", `${environment(p, e)}/keys/${enc(key.id)}`, { ifMatch: key.version }),
  receipts: (p: string, e: string) => call<Receipts>("GET", `${environment(p, e)}/receipts`),

  flags: (p: string, query: { search?: string; tag?: string; cursor?: string }, signal?: AbortSignal) =>
    call<Page<Flag>>("GET", `${project(p)}/flags`, { query: { ...query, limit: 200 }, signal }),
  flag: (p: string, f: string) => call<Flag>("GET", `${project(p)}/flags/${enc(f)}`),
  createFlag: (p: string, body: NewFlag) => call<Flag>("POST", `${project(p)}/flags`, { body }),
  config: (p: string, f: string, e: string) => call<FlagConfig>("GET", config(p, f, e)),
  /** What `patch` would store; nothing is written. */
  previewConfig: (p: string, f: string, e: string, version: number, patch: ConfigPatch) =>
    call<FlagConfig>("PATCH", config(p, f, e), { query: { dryRun: true }, body: patch, ifMatch: version }),
  patchConfig: (p: string, f: string, e: string, version: number, patch: ConfigPatch, reason: string) =>
    call<FlagConfig>("PATCH", config(p, f, e), { body: reason === "" ? patch : { ...patch, reason }, ifMatch: version }),
  kill: (p: string, e: string, flag: string, reason: string) => call<unknown>("POST", `${environment(p, e)}/kill`, { body: { flag, reason } }),
  restore: (p: string, e: string, flag: string, reason: string) => call<unknown>("POST", `${environment(p, e)}/restore`, { body: { flag, reason } }),

  audit: (
    query: { project?: string; environment?: string; resource?: string; actor?: string; cursor?: string; limit?: number },
    signal?: AbortSignal,
  ) => call<Page<AuditRow>>("GET", "/audit", { query: { limit: 50, ...query }, signal }),
};

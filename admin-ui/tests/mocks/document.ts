/** The OpenAPI document, and which of its operations a request is. */

import { readFileSync } from "node:fs";

import { OPERATIONS, type Operations } from "../../src/api/generated/operations.gen";

export type OperationId = keyof Operations;

export interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  enum?: unknown[];
  minimum?: number;
  properties?: Record<string, Schema>;
  required?: string[];
  allOf?: Schema[];
  anyOf?: Schema[];
  oneOf?: Schema[];
}

export type Content = Record<string, { schema: Schema }>;

interface Parameter {
  in: "path" | "query" | "header";
  name: string;
  required?: boolean;
  schema: Schema;
}

export interface Operation {
  operationId: OperationId;
  parameters?: Parameter[];
  requestBody?: { content: Content; required?: boolean };
  responses: Record<string, { content?: Content }>;
  /** Absent where nobody has to be signed in. */
  security?: object[];
}

export const openapi: { components: { schemas: Record<string, Schema> }; paths: Record<string, Record<string, Operation>> } = JSON.parse(readFileSync("../openapi/openapi.json", "utf8"));

export interface Route {
  operation: Operation;
  method: string;
  path: string;
  pattern: RegExp;
}

const parameterCount = (path: string) => path.split("{").length;

/** What is fixed goes before what is a parameter. */
const routes: Route[] = Object.values(OPERATIONS)
  .flatMap(({ method, path }) => {
    const operation = openapi.paths[path]?.[method.toLowerCase()];
    return operation ? [{ operation, method, path, pattern: new RegExp(`^${path.replaceAll(/\{([^}]+)\}/g, "(?<$1>[^/]+)")}$`) }] : [];
  })
  .toSorted((one, other) => parameterCount(one.path) - parameterCount(other.path));

export const routeOf = (method: string, pathname: string): Route | undefined => routes.find((route) => route.method === method && route.pattern.test(pathname));

/** The status of success, and the content type of its answer; operations that only switch protocols have none. */
export function successOf({ responses }: Operation): { status: number; type?: string; schema?: Schema } | undefined {
  const status = Object.keys(responses).find((each) => each.startsWith("2"));
  if (status === undefined) return undefined;
  const [[type, content] = []] = Object.entries(responses[status]?.content ?? {});
  return { status: Number(status), ...(type && content ? { type, schema: content.schema } : {}) };
}

function typed(text: string, { type }: Schema): unknown {
  if (type === "integer" || type === "number") return Number(text);
  return type === "boolean" ? text === "true" : text;
}

/** The parameters of a request's path and query, with the types that the document gives them. */
export function parametersOf({ operation, pattern }: Route, { pathname, searchParams }: URL, place: "path" | "query") {
  const inPath = pattern.exec(pathname)?.groups ?? {};
  const found = (operation.parameters ?? []).flatMap(({ in: where, name, schema }) => {
    if (where !== place) return [];
    const text = place === "path" ? decodeURIComponent(inPath[name] ?? "") : searchParams.get(name);
    return text === null ? [] : [[name, typed(text, schema)]];
  });
  return Object.fromEntries(found);
}

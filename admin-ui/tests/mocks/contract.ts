/** Holds requests and answers to the OpenAPI document: a test that goes by what no server takes or gives says nothing. */

import Ajv from "ajv/dist/2020";
import type { ValidateFunction } from "ajv";

import { openapi, routeOf, type Content, type Route } from "./document";

const DOCUMENT = "openapi.json";

// Formats like int32 say nothing of JSON, and the document has more in it than schemas.
const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true }).addSchema(openapi, DOCUMENT);

const validators = new Map<string, ValidateFunction>();

const pointer = (...parts: string[]) => parts.map((part) => `/${encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))}`).join("");

/** What is wrong with a value, by a schema of the document; `closed`: with nothing in it that the schema does not name. */
function breaches(value: unknown, at: string, { closed }: { closed: boolean }): string[] {
  const ref = `${DOCUMENT}#${at}`;
  const validate = validators.get(at) ?? ajv.compile(closed ? { $ref: ref, unevaluatedProperties: false } : { $ref: ref });
  validators.set(at, validate);
  if (validate(value)) return [];
  return (validate.errors ?? []).map(({ instancePath, message, params }) => `${instancePath} ${message} ${params["unevaluatedProperty"] ?? ""}`.trim());
}

/** The only content that the document has for a request or an answer, where it is JSON. */
const jsonType = (content: Content = {}) => Object.keys(content).find((type) => /[/+]json$/.test(type));

function parameterBreaches({ operation: { parameters = [] } }: Route, { headers }: Request, { searchParams }: URL): string[] {
  const known = new Set(parameters.flatMap(({ in: place, name }) => (place === "query" ? [name] : [])));
  const sent = { path: { has: () => true }, query: searchParams, header: headers };
  const missing = parameters.filter(({ in: place, name, required }) => required && !sent[place].has(name));
  const unknown = [...searchParams.keys()].filter((name) => !known.has(name));
  return [...missing.map(({ in: place, name }) => `the ${place} lacks ${name}`), ...unknown.map((name) => `there is no parameter ${name}`)];
}

function bodyBreaches({ operation: { requestBody }, path, method }: Route, text: string): string[] {
  const type = jsonType(requestBody?.content);
  if (type === undefined) return text === "" ? [] : ["it takes no body"];
  if (text === "") return requestBody?.required ? ["it lacks a body"] : [];
  return breaches(JSON.parse(text), pointer("paths", path, method.toLowerCase(), "requestBody", "content", type, "schema"), { closed: true });
}

async function answerBreaches({ operation: { responses }, path, method }: Route, response: Response): Promise<string[]> {
  const status = String(response.status) in responses ? String(response.status) : "default";
  const answer = responses[status];
  if (!answer) return ["it never answers so"];
  const type = jsonType(answer.content);
  if (type === undefined) return [];
  return breaches(await response.clone().json(), pointer("paths", path, method.toLowerCase(), "responses", status, "content", type, "schema"), { closed: false });
}

/** What is wrong with a request, and with its answer; nothing where both are as a server's. */
export async function violations(request: Request, response: Response): Promise<string[]> {
  const url = new URL(request.url);
  const asked = `${request.method} ${url.pathname}`;
  const route = routeOf(request.method, url.pathname);
  if (!route) return [`${asked}: there is no such operation`];
  const sent = [...parameterBreaches(route, request, url), ...bodyBreaches(route, await request.clone().text())];
  const answered = await answerBreaches(route, response);
  return [...sent.map((breach) => `${asked}: ${breach}`), ...answered.map((breach) => `${asked} ${response.status}: ${breach}`)];
}

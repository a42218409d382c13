/** Holds the API from memory to the OpenAPI document: a test that goes by an answer that no server gives says nothing. */

import { readFileSync } from "node:fs";

import Ajv from "ajv/dist/2020";
import type { ValidateFunction } from "ajv";

const DOCUMENT = "openapi.json";

interface Operation {
  responses: Record<string, { content?: Record<string, unknown> }>;
}

const openapi = JSON.parse(readFileSync("../openapi/openapi.json", "utf8")) as { paths: Record<string, Record<string, Operation>> };
// Formats like int32 say nothing of JSON, and the document has more in it than schemas.
const ajv = new Ajv({ strict: false, validateFormats: false, allErrors: true }).addSchema(openapi, DOCUMENT);

const templates = Object.keys(openapi.paths).map((path) => ({
  path,
  // What is fixed goes before what is a parameter.
  parameters: path.split("{").length,
  matches: new RegExp(`^${path.replaceAll(/\{[^}]+\}/g, "[^/]+")}$`),
}));
templates.sort((a, b) => a.parameters - b.parameters);

const validators = new Map<string, ValidateFunction>();

const pointer = (...parts: string[]) => parts.map((part) => `/${encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))}`).join("");

/** What is wrong with an answer, by the document; nothing where it is as a server's. */
export async function violations(request: Request, response: Response): Promise<string[]> {
  const { pathname } = new URL(request.url);
  const method = request.method.toLowerCase();
  const path = templates.find(({ path: template, matches }) => matches.test(pathname) && openapi.paths[template]?.[method])?.path;
  const asked = `${request.method} ${pathname}`;
  if (path === undefined) return [`${asked}: there is no such operation`];
  const status = String(response.status);
  const operation = openapi.paths[path]?.[method];
  const answers = operation?.responses[status] ?? operation?.responses["default"];
  if (!answers) return [`${asked}: it never answers ${status}`];
  const name = operation?.responses[status] ? status : "default";
  const [type] = Object.keys(answers.content ?? {});
  if (type === undefined || !type.endsWith("json")) return [];
  const ref = `${DOCUMENT}#${pointer("paths", path, method, "responses", name, "content", type, "schema")}`;
  const validate = validators.get(ref) ?? ajv.compile({ $ref: ref });
  validators.set(ref, validate);
  if (validate(await response.clone().json())) return [];
  return (validate.errors ?? []).map(({ instancePath, message }) => `${asked} ${status}: ${instancePath} ${message}`);
}

/** The REST API from memory: for the tests, and for looking at the UI without a server. The OpenAPI document routes it. */

import { mustBeAllowed } from "./access";
import { auditHandlers } from "./audit";
import { deliveryHandlers } from "./delivery";
import { parametersOf, routeOf, successOf, type Operation, type OperationId } from "./document";
import { environmentHandlers } from "./environments";
import { flagHandlers } from "./flags";
import { Refusal, type Answer, type Asked, type Handlers } from "./operations";
import { peopleHandlers } from "./people";
import { rolloutHandlers } from "./rollouts";
import { sampleOf } from "./sample";
import { segmentHandlers } from "./segments";
import { sessionHandlers } from "./session";
import { Store, type BackendOptions } from "./store";

export class Backend extends Store {
  readonly requests: { method: string; path: string; headers: Headers; body: unknown }[] = [];

  private readonly handlers: Handlers = {
    ...sessionHandlers(this),
    ...environmentHandlers(this),
    ...flagHandlers(this),
    ...segmentHandlers(this),
    ...rolloutHandlers(this),
    ...deliveryHandlers(this),
    ...peopleHandlers(this),
    ...auditHandlers(this),
  };

  handle = async (request: Request): Promise<Response> => {
    const url = new URL(request.url);
    const text = await request.text();
    const body = text === "" ? {} : JSON.parse(text);
    this.requests.push({ method: request.method, path: url.pathname.replace(/^\/api\/v1/, "") + url.search, headers: request.headers, body });
    try {
      return this.atOnce(() => this.answer(request, url, body));
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return Response.json(error.problem, { status: error.problem.status, headers: { "content-type": "application/problem+json" } });
    }
  };

  private answer({ method, headers }: Request, url: URL, { reason, ...body }: { reason?: string }): Response {
    const route = routeOf(method, url.pathname);
    if (!route) throw new Refusal(404, "not_found", `nothing at ${url.pathname}`);
    const { operation } = route;
    const path = parametersOf(route, url, "path");
    const query = parametersOf(route, url, "query");
    this.admit(operation, method, headers, path);
    const success = successOf(operation);
    if (!success) throw new Refusal(400, "malformed", "this is for other protocols");
    const asked = { path, query, body, reason: reason ?? query.reason ?? "", ifMatch: headers.get("if-match") };
    const { status, type, schema = {} } = success;
    const answered = operation.operationId in this.handlers ? this.answerOf(operation.operationId, asked) : sampleOf(schema);
    if (type === undefined) return new Response(null, { status });
    return new Response(type === "application/json" ? JSON.stringify(answered) : String(answered), { status, headers: { "content-type": type } });
  }

  /** Refuses what no handler has to look at. */
  private admit(operation: Operation, method: string, headers: Headers, { project, environment }: Partial<Record<string, string>>): void {
    if (method !== "GET" && headers.get("x-tidegate-csrf") !== "1") throw new Refusal(403, "csrf", "the header `X-Tidegate-Csrf` is missing");
    if (!operation.security) return;
    if (!this.me) throw new Refusal(401, "unauthenticated", "sign in first");
    if (project !== undefined) this.projects.read(project);
    if (environment !== undefined) this.environments.read(environment);
    mustBeAllowed(this.me, operation.operationId, project);
    const versioned = operation.parameters?.some(({ name, required }) => name === "If-Match" && required);
    if (versioned && !headers.has("if-match")) throw new Refusal(428, "version_required", "say which version you read");
  }

  private answerOf<Id extends OperationId>(id: Id, asked: Asked<Id>): Answer<Id> | undefined {
    return this.handlers[id]?.(asked);
  }
}

export const createBackend = (options: BackendOptions = {}): Backend => new Backend(options);

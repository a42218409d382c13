import type { CompileIssue } from "./generated";

/** RFC 9457's problem as the server sends it, or as we word it where no answer came. */
export interface ProblemBody {
  status: number;
  code: string;
  title?: string;
  detail?: string;
  field?: string | null;
  issues?: CompileIssue[];
}

/** A request that did not do what it was asked. */
export class Problem extends Error {
  readonly status: number;
  readonly code: string;
  /** JSON Pointer of the field within the request's body. */
  readonly field: string | undefined;
  readonly issues: CompileIssue[];
  readonly title: string;

  constructor(body: ProblemBody) {
    super(body.detail ?? body.title ?? "the server did not say why");
    this.name = "Problem";
    this.status = body.status;
    this.code = body.code;
    this.field = body.field ?? undefined;
    this.issues = body.issues ?? [];
    this.title = TITLES[body.code] ?? body.title ?? "That did not work";
  }
}

/** What a person is told first; the server’s own titles are those of HTTP. */
const TITLES: Partial<Record<string, string>> = {
  stale: "Somebody else changed it",
  forbidden: "Your role does not allow this",
  unauthenticated: "Not signed in",
  unreachable: "The server does not answer",
  unavailable: "The server cannot do this now",
  internal: "The server failed",
  disk_full: "The server’s disk is full",
  too_many_requests: "Too many requests",
  too_large: "Too large",
  not_found: "It is not there",
  key_taken: "The key is taken",
  in_use: "It is in use",
  invalid: "This cannot be stored as it is",
  broken: "What is stored cannot be read",
  does_not_compile: "The change does not compile",
};

export function isProblem(error: unknown, code?: string): error is Problem {
  return error instanceof Problem && (code === undefined || error.code === code);
}

/** What was refused, by the JSON Pointer of its field. A taken key comes without one, as the server finds it only when it stores. */
export function problemAt(problem: Problem | null): (field: string) => string | undefined {
  const of = problem?.code === "key_taken" ? "/key" : problem?.field;
  return (field) => (field === of ? problem?.message : undefined);
}

/** What to show for any thrown value. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem({ status: 0, code: "unreachable", detail: "Nothing was heard from the server. Is it running, and is the network up?" });
}

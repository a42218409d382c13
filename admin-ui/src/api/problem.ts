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
    this.title = body.title ?? titleOf(body.code);
  }
}

function titleOf(code: string): string {
  switch (code) {
    case "stale":
      return "Somebody else changed it";
    case "forbidden":
      return "Your role does not allow this";
    case "unauthenticated":
      return "You are signed out";
    case "unreachable":
      return "The server does not answer";
    case "too_many_requests":
      return "Too many requests";
    case "broken":
      return "What is stored cannot be read";
    case "does_not_compile":
      return "The change does not compile";
    default:
      return "That did not work";
  }
}

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

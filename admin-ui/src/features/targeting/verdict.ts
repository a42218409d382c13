/** What compiling says of a draft, of a flag or of a segment. */

import type { CompileIssue } from "../../api/types";
import { canonical } from "../../lib/json";
import type { Compiled } from "../playground/evaluator";

export interface Verdict {
  /** Of the object itself, warnings and what was wrong before included. */
  issues: CompileIssue[];
  /** What the server would refuse the change for, wherever it is: whatever is worse than before. */
  stopping: CompileIssue[];
}

/** Compares an environment with the draft in it with the stored one. */
export function judge(stored: Compiled, draft: Compiled, collection: "flags" | "segments", key: string): Verdict {
  const known = new Set(stored.issues().map(canonical));
  const found = draft.issues();
  return {
    issues: found.filter((issue) => issue.collection === collection && issue.key === key),
    stopping: found.filter((issue) => issue.severity !== "warning" && !known.has(canonical(issue))),
  };
}

import { useDeferredValue, useMemo } from "react";

import type { CompileIssue, SegmentInFile } from "../../api/types";
import { canonical } from "../../lib/json";
import { useEnvironment, type LoadedEnvironment } from "../playground/useEnvironment";

/** What compiling says of a draft. */
export interface Verdict {
  /** Of this segment, warnings and what was wrong before included. */
  issues: CompileIssue[];
  /** What the server would refuse the change for: whatever is worse than before. */
  stopping: CompileIssue[];
}

/** Compiles the rules of a draft as they are typed, by the server's own compiler; no verdict where this build has none. */
export function useVerdict(project: string, environment: string, key: string, rules: SegmentInFile["rules"]): { loaded: LoadedEnvironment | null; verdict: Verdict | null } {
  const { loaded } = useEnvironment(project, environment);
  const deferred = useDeferredValue(rules);
  const verdict = useMemo(() => (loaded ? judge(loaded, key, deferred) : null), [loaded, key, deferred]);
  return { loaded, verdict };
}

function judge({ compiled }: LoadedEnvironment, key: string, rules: SegmentInFile["rules"]): Verdict {
  const known = new Set(compiled.issues().map(canonical));
  // Members by name cannot be wrong, and there may be a hundred thousand.
  const found = compiled.withSegment({ key, rules }).issues();
  return {
    issues: found.filter((issue) => issue.collection === "segments" && issue.key === key),
    stopping: found.filter((issue) => issue.severity !== "warning" && !known.has(canonical(issue))),
  };
}

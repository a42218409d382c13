import { useDeferredValue, useMemo } from "react";

import type { SegmentInFile } from "../../api/types";
import { useEnvironment, type LoadedEnvironment } from "../playground/useEnvironment";
import { judge, type Verdict } from "../targeting/verdict";

/** Compiles the rules of a draft as they are typed, by the server's own compiler; no verdict where this build has none. */
export function useVerdict(project: string, environment: string, key: string, rules: SegmentInFile["rules"]): { loaded: LoadedEnvironment | null; verdict: Verdict | null } {
  const { loaded } = useEnvironment(project, environment);
  const deferred = useDeferredValue(rules);
  const verdict = useMemo(
    // Members by name cannot be wrong, and there may be a hundred thousand.
    () => (loaded ? judge(loaded.compiled, loaded.compiled.withSegment({ key, rules: deferred }), "segments", key) : null),
    [loaded, key, deferred],
  );
  return { loaded, verdict };
}

import { useCallback, useLayoutEffect, useRef } from "react";

/** The same function for ever, which does what the newest one does: what only hands it on need not be drawn anew. */
export function useStable<A extends unknown[]>(act: (...args: A) => void): (...args: A) => void {
  const newest = useRef(act);
  useLayoutEffect(() => {
    newest.current = act;
  });
  return useCallback((...args: A) => newest.current(...args), []);
}

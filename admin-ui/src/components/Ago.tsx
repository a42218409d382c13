import { Tooltip } from "@mantine/core";
import { useSyncExternalStore } from "react";

import { ago, exactly } from "../lib/time";

const TICK_MS = 15_000;

let current = Date.now();
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  // Whoever comes after a pause must not be told the time of before it.
  current = Date.now();
  timer ??= setInterval(() => {
    current = Date.now();
    for (const tell of listeners) tell();
  }, TICK_MS);
  return () => {
    listeners.delete(listener);
    if (listeners.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  };
}

/** The time that all relative times on the page are told from. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => current);
}

export function Ago({ at }: { at: string }) {
  const now = useNow();
  return (
    <Tooltip label={exactly(at)}>
      <time dateTime={at}>{ago(at, Math.max(now, Date.parse(at)))}</time>
    </Tooltip>
  );
}

/** Follows every environment of the project on the screen, and has the cache read again what changed. */

import { useQueryClient } from "@tanstack/react-query";
import { createContext, useContext, useEffect, useMemo, useRef, useState, type ReactNode } from "react";

import { invalidateAllButList, invalidateProject, isListBehind } from "../../api/listed";
import { queries } from "../../api/queries";
import type { Environment } from "../../api/types";
import { followStream, worst, type Health, type Socket } from "../../lib/stream";

/** More environments than this are not followed: browsers limit sockets per host. */
const MAX_STREAMS = 12;
/** The first change is read at once; those that follow within this time, or while that is read, are read together. */
const GATHER_MS = 150;
/** A stream that is down for longer makes the page stale, in so many words. */
const STALE_AFTER_MS = 20_000;

interface Live {
  health: Health | null;
  stale: boolean;
  retryNow(): void;
}

const LiveContext = createContext<Live>({ health: null, stale: false, retryNow: () => {} });

export const useLive = () => useContext(LiveContext);

function openSocket(project: string, environment: string): Socket {
  const url = new URL("/api/v1/stream", window.location.origin);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams({ project, environment }).toString();
  // What it is handed is assigned through the `on…` members alone.
  return new WebSocket(url) as unknown as Socket;
}

const after = (ms: number, then: () => void) => {
  const timer = setTimeout(then, ms);
  return () => clearTimeout(timer);
};

export function LiveProvider({ project, environments, children }: { project: string; environments: Environment[]; children: ReactNode }) {
  const queryClient = useQueryClient();
  const [healths, setHealths] = useState<Record<string, Health>>({});
  const [stale, setStale] = useState(false);
  const streams = useRef<{ stop(): void; retryNow(): void }[]>([]);
  const keys = environments
    .slice(0, MAX_STREAMS)
    .map(({ key }) => key)
    .join("\n");

  useEffect(() => {
    let wanted: typeof invalidateProject | null = null;
    let isReading = false;
    // A read is through before the next begins: were it begun anew with each change, a long list would never be through.
    const readOn = async () => {
      if (isReading || !wanted) return;
      const invalidate = wanted;
      wanted = null;
      isReading = true;
      await Promise.all([invalidate(queryClient, project), new Promise<void>((done) => after(GATHER_MS, done))]);
      isReading = false;
      void readOn();
    };
    const read = (invalidate: typeof invalidateProject) => {
      if (wanted !== invalidateProject) wanted = invalidate;
      void readOn();
    };
    // Signed out meanwhile, or the environment was archived.
    const askWhatIsLeft = () => {
      for (const { queryKey } of [queries.me(), queries.environments(project)]) void queryClient.invalidateQueries({ queryKey });
    };
    streams.current = keys
      .split("\n")
      .filter((key) => key !== "")
      .map((key) =>
        followStream(
          { connect: () => openSocket(project, key), now: Date.now, random: Math.random, after },
          {
            onHealth: (health) => setHealths((all) => ({ ...all, [key]: health })),
            onChange: ({ changed }) => read(isListBehind(queryClient, project, key, changed) ? invalidateProject : invalidateAllButList),
            onRefused: askWhatIsLeft,
          },
        ),
      );
    const online = () => streams.current.forEach((stream) => stream.retryNow());
    window.addEventListener("online", online);
    return () => {
      window.removeEventListener("online", online);
      wanted = null;
      streams.current.forEach((stream) => stream.stop());
      streams.current = [];
      setHealths({});
    };
  }, [keys, project, queryClient]);

  const health = worst(Object.values(healths));
  const down = health !== null && health.phase !== "live";
  useEffect(() => {
    if (!down) return;
    const cancel = after(STALE_AFTER_MS, () => setStale(true));
    return () => {
      cancel();
      setStale(false);
    };
  }, [down]);

  const live = useMemo(() => ({ health, stale, retryNow: () => streams.current.forEach((stream) => stream.retryNow()) }), [health, stale]);
  return <LiveContext value={live}>{children}</LiveContext>;
}

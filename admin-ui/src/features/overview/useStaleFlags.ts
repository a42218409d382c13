import { useQueries, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";

import { api } from "../../api/client";
import { queries } from "../../api/queries";
import type { Broken, Environment, FlagConfig, ListedFlag } from "../../api/types";
import { useNow } from "../../components/Ago";
import { placeOf } from "./attention";
import { candidates, staleFlags, type Heard, type StaleFlag } from "./stale";

/** Of very many flags, the configurations of the oldest are read. */
const READ = 40;
/** What was left alone for a month can wait for some minutes. */
const FRESH_MS = 10 * 60_000;
const HOUR_MS = 3_600_000;

/** The stale flags of a project, as far as that is known. */
export function useStaleFlags(project: string, flags: (ListedFlag | Broken)[], environments: Environment[]): { stale: StaleFlag[]; error: Error | null } {
  const now = useNow();
  // Whether a flag is old changes by the day: no list is made anew with every tick.
  const hour = now - (now % HOUR_MS);
  const keys = useMemo(() => environments.filter(({ production }) => production).map(({ key }) => key), [environments]);
  const places = useMemo(() => candidates(flags, keys, hour).slice(0, READ).flatMap(({ key }) => keys.map((environment) => ({ flag: key, environment }))), [flags, keys, hour]);
  const read = useQuery({
    // Outside of what the stream invalidates: every change would read all of them again.
    queryKey: ["staleFlags", project, places],
    queryFn: () => Promise.all(places.map(async ({ flag, environment }): Promise<[string, FlagConfig]> => [placeOf(flag, environment), await api.config(project, flag, environment)])),
    enabled: places.length > 0,
    staleTime: FRESH_MS,
  });
  const insights = useQueries({ queries: keys.map((key) => queries.environmentInsights(project, key)) });
  const isAdmin = useQuery(queries.me()).data?.instanceAdmin === true;
  const system = useQuery({ ...queries.system(), enabled: isAdmin }).data;
  const heard = new Map(keys.flatMap((key, at): [string, Heard][] => (insights[at]?.data ? [[key, insights[at].data]] : [])));
  const heardSince = system && !system.isShared ? system.startedAt : null;
  return { stale: staleFlags(flags, { environments: keys, configs: new Map(read.data), heard, heardSince }, now), error: read.error };
}

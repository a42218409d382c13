/** Flags that decide nothing in production any more. */

import { isBroken } from "../../api/client";
import type { Broken, FlagConfig, ListedFlag } from "../../api/types";
import { ago } from "../../lib/time";
import { servedToAll } from "../flags/reach";
import { placeOf } from "./attention";

/** A flag that is as it was for so long was forgotten, or is done with. */
export const STALE_MS = 30 * 86_400_000;

/** What was heard of evaluations in an environment. */
export interface Heard {
  /** By flag. */
  lastAt: Record<string, string>;
}

export interface Production {
  /** The keys of the production environments: an archived flag is gone from all of them. */
  environments: string[];
  /** By `placeOf`, as far as they were read. */
  configs: ReadonlyMap<string, FlagConfig>;
  /** By environment. */
  heard: ReadonlyMap<string, Heard>;
  /** Since when the asked server heard all that applications told; null where that is not known, or others hear, too. */
  heardSince: string | null;
}

export interface StaleFlag {
  flag: ListedFlag;
  why: string;
}

const isOld = (at: string, now: number) => now - Date.parse(at) >= STALE_MS;
const latest = (times: string[]) => times.toSorted((a, b) => Date.parse(a) - Date.parse(b)).at(-1);

/** Whether a flag may be ready to clean up: it is old, and not meant to stay. */
const mayGo = (flag: ListedFlag | Broken, now: number): flag is ListedFlag => !isBroken(flag) && !flag.permanent && isOld(flag.createdAt, now);

/** Flags whose configurations are worth reading: old ones that seem to give everyone one variant; the oldest first. */
export function candidates(flags: (ListedFlag | Broken)[], environments: string[], now: number): ListedFlag[] {
  const seemsConstant = (flag: ListedFlag) =>
    environments.every((key) => {
      const state = flag.environments[key];
      return state && !state.broken && !state.killed && !/,|\/| of units/.test(state.summary);
    });
  return flags
    .filter((flag) => mayGo(flag, now))
    .filter(seemsConstant)
    .toSorted((a, b) => Date.parse(a.createdAt) - Date.parse(b.createdAt));
}

/** The one variant that everybody gets in production, and since when; null where there is no such thing, or nobody knows. */
function constantOf(flag: ListedFlag, { environments, configs }: Production): { variant: string; since: string } | null {
  const of = environments.map((key) => configs.get(placeOf(flag.key, key)));
  const variants = of.map((config) => {
    const isPlain = config && config.prerequisites.length + config.targets.length + config.rules.length === 0;
    return isPlain ? servedToAll(config) : null;
  });
  const [variant] = variants;
  const since = latest(of.map((config) => config?.updatedAt ?? flag.createdAt));
  return variant && since && variants.every((each) => each === variant) ? { variant, since } : null;
}

/** When production asked for a flag last, in words; and whether that is long ago. */
function askedFor(flag: ListedFlag, { environments, heard, heardSince }: Production, now: number): { words: string; isLongAgo: boolean } | null {
  const of = environments.map((key) => heard.get(key));
  const last = latest(of.flatMap((each) => each?.lastAt[flag.key] ?? []));
  if (last && !isOld(last, now)) return { words: `last evaluated ${ago(last, now)}`, isLongAgo: false };
  // What this server has not heard lately, another may have; and where it heard of nothing at all, applications may not tell.
  if (heardSince === null || of.some((each) => !each || Object.keys(each.lastAt).length === 0)) return null;
  if (last) return { words: `last evaluated ${ago(last, now)}`, isLongAgo: true };
  return { words: `not asked for since the server started ${ago(heardSince, now)}`, isLongAgo: isOld(heardSince, now) };
}

/** Old flags that give everyone one variant and were not changed for long, or that nobody asks for any more. */
export function staleFlags(flags: (ListedFlag | Broken)[], production: Production, now: number): StaleFlag[] {
  if (production.environments.length === 0) return [];
  return flags.flatMap((flag): StaleFlag[] => {
    if (!mayGo(flag, now)) return [];
    // Those have a section of their own.
    if (production.environments.some((key) => flag.environments[key]?.killed)) return [];
    const constant = constantOf(flag, production);
    const isUnchanged = constant !== null && isOld(constant.since, now);
    const asked = askedFor(flag, production, now);
    if (!isUnchanged && !asked?.isLongAgo) return [];
    const why = [...(isUnchanged ? [`${constant.variant} for everyone, last changed ${ago(constant.since, now)}`] : []), ...(asked ? [asked.words] : [])];
    return [{ flag, why: why.join("; ") }];
  });
}

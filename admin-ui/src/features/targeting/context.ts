import { createContext, useContext } from "react";

import type { CompileIssue, Flag, FlagFile, Variant } from "../../api/types";
import { attributesAskedFor } from "../playground/context";

/** What the fields of the editor know beside their value. */
export interface Surroundings {
  project: string;
  environment: string;
  flag: Pick<Flag, "key" | "kind" | "variants">;
  /** Attributes that rules of the environment look at. */
  attributes: string[];
  segments: string[];
  /** The other flags of the environment. */
  flags: { key: string; variants: Variant[] }[];
  /** What the compiler says of the draft. */
  issues: CompileIssue[];
}

export const SurroundingsContext = createContext<Surroundings>({ project: "", environment: "", flag: { key: "", kind: "boolean", variants: [] }, attributes: [], segments: [], flags: [], issues: [] });

export const useSurroundings = () => useContext(SurroundingsContext);

/** What is wrong at a place, a JSON Pointer, or `within` it; undefined where nothing is. */
export function useIssue(pointer: string, reach: "at" | "within" = "within"): string | undefined {
  const { issues } = useSurroundings();
  const found = issues.filter(({ path }) => path === pointer || (reach === "within" && path.startsWith(`${pointer}/`)));
  // In a field, code is told as text.
  return found.length === 0 ? undefined : [...new Set(found.map(({ message }) => message.replaceAll("`", "")))].join("; ");
}

/** What fields know of an environment’s flag file; null while it is not there. */
export function surroundingsOf(of: Pick<Surroundings, "project" | "environment" | "flag">, found: FlagFile | null, issues: CompileIssue[]): Surroundings {
  const file = found ?? {};
  return {
    ...of,
    issues,
    attributes: ["targetingKey", ...attributesAskedFor(file).map(({ name }) => name)],
    segments: (file.segments ?? []).map(({ key }) => key),
    flags: (file.flags ?? []).filter(({ key }) => key !== of.flag.key).map(({ key, variants }) => ({ key, variants })),
  };
}

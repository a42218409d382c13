import { createContext, useContext } from "react";

import type { CompileIssue, Flag, Variant } from "../../api/types";

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
  return found.length === 0 ? undefined : [...new Set(found.map(({ message }) => message))].join("; ");
}

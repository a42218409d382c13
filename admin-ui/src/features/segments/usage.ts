/** Who uses a segment. */

import type { ExportedFile } from "../../api/types";

export interface User {
  kind: "flag" | "segment";
  key: string;
  /** The rules' places, from 1. */
  rules: number[];
}

/** Whether a condition, or one within its groups, asks for the segment. */
export function asksFor(condition: unknown, segment: string): boolean {
  if (condition === null || typeof condition !== "object") return false;
  const members = condition as Record<string, unknown>;
  if (members["operator"] === "segment") return Array.isArray(members["values"]) && members["values"].includes(segment);
  return ["any", "all", "none"].some((group) => Array.isArray(members[group]) && members[group].some((each) => asksFor(each, segment)));
}

/** The flags and segments of an environment whose rules ask for the segment. */
export function usersOf(file: Pick<ExportedFile, "flags" | "segments">, segment: string): User[] {
  const of = (kind: User["kind"], items: { key: string; rules?: { conditions?: unknown[] | undefined }[] | undefined }[] = []): User[] =>
    items
      .map(({ key, rules = [] }) => ({
        kind,
        key,
        rules: rules.flatMap(({ conditions = [] }, at) => (conditions.some((condition) => asksFor(condition, segment)) ? [at + 1] : [])),
      }))
      .filter(({ rules }) => rules.length > 0);
  return [...of("flag", file.flags), ...of("segment", file.segments)];
}

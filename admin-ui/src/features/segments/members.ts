/** Members of segments as people paste them, and changes of two people brought together. */

import type { Segment, SegmentRule } from "../../api/types";

/** The part of a segment that people change. */
export interface Draft {
  name: string;
  description: string;
  included: string[];
  excluded: string[];
  rules: SegmentRule[];
}

export const draftOf = (segment: Segment): Draft => ({
  name: segment.name,
  description: segment.description ?? "",
  included: segment.included ?? [],
  excluded: segment.excluded ?? [],
  rules: segment.rules ?? [],
});

/** Targeting keys of a pasted text: one a line, or with commas, semicolons or tabs between them; quotes around one are a spreadsheet's. */
export function parseMembers(text: string): string[] {
  const keys = text
    .split(/[\n\r,;\t]+/)
    .map((part) => part.trim().replace(/^"(.*)"$/, "$1"))
    .filter((part) => part !== "");
  return [...new Set(keys)];
}

/** Both lists, sorted and without repeats, as the server stores them. */
export function joined(members: string[], more: string[]): string[] {
  return [...new Set([...members, ...more])].toSorted((a, b) => (a < b ? -1 : 1));
}

const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);

/** What `mine` does to `base`, done to `theirs`. */
export function mergedMembers(base: string[], mine: string[], theirs: string[]): string[] {
  if (same(base, mine)) return theirs;
  const [had, have] = [new Set(base), new Set(mine)];
  return joined(
    theirs.filter((member) => have.has(member) || !had.has(member)),
    mine.filter((member) => !had.has(member)),
  );
}

export const FIELDS = ["name", "description", "rules"] as const;
export type Field = (typeof FIELDS)[number];

/**
 * My changes on top of somebody else's. Members come together one by one; of a field that both changed, mine stays, and
 * it is named.
 */
export function merged(base: Draft, mine: Draft, theirs: Draft): { draft: Draft; conflicts: Field[] } {
  const conflicts = FIELDS.filter((field) => !same(mine[field], base[field]) && !same(theirs[field], base[field]) && !same(mine[field], theirs[field]));
  const pick = <F extends Field>(field: F): Draft[F] => (same(mine[field], base[field]) ? theirs[field] : mine[field]);
  const draft: Draft = {
    name: pick("name"),
    description: pick("description"),
    rules: pick("rules"),
    included: mergedMembers(base.included, mine.included, theirs.included),
    excluded: mergedMembers(base.excluded, mine.excluded, theirs.excluded),
  };
  return { draft, conflicts };
}

/** Only what differs: the body of a change. */
export function changesOf(base: Draft, mine: Draft): Partial<Draft> {
  return Object.fromEntries(Object.entries(mine).filter(([field, value]) => !same(value, base[field as keyof Draft])));
}

/** How a list changed, like “3 added, 1 removed”; empty where it did not. */
export function membersWords(base: string[], mine: string[]): string {
  const [had, have] = [new Set(base), new Set(mine)];
  const added = mine.filter((member) => !had.has(member)).length;
  const removed = base.filter((member) => !have.has(member)).length;
  return [...(added > 0 ? [`${added} added`] : []), ...(removed > 0 ? [`${removed} removed`] : [])].join(", ");
}

/** What takes a change back: another one, to how it was right before. */

import { api } from "../../api/client";
import type { AuditRow, ConfigPatch, FlagConfig, Segment } from "../../api/types";
import { canonical } from "../../lib/json";

type Kind = "flag" | "segment";
export type Body = Record<string, unknown>;

/** What a change was made to. */
export interface Target {
  kind: Kind;
  key: string;
  environment: string;
}

/** The fields that people change, with what they are where a body leaves them out. */
const DEFAULTS: Record<Kind, Body> = {
  flag: { enabled: false, offVariant: null, prerequisites: [], targets: [], rules: [], default: null, availability: "private" },
  segment: { name: null, description: "", included: [], excluded: [], rules: [] },
};

/** What a row can be taken back to: a flag's configuration or a segment, as it was before; null where there is no such thing. */
export function revertible(row: AuditRow): Target | null {
  const [kind, key] = [row.resource.slice(0, row.resource.indexOf("/")), row.resource.slice(row.resource.indexOf("/") + 1)];
  if (!row.environment || row.before === null || typeof row.before !== "object" || row.after === null) return null;
  // A rollout's moves are the controller's: taking one back is rolling back.
  if (kind === "flag" && row.action === "flag.configure") return { kind, key, environment: row.environment };
  if (kind === "segment" && row.action === "segment.update") return { kind, key, environment: row.environment };
  return null;
}

function fieldsOf(kind: Kind, body: unknown): Body {
  const members = body as Body;
  return Object.fromEntries(Object.entries(DEFAULTS[kind]).map(([field, otherwise]) => [field, members[field] ?? otherwise]));
}

/** Of long lists the log keeps only what a change added and took out, and of that not more than so much. */
interface KeptMembers {
  count: number;
  countOnlyHere: number;
  onlyHere: string[];
}

const isKept = (value: unknown): value is KeptMembers => value !== null && typeof value === "object" && "onlyHere" in value;

/** How a segment was, by what is now and what the change did; or why that is not known. */
export function wantedSegment(before: unknown, after: unknown, now: Body): Body | string {
  const [was, became] = [fieldsOf("segment", before), fieldsOf("segment", after)];
  const wanted = { ...was };
  for (const list of ["included", "excluded"] as const) {
    const [from, to] = [was[list], became[list]];
    if (!isKept(from)) continue;
    if (!isKept(to) || from.countOnlyHere > from.onlyHere.length || to.countOnlyHere > to.onlyHere.length) {
      return `The log does not hold all members that this change added or took out, so that ${list} cannot be brought back from it.`;
    }
    const out = new Set(to.onlyHere);
    wanted[list] = [...new Set([...(now[list] as string[]).filter((member) => !out.has(member)), ...from.onlyHere])].toSorted((a, b) => (a < b ? -1 : 1));
  }
  return wanted;
}

/** From how it is now to how it was before a change. */
export interface WayBack {
  now: Body;
  wanted: Body;
  /** The fields that differ; none where it is like that already. */
  patch: Body;
  /** Whether it was changed again since: that goes back, too. */
  isOvertaken: boolean;
}

/** The way back, or why it is not known. */
export function wayBack(row: AuditRow, { kind }: Target, current: FlagConfig | Segment): WayBack | string {
  const now = fieldsOf(kind, current);
  const wanted = kind === "flag" ? fieldsOf(kind, row.before) : wantedSegment(row.before, row.after, now);
  if (typeof wanted === "string") return wanted;
  const patch = Object.fromEntries(Object.entries(wanted).filter(([field, value]) => canonical(value) !== canonical(now[field])));
  const isOvertaken = Object.entries(fieldsOf(kind, row.after)).some(([field, value]) => !isKept(value) && canonical(value) !== canonical(now[field]));
  return { now, wanted, patch, isOvertaken };
}

/** What a revert says of itself, as far as nobody says more. */
export const revertReason = ({ sequence }: Pick<AuditRow, "sequence">) => `Undoes change ${sequence}`;

export function sendBack(project: string, { kind, key, environment }: Target, version: number, patch: Body, reason: string): Promise<FlagConfig | Segment> {
  return kind === "flag"
    ? api.patchConfig(project, key, environment, version, patch as ConfigPatch, reason)
    : api.updateSegment(project, environment, key, version, patch, reason);
}

/** Takes a change back without asking, where nothing came after it; says whether it did. */
export async function revertAtOnce(project: string, row: AuditRow, target: Target): Promise<boolean> {
  const { kind, key, environment } = target;
  const current = await (kind === "flag" ? api.config(project, key, environment) : api.segment(project, environment, key));
  const way = wayBack(row, target, current);
  if (typeof way === "string" || way.isOvertaken) return false;
  await sendBack(project, target, current.version, way.patch, revertReason(row));
  return true;
}

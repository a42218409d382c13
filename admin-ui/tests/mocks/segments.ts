/** Segments, and what an environment is as a flag file. */

import type { FlagInFile, Segment, SegmentRule } from "../../src/api/types";
import { merged, page, Refusal, type Handlers } from "./operations";
import type { Store } from "./store";

export const segmentHandlers = (store: Store): Handlers => ({
  listSegments: ({ path, query }) => page(segmentsIn(store, path.environment).map(counted), query),
  getSegment: ({ path }) => store.segments.read(`${path.environment}/${path.segment}`),
  createSegment: ({ path, body, reason }) => {
    mustCompile(body.key, body.rules);
    const segment = store.segments.add(`${path.environment}/${body.key}`, { ...body, ...store.stamp() });
    store.record({ action: "segment.create", resource: `segment/${body.key}`, environment: path.environment, after: segment, reason });
    return segment;
  },
  updateSegment: ({ path, body, reason, ifMatch }) => {
    const key = `${path.environment}/${path.segment}`;
    const before = store.segments.seen(key, ifMatch);
    mustCompile(path.segment, body.rules);
    const after = { ...merged(before, body), version: before.version + 1, updatedAt: store.now().toISOString() };
    store.segments.set(key, after);
    store.record({ action: "segment.update", resource: `segment/${path.segment}`, environment: path.environment, before, after, reason });
    return after;
  },
  archiveSegment: ({ path, reason, ifMatch }) => {
    const key = `${path.environment}/${path.segment}`;
    const before = store.segments.seen(key, ifMatch);
    const users = usersOf(store, path.environment, path.segment);
    if (users.length > 0) throw new Refusal(409, "in_use", `segment \`${path.segment}\` is used by ${users.join(", ")}: take it out there first`);
    store.segments.delete(key);
    store.record({ action: "segment.archive", resource: `segment/${path.segment}`, environment: path.environment, before, reason });
  },

  getFlagFile: ({ path }) => {
    const segments = segmentsIn(store, path.environment).map(({ key, included, excluded, rules, version }) => ({ key, included, excluded, rules, version }));
    return { flags: flagsIn(store, path.environment), segments, broken: [] };
  },
});

const segmentsIn = (store: Store, environment: string): Segment[] => [...store.segments].flatMap(([key, segment]) => (key.startsWith(`${environment}/`) ? [segment] : []));

const counted = ({ key, name, description = "", included = [], excluded = [], rules = [], version }: Segment) => ({
  key,
  name,
  description,
  version,
  nIncluded: included.length,
  nExcluded: excluded.length,
  nRules: rules.length,
});

const flagsIn = (store: Store, environment: string): FlagInFile[] =>
  store.flags.all().map(({ key, kind, variants }) => {
    const { enabled, killed, offVariant = null, salt, prerequisites, targets, rules, default: serve, snapshotVersion } = store.config(key, environment);
    return { key, kind, variants, version: snapshotVersion, enabled, killed, offVariant, salt, prerequisites, targets, rules, default: serve };
  });

/** The flags and segments whose rules use a segment. */
function usersOf(store: Store, environment: string, segment: string): string[] {
  const asks = new RegExp(`"operator":"segment"[^}]*"${segment}"|"values":\\["${segment}"\\][^}]*"operator":"segment"`);
  const uses = ({ rules = [] }: { rules?: object[] }) => asks.test(JSON.stringify(rules));
  const flags = flagsIn(store, environment).filter(uses).map(({ key }) => `flag \`${key}\``);
  return [...flags, ...segmentsIn(store, environment).filter(uses).map(({ key }) => `segment \`${key}\``)];
}

function mustCompile(key: string, rules: SegmentRule[] | null | undefined): void {
  if (!JSON.stringify(rules ?? []).includes('"operator":"nonsense"')) return;
  const issue = { collection: "segments", key, path: "/rules/0/conditions/0/operator", message: "unknown operator `nonsense`", severity: "ruleSkipped", code: "unknown_operator" } as const;
  throw new Refusal(422, "does_not_compile", "the change does not compile", { issues: [issue] });
}

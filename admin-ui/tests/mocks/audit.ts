/** The audit log, and what the server says of itself. */

import { Refusal, type Answer, type Asked, type Handlers } from "./operations";
import { LONG_AGO } from "./seeds";
import type { Store } from "./store";

export const auditHandlers = (store: Store): Handlers => ({
  listAudit: ({ query }) => audited(store, query),
  getAuditRow: ({ path }) => {
    const row = store.audit.find(({ sequence }) => sequence === path.sequence);
    if (!row) throw new Refusal(404, "not_found", "there is no such row");
    return row;
  },
  verifyAudit: () => ({ rows: store.audit.length, head: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }),
  getSystem: () => {
    const now = store.now().toISOString();
    const controller = { holder: "01JDA7", epoch: 3, since: now, renewedAt: now };
    return { version: "0.1.0", startedAt: LONG_AGO.createdAt, now, epoch: "e1", isShared: false, databaseBytes: 12_400_000, controller };
  },
});

function audited(store: Store, { action = "", since = "", until = "9999", cursor, limit = 50, ...query }: Asked<"listAudit">["query"]): Answer<"listAudit"> {
  // The cursor is a row's number: what follows is older.
  const before = Number(cursor ?? Number.POSITIVE_INFINITY);
  const found = store.audit
    .filter((row) => row.sequence < before && row.action.startsWith(action) && row.at >= since && row.at < until)
    .filter((row) => (["environment", "resource", "actor"] as const).every((name) => query[name] === undefined || row[name] === query[name]))
    .toReversed();
  const items = found.slice(0, limit);
  return { items, ...(found.length > limit ? { nextCursor: String(items.at(-1)?.sequence) } : {}) };
}

/** What the audit log is filtered by, and the files that are made of it. */

import type { AuditFilter } from "../../api/queries";
import type { AuditRow } from "../../api/types";
import { given } from "../../lib/given";

/** What the address says. */
export interface AuditSearch {
  environment?: string | undefined;
  resource?: string | undefined;
  actor?: string | undefined;
  /** Like `flag.kill`, or `rollout.*`. */
  action?: string | undefined;
  /** Days of the reader's calendar, like `2026-11-20`; both are within. */
  since?: string | undefined;
  until?: string | undefined;
}

const DAY = /^(\d{4})-(\d{2})-(\d{2})$/;

/** When a day begins here; undefined where the text is no day. */
function startOfDay(text: string | undefined, plusDays = 0): string | undefined {
  const match = DAY.exec(text ?? "");
  if (!match) return undefined;
  const [year, month, date] = match.slice(1).map(Number) as [number, number, number];
  const at = new Date(year, month - 1, date + plusDays);
  return Number.isNaN(at.getTime()) ? undefined : at.toISOString();
}

/** What the server is asked for: it takes the beginnings of actions, and times. */
export function filterOf(project: string, { action, since, until, ...rest }: AuditSearch): AuditFilter {
  return given({ project, ...rest, action: action?.replace(/\*$/, ""), since: startOfDay(since), until: startOfDay(until, 1) });
}

export const ACTIONS: { group: string; items: [string, string][] }[] = [
  {
    group: "Flags",
    items: [
      ["flag.*", "Anything on flags"],
      ["flag.configure", "Changed in an environment"],
      ["flag.kill", "Killed"],
      ["flag.restore", "Restored"],
      ["flag.create", "Created"],
      ["flag.update", "Name, tags or variants changed"],
      ["flag.archive", "Archived"],
    ],
  },
  {
    group: "Rollouts",
    items: [
      ["rollout.*", "Anything on rollouts"],
      ["rollout.start", "Started"],
      ["rollout.advance", "Raised"],
      ["rollout.pause", "Paused"],
      ["rollout.approve", "Approved"],
      ["rollout.rollBack", "Rolled back"],
      ["rollout.kill", "Killed by a rollout"],
      ["rollout.complete", "Completed"],
    ],
  },
  {
    group: "Segments",
    items: [
      ["segment.*", "Anything on segments"],
      ["segment.create", "Created"],
      ["segment.update", "Changed"],
      ["segment.archive", "Archived"],
    ],
  },
  {
    group: "People and keys",
    items: [
      ["member.*", "Members"],
      ["user.*", "Users"],
      ["sdkKey.*", "SDK keys"],
      ["token.*", "API tokens"],
      ["session.*", "Signing in"],
    ],
  },
  {
    group: "Settings",
    items: [
      ["environment.*", "Environments"],
      ["project.*", "Projects"],
      ["notificationChannel.*", "Notification channels"],
      ["metricSource.*", "Metric sources"],
      ["rolloutTemplate.*", "Rollout templates"],
    ],
  },
];

const COLUMNS = [
  "sequence",
  "at",
  "actor",
  "actorName",
  "action",
  "project",
  "environment",
  "resource",
  "reason",
  "before",
  "after",
  "requestId",
  "leafVersion",
  "previousHash",
  "hash",
] as const satisfies (keyof AuditRow)[];

/** RFC 4180. What a spreadsheet would take for a formula is marked as text. */
export function csvOf(rows: AuditRow[]): string {
  const cell = (value: unknown) => {
    const text = value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
    const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
    return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return [COLUMNS.join(","), ...rows.map((row) => COLUMNS.map((column) => cell(row[column])).join(","))].map((line) => `${line}\r\n`).join("");
}

/** One row a line, as the server tells it: with its hashes. */
export function jsonLinesOf(rows: AuditRow[]): string {
  return rows.map((row) => `${JSON.stringify(row)}\n`).join("");
}

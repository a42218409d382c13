/** Tells of changes as they are made, each with its way back: the revert of its row in the audit log. */

import { Button, Group } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQueryClient } from "@tanstack/react-query";
import { lazy, Suspense, useCallback, useState, type ReactNode } from "react";

import { api } from "../../api/client";
import { invalidateProject } from "../../api/listed";
import { Problem, problemOf } from "../../api/problem";
import type { AuditRow, Environment } from "../../api/types";
import { capitalised, Said } from "../../components/Said";
import { revertAtOnce, revertible, type Target } from "./wayBack";

/** Asked for rarely: not part of the first page. */
const Revert = lazy(() => import("./Revert").then((module) => ({ default: module.Revert })));

const UNDO_MS = 8_000;
/** A change that was just made is among the newest of its resource. */
const NEWEST = 20;

/** A change of a flag's configuration, or of a segment, that was stored. */
export interface StoredChange {
  /** Like `flag/new-checkout`. */
  resource: string;
  environment: Environment;
  stored: { updatedAt?: string | null };
  /** What to say of it. */
  done: string;
}

/** The row of a change, and what it takes back: what is stored has its row’s time. */
async function changeOf(project: string, { resource, environment, stored }: StoredChange): Promise<{ row: AuditRow; target: Target }> {
  const { items } = await api.audit({ project, environment: environment.key, resource, limit: NEWEST });
  const row = items.find(({ at }) => at === stored.updatedAt);
  const target = row ? revertible(row) : null;
  if (!row || !target) throw new Problem({ status: 404, code: "not_found", detail: "The newest rows of the audit log do not have this change." });
  return { row, target };
}

/** `announce` tells of a change; `dialog` is to be drawn. */
export function useUndo(project: string): { announce(change: StoredChange): void; dialog: ReactNode } {
  const queryClient = useQueryClient();
  const [reverting, setReverting] = useState<{ row: AuditRow; target: Target; environment: Environment } | null>(null);

  const undo = useCallback(
    async (change: StoredChange) => {
      const { environment } = change;
      try {
        const { row, target } = await changeOf(project, change);
        // The way back is as the way there: at once where that is harmless, and nobody else's change would go with it.
        if (!environment.production && (await revertAtOnce(project, row, target))) {
          notifications.show({ message: `Undone: ${target.key} in ${environment.name} is as before`, color: "tide", autoClose: 4_000 });
        } else {
          setReverting({ row, target, environment });
        }
      } catch (error) {
        const { title, message } = problemOf(error);
        notifications.show({ title: `Not undone: ${title.toLowerCase()}`, message: <Said>{capitalised(message)}</Said>, color: "buoy", autoClose: 10_000 });
      }
      await invalidateProject(queryClient, project);
    },
    [project, queryClient],
  );

  const announce = useCallback(
    (change: StoredChange) => {
      const { resource, environment, stored, done } = change;
      const id = `undo-${resource}-${environment.key}-${stored.updatedAt ?? ""}`;
      notifications.show({
        id,
        color: "tide",
        autoClose: UNDO_MS,
        message: (
          <Group justify="space-between" wrap="nowrap" gap="sm">
            <span style={{ overflowWrap: "anywhere" }}>{done}</span>
            <Button
              flex="none"
              size="compact-sm"
              variant="light"
              onClick={() => {
                notifications.hide(id);
                void undo(change);
              }}
            >
              {environment.production ? "Undo…" : "Undo"}
            </Button>
          </Group>
        ),
      });
    },
    [undo],
  );

  const dialog = reverting ? (
    <Suspense>
      <Revert project={project} {...reverting} onClose={() => setReverting(null)} />
    </Suspense>
  ) : null;
  return { announce, dialog };
}

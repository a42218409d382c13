/** What changes flags, from any screen: switches, kills, restores, and the dialogs in front of them. */

import { Button, Group } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQueryClient } from "@tanstack/react-query";
import { createContext, useCallback, useContext, useMemo, useState, type ReactNode } from "react";

import { api } from "../../api/client";
import { isProblem, problemOf } from "../../api/problem";
import { queries } from "../../api/queries";
import type { ConfigPatch, Environment, FlagHead, Me } from "../../api/types";
import { refusal, type Ability } from "../../lib/access";
import { ConfirmChange, type ProposedChange } from "./ConfirmChange";
import { KillDialog, type ProposedKill } from "./KillDialog";

interface Actions {
  /** Why this person may not; null where they may. */
  refusal(ability: Ability): string | null;
  /** Carries a change out: at once where that is harmless, in production once it is confirmed. */
  change(change: ProposedChange, version: number): Promise<void>;
  kill(flag: FlagHead, environment: Environment): void;
  restore(flag: FlagHead, environment: Environment): void;
  /** Whether something is under way for this flag here. */
  busy(flag: string, environment: string): boolean;
}

const ActionsContext = createContext<Actions | null>(null);

export function useFlagActions(): Actions {
  const actions = useContext(ActionsContext);
  if (!actions) throw new Error("useFlagActions outside of FlagActions");
  return actions;
}

const UNDO_MS = 8_000;

/** The change that switches a flag on or off. */
export function toggle(flag: FlagHead, environment: Environment, enabled: boolean): ProposedChange {
  return {
    flag,
    environment,
    patch: { enabled },
    verb: enabled ? "Turn on" : "Turn off",
    done: `${flag.key} is ${enabled ? "on" : "off"} in ${environment.name}`,
    undo: { enabled: !enabled },
  };
}

const place = (flag: string, environment: string) => `${flag}\n${environment}`;

export function FlagActions({ project, me, children }: { project: string; me: Me; children: ReactNode }) {
  const queryClient = useQueryClient();
  const [confirming, setConfirming] = useState<{ change: ProposedChange; stale: boolean } | null>(null);
  const [killing, setKilling] = useState<ProposedKill | null>(null);
  const [pending, setPending] = useState<ReadonlySet<string>>(new Set());

  const refresh = useCallback(() => queryClient.invalidateQueries({ queryKey: ["project", project] }), [queryClient, project]);

  const mark = useCallback((where: string, busy: boolean) => {
    setPending((all) => {
      const next = new Set(all);
      if (busy) next.add(where);
      else next.delete(where);
      return next;
    });
  }, []);

  const undo = useCallback(
    async ({ flag, environment }: ProposedChange, patch: ConfigPatch, version: number) => {
      try {
        await api.patchConfig(project, flag.key, environment.key, version, patch, "Undone at once");
        notifications.show({ message: `Undone: ${flag.key} in ${environment.name} is as before`, color: "tide", autoClose: 4_000 });
      } catch (error) {
        const { title, message } = problemOf(error);
        notifications.show({ title: `Not undone: ${title.toLowerCase()}`, message, color: "buoy", autoClose: 10_000 });
      }
      await refresh();
    },
    [project, refresh],
  );

  /** Tells of a change, with the way back where there is one. */
  const announce = useCallback(
    (change: ProposedChange, version: number) => {
      const id = `undo-${change.flag.key}-${change.environment.key}-${version}`;
      const back = change.undo;
      notifications.show({
        id,
        color: "tide",
        autoClose: back ? UNDO_MS : 4_000,
        message: (
          <Group justify="space-between" wrap="nowrap" gap="sm">
            <span>{change.done}</span>
            {back ? (
              <Button
                size="compact-sm"
                variant="light"
                onClick={() => {
                  notifications.hide(id);
                  void undo(change, back, version);
                }}
              >
                Undo
              </Button>
            ) : null}
          </Group>
        ),
      });
    },
    [undo],
  );

  const change = useCallback(
    async (proposed: ProposedChange, version: number) => {
      const { flag, environment, patch } = proposed;
      if (environment.production) {
        setConfirming({ change: proposed, stale: false });
        return;
      }
      const where = place(flag.key, environment.key);
      mark(where, true);
      try {
        const stored = await api.patchConfig(project, flag.key, environment.key, version, patch, proposed.reason ?? "");
        await refresh();
        proposed.draft?.onSaved();
        announce(proposed, stored.version);
      } catch (error) {
        await refresh();
        if (isProblem(error, "stale")) {
          if (proposed.draft) proposed.draft.onOvertaken();
          else setConfirming({ change: proposed, stale: true });
        } else {
          const { title, message } = problemOf(error);
          notifications.show({ title, message, color: "buoy", autoClose: 10_000 });
        }
      } finally {
        mark(where, false);
      }
    },
    [announce, mark, project, refresh],
  );

  const actions = useMemo<Actions>(
    () => ({
      refusal: (ability) => refusal(me, project, ability),
      change,
      kill: (flag, environment) => setKilling({ flag, environment, restore: false }),
      restore: (flag, environment) => setKilling({ flag, environment, restore: true }),
      busy: (flag, environment) => pending.has(place(flag, environment)),
    }),
    [change, me, pending, project],
  );

  return (
    <ActionsContext value={actions}>
      {children}
      {confirming ? (
        <ConfirmChange
          project={project}
          {...confirming}
          onClose={() => setConfirming(null)}
          onDone={async (version) => {
            const { change: proposed } = confirming;
            setConfirming(null);
            await refresh();
            proposed.draft?.onSaved();
            announce(proposed.environment.production ? { ...proposed, undo: null } : proposed, version);
          }}
        />
      ) : null}
      {killing ? (
        <KillDialog
          project={project}
          {...killing}
          onClose={() => setKilling(null)}
          onDone={async () => {
            setKilling(null);
            await Promise.all([refresh(), queryClient.invalidateQueries({ queryKey: queries.receipts(project, killing.environment.key).queryKey })]);
          }}
        />
      ) : null}
    </ActionsContext>
  );
}

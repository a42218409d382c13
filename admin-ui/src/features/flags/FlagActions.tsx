/** What changes flags, from any screen: switches, kills, restores, and the dialogs in front of them. */

import { notifications } from "@mantine/notifications";
import { MutationObserver, useIsMutating, useQueryClient } from "@tanstack/react-query";
import { createContext, useCallback, useContext, useMemo, useState, type ReactNode } from "react";

import { api } from "../../api/client";
import { changeState, invalidateAllButList, invalidateProject, keepConfig } from "../../api/listed";
import { isProblem, problemOf } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Environment, FlagConfig, FlagHead, FlagState, Me } from "../../api/types";
import { capitalised, Said } from "../../components/Said";
import { refusal, type Ability } from "../../lib/access";
import { useUndo, type StoredChange } from "../audit/useUndo";
import { ConfirmChange, type ProposedChange } from "./ConfirmChange";
import { KillDialog, type ProposedKill } from "./KillDialog";

interface Actions {
  project: string;
  /** Why this person may not; null where they may. */
  refusal(ability: Ability): string | null;
  /** Carries a change out: at once where that is harmless, in production once it is confirmed. */
  change(change: ProposedChange, version: number): Promise<void>;
  kill(flag: FlagHead, environment: Environment): void;
  restore(flag: FlagHead, environment: Environment): void;
  /** Tells of a change that was stored, with the way back. */
  announce(change: StoredChange): void;
}

const ActionsContext = createContext<Actions | null>(null);

export function useFlagActions(): Actions {
  const actions = useContext(ActionsContext);
  if (!actions) throw new Error("useFlagActions outside of FlagActions");
  return actions;
}

/** Whether a change of this flag here is on its way to the server. */
export function useIsChanging(flag: string, environment: string): boolean {
  const { project } = useFlagActions();
  return useIsMutating({ mutationKey: queries.config(project, flag, environment).queryKey }) > 0;
}

/** The change that switches a flag on or off. */
export function toggle(flag: FlagHead, environment: Environment, enabled: boolean): ProposedChange {
  return {
    flag,
    environment,
    patch: { enabled },
    verb: enabled ? "Turn on" : "Turn off",
    done: `${flag.key} is ${enabled ? "on" : "off"} in ${environment.name}`,
  };
}

const changed = ({ flag, environment, done }: ProposedChange, stored: FlagConfig): StoredChange => ({ resource: `flag/${flag.key}`, environment, stored, done });

export function FlagActions({ project, me, children }: { project: string; me: Me; children: ReactNode }) {
  const queryClient = useQueryClient();
  const [confirming, setConfirming] = useState<{ change: ProposedChange; stale: boolean } | null>(null);
  const [killing, setKilling] = useState<ProposedKill | null>(null);

  const { announce, dialog } = useUndo(project);

  const refresh = useCallback(() => invalidateProject(queryClient, project), [queryClient, project]);

  /** Puts what was stored in its place, and has read again what hangs on it. */
  const keep = useCallback(
    (stored: FlagConfig) => {
      keepConfig(queryClient, project, stored);
      return invalidateAllButList(queryClient, project);
    },
    [queryClient, project],
  );

  /** Changes at once. The switch moves before the server has answered; an error takes it back. */
  const write = useCallback(
    async (proposed: ProposedChange, version: number) => {
      const { flag, environment, patch } = proposed;
      const { enabled } = patch;
      // The version, too: by that, the list knows the change when the stream tells of it.
      const expected = (state: FlagState): FlagState => (typeof enabled === "boolean" ? { ...state, enabled, version: version + 1 } : state);
      const before = changeState(queryClient, project, flag.key, environment.key, expected);
      try {
        const stored = await api.patchConfig(project, flag.key, environment.key, version, patch, proposed.reason ?? "");
        await keep(stored);
        proposed.draft?.onSaved();
        announce(changed(proposed, stored));
      } catch (error) {
        if (before) changeState(queryClient, project, flag.key, environment.key, () => before);
        await refresh();
        if (isProblem(error, "stale")) {
          if (proposed.draft) proposed.draft.onOvertaken();
          else setConfirming({ change: proposed, stale: true });
        } else {
          const { title, message } = problemOf(error);
          notifications.show({ title, message: <Said>{capitalised(message)}</Said>, color: "buoy", autoClose: 10_000 });
        }
      }
    },
    [announce, keep, project, queryClient, refresh],
  );

  const change = useCallback(
    async (proposed: ProposedChange, version: number) => {
      const { flag, environment } = proposed;
      if (environment.production) {
        setConfirming({ change: proposed, stale: false });
        return;
      }
      // Offline it fails, and says so, instead of waiting.
      const mutation = new MutationObserver(queryClient, {
        mutationKey: queries.config(project, flag.key, environment.key).queryKey,
        mutationFn: () => write(proposed, version),
        networkMode: "always",
      });
      await mutation.mutate();
    },
    [project, queryClient, write],
  );

  const actions = useMemo<Actions>(
    () => ({
      project,
      refusal: (ability) => refusal(me, project, ability),
      change,
      kill: (flag, environment) => setKilling({ flag, environment, restore: false }),
      restore: (flag, environment) => setKilling({ flag, environment, restore: true }),
      announce,
    }),
    [announce, change, me, project],
  );

  return (
    <ActionsContext value={actions}>
      {children}
      {confirming ? (
        <ConfirmChange
          project={project}
          {...confirming}
          onClose={() => setConfirming(null)}
          onDone={async (stored) => {
            const { change: proposed } = confirming;
            setConfirming(null);
            await keep(stored);
            proposed.draft?.onSaved();
            announce(changed(proposed, stored));
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
      {dialog}
    </ActionsContext>
  );
}

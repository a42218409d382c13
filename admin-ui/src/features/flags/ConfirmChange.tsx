import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { ConfigPatch, Environment, FlagHead, FlagConfig } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { Diff } from "../../components/Diff";
import { EnvironmentName } from "../../components/EnvironmentName";
import { Loading } from "../../components/Loading";
import { ProblemAlert } from "../../components/ProblemAlert";
import { OptionalReason } from "../../components/ReasonField";
import { TypedConfirmation } from "../../components/TypedConfirmation";
import { canonical } from "../../lib/json";
import { offWords, serveWords } from "../../lib/words";
import styles from "./Dialogs.module.css";
import { newForEveryone } from "./reach";
import { estimateWords } from "./served";

export interface ProposedChange {
  flag: FlagHead;
  environment: Environment;
  patch: ConfigPatch;
  /** Like “Turn on”: on the button, and in the dialog's title. */
  verb: string;
  /** What to say once it is done. */
  done: string;
  /** Why, as far as it was said already. */
  reason?: string;
  /** Where the change was made from a version that a person has looked at, and is lost on another. */
  draft?: {
    version: number;
    onSaved(): void;
    /** Somebody else's change came first: nothing was saved. */
    onOvertaken(): void;
  };
}

interface ConfirmProps {
  project: string;
  change: ProposedChange;
  /** The change was refused because somebody else's came first. */
  stale: boolean;
  onClose(): void;
  onDone(stored: FlagConfig): Promise<void>;
}

/** All that is stored but the counters that every write moves. */
function compared(config: FlagConfig): Partial<FlagConfig> {
  const { version: _version, snapshotVersion: _snapshot, updatedAt: _updated, issues: _issues, ...rest } = config;
  return Object.fromEntries(Object.entries(rest).filter(([name]) => name !== "changes"));
}

function effect(config: FlagConfig, flag: FlagHead): string {
  if (config.killed) return `Killed: everyone gets ${offWords(config, flag.variants)}`;
  if (!config.enabled) return `Off: everyone gets ${offWords(config, flag.variants)}`;
  const rules = config.rules.length;
  const otherwise = serveWords(config.default);
  return rules === 0 ? `On: everyone gets ${otherwise}` : `On: ${rules === 1 ? "one rule decides" : `${rules} rules decide`} first, else ${otherwise}`;
}

/** Shows what a change would do, from the server's dry run, and does it only on a second click. */
export function ConfirmChange({ project, change, stale, onClose, onDone }: ConfirmProps) {
  const { flag, environment, patch } = change;
  const queryClient = useQueryClient();
  const [reason, setReason] = useState(change.reason ?? "");
  const [typed, setTyped] = useState("");
  const [overtaken, setOvertaken] = useState(stale);
  const insights = useQuery(queries.insights(project, flag.key, environment.key)).data;
  const read = useQuery({ ...queries.config(project, flag.key, environment.key), staleTime: 0 });
  const current = read.data;
  const preview = useQuery({
    // Outside of what the stream invalidates: it is of one version, and a new version makes a new one.
    queryKey: ["preview", project, flag.key, environment.key, current?.version, canonical(patch)],
    queryFn: async () => {
      if (!current) throw new Error("nothing to compare with");
      return { before: current, after: await api.previewConfig(project, flag.key, environment.key, current.version, patch) };
    },
    enabled: current !== undefined,
    retry: false,
    gcTime: 0,
  });

  // The first version shown: a newer one, come by the stream, is said to be newer.
  const shown = preview.data;
  const [firstVersion, setFirstVersion] = useState<number | null>(null);
  if (shown && firstVersion === null) setFirstVersion(shown.before.version);
  const moved = overtaken || (shown !== undefined && firstVersion !== null && shown.before.version !== firstVersion);

  const save = useMutation({
    mutationFn: (version: number) => api.patchConfig(project, flag.key, environment.key, version, patch, reason.trim()),
    onSuccess: onDone,
    onError: async (error) => {
      if (!isProblem(error, "stale")) return;
      setOvertaken(true);
      await queryClient.invalidateQueries({ queryKey: queries.config(project, flag.key, environment.key).queryKey });
    },
  });

  const overtakenDraft = change.draft !== undefined && current !== undefined && current.version !== change.draft.version ? change.draft : null;
  useEffect(() => {
    if (!overtakenDraft) return;
    onClose();
    overtakenDraft.onOvertaken();
  }, [overtakenDraft, onClose]);

  const unchanged = shown !== undefined && canonical(compared(shown.before)) === canonical(compared(shown.after));
  const forEveryone = shown && environment.production ? newForEveryone(shown.before, shown.after) : null;
  const isReady = shown !== undefined && !unchanged && (forEveryone === null || typed === flag.key);
  const previewIsStale = isProblem(preview.error, "stale");
  const failed = read.error ?? (previewIsStale ? null : preview.error) ?? (isProblem(save.error, "stale") ? null : save.error);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) save.mutate(shown.before.version);
  };

  return (
    <Dialog onClose={onClose} size={640} title={`${change.verb} ${flag.key} in ${environment.name}?`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <div className={styles.where}>
            <EnvironmentName environment={environment} />
            <span className={styles.flag}>
              <strong>{flag.name}</strong> <code>{flag.key}</code>
            </span>
          </div>
          {moved ? (
            <Alert color="yellow" title="Somebody else changed this flag meanwhile" role="status">
              It was read again: what follows is the difference from how it is now. Look at it once more.
            </Alert>
          ) : null}
          {failed ? <ProblemAlert error={failed} /> : null}
          {shown ? (
            <>
              <dl className={styles.effect}>
                <dt>Now</dt>
                <dd>{effect(shown.before, flag)}</dd>
                <dt>Then</dt>
                <dd data-new>{effect(shown.after, flag)}</dd>
              </dl>
              {insights && !unchanged ? <Text size="sm">{estimateWords(insights, shown.after)}</Text> : null}
              {unchanged ? (
                <Text size="sm">It is like that already: there is nothing to change.</Text>
              ) : (
                <div>
                  <Text size="sm" fw={600} mb={6}>
                    What will be stored
                  </Text>
                  <Diff before={compared(shown.before)} after={compared(shown.after)} label="Difference of the configuration" />
                </div>
              )}
            </>
          ) : failed ? null : (
            <Loading size="sm" what="Asking the server what would change" />
          )}
          <OptionalReason value={reason} onChange={setReason} isFirst />
          {forEveryone === null ? null : (
            <TypedConfirmation word={flag.key} description={`From then on, everyone gets ${forEveryone} by default.`} typed={typed} onChange={setTyped} />
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {unchanged ? "Close" : "Cancel"}
            </Button>
            <Button type="submit" loading={save.isPending} disabled={!isReady}>
              {change.verb} in {environment.name}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

import { Button, Group, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { queries } from "../../api/queries";
import type { Environment, FlagHead } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { EnvironmentName } from "../../components/EnvironmentName";
import { KillIcon, RestoreIcon } from "../../components/icons";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { TypedConfirmation } from "../../components/TypedConfirmation";
import { offWords, serveWords } from "../../lib/words";
import { ReceiptsLine } from "../environments/ReceiptsLine";
import styles from "./Dialogs.module.css";

export interface ProposedKill {
  flag: FlagHead;
  environment: Environment;
  /** Lifts the kill instead. */
  restore: boolean;
}

interface KillProps extends ProposedKill {
  project: string;
  onClose(): void;
  onDone(): Promise<void>;
}

const RECEIPTS_MS = 8_000;

/** Kills a flag in an environment, or lifts the kill: one reason, in production the flag’s key, no approval. */
export function KillDialog({ project, flag, environment, restore, onClose, onDone }: KillProps) {
  const [reason, setReason] = useState("");
  const [typed, setTyped] = useState("");
  const isTyping = environment.production && !restore;
  const isReady = reason.trim() !== "" && (!isTyping || typed === flag.key);
  const config = useQuery(queries.config(project, flag.key, environment.key));
  const act = useMutation({
    mutationFn: (): Promise<unknown> => (restore ? api.restore : api.kill)(project, environment.key, flag.key, reason.trim()),
    onSuccess: async () => {
      await onDone();
      notifications.show({
        color: restore ? "tide" : "buoy",
        autoClose: RECEIPTS_MS,
        title: `${flag.key} is ${restore ? "restored" : "killed"} in ${environment.name}`,
        message: <ReceiptsLine project={project} environment={environment.key} applied />,
      });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) act.mutate();
  };
  const verb = restore ? "Restore" : "Kill";
  return (
    <Dialog onClose={onClose} size={520} title={`${verb} ${flag.key} in ${environment.name}?`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <div className={styles.where}>
            <EnvironmentName environment={environment} />
            <span className={styles.flag}>
              <strong>{flag.name}</strong> <code>{flag.key}</code>
            </span>
          </div>
          {config.data ? (
            <Text size="sm">
              {restore ? (
                <>
                  The flag takes up where it was: {config.data.enabled ? `on, ${serveWords(config.data.default)} by default` : "off"}.
                </>
              ) : (
                <>
                  At once, everyone in {environment.name} gets <strong>{offWords(config.data, flag.variants)}</strong>, whatever the rules say, until
                  somebody restores it.
                </>
              )}
            </Text>
          ) : null}
          {act.error ? <ProblemAlert error={act.error} /> : null}
          <ReasonField value={reason} onChange={setReason} />
          {isTyping ? <TypedConfirmation word={flag.key} typed={typed} onChange={setTyped} /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button
              type="submit"
              color={restore ? "tide" : "buoy"}
              leftSection={restore ? <RestoreIcon /> : <KillIcon />}
              loading={act.isPending}
              disabled={!isReady}
            >
              {verb} in {environment.name}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

import { Alert, Button, Group, Progress, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent, type ReactNode } from "react";

import { invalidateProject } from "../../../api/listed";
import type { ListedFlag } from "../../../api/types";
import { Dialog } from "../../../components/Dialog";
import { WarningIcon } from "../../../components/icons";
import { ReasonField } from "../../../components/ReasonField";
import styles from "./Bulk.module.css";
import { useBulk, type Progress as BulkProgress } from "./useBulk";

interface BulkDialogProps {
  project: string;
  title: string;
  /** Like “Archive”, on the button. */
  verb: string;
  /** Like “archived”. */
  done: string;
  color?: string;
  /** Those that there is something to change of. */
  flags: ListedFlag[];
  /** Whether the fields are filled in; the reason is asked for here. */
  isReady: boolean;
  change(flag: ListedFlag, reason: string): Promise<unknown>;
  /** Told at the end, with the keys of those that were changed. */
  onChanged(keys: string[]): void;
  onClose(): void;
  /** The fields. */
  children: ReactNode;
}

/** Changes many flags for one reason, shows how far it is, and what could not be changed and why. */
export function BulkDialog({ project, title, verb, done, color, flags, isReady, change, onChanged, onClose, children }: BulkDialogProps) {
  const [reason, setReason] = useState("");
  const queryClient = useQueryClient();
  const { progress, run, stop } = useBulk((flag) => change(flag, reason.trim()));
  const mayRun = isReady && reason.trim() !== "" && flags.length > 0;

  const carryOut = async () => {
    const changed = await run(flags);
    void invalidateProject(queryClient, project);
    onChanged(changed);
    if (changed.length < flags.length) return;
    onClose();
    notifications.show({ message: `${flagsWords(changed.length)} ${done}`, color: "tide", autoClose: 4_000 });
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (mayRun) void carryOut();
  };

  if (progress) {
    return (
      <Dialog onClose={progress.isOver ? onClose : stop} size={560} title={title}>
        <Stack>
          {progress.isOver ? <Outcome progress={progress} done={done} /> : <Running progress={progress} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={progress.isOver ? onClose : stop}>
              {progress.isOver ? "Close" : "Stop"}
            </Button>
          </Group>
        </Stack>
      </Dialog>
    );
  }
  return (
    <Dialog onClose={onClose} size={560} title={title}>
      <form onSubmit={submit}>
        <Stack>
          {children}
          <FlagKeys flags={flags} />
          <ReasonField value={reason} onChange={setReason} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" {...(color ? { color } : {})} disabled={!mayRun}>
              {verb} {flagsWords(flags.length)}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

export function flagsWords(n: number): string {
  return `${n.toLocaleString("en")} ${n === 1 ? "flag" : "flags"}`;
}

function FlagKeys({ flags }: { flags: ListedFlag[] }) {
  return (
    // Scrolled by the keyboard, too.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <ul className={styles.keys} aria-label="Flags that will be changed" tabIndex={0}>
      {flags.map(({ key }) => (
        <li key={key}>{key}</li>
      ))}
    </ul>
  );
}

function Running({ progress: { changed, failures, of } }: { progress: BulkProgress }) {
  const at = changed + failures.length;
  return (
    <>
      <Progress value={(at / of) * 100} aria-label="Progress" />
      <Text size="sm" role="status">
        {at.toLocaleString("en")} of {flagsWords(of)}
        {failures.length > 0 ? `, ${failures.length} not changed` : ""}
      </Text>
    </>
  );
}

function Outcome({ progress: { changed, failures, of }, done }: { progress: BulkProgress; done: string }) {
  const left = of - changed - failures.length;
  return (
    <Alert color="buoy" variant="light" icon={<WarningIcon />} title={`${changed.toLocaleString("en")} of ${flagsWords(of)} ${done}`} role="alert">
      {failures.length > 0 ? (
        <ul className={styles.failures}>
          {failures.map(({ flag, problem }) => (
            <li key={flag}>
              <strong>{flag}</strong>: {problem.message}
            </li>
          ))}
        </ul>
      ) : null}
      {left > 0 ? <p>Stopped: {flagsWords(left)} not reached.</p> : null}
      <p>What was not changed is as it was, and still selected.</p>
    </Alert>
  );
}

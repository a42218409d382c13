import { Button, Group, Stack, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent, type ReactNode } from "react";

import { Dialog } from "./Dialog";
import { ProblemAlert } from "./ProblemAlert";
import { OptionalReason, ReasonField } from "./ReasonField";
import { TypedConfirmation } from "./TypedConfirmation";

interface ConfirmProps {
  title: string;
  verb: string;
  /** What is typed before, where it cannot be taken back. */
  word?: string;
  /** Whether the audit log has to know why. */
  needsReason?: boolean;
  children: ReactNode;
  /** What is read anew afterwards. */
  project: string;
  act(reason: string): Promise<unknown>;
  onClose(): void;
}

/** Asks before something is done, and for a reason. */
export function ConfirmDialog({ title, verb, word, needsReason = false, children, project, act, onClose }: ConfirmProps) {
  const [reason, setReason] = useState("");
  const [typed, setTyped] = useState("");
  const isReady = (word === undefined || typed === word) && (!needsReason || reason.trim() !== "");
  const queryClient = useQueryClient();
  const refresh = () => queryClient.invalidateQueries({ queryKey: ["project", project] });
  const doing = useMutation({
    mutationFn: () => act(reason.trim()),
    onSuccess: async () => {
      await refresh();
      onClose();
    },
    onError: refresh,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) doing.mutate();
  };
  return (
    <Dialog onClose={onClose} title={title}>
      <form onSubmit={submit}>
        <Stack>
          {doing.error ? <ProblemAlert error={doing.error} /> : null}
          <Text size="sm">{children}</Text>
          {needsReason ? <ReasonField value={reason} onChange={setReason} /> : <OptionalReason value={reason} onChange={setReason} />}
          {word === undefined ? null : <TypedConfirmation word={word} typed={typed} onChange={setTyped} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color="buoy" loading={doing.isPending} disabled={!isReady}>
              {verb}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

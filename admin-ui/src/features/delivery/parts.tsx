/** What the pages of the area share: why somebody may not, reasons, what goes for good, and what is said where somebody else came first. */

import { Alert, Button, Group, Stack, Text, Textarea } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent, type ReactNode } from "react";

import { Dialog } from "../../components/Dialog";
import { Diff } from "../../components/Diff";
import { ProblemAlert } from "../../components/ProblemAlert";
import { useFlagActions } from "../flags/FlagActions";
import type { Ability } from "../../lib/access";
import { refusalWords } from "../rollouts/rolloutWords";

export function useRefusal(ability: Ability, doing: string): string | null {
  return refusalWords(useFlagActions().refusal(ability), doing);
}

export function OptionalReason({ value, onChange }: { value: string; onChange(reason: string): void }) {
  return <Textarea label="Reason" description="Optional; kept in the audit log." autosize minRows={1} maxRows={4} maxLength={1000} value={value} onChange={(event) => onChange(event.currentTarget.value)} />;
}

/** Somebody else changed it since it was read: what they changed, and that nothing that was typed is lost. */
export function Overtaken({ before, after }: { before: unknown; after: unknown }) {
  return (
    <Alert color="yellow" title="Somebody else changed it meanwhile" role="alert">
      <Text size="sm" mb="xs">
        Nothing was saved, and what you typed is still here. This is what they changed; saving again puts yours in its place.
      </Text>
      <Diff before={before} after={after} label="What somebody else changed" />
    </Alert>
  );
}

interface ArchiveProps {
  title: string;
  verb?: string;
  children: ReactNode;
  /** What is read anew afterwards. */
  project: string;
  act(reason: string): Promise<unknown>;
  onClose(): void;
}

/** Asks before something goes for good. */
export function ArchiveDialog({ title, verb = "Archive", children, project, act, onClose }: ArchiveProps) {
  const [reason, setReason] = useState("");
  const queryClient = useQueryClient();
  const refresh = () => queryClient.invalidateQueries({ queryKey: ["project", project] });
  const archive = useMutation({
    mutationFn: () => act(reason.trim()),
    onSuccess: async () => {
      await refresh();
      onClose();
    },
    onError: refresh,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    archive.mutate();
  };
  return (
    <Dialog onClose={onClose} title={title}>
      <form onSubmit={submit}>
        <Stack>
          {archive.error ? <ProblemAlert error={archive.error} /> : null}
          <Text size="sm">{children}</Text>
          <OptionalReason value={reason} onChange={setReason} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color="buoy" loading={archive.isPending}>
              {verb}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

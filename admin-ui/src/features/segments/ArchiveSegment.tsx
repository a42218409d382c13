import { Button, Group, List, Stack, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import type { Environment, Segment } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { TypedConfirmation } from "../../components/TypedConfirmation";
import type { User } from "./usage";

interface ArchiveProps {
  project: string;
  environment: Environment;
  segment: Segment;
  /** Null while that is not known: the server says it then. */
  users: User[] | null;
  onClose(): void;
}

export function ArchiveSegment({ project, environment, segment, users, onClose }: ArchiveProps) {
  const [reason, setReason] = useState("");
  const [typed, setTyped] = useState("");
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const archive = useMutation({
    mutationFn: () => api.archiveSegment(project, environment.key, segment.key, segment.version, reason.trim()),
    onSuccess: async () => {
      onClose();
      await navigate({ to: "/projects/$project/segments", params: { project }, search: { environment: environment.key }, ignoreBlocker: true });
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
    },
  });
  if (users !== null && users.length > 0) {
    return (
      <Dialog onClose={onClose} title={`${segment.key} is in use`}>
        <Stack>
          <Text size="sm">Rules in {environment.name} ask for it. Take it out there first:</Text>
          <List size="sm">
            {users.map(({ kind, key, rules }) => (
              <List.Item key={`${kind} ${key}`}>
                {kind} <strong>{key}</strong>, {rules.length === 1 ? "rule" : "rules"} {rules.join(", ")}
              </List.Item>
            ))}
          </List>
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Close
            </Button>
          </Group>
        </Stack>
      </Dialog>
    );
  }
  const isReady = typed === segment.key && reason.trim() !== "";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) archive.mutate();
  };
  return (
    <Dialog onClose={onClose} title={`Archive ${segment.key} in ${environment.name}?`}>
      <form onSubmit={submit}>
        <Stack>
          {archive.error ? <ProblemAlert error={archive.error} /> : null}
          <Text size="sm">Its key is never used again in {environment.name}. This cannot be taken back.</Text>
          <ReasonField value={reason} onChange={setReason} />
          <TypedConfirmation word={segment.key} typed={typed} onChange={setTyped} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color="buoy" loading={archive.isPending} disabled={!isReady}>
              Archive
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

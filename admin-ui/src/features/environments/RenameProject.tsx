import { Alert, Button, Group, Stack, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Project } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { ProblemAlert } from "../../components/ProblemAlert";
import { OptionalReason } from "../../components/ReasonField";

/** Changes how a project is called; its key stays. */
export function RenameProject({ project, onClose }: { project: Project; onClose(): void }) {
  const [name, setName] = useState(project.name);
  const [reason, setReason] = useState("");
  const queryClient = useQueryClient();
  const refresh = () => queryClient.invalidateQueries({ queryKey: queries.projects().queryKey });
  const save = useMutation({
    mutationFn: () => api.renameProject(project.key, project.version, name.trim(), reason.trim()),
    onSuccess: async () => {
      await refresh();
      onClose();
    },
    onError: refresh,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Dialog onClose={onClose} title={`Rename ${project.name}`}>
      <form onSubmit={submit}>
        <Stack>
          {isProblem(save.error, "stale") ? (
            <Alert color="yellow" title="Somebody else changed the project meanwhile" role="status">
              It is called {project.name} now. Save once more to call it as you typed.
            </Alert>
          ) : save.error ? (
            <ProblemAlert error={save.error} />
          ) : null}
          <TextInput label="Name" required data-autofocus maxLength={100} value={name} onChange={(event) => setName(event.currentTarget.value)} />
          <OptionalReason value={reason} onChange={setReason} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending} disabled={name.trim() === "" || name.trim() === project.name}>
              Rename
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

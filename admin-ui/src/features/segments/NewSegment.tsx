import { Button, Group, Stack, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import type { Environment } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { ProblemAlert } from "../../components/ProblemAlert";
import { KEY, KEY_RULE, keyFrom } from "../../lib/keys";

interface NewSegmentProps {
  project: string;
  environment: Environment;
  /** The key that was asked for and is not there. */
  suggested?: string;
  onClose(): void;
}

/** Makes an empty segment; its page is where it gets its members and rules. */
export function NewSegment({ project, environment, suggested, onClose }: NewSegmentProps) {
  const [name, setName] = useState("");
  const [typedKey, setTypedKey] = useState<string | null>(suggested ?? null);
  const [description, setDescription] = useState("");
  const key = typedKey ?? keyFrom(name);
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const create = useMutation({
    mutationFn: () => api.createSegment(project, environment.key, { key, name: name.trim(), description: description.trim() }),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
      onClose();
      await navigate({ to: "/projects/$project/segments/$segment", params: { project, segment: key }, search: { environment: environment.key } });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <Dialog onClose={onClose} title={`New segment in ${environment.name}`}>
      <form onSubmit={submit}>
        <Stack>
          {create.error ? <ProblemAlert error={create.error} /> : null}
          <TextInput label="Name" required data-autofocus maxLength={200} value={name} onChange={(event) => setName(event.currentTarget.value)} />
          <TextInput
            label="Key"
            description="What rules ask for. It can never be used again once the segment is archived."
            required
            value={key}
            onChange={(event) => setTypedKey(event.currentTarget.value)}
            error={key !== "" && !KEY.test(key) ? KEY_RULE : null}
            styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
          />
          <Textarea label="Description" autosize minRows={1} maxRows={4} value={description} onChange={(event) => setDescription(event.currentTarget.value)} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={create.isPending} disabled={!KEY.test(key) || name.trim() === ""}>
              Create segment
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

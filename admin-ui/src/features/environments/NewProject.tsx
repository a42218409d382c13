import { Button, Group, Modal, Stack, TextInput } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { ProblemAlert } from "../../components/ProblemAlert";
import { KEY, KEY_RULE, keyFrom } from "../../lib/keys";

export const FIRST_ENVIRONMENTS = [
  { key: "development", name: "Development", production: false },
  { key: "staging", name: "Staging", production: false },
  { key: "production", name: "Production", production: true },
];

export function NewProject({ opened, onClose }: { opened: boolean; onClose(): void }) {
  return (
    <Modal opened={opened} onClose={onClose} title="New project">
      <ProjectForm onDone={onClose} />
    </Modal>
  );
}

/** Makes a project with the three environments that most begin with. */
export function ProjectForm({ onDone }: { onDone(): void }) {
  const [name, setName] = useState("");
  const [typedKey, setTypedKey] = useState<string | null>(null);
  const key = typedKey ?? keyFrom(name);
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const create = useMutation({
    mutationFn: async () => {
      const project = await api.createProject({ key, name: name.trim() });
      // One after the other: their order in every list is the order of their making.
      await FIRST_ENVIRONMENTS.reduce<Promise<unknown>>(
        (before, environment) => before.then(() => api.createEnvironment(project.key, environment)),
        Promise.resolve(),
      );
      return project;
    },
    onSuccess: async (project) => {
      await queryClient.invalidateQueries();
      onDone();
      await navigate({ to: "/projects/$project", params: { project: project.key } });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        {create.error ? <ProblemAlert error={create.error} /> : null}
        <TextInput
          label="Name"
          required
          data-autofocus
          value={name}
          onChange={(event) => setName(event.currentTarget.value)}
          description="It starts with the environments development, staging and production."
        />
        <TextInput
          label="Key"
          required
          value={key}
          onChange={(event) => setTypedKey(event.currentTarget.value)}
          error={key !== "" && !KEY.test(key) ? KEY_RULE : null}
          styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)" } }}
        />
        <Group justify="flex-end">
          <Button type="submit" loading={create.isPending} disabled={!KEY.test(key)}>
            Create project
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

import { Button, Group, Stack } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { deliveryApi, deliveryQueries } from "../../api/delivery";
import { isProblem } from "../../api/problem";
import type { RolloutSpec, RolloutTemplate } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { ProblemAlert } from "../../components/ProblemAlert";
import { cleaned } from "./specDraft";
import { namesOf, TemplateFields, type TemplateNames } from "./TemplateFields";

interface SaveProps {
  project: string;
  spec: RolloutSpec;
  onClose(): void;
  onSaved(template: RolloutTemplate): void;
}

/** Gives a spec a name, for the rollouts that come. */
export function SaveTemplate({ project, spec, onClose, onSaved }: SaveProps) {
  const [names, setNames] = useState<TemplateNames>({ name: "", key: null, description: "" });
  const queryClient = useQueryClient();
  const save = useMutation({
    mutationFn: () => deliveryApi.createTemplate(project, { ...namesOf(names), spec: cleaned(spec) }),
    onSuccess: async (saved) => {
      await queryClient.invalidateQueries({ queryKey: deliveryQueries.templates(project).queryKey });
      notifications.show({ color: "tide", autoClose: 4_000, message: `${saved.name} is a template now` });
      onSaved(saved);
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Dialog onClose={onClose} title="Save as a template">
      <form onSubmit={submit}>
        <Stack>
          {save.error ? <ProblemAlert error={save.error} /> : null}
          <TemplateFields names={names} keyed problem={isProblem(save.error) ? save.error : null} onChange={setNames} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending} disabled={names.name.trim() === ""}>
              Save template
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

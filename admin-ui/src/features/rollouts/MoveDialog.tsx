import { Button, Group, Stack, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import type { Environment, Rollout, RolloutAction } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { percent } from "../../lib/words";

interface MoveProps {
  project: string;
  environment: Environment;
  rollout: Rollout;
  action: RolloutAction;
  onClose(): void;
}

const VERBS: Record<RolloutAction, string> = {
  pause: "Pause",
  resume: "Resume",
  approve: "Approve",
  skip: "Go to the next step",
  rollBack: "Roll back",
};

function meaning(action: RolloutAction, { share, variant, baseline }: Rollout): string {
  switch (action) {
    case "pause":
      return `${percent(share)} of units keep ${variant}, and it does not rise until somebody resumes it. Harm still ends it.`;
    case "resume":
      return "It goes on by itself; what the step has baked counts.";
    case "approve":
      return "The next step begins once this one has baked, if no gate has anything against it.";
    case "skip":
      return "The rest of this step’s bake is left out, whatever the gates do not know. Harm still ends it.";
    case "rollBack":
      return `At once, everyone gets ${baseline} again by default, and the rollout ends.`;
  }
}

/** Moves a rollout: with a reason, which the audit log keeps beside what the gates said. */
export function MoveDialog({ project, environment, rollout, action, onClose }: MoveProps) {
  const [reason, setReason] = useState("");
  const queryClient = useQueryClient();
  const move = useMutation({
    mutationFn: () => api.moveRollout(project, environment.key, rollout, action, reason.trim()),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (reason.trim() !== "") move.mutate();
  };
  return (
    <Dialog onClose={onClose} size={520} title={`${VERBS[action]}: ${rollout.flag} in ${environment.name}`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <Text size="sm">{meaning(action, rollout)}</Text>
          {move.error ? <ProblemAlert error={move.error} /> : null}
          <ReasonField value={reason} onChange={setReason} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color={action === "rollBack" ? "buoy" : "tide"} loading={move.isPending} disabled={reason.trim() === ""}>
              {VERBS[action]}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

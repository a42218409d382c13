import { Button, Group, Stack, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import type { Environment, Rollout, RolloutAction } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { percent } from "../../lib/words";

/** What is done to a rollout, and to which of its gates. */
export interface RolloutMove {
  action: RolloutAction;
  gate?: string;
}

interface MoveProps {
  project: string;
  environment: Environment;
  rollout: Rollout;
  move: RolloutMove;
  onClose(): void;
}

const VERBS: Record<RolloutAction, string> = {
  pause: "Pause",
  resume: "Resume",
  approve: "Approve",
  skip: "Go to the next step",
  rollBack: "Roll back",
  override: "Override",
  heed: "Heed",
  complete: "End the watch",
};

function meaning({ action, gate }: RolloutMove, { share, variant, baseline, status }: Rollout): string {
  switch (action) {
    case "pause":
      return `${percent(share)} of units keep ${variant}, and it does not rise until somebody resumes it. Harm still ends it.`;
    case "resume":
      return "It goes on by itself; what the step has baked counts.";
    case "approve":
      return "The next step begins once this one has baked, if no gate has anything against it.";
    case "skip":
      return status.step === undefined
        ? "The first step begins now, whatever its schedule, windows and freezes say."
        : "The rest of the wait is left out, whatever the gates do not know, and whatever windows and freezes say. Harm still ends it.";
    case "rollBack":
      return `At once, everyone gets ${baseline} again by default, and the rollout ends.`;
    case "override":
      return `Whatever ${gate} says, it holds nothing and ends nothing any more. It is still judged and shown.`;
    case "heed":
      return `${gate} counts again, with all that it has seen.`;
    case "complete":
      return `Everyone keeps ${variant}; the gates are not watched any more.`;
  }
}

/** Moves a rollout: with a reason, which the audit log keeps beside what the gates said. */
export function MoveDialog({ project, environment, rollout, move, onClose }: MoveProps) {
  const [reason, setReason] = useState("");
  const queryClient = useQueryClient();
  const moving = useMutation({
    mutationFn: () => api.moveRollout(project, environment.key, rollout, move, reason.trim()),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (reason.trim() !== "") moving.mutate();
  };
  return (
    <Dialog onClose={onClose} size={520} title={`${VERBS[move.action]}: ${move.gate ?? rollout.flag} in ${environment.name}`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <Text size="sm">{meaning(move, rollout)}</Text>
          {moving.error ? <ProblemAlert error={moving.error} /> : null}
          <ReasonField value={reason} onChange={setReason} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color={move.action === "rollBack" ? "buoy" : "tide"} loading={moving.isPending} disabled={reason.trim() === ""}>
              {VERBS[move.action]}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

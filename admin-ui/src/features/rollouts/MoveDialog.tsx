import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import type { Environment, Rollout, RolloutAction } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { TypedConfirmation } from "../../components/TypedConfirmation";
import { percent, WHOLE } from "../../lib/words";
import { stepWords } from "./rolloutWords";

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

const DONE: Record<RolloutAction, string> = {
  pause: "is paused",
  resume: "goes on",
  approve: "may take its next step",
  skip: "goes to its next step",
  rollBack: "is rolled back",
  override: "goes on without that gate",
  heed: "heeds that gate again",
  complete: "is completed",
};

/** Nobody gets a variant by it who did not have it: it need not have seen the rollout's last move. */
const LOWERS: ReadonlySet<RolloutAction> = new Set(["pause", "rollBack", "heed"]);

/** Whether a person’s move gives everybody the new variant who did not have it; what the gates allow later is theirs. */
export function reachesEveryone({ action }: RolloutMove, { share, status, spec }: Pick<Rollout, "share" | "status" | "spec">): boolean {
  if (action !== "skip" || share === WHOLE) return false;
  const next = spec.steps[(status.step ?? -1) + 1];
  // After its last step, a rollout ends with the new variant for everybody.
  return next === undefined || next.share === WHOLE;
}

function meaning({ action, gate }: RolloutMove, { share, variant, baseline, status, spec }: Rollout): string {
  const present = status.step ?? -1;
  const next = spec.steps[present + 1];
  const then = next ? `, ${stepWords(next)},` : "";
  switch (action) {
    case "pause":
      return `${percent(share)} of units keep ${variant}, and it does not rise until somebody resumes it. Harm still ends it.`;
    case "resume":
      return "It goes on by itself; what the step has baked counts.";
    case "approve":
      return `The next step${then} begins once this one has baked, if no gate has anything against it.`;
    case "skip":
      if (present < 0) return "The first step begins now, whatever its schedule, windows and freezes say.";
      return next
        ? `The next step${then} begins now. The rest of the wait is left out, whatever the gates do not know, and whatever windows and freezes say. Harm still ends it.`
        : "It ends now, and everybody keeps the new variant. The rest of the wait is left out, whatever the gates do not know. Harm still ends it.";
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
  const [typed, setTyped] = useState("");
  const isTyping = environment.production && reachesEveryone(move, rollout);
  const isReady = reason.trim() !== "" && (!isTyping || typed === rollout.flag);
  const queryClient = useQueryClient();
  const refresh = () => queryClient.invalidateQueries({ queryKey: ["project", project] });
  const moving = useMutation({
    mutationFn: () => {
      const seen = LOWERS.has(move.action) ? undefined : rollout.status.generation;
      return api.moveRollout(project, environment.key, rollout.id, seen, move, reason.trim());
    },
    onSuccess: async () => {
      notifications.show({
        color: "tide",
        autoClose: 6_000,
        title: `The rollout of ${rollout.flag} ${DONE[move.action]}`,
        message: `${move.gate ? `${move.gate}. ` : ""}“${reason.trim()}” is in the audit log.`,
      });
      await refresh();
      onClose();
    },
    onError: (error) => (isProblem(error, "stale") ? refresh() : undefined),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) moving.mutate();
  };
  return (
    <Dialog onClose={onClose} size={520} title={`${VERBS[move.action]}: ${move.gate ?? rollout.flag} in ${environment.name}`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          {isProblem(moving.error, "stale") ? (
            <Alert color="yellow" title="It was moved meanwhile" role="alert">
              Nothing was done. It was read again: what follows is of how it is now. Look at it once more; your reason is kept.
            </Alert>
          ) : moving.error ? (
            <ProblemAlert error={moving.error} />
          ) : null}
          <Text size="sm">{meaning(move, rollout)}</Text>
          <ReasonField value={reason} onChange={setReason} />
          {isTyping ? <TypedConfirmation word={rollout.flag} description={`From then on, everyone gets ${rollout.variant} by default.`} typed={typed} onChange={setTyped} /> : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color={move.action === "rollBack" ? "buoy" : "tide"} loading={moving.isPending} disabled={!isReady}>
              {VERBS[move.action]}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

/** What people do to a rollout: the buttons, and the dialog in front of each move. */

import { Button, Group, Tooltip } from "@mantine/core";
import { useState } from "react";

import type { Environment, Rollout, RolloutAction } from "../../api/types";
import { useFlagActions } from "../flags/FlagActions";
import { MoveDialog, type RolloutMove } from "./MoveDialog";
import { hasEnded, refusalWords } from "./rolloutWords";

/** Why this person may not move rollouts; null where they may. */
export function useMoveRefusal(): string | null {
  return refusalWords(useFlagActions().refusal("operate"), "Moving a rollout");
}

/** What may be done to a rollout as it is. */
export function offeredFor(rollout: Pick<Rollout, "status">): [RolloutAction, string][] {
  const { status } = rollout;
  if (hasEnded(rollout)) return [];
  if (status.state === "guarding") return [["complete", "End the watch…"]];
  const approve: [RolloutAction, string][] = status.waiting === "approval" ? [["approve", "Approve…"]] : [];
  return [
    ["rollBack", "Roll back…"],
    ...approve,
    status.state === "paused" ? ["resume", "Resume…"] : ["pause", "Pause…"],
    ["skip", status.step === undefined || status.step === null ? "Begin now…" : "Next step now…"],
  ];
}

interface ActionsProps {
  project: string;
  environment: Environment;
  rollout: Rollout;
  size?: "compact-sm" | "sm";
}

export function RolloutActions({ project, environment, rollout, size = "sm" }: ActionsProps) {
  const [move, setMove] = useState<RolloutMove | null>(null);
  const mayNot = useMoveRefusal();
  const offered = offeredFor(rollout);
  return (
    <>
      <Group gap="xs" role="group" aria-label="What can be done">
        {offered.map(([action, label]) => (
          <Tooltip key={action} label={mayNot} disabled={mayNot === null}>
            <Button
              size={size}
              variant={action === "rollBack" || action === "approve" ? "filled" : "default"}
              color={action === "rollBack" ? "buoy" : "tide"}
              aria-disabled={mayNot !== null || undefined}
              data-disabled={mayNot !== null || undefined}
              aria-description={mayNot ?? undefined}
              onClick={() => {
                if (mayNot === null) setMove({ action });
              }}
            >
              {label}
            </Button>
          </Tooltip>
        ))}
      </Group>
      {move ? <MoveDialog project={project} environment={environment} rollout={rollout} move={move} onClose={() => setMove(null)} /> : null}
    </>
  );
}

/** Overrides a gate, or heeds it again. */
export function GateAction({ project, environment, rollout, gate }: ActionsProps & { gate: string }) {
  const [move, setMove] = useState<RolloutMove | null>(null);
  const mayNot = useMoveRefusal();
  if (hasEnded(rollout)) return null;
  const overridden = rollout.status.overridden?.includes(gate) ?? false;
  const verb = overridden ? "Heed" : "Override";
  return (
    <>
      <Tooltip label={mayNot} disabled={mayNot === null}>
        <Button
          size="compact-sm"
          variant="subtle"
          aria-disabled={mayNot !== null || undefined}
          data-disabled={mayNot !== null || undefined}
          aria-description={mayNot ?? undefined}
          aria-label={`${verb} ${gate}`}
          onClick={() => {
            if (mayNot === null) setMove({ action: overridden ? "heed" : "override", gate });
          }}
        >
          {verb}…
        </Button>
      </Tooltip>
      {move ? <MoveDialog project={project} environment={environment} rollout={rollout} move={move} onClose={() => setMove(null)} /> : null}
    </>
  );
}

import { Group, Text } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";

import type { Environment, FlagConfig, FlagHead } from "../../api/types";
import { Guarded } from "../../components/Guarded";
import { useFlagActions } from "../flags/FlagActions";
import { wholeVariant } from "../flags/reach";
import { refusalWords } from "./rolloutWords";

/** Why a rollout cannot start there; null where it can. */
export function startRefusal(flag: Pick<FlagHead, "variants">, config: FlagConfig): string | null {
  if (config.rollout) return "A rollout goes on already.";
  if (config.killed) return "The flag is killed.";
  if (!config.enabled) return "The flag is off: turn it on while everybody still gets the old variant.";
  if (flag.variants.length < 2) return "The flag has one variant only.";
  return wholeVariant(config.default) === null ? "Its default serves several variants: give everybody the one that they have now." : null;
}

interface StartProps {
  project: string;
  flag: FlagHead;
  environment: Environment;
  config: FlagConfig;
}

/** The way to a rollout, or why there is none. */
export function StartRollout({ project, flag, environment, config }: StartProps) {
  const mayNot = refusalWords(useFlagActions().refusal("edit"), "Starting a rollout");
  const navigate = useNavigate();
  const refused = startRefusal(flag, config);
  if (refused !== null) {
    return (
      <Text size="sm" c="dimmed">
        No rollout can start here. {refused}
      </Text>
    );
  }
  return (
    <Group gap="md">
      <Guarded
        refusal={mayNot}
        onClick={() => void navigate({ to: "/projects/$project/flags/$flag/rollouts/new", params: { project, flag: flag.key }, search: { environment: environment.key } })}
      >
        Roll out another variant…
      </Guarded>
      <Text size="sm" c="dimmed">
        Step by step, as far as gates find no harm.
      </Text>
    </Group>
  );
}

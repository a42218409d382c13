import { Button, Group, Tooltip } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";

import type { Environment, FlagConfig, FlagHead } from "../../api/types";
import { TextLink } from "../../components/TextLink";
import { useFlagActions } from "../flags/FlagActions";
import { refusalWords } from "./rolloutWords";

interface StartProps {
  project: string;
  flag: FlagHead;
  environment: Environment;
  config: FlagConfig;
}

/** The way to a rollout, where one can start: the flag is on and serves one variant to everybody by default. */
export function StartRollout({ project, flag, environment, config }: StartProps) {
  const mayNot = refusalWords(useFlagActions().refusal("edit"), "Starting a rollout");
  const navigate = useNavigate();
  const can = "variant" in config.default && config.enabled && !config.killed && flag.variants.length > 1;
  return (
    <Group mb="md" gap="md">
      {can ? (
        <Tooltip label={mayNot} disabled={mayNot === null}>
          <Button
            variant="default"
            size="compact-sm"
            aria-disabled={mayNot !== null || undefined}
            data-disabled={mayNot !== null || undefined}
            onClick={() => {
              if (mayNot === null) void navigate({ to: "/projects/$project/flags/$flag/rollouts/new", params: { project, flag: flag.key }, search: { environment: environment.key } });
            }}
          >
            Roll out another variant…
          </Button>
        </Tooltip>
      ) : null}
      <TextLink to="/projects/$project/rollouts" params={{ project }} search={{ flag: flag.key, environment: environment.key }} size="sm">
        Its rollouts
      </TextLink>
    </Group>
  );
}

import { Button, Menu } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQuery, useQueryClient } from "@tanstack/react-query";

import { problemOf } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Environment } from "../../api/types";
import { EnvironmentName } from "../../components/EnvironmentName";
import { capitalised, Said } from "../../components/Said";
import { targetingOf, type Targeting } from "./draft";

interface CopyProps {
  project: string;
  flag: string;
  /** Where it is copied to. */
  environment: Environment;
  onCopy(targeting: Targeting, from: Environment): void;
}

/** Begins a draft with the targeting that the flag has in another environment. */
export function CopyFrom({ project, flag, environment, onCopy }: CopyProps) {
  const others = (useQuery(queries.environments(project)).data ?? []).filter(({ key }) => key !== environment.key);
  const queryClient = useQueryClient();
  const copy = async (from: Environment) => {
    try {
      const config = await queryClient.fetchQuery(queries.config(project, flag, from.key));
      const rollout = config.rollout ? await queryClient.fetchQuery(queries.rollout(project, from.key, config.rollout)) : undefined;
      onCopy(targetingOf(config, rollout), from);
    } catch (error) {
      notifications.show({ color: "buoy", title: `The targeting in ${from.name} cannot be read`, message: <Said>{capitalised(problemOf(error).message)}</Said> });
    }
  };
  if (others.length === 0) return null;
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <Button variant="default" size="xs">
          Copy from…
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Begins a draft: nothing is changed yet</Menu.Label>
        {others.map((from) => (
          <Menu.Item key={from.key} onClick={() => void copy(from)}>
            <EnvironmentName environment={from} />
          </Menu.Item>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

import { Button, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";

import { deliveryApi } from "../../api/delivery";
import type { NotificationChannel } from "../../api/types";
import { ProblemAlert } from "../../components/ProblemAlert";
import { numberWords } from "../rollouts/rolloutWords";

/** Sends a test message, and tells what the receiver said. */
export function TestChannel({ project, channel }: { project: string; channel: NotificationChannel }) {
  const queryClient = useQueryClient();
  const test = useMutation({
    mutationFn: () => deliveryApi.testChannel(project, channel.key),
    onSettled: () => queryClient.invalidateQueries({ queryKey: ["project", project, "deliveries"] }),
  });
  const said = test.data;
  return (
    <div>
      <Button size="compact-sm" variant="default" loading={test.isPending} onClick={() => test.mutate()} aria-label={`Send a test to ${channel.name}`}>
        Send a test
      </Button>
      <Text size="sm" component="span" ml="sm" role="status" style={{ overflowWrap: "anywhere" }}>
        {said
          ? said.delivered
            ? `The receiver took it${said.status ? `, status ${said.status}` : ""}, after ${numberWords(said.durationMs)} ms.`
            : `Not delivered: ${said.problem ?? "the receiver did not say why"}${said.status ? ` (status ${said.status})` : ""}.`
          : null}
      </Text>
      {test.error ? <ProblemAlert error={test.error} /> : null}
    </div>
  );
}

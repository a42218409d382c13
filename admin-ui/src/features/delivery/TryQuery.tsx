import { Button, Group, Text, Tooltip } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";

import { deliveryApi } from "../../api/delivery";
import { Ago } from "../../components/Ago";
import { ProblemAlert } from "../../components/ProblemAlert";
import { useFlagActions } from "../flags/FlagActions";
import { numberWords, refusalWords } from "../rollouts/rolloutWords";

/** Asks a source now: the number, or what is wrong, as a gate would say it. */
export function TryQuery({ project, source, query }: { project: string; source: string; query: string }) {
  const mayNot = refusalWords(useFlagActions().refusal("edit"), "Trying a query");
  const test = useMutation({ mutationFn: () => deliveryApi.testMetricSource(project, source, query) });
  return (
    <Group gap="sm" mt={8} align="center">
      <Tooltip label={mayNot} disabled={mayNot === null}>
        <Button size="compact-sm" variant="default" loading={test.isPending} data-disabled={mayNot !== null || undefined} aria-disabled={mayNot !== null || undefined} onClick={() => mayNot === null && test.mutate()}>
          Test it now
        </Button>
      </Tooltip>
      <Text size="sm" role="status" component="span" style={{ overflowWrap: "anywhere" }}>
        {test.data ? <Answer {...test.data} /> : null}
      </Text>
      {test.error ? <ProblemAlert error={test.error} /> : null}
    </Group>
  );
}

function Answer({ value, at, problem }: { value?: number | null; at?: string | null; problem?: string | null }) {
  if (problem) return <>No number: {problem}</>;
  if (typeof value !== "number") return <>No number.</>;
  return (
    <>
      <strong>{numberWords(value)}</strong>
      {at ? (
        <>
          , measured <Ago at={at} />
        </>
      ) : null}
    </>
  );
}

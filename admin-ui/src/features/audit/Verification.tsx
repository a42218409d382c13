import { Badge, Button, Group } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { queries } from "../../api/queries";
import { Ago } from "../../components/Ago";
import { CheckIcon, WarningIcon } from "../../components/icons";

/** The check of the whole log, as it was asked for last; never by itself, as a log may be long. */
export function useVerification() {
  const { data: found, error, isFetching, refetch, dataUpdatedAt } = useQuery({ ...queries.verification(), enabled: false });
  return { found, error, isFetching, verify: () => void refetch(), at: dataUpdatedAt };
}

/** Whether the chain of hashes is whole, for those who run the server; says so on one line. */
export function VerificationBadge() {
  const me = useQuery(queries.me()).data;
  const { found, error, isFetching, verify, at } = useVerification();
  if (!me?.instanceAdmin) return null;
  return (
    <Group gap="xs">
      <span role="status">
        {error ? (
          <Badge variant="light" color="yellow" tt="none" leftSection={<WarningIcon size={13} />}>
            not checked: the server cannot say
          </Badge>
        ) : found?.broken ? (
          <Badge color="buoy" tt="none" title={found.broken} leftSection={<WarningIcon size={13} />}>
            the chain is broken
          </Badge>
        ) : found ? (
          <Badge variant="light" color="tide" tt="none" leftSection={<CheckIcon size={13} />}>
            {(found.rows ?? 0).toLocaleString("en")} rows, whole <Ago at={new Date(at).toISOString()} />
          </Badge>
        ) : null}
      </span>
      <Button variant="default" loading={isFetching} onClick={verify}>
        {found ? "Verify again" : "Verify"}
      </Button>
    </Group>
  );
}

import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { deliveryApi } from "../../api/delivery";
import { isProblem } from "../../api/problem";
import type { ConfigPatch, Environment, Flag, FlagConfig, Rollout } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { Diff } from "../../components/Diff";
import { EnvironmentName } from "../../components/EnvironmentName";
import { Loading } from "../../components/Loading";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { canonical } from "../../lib/json";
import { percent } from "../../lib/words";
import { targetingOf } from "./draft";

interface RestartProps {
  project: string;
  flag: Pick<Flag, "key">;
  environment: Environment;
  config: FlagConfig;
  rollout: Rollout;
  /** The version that the change is made from. */
  version: number;
  patch: ConfigPatch;
  onClose(): void;
  onSaved(): void;
}

/** Says what a change means for the rollout that moves the flag, and makes both with a reason. */
export function RestartDialog({ project, flag, environment, config, rollout, version, patch, onClose, onSaved }: RestartProps) {
  const [reason, setReason] = useState("");
  const queryClient = useQueryClient();
  const refresh = () => queryClient.invalidateQueries({ queryKey: ["project", project] });
  const preview = useQuery({
    // Outside of what the stream invalidates: it is of one version, and a new version makes a new one.
    queryKey: ["preview", "restart", project, environment.key, flag.key, version, canonical(patch)],
    queryFn: async () => {
      try {
        return await deliveryApi.previewRestart(project, environment.key, flag.key, version, patch);
      } catch (error) {
        if (isProblem(error, "stale")) await refresh();
        throw error;
      }
    },
    retry: false,
    gcTime: 0,
  });
  const save = useMutation({
    mutationFn: () => deliveryApi.restartWith(project, environment.key, flag.key, version, patch, reason.trim()),
    onSuccess: async () => {
      await refresh();
      notifications.show({ color: "tide", autoClose: 6_000, message: `${flag.key} is changed in ${environment.name}, and its rollout begins anew` });
      onSaved();
    },
    onError: (error) => (isProblem(error, "stale") ? refresh() : undefined),
  });
  const moved = isProblem(save.error, "stale");
  // The change of a version that is gone is refused, too: the next is on its way.
  const refused = (moved ? null : save.error) ?? (isProblem(preview.error, "stale") ? null : preview.error);
  const isReady = preview.data !== undefined && reason.trim() !== "";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (isReady) save.mutate();
  };
  return (
    <Dialog onClose={onClose} size={640} title={`Save, and restart the rollout of ${flag.key}?`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <EnvironmentName environment={environment} />
          {moved ? (
            <Alert color="yellow" title="It was moved meanwhile" role="alert">
              Nothing was done. It was read again: what follows is of how it is now. Look at it once more; your reason is kept.
            </Alert>
          ) : null}
          {refused ? <ProblemAlert error={refused} /> : null}
          <Text size="sm">
            {lossWords(rollout)} The rollout ends, and another begins from its first step with the changed flag: it reaches the same units first. What gates have seen so far stays in its history, and counts no more.
          </Text>
          {preview.data ? (
            <Diff before={targetingOf(config)} after={targetingOf(preview.data)} label="What changes for whom" />
          ) : refused ? null : (
            <Loading size="sm" what="Asking the server what would change" />
          )}
          <ReasonField value={reason} onChange={setReason} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending} disabled={!isReady}>
              Save and restart
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

/** What happens at once to those who have the new variant. */
function lossWords({ share, variant, baseline }: Pick<Rollout, "share" | "variant" | "baseline">): string {
  return share > 0 ? `The ${percent(share)} of units that have “${variant}” by it get “${baseline}” again, at once.` : `Nobody has “${variant}” by it yet.`;
}

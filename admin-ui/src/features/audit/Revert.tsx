import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { AuditRow, ConfigPatch, Environment } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { EnvironmentName } from "../../components/EnvironmentName";
import { Loading } from "../../components/Loading";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { TypedConfirmation } from "../../components/TypedConfirmation";
import { canonical } from "../../lib/json";
import { newForEveryone } from "../flags/reach";
import styles from "./Audit.module.css";
import { SideDiff } from "./SideDiff";
import { type Body, revertReason, sendBack, type Target, wayBack } from "./wayBack";

const LONG_LIST = 200;

/** Both sides for people to compare: of long lists, only what the other side does not have. */
function shownSides(before: Body, after: Body): [Body, Body] {
  const [left, right] = [{ ...before }, { ...after }];
  for (const list of ["included", "excluded"]) {
    const [from, to] = [before[list], after[list]];
    if (!Array.isArray(from) || !Array.isArray(to) || Math.max(from.length, to.length) <= LONG_LIST) continue;
    const [had, have] = [new Set<unknown>(from), new Set<unknown>(to)];
    left[list] = { count: from.length, onlyHere: from.filter((member) => !have.has(member)) };
    right[list] = { count: to.length, onlyHere: to.filter((member) => !had.has(member)) };
  }
  return [left, right];
}

interface RevertProps {
  project: string;
  row: AuditRow;
  /** What the row can be taken back for. */
  target: Target;
  environment: Environment;
  onClose(): void;
}

/** Takes a change back by another one, to how it was before; shows what that changes now, first. */
export function Revert({ project, row, target, environment, onClose }: RevertProps) {
  const { kind, key } = target;
  const queryClient = useQueryClient();
  const [reason, setReason] = useState(revertReason(row));
  const [typed, setTyped] = useState("");
  const [moved, setMoved] = useState(false);
  const config = useQuery({ ...queries.config(project, key, environment.key), staleTime: 0, enabled: kind === "flag" });
  const segment = useQuery({ ...queries.segment(project, environment.key, key), staleTime: 0, enabled: kind === "segment" });
  const read = kind === "flag" ? config : segment;
  const current = read.data;
  const found = current ? wayBack(row, target, current) : null;
  const unknown = typeof found === "string" ? found : null;
  const way = typeof found === "string" ? null : found;
  const patch = way?.patch ?? {};
  const nothing = way !== null && Object.keys(patch).length === 0;

  // The server's word on a flag, before anything is written. Segments have no such question: they are refused when saved.
  const preview = useQuery({
    queryKey: ["preview", project, key, environment.key, current?.version, canonical(patch)],
    queryFn: () => api.previewConfig(project, key, environment.key, current?.version ?? 0, patch as ConfigPatch),
    enabled: kind === "flag" && way !== null && !nothing,
    retry: false,
    gcTime: 0,
  });
  const save = useMutation({
    mutationFn: (version: number) => sendBack(project, target, version, patch, reason.trim()),
    onSuccess: async () => {
      onClose();
      notifications.show({ color: "tide", message: `${key} in ${environment.name} is as it was before change ${row.sequence}` });
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
    },
    onError: async (error) => {
      if (!isProblem(error, "stale")) return;
      setMoved(true);
      await read.refetch();
    },
  });
  const [left, right] = way ? shownSides(way.now, way.wanted) : [{}, {}];
  const refused = (kind === "flag" && !isProblem(preview.error, "stale") ? preview.error : null) ?? (isProblem(save.error, "stale") ? null : save.error);
  const waiting = !current || (kind === "flag" && unknown === null && !nothing && preview.isPending);
  const forEveryone = environment.production && config.data && preview.data ? newForEveryone(config.data, preview.data) : null;
  const isReady = !waiting && !nothing && unknown === null && !refused && reason.trim() !== "" && (forEveryone === null || typed === key);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (current && isReady) save.mutate(current.version);
  };
  return (
    <Dialog onClose={onClose} size={860} title={`Revert change ${row.sequence}?`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <div className={styles.where}>
            <EnvironmentName environment={environment} />
            <span>
              {kind} <strong>{key}</strong>
            </span>
          </div>
          {read.error ? <ProblemAlert error={read.error} onRetry={() => void read.refetch()} /> : null}
          {moved ? (
            <Alert color="yellow" title="Somebody else changed it meanwhile" role="status">
              It was read again: what follows is the difference from how it is now. Look at it once more.
            </Alert>
          ) : null}
          {refused ? (
            <div>
              <Text size="sm" fw={600} mb={6}>
                How it was does not fit any more, so nothing was changed.
              </Text>
              <ProblemAlert error={refused} />
            </div>
          ) : null}
          {waiting && !read.error ? <Loading size="sm" what="Asking the server what would change" /> : null}
          {nothing ? <Text size="sm">It is like that already: there is nothing to revert.</Text> : null}
          {unknown ? (
            <Alert color="yellow" title="This cannot be reverted">
              {unknown} Its page still changes it by hand.
            </Alert>
          ) : null}
          {way && !nothing ? (
            <>
              <Text size="sm">
                {way.isOvertaken
                  ? "It was changed again since then. All of that goes back, too: look at what differs from now."
                  : "It goes back to how it was right before this change. That is another change, with a row of its own."}
              </Text>
              <SideDiff before={left} after={right} label="What reverting changes" titles={["Now", "Then"]} />
              <ReasonField value={reason} onChange={setReason} />
              {forEveryone === null ? null : (
                <TypedConfirmation word={key} description={`From then on, everyone gets ${forEveryone} by default.`} typed={typed} onChange={setTyped} />
              )}
            </>
          ) : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {nothing ? "Close" : "Cancel"}
            </Button>
            <Button type="submit" loading={save.isPending} disabled={!isReady}>
              Revert in {environment.name}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

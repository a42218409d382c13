import { Alert, Button, Group, Loader, Stack, Text } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { AuditRow, ConfigPatch, Environment } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { EnvironmentName } from "../../components/EnvironmentName";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { canonical } from "../../lib/json";
import styles from "./Audit.module.css";
import { SideDiff } from "./SideDiff";

const CONFIG_FIELDS = ["enabled", "offVariant", "prerequisites", "targets", "rules", "default", "availability"] as const;
const SEGMENT_FIELDS = ["name", "description", "included", "excluded", "rules"] as const;

type Kind = "flag" | "segment";
type Body = Record<string, unknown>;

/** What a row can be taken back to: a flag's configuration or a segment, as it was before; null where there is no such thing. */
export function revertible(row: AuditRow): { kind: Kind; key: string; environment: string } | null {
  const [kind, key] = [row.resource.slice(0, row.resource.indexOf("/")), row.resource.slice(row.resource.indexOf("/") + 1)];
  if (!row.environment || row.before === null || typeof row.before !== "object" || row.after === null) return null;
  // A rollout's moves are the controller's: taking one back is rolling back.
  if (kind === "flag" && row.action === "flag.configure") return { kind, key, environment: row.environment };
  if (kind === "segment" && row.action === "segment.update") return { kind, key, environment: row.environment };
  return null;
}

/** The fields that people change, as they are in a body; what is not there is at its default. */
function fieldsOf(kind: Kind, body: unknown): Body {
  const members = body as Body;
  const empty = (field: string) => (field === "rules" || field === "targets" || field === "prerequisites" || field === "included" || field === "excluded" ? [] : null);
  return Object.fromEntries((kind === "flag" ? CONFIG_FIELDS : SEGMENT_FIELDS).map((field) => [field, members[field] ?? (field === "description" ? "" : field === "enabled" ? false : field === "availability" ? "private" : empty(field))]));
}

/** Of long lists the log keeps only what a change added and took out, and of that not more than so much. */
interface KeptMembers {
  count: number;
  countOnlyHere: number;
  onlyHere: string[];
}

const isKept = (value: unknown): value is KeptMembers => value !== null && typeof value === "object" && "onlyHere" in value;

/** How a segment was, by what is now and what the change did; or why that is not known. */
export function wantedSegment(before: unknown, after: unknown, now: Body): Body | string {
  const [was, became] = [fieldsOf("segment", before), fieldsOf("segment", after)];
  const wanted = { ...was };
  for (const list of ["included", "excluded"] as const) {
    const [from, to] = [was[list], became[list]];
    if (!isKept(from)) continue;
    if (!isKept(to) || from.countOnlyHere > from.onlyHere.length || to.countOnlyHere > to.onlyHere.length) {
      return `The log does not hold all members that this change added or took out, so that ${list} cannot be brought back from it.`;
    }
    const out = new Set(to.onlyHere);
    wanted[list] = [...new Set([...(now[list] as string[]).filter((member) => !out.has(member)), ...from.onlyHere])].toSorted((a, b) => (a < b ? -1 : 1));
  }
  return wanted;
}

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
  environment: Environment;
  onClose(): void;
}

/** Takes a change back by another one, to how it was before; shows what that changes now, first. */
export function Revert({ project, row, environment, onClose }: RevertProps) {
  const target = revertible(row);
  const kind = target?.kind ?? "flag";
  const key = target?.key ?? "";
  const queryClient = useQueryClient();
  const [reason, setReason] = useState("");
  const [moved, setMoved] = useState(false);
  const config = useQuery({ ...queries.config(project, key, environment.key), staleTime: 0, enabled: kind === "flag" });
  const segment = useQuery({ ...queries.segment(project, environment.key, key), staleTime: 0, enabled: kind === "segment" });
  const read = kind === "flag" ? config : segment;
  const current = read.data;
  const now = current ? fieldsOf(kind, current) : null;
  const wanted = now === null ? {} : kind === "flag" ? fieldsOf(kind, row.before) : wantedSegment(row.before, row.after, now);
  const unknown = typeof wanted === "string" ? wanted : null;
  const patch: Body = now && typeof wanted !== "string" ? Object.fromEntries(Object.entries(wanted).filter(([field, value]) => canonical(value) !== canonical(now[field]))) : {};
  const nothing = now !== null && unknown === null && Object.keys(patch).length === 0;

  // The server's word on a flag, before anything is written. Segments have no such question: they are refused when saved.
  const preview = useQuery({
    queryKey: ["preview", project, key, environment.key, current?.version, canonical(patch)],
    queryFn: () => api.previewConfig(project, key, environment.key, current?.version ?? 0, patch as ConfigPatch),
    enabled: kind === "flag" && current !== undefined && !nothing,
    retry: false,
    gcTime: 0,
  });
  const save = useMutation({
    mutationFn: async (version: number): Promise<unknown> => {
      const because = `${reason.trim()} (reverts change ${row.sequence})`;
      return kind === "flag"
        ? api.patchConfig(project, key, environment.key, version, patch as ConfigPatch, because)
        : api.updateSegment(project, environment.key, key, version, patch, because);
    },
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
  const after = fieldsOf(kind, row.after);
  const since = now !== null && Object.entries(after).some(([field, value]) => !isKept(value) && canonical(value) !== canonical(now[field]));
  const [left, right] = now && typeof wanted !== "string" ? shownSides(now, wanted) : [{}, {}];
  const refused = (kind === "flag" && !isProblem(preview.error, "stale") ? preview.error : null) ?? (isProblem(save.error, "stale") ? null : save.error);
  const waiting = !current || (kind === "flag" && !nothing && preview.isPending);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (current && !nothing && unknown === null && !refused && reason.trim() !== "") save.mutate(current.version);
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
          {waiting && !read.error ? <Loader size="sm" type="dots" aria-label="Asking the server what would change" /> : null}
          {nothing ? <Text size="sm">It is like that already: there is nothing to revert.</Text> : null}
          {unknown ? (
            <Alert color="yellow" title="This cannot be reverted">
              {unknown} Its page still changes it by hand.
            </Alert>
          ) : null}
          {now && !nothing && unknown === null ? (
            <>
              <Text size="sm">
                {since
                  ? "It was changed again since then. All of that goes back, too: look at what differs from now."
                  : "It goes back to how it was right before this change. That is another change, with a row of its own."}
              </Text>
              <SideDiff before={left} after={right} label="What reverting changes" titles={["Now", "Then"]} />
              <ReasonField value={reason} onChange={setReason} />
            </>
          ) : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {nothing ? "Close" : "Cancel"}
            </Button>
            <Button type="submit" loading={save.isPending} disabled={waiting || nothing || unknown !== null || Boolean(refused) || reason.trim() === ""}>
              Revert in {environment.name}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

import { Alert, Button, Group, Stack, Text } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Environment, Segment } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { Diff } from "../../components/Diff";
import { EnvironmentName } from "../../components/EnvironmentName";
import { ProblemAlert } from "../../components/ProblemAlert";
import { OptionalReason } from "../../components/ReasonField";
import { useFlagActions } from "../flags/FlagActions";
import { changesOf, draftOf, FIELDS, type Draft } from "./members";
import styles from "./Segments.module.css";
import type { User } from "./usage";

const NAMES_SHOWN = 12;

interface SaveProps {
  project: string;
  environment: Environment;
  base: Segment;
  draft: Draft;
  moved: boolean;
  users: User[];
  onClose(): void;
  onSaved(segment: Segment): void;
}

/** Shows what a change of a segment is, and whom it reaches, before it is made. */
export function SaveSegment({ project, environment, base, draft, moved, users, onClose, onSaved }: SaveProps) {
  const queryClient = useQueryClient();
  const { announce } = useFlagActions();
  const [reason, setReason] = useState("");
  const stored = draftOf(base);
  const changes = changesOf(stored, draft);
  const save = useMutation({
    mutationFn: () => api.updateSegment(project, environment.key, base.key, base.version, changes, reason.trim()),
    onSuccess: async (next) => {
      queryClient.setQueryData(queries.segment(project, environment.key, base.key).queryKey, next);
      onSaved(next);
      announce({ resource: `segment/${next.key}`, environment, stored: next, done: `${next.key} is changed in ${environment.name}` });
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
    },
    onError: async (error) => {
      // Read again, it is put under what was typed here.
      if (isProblem(error, "stale")) await queryClient.invalidateQueries({ queryKey: queries.segment(project, environment.key, base.key).queryKey });
    },
  });
  const fields = FIELDS.filter((field) => field in changes);
  const pick = (from: Draft) => Object.fromEntries(fields.map((field) => [field, from[field]]));
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  const flags = users.filter(({ kind }) => kind === "flag").map(({ key }) => key);
  return (
    <Dialog onClose={onClose} size={640} title={`Save ${base.key} in ${environment.name}?`}>
      <form onSubmit={submit}>
        <Stack gap="md">
          <div className={styles.where}>
            <EnvironmentName environment={environment} />
            <span>{flags.length === 0 ? "No flag asks for it." : `It reaches ${flags.length === 1 ? "the flag" : `${flags.length} flags:`} ${flags.slice(0, 6).join(", ")}${flags.length > 6 ? " and more" : ""}.`}</span>
          </div>
          {moved || isProblem(save.error, "stale") ? (
            <Alert color="yellow" title="Somebody else changed this segment meanwhile" role="status">
              It was read again: what follows is the difference from how it is now. Look at it once more.
            </Alert>
          ) : null}
          {save.error && !isProblem(save.error, "stale") ? <ProblemAlert error={save.error} /> : null}
          {(["included", "excluded"] as const).map((list) => (list in changes ? <Members key={list} list={list} before={stored[list]} after={draft[list]} /> : null))}
          {fields.length > 0 ? <Diff before={pick(stored)} after={pick(draft)} label="Difference of the segment" /> : null}
          <OptionalReason value={reason} onChange={setReason} isFirst />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending} disabled={Object.keys(changes).length === 0}>
              Save in {environment.name}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

function Members({ list, before, after }: { list: string; before: string[]; after: string[] }) {
  const [had, have] = [new Set(before), new Set(after)];
  return (
    <div>
      <Names what={`Added to ${list}`} kind="added" names={after.filter((member) => !had.has(member))} />
      <Names what={`Taken out of ${list}`} kind="removed" names={before.filter((member) => !have.has(member))} />
    </div>
  );
}

function Names({ what, kind, names }: { what: string; kind: "added" | "removed"; names: string[] }) {
  if (names.length === 0) return null;
  return (
    <>
      <Text size="sm" fw={600} mb={4}>
        {what}: {names.length.toLocaleString("en")}
      </Text>
      <p className={styles.names} data-kind={kind}>
        {names.slice(0, NAMES_SHOWN).join(", ")}
        {names.length > NAMES_SHOWN ? ` and ${(names.length - NAMES_SHOWN).toLocaleString("en")} more` : ""}
      </p>
    </>
  );
}

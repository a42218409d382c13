import { Alert, Button, Group, Text, Textarea, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { Link, useBlocker, useParams, useSearch } from "@tanstack/react-router";
import { useMemo, useState } from "react";

import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Environment, Segment } from "../../api/types";
import { Ago } from "../../components/Ago";
import { CopyValue } from "../../components/CopyValue";
import { Diff } from "../../components/Diff";
import { WarningIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { History } from "../audit/History";
import { EnvironmentTabs, useEnvironment } from "../environments/EnvironmentTabs";
import { useFlagActions } from "../flags/FlagActions";
import { SurroundingsContext, surroundingsOf } from "../targeting/context";
import { ArchiveSegment } from "./ArchiveSegment";
import { MemberList } from "./MemberList";
import { changesOf, draftOf, membersWords, merged, type Draft, type Field } from "./members";
import { NewSegment } from "./NewSegment";
import { RulesEditor } from "./RulesEditor";
import { SaveSegment } from "./SaveSegment";
import styles from "./Segments.module.css";
import { TrySegment } from "./TrySegment";
import { usersOf } from "./usage";
import { useVerdict } from "./useVerdict";

export function SegmentPage() {
  const { project, segment: key } = useParams({ from: "/projects/$project/segments/$segment" });
  const { environment: asked } = useSearch({ from: "/projects/$project/segments/$segment" });
  const { environment, environments } = useEnvironment(project, asked);
  const read = useQuery({ ...queries.segment(project, environment?.key ?? "", key), enabled: environment !== undefined });
  const segment = read.data;
  const [creating, create] = useDisclosure(false);
  const mayNot = useFlagActions().refusal("edit");
  return (
    <Page
      title={segment?.name || key}
      lead={segment?.description || undefined}
      above={
        <Link to="/projects/$project/segments" params={{ project }} search={environment ? { environment: environment.key } : {}} className={styles.back}>
          ← All segments
        </Link>
      }
      actions={<CopyValue value={key} label={key} />}
    >
      <EnvironmentTabs environments={environments} current={environment} />
      {environment && segment ? (
        <InEnvironment key={environment.key} project={project} environment={environment} segment={segment} />
      ) : environment && isProblem(read.error, "not_found") ? (
        <Card>
          <Empty title={`There is no ${key} in ${environment.name}`}>
            <p>Each environment has its own segments.</p>
            <Button variant="default" onClick={create.open} disabled={mayNot !== null} title={mayNot ?? undefined}>
              Make it in {environment.name}
            </Button>
          </Empty>
        </Card>
      ) : read.error ? (
        <ProblemAlert error={read.error} onRetry={() => void read.refetch()} />
      ) : (
        <Loading what="Loading the segment" />
      )}
      {creating && environment ? <NewSegment project={project} environment={environment} suggested={key} onClose={create.close} /> : null}
    </Page>
  );
}

/** Conditions of a segment are no flag’s. */
const NO_FLAG = { key: "", kind: "boolean" as const, variants: [] };

interface Editing {
  /** What the draft is a change of. */
  base: Segment;
  draft: Draft;
  /** Fields that somebody else changed, too; mine is in the draft. */
  conflicts: Field[];
  /** Somebody else's change came in under this one. */
  moved: boolean;
}

function InEnvironment({ project, environment, segment }: { project: string; environment: Environment; segment: Segment }) {
  const [editing, setEditing] = useState<Editing>({ base: segment, draft: draftOf(segment), conflicts: [], moved: false });
  const [textProblem, setTextProblem] = useState<string | null>(null);
  const [saving, save] = useDisclosure(false);
  const [archiving, archive] = useDisclosure(false);
  const mayNot = useFlagActions().refusal("edit");
  const file = useQuery(queries.flagFile(project, environment.key));
  const users = file.data ? usersOf(file.data, segment.key) : null;
  const { loaded, verdict } = useVerdict(project, environment.key, segment.key, editing.draft.rules);

  // A newer version, by the stream or after a refused save: my changes are put on top of it, and nothing is lost.
  if (segment.version > editing.base.version) {
    const base = draftOf(editing.base);
    const mine = changesOf(base, editing.draft);
    const { draft, conflicts } = merged(base, editing.draft, draftOf(segment));
    setEditing({ base: segment, draft, conflicts: [...new Set([...editing.conflicts, ...conflicts])], moved: Object.keys(mine).length > 0 && Object.keys(changesOf(draftOf(segment), draft)).length > 0 });
  }
  const { base, draft, conflicts, moved } = editing;
  const stored = draftOf(base);
  const changes = changesOf(stored, draft);
  const dirty = Object.keys(changes).length > 0 || textProblem !== null;
  const set = (change: Partial<Draft>) => setEditing((now) => ({ ...now, draft: { ...now.draft, ...change } }));
  const discard = () => {
    setTextProblem(null);
    // A new list, so that the rules' text starts anew, too.
    setEditing({ base, draft: { ...stored, rules: [...stored.rules] }, conflicts: [], moved: false });
  };
  useBlocker({
    shouldBlockFn: ({ current, next }) => place(current) !== place(next) && !window.confirm("Leave without saving what you changed?"),
    enableBeforeUnload: dirty,
    disabled: !dirty,
  });
  const readOnly = mayNot !== null;
  const isStopped = (verdict?.stopping.length ?? 0) > 0;
  const surroundings = useMemo(
    () => surroundingsOf({ project, environment: environment.key, flag: NO_FLAG }, file.data ?? null, verdict?.issues ?? []),
    [project, environment.key, file.data, verdict],
  );

  return (
    <>
      {moved && dirty ? (
        <Alert color="yellow" icon={<WarningIcon />} title="Somebody else changed this segment meanwhile" role="status" mb="md">
          Your changes are kept, on top of theirs.{" "}
          {conflicts.length === 0
            ? "They do not touch each other."
            : `Both of you changed the ${conflicts.join(" and the ")}: yours is here. Below is what theirs was.`}
          {conflicts.map((field) => (
            <div key={field} className={styles.conflict}>
              <Diff before={stored[field]} after={draft[field]} label={`Theirs and yours: ${field}`} />
              <Button
                size="compact-sm"
                variant="default"
                mt={6}
                onClick={() => setEditing((now) => ({ ...now, draft: { ...now.draft, [field]: stored[field] }, conflicts: now.conflicts.filter((each) => each !== field) }))}
              >
                Take their {field}
              </Button>
            </div>
          ))}
        </Alert>
      ) : null}
      {mayNot ? (
        <Text size="sm" c="dimmed" mb="md">
          {mayNot}.
        </Text>
      ) : null}
      <div className={styles.columns}>
        <div className={styles.stack}>
          <Card className={styles.card ?? ""}>
            <h2>What it is</h2>
            <TextInput label="Name" required maxLength={200} readOnly={readOnly} value={draft.name} onChange={(event) => set({ name: event.currentTarget.value })} />
            <Textarea label="Description" mt="sm" autosize minRows={1} maxRows={4} readOnly={readOnly} value={draft.description} onChange={(event) => set({ description: event.currentTarget.value })} />
          </Card>
          <Card className={styles.card ?? ""}>
            <h2>Members by name</h2>
            <div className={styles.lists}>
              <MemberList
                title="Included"
                description="In, whatever the rules say."
                members={draft.included}
                others={draft.excluded}
                bothWords="they are out"
                disabled={readOnly}
                onChange={(included) => set({ included })}
              />
              <MemberList
                title="Excluded"
                description="Out, before anything else."
                members={draft.excluded}
                others={[]}
                bothWords=""
                disabled={readOnly}
                onChange={(excluded) => set({ excluded })}
              />
            </div>
          </Card>
          <Card className={styles.card ?? ""}>
            <h2>Rules</h2>
            <SurroundingsContext value={surroundings}>
              <RulesEditor rules={draft.rules} disabled={readOnly} verdict={verdict} onChange={(rules) => set({ rules })} onProblem={setTextProblem} />
            </SurroundingsContext>
            {loaded && textProblem === null ? <TrySegment stored={loaded} segment={{ key: segment.key, included: draft.included, excluded: draft.excluded, rules: draft.rules }} /> : null}
          </Card>
        </div>
        <div className={styles.stack}>
          <Card className={styles.card ?? ""}>
            <h2>Used by</h2>
            {users === null ? (
              file.error ? (
                <ProblemAlert error={file.error} onRetry={() => void file.refetch()} />
              ) : (
                <Loading size="sm" what="Looking for who uses it" />
              )
            ) : users.length === 0 ? (
              <Text size="sm" c="dimmed">
                No rule in {environment.name} asks for it.
              </Text>
            ) : (
              <ul className={styles.users}>
                {users.map((user) => (
                  <li key={`${user.kind} ${user.key}`}>
                    {user.kind === "flag" ? (
                      <Link to="/projects/$project/flags/$flag" params={{ project, flag: user.key }} search={{ environment: environment.key }}>
                        {user.key}
                      </Link>
                    ) : (
                      <Link to="/projects/$project/segments/$segment" params={{ project, segment: user.key }} search={{ environment: environment.key }}>
                        {user.key}
                      </Link>
                    )}
                    <span>
                      {user.kind}, {user.rules.length === 1 ? "rule" : "rules"} {user.rules.join(", ")}
                    </span>
                  </li>
                ))}
              </ul>
            )}
          </Card>
          <Card className={styles.card ?? ""}>
            <h2>History</h2>
            <History project={project} resource={`segment/${segment.key}`} />
          </Card>
          <Card className={styles.card ?? ""}>
            <h2>Archive</h2>
            <Text size="sm" c="dimmed" mb="sm">
              Version {segment.version}, changed <Ago at={segment.updatedAt} />. A segment that nothing uses can be archived; its key is never used again.
            </Text>
            <Button size="xs" variant="outline" color="buoy" onClick={archive.open} disabled={readOnly} title={mayNot ?? undefined}>
              Archive…
            </Button>
          </Card>
        </div>
      </div>
      {dirty ? (
        <div className={styles.bar} role="region" aria-label="Changes">
          <span>{textProblem ? "The rules cannot be read." : isStopped ? "The rules do not compile." : changeWords(stored, draft)}</span>
          <Group gap="xs">
            <Button size="sm" variant="default" onClick={discard}>
              Discard
            </Button>
            <Button size="sm" disabled={textProblem !== null || isStopped || draft.name.trim() === "" || Object.keys(changes).length === 0} onClick={save.open}>
              Save in {environment.name}…
            </Button>
          </Group>
        </div>
      ) : null}
      {saving ? (
        <SaveSegment
          project={project}
          environment={environment}
          base={base}
          draft={draft}
          moved={moved}
          users={users ?? []}
          onClose={save.close}
          onSaved={(next) => {
            save.close();
            setEditing({ base: next, draft: draftOf(next), conflicts: [], moved: false });
          }}
        />
      ) : null}
      {archiving ? <ArchiveSegment project={project} environment={environment} segment={segment} users={users} onClose={archive.close} /> : null}
    </>
  );
}

/** What a draft belongs to. */
const place = ({ pathname, search }: { pathname: string; search: object }) => `${pathname} ${String((search as { environment?: unknown }).environment)}`;

/** Like “Changed: name, included (3 added)”. */
export function changeWords(stored: Draft, draft: Draft): string {
  const changed = Object.keys(changesOf(stored, draft)).map((field) =>
    field === "included" || field === "excluded" ? `${field} (${membersWords(stored[field], draft[field])})` : field,
  );
  return `Changed: ${changed.join(", ")}`;
}

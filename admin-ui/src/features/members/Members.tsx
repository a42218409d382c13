import { Alert, Button, Group, NativeSelect, Select, Stack, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Me, Member, Role } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { PlusIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { OptionalReason, ReasonField } from "../../components/ReasonField";
import { refusal } from "../../lib/access";
import tabs from "../environments/Tabs.module.css";
import styles from "./Members.module.css";
import { Tokens } from "./Tokens";
import { Users } from "./Users";

export const ROLES: { value: Role; label: string; may: string }[] = [
  { value: "viewer", label: "Viewer", may: "sees everything in the project" },
  { value: "editor", label: "Editor", may: "changes flags and segments, and starts rollouts" },
  { value: "operator", label: "Operator", may: "kills and restores flags, and moves rollouts" },
  { value: "admin", label: "Admin", may: "manages environments, keys and members" },
];

const TABS = [
  { key: undefined, label: "Members" },
  { key: "users", label: "Users of this instance" },
  { key: "tokens", label: "API tokens" },
] as const;

export function Members() {
  const { project } = useParams({ from: "/projects/$project/members" });
  const { tab } = useSearch({ from: "/projects/$project/members" });
  const me = useQuery(queries.me()).data;
  if (!me) return null;
  return (
    <Page title="Members" lead="Who may do what: people by their role in this project, programs by tokens.">
      <nav className={tabs.tabs} aria-label="Kind">
        {TABS.map(({ key, label }) => (
          <Link
            key={label}
            to="/projects/$project/members"
            params={{ project }}
            search={key ? { tab: key } : {}}
            replace
            className={tabs.tab}
            activeOptions={{ exact: true }}
            activeProps={{ "aria-current": undefined }}
            aria-current={(tab ?? undefined) === key ? "true" : undefined}
          >
            {label}
          </Link>
        ))}
      </nav>
      {tab === "users" ? <Users project={project} me={me} /> : tab === "tokens" ? <Tokens project={project} me={me} /> : <OfProject project={project} me={me} />}
    </Page>
  );
}

type Proposed = { kind: "role"; member: Member; role: Role } | { kind: "remove"; member: Member };

function OfProject({ project, me }: { project: string; me: Me }) {
  const members = useQuery(queries.members(project));
  const [adding, add] = useDisclosure(false);
  const [proposed, setProposed] = useState<Proposed | null>(null);
  const mayNot = refusal(me, project, "administer");
  return (
    <>
      <div className={styles.head}>
        <dl className={styles.roles}>
          {ROLES.map(({ value, label, may }) => (
            <div key={value}>
              <dt>{label}</dt>
              <dd>{may}</dd>
            </div>
          ))}
        </dl>
        <Button leftSection={<PlusIcon />} onClick={add.open} disabled={mayNot !== null} title={mayNot ?? undefined}>
          Add a member
        </Button>
      </div>
      {mayNot ? (
        <Text size="sm" c="dimmed" mb="sm">
          {mayNot.replace(/^This/, "Changing members")}.
        </Text>
      ) : null}
      {members.error && !members.data ? <ProblemAlert error={members.error} onRetry={() => void members.refetch()} /> : null}
      {members.isPending ? <Loading what="Loading the members" /> : null}
      {members.data?.length === 0 ? (
        <Card>
          <Empty title="Nobody has a role here yet">
            <p>Administrators of the instance may do everything without one.</p>
          </Empty>
        </Card>
      ) : null}
      {members.data && members.data.length > 0 ? (
        <Card>
          <ul className={styles.rows} aria-label="Members">
            {members.data.map((member) => (
              <li key={member.id} className={styles.row}>
                <span className={styles.who}>
                  <strong>
                    {member.name}
                    {member.id === me.user.id ? " (you)" : ""}
                  </strong>
                  <span>{member.email}</span>
                </span>
                {mayNot === null ? (
                  <Group gap="xs" wrap="nowrap">
                    <NativeSelect
                      aria-label={`Role of ${member.name}`}
                      value={member.role}
                      onChange={(event) => setProposed({ kind: "role", member, role: event.currentTarget.value as Role })}
                      data={ROLES.map(({ value, label }) => ({ value, label }))}
                    />
                    <Button size="compact-sm" variant="subtle" color="buoy" aria-label={`Remove ${member.name}`} onClick={() => setProposed({ kind: "remove", member })}>
                      Remove…
                    </Button>
                  </Group>
                ) : (
                  <span className={styles.fact}>{ROLES.find(({ value }) => value === member.role)?.label ?? member.role}</span>
                )}
              </li>
            ))}
          </ul>
        </Card>
      ) : null}
      {adding && members.data ? <AddMember project={project} me={me} members={members.data} onClose={add.close} /> : null}
      {proposed ? <Change key={proposed.kind} project={project} me={me} proposed={proposed} onClose={() => setProposed(null)} /> : null}
    </>
  );
}

function Change({ project, me, proposed, onClose }: { project: string; me: Me; proposed: Proposed; onClose(): void }) {
  const { member } = proposed;
  const removing = proposed.kind === "remove";
  const [reason, setReason] = useState("");
  const [version, setVersion] = useState(member.version);
  const queryClient = useQueryClient();
  const act = useMutation({
    mutationFn: async (): Promise<unknown> =>
      proposed.kind === "remove"
        ? api.removeMember(project, member.id, version, reason.trim())
        : api.setMember(project, member.id, proposed.role, version, reason.trim()),
    onSuccess: async () => {
      await Promise.all([
        queryClient.invalidateQueries({ queryKey: queries.members(project).queryKey }),
        queryClient.invalidateQueries({ queryKey: queries.users().queryKey }),
        queryClient.invalidateQueries({ queryKey: queries.me().queryKey }),
      ]);
      onClose();
    },
    onError: async (error) => {
      if (!isProblem(error, "stale")) return;
      const now = await queryClient.fetchQuery({ ...queries.members(project), staleTime: 0 });
      setVersion(now.find(({ id }) => id === member.id)?.version ?? version);
    },
  });
  const label = proposed.kind === "role" ? (ROLES.find(({ value }) => value === proposed.role)?.label.toLowerCase() ?? proposed.role) : "";
  const submit = (event: FormEvent) => {
    event.preventDefault();
    act.mutate();
  };
  return (
    <Dialog onClose={onClose} title={removing ? `Remove ${member.name} from the project?` : `Make ${member.name} ${/^[aeo]/.test(label) ? "an" : "a"} ${label}?`}>
      <form onSubmit={submit}>
        <Stack>
          {isProblem(act.error, "stale") ? (
            <Alert color="yellow" title="Somebody else changed this membership meanwhile" role="status">
              It was read again. Once more does it.
            </Alert>
          ) : act.error ? (
            <ProblemAlert error={act.error} />
          ) : null}
          <Text size="sm">
            {removing ? `${member.name} sees nothing of this project any more.` : `${/^[aeo]/.test(label) ? "An" : "A"} ${label} ${ROLES.find(({ label: each }) => each.toLowerCase() === label)?.may ?? ""}, and all that the roles before may.`}
          </Text>
          {member.id === me.user.id && !me.instanceAdmin ? (
            <Alert color="yellow" title="This is you">
              You may not be able to take this back yourself.
            </Alert>
          ) : null}
          {removing ? (
            <ReasonField value={reason} onChange={setReason} />
          ) : (
            <OptionalReason value={reason} onChange={setReason} isFirst />
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color={removing ? "buoy" : "tide"} loading={act.isPending} disabled={removing && reason.trim() === ""}>
              {removing ? "Remove" : "Change the role"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

function AddMember({ project, me, members, onClose }: { project: string; me: Me; members: Member[]; onClose(): void }) {
  const [user, setUser] = useState<string | null>(null);
  const [role, setRole] = useState<Role>("editor");
  const queryClient = useQueryClient();
  const users = useQuery(queries.users());
  const there = new Set(members.map(({ id }) => id));
  const others = (users.data ?? []).filter(({ id }) => !there.has(id));
  const add = useMutation({
    mutationFn: () => api.setMember(project, user ?? "", role, null, ""),
    onSuccess: async () => {
      await Promise.all([queryClient.invalidateQueries({ queryKey: queries.members(project).queryKey }), queryClient.invalidateQueries({ queryKey: queries.users().queryKey })]);
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (user !== null) add.mutate();
  };
  return (
    <Dialog onClose={onClose} title="Add a member">
      <form onSubmit={submit}>
        <Stack>
          {(add.error ?? users.error) ? <ProblemAlert error={add.error ?? users.error} /> : null}
          <Select
            label="Person"
            placeholder={users.data && others.length === 0 ? "Everybody is a member already" : "Name or email"}
            required
            searchable
            data-autofocus
            data={others.map(({ id, name, email }) => ({ value: id, label: `${name} · ${email}` }))}
            value={user}
            onChange={setUser}
            nothingFoundMessage="Nobody is called like that"
          />
          <NativeSelect label="Role" value={role} onChange={(event) => setRole(event.currentTarget.value as Role)} data={ROLES.map(({ value, label, may }) => ({ value, label: `${label}: ${may}` }))} />
          <Text size="sm" c="dimmed">
            {me.instanceAdmin ? "Somebody new is added under “Users of this instance” first." : "Is somebody missing? An administrator of the instance adds them."}
          </Text>
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={add.isPending} disabled={user === null}>
              Add
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

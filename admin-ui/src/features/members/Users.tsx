import { ActionIcon, Alert, Badge, Button, Group, Menu, NativeSelect, Stack, Switch, Text, TextInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { isProblem, problemOf } from "../../api/problem";
import { queries } from "../../api/queries";
import type { Me, Role, User } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { DotsIcon, PlusIcon, SearchIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { capitalised, Said } from "../../components/Said";
import { exactly } from "../../lib/time";
import { ROLES } from "./Members";
import styles from "./Members.module.css";
import { ShownOnce } from "./ShownOnce";

interface MadeLink {
  name: string;
  link: string;
  expiresAt: string;
}

export function Users({ project, me }: { project: string; me: Me }) {
  const users = useQuery({ ...queries.users(), enabled: me.instanceAdmin });
  const [search, setSearch] = useState("");
  const [adding, setAdding] = useState(false);
  const [acting, setActing] = useState<{ what: "archive" | "administer"; user: User } | null>(null);
  const [link, setLink] = useState<MadeLink | null>(null);
  const makeLink = useMutation({
    mutationFn: async (user: Pick<User, "id" | "name">): Promise<MadeLink> => ({ name: user.name, ...(await api.signInLink(user.id)) }),
    onSuccess: setLink,
    onError: (error) => {
      const { title, message } = problemOf(error);
      notifications.show({ title, message: <Said>{capitalised(message)}</Said>, color: "buoy", autoClose: 10_000 });
    },
  });
  if (!me.instanceAdmin) {
    return (
      <Card>
        <Empty title="Only administrators of the instance manage users">
          <p>You may still give people who are here a role in this project, where you are its admin.</p>
        </Empty>
      </Card>
    );
  }
  const shown = (users.data ?? []).filter(({ name, email }) => `${name} ${email}`.toLowerCase().includes(search.toLowerCase()));
  return (
    <>
      <div role="search" className={styles.filters}>
        <TextInput className={styles.search} aria-label="Search users by name or email" placeholder="Search by name or email" leftSection={<SearchIcon />} value={search} onChange={(event) => setSearch(event.currentTarget.value)} />
        <span className={styles.count} role="status">
          {users.data ? `${shown.length} ${shown.length === 1 ? "person" : "people"}` : ""}
        </span>
        <Button leftSection={<PlusIcon />} onClick={() => setAdding(true)}>
          New person
        </Button>
      </div>
      {users.error && !users.data ? <ProblemAlert error={users.error} onRetry={() => void users.refetch()} /> : null}
      {users.isPending ? <Loading what="Loading the users" /> : null}
      {users.data && shown.length === 0 ? (
        <Card>
          <Empty title="Nobody is called like that" />
        </Card>
      ) : null}
      {shown.length > 0 ? (
        <Card>
          <ul className={styles.rows} aria-label="Users">
            {shown.map((user) => (
              <li key={user.id} className={styles.row}>
                <span className={styles.who}>
                  <strong>
                    {user.name}
                    {user.id === me.user.id ? " (you)" : ""}
                  </strong>
                  <span>{user.email}</span>
                </span>
                <span className={styles.facts}>
                  {user.instanceAdmin ? (
                    <Badge variant="light" tt="none">
                      administers the instance
                    </Badge>
                  ) : null}
                  <span>{rolesWords(user)}</span>
                  {user.hasPassword ? null : <span>signs in by link</span>}
                </span>
                <Menu position="bottom-end" width={250}>
                  <Menu.Target>
                    <ActionIcon variant="subtle" color="gray" size={36} aria-label={`Actions for ${user.name}`}>
                      <DotsIcon />
                    </ActionIcon>
                  </Menu.Target>
                  <Menu.Dropdown>
                    <Menu.Item onClick={() => makeLink.mutate(user)}>Make a sign-in link</Menu.Item>
                    <Menu.Item onClick={() => setActing({ what: "administer", user })}>{user.instanceAdmin ? "Take administration away…" : "Make administrator…"}</Menu.Item>
                    <Menu.Item color="buoy" disabled={user.id === me.user.id} onClick={() => setActing({ what: "archive", user })}>
                      {user.id === me.user.id ? "Archive: not yourself" : "Archive…"}
                    </Menu.Item>
                  </Menu.Dropdown>
                </Menu>
              </li>
            ))}
          </ul>
        </Card>
      ) : null}
      {adding ? (
        <NewUser
          project={project}
          onClose={() => setAdding(false)}
          onMade={(made) => {
            setAdding(false);
            setLink(made);
          }}
        />
      ) : null}
      {link ? (
        <ShownOnce title={`Copy the link for ${link.name} now`} value={link.link} onClose={() => setLink(null)}>
          It signs {link.name} in once, until {exactly(link.expiresAt)}, and is shown this once. Send it where only they read it.
        </ShownOnce>
      ) : null}
      {acting ? <ActOnUser key={acting.what} me={me} {...acting} onClose={() => setActing(null)} /> : null}
    </>
  );
}

/** Like “admin of shop, viewer of 2 more”. */
function rolesWords({ roles }: User): string {
  const all = Object.entries(roles);
  if (all.length === 0) return "no project";
  const shown = all.slice(0, 2).map(([project, role]) => `${role} of ${project}`);
  return all.length > 2 ? `${shown.join(", ")} and ${all.length - 2} more` : shown.join(", ");
}

function NewUser({ project, onClose, onMade }: { project: string; onClose(): void; onMade(link: MadeLink): void }) {
  const [name, setName] = useState("");
  const [email, setEmail] = useState("");
  const [role, setRole] = useState<Role | "">("viewer");
  const [instanceAdmin, setInstanceAdmin] = useState(false);
  const queryClient = useQueryClient();
  const create = useMutation({
    mutationFn: async () => {
      const user = await api.createUser({ name: name.trim(), email: email.trim(), ...(instanceAdmin ? { instanceAdmin } : {}), ...(role === "" ? {} : { roles: { [project]: role } }) });
      await Promise.all([queryClient.invalidateQueries({ queryKey: queries.users().queryKey }), queryClient.invalidateQueries({ queryKey: queries.members(project).queryKey })]);
      return { name: user.name, ...(await api.signInLink(user.id)) };
    },
    onSuccess: onMade,
  });
  const field = isProblem(create.error) ? create.error.field : undefined;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <Dialog onClose={onClose} title="New person">
      <form onSubmit={submit}>
        <Stack>
          {create.error && field !== "/email" ? <ProblemAlert error={create.error} /> : null}
          <TextInput label="Name" required data-autofocus maxLength={100} value={name} onChange={(event) => setName(event.currentTarget.value)} />
          <TextInput
            label="Email"
            description="What they sign in with. The server sends no mail: you get a link to pass on."
            type="email"
            required
            value={email}
            onChange={(event) => setEmail(event.currentTarget.value)}
            error={field === "/email" && create.error ? problemOf(create.error).message : null}
          />
          <NativeSelect
            label={`Role in ${project}`}
            value={role}
            onChange={(event) => setRole(event.currentTarget.value as Role | "")}
            data={[{ value: "", label: "None yet" }, ...ROLES.map(({ value, label, may }) => ({ value, label: `${label}: ${may}` }))]}
          />
          <Switch
            label="Administers the instance"
            description="May do everything in every project, and manages users."
            checked={instanceAdmin}
            onChange={(event) => setInstanceAdmin(event.currentTarget.checked)}
            color="var(--tg-switch)"
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={create.isPending} disabled={name.trim() === "" || email.trim() === ""}>
              Add and make a link
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

function ActOnUser({ me, what, user, onClose }: { me: Me; what: "archive" | "administer"; user: User; onClose(): void }) {
  const [reason, setReason] = useState("");
  const [version, setVersion] = useState(user.version);
  const queryClient = useQueryClient();
  const archiving = what === "archive";
  const act = useMutation({
    mutationFn: async (): Promise<unknown> =>
      archiving ? api.archiveUser(user.id, version, reason.trim()) : api.updateUser(user.id, version, { instanceAdmin: !user.instanceAdmin, reason: reason.trim() }),
    onSuccess: async () => {
      // Members lists of all projects name people, too.
      await queryClient.invalidateQueries();
      onClose();
    },
    onError: async (error) => {
      if (!isProblem(error, "stale")) return;
      const now = await queryClient.fetchQuery({ ...queries.users(), staleTime: 0 });
      setVersion(now.find(({ id }) => id === user.id)?.version ?? version);
    },
  });
  const title = archiving ? `Archive ${user.name}?` : user.instanceAdmin ? `Take administration away from ${user.name}?` : `Make ${user.name} an administrator of the instance?`;
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (reason.trim() !== "") act.mutate();
  };
  return (
    <Dialog onClose={onClose} title={title}>
      <form onSubmit={submit}>
        <Stack>
          {isProblem(act.error, "stale") ? (
            <Alert color="yellow" title="Somebody else changed this person meanwhile" role="status">
              It was read again. Once more does it.
            </Alert>
          ) : act.error ? (
            <ProblemAlert error={act.error} />
          ) : null}
          <Text size="sm">
            {archiving
              ? "They are signed out at once and cannot sign in any more. What they did stays in the audit log under their name."
              : user.instanceAdmin
                ? "They keep their roles in projects."
                : "They may do everything in every project, and manage users."}
          </Text>
          {user.id === me.user.id ? (
            <Alert color="yellow" title="This is you">
              You cannot take this back yourself.
            </Alert>
          ) : null}
          <ReasonField value={reason} onChange={setReason} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color={archiving ? "buoy" : "tide"} loading={act.isPending} disabled={reason.trim() === ""}>
              {archiving ? "Archive" : user.instanceAdmin ? "Take it away" : "Make administrator"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

import { Button, Group, NativeSelect, Stack, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { queries } from "../../api/queries";
import type { Me, Role, Token } from "../../api/types";
import { Ago, useNow } from "../../components/Ago";
import { Dialog } from "../../components/Dialog";
import { PlusIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { refusal } from "../../lib/access";
import { ROLES } from "./Members";
import styles from "./Members.module.css";
import { ShownOnce } from "./ShownOnce";

const DAY_MS = 86_400_000;

export function Tokens({ project, me }: { project: string; me: Me }) {
  const mayNot = refusal(me, project, "administer");
  const tokens = useQuery({ ...queries.tokens(), enabled: mayNot === null });
  const [adding, setAdding] = useState(false);
  const [made, setMade] = useState<{ name: string; token: string } | null>(null);
  const [revoking, setRevoking] = useState<Token | null>(null);
  const now = useNow();
  if (mayNot !== null) {
    return (
      <Card>
        <Empty title="API tokens are not shown">
          <p>{mayNot.replace(/^This/, "Seeing them")}.</p>
        </Empty>
      </Card>
    );
  }
  const shown = (tokens.data ?? []).filter((token) => token.instanceAdmin || token.project === project);
  return (
    <>
      <div className={styles.filters}>
        <Text size="sm" c="dimmed">
          For programs that use the API: pipelines, importers, scripts. Applications that evaluate flags use SDK keys.
        </Text>
        <Button ml="auto" leftSection={<PlusIcon />} onClick={() => setAdding(true)}>
          New token
        </Button>
      </div>
      {tokens.error && !tokens.data ? <ProblemAlert error={tokens.error} onRetry={() => void tokens.refetch()} /> : null}
      {tokens.isPending ? <Loading what="Loading the tokens" /> : null}
      {tokens.data && shown.length === 0 ? (
        <Card>
          <Empty title="No API token yet" />
        </Card>
      ) : null}
      {shown.length > 0 ? (
        <Card>
          <ul className={styles.rows} aria-label="API tokens">
            {shown.map((token) => (
              <li key={token.id} className={styles.row}>
                <span className={styles.who}>
                  <strong>{token.name}</strong>
                  <span>
                    {token.instanceAdmin ? "may do everything" : `${token.role ?? "no role"} of ${token.project ?? "no project"}`}, made <Ago at={token.createdAt} />
                    {token.lastUsedAt ? (
                      <>
                        , used last <Ago at={token.lastUsedAt} />
                      </>
                    ) : (
                      ", never used"
                    )}
                  </span>
                </span>
                <span className={styles.facts}>
                  {token.expiresAt ? (
                    <span data-warn={Date.parse(token.expiresAt) <= now || undefined}>
                      {Date.parse(token.expiresAt) <= now ? "expired " : "expires "}
                      <Expiry at={token.expiresAt} now={now} />
                    </span>
                  ) : (
                    <span>never expires</span>
                  )}
                </span>
                <Button size="compact-sm" variant="subtle" color="buoy" aria-label={`Revoke ${token.name}`} onClick={() => setRevoking(token)}>
                  Revoke…
                </Button>
              </li>
            ))}
          </ul>
        </Card>
      ) : null}
      {adding ? (
        <NewToken
          project={project}
          me={me}
          onClose={() => setAdding(false)}
          onMade={(token) => {
            setAdding(false);
            setMade(token);
          }}
        />
      ) : null}
      {made ? (
        <ShownOnce title={`Copy the token ${made.name} now`} value={made.token} onClose={() => setMade(null)}>
          It is shown this once: the server keeps only its hash. Programs send it as <code>Authorization: Bearer …</code>.
        </ShownOnce>
      ) : null}
      {revoking ? <Revoke token={revoking} onClose={() => setRevoking(null)} /> : null}
    </>
  );
}

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

function Expiry({ at, now }: { at: string; now: number }) {
  return (
    <time dateTime={at} title={at}>
      {relative.format(Math.round((Date.parse(at) - now) / DAY_MS), "day")}
    </time>
  );
}

const LIVES = [
  { value: "30", label: "30 days" },
  { value: "90", label: "90 days" },
  { value: "365", label: "1 year" },
  { value: "never", label: "Never" },
];

function NewToken({ project, me, onClose, onMade }: { project: string; me: Me; onClose(): void; onMade(token: { name: string; token: string }): void }) {
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role | "instance">("editor");
  const [life, setLife] = useState("90");
  const queryClient = useQueryClient();
  const create = useMutation({
    mutationFn: () =>
      api.createToken({
        name: name.trim(),
        ...(role === "instance" ? { instanceAdmin: true } : { project, role }),
        ...(life === "never" ? {} : { expiresAt: new Date(Date.now() + Number(life) * DAY_MS).toISOString() }),
      }),
    onSuccess: async (token) => {
      onMade(token);
      await queryClient.invalidateQueries({ queryKey: queries.tokens().queryKey });
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  return (
    <Dialog onClose={onClose} title="New API token">
      <form onSubmit={submit}>
        <Stack>
          {create.error ? <ProblemAlert error={create.error} /> : null}
          <TextInput label="Name" description="Like the program that uses it." required data-autofocus maxLength={100} value={name} onChange={(event) => setName(event.currentTarget.value)} />
          <NativeSelect
            label="May do"
            value={role}
            onChange={(event) => setRole(event.currentTarget.value as Role | "instance")}
            data={[
              ...ROLES.map(({ value, label, may }) => ({ value, label: `${label}: ${may}` })),
              ...(me.instanceAdmin ? [{ value: "instance", label: "Everything, in every project" }] : []),
            ]}
          />
          <NativeSelect label="Expires after" value={life} onChange={(event) => setLife(event.currentTarget.value)} data={LIVES} />
          {life === "never" ? (
            <Text size="sm" c="dimmed">
              A token that never expires works until somebody revokes it.
            </Text>
          ) : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={create.isPending} disabled={name.trim() === ""}>
              Create token
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

function Revoke({ token, onClose }: { token: Token; onClose(): void }) {
  const [reason, setReason] = useState("");
  const queryClient = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => api.revokeToken(token.id, reason.trim()),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: queries.tokens().queryKey });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (reason.trim() !== "") revoke.mutate();
  };
  return (
    <Dialog onClose={onClose} title={`Revoke ${token.name}?`}>
      <form onSubmit={submit}>
        <Stack>
          {revoke.error ? <ProblemAlert error={revoke.error} /> : null}
          <Text size="sm">Programs that use it are refused from now on. This cannot be taken back.</Text>
          <ReasonField value={reason} onChange={setReason} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" color="buoy" loading={revoke.isPending} disabled={reason.trim() === ""}>
              Revoke
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

import { Button, Group, Loader, Modal, SegmentedControl, Stack, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { queries } from "../../api/queries";
import type { Environment, SdkKey } from "../../api/types";
import { Ago } from "../../components/Ago";
import { CopyValue } from "../../components/CopyValue";
import { Dialog } from "../../components/Dialog";
import { EnvironmentName } from "../../components/EnvironmentName";
import { KeyIcon } from "../../components/icons";
import { Card, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { refusal } from "../../lib/access";
import styles from "./Environments.module.css";
import { ReceiptsLine } from "./ReceiptsLine";

export function EnvironmentList() {
  const { project } = useParams({ from: "/projects/$project/environments" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const me = useQuery(queries.me()).data;
  const mayNot = refusal(me, project, "administer");
  return (
    <Page title="Environments" lead="Where flags are evaluated. Each has its own configurations, revisions and SDK keys.">
      <div className={styles.list}>
        {environments.map((environment) => (
          <Card key={environment.key} className={styles.card ?? ""}>
            <div className={styles.head}>
              <h2>
                <EnvironmentName environment={environment} />
              </h2>
              <code>{environment.key}</code>
            </div>
            <div className={styles.facts}>
              <span>Revision {environment.revision}</span>
              <ReceiptsLine project={project} environment={environment.key} />
              {environment.production ? <span>Changes are confirmed first</span> : <span>Changes apply with one click</span>}
            </div>
            {mayNot === null ? (
              <Keys project={project} environment={environment} />
            ) : (
              <Text size="sm" c="dimmed">
                SDK keys are not shown: {mayNot.replace(/^This/, "seeing them")}.
              </Text>
            )}
          </Card>
        ))}
      </div>
    </Page>
  );
}

function Keys({ project, environment }: { project: string; environment: Environment }) {
  const queryClient = useQueryClient();
  const [creating, create] = useDisclosure(false);
  const [revoking, setRevoking] = useState<SdkKey | null>(null);
  const { queryKey } = queries.keys(project, environment.key);
  const keys = useQuery(queries.keys(project, environment.key));
  const revoke = useMutation({
    mutationFn: (key: SdkKey) => api.revokeKey(project, environment.key, key, ""),
    onSuccess: async () => {
      setRevoking(null);
      await queryClient.invalidateQueries({ queryKey });
    },
  });
  return (
    <>
      {keys.error ? <ProblemAlert error={keys.error} onRetry={() => void keys.refetch()} /> : null}
      {keys.isPending ? <Loader size="sm" type="dots" aria-label="Loading the keys" /> : null}
      {keys.data && keys.data.length > 0 ? (
        <table className={styles.keys}>
          <thead>
            <tr>
              <th>SDK key</th>
              <th>For</th>
              <th>Made</th>
              <th>
                <span className="visually-hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {keys.data.map((key) => (
              <tr key={key.id}>
                <td>{key.name}</td>
                <td>{key.kind === "server" ? "servers" : "clients"}</td>
                <td>
                  <Ago at={key.createdAt} />
                </td>
                <td>
                  <Button size="compact-sm" variant="subtle" color="buoy" onClick={() => setRevoking(key)} aria-label={`Revoke ${key.name}`}>
                    Revoke…
                  </Button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
      <Button mt="sm" size="sm" variant="default" leftSection={<KeyIcon />} onClick={create.open}>
        New SDK key
      </Button>
      {creating ? (
        <NewKey
          project={project}
          environment={environment}
          onClose={() => {
            create.close();
            void queryClient.invalidateQueries({ queryKey });
          }}
        />
      ) : null}
      <Modal opened={revoking !== null} onClose={() => setRevoking(null)} title={`Revoke ${revoking?.name ?? ""} in ${environment.name}?`}>
        <Stack>
          {revoke.error ? <ProblemAlert error={revoke.error} /> : null}
          <Text size="sm">
            Applications that use it are disconnected and get no more changes; they go on with what they have. This cannot be taken back.
          </Text>
          <Group justify="flex-end">
            <Button variant="default" onClick={() => setRevoking(null)}>
              Cancel
            </Button>
            <Button color="buoy" loading={revoke.isPending} onClick={() => revoking && revoke.mutate(revoking)}>
              Revoke
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}

function NewKey({ project, environment, onClose }: { project: string; environment: Environment; onClose(): void }) {
  const [name, setName] = useState("");
  const [kind, setKind] = useState<"server" | "client">("server");
  const create = useMutation({ mutationFn: () => api.createKey(project, environment.key, { name: name.trim(), kind }) });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  if (create.data) {
    return (
      <Dialog onClose={onClose} title="Copy the key now" closeOnClickOutside={false}>
        <Stack>
          <Text size="sm">It is shown this once: the server keeps only its hash.</Text>
          <div className={styles.secret}>{create.data.key}</div>
          <Group justify="flex-end">
            <CopyValue value={create.data.key} />
            <Button onClick={onClose}>Done</Button>
          </Group>
        </Stack>
      </Dialog>
    );
  }
  return (
    <Dialog onClose={onClose} title={`New SDK key for ${environment.name}`}>
      <form onSubmit={submit}>
        <Stack>
          {create.error ? <ProblemAlert error={create.error} /> : null}
          <TextInput label="Name" description="Like the application that uses it." required data-autofocus value={name} onChange={(event) => setName(event.currentTarget.value)} />
          <SegmentedControl
            aria-label="Who uses the key"
            value={kind}
            onChange={(value) => setKind(value as "server" | "client")}
            data={[
              { value: "server", label: "Servers" },
              { value: "client", label: "Browsers and apps" },
            ]}
          />
          <Text size="sm" c="dimmed">
            {kind === "server" ? "Secret. Gets the rules of every flag." : "Public. Gets only flags that are available to clients."}
          </Text>
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={create.isPending} disabled={name.trim() === ""}>
              Create key
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

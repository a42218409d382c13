import { Alert, Button, Group, SegmentedControl, Stack, Switch, TagsInput, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { api } from "../../api/client";
import { queries } from "../../api/queries";
import type { Environment, Receipts, SdkKey } from "../../api/types";
import { Ago } from "../../components/Ago";
import { CopyValue } from "../../components/CopyValue";
import { Dialog } from "../../components/Dialog";
import { KeyIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ReasonField } from "../../components/ReasonField";
import { Connect } from "./Connect";
import styles from "./Environments.module.css";

/** The SDK keys of an environment: who may ask for its flags. */
export function Keys({ project, environment }: { project: string; environment: Environment }) {
  const queryClient = useQueryClient();
  const [creating, create] = useDisclosure(false);
  const [revoking, setRevoking] = useState<SdkKey | null>(null);
  const { queryKey } = queries.keys(project, environment.key);
  const keys = useQuery(queries.keys(project, environment.key));
  const receipts = useQuery(queries.receipts(project, environment.key)).data;
  return (
    <>
      {keys.error ? <ProblemAlert error={keys.error} onRetry={() => void keys.refetch()} /> : null}
      {keys.isPending ? <Loading size="sm" what="Loading the keys" /> : null}
      {keys.data && keys.data.length === 0 ? (
        <Text size="sm" c="dimmed">
          No SDK key yet: no application can ask for the flags here.
        </Text>
      ) : null}
      {keys.data && keys.data.length > 0 ? (
        <table className={styles.keys}>
          <thead>
            <tr>
              <th>SDK key</th>
              <th>For</th>
              <th>Last used</th>
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
                <td>
                  {key.kind === "server" ? "servers" : "browsers and apps"}
                  {key.kind === "client" ? <span className={styles.limits}>{limitsOf(key)}</span> : null}
                </td>
                <td>
                  <LastUse sdkKey={key} connected={connectedWith(key, receipts)} />
                </td>
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
      <Button mt="sm" size="sm" variant="default" leftSection={<KeyIcon />} onClick={create.open} aria-label={`New SDK key for ${environment.name}`}>
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
      {revoking ? <Revoke project={project} environment={environment} sdkKey={revoking} onClose={() => setRevoking(null)} /> : null}
    </>
  );
}

/** Like “only from https://shop.example.org; signed contexts”. */
function limitsOf({ allowedOrigins, secureMode }: SdkKey): string {
  const any = allowedOrigins.length === 0 || allowedOrigins.includes("*");
  return `${any ? "from any site" : `only from ${allowedOrigins.join(", ")}`}${secureMode ? "; secure mode" : ""}`;
}

/** How many SDKs are connected with the key now; null where that is not known. */
function connectedWith(key: SdkKey, receipts: Receipts | undefined): number | null {
  if (!receipts) return null;
  return (receipts.sdks ?? []).reduce((sum, sdk) => sum + (sdk.key === key.id ? sdk.connected : 0), 0);
}

const sdks = (count: number) => `${count.toLocaleString("en")} ${count === 1 ? "SDK" : "SDKs"}`;

function LastUse({ sdkKey, connected }: { sdkKey: SdkKey; connected: number | null }) {
  if (connected) return <>now, by {sdks(connected)}</>;
  return sdkKey.lastUsedAt ? <Ago at={sdkKey.lastUsedAt} /> : <>never</>;
}

interface RevokeProps {
  project: string;
  environment: Environment;
  sdkKey: SdkKey;
  onClose(): void;
}

function Revoke({ project, environment, sdkKey, onClose }: RevokeProps) {
  const queryClient = useQueryClient();
  const [reason, setReason] = useState("");
  const connected = connectedWith(sdkKey, useQuery(queries.receipts(project, environment.key)).data);
  const revoke = useMutation({
    mutationFn: () => api.revokeKey(project, environment.key, sdkKey.id, reason.trim()),
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: queries.keys(project, environment.key).queryKey });
      onClose();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (reason.trim() !== "") revoke.mutate();
  };
  return (
    <Dialog onClose={onClose} title={`Revoke ${sdkKey.name} in ${environment.name}?`}>
      <form onSubmit={submit}>
        <Stack>
          {revoke.error ? <ProblemAlert error={revoke.error} /> : null}
          <Text size="sm">
            <strong>{sdkKey.name}</strong> is for {sdkKey.kind === "server" ? "servers" : "browsers and apps"}
            {sdkKey.kind === "client" && sdkKey.allowedOrigins.length > 0 ? ` at ${sdkKey.allowedOrigins.join(", ")}` : ""}. Applications that use it are disconnected and
            get no more changes; they go on with what they have. This cannot be taken back.
          </Text>
          {connected ? (
            <Alert color="yellow" title={`${sdks(connected)} ${connected === 1 ? "is" : "are"} connected with this key now`}>
              Give the applications another key first, and wait here until none is left.
            </Alert>
          ) : (
            <Text size="sm">
              {sdkKey.lastUsedAt ? (
                <>
                  It was used last <Ago at={sdkKey.lastUsedAt} />
                  {connected === 0 ? ", and no SDK is connected with it now" : ""}.
                </>
              ) : (
                "It was never used."
              )}
            </Text>
          )}
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

function NewKey({ project, environment, onClose }: { project: string; environment: Environment; onClose(): void }) {
  const [name, setName] = useState("");
  const [kind, setKind] = useState<"server" | "client">("server");
  const [origins, setOrigins] = useState<string[]>([]);
  const [secureMode, setSecureMode] = useState(false);
  const create = useMutation({
    mutationFn: () =>
      api.createKey(project, environment.key, { name: name.trim(), kind, ...(kind === "client" ? { secureMode, ...(origins.length > 0 ? { allowedOrigins: origins } : {}) } : {}) }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    create.mutate();
  };
  if (create.data) {
    const { key, signingSecret } = create.data;
    return (
      <Dialog onClose={onClose} title="Copy the key now" size={640} closeOnClickOutside={false}>
        <Stack>
          <Text size="sm">It is shown this once: the server keeps only its hash.</Text>
          <div className={styles.once}>
            <div className={styles.secret}>{key}</div>
            <CopyValue value={key} />
          </div>
          {signingSecret ? (
            <>
              <Text size="sm">With this secret your server signs each targeting key. It never goes to a browser, and is shown this once, too.</Text>
              <div className={styles.once}>
                <div className={styles.secret}>{signingSecret}</div>
                <CopyValue value={signingSecret} label="Copy the secret" />
              </div>
            </>
          ) : null}
          <Connect project={project} environment={environment} sdkKey={key} kind={kind} />
          <Group justify="flex-end">
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
          <TextInput label="Name" description="Like the application that uses it." required data-autofocus maxLength={100} value={name} onChange={(event) => setName(event.currentTarget.value)} />
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
          {kind === "client" ? (
            <>
              <TagsInput
                label="Allowed origins"
                description="The sites whose pages may use it, like https://shop.example.org. None: any site may."
                placeholder={origins.length === 0 ? "Any site" : ""}
                value={origins}
                onChange={setOrigins}
                maxTags={50}
                splitChars={[",", " "]}
                acceptValueOnBlur
                clearable
                clearButtonProps={{ "aria-label": "Remove all origins" }}
              />
              <Switch
                label="Secure mode"
                description="Each context carries a signature that your server made, so that nobody asks for somebody else’s flags."
                checked={secureMode}
                onChange={(event) => setSecureMode(event.currentTarget.checked)}
                color="var(--tg-switch)"
              />
            </>
          ) : null}
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

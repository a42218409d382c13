import { Button, Group, SegmentedControl, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState, type FormEvent } from "react";

import { deliveryApi, deliveryQueries } from "../../api/delivery";
import { isProblem, problemAt } from "../../api/problem";
import type { MetricSource, SourceKind } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { Dialog } from "../../components/Dialog";
import { Guarded } from "../../components/Guarded";
import { PlusIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { OptionalReason } from "../../components/ReasonField";
import { KEY_RULE, keyFrom } from "../../lib/keys";
import { Tag } from "../rollouts/Tag";
import styles from "./Delivery.module.css";
import { Overtaken, useRefusal } from "./parts";
import { TryQuery } from "./TryQuery";

export function Sources() {
  const { project } = useParams({ from: "/projects/$project/delivery/sources" });
  const sources = useQuery(deliveryQueries.metricSources(project));
  const [editing, setEditing] = useState<MetricSource | "new" | null>(null);
  const [archiving, setArchiving] = useState<MetricSource | null>(null);
  const mayNot = useRefusal("administer", "Changing metric sources");
  return (
    <>
      <div className={styles.bar}>
        <p>Systems that gates ask: Prometheus, or any service that answers with a number in JSON. Their secrets are the operator’s; a source names one.</p>
        <Guarded refusal={mayNot} leftSection={<PlusIcon />} onClick={() => setEditing("new")}>
          New metric source
        </Guarded>
      </div>
      {sources.error && !sources.data ? <ProblemAlert error={sources.error} onRetry={() => void sources.refetch()} /> : null}
      {sources.isPending ? <Loading what="Loading the metric sources" /> : null}
      {sources.data?.length === 0 ? (
        <Card>
          <Empty title="No metric source yet">
            <p>Gates on events need none. One is for what the application does not track, and Prometheus knows.</p>
          </Empty>
        </Card>
      ) : null}
      <div className={styles.list}>
        {(sources.data ?? []).map((source) => (
          <Card key={source.key} className={styles.card ?? ""}>
            <div className={styles.head}>
              <h2>{source.name}</h2>
              <code>{source.key}</code>
              <Tag tone="plain">{source.kind === "prometheus" ? "Prometheus" : "HTTP"}</Tag>
              <span className={styles.grow} />
              <Group gap={4}>
                <Guarded refusal={mayNot} size="compact-sm" variant="subtle" onClick={() => setEditing(source)} aria-label={`Edit ${source.name}`}>
                  Edit
                </Guarded>
                <Guarded refusal={mayNot} size="compact-sm" variant="subtle" color="buoy" onClick={() => setArchiving(source)} aria-label={`Archive ${source.name}`}>
                  Archive…
                </Guarded>
              </Group>
            </div>
            {source.description ? <p className={styles.text}>{source.description}</p> : null}
            <p className={styles.facts}>
              <span>{source.url}</span>
              <span>{source.credential ? `credential ${source.credential}` : "without a credential"}</span>
            </p>
            <TestBox project={project} source={source} />
          </Card>
        ))}
      </div>
      {editing ? <SourceDialog project={project} source={editing === "new" ? null : editing} onClose={() => setEditing(null)} /> : null}
      {archiving ? (
        <ConfirmDialog
          project={project}
          title={`Archive ${archiving.name}?`}
          verb="Archive"
          word={archiving.key}
          act={(reason) => deliveryApi.archiveMetricSource(project, archiving.key, archiving.version, reason)}
          onClose={() => setArchiving(null)}
        >
          Gates cannot ask it any more, and its key is never given again. One that a rollout asks stays.
        </ConfirmDialog>
      ) : null}
    </>
  );
}

function TestBox({ project, source }: { project: string; source: MetricSource }) {
  const [query, setQuery] = useState("");
  return (
    <div className={styles.test}>
      <Textarea
        label={`Try a query on ${source.name}`}
        placeholder={source.kind === "prometheus" ? "sum(rate(http_requests_total[1m]))" : "/stats/checkout?window=1m#/latency/p95"}
        autosize
        minRows={1}
        maxRows={6}
        value={query}
        onChange={(event) => setQuery(event.currentTarget.value)}
      />
      {query.trim() === "" ? null : <TryQuery key={query} project={project} source={source.key} query={query.trim()} />}
    </div>
  );
}

const told = ({ name, description, url, credential }: MetricSource) => ({ name, description: description ?? "", url, credential: credential ?? null });

function SourceDialog({ project, source, onClose }: { project: string; source: MetricSource | null; onClose(): void }) {
  const [base, setBase] = useState(source);
  const [theirs, setTheirs] = useState<{ before: unknown; after: unknown } | null>(null);
  const [name, setName] = useState(source?.name ?? "");
  const [key, setKey] = useState<string | null>(null);
  const [kind, setKind] = useState<SourceKind>(source?.kind ?? "prometheus");
  const [url, setUrl] = useState(source?.url ?? "");
  const [credential, setCredential] = useState(source?.credential ?? "");
  const [description, setDescription] = useState(source?.description ?? "");
  const [reason, setReason] = useState("");
  const queryClient = useQueryClient();
  const save = useMutation({
    mutationFn: () => {
      const body = { name: name.trim(), url: url.trim(), description: description.trim(), credential: credential.trim() || null, reason: reason.trim() };
      return base ? deliveryApi.updateMetricSource(project, base.key, base.version, body) : deliveryApi.createMetricSource(project, { ...body, kind, key: (key ?? keyFrom(name)).trim() });
    },
    onSuccess: async () => {
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
      onClose();
    },
    onError: async (error) => {
      if (!isProblem(error, "stale") || !base) return;
      const now = (await queryClient.fetchQuery({ ...deliveryQueries.metricSources(project), staleTime: 0 })).find((each) => each.key === base.key);
      if (!now) return;
      setTheirs({ before: told(base), after: told(now) });
      setBase(now);
    },
  });
  const problem = isProblem(save.error) ? save.error : null;
  const stale = theirs !== null && problem?.code === "stale";
  const at = problemAt(problem);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Dialog onClose={onClose} size={560} title={source ? `Edit ${source.name}` : "New metric source"}>
      <form onSubmit={submit}>
        <Stack>
          {stale && theirs ? <Overtaken {...theirs} /> : save.error ? <ProblemAlert error={save.error} /> : null}
          <TextInput label="Name" required data-autofocus value={name} onChange={(event) => setName(event.currentTarget.value)} error={at("/name")} />
          {source ? null : (
            <>
              <TextInput label="Key" description={KEY_RULE} required value={key ?? keyFrom(name)} onChange={(event) => setKey(event.currentTarget.value)} error={at("/key")} />
              <SegmentedControl
                aria-label="What answers"
                value={kind}
                onChange={(value) => setKind(value as SourceKind)}
                data={[
                  { value: "prometheus", label: "Prometheus" },
                  { value: "http", label: "HTTP and JSON" },
                ]}
              />
            </>
          )}
          <TextInput label="Address" description="Without a query, and without anything secret." placeholder="https://metrics.example.org" required value={url} onChange={(event) => setUrl(event.currentTarget.value)} error={at("/url")} />
          <TextInput label="Credential" description="The name of one that the operator has for that address; empty: none is needed." value={credential} onChange={(event) => setCredential(event.currentTarget.value)} error={at("/credential")} />
          <Textarea label="Description" autosize minRows={1} maxRows={4} value={description} onChange={(event) => setDescription(event.currentTarget.value)} error={at("/description")} />
          <OptionalReason value={reason} onChange={setReason} />
          {source ? (
            <Text size="xs" c="dimmed">
              Rollouts that ask it go on with the new address.
            </Text>
          ) : null}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending}>
              {stale ? "Save mine" : source ? "Save" : "Create metric source"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

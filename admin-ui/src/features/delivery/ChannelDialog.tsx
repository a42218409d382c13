import { Button, Group, MultiSelect, NativeSelect, SegmentedControl, Stack, TagsInput, Text, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type FormEvent } from "react";

import { deliveryApi, deliveryQueries } from "../../api/delivery";
import { isProblem, problemAt } from "../../api/problem";
import { queries } from "../../api/queries";
import type { NotificationChannel, NotificationSeverity, NotificationTarget } from "../../api/types";
import { CopyValue } from "../../components/CopyValue";
import { Dialog } from "../../components/Dialog";
import { ProblemAlert } from "../../components/ProblemAlert";
import { OptionalReason } from "../../components/ReasonField";
import { KEY_RULE, keyFrom } from "../../lib/keys";
import { KINDS, SEVERITIES } from "./channelWords";
import styles from "./Delivery.module.css";
import { Overtaken } from "./parts";

type Kind = NotificationTarget["kind"];

const HINTS: Record<Kind, string> = {
  webhook: "A POST of JSON, signed as Standard Webhooks say. The signing key is shown once, when the channel is made.",
  slack: "The path of the incoming webhook is its secret: it is the operator’s credential, and named here.",
  pagerDuty: "Hears of incidents only, and of their end. The integration key is the operator’s credential, and named here.",
  email: "Plain text, up to 20 addresses. It needs the operator’s mail server.",
};

const told = ({ name, target, minSeverity, environments }: NotificationChannel) => ({ name, target, minSeverity, environments });

/** The key with which a webhook's messages are signed: shown this once. */
export function SigningKey({ value, onClose }: { value: string; onClose(): void }) {
  return (
    <Dialog onClose={onClose} title="Copy the signing key now" closeOnClickOutside={false}>
      <Stack>
        <Text size="sm">Messages are signed with it, and the receiver verifies them by it. It is shown this once.</Text>
        <div className={styles.secret}>{value}</div>
        <Group justify="flex-end">
          <CopyValue value={value} />
          <Button onClick={onClose}>Done</Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

export function ChannelDialog({ project, channel, onClose }: { project: string; channel: NotificationChannel | null; onClose(): void }) {
  const target = channel?.target;
  const [base, setBase] = useState(channel);
  const [theirs, setTheirs] = useState<{ before: unknown; after: unknown } | null>(null);
  const [name, setName] = useState(channel?.name ?? "");
  const [key, setKey] = useState<string | null>(null);
  const [kind, setKind] = useState<Kind>(target?.kind ?? "webhook");
  const [url, setUrl] = useState(target && "url" in target ? (target.url ?? "") : "");
  const [credential, setCredential] = useState(target && "credential" in target ? (target.credential ?? "") : "");
  const [to, setTo] = useState(target?.kind === "email" ? target.to : []);
  const [minSeverity, setMinSeverity] = useState<NotificationSeverity>(channel?.minSeverity ?? "info");
  const [chosen, setChosen] = useState(channel?.environments ?? []);
  const [reason, setReason] = useState("");
  const environments = useQuery(queries.environments(project)).data ?? [];
  const queryClient = useQueryClient();

  const wanted = (): NotificationTarget => {
    const named = credential.trim();
    const at = url.trim();
    if (kind === "email") return { kind, to };
    if (kind === "webhook") return { kind, url: at, ...(named === "" ? {} : { credential: named }) };
    return { kind, credential: named, ...(at === "" ? {} : { url: at }) };
  };
  const save = useMutation({
    mutationFn: () => {
      const body = { name: name.trim(), target: wanted(), minSeverity, environments: chosen, reason: reason.trim() };
      return base ? deliveryApi.updateChannel(project, base.key, base.version, body) : deliveryApi.createChannel(project, { ...body, key: (key ?? keyFrom(name)).trim() });
    },
    onSuccess: async (saved) => {
      await queryClient.invalidateQueries({ queryKey: ["project", project] });
      if (!("signingKey" in saved && saved.signingKey)) onClose();
    },
    onError: async (error) => {
      if (!isProblem(error, "stale") || !base) return;
      const now = (await queryClient.fetchQuery({ ...deliveryQueries.channels(project), staleTime: 0 })).find((each) => each.key === base.key);
      if (!now) return;
      setTheirs({ before: told(base), after: told(now) });
      setBase(now);
    },
  });
  const made = save.data;
  if (made && "signingKey" in made && typeof made.signingKey === "string") return <SigningKey value={made.signingKey} onClose={onClose} />;
  const problem = isProblem(save.error) ? save.error : null;
  const stale = theirs !== null && problem?.code === "stale";
  const at = problemAt(problem);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <Dialog onClose={onClose} size={560} title={channel ? `Edit ${channel.name}` : "New notification channel"}>
      <form onSubmit={submit}>
        <Stack>
          {stale && theirs ? <Overtaken {...theirs} /> : save.error ? <ProblemAlert error={save.error} /> : null}
          {channel ? null : (
            <SegmentedControl aria-label="What takes the messages" value={kind} onChange={(value) => setKind(value as Kind)} data={(Object.keys(KINDS) as Kind[]).map((value) => ({ value, label: KINDS[value] }))} />
          )}
          <Text size="sm" c="dimmed">
            {HINTS[kind]}
          </Text>
          <TextInput label="Name" required data-autofocus value={name} onChange={(event) => setName(event.currentTarget.value)} error={at("/name")} />
          {channel ? null : <TextInput label="Key" description={KEY_RULE} required value={key ?? keyFrom(name)} onChange={(event) => setKey(event.currentTarget.value)} error={at("/key")} />}
          {kind === "email" ? (
            <TagsInput label="To" description="Enter after each address." placeholder="ops@example.org" value={to} onChange={setTo} splitChars={[",", " ", ";"]} acceptValueOnBlur error={at("/target/to") ?? at("/target")} />
          ) : (
            <>
              <TextInput
                label={kind === "webhook" ? "Address" : "Origin"}
                description={kind === "webhook" ? "Without anything secret: it is in the audit log." : "Where it is not the usual one."}
                placeholder={kind === "webhook" ? "https://hooks.example.org/tidegate" : kind === "slack" ? "https://hooks.slack.com" : "https://events.pagerduty.com"}
                required={kind === "webhook"}
                value={url}
                onChange={(event) => setUrl(event.currentTarget.value)}
                error={at("/target/url") ?? at("/target")}
              />
              <TextInput label="Credential" description={kind === "webhook" ? "The operator’s, where the receiver asks for one." : "The operator’s."} required={kind !== "webhook"} value={credential} onChange={(event) => setCredential(event.currentTarget.value)} error={at("/target/credential")} />
            </>
          )}
          {kind === "pagerDuty" ? null : <NativeSelect label="Hears of" value={minSeverity} onChange={(event) => setMinSeverity(event.currentTarget.value as NotificationSeverity)} data={SEVERITIES} />}
          <MultiSelect label="Environments" placeholder={chosen.length > 0 ? "" : "All"} data={environments.map(({ key: value, name: label }) => ({ value, label }))} value={chosen} onChange={setChosen} />
          <OptionalReason value={reason} onChange={setReason} />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              Cancel
            </Button>
            <Button type="submit" loading={save.isPending}>
              {stale ? "Save mine" : channel ? "Save" : "Create channel"}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

import { Button, Group, Text } from "@mantine/core";
import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";

import { deliveryApi, deliveryQueries } from "../../api/delivery";
import type { DeliveryView, NotificationChannel } from "../../api/types";
import { Ago } from "../../components/Ago";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { KeyIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { Said } from "../../components/Said";
import { exactly } from "../../lib/time";
import { Tag } from "../rollouts/Tag";
import { SigningKey } from "./ChannelDialog";
import { hearsWords, KINDS, PROGRESS, SEVERITY_TONES, targetWords } from "./channelWords";
import styles from "./Delivery.module.css";
import { useRefusal } from "./parts";
import { TestChannel } from "./TestChannel";

const LOOK_MS = 10_000;

/** One channel: what became of its messages, and its key. */
export function ChannelPage() {
  const { project, channel: key } = useParams({ from: "/projects/$project/delivery/channels/$channel" });
  const mayNot = useRefusal("administer", "Seeing and changing notification channels");
  const channels = useQuery({ ...deliveryQueries.channels(project), enabled: mayNot === null });
  const channel = channels.data?.find((each) => each.key === key);
  const back = (
    <Link to="/projects/$project/delivery/channels" params={{ project }} className={styles.back}>
      ← All channels
    </Link>
  );
  return (
    <Page
      title={channel?.name ?? key}
      above={back}
      lead={
        channel ? (
          <>
            {KINDS[channel.target.kind]}: {targetWords(channel.target)}. {hearsWords(channel)}.
          </>
        ) : undefined
      }
    >
      {mayNot === null ? null : (
        <Card>
          <Empty title="Notification channels are not shown">
            <p>{mayNot}.</p>
          </Empty>
        </Card>
      )}
      {channels.error && !channels.data ? <ProblemAlert error={channels.error} onRetry={() => void channels.refetch()} /> : null}
      {mayNot === null && channels.isPending ? <Loading what="Loading the channel" /> : null}
      {channels.data && !channel ? (
        <Card>
          <Empty title="There is no such channel">
            <p>It may have been archived.</p>
          </Empty>
        </Card>
      ) : null}
      {channel ? (
        <div className={styles.list}>
          <Card className={styles.card ?? ""}>
            <TestChannel project={project} channel={channel} />
            {channel.target.kind === "webhook" ? <Key project={project} channel={channel} /> : null}
          </Card>
          <Card className={styles.card ?? ""}>
            <div className={styles.head}>
              <h2>Deliveries</h2>
              <span className={styles.dim}>newest first, kept for 30 days</span>
            </div>
            <Deliveries project={project} channel={channel} />
          </Card>
        </div>
      ) : null}
    </Page>
  );
}

function Key({ project, channel }: { project: string; channel: NotificationChannel }) {
  const [asking, setAsking] = useState(false);
  const [key, setKey] = useState<string | null>(null);
  return (
    <div className={styles.test}>
      <Group gap="sm">
        <Button size="compact-sm" variant="default" leftSection={<KeyIcon size={16} />} onClick={() => setAsking(true)}>
          Change the signing key…
        </Button>
        {channel.previousKeyUntil ? (
          <Text size="sm" c="dimmed">
            Signed with the old key, too, until {exactly(channel.previousKeyUntil)}.
          </Text>
        ) : null}
      </Group>
      {asking ? (
        <ConfirmDialog
          project={project}
          title={`Change the signing key of ${channel.name}?`}
          verb="Change key"
          act={async (reason) => {
            const made = await deliveryApi.changeChannelKey(project, channel.key, channel.version, reason);
            setKey(made.signingKey ?? null);
          }}
          onClose={() => setAsking(false)}
        >
          For a day, messages are signed with the old key and the new one: give the receiver the new one within it.
        </ConfirmDialog>
      ) : null}
      {key !== null && !asking ? <SigningKey value={key} onClose={() => setKey(null)} /> : null}
    </div>
  );
}

function Deliveries({ project, channel }: { project: string; channel: NotificationChannel }) {
  const deliveries = useInfiniteQuery({ ...deliveryQueries.deliveries(project, channel.key), refetchInterval: LOOK_MS });
  const rows = deliveries.data?.pages.flatMap(({ items }) => items) ?? [];
  if (deliveries.error && !deliveries.data) return <ProblemAlert error={deliveries.error} onRetry={() => void deliveries.refetch()} />;
  if (deliveries.isPending) return <Loading what="Loading the deliveries" />;
  if (rows.length === 0) return <p className={styles.text}>Nothing was sent yet.</p>;
  return (
    <>
      <div className={styles.scrolls} tabIndex={0} role="region" aria-label="Deliveries">
        <table className={styles.table}>
          <thead>
            <tr>
              <th>When</th>
              <th>What</th>
              <th>How much it matters</th>
              <th>How far</th>
              <th>
                <span className="visually-hidden">Actions</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <Delivery key={row.id} project={project} channel={channel.key} row={row} />
            ))}
          </tbody>
        </table>
      </div>
      {deliveries.hasNextPage ? (
        <Button variant="default" size="compact-sm" mt="sm" loading={deliveries.isFetchingNextPage} onClick={() => void deliveries.fetchNextPage()}>
          Older deliveries
        </Button>
      ) : null}
    </>
  );
}

function Delivery({ project, channel, row }: { project: string; channel: string; row: DeliveryView }) {
  const queryClient = useQueryClient();
  const retry = useMutation({
    mutationFn: () => deliveryApi.retryDelivery(project, channel, row.id),
    onSettled: () => queryClient.invalidateQueries({ queryKey: deliveryQueries.deliveries(project, channel).queryKey }),
  });
  const [word, tone] = PROGRESS[row.state];
  const tried = row.attempts === 0 ? "not tried yet" : `tried ${row.attempts === 1 ? "once" : `${row.attempts} times`}`;
  return (
    <tr>
      <td>
        <Ago at={row.createdAt} />
      </td>
      <td>
        <Said>{row.title || "A message that cannot be read"}</Said>
        <div className={styles.dim}>{row.event}</div>
      </td>
      <td>
        <Tag tone={SEVERITY_TONES[row.severity]}>{row.severity}</Tag>
      </td>
      <td>
        <Tag tone={tone}>{word}</Tag>
        <div className={styles.dim}>
          {tried}
          {row.status ? `, status ${row.status}` : ""}
          {typeof row.durationMs === "number" ? `, ${row.durationMs} ms` : ""}
          {row.problem ? `: ${row.problem}` : ""}
        </div>
        {row.state === "waiting" && row.nextAttemptAt ? <div className={styles.dim}>again at {exactly(row.nextAttemptAt)}</div> : null}
        {retry.error ? <ProblemAlert error={retry.error} /> : null}
      </td>
      <td>
        {row.state === "dead" || row.state === "waiting" ? (
          <Button size="compact-sm" variant="default" loading={retry.isPending} onClick={() => retry.mutate()} aria-label={`Send again: ${row.title}`}>
            Send again
          </Button>
        ) : null}
      </td>
    </tr>
  );
}

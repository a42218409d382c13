import { Button, Group } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";

import { deliveryApi, deliveryQueries } from "../../api/delivery";
import type { NotificationChannel } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { Guarded } from "../../components/Guarded";
import { PlusIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { ChannelDialog } from "./ChannelDialog";
import { hearsWords, KINDS, targetWords } from "./channelWords";
import { Tag } from "../rollouts/Tag";
import styles from "./Delivery.module.css";
import { useRefusal } from "./parts";
import { TestChannel } from "./TestChannel";

export function Channels() {
  const { project } = useParams({ from: "/projects/$project/delivery/channels" });
  const mayNot = useRefusal("administer", "Seeing and changing notification channels");
  const channels = useQuery({ ...deliveryQueries.channels(project), enabled: mayNot === null });
  const [editing, setEditing] = useState<NotificationChannel | "new" | null>(null);
  const [archiving, setArchiving] = useState<NotificationChannel | null>(null);
  const navigate = useNavigate();
  if (mayNot !== null) {
    return (
      <Card>
        <Empty title="Notification channels are not shown">
          <p>{mayNot}.</p>
        </Empty>
      </Card>
    );
  }
  return (
    <>
      <div className={styles.bar}>
        <p>Who is told what happens to rollouts and flags. Messages are made from the audit log, after the fact: a receiver that is slow or down holds nothing up.</p>
        <Guarded refusal={null} leftSection={<PlusIcon />} onClick={() => setEditing("new")}>
          New channel
        </Guarded>
      </div>
      {channels.error && !channels.data ? <ProblemAlert error={channels.error} onRetry={() => void channels.refetch()} /> : null}
      {channels.isPending ? <Loading what="Loading the channels" /> : null}
      {channels.data?.length === 0 ? (
        <Card>
          <Empty title="Nobody is told yet">
            <p>A channel takes messages to a webhook, Slack, PagerDuty, or by mail.</p>
          </Empty>
        </Card>
      ) : null}
      <div className={styles.list}>
        {(channels.data ?? []).map((channel) => (
          <Card key={channel.key} className={styles.card ?? ""}>
            <div className={styles.head}>
              <h2>{channel.name}</h2>
              <code>{channel.key}</code>
              <Tag tone="plain">{KINDS[channel.target.kind]}</Tag>
              <span className={styles.grow} />
              <Group gap={4}>
                <Button size="compact-sm" variant="subtle" onClick={() => void navigate({ to: "/projects/$project/delivery/channels/$channel", params: { project, channel: channel.key } })} aria-label={`Deliveries of ${channel.name}`}>
                  Deliveries
                </Button>
                <Button size="compact-sm" variant="subtle" onClick={() => setEditing(channel)} aria-label={`Edit ${channel.name}`}>
                  Edit
                </Button>
                <Button size="compact-sm" variant="subtle" color="buoy" onClick={() => setArchiving(channel)} aria-label={`Archive ${channel.name}`}>
                  Archive…
                </Button>
              </Group>
            </div>
            <p className={styles.facts}>
              <span>{targetWords(channel.target)}</span>
              <span>{hearsWords(channel)}</span>
            </p>
            <div className={styles.test}>
              <TestChannel project={project} channel={channel} />
            </div>
          </Card>
        ))}
      </div>
      {editing ? <ChannelDialog project={project} channel={editing === "new" ? null : editing} onClose={() => setEditing(null)} /> : null}
      {archiving ? (
        <ConfirmDialog
          project={project}
          title={`Archive ${archiving.name}?`}
          verb="Archive"
          word={archiving.key}
          act={(reason) => deliveryApi.archiveChannel(project, archiving.key, archiving.version, reason)}
          onClose={() => setArchiving(null)}
        >
          Nothing is sent there any more, its signing keys are forgotten, and its key is never given again.
        </ConfirmDialog>
      ) : null}
    </>
  );
}

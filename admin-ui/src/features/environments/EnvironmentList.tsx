import { Button, Group, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useLocation, useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { api } from "../../api/client";
import { queries } from "../../api/queries";
import type { Environment } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { EnvironmentName } from "../../components/EnvironmentName";
import { PlusIcon } from "../../components/icons";
import { Card, Empty, Page } from "../../components/Page";
import { refusal } from "../../lib/access";
import { EnvironmentForm } from "./EnvironmentForm";
import styles from "./Environments.module.css";
import { Keys } from "./Keys";
import { ProjectCard } from "./ProjectCard";
import { ReceiptsLine } from "./ReceiptsLine";

export function EnvironmentList() {
  const { project } = useParams({ from: "/projects/$project/environments" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const me = useQuery(queries.me()).data;
  const mayNot = refusal(me, project, "administer");
  const [creating, create] = useDisclosure(false);
  const [editing, setEditing] = useState<Environment | null>(null);
  const [archiving, setArchiving] = useState<Environment | null>(null);
  const queryClient = useQueryClient();
  const archive = async (asked: Environment, reason: string) => {
    // As it is now: somebody else may have changed it since it was asked for.
    const environment = environments.find(({ key }) => key === asked.key) ?? asked;
    await api.archiveEnvironment(project, environment, reason);
    // Its keys and receipts are not there to be read again. What is read stands before of what: an environment may be called like its project.
    queryClient.removeQueries({ queryKey: ["project", project], predicate: ({ queryKey }) => queryKey.slice(3).includes(environment.key) });
  };
  const { hash } = useLocation();
  const known = environments.length > 0;
  useEffect(() => {
    if (known && hash !== "") document.getElementById(hash)?.scrollIntoView({ block: "start" });
  }, [hash, known]);
  return (
    <Page
      title="Environments"
      lead="Where flags are evaluated. Each has its own configurations, revisions and SDK keys."
      actions={
        <Button leftSection={<PlusIcon />} onClick={create.open} disabled={mayNot !== null} title={mayNot ?? undefined}>
          New environment
        </Button>
      }
    >
      <div className={styles.list}>
        {environments.length === 0 ? (
          <Card>
            <Empty title="No environment yet">
              <p>Most begin with development, staging and production.</p>
            </Empty>
          </Card>
        ) : null}
        {environments.map((environment) => (
          <Card key={environment.key} className={styles.card ?? ""}>
            <div className={styles.head} id={`environment-${environment.key}`}>
              <h2>
                <EnvironmentName environment={environment} />
              </h2>
              <Group gap="sm">
                <code>{environment.key}</code>
                <Button
                  size="compact-sm"
                  variant="default"
                  disabled={mayNot !== null}
                  title={mayNot ?? undefined}
                  aria-label={`Settings of ${environment.name}`}
                  onClick={() => setEditing(environment)}
                >
                  Settings…
                </Button>
                <Button
                  size="compact-sm"
                  variant="subtle"
                  color="buoy"
                  disabled={mayNot !== null}
                  title={mayNot ?? undefined}
                  aria-label={`Archive ${environment.name}`}
                  onClick={() => setArchiving(environment)}
                >
                  Archive…
                </Button>
              </Group>
            </div>
            <div className={styles.facts}>
              <span>Revision {environment.revision}</span>
              <ReceiptsLine project={project} environment={environment.key} />
              <Availability project={project} environment={environment.key} />
              {environment.production ? <span>Production: changes are confirmed first</span> : <span>Changes apply with one click</span>}
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
        <ProjectCard project={project} hasEnvironments={known} />
      </div>
      {creating ? <EnvironmentForm project={project} environment={null} onClose={create.close} /> : null}
      {editing ? <EnvironmentForm project={project} environment={editing} onClose={() => setEditing(null)} /> : null}
      {archiving ? (
        <ConfirmDialog
          project={project}
          title={`Archive ${archiving.name}?`}
          verb="Archive"
          word={archiving.key}
          needsReason
          act={(reason) => archive(archiving, reason)}
          onClose={() => setArchiving(null)}
        >
          It serves nobody any more, and its SDK keys open nothing: applications that use them keep the flags they have, and start without any. Its flags’ configurations and segments are gone with
          it; the audit log keeps them. This cannot be taken back, and its key is never given again.
        </ConfirmDialog>
      ) : null}
    </Page>
  );
}

/** How many flags client keys get to see. */
function Availability({ project, environment }: { project: string; environment: string }) {
  const file = useQuery(queries.flagFile(project, environment)).data;
  if (!file) return null;
  const flags = file.flags ?? [];
  const open = flags.filter(({ availability }) => availability === "values" || availability === "rules").length;
  return <span>{open === 0 ? "No flag is available to client keys" : `${open} of ${flags.length} ${flags.length === 1 ? "flag" : "flags"} available to client keys`}</span>;
}

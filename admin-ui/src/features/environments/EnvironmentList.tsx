import { Button, Group, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useLocation, useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { queries } from "../../api/queries";
import type { Environment } from "../../api/types";
import { EnvironmentName } from "../../components/EnvironmentName";
import { PlusIcon } from "../../components/icons";
import { Card, Empty, Page } from "../../components/Page";
import { refusal } from "../../lib/access";
import { EnvironmentForm } from "./EnvironmentForm";
import styles from "./Environments.module.css";
import { Keys } from "./Keys";
import { ReceiptsLine } from "./ReceiptsLine";

export function EnvironmentList() {
  const { project } = useParams({ from: "/projects/$project/environments" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const me = useQuery(queries.me()).data;
  const mayNot = refusal(me, project, "administer");
  const [creating, create] = useDisclosure(false);
  const [editing, setEditing] = useState<Environment | null>(null);
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
      </div>
      {creating ? <EnvironmentForm project={project} environment={null} onClose={create.close} /> : null}
      {editing ? <EnvironmentForm project={project} environment={editing} onClose={() => setEditing(null)} /> : null}
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

import { Button, Group } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useState } from "react";

import { deliveryApi, deliveryQueries } from "../../api/delivery";
import type { RolloutTemplate } from "../../api/types";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { Guarded } from "../../components/Guarded";
import { PlusIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { stepWords, timeWords } from "../rollouts/rolloutWords";
import { Tag } from "../rollouts/Tag";
import styles from "./Delivery.module.css";
import { useRefusal } from "./parts";

export function Templates() {
  const { project } = useParams({ from: "/projects/$project/delivery/templates" });
  const templates = useQuery(deliveryQueries.templates(project));
  const [archiving, setArchiving] = useState<RolloutTemplate | null>(null);
  const mayNot = useRefusal("edit", "Changing templates");
  const navigate = useNavigate();
  const open = (template: string, from?: string) => void navigate({ to: "/projects/$project/delivery/templates/$template", params: { project, template }, search: from ? { from } : {} });
  return (
    <>
      <div className={styles.bar}>
        <p>Rollouts start from them. A rollout keeps what its template said when it was started.</p>
        <Guarded refusal={mayNot} leftSection={<PlusIcon />} onClick={() => open("new")}>
          New template
        </Guarded>
      </div>
      {templates.error && !templates.data ? <ProblemAlert error={templates.error} onRetry={() => void templates.refetch()} /> : null}
      {templates.isPending ? <Loading what="Loading the templates" /> : null}
      <div className={styles.list}>
        {(templates.data ?? []).map((template) => (
          <Card key={template.key} className={styles.card ?? ""}>
            <div className={styles.head}>
              <h2>{template.name}</h2>
              <code>{template.key}</code>
              {template.version === 0 ? (
                <Tag tone="plain">always there</Tag>
              ) : null}
              <span className={styles.grow} />
              <Group gap={4}>
                {template.version > 0 ? (
                  <Button size="compact-sm" variant="subtle" onClick={() => open(template.key)} aria-label={`${mayNot === null ? "Edit" : "Show"} ${template.name}`}>
                    {mayNot === null ? "Edit" : "Show"}
                  </Button>
                ) : null}
                <Guarded refusal={mayNot} size="compact-sm" variant="subtle" onClick={() => open("new", template.key)} aria-label={`Copy ${template.name}`}>
                  Copy
                </Guarded>
                {template.version > 0 ? (
                  <Guarded refusal={mayNot} size="compact-sm" variant="subtle" color="buoy" onClick={() => setArchiving(template)} aria-label={`Archive ${template.name}`}>
                    Archive…
                  </Guarded>
                ) : null}
              </Group>
            </div>
            {template.description ? <p className={styles.text}>{template.description}</p> : null}
            <ol className={styles.steps} aria-label={`Steps of ${template.name}`}>
              {template.spec.steps.map((step, index) => (
                // oxlint-disable-next-line react/no-array-index-key -- a step's place is its name
                <li key={index}>
                  {stepWords(step)}, {timeWords(step.bakeMs)}
                  {step.approval ? ", approval" : ""}
                </li>
              ))}
            </ol>
            {template.spec.gates?.length ? <p className={styles.facts}>Gates: {template.spec.gates.map(({ key }) => key).join(", ")}</p> : null}
          </Card>
        ))}
      </div>
      {archiving ? (
        <ConfirmDialog
          project={project}
          title={`Archive ${archiving.name}?`}
          verb="Archive"
          word={archiving.key}
          act={(reason) => deliveryApi.archiveTemplate(project, archiving.key, archiving.version, reason)}
          onClose={() => setArchiving(null)}
        >
          Nobody starts from it any more, and its key is never given again. Rollouts that did go on.
        </ConfirmDialog>
      ) : null}
    </>
  );
}

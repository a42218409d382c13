import { Group } from "@mantine/core";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";

import { api } from "../../api/client";
import { queries } from "../../api/queries";
import { ConfirmDialog } from "../../components/ConfirmDialog";
import { Guarded } from "../../components/Guarded";
import { Card } from "../../components/Page";
import { refusal } from "../../lib/access";
import styles from "./Environments.module.css";
import { RenameProject } from "./RenameProject";

interface ProjectCardProps {
  project: string;
  hasEnvironments: boolean;
}

/** What is done to the project as a whole. */
export function ProjectCard({ project, hasEnvironments }: ProjectCardProps) {
  const me = useQuery(queries.me()).data;
  const found = useQuery(queries.projects()).data?.find(({ key }) => key === project);
  const [asking, setAsking] = useState<"rename" | "archive" | null>(null);
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  if (!found) return null;
  const mayNotArchive = me?.instanceAdmin ? (hasEnvironments ? "Archive its environments first" : null) : "Archiving a project needs an administrator of the instance";
  return (
    <Card className={styles.card ?? ""}>
      <div className={styles.head}>
        <h2>The project {found.name}</h2>
        <Group gap="sm">
          <code>{found.key}</code>
          <Guarded size="compact-sm" variant="default" refusal={refusal(me, project, "administer")} onClick={() => setAsking("rename")}>
            Rename…
          </Guarded>
          <Guarded size="compact-sm" variant="subtle" color="buoy" refusal={mayNotArchive} aria-label={`Archive ${found.name}`} onClick={() => setAsking("archive")}>
            Archive…
          </Guarded>
        </Group>
      </div>
      {asking === "rename" ? <RenameProject project={found} onClose={() => setAsking(null)} /> : null}
      {asking === "archive" ? (
        <ConfirmDialog
          project={project}
          title={`Archive ${found.name}?`}
          verb="Archive"
          word={found.key}
          needsReason
          act={async (reason) => {
            await api.archiveProject(project, found.version, reason);
            queryClient.setQueryData(queries.projects().queryKey, (projects) => projects?.filter(({ key }) => key !== project));
            await navigate({ to: "/" });
          }}
          onClose={() => setAsking(null)}
        >
          Its flags, templates and metric sources go with it; the audit log keeps them. This cannot be taken back, and its key is never given again.
        </ConfirmDialog>
      ) : null}
    </Card>
  );
}

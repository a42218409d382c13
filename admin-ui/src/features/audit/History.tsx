import { Text } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";

import { queries } from "../../api/queries";
import { Ago } from "../../components/Ago";
import { Loading } from "../../components/Loading";
import { ProblemAlert } from "../../components/ProblemAlert";
import { TextLink } from "../../components/TextLink";
import { TryLink } from "../playground/TryLink";
import styles from "./Audit.module.css";
import { Sentence } from "./Sentence";

const SHOWN = 8;

/** The newest changes of one resource. */
export function History({ project, resource }: { project: string; resource: string }) {
  const environments = useQuery(queries.environments(project)).data ?? [];
  const audit = useInfiniteQuery(queries.audit({ project, resource }, SHOWN));
  if (audit.error && !audit.data) return <ProblemAlert error={audit.error} onRetry={() => void audit.refetch()} />;
  if (!audit.data) return <Loading size="sm" what="Loading the history" />;
  const rows = audit.data.pages[0]?.items ?? [];
  const flag = resource.startsWith("flag/") ? resource.slice("flag/".length) : null;
  if (rows.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        Nothing yet.
      </Text>
    );
  }
  return (
    <>
      <ol className={styles.short}>
        {rows.map((row) => (
          <li key={row.sequence}>
            <span className={styles.time}>
              <Ago at={row.at} />
              {flag && row.environment ? <TryLink project={project} environment={row.environment} flag={flag} of={`${flag} in ${row.environment}`} size="xs" /> : null}
            </span>
            <Sentence row={row} environments={environments} withSubject={false} />
          </li>
        ))}
      </ol>
      <TextLink to="/projects/$project/audit" params={{ project }} search={{ resource }} size="sm">
        All changes, with what differed
      </TextLink>
    </>
  );
}

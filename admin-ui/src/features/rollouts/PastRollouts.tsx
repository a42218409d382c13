import { Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";

import { deliveryQueries } from "../../api/delivery";
import type { Environment, Rollout } from "../../api/types";
import { Ago } from "../../components/Ago";
import { Loading } from "../../components/Loading";
import { ProblemAlert } from "../../components/ProblemAlert";
import { TextLink } from "../../components/TextLink";
import styles from "./FlagRollouts.module.css";
import { hasEnded, STATES, stepWords } from "./rolloutWords";
import { Tag } from "./Tag";

const SHOWN = 20;

interface PastProps {
  project: string;
  flag: string;
  environment: Environment;
}

/** What became of a flag's rollouts in an environment, the newest first. */
export function PastRollouts({ project, flag, environment }: PastProps) {
  const read = useQuery(deliveryQueries.rollouts(project, environment.key, flag));
  if (!read.data) {
    return read.error ? <ProblemAlert error={read.error} onRetry={() => void read.refetch()} /> : <Loading what="Loading the past rollouts" />;
  }
  const ended = read.data.filter(hasEnded);
  return (
    <>
      {ended.length === 0 ? (
        <Text size="sm" c="dimmed" mb={10}>
          None has ended in {environment.name} yet.
        </Text>
      ) : (
        <ul className={styles.past} aria-label="Past rollouts">
          {ended.slice(0, SHOWN).map((rollout) => (
            <Past key={rollout.id} project={project} environment={environment} rollout={rollout} />
          ))}
        </ul>
      )}
      <TextLink to="/projects/$project/rollouts" params={{ project }} search={{ flag }} size="sm">
        Its rollouts in every environment
      </TextLink>
    </>
  );
}

function Past({ project, environment, rollout }: { project: string; environment: Environment; rollout: Rollout }) {
  const [word, tone] = STATES[rollout.status.state];
  return (
    <li>
      <TextLink
        to="/projects/$project/flags/$flag/rollouts/$rollout"
        params={{ project, flag: rollout.flag, rollout: rollout.id }}
        search={{ environment: environment.key }}
        size="sm"
        className={styles.which ?? ""}
      >
        {rollout.baseline} → {rollout.variant}
      </TextLink>
      <span>
        <Tag tone={tone}>{word}</Tag>
      </span>
      <span className={styles.dim}>{reachedWords(rollout)}</span>
      <span className={styles.dim}>
        started <Ago at={rollout.startedAt} />
      </span>
    </li>
  );
}

/** How far it came. */
function reachedWords({ spec, status }: Pick<Rollout, "spec" | "status">): string {
  if (status.state === "completed") return "everybody has it";
  const step = spec.steps[status.step ?? -1];
  return step ? `came to ${stepWords(step)}` : "before its first step";
}

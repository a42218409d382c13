import type { Environment, Flag, FlagConfig } from "../../api/types";
import { Card } from "../../components/Page";
import styles from "./FlagRollouts.module.css";
import { PastRollouts } from "./PastRollouts";
import { RolloutPanel } from "./RolloutPanel";
import { StartRollout } from "./StartRollout";

interface FlagRolloutsProps {
  project: string;
  flag: Flag;
  environment: Environment;
  config: FlagConfig;
}

/** A flag's rollouts in an environment: the one that is watched or goes on, the next, and those that have ended. */
export function FlagRollouts({ project, flag, environment, config }: FlagRolloutsProps) {
  return (
    <div className={styles.tab}>
      {config.guard ? <RolloutPanel project={project} environment={environment} id={config.guard} /> : null}
      {config.rollout ? (
        <RolloutPanel project={project} environment={environment} id={config.rollout} />
      ) : (
        <Card className={styles.card ?? ""}>
          <h2>Start a rollout</h2>
          <StartRollout project={project} flag={flag} environment={environment} config={config} />
        </Card>
      )}
      <Card className={styles.card ?? ""}>
        <h2>Past rollouts</h2>
        <PastRollouts project={project} flag={flag.key} environment={environment} />
      </Card>
    </div>
  );
}

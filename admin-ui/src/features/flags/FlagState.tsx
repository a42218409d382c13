import { Button, Tooltip } from "@mantine/core";

import type { Environment, Flag, FlagConfig } from "../../api/types";
import { Ago } from "../../components/Ago";
import { KillIcon, RestoreIcon } from "../../components/icons";
import { TextLink } from "../../components/TextLink";
import { offWords, summaryOf } from "../../lib/words";
import { ReceiptsLine } from "../environments/ReceiptsLine";
import { useFlagActions } from "./FlagActions";
import { FlagBasin } from "./FlagBasin";
import styles from "./FlagPage.module.css";

interface StateProps {
  project: string;
  flag: Flag;
  environment: Environment;
  config: FlagConfig;
}

/** Whether the flag is on here, how many have it, and what takes it away from everybody. */
export function FlagState({ project, flag, environment, config }: StateProps) {
  const actions = useFlagActions();
  const mayNotOperate = actions.refusal("operate");
  return (
    <>
      <h2 className="visually-hidden">In {environment.name}</h2>
      <div className={styles.state}>
        <FlagBasin project={project} flag={flag} environment={environment} state={{ ...config, summary: summaryOf(config) }} />
        <Tooltip label={mayNotOperate} disabled={mayNotOperate === null}>
          <Button
            color={config.killed ? "tide" : "buoy"}
            variant={config.killed ? "filled" : "outline"}
            leftSection={config.killed ? <RestoreIcon /> : <KillIcon />}
            aria-disabled={mayNotOperate !== null || undefined}
            data-disabled={mayNotOperate !== null || undefined}
            onClick={() => {
              if (mayNotOperate === null) (config.killed ? actions.restore : actions.kill)(flag, environment);
            }}
          >
            {config.killed ? "Restore…" : "Kill…"}
          </Button>
        </Tooltip>
      </div>
      <p className={styles.small}>
        <span>Version {config.version}</span>
        <ReceiptsLine project={project} environment={environment.key} />
        <span>
          When off or killed: <strong>{offWords(config, flag.variants)}</strong>
        </span>
        <TextLink to="/projects/$project/playground" params={{ project }} search={{ environment: environment.key, flag: flag.key }} size="sm">
          Try it: who gets what, and why
        </TextLink>
      </p>
      {config.killed ? (
        <div className={styles.killed}>
          <strong>Killed{config.kill ? <> by {config.kill.actorName}</> : null}</strong>
          {config.kill ? (
            <>
              , <Ago at={config.kill.at} />
              <p>“{config.kill.reason}”</p>
            </>
          ) : null}
        </div>
      ) : null}
    </>
  );
}

import { Link } from "@tanstack/react-router";

import type { Environment, FlagHead, FlagState } from "../../api/types";
import { stateWords } from "../../lib/words";
import { Basin } from "./Basin";
import styles from "./Basin.module.css";
import { toggle, useFlagActions, useIsChanging } from "./FlagActions";

interface FlagBasinProps {
  project: string;
  flag: FlagHead;
  environment: Environment;
  state: FlagState;
}

/** How a flag stands in an environment, with the switch that turns it on and off, and the way to the rollout that moves it. */
export function FlagBasin({ project, flag, environment, state }: FlagBasinProps) {
  const actions = useFlagActions();
  return (
    <Basin
      name={`${flag.key} in ${environment.name}`}
      words={stateWords(state, flag)}
      enabled={state.enabled}
      busy={useIsChanging(flag.key, environment.key)}
      refusal={actions.refusal("edit")}
      onToggle={() => void actions.change(toggle(flag, environment, !state.enabled), state.version)}
    >
      {state.rollout ? (
        <Link
          className={styles.link}
          to="/projects/$project/flags/$flag/rollouts/$rollout"
          params={{ project, flag: flag.key, rollout: state.rollout }}
          search={{ environment: environment.key }}
        >
          Rollout under way <span className="visually-hidden">of {flag.key} in {environment.name}</span>
        </Link>
      ) : null}
    </Basin>
  );
}

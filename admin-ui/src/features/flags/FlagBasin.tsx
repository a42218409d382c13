import type { Environment, FlagHead, FlagState } from "../../api/types";
import { stateWords } from "../../lib/words";
import { Basin } from "./Basin";
import { toggle, useFlagActions, useIsChanging } from "./FlagActions";

interface FlagBasinProps {
  flag: FlagHead;
  environment: Environment;
  state: FlagState;
}

/** How a flag stands in an environment, with the switch that turns it on and off. */
export function FlagBasin({ flag, environment, state }: FlagBasinProps) {
  const actions = useFlagActions();
  return (
    <Basin
      name={`${flag.key} in ${environment.name}`}
      words={stateWords(state, flag)}
      enabled={state.enabled}
      busy={useIsChanging(flag.key, environment.key)}
      refusal={actions.refusal("edit")}
      onToggle={() => void actions.change(toggle(flag, environment, !state.enabled), state.version)}
    />
  );
}

import { useQuery } from "@tanstack/react-query";

import { queries } from "../../api/queries";
import type { Environment, GateJudgement, Rollout } from "../../api/types";
import { Ago } from "../../components/Ago";
import { Loading } from "../../components/Loading";
import { ProblemAlert } from "../../components/ProblemAlert";
import { Said } from "../../components/Said";
import { TextLink } from "../../components/TextLink";
import { GateAction, RolloutActions } from "./RolloutActions";
import styles from "./Rollouts.module.css";
import { armWords, evidenceWords, measuredWords, stepWords, VERDICTS } from "./rolloutWords";
import { Tag } from "./Tag";

/** The controller looks every few seconds; so does the page, while it is looked at. */
const LOOK_MS = 2_000;

/** The short form of a rollout's page, on the flag's: how far it is, what it waits for, what its gates say, and what a person can do about it. */
export function RolloutPanel({ project, environment, id }: { project: string; environment: Environment; id: string }) {
  const read = useQuery({ ...queries.rollout(project, environment.key, id), refetchInterval: LOOK_MS });
  const rollout = read.data;
  if (!rollout) {
    return read.error ? <ProblemAlert error={read.error} onRetry={() => void read.refetch()} /> : <Loading what="Loading the rollout" />;
  }
  return (
    <section className={styles.panel} aria-labelledby="rollout">
      <div className={styles.head}>
        <h2 id="rollout">
          {rollout.status.state === "guarding" ? "Watching" : "Rolling out"} {rollout.variant}
        </h2>
        <span className={styles.since}>
          started <Ago at={rollout.startedAt} />
        </span>
      </div>
      <Steps rollout={rollout} />
      <p className={styles.reason} role="status">
        <Said>{rollout.live?.reason ?? "The controller has not looked at it yet."}</Said>
      </p>
      {rollout.live && rollout.live.gates.length > 0 ? (
        <>
          <ul className={styles.gates}>
            {rollout.live.gates.map((gate) => (
              <Gate key={gate.gate} project={project} environment={environment} gate={gate} rollout={rollout} />
            ))}
          </ul>
          <p className={styles.units}>Seen at this step: {armWords(rollout, rollout.live.units)}.</p>
        </>
      ) : null}
      <div className={styles.actions}>
        <RolloutActions project={project} environment={environment} rollout={rollout} size="compact-sm" />
        <TextLink
          to="/projects/$project/flags/$flag/rollouts/$rollout"
          params={{ project, flag: rollout.flag, rollout: rollout.id }}
          search={{ environment: environment.key }}
          size="sm"
          className={styles.more ?? ""}
        >
          Steps, charts and history
        </TextLink>
      </div>
    </section>
  );
}

function Steps({ rollout }: { rollout: Rollout }) {
  const present = rollout.status.step ?? -1;
  return (
    <ol className={styles.steps} aria-label="Steps">
      {rollout.spec.steps.map((step, index) => (
        // A share may stay while a segment is added: the place is what names a step.
        <li key={`${index}-${step.share}`} data-done={index < present || undefined} aria-current={index === present ? "step" : undefined}>
          {stepWords(step)}
        </li>
      ))}
    </ol>
  );
}

function Gate({ project, environment, gate, rollout }: { project: string; environment: Environment; gate: GateJudgement; rollout: Rollout }) {
  const [words, tone] = VERDICTS[gate.verdict];
  const overridden = rollout.status.overridden?.includes(gate.gate) ?? false;
  const asked = rollout.spec.gates?.find(({ key }) => key === gate.gate);
  const asks = asked?.source !== undefined && asked.source !== null;
  const change = typeof gate.value === "number" && !asks ? `${measuredWords(gate, asked)}, ` : "";
  return (
    <li>
      <strong>{gate.gate}</strong>
      <Tag tone={tone}>
        {words}
        {overridden ? ", overridden" : ""}
      </Tag>
      <span className={styles.numbers}>
        {gate.problem ?? (asks ? (measuredWords(gate, asked) ?? "") : `${change}${armWords(rollout, gate.met)}; evidence ${evidenceWords(gate.evidence)}`)}
      </span>
      <GateAction project={project} environment={environment} rollout={rollout} gate={gate.gate} />
    </li>
  );
}

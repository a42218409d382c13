import { Badge, Button, Group, Loader } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";

import { queries } from "../../api/queries";
import type { Environment, GateJudgement, Rollout, RolloutAction } from "../../api/types";
import { Ago } from "../../components/Ago";
import { ProblemAlert } from "../../components/ProblemAlert";
import { percent } from "../../lib/words";
import { useFlagActions } from "../flags/FlagActions";
import { MoveDialog, type RolloutMove } from "./MoveDialog";
import styles from "./Rollouts.module.css";

/** The controller looks every few seconds; so does the page, while it is looked at. */
const LOOK_MS = 2_000;

/** How far a flag's rollout has come, what it waits for, what its gates say, and what a person can do about it. */
export function RolloutPanel({ project, environment, id }: { project: string; environment: Environment; id: string }) {
  const read = useQuery({ ...queries.rollout(project, environment.key, id), refetchInterval: LOOK_MS });
  const [move, setMove] = useState<RolloutMove | null>(null);
  const actions = useFlagActions();
  const mayNot = actions.refusal("operate");
  const rollout = read.data;
  if (!rollout) {
    return read.error ? <ProblemAlert error={read.error} onRetry={() => void read.refetch()} /> : <Loader type="dots" aria-label="Loading the rollout" />;
  }
  const offered = offeredFor(rollout);
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
        {rollout.live?.reason ?? "The controller has not looked at it yet."}
      </p>
      {rollout.live && rollout.live.gates.length > 0 ? (
        <>
          <ul className={styles.gates}>
            {rollout.live.gates.map((gate) => (
              <Gate key={gate.gate} gate={gate} rollout={rollout} mayNot={mayNot} onMove={setMove} />
            ))}
          </ul>
          <p className={styles.units}>
            Seen at this step: {armWords(rollout, rollout.live.units)}.
          </p>
        </>
      ) : null}
      <Group gap="xs" mt="sm">
        {offered.map(([each, label]) => (
          <Button
            key={each}
            size="compact-sm"
            variant={each === "rollBack" ? "outline" : "default"}
            color={each === "rollBack" ? "buoy" : "tide"}
            disabled={mayNot !== null}
            title={mayNot ?? undefined}
            onClick={() => setMove({ action: each })}
          >
            {label}
          </Button>
        ))}
      </Group>
      {move ? <MoveDialog project={project} environment={environment} rollout={rollout} move={move} onClose={() => setMove(null)} /> : null}
    </section>
  );
}

/** What may be done to a rollout as it is. */
function offeredFor({ status }: Rollout): [RolloutAction, string][] {
  if (status.state === "guarding") return [["complete", "End the watch…"]];
  const approve: [RolloutAction, string][] = status.waiting === "approval" ? [["approve", "Approve…"]] : [];
  return [
    status.state === "paused" ? ["resume", "Resume…"] : ["pause", "Pause…"],
    ...approve,
    ["skip", status.step === undefined ? "Begin now…" : "Next step now…"],
    ["rollBack", "Roll back…"],
  ];
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

/** Like “10 %”, “internal”, “10 % and internal”; a first step for nobody compares the old variant with itself. */
function stepWords({ share, segments = [] }: Rollout["spec"]["steps"][number]): string {
  if (share === 0 && segments.length === 0) return "A/A";
  return [...(share > 0 ? [percent(share)] : []), ...segments].join(" and ");
}

const VERDICTS: Record<GateJudgement["verdict"], [string, string]> = {
  pass: ["no harm found", "tide"],
  suspect: ["suspicious", "yellow"],
  harm: ["harm", "buoy"],
  limit: ["beyond its limit", "buoy"],
  pending: ["too few seen yet", "gray"],
  unopposed: ["nobody to compare with", "gray"],
  unproved: ["not proved yet", "yellow"],
  inconclusive: ["not known", "yellow"],
};

interface GateProps {
  gate: GateJudgement;
  rollout: Rollout;
  mayNot: string | null;
  onMove(move: RolloutMove): void;
}

function Gate({ gate, rollout, mayNot, onMove }: GateProps) {
  const [words, color] = VERDICTS[gate.verdict];
  const overridden = rollout.status.overridden?.includes(gate.gate) ?? false;
  const action = overridden ? "heed" : "override";
  return (
    <li>
      <strong>{gate.gate}</strong>
      <Badge variant="light" color={color} tt="none">
        {words}
        {overridden ? ", overridden" : ""}
      </Badge>
      <span className={styles.numbers}>
        {gate.problem ?? `${change(gate.value)}${armWords(rollout, gate.met)}; evidence ${evidence(gate.evidence)}`}
      </span>
      <Button
        size="compact-xs"
        variant="subtle"
        disabled={mayNot !== null}
        title={mayNot ?? undefined}
        aria-label={`${overridden ? "Heed" : "Override"} ${gate.gate}`}
        onClick={() => onMove({ action, gate: gate.gate })}
      >
        {overridden ? "Heed…" : "Override…"}
      </Button>
    </li>
  );
}

/** How many of each arm; in an A/A bake both have the old variant. */
function armWords({ spec, status, variant, baseline }: Rollout, { treatment, control }: GateJudgement["met"]): string {
  const step = typeof status.step === "number" ? spec.steps[status.step] : undefined;
  const isAA = step?.share === 0 && (step.segments ?? []).length === 0;
  return isAA ? `${treatment} and ${control}, all with ${baseline}` : `${treatment} with ${variant}, ${control} with ${baseline}`;
}

/** Of means and quantiles, how much more the new variant has: “+4.2 %, ”. */
function change(value: number | null | undefined): string {
  return typeof value !== "number" ? "" : `${value < 0 ? "−" : "+"}${Math.abs(value * 100).toFixed(1)} %, `;
}

/** Like “0.3 to 1”; 20 to 1 holds, 100 to 1 acts. */
function evidence(number: number): string {
  if (number >= 1_000_000) return "over a million to 1";
  return `${number >= 10 ? Math.round(number).toLocaleString("en") : number.toFixed(1)} to 1`;
}

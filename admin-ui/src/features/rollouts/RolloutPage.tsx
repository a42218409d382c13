import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";

import { queries } from "../../api/queries";
import type { Environment, Rollout } from "../../api/types";
import { Ago } from "../../components/Ago";
import { EnvironmentName } from "../../components/EnvironmentName";
import { Loading } from "../../components/Loading";
import { Card, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { capitalised, Said } from "../../components/Said";
import { TextLink } from "../../components/TextLink";
import { canonical } from "../../lib/json";
import { exactly } from "../../lib/time";
import { percent } from "../../lib/words";
import { History } from "../audit/History";
import { Clock } from "./Clock";
import { GateCard } from "./GateCard";
import { HISTORY_MS, historyOf, type RolloutLook } from "./history";
import { RolloutActions } from "./RolloutActions";
import styles from "./RolloutPage.module.css";
import { armWords, hasEnded, isAA, STATES, timeWords, windowWords } from "./rolloutWords";
import { Tag } from "./Tag";
import { Timeline } from "./Timeline";
import { useTick } from "./useTick";
import { Weight } from "./Weight";

/** The controller looks every few seconds; so does the page, while it is looked at. */
const LOOK_MS = 2_000;

/** The controller looks every few seconds: silence for longer is worth a word. */
const SILENT_MS = 60_000;

export function RolloutPage() {
  const { project, flag, rollout: id } = useParams({ from: "/projects/$project/flags/$flag/rollouts/$rollout" });
  const { environment: asked } = useSearch({ from: "/projects/$project/flags/$flag/rollouts/$rollout" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const environment = environments.find((each) => each.key === asked) ?? environments.find((each) => each.production) ?? environments[0];
  const read = useQuery({
    ...queries.rollout(project, environment?.key ?? "", id),
    enabled: environment !== undefined,
    refetchInterval: ({ state }) => (state.data && hasEnded(state.data) ? false : LOOK_MS),
  });
  const rollout = read.data;
  const above = (
    <nav className={styles.above} aria-label="Where this belongs">
      <Link to="/projects/$project/flags/$flag" params={{ project, flag }} search={{ ...(environment ? { environment: environment.key } : {}), tab: "rollout" }}>
        ← {flag}
      </Link>
      <Link to="/projects/$project/rollouts" params={{ project }}>
        All rollouts
      </Link>
    </nav>
  );
  if (!rollout || !environment) {
    return (
      <Page title={`Rollout of ${flag}`} above={above}>
        {read.error ? <ProblemAlert error={read.error} onRetry={() => void read.refetch()} /> : <Loading what="Loading the rollout" />}
      </Page>
    );
  }
  return (
    <Page
      title={`${rollout.flag}: ${rollout.baseline} → ${rollout.variant}`}
      lead={
        <span className={styles.lead}>
          <EnvironmentName environment={environment} />
          <span>
            started <Ago at={rollout.startedAt} />
          </span>
        </span>
      }
      above={above}
      actions={<RolloutActions project={project} environment={environment} rollout={rollout} />}
    >
      <Body project={project} environment={environment} rollout={rollout} />
    </Page>
  );
}

function Body({ project, environment, rollout }: { project: string; environment: Environment; rollout: Rollout }) {
  const ended = hasEnded(rollout);
  const history = useQuery({ ...historyOf(project, environment.key, rollout.id), refetchInterval: ended ? false : HISTORY_MS });
  const looks = history.data;
  const began = useMemo(() => beginnings(looks ?? [], rollout), [looks, rollout]);
  const last = looks?.at(-1);
  const { spec } = rollout;
  const judged = rollout.live?.gates ?? last?.gates ?? [];
  return (
    <div className={styles.page}>
      <Card className={styles.card ?? ""}>
        <Verdict project={project} environment={environment} rollout={rollout} said={rollout.reason || last?.reason} />
        <Weight rollout={rollout} />
        <Clock rollout={rollout} />
      </Card>
      <div className={styles.columns}>
        <Card className={styles.card ?? ""}>
          <h2>Steps</h2>
          <Timeline rollout={rollout} began={began} />
          <Times rollout={rollout} />
        </Card>
        <Card className={styles.card ?? ""}>
          <h2>What happened</h2>
          <History project={project} resource={`rollout/${rollout.id}`} />
        </Card>
      </div>
      <section className={styles.gates} aria-labelledby="gates">
        <div className={styles.gatesHead}>
          <h2 id="gates">Gates</h2>
          {ended && last ? <span className={styles.dim}>as the controller saw them last, {exactly(last.at)}</span> : null}
          {rollout.live && spec.gates?.length ? <span className={styles.dim}>Seen at this step: {armWords(rollout, rollout.live.units)}.</span> : null}
        </div>
        {history.error && !looks ? <ProblemAlert error={history.error} onRetry={() => void history.refetch()} /> : null}
        {(spec.gates ?? []).length === 0 ? (
          <Card className={styles.card ?? ""}>
            <p className={styles.dim}>None: a timed ramp. The share rises with the clock, and only people take it back.</p>
          </Card>
        ) : (
          (spec.gates ?? []).map((gate) => (
            <Card key={gate.key}>
              <GateCard project={project} environment={environment} rollout={rollout} gate={gate} judgement={judged.find((each) => each.gate === gate.key)} looks={looks} />
            </Card>
          ))
        )}
      </section>
      <details className={styles.spec}>
        <summary>All that was asked for, as JSON</summary>
        <pre tabIndex={0} aria-label="The rollout’s spec">
          {canonical(spec)}
        </pre>
      </details>
    </div>
  );
}

/** When each step began, as far as that is known. */
function beginnings(looks: RolloutLook[], { status }: Rollout): Map<number, number> {
  const began = new Map<number, number>();
  for (const { at, step } of looks) if (typeof step === "number" && !began.has(step)) began.set(step, Date.parse(at));
  if (typeof status.step === "number" && !hasEnded({ status }) && status.state === "running") began.set(status.step, Math.min(began.get(status.step) ?? Infinity, status.since));
  return began;
}

const ENDINGS: Partial<Record<Rollout["status"]["state"], (rollout: Rollout) => string>> = {
  completed: ({ variant }) => `Everybody has ${variant}.`,
  rolledBack: ({ baseline }) => `Everybody has ${baseline} again.`,
  killed: ({ flag }) => `${flag} is killed: everybody gets its off variant, until somebody restores it.`,
};

/** Where it stands, in one word and one sentence. */
function Verdict({ project, environment, rollout, said }: { project: string; environment: Environment; rollout: Rollout; said: string | undefined }) {
  const now = useTick(5_000);
  const { status, live, spec } = rollout;
  const [word, tone] = STATES[status.state];
  const aa = typeof status.step === "number" && isAA(spec, status.step) && !hasEnded(rollout);
  const silentMs = live ? now - Date.parse(live.at) : 0;
  const ending = ENDINGS[status.state]?.(rollout);
  return (
    <div className={styles.verdict}>
      <div className={styles.verdictHead}>
        <Tag tone={tone} large>
          {word}
        </Tag>
        <span className={styles.share}>{status.state === "completed" || status.state === "guarding" ? "100\u202f%" : percent(rollout.share)}</span>
        {aa ? (
          <Tag tone="outline">A/A bake</Tag>
        ) : null}
      </div>
      <p className={styles.reason} role="status">
        <Said>{sentence(ending ?? live?.reason ?? "The controller has not looked at it yet")}</Said>
        {ending && said ? (
          <>
            {" "}
            <Said>{sentence(said)}</Said>
          </>
        ) : null}
        {status.state === "rolledBack" ? (
          <>
            {" "}
            <TextLink underline="always" to="/projects/$project/flags/$flag/rollouts/new" params={{ project, flag: rollout.flag }} search={{ environment: environment.key }}>
              Roll out again
            </TextLink>
          </>
        ) : null}
        {aa ? " Both arms have the old variant: a difference means that assignment or telemetry is broken." : ""}
      </p>
      {silentMs > SILENT_MS ? <p className={styles.warn}>The controller looked last {timeWords(silentMs)} ago. Nothing moves until it looks again; rolling back works.</p> : null}
    </div>
  );
}

function sentence(text: string): string {
  const readable = text.replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (at) => exactly(at));
  return `${capitalised(readable)}${readable.endsWith(".") ? "" : "."}`;
}

const ON_HARM = { rollBack: "Everybody gets the old variant again.", kill: "The flag is killed.", hold: "It is paused, and a person decides." } as const;

/** When shares may rise, and what harm does. */
function Times({ rollout }: { rollout: Rollout }) {
  const { spec } = rollout;
  return (
    <dl className={styles.times}>
      <dt>On harm</dt>
      <dd>{ON_HARM[spec.onHarm ?? "rollBack"]}</dd>
      {spec.startAt ? (
        <>
          <dt>Not before</dt>
          <dd>{exactly(spec.startAt)}</dd>
        </>
      ) : null}
      {(spec.windows ?? []).length > 0 ? (
        <>
          <dt>Shares rise</dt>
          <dd>
            {(spec.windows ?? []).map((window) => (
              <div key={`${window.start} ${window.rrule}`}>{windowWords(window)}</div>
            ))}
          </dd>
        </>
      ) : null}
      {rollout.status.waiting === "turn" ? (
        <>
          <dt>Turn</dt>
          <dd>
            One rollout at a time goes on in this project. <TurnOf rollout={rollout} />
          </dd>
        </>
      ) : null}
    </dl>
  );
}

function TurnOf({ rollout }: { rollout: Rollout }) {
  const { project } = useParams({ from: "/projects/$project/flags/$flag/rollouts/$rollout" });
  const { evidence } = rollout;
  const of = evidence?.code === "turn" ? evidence.of : /`([^`]+)`/.exec(rollout.live?.reason ?? "")?.[1];
  if (!of) return <>It is another’s turn.</>;
  return (
    <>
      It is the turn of{" "}
      <TextLink underline="always" to="/projects/$project/flags/$flag" params={{ project, flag: of }}>
        {of}
      </TextLink>
      .
    </>
  );
}

import { NativeSelect, SegmentedControl, TextInput } from "@mantine/core";
import { useQueries, useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";

import { deliveryQueries } from "../../api/delivery";
import { queries } from "../../api/queries";
import type { Environment, Rollout } from "../../api/types";
import { Ago } from "../../components/Ago";
import { EnvironmentName } from "../../components/EnvironmentName";
import { Loading } from "../../components/Loading";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { Said } from "../../components/Said";
import { TextLink } from "../../components/TextLink";
import { exactly } from "../../lib/time";
import { percent } from "../../lib/words";
import styles from "./RolloutList.module.css";
import { hasEnded, STATES } from "./rolloutWords";
import { Tag } from "./Tag";

const LOOK_MS = 10_000;

const SHOWN = [
  { value: "running", label: "Going on" },
  { value: "ended", label: "Ended" },
  { value: "all", label: "All" },
];

interface Found {
  environment: Environment;
  rollout: Rollout;
}

/** Every rollout of the project: those that go on first, the newest first. */
export function RolloutList() {
  const { project } = useParams({ from: "/projects/$project/rollouts" });
  const filter = useSearch({ from: "/projects/$project/rollouts" });
  const navigate = useNavigate({ from: "/projects/$project/rollouts" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const asked = environments.filter(({ key }) => filter.environment === undefined || key === filter.environment);
  const reads = useQueries({ queries: asked.map(({ key }) => ({ ...deliveryQueries.rollouts(project, key), refetchInterval: LOOK_MS })) });
  const set = (name: "environment" | "flag" | "state", value: string) =>
    void navigate({ search: ({ [name]: _, ...rest }) => (value === "" ? rest : { ...rest, [name]: value }), replace: true });

  const state = filter.state ?? "all";
  const found = reads
    .flatMap(({ data }, index): Found[] => {
      const environment = asked[index];
      return environment ? (data ?? []).map((rollout) => ({ environment, rollout })) : [];
    })
    .filter(({ rollout }) => (state === "all" || hasEnded(rollout) === (state === "ended")) && rollout.flag.includes(filter.flag ?? ""))
    .toSorted((a, b) => Number(hasEnded(a.rollout)) - Number(hasEnded(b.rollout)) || b.rollout.startedAt.localeCompare(a.rollout.startedAt));
  const failed = reads.find(({ error, data }) => error && !data);
  const pending = reads.some(({ isPending }) => isPending) || environments.length === 0;
  const filtered = filter.flag !== undefined || filter.environment !== undefined || filter.state !== undefined;

  return (
    <Page title="Rollouts" lead="Variants on their way to everybody, step by step, and those that arrived or were taken back.">
      <div role="search" className={styles.filters}>
        <SegmentedControl aria-label="Which rollouts" value={state} onChange={(value) => set("state", value === "all" ? "" : value)} data={SHOWN} />
        <NativeSelect
          aria-label="Environment"
          value={filter.environment ?? ""}
          onChange={(event) => set("environment", event.currentTarget.value)}
          data={[{ value: "", label: "All environments" }, ...environments.map(({ key, name }) => ({ value: key, label: name }))]}
        />
        <TextInput aria-label="Flag" placeholder="Flag" value={filter.flag ?? ""} onChange={(event) => set("flag", event.currentTarget.value.trim())} />
      </div>
      {failed ? <ProblemAlert error={failed.error} onRetry={() => void failed.refetch()} /> : null}
      {pending ? <Loading what="Loading the rollouts" /> : null}
      {!pending && !failed && found.length === 0 ? (
        <Card>
          <Empty title={filtered ? "No rollout matches" : "No rollout yet"}>
            {filtered ? (
              <p>Other words, or another environment, may find it.</p>
            ) : (
              <>
                <p>A rollout starts on the page of a flag that is on while everybody still gets the old variant: it brings another, step by step.</p>
                <TextLink to="/projects/$project/flags" params={{ project }}>
                  To the flags
                </TextLink>
              </>
            )}
          </Empty>
        </Card>
      ) : null}
      {found.length > 0 ? (
        <Card className={styles.card ?? ""}>
          <table className={styles.table}>
            <thead>
              <tr>
                <th>Flag</th>
                <th>Where</th>
                <th>State</th>
                <th>Share</th>
                <th>What it waits for, or why it ended</th>
                <th>Started</th>
              </tr>
            </thead>
            <tbody>
              {found.map(({ environment, rollout }) => (
                <Row key={`${environment.key}/${rollout.id}`} project={project} environment={environment} rollout={rollout} />
              ))}
            </tbody>
          </table>
        </Card>
      ) : null}
    </Page>
  );
}

function Row({ project, environment, rollout }: { project: string; environment: Environment; rollout: Rollout }) {
  const [word, tone] = STATES[rollout.status.state];
  const through = rollout.status.state === "completed" || rollout.status.state === "guarding";
  const share = through ? 100_000 : rollout.share;
  return (
    <tr>
      <td>
        <TextLink
          to="/projects/$project/flags/$flag/rollouts/$rollout"
          params={{ project, flag: rollout.flag, rollout: rollout.id }}
          search={{ environment: environment.key }}
          size="sm"
          className={styles.flag ?? ""}
        >
          {rollout.flag}
        </TextLink>
        <small>
          {rollout.baseline} → {rollout.variant}
        </small>
      </td>
      <td>
        <EnvironmentName environment={environment} />
      </td>
      <td>
        <Tag tone={tone}>{word}</Tag>
      </td>
      <td>
        <span className={styles.share}>{percent(share)}</span>
        <span className={styles.bar} aria-hidden="true">
          <span style={{ inlineSize: `${share / 1_000}%` }} />
        </span>
      </td>
      <td className={styles.waits}>
        <Said>{(rollout.live?.reason ?? (rollout.reason || (hasEnded(rollout) ? "—" : "the controller has not looked at it yet"))).replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, (at) => exactly(at))}</Said>
      </td>
      <td className={styles.started}>
        <Ago at={rollout.startedAt} />
      </td>
    </tr>
  );
}

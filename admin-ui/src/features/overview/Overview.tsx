import { Button, Group, Text } from "@mantine/core";
import { useInfiniteQuery, useQueries, useQuery } from "@tanstack/react-query";
import { Link, useParams } from "@tanstack/react-router";
import { useState } from "react";

import { isBroken } from "../../api/client";
import { deliveryQueries } from "../../api/delivery";
import { queries } from "../../api/queries";
import type { Broken, Environment, ListedFlag } from "../../api/types";
import { Ago, useNow } from "../../components/Ago";
import { EnvironmentName } from "../../components/EnvironmentName";
import { FlagIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Logo } from "../../components/Logo";
import { Card, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { Said } from "../../components/Said";
import { TextLink } from "../../components/TextLink";
import { remember, remembered } from "../../lib/storage";
import { percent } from "../../lib/words";
import { Sentence } from "../audit/Sentence";
import audit from "../audit/Audit.module.css";
import { ReceiptsLine } from "../environments/ReceiptsLine";
import { useAllFlags } from "../flags/useAllFlags";
import { attention, killedPlaces, placeOf, underWay, type InEnvironment, type Item, type Kill } from "./attention";
import { CleanUp } from "./CleanUp";
import styles from "./Overview.module.css";

/** Rollouts move by themselves; so does this page, while it is looked at. */
const LOOK_MS = 10_000;
const CHANGES = 6;
/** How many rows are read for them: what the controller waits for is no change of anything. */
const ROWS = 30;
const TOLD_KILLS = 20;

export function Overview() {
  const { project } = useParams({ from: "/projects/$project" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const flags = useAllFlags(project);
  const rollouts = useQueries({ queries: environments.map(({ key }) => ({ ...deliveryQueries.rollouts(project, key), refetchInterval: LOOK_MS })) });
  const receipts = useQueries({ queries: environments.map(({ key }) => queries.receipts(project, key)) });
  const segments = useQueries({ queries: environments.map(({ key }) => queries.segments(project, key)) });
  // Who killed and why is not in the list; of very many, the flags' own pages tell.
  const killed = killedPlaces(flags.data ?? [], environments).slice(0, TOLD_KILLS);
  const configs = useQueries({ queries: killed.map(({ flag, environment }) => queries.config(project, flag, environment)) });
  const kills = new Map(
    killed.flatMap(({ flag, environment }, at): [string, Kill][] => {
      const kill = configs[at]?.data?.kill;
      return kill ? [[placeOf(flag, environment), kill]] : [];
    }),
  );
  const now = useNow();

  const places = environments.map(
    (environment, at): InEnvironment => ({
      environment,
      rollouts: rollouts[at]?.data ?? [],
      receipts: receipts[at]?.data ?? null,
      segments: segments[at]?.data ?? [],
    }),
  );
  const pending = !flags.isWhole || [...rollouts, ...segments].some((read) => read.isPending);
  const failed = flags.error && !flags.isWhole ? flags : [...rollouts, ...segments].find((read) => read.error && !read.data);
  const sections = attention(flags.data ?? [], places, now, kills);
  const going = underWay(places, now);
  const count = sections.reduce((sum, { items }) => sum + items.length, 0);

  return (
    <Page
      title="Overview"
      lead={pending ? undefined : count === 0 ? "Nothing needs you." : `${count} ${count === 1 ? "thing needs" : "things need"} somebody.`}
      actions={
        <Link to="/projects/$project/flags" params={{ project }} className={styles.toFlags}>
          <FlagIcon /> {flags.isWhole && flags.data && flags.data.length > 1 ? `All ${flags.data.length} flags` : "All flags"}
        </Link>
      }
    >
      {receipts.some(({ data }) => (data?.connected ?? 0) > 0) ? null : <Resume project={project} />}
      {failed ? <ProblemAlert error={failed.error} onRetry={() => void failed.refetch()} /> : null}
      <div className={styles.columns}>
        <div className={styles.stack}>
          {pending && !failed ? <Loading what="Looking at everything" /> : null}
          {!pending && !failed && count === 0 ? (
            <Card className={styles.calm ?? ""}>
              <Logo size={44} />
              <h2>All calm</h2>
              <p>No rollout waits for anybody, no SDK is behind, no flag is killed, and everything can be read.</p>
            </Card>
          ) : null}
          {sections.map(({ title, items }) => (
            <section key={title} aria-label={title}>
              <h2 className={styles.title}>
                {title} <span>{items.length}</span>
              </h2>
              <Card>
                <ul className={styles.items}>
                  {items.map((item) => (
                    <ItemRow key={item.id} project={project} item={item} />
                  ))}
                </ul>
              </Card>
            </section>
          ))}
          {going.length > 0 ? (
            <section aria-label="Under way">
              <h2 className={styles.title}>Under way</h2>
              <Card>
                <ul className={styles.items}>
                  {going.map(({ rollout, environment }) => (
                    <li key={rollout.id} className={styles.item}>
                      <span className={styles.what}>
                        <Link to="/projects/$project/flags/$flag/rollouts/$rollout" params={{ project, flag: rollout.flag, rollout: rollout.id }} search={{ environment: environment.key }} className={styles.subject}>
                          {rollout.flag}
                        </Link>
                        <EnvironmentName environment={environment} />
                      </span>
                      <span className={styles.detail}>
                        {rollout.variant} at {percent(rollout.share)}
                        {rollout.live ? `, ${rollout.live.reason}` : ""}
                      </span>
                    </li>
                  ))}
                </ul>
              </Card>
            </section>
          ) : null}
          {flags.isWhole && flags.data ? <CleanUp project={project} flags={flags.data} environments={environments} /> : null}
        </div>
        <div className={styles.stack}>
          <section aria-label="Environments">
            <h2 className={styles.title}>Environments</h2>
            <Card>
              <ul className={styles.items}>
                {environments.map((environment) => (
                  <li key={environment.key} className={styles.item}>
                    <EnvironmentName environment={environment} />
                    <span className={styles.detail}>{flags.data ? countWords(flags.data, environment) : ""}</span>
                    <span className={styles.detail}>
                      <ReceiptsLine project={project} environment={environment.key} />
                    </span>
                  </li>
                ))}
              </ul>
            </Card>
          </section>
          <section aria-label="Latest changes">
            <h2 className={styles.title}>Latest changes</h2>
            <Card className={styles.card ?? ""}>
              <Latest project={project} environments={environments} />
            </Card>
          </section>
        </div>
      </div>
    </Page>
  );
}

function ItemRow({ project, item }: { project: string; item: Item }) {
  const search = item.environment ? { environment: item.environment.key } : {};
  const { subject } = item;
  return (
    <li className={styles.item}>
      <span className={styles.what}>
        <span className={styles.state} data-tone={item.tone}>
          {item.state}
        </span>
        {subject.kind === "flag" ? (
          <Link to="/projects/$project/flags/$flag" params={{ project, flag: subject.flag }} search={search} className={styles.subject}>
            {item.title}
          </Link>
        ) : subject.kind === "rollout" ? (
          <Link to="/projects/$project/flags/$flag/rollouts/$rollout" params={{ project, flag: subject.flag, rollout: subject.rollout }} search={search} className={styles.subject}>
            {item.title}
          </Link>
        ) : subject.kind === "segment" ? (
          <Link to="/projects/$project/segments/$segment" params={{ project, segment: subject.segment }} search={search} className={styles.subject}>
            {item.title}
          </Link>
        ) : (
          <Link to="/projects/$project/environments" params={{ project }} hash={`environment-${item.environment?.key ?? ""}`} className={styles.subject}>
            {item.title}
          </Link>
        )}
        {item.environment && subject.kind !== "environment" ? <EnvironmentName environment={item.environment} /> : null}
      </span>
      <span className={styles.detail}>
        <Said>{item.detail}</Said>
        {item.since ? (
          <>
            {item.detail === "" ? "" : ", "}
            <Ago at={item.since} />
          </>
        ) : null}
      </span>
    </li>
  );
}

/** Like “8 of 10 flags on, 1 killed”. */
function countWords(flags: (ListedFlag | Broken)[], { key }: Environment): string {
  const states = flags.flatMap((flag) => (isBroken(flag) ? [] : [flag.environments[key]])).filter((state) => state !== undefined);
  const killed = states.filter((state) => state.killed).length;
  const on = states.filter((state) => state.enabled && !state.killed).length;
  return `${on} of ${states.length} ${states.length === 1 ? "flag" : "flags"} on${killed > 0 ? `, ${killed} killed` : ""}`;
}

function Latest({ project, environments }: { project: string; environments: Environment[] }) {
  const read = useInfiniteQuery(queries.audit({ project }, ROWS));
  if (read.error && !read.data) return <ProblemAlert error={read.error} onRetry={() => void read.refetch()} />;
  if (!read.data) return <Loading size="sm" what="Loading the changes" />;
  const rows = (read.data.pages[0]?.items ?? []).filter(({ action }) => action !== "rollout.wait").slice(0, CHANGES);
  return (
    <>
      {rows.length === 0 ? (
        <Text size="sm" c="dimmed">
          Nothing yet.
        </Text>
      ) : null}
      <ol className={audit.short}>
        {rows.map((row) => (
          <li key={row.sequence}>
            <span className={audit.time}>
              <Ago at={row.at} />
            </span>
            <Sentence row={row} environments={environments} withSubject />
          </li>
        ))}
      </ol>
      <TextLink to="/projects/$project/audit" params={{ project }} size="sm">
        The whole audit log
      </TextLink>
    </>
  );
}

/** The way back into a set-up that was left. */
function Resume({ project }: { project: string }) {
  const [here, setHere] = useState(() => remembered("start") === project);
  if (!here) return null;
  return (
    <Card className={styles.resume ?? ""}>
      <Text size="sm">The set-up of this project is not finished: it ends with an application that asks for a flag.</Text>
      <Group gap="xs">
        <Button
          variant="default"
          onClick={() => {
            remember("start", null);
            setHere(false);
          }}
        >
          Leave it
        </Button>
        <Link to="/start" search={{ project }} className={styles.toFlags} data-primary>
          Go on
        </Link>
      </Group>
    </Card>
  );
}

import { Button, CopyButton, Loader, Tooltip } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";

import { queries } from "../../api/queries";
import type { Environment, Flag, FlagConfig } from "../../api/types";
import { Ago } from "../../components/Ago";
import { EnvironmentName } from "../../components/EnvironmentName";
import { CheckIcon, CopyIcon, KillIcon, RestoreIcon } from "../../components/icons";
import { Card, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { TextLink } from "../../components/TextLink";
import { brief } from "../../lib/json";
import { kindWords, offWords, summaryOf } from "../../lib/words";
import { History } from "../audit/History";
import { ReceiptsLine } from "../environments/ReceiptsLine";
import { RolloutPanel } from "../rollouts/RolloutPanel";
import { StartRollout } from "../rollouts/StartRollout";
import { Targeting } from "../targeting/Targeting";
import { useFlagActions } from "./FlagActions";
import { FlagBasin } from "./FlagBasin";
import { Insights } from "./Insights";
import list from "./FlagList.module.css";
import styles from "./FlagPage.module.css";

/** Asked for rarely: not part of the page. */
const FlagSettings = lazy(() => import("./FlagSettings").then((module) => ({ default: module.FlagSettings })));

export function FlagPage() {
  const { project, flag: key } = useParams({ from: "/projects/$project/flags/$flag" });
  const { environment: asked } = useSearch({ from: "/projects/$project/flags/$flag" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const read = useQuery(queries.flag(project, key));
  const flag = read.data;
  const [settings, setSettings] = useState(false);
  const mayNotEdit = useFlagActions().refusal("edit");
  // Production is where most questions are asked; it is also where nothing happens without a confirmation.
  const environment = environments.find((each) => each.key === asked) ?? environments.find((each) => each.production) ?? environments[0];

  const back = (
    <Link to="/projects/$project/flags" params={{ project }} className={styles.back}>
      ← All flags
    </Link>
  );
  if (!flag || !environment) {
    return (
      <Page title={key} above={back}>
        {read.error ? <ProblemAlert error={read.error} onRetry={() => void read.refetch()} /> : <Loader type="dots" aria-label="Loading the flag" />}
      </Page>
    );
  }
  return (
    <Page
      title={flag.name || flag.key}
      lead={flag.description || undefined}
      actions={
        <div className={styles.meta}>
          <CopyButton value={flag.key}>
            {({ copied, copy }) => (
              <Button variant="default" size="compact-md" onClick={copy} rightSection={copied ? <CheckIcon size={15} /> : <CopyIcon size={15} />}>
                <code>{flag.key}</code>
                <span className="visually-hidden">{copied ? "copied" : "copy the key"}</span>
              </Button>
            )}
          </CopyButton>
          <span className={list.kind}>{kindWords(flag.kind)}</span>
          {(flag.tags ?? []).map((tag) => (
            <Link key={tag} to="/projects/$project/flags" params={{ project }} search={{ tag }} className={list.tag} style={{ textDecoration: "none" }}>
              {tag}
            </Link>
          ))}
        </div>
      }
      above={back}
    >
      {settings ? (
        <Suspense>
          <FlagSettings project={project} flag={flag} onClose={() => setSettings(false)} />
        </Suspense>
      ) : null}
      <nav className={styles.tabs} aria-label="Environment">
        {environments.map((each) => (
          <Link
            key={each.key}
            to="/projects/$project/flags/$flag"
            params={{ project, flag: key }}
            search={{ environment: each.key }}
            replace
            resetScroll={false}
            className={styles.tab}
            activeProps={{ "aria-current": undefined }}
            aria-current={each.key === environment.key ? "true" : undefined}
          >
            <EnvironmentName environment={each} />
          </Link>
        ))}
      </nav>
      <div className={styles.columns}>
        <Card className={styles.card ?? ""}>
          <InEnvironment key={`${flag.key} ${environment.key}`} project={project} flag={flag} environment={environment} />
        </Card>
        <div style={{ display: "grid", gap: 20 }}>
          <Card className={styles.card ?? ""}>
            <div className={styles.cardHead}>
              <h2>Variants</h2>
              <Tooltip label={mayNotEdit} disabled={mayNotEdit === null}>
                <Button
                  variant="default"
                  size="compact-sm"
                  aria-disabled={mayNotEdit !== null || undefined}
                  data-disabled={mayNotEdit !== null || undefined}
                  onClick={() => {
                    if (mayNotEdit === null) setSettings(true);
                  }}
                >
                  Settings…
                </Button>
              </Tooltip>
            </div>
            <dl className={styles.variants}>
              {flag.variants.map((variant) => (
                <Variant key={variant.key} name={variant.key} value={variant.value} />
              ))}
            </dl>
          </Card>
          <Card className={styles.card ?? ""}>
            <h2>Served</h2>
            <Insights project={project} flag={key} environment={environment.key} />
          </Card>
          <Card className={styles.card ?? ""}>
            <h2>History</h2>
            <History project={project} resource={`flag/${flag.key}`} />
          </Card>
        </div>
      </div>
    </Page>
  );
}

function Variant({ name, value }: { name: string; value: unknown }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>
        <code>{brief(value, 200)}</code>
      </dd>
    </>
  );
}

function InEnvironment({ project, flag, environment }: { project: string; flag: Flag; environment: Environment }) {
  const read = useQuery(queries.config(project, flag.key, environment.key));
  if (!read.data) {
    return read.error ? <ProblemAlert error={read.error} onRetry={() => void read.refetch()} /> : <Loader type="dots" aria-label="Loading the configuration" />;
  }
  const config = read.data;
  return (
    <>
      <State project={project} flag={flag} environment={environment} config={config} />
      {config.guard ? <RolloutPanel project={project} environment={environment} id={config.guard} /> : null}
      {config.rollout ? (
        <RolloutPanel project={project} environment={environment} id={config.rollout} />
      ) : (
        <StartRollout project={project} flag={flag} environment={environment} config={config} />
      )}
      <Targeting project={project} flag={flag} environment={environment} config={config} />
    </>
  );
}

function State({ project, flag, environment, config }: { project: string; flag: Flag; environment: Environment; config: FlagConfig }) {
  const actions = useFlagActions();
  const mayNotOperate = actions.refusal("operate");
  return (
    <>
      <h2 className="visually-hidden">In {environment.name}</h2>
      <div className={styles.state}>
        <FlagBasin flag={flag} environment={environment} state={{ ...config, summary: summaryOf(config) }} />
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

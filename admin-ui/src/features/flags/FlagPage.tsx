import { Button, CopyButton } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link, useParams, useSearch } from "@tanstack/react-router";
import { lazy, Suspense } from "react";

import { queries } from "../../api/queries";
import type { Environment, Flag, FlagConfig } from "../../api/types";
import { CheckIcon, CopyIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { TextLink } from "../../components/TextLink";
import { brief } from "../../lib/json";
import { kindWords } from "../../lib/words";
import { History } from "../audit/History";
import { EnvironmentTabs, useEnvironment } from "../environments/EnvironmentTabs";
import { Targeting } from "../targeting/Targeting";
import list from "./FlagList.module.css";
import styles from "./FlagPage.module.css";
import { FlagState } from "./FlagState";
import { FlagTabs, tabOf, type FlagTab } from "./FlagTabs";
import { Insights } from "./Insights";

/** Asked for rarely: not part of the page. */
const FlagRollouts = lazy(() => import("../rollouts/FlagRollouts").then((module) => ({ default: module.FlagRollouts })));
const FlagSettings = lazy(() => import("./FlagSettings").then((module) => ({ default: module.FlagSettings })));

export function FlagPage() {
  const { project, flag: key } = useParams({ from: "/projects/$project/flags/$flag" });
  const { environment: asked, tab } = useSearch({ from: "/projects/$project/flags/$flag" });
  // Production is where most questions are asked; it is also where nothing happens without a confirmation.
  const { environments, environment } = useEnvironment(project, asked);
  const read = useQuery(queries.flag(project, key));
  const flag = read.data;

  const back = (
    <Link to="/projects/$project/flags" params={{ project }} className={styles.back}>
      ← All flags
    </Link>
  );
  if (!flag || !environment) {
    return (
      <Page title={key} above={back}>
        {read.error ? <ProblemAlert error={read.error} onRetry={() => void read.refetch()} /> : <Loading what="Loading the flag" />}
      </Page>
    );
  }
  return (
    <Page title={flag.name || flag.key} lead={flag.description || undefined} actions={<Labels project={project} flag={flag} />} above={back}>
      <EnvironmentTabs environments={environments} current={environment} />
      <InEnvironment key={`${flag.key} ${environment.key}`} project={project} flag={flag} environment={environment} tab={tabOf(tab)} />
    </Page>
  );
}

function Labels({ project, flag }: { project: string; flag: Flag }) {
  return (
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
  );
}

interface InEnvironmentProps {
  project: string;
  flag: Flag;
  environment: Environment;
  tab: FlagTab;
}

/** How the flag stands in an environment, whichever tab is shown below. */
function InEnvironment({ project, flag, environment, tab }: InEnvironmentProps) {
  const read = useQuery(queries.config(project, flag.key, environment.key));
  const config = read.data;
  return (
    <>
      <Card className={`${styles.card} ${styles.stands}`}>
        {config ? (
          <FlagState project={project} flag={flag} environment={environment} config={config} />
        ) : read.error ? (
          <ProblemAlert error={read.error} onRetry={() => void read.refetch()} />
        ) : (
          <Loading what="Loading the configuration" />
        )}
      </Card>
      <FlagTabs current={tab} config={config} />
      <Suspense fallback={<Loading what="Loading the tab" />}>
        <Tab project={project} flag={flag} environment={environment} tab={tab} config={config} />
      </Suspense>
    </>
  );
}

/** What a tab shows; what needs the configuration waits for it. */
function Tab({ project, flag, environment, tab, config }: InEnvironmentProps & { config: FlagConfig | undefined }) {
  switch (tab) {
    case "targeting":
      return config ? (
        <div className={styles.columns}>
          <Card className={styles.card ?? ""}>
            <Targeting project={project} flag={flag} environment={environment} config={config} />
          </Card>
          <Variants flag={flag} />
        </div>
      ) : null;
    case "rollout":
      return config ? <FlagRollouts project={project} flag={flag} environment={environment} config={config} /> : null;
    case "insights":
      return (
        <Card className={styles.card ?? ""}>
          <h2>Served in {environment.name}</h2>
          <Insights project={project} flag={flag.key} environment={environment.key} />
        </Card>
      );
    case "history":
      return (
        <Card className={styles.card ?? ""}>
          <h2>History in all environments</h2>
          <History project={project} resource={`flag/${flag.key}`} />
        </Card>
      );
    case "settings":
      return (
        <Card className={styles.card ?? ""}>
          <FlagSettings project={project} flag={flag} />
        </Card>
      );
  }
}

function Variants({ flag }: { flag: Flag }) {
  return (
    <Card className={styles.card ?? ""}>
      <div className={styles.cardHead}>
        <h2>Variants</h2>
        <TextLink to="." search={(search) => ({ ...search, tab: "settings" })} replace resetScroll={false} size="sm">
          Settings
        </TextLink>
      </div>
      <dl className={styles.variants}>
        {flag.variants.map(({ key, value }) => (
          <Variant key={key} name={key} value={value} />
        ))}
      </dl>
    </Card>
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

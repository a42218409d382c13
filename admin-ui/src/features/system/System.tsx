import { Badge, Button } from "@mantine/core";
import { useQueries, useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";

import { queries } from "../../api/queries";
import type { Environment, Receipts } from "../../api/types";
import { Ago } from "../../components/Ago";
import { CopyValue } from "../../components/CopyValue";
import { EnvironmentName } from "../../components/EnvironmentName";
import { Loading } from "../../components/Loading";
import { Card, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { TextLink } from "../../components/TextLink";
import { useVerification } from "../audit/Verification";
import styles from "./System.module.css";

/** SDKs come and go: the page follows while it is looked at. */
const LOOK_MS = 3_000;

/** The SDKs that are connected, and, for those who run it, the server itself. */
export function System() {
  const { project } = useParams({ from: "/projects/$project/system" });
  const me = useQuery(queries.me()).data;
  return (
    <Page title="System" lead="Who is connected and how far changes have come; whether the server and its audit log are well.">
      <div className={styles.parts}>
        <Connected project={project} />
        <Snapshots project={project} />
        {me?.instanceAdmin ? (
          <>
            <Server />
            <AuditChain />
          </>
        ) : null}
      </div>
    </Page>
  );
}

/** The environments, and how far the newest change of each has come. */
function useReceipts(project: string) {
  const environments = useQuery(queries.environments(project)).data ?? [];
  const reads = useQueries({ queries: environments.map(({ key }) => ({ ...queries.receipts(project, key), refetchInterval: LOOK_MS })) });
  return { environments, reads };
}

function Connected({ project }: { project: string }) {
  const { environments, reads } = useReceipts(project);
  const keys = useQueries({ queries: environments.map(({ key }) => queries.keys(project, key)) });
  const failed = reads.find(({ error, data }) => error && !data);
  const rows = environments.flatMap((environment, index) => {
    const receipts = reads[index]?.data;
    const nameOf = (id: string | undefined) => keys[index]?.data?.find((key) => key.id === id)?.name ?? id ?? "";
    return receipts ? (receipts.sdks ?? []).map((sdk) => ({ project, environment, receipts, sdk, keyName: nameOf(sdk.key) })) : [];
  });
  const pending = environments.length === 0 || reads.some(({ isPending }) => isPending);
  return (
    <section aria-labelledby="connected">
      <h2 id="connected" className={styles.title}>
        Connected SDKs
      </h2>
      {failed ? <ProblemAlert error={failed.error} onRetry={() => void failed.refetch()} /> : null}
      <Card className={styles.card ?? ""}>
        {rows.length > 0 ? (
          <div className={styles.scroll} tabIndex={0} role="region" aria-label="Connected SDKs, as a table">
            <table className={styles.table}>
              <thead>
                <tr>
                  <th scope="col">Environment</th>
                  <th scope="col">SDK</th>
                  <th scope="col">Its key</th>
                  <th scope="col">Connected</th>
                  <th scope="col">Newest change</th>
                  <th scope="col">The last came</th>
                  <th scope="col">
                    <span className="visually-hidden">Why it gets what it gets</span>
                  </th>
                </tr>
              </thead>
              <tbody>
                {rows.map((row) => (
                  <Sdk key={`${row.environment.key} ${row.sdk.sdk} ${row.sdk.key}`} {...row} />
                ))}
              </tbody>
            </table>
          </div>
        ) : pending ? (
          <Loading m="md" what="Loading the connected SDKs" />
        ) : (
          <p className={styles.nothing}>No SDK is connected. Each environment’s keys have a snippet that connects one.</p>
        )}
      </Card>
    </section>
  );
}

/** Like “3 of 3 SDKs, the slowest after 38 ms”. */
function appliedWords({ applied, connected, slowestMs }: Receipts): string {
  if (connected === 0) return "no SDK is connected";
  const lag = typeof slowestMs === "number" ? `, the slowest after ${slowestMs.toLocaleString("en")} ms` : "";
  return `${applied.toLocaleString("en")} of ${connected.toLocaleString("en")} ${connected === 1 ? "SDK" : "SDKs"}${lag}`;
}

/** What a new SDK is sent, how far it has come, and how many servers send it. */
function Snapshots({ project }: { project: string }) {
  const { environments, reads } = useReceipts(project);
  if (environments.length === 0) return null;
  return (
    <section aria-labelledby="snapshots">
      <h2 id="snapshots" className={styles.title}>
        Snapshots
      </h2>
      <Card className={styles.card ?? ""}>
        <div className={styles.scroll} tabIndex={0} role="region" aria-label="Snapshots, as a table">
          <table className={styles.table}>
            <thead>
              <tr>
                <th scope="col">Environment</th>
                <th scope="col">Revision</th>
                <th scope="col">Size</th>
                <th scope="col">Changed</th>
                <th scope="col">Applied</th>
                <th scope="col">Sent by</th>
              </tr>
            </thead>
            <tbody>
              {environments.map((environment, index) => {
                const receipts = reads[index]?.data;
                return (
                  <tr key={environment.key}>
                    <td>
                      <EnvironmentName environment={environment} />
                    </td>
                    <td className={styles.number}>{receipts?.revision.toLocaleString("en") ?? "…"}</td>
                    <td>{receipts ? bytes(receipts.snapshotBytes ?? 0) : "…"}</td>
                    <td>{receipts ? <Ago at={new Date(receipts.changedAt).toISOString()} /> : "…"}</td>
                    <td>{receipts ? appliedWords(receipts) : "…"}</td>
                    <td>{receipts ? `${receipts.servers} ${receipts.servers === 1 ? "server" : "servers"}` : "…"}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        </div>
      </Card>
    </section>
  );
}

interface Row {
  project: string;
  keyName: string;
  environment: Environment;
  receipts: Receipts;
  sdk: NonNullable<Receipts["sdks"]>[number];
}

function Sdk({ project, environment, receipts, sdk, keyName }: Row) {
  const behind = sdk.connected - sdk.applied;
  return (
    <tr>
      <td>
        <EnvironmentName environment={environment} />
      </td>
      <td>
        <code>{sdk.sdk}</code>
      </td>
      <td>{keyName}</td>
      <td className={styles.number}>{sdk.connected.toLocaleString("en")}</td>
      <td>
        {behind === 0 ? (
          <Badge variant="light" color="tide" tt="none">
            all have it
          </Badge>
        ) : (
          <>
            <Badge variant="light" color="yellow" tt="none">
              {behind.toLocaleString("en")} without it
            </Badge>{" "}
            {typeof sdk.oldest === "number" ? `oldest ${sdk.oldest} of ${receipts.revision}` : "one has nothing yet"}
          </>
        )}
      </td>
      <td>
        <Ago at={new Date(sdk.connectedAt).toISOString()} />
      </td>
      <td>
        <TextLink to="/projects/$project/playground" params={{ project }} search={{ environment: environment.key }} size="sm">
          What it gets, and why
        </TextLink>
      </td>
    </tr>
  );
}

/** Like “12.4 MB”. */
function bytes(count: number): string {
  const [divisor, unit] = count < 1e6 ? [1e3, "kB"] : count < 1e9 ? [1e6, "MB"] : [1e9, "GB"];
  return `${(count / divisor).toLocaleString("en", { maximumFractionDigits: 1 })} ${unit}`;
}

function Server() {
  const read = useQuery(queries.system());
  const system = read.data;
  return (
    <section aria-labelledby="server">
      <h2 id="server" className={styles.title}>
        Server
      </h2>
      <Card className={styles.card ?? ""}>
        {system ? (
          <dl className={styles.facts}>
            <dt>Version</dt>
            <dd>{system.version}</dd>
            <dt>Started</dt>
            <dd>
              <Ago at={system.startedAt} />
            </dd>
            <dt>Database</dt>
            <dd>
              {system.isShared ? "PostgreSQL, which other servers may share" : "SQLite, of this server alone"}; {bytes(system.databaseBytes)}; timeline <code>{system.epoch}</code>
            </dd>
            <dt>Backup</dt>
            <dd>
              {system.isShared ? (
                <>
                  <code>pg_dump</code>; once a dump is restored, <code>tidegate migrate --restored</code>
                </>
              ) : (
                <>
                  <code>tidegate backup FILE</code>, while the server runs; to restore, put the file in the database’s place
                </>
              )}
            </dd>
            <dt>Rollouts</dt>
            <dd>
              {system.controller ? (
                <>
                  decided on by <code>{system.controller.holder}</code>, lease {system.controller.epoch}, renewed <Ago at={system.controller.renewedAt} />
                </>
              ) : (
                "none goes on"
              )}
            </dd>
          </dl>
        ) : read.error ? (
          <ProblemAlert error={read.error} onRetry={() => void read.refetch()} />
        ) : (
          <Loading m="md" what="Loading the server" />
        )}
      </Card>
    </section>
  );
}

/** Each row of the audit log names the hash of the one before: read when asked for, as a log may be long. */
function AuditChain() {
  const { found, error, isFetching, verify } = useVerification();
  return (
    <section aria-labelledby="chain">
      <h2 id="chain" className={styles.title}>
        Audit log
      </h2>
      <Card className={styles.card ?? ""}>
        <div className={styles.chain}>
          <div role="status">
            {found?.broken ? (
              <>
                <Badge color="buoy" tt="none">
                  broken
                </Badge>{" "}
                {found.broken}
              </>
            ) : found ? (
              <>
                <Badge variant="light" color="tide" tt="none">
                  whole
                </Badge>{" "}
                {(found.rows ?? 0).toLocaleString("en")} rows, each follows from the one before. Keep the last hash elsewhere: it shows later that none was changed.
              </>
            ) : (
              "Every row carries the hash of the one before it."
            )}
          </div>
          <Button variant="default" size="compact-sm" loading={isFetching} onClick={verify}>
            Verify
          </Button>
        </div>
        {found?.head ? (
          <p className={styles.hash}>
            <code>{found.head}</code>
            <CopyValue value={found.head} />
          </p>
        ) : null}
        {error ? <ProblemAlert error={error} onRetry={verify} /> : null}
      </Card>
    </section>
  );
}

import { Button, Loader, NativeSelect, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { Fragment, useState } from "react";

import { queries } from "../../api/queries";
import type { AuditRow, Environment } from "../../api/types";
import { useNow } from "../../components/Ago";
import { Diff } from "../../components/Diff";
import { RightIcon } from "../../components/icons";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { clockTime, day, exactly } from "../../lib/time";
import { auditWords } from "../../lib/words";
import styles from "./Audit.module.css";
import { Sentence } from "./Sentence";

const TYPING_MS = 250;

type FilterName = "environment" | "resource" | "actor";

export function AuditList() {
  const { project } = useParams({ from: "/projects/$project/audit" });
  const filter = useSearch({ from: "/projects/$project/audit" });
  const navigate = useNavigate({ from: "/projects/$project/audit" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const audit = useInfiniteQuery(queries.audit({ project, ...filter }));
  const rows = audit.data?.pages.flatMap((page) => page.items) ?? [];
  const now = useNow();

  const set = (name: FilterName, value: string) =>
    void navigate({ search: ({ [name]: _, ...rest }) => (value === "" ? rest : { ...rest, [name]: value }), replace: true });
  const setLater = useDebouncedCallback(set, TYPING_MS);
  // Flags are asked for by their key alone.
  const [flag, setFlag] = useState(filter.resource?.replace(/^flag\//, "") ?? "");
  const people = [...new Map(rows.map((row) => [row.actor, row.actorName || row.actor]))];

  return (
    <Page title="Audit log" lead="Every change with its reason, in one chain: no row can be edited or taken out without showing.">
      <div role="search" className={styles.filters}>
        <NativeSelect
          label="Environment"
          value={filter.environment ?? ""}
          onChange={(event) => set("environment", event.currentTarget.value)}
          data={[{ value: "", label: "All" }, ...environments.map(({ key, name }) => ({ value: key, label: name }))]}
        />
        <TextInput
          label="Flag"
          placeholder="Key"
          value={flag}
          onChange={(event) => {
            const text = event.currentTarget.value;
            setFlag(text);
            const key = text.trim();
            setLater("resource", key === "" || key.includes("/") ? key : `flag/${key}`);
          }}
        />
        <NativeSelect
          label="Who"
          value={filter.actor ?? ""}
          onChange={(event) => set("actor", event.currentTarget.value)}
          data={[
            { value: "", label: "Everybody" },
            ...people.map(([value, label]) => ({ value, label })),
            ...(filter.actor !== undefined && !people.some(([actor]) => actor === filter.actor) ? [{ value: filter.actor, label: filter.actor }] : []),
          ]}
        />
      </div>
      {audit.error && !audit.data ? <ProblemAlert error={audit.error} onRetry={() => void audit.refetch()} /> : null}
      {audit.isPending ? <Loader type="dots" aria-label="Loading the audit log" /> : null}
      {audit.data && rows.length === 0 ? (
        <Card>
          <Empty title="No change matches" />
        </Card>
      ) : null}
      {days(rows, now).map(({ name, rows: ofDay }) => (
        <Fragment key={name}>
          <h2 className={styles.day}>{name}</h2>
          <Card>
            <ol className={styles.rows}>
              {ofDay.map((row) => (
                <Row key={row.sequence} project={project} row={row} environments={environments} />
              ))}
            </ol>
          </Card>
        </Fragment>
      ))}
      {audit.hasNextPage ? (
        <Button variant="default" mt="md" loading={audit.isFetchingNextPage} onClick={() => void audit.fetchNextPage()}>
          Older changes
        </Button>
      ) : null}
    </Page>
  );
}

function days(rows: AuditRow[], now: number): { name: string; rows: AuditRow[] }[] {
  const all: { name: string; rows: AuditRow[] }[] = [];
  for (const row of rows) {
    const name = day(row.at, now);
    const last = all.at(-1);
    if (last?.name === name) last.rows.push(row);
    else all.push({ name, rows: [row] });
  }
  return all;
}

function Row({ project, row, environments }: { project: string; row: AuditRow; environments: Environment[] }) {
  const [open, setOpen] = useState(false);
  const words = auditWords(row);
  const id = `change-${row.sequence}`;
  return (
    <li className={styles.row}>
      <button type="button" className={styles.summary} aria-expanded={open} aria-controls={id} onClick={() => setOpen(!open)}>
        <time className={styles.time} dateTime={row.at} title={exactly(row.at)}>
          {clockTime(row.at)}
        </time>
        <span className={styles.mark} data-tone={words.tone} aria-hidden="true" />
        <Sentence row={row} environments={environments} withSubject />
        <span className={styles.chevron}>
          <RightIcon size={16} />
        </span>
      </button>
      <div id={id} className={styles.more} hidden={!open}>
        {open ? (
          <>
            <dl className={styles.facts}>
              <dt>When</dt>
              <dd>{exactly(row.at)}</dd>
              <dt>Who</dt>
              <dd>
                {row.actorName} <code>{row.actor}</code>
              </dd>
              <dt>What</dt>
              <dd>
                <code>{row.action}</code>{" "}
                {words.kind === "flag" ? (
                  <Link to="/projects/$project/flags/$flag" params={{ project, flag: words.subject }} search={row.environment ? { environment: row.environment } : {}}>
                    {words.subject}
                  </Link>
                ) : (
                  <code>{row.resource}</code>
                )}
              </dd>
              <dt>Row</dt>
              <dd>
                {row.sequence}, <code title={row.hash}>{row.hash.slice(0, 12)}…</code> after <code title={row.previousHash}>{row.previousHash.slice(0, 12)}…</code>
              </dd>
              <dt>Request</dt>
              <dd>
                <code>{row.requestId}</code>
              </dd>
            </dl>
            <Diff before={row.before} after={row.after} label={`What change ${row.sequence} changed`} />
          </>
        ) : null}
      </div>
    </li>
  );
}

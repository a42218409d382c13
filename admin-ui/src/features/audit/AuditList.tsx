import { Button, CopyButton, Group, NativeSelect, SegmentedControl, TextInput } from "@mantine/core";
import { useDebouncedCallback } from "@mantine/hooks";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { createContext, Fragment, useContext, useMemo, useState } from "react";

import { queries } from "../../api/queries";
import type { AuditRow, Environment } from "../../api/types";
import { useNow } from "../../components/Ago";
import { Diff } from "../../components/Diff";
import { CheckIcon, LinkIcon, RestoreIcon, RightIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { given } from "../../lib/given";
import { remember, remembered } from "../../lib/storage";
import { clockTime, day, exactly } from "../../lib/time";
import { auditWords } from "../../lib/words";
import { useFlagActions } from "../flags/FlagActions";
import { TryLink } from "../playground/TryLink";
import styles from "./Audit.module.css";
import { Export } from "./Export";
import { ACTIONS, filterOf } from "./filter";
import { Revert } from "./Revert";
import { Sentence } from "./Sentence";
import { SideDiff } from "./SideDiff";
import { VerificationBadge } from "./Verification";
import { revertible } from "./wayBack";

const TYPING_MS = 250;

type FilterName = "environment" | "resource" | "actor" | "action" | "since" | "until";

/** How differences are shown: one choice for all rows, kept in this browser. */
const DiffView = createContext<{ view: string; setView(view: string): void }>({ view: "inline", setView: () => {} });

export function AuditList() {
  const { project } = useParams({ from: "/projects/$project/audit" });
  const { row } = useSearch({ from: "/projects/$project/audit" });
  const [view, setView] = useState(() => remembered("diff") ?? "inline");
  const diffView = useMemo(
    () => ({
      view,
      setView: (next: string) => {
        remember("diff", next);
        setView(next);
      },
    }),
    [view],
  );
  return <DiffView value={diffView}>{row === undefined ? <Log project={project} /> : <One project={project} sequence={row} />}</DiffView>;
}

function One({ project, sequence }: { project: string; sequence: number }) {
  const environments = useQuery(queries.environments(project)).data ?? [];
  const read = useQuery(queries.auditRow(project, sequence));
  return (
    <Page
      title={`Change ${sequence}`}
      above={
        <Link to="/projects/$project/audit" params={{ project }} className={styles.back}>
          ← All changes
        </Link>
      }
    >
      {read.error ? <ProblemAlert error={read.error} onRetry={() => void read.refetch()} /> : null}
      {read.isPending ? <Loading what="Loading the change" /> : null}
      {read.data === null ? (
        <Card>
          <Empty title="There is no such change in this project">
            <p>Rows have numbers of the whole instance: this one may be another project’s.</p>
          </Empty>
        </Card>
      ) : null}
      {read.data ? (
        <Card>
          <ol className={styles.rows}>
            <Row project={project} row={read.data} environments={environments} opened />
          </ol>
        </Card>
      ) : null}
    </Page>
  );
}

function Log({ project }: { project: string }) {
  const { row: _, ...search } = useSearch({ from: "/projects/$project/audit" });
  const { environment, resource, actor, action, since, until } = search;
  const filter = filterOf(project, search);
  const navigate = useNavigate({ from: "/projects/$project/audit" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const audit = useInfiniteQuery(queries.audit(filter));
  const rows = audit.data?.pages.flatMap((page) => page.items) ?? [];
  const now = useNow();

  const set = (name: FilterName, value: string) =>
    void navigate({ search: ({ [name]: __, ...rest }) => (value === "" ? rest : { ...rest, [name]: value }), replace: true });
  const setLater = useDebouncedCallback(set, TYPING_MS);
  // Flags are asked for by their key alone.
  const [typed, setTyped] = useState(resource?.replace(/^flag\//, "") ?? "");
  const people = [...new Map(rows.map((each) => [each.actor, each.actorName || each.actor]))];
  const known = ACTIONS.some(({ items }) => items.some(([value]) => value === action));

  return (
    <Page
      title="Audit log"
      lead="Every change with its reason, in one chain: no row can be edited or taken out without showing."
      actions={
        <Group gap="xs">
          <VerificationBadge />
          <Export filter={filter} />
        </Group>
      }
    >
      <div role="search" className={styles.filters}>
        <NativeSelect
          label="Environment"
          value={environment ?? ""}
          onChange={(event) => set("environment", event.currentTarget.value)}
          data={[{ value: "", label: "All" }, ...environments.map(({ key, name }) => ({ value: key, label: name }))]}
        />
        <TextInput
          label="Flag or resource"
          placeholder="Key, or segment/key"
          value={typed}
          onChange={(event) => {
            const text = event.currentTarget.value;
            setTyped(text);
            const key = text.trim();
            setLater("resource", key === "" || key.includes("/") ? key : `flag/${key}`);
          }}
        />
        <NativeSelect
          label="Who"
          value={actor ?? ""}
          onChange={(event) => set("actor", event.currentTarget.value)}
          data={[
            { value: "", label: "Everybody" },
            ...people.map(([value, label]) => ({ value, label })),
            ...(actor !== undefined && !people.some(([each]) => each === actor) ? [{ value: actor, label: actor }] : []),
          ]}
        />
        <NativeSelect label="What was done" value={action ?? ""} onChange={(event) => set("action", event.currentTarget.value)}>
          <option value="">Anything</option>
          {action !== undefined && !known ? <option value={action}>{action}</option> : null}
          {ACTIONS.map(({ group, items }) => (
            <optgroup key={group} label={group}>
              {items.map(([value, label]) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </optgroup>
          ))}
        </NativeSelect>
        <TextInput type="date" label="From" value={since ?? ""} max={until ?? ""} onChange={(event) => set("since", event.currentTarget.value)} />
        <TextInput type="date" label="To" value={until ?? ""} min={since ?? ""} onChange={(event) => set("until", event.currentTarget.value)} />
        {Object.keys(given(search)).length === 0 ? null : (
          <Button
            variant="default"
            className={styles.clear ?? ""}
            onClick={() => {
              setTyped("");
              void navigate({ search: {}, replace: true });
            }}
          >
            Clear
          </Button>
        )}
      </div>
      {audit.error ? <ProblemAlert error={audit.error} onRetry={() => void (audit.data ? audit.fetchNextPage() : audit.refetch())} /> : null}
      {audit.isPending ? <Loading what="Loading the audit log" /> : null}
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
              {ofDay.map((each) => (
                <Row key={each.sequence} project={project} row={each} environments={environments} />
              ))}
            </ol>
          </Card>
        </Fragment>
      ))}
      {audit.hasNextPage ? (
        <Button mt="md" variant="default" loading={audit.isFetchingNextPage} onClick={() => void audit.fetchNextPage()}>
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

function Row({ project, row, environments, opened = false }: { project: string; row: AuditRow; environments: Environment[]; opened?: boolean }) {
  const [open, setOpen] = useState(opened);
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
        {open ? <Details project={project} row={row} environments={environments} /> : null}
      </div>
    </li>
  );
}

function Details({ project, row, environments }: { project: string; row: AuditRow; environments: Environment[] }) {
  const words = auditWords(row);
  const { view, setView } = useContext(DiffView);
  const [reverting, setReverting] = useState(false);
  const mayNot = useFlagActions().refusal("edit");
  const environment = environments.find(({ key }) => key === row.environment);
  const target = revertible(row);
  const search = row.environment ? { environment: row.environment } : {};
  const label = `What change ${row.sequence} changed`;
  const link = `${window.location.origin}/projects/${encodeURIComponent(project)}/audit?row=${row.sequence}`;
  return (
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
            <Link to="/projects/$project/flags/$flag" params={{ project, flag: words.subject }} search={search}>
              {words.subject}
            </Link>
          ) : words.kind === "segment" ? (
            <Link to="/projects/$project/segments/$segment" params={{ project, segment: words.subject }} search={search}>
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
      <div className={styles.tools}>
        <SegmentedControl
          size="xs"
          aria-label="Show the difference"
          value={view}
          onChange={setView}
          data={[
            { value: "inline", label: "Inline" },
            { value: "sides", label: "Side by side" },
          ]}
        />
        <Group gap="xs">
          {words.kind === "flag" && row.environment ? <TryLink project={project} environment={row.environment} flag={words.subject} of={words.subject} /> : null}
          <CopyButton value={link}>
            {({ copied, copy }) => (
              <Button size="compact-sm" variant="default" onClick={copy} leftSection={copied ? <CheckIcon size={15} /> : <LinkIcon size={15} />}>
                {copied ? "Copied" : "Copy link"}
              </Button>
            )}
          </CopyButton>
          {target && environment ? (
            <Button size="compact-sm" variant="default" leftSection={<RestoreIcon size={15} />} disabled={mayNot !== null} title={mayNot ?? undefined} onClick={() => setReverting(true)}>
              Revert…
            </Button>
          ) : null}
        </Group>
      </div>
      {view === "sides" ? <SideDiff before={row.before} after={row.after} label={label} /> : <Diff before={row.before} after={row.after} label={label} />}
      {reverting && target && environment ? <Revert project={project} row={row} target={target} environment={environment} onClose={() => setReverting(false)} /> : null}
    </>
  );
}

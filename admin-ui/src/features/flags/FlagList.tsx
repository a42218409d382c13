import { ActionIcon, Button, CloseButton, Loader, Menu, TextInput } from "@mantine/core";
import { useDebouncedCallback, useDisclosure, useMediaQuery } from "@mantine/hooks";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { lazy, memo, Suspense, useEffect, useLayoutEffect, useMemo, useRef, useState, type CSSProperties } from "react";

import { isBroken } from "../../api/client";
import { queries } from "../../api/queries";
import type { Broken, Environment, ListedFlag } from "../../api/types";
import { EnvironmentName } from "../../components/EnvironmentName";
import { KillIcon, PlusIcon, RestoreIcon, SearchIcon } from "../../components/icons";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { useScroller } from "../../components/Shell";
import { stateWords } from "../../lib/words";
import { Basin } from "./Basin";
import { toggle, useFlagActions } from "./FlagActions";
import styles from "./FlagList.module.css";

/** Its fields weigh more than the list: they come when somebody asks for them. */
const NewFlag = lazy(() => import("./NewFlag").then(({ NewFlag: component }) => ({ default: component })));

/** A row's height before it is measured, in CSS pixels. */
const ROW_GUESS = 92;
const CARD_GUESS = 290;
const SEARCH_DELAY_MS = 180;

export function FlagList() {
  const { project } = useParams({ from: "/projects/$project/flags" });
  const filter = useSearch({ from: "/projects/$project/flags" });
  const navigate = useNavigate({ from: "/projects/$project/flags" });
  const environments = useQuery(queries.environments(project)).data ?? [];
  const flags = useInfiniteQuery(queries.flags(project, filter));
  const actions = useFlagActions();
  const [creating, create] = useDisclosure(false);
  const items = useMemo(() => flags.data?.pages.flatMap((page) => page.items) ?? [], [flags.data]);

  // Typing goes to the URL a moment later, so that the history has words, not letters.
  const [typed, setTyped] = useState(filter.search ?? "");
  const search = useDebouncedCallback((text: string) => {
    void navigate({ search: ({ search: _, ...rest }) => (text === "" ? rest : { ...rest, search: text }), replace: true });
  }, SEARCH_DELAY_MS);
  const setTag = (tag: string | undefined) =>
    void navigate({ search: ({ tag: _, ...rest }) => (tag === undefined ? rest : { ...rest, tag }), replace: true });

  const filtered = filter.search !== undefined || filter.tag !== undefined;
  const mayNot = actions.refusal("edit");
  return (
    <Page
      title="Flags"
      lead={environments.length === 0 ? undefined : "One row per flag, one basin per environment: the water stands as high as the share it is on for."}
      actions={
        <Button leftSection={<PlusIcon />} onClick={create.open} disabled={mayNot !== null} title={mayNot ?? undefined}>
          New flag
        </Button>
      }
    >
      <div role="search" className={styles.filters}>
        <TextInput
          className={styles.search}
          aria-label="Search flags by name, key or description"
          placeholder="Search by name, key or description"
          leftSection={<SearchIcon />}
          value={typed}
          onChange={(event) => {
            setTyped(event.currentTarget.value);
            search(event.currentTarget.value.trim());
          }}
          rightSection={
            typed === "" ? null : (
              <CloseButton
                size="sm"
                aria-label="Clear the search"
                onClick={() => {
                  setTyped("");
                  search("");
                }}
              />
            )
          }
        />
        {filter.tag === undefined ? null : (
          <button type="button" className={styles.tag} aria-pressed="true" onClick={() => setTag(undefined)} aria-label={`Tag ${filter.tag}: remove the filter`}>
            {filter.tag} <span aria-hidden="true">×</span>
          </button>
        )}
        <span className={styles.count} role="status">
          {flags.data ? `${items.length}${flags.hasNextPage ? "+" : ""} ${items.length === 1 ? "flag" : "flags"}` : ""}
        </span>
      </div>
      {flags.error && !flags.data ? <ProblemAlert error={flags.error} onRetry={() => void flags.refetch()} /> : null}
      {flags.isPending ? <Loader type="dots" aria-label="Loading the flags" /> : null}
      {flags.data && items.length === 0 ? (
        <Card>
          {filtered ? (
            <Empty title="No flag matches">
              <Button
                variant="default"
                onClick={() => {
                  setTyped("");
                  void navigate({ search: {}, replace: true });
                }}
              >
                Show all flags
              </Button>
            </Empty>
          ) : (
            <Empty title="No flags yet">
              <p>A flag starts off in every environment. Make one, ask for it in your application, then turn it on here.</p>
            </Empty>
          )}
        </Card>
      ) : null}
      {items.length > 0 ? (
        <FlagTable
          project={project}
          flags={items}
          environments={environments}
          onTag={setTag}
          tag={filter.tag}
          more={flags.hasNextPage}
          onMore={() => {
            if (!flags.isFetchingNextPage) void flags.fetchNextPage();
          }}
        />
      ) : null}
      <Suspense>{creating ? <NewFlag project={project} onClose={create.close} /> : null}</Suspense>
    </Page>
  );
}

interface TableProps {
  project: string;
  flags: (ListedFlag | Broken)[];
  environments: Environment[];
  tag: string | undefined;
  onTag(tag: string): void;
  more: boolean;
  onMore(): void;
}

function FlagTable({ project, flags, environments, tag, onTag, more, onMore }: TableProps) {
  const scroller = useScroller();
  const body = useRef<HTMLDivElement>(null);
  const narrow = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  const [offset, setOffset] = useState(0);
  useLayoutEffect(() => {
    if (!body.current || !scroller.current) return;
    setOffset(body.current.getBoundingClientRect().top - scroller.current.getBoundingClientRect().top + scroller.current.scrollTop);
  }, [scroller, narrow]);

  const rows = useVirtualizer({
    count: flags.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => (narrow ? CARD_GUESS : ROW_GUESS),
    getItemKey: (at) => flags[at]?.key ?? at,
    gap: narrow ? 12 : 0,
    overscan: 8,
    scrollMargin: offset,
    // Before the first layout, and where there is none (tests), a screenful is drawn.
    initialRect: { width: 1000, height: 900 },
  });
  const virtual = rows.getVirtualItems();
  const atEnd = (virtual.at(-1)?.index ?? 0) >= flags.length - 20;
  useEffect(() => {
    if (atEnd && more) onMore();
  }, [atEnd, more, onMore]);

  return (
    <>
      <div
        className={styles.table}
        role="table"
        aria-label="Flags"
        aria-rowcount={more ? -1 : flags.length + 1}
        style={{ "--environments": environments.length } as CSSProperties}
      >
        <div role="rowgroup" className={styles.header}>
          <div role="row" style={{ display: "contents" }} aria-rowindex={1}>
            <span role="columnheader">Flag</span>
            {environments.map((environment) => (
              <span role="columnheader" key={environment.key}>
                <EnvironmentName environment={environment} />
              </span>
            ))}
            <span role="columnheader">
              <span className="visually-hidden">Actions</span>
            </span>
          </div>
        </div>
        <div role="rowgroup" ref={body} className={styles.body} style={{ height: rows.getTotalSize() }}>
          {virtual.map(({ key, index, start }) => {
            const flag = flags[index];
            return flag ? (
              <div
                key={key}
                ref={rows.measureElement}
                data-index={index}
                data-last={index === flags.length - 1 || undefined}
                role="row"
                aria-rowindex={index + 2}
                className={styles.row}
                style={{ transform: `translateY(${start - offset}px)` }}
              >
                {isBroken(flag) ? (
                  <BrokenRow flag={flag} />
                ) : (
                  <FlagRow project={project} flag={flag} environments={environments} tag={tag} onTag={onTag} />
                )}
              </div>
            ) : null;
          })}
        </div>
      </div>
      {more ? <div className={styles.more}>Loading more…</div> : null}
    </>
  );
}

function BrokenRow({ flag }: { flag: Broken }) {
  return (
    <div role="rowheader" className={styles.flag} style={{ gridColumn: "1 / -1" }}>
      <span className={styles.name}>{flag.key}</span>
      <p className={styles.description}>This flag cannot be read, so SDKs get their own defaults: {flag.broken}</p>
    </div>
  );
}

const FlagRow = memo(function FlagRow({ project, flag, environments, tag, onTag }: Omit<TableProps, "flags" | "more" | "onMore"> & { flag: ListedFlag }) {
  const actions = useFlagActions();
  const mayNotEdit = actions.refusal("edit");
  const mayNotOperate = actions.refusal("operate");
  return (
    <>
      <div role="rowheader" className={styles.flag}>
        <div className={styles.nameLine}>
          <Link to="/projects/$project/flags/$flag" params={{ project, flag: flag.key }} className={styles.name}>
            {flag.name || flag.key}
          </Link>
          <span className={styles.key}>{flag.key}</span>
        </div>
        {flag.description ? <p className={styles.description}>{flag.description}</p> : null}
        <div className={styles.tags}>
          <span className={styles.kind}>{flag.kind === "json" ? "JSON" : flag.kind}</span>
          {(flag.tags ?? []).map((name) => (
            <button key={name} type="button" className={styles.tag} aria-pressed={name === tag} aria-label={`Only flags tagged ${name}`} onClick={() => onTag(name)}>
              {name}
            </button>
          ))}
        </div>
      </div>
      {environments.map((environment) => {
        const state = flag.environments[environment.key];
        return (
          <div role="cell" key={environment.key} className={styles.cell}>
            <span className={styles.cellName} aria-hidden="true">
              <EnvironmentName environment={environment} />
            </span>
            {state ? (
              <Basin
                name={`${flag.key} in ${environment.name}`}
                words={stateWords(state, flag)}
                enabled={state.enabled}
                busy={actions.busy(flag.key, environment.key)}
                refusal={mayNotEdit}
                onToggle={() => void actions.change(toggle(flag, environment, !state.enabled), state.version)}
              />
            ) : (
              <span>—</span>
            )}
          </div>
        );
      })}
      <div role="cell" className={styles.menu}>
        <Menu position="bottom-end" width={230}>
          <Menu.Target>
            <ActionIcon variant="subtle" color="buoy" size={36} title="Kill or restore" aria-label={`Actions for ${flag.key}`}>
              <KillIcon />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            {mayNotOperate ? <Menu.Label>{mayNotOperate}</Menu.Label> : null}
            {environments.map((environment) => {
              const killed = flag.environments[environment.key]?.killed;
              return (
                <Menu.Item
                  key={environment.key}
                  color={killed ? undefined : "buoy"}
                  disabled={mayNotOperate !== null}
                  leftSection={killed ? <RestoreIcon size={16} /> : <KillIcon size={16} />}
                  onClick={() => (killed ? actions.restore : actions.kill)(flag, environment)}
                >
                  {killed ? "Restore" : "Kill"} in {environment.name}…
                </Menu.Item>
              );
            })}
          </Menu.Dropdown>
        </Menu>
      </div>
    </>
  );
});

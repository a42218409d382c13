import { Button, TextInput } from "@mantine/core";
import { useDebouncedCallback, useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useLayoutEffect, useMemo, useRef, useState } from "react";

import { isBroken } from "../../api/client";
import { queries } from "../../api/queries";
import type { Broken, SegmentItem } from "../../api/types";
import { EnvironmentTabs, useEnvironment } from "../environments/EnvironmentTabs";
import { PlusIcon, SearchIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { useScroller } from "../../components/Shell";
import { useFlagActions } from "../flags/FlagActions";
import { NewSegment } from "./NewSegment";
import styles from "./Segments.module.css";
import { usersOf, type User } from "./usage";

const ROW_GUESS = 74;
const TYPING_MS = 180;

export function SegmentList() {
  const { project } = useParams({ from: "/projects/$project/segments" });
  const { environment: asked, search = "" } = useSearch({ from: "/projects/$project/segments" });
  const navigate = useNavigate({ from: "/projects/$project/segments" });
  const { environment, environments } = useEnvironment(project, asked);
  const key = environment?.key ?? "";
  const segments = useQuery({ ...queries.segments(project, key), enabled: key !== "" });
  const file = useQuery({ ...queries.flagFile(project, key), enabled: key !== "" }).data;
  const mayNot = useFlagActions().refusal("edit");
  const [creating, create] = useDisclosure(false);
  const [typed, setTyped] = useState(search);
  const setSearch = useDebouncedCallback((text: string) => {
    void navigate({ search: ({ search: _, ...rest }) => (text === "" ? rest : { ...rest, search: text }), replace: true });
  }, TYPING_MS);

  const wanted = search.toLowerCase();
  const items = useMemo(
    () => (segments.data ?? []).filter((item) => `${item.key} ${"name" in item ? `${item.name} ${item.description}` : ""}`.toLowerCase().includes(wanted)),
    [segments.data, wanted],
  );

  return (
    <Page
      title="Segments"
      lead="Named groups of units, to be used in the rules of flags. Each environment has its own."
      actions={
        <Button leftSection={<PlusIcon />} onClick={create.open} disabled={mayNot !== null || !environment} title={mayNot ?? undefined}>
          New segment
        </Button>
      }
    >
      <EnvironmentTabs environments={environments} current={environment} />
      <div role="search" className={styles.filters}>
        <TextInput
          className={styles.search}
          aria-label="Search segments by name, key or description"
          placeholder="Search by name, key or description"
          leftSection={<SearchIcon />}
          value={typed}
          onChange={(event) => {
            setTyped(event.currentTarget.value);
            setSearch(event.currentTarget.value.trim());
          }}
        />
        <span className={styles.count} role="status">
          {segments.data ? `${items.length} ${items.length === 1 ? "segment" : "segments"}` : ""}
        </span>
      </div>
      {segments.error && !segments.data ? <ProblemAlert error={segments.error} onRetry={() => void segments.refetch()} /> : null}
      {segments.isPending ? <Loading what="Loading the segments" /> : null}
      {segments.data && items.length === 0 ? (
        <Card>
          {search === "" ? (
            <Empty title="No segments here yet">
              <p>A segment is a group that several flags ask for, like your staff or the beta testers: change it once, and all of them follow.</p>
            </Empty>
          ) : (
            <Empty title="No segment matches">
              <Button
                variant="default"
                onClick={() => {
                  setTyped("");
                  setSearch("");
                }}
              >
                Show all segments
              </Button>
            </Empty>
          )}
        </Card>
      ) : null}
      {items.length > 0 && environment ? <Rows key={environment.key} project={project} environment={environment.key} items={items} users={(segment) => (file ? usersOf(file, segment) : null)} /> : null}
      {creating && environment ? <NewSegment project={project} environment={environment} onClose={create.close} /> : null}
    </Page>
  );
}

interface RowsProps {
  project: string;
  environment: string;
  items: (SegmentItem | Broken)[];
  /** Who uses one; null while that is not known. */
  users(segment: string): User[] | null;
}

function Rows({ project, environment, items, users }: RowsProps) {
  const scroller = useScroller();
  const body = useRef<HTMLUListElement>(null);
  const [offset, setOffset] = useState(0);
  useLayoutEffect(() => {
    if (!body.current || !scroller.current) return;
    setOffset(body.current.getBoundingClientRect().top - scroller.current.getBoundingClientRect().top + scroller.current.scrollTop);
  }, [scroller]);
  const rows = useVirtualizer({
    count: items.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_GUESS,
    getItemKey: (at) => items[at]?.key ?? at,
    overscan: 8,
    scrollMargin: offset,
    initialRect: { width: 1000, height: 900 },
  });
  return (
    <Card>
      <ul ref={body} className={styles.rows} style={{ height: rows.getTotalSize() }} aria-label="Segments">
        {rows.getVirtualItems().map(({ key, index, start }) => {
          const item = items[index];
          return item ? (
            <li
              key={key}
              ref={rows.measureElement}
              data-index={index}
              data-last={index === items.length - 1 || undefined}
              className={styles.row}
              aria-setsize={items.length}
              aria-posinset={index + 1}
              style={{ transform: `translateY(${start - offset}px)` }}
            >
              {"broken" in item && isBroken(item) ? (
                <span>
                  <span className={styles.name}>{item.key}</span>
                  <span className={styles.description}>This segment cannot be read, so nothing that asks for it holds: {item.broken}</span>
                </span>
              ) : (
                <Row project={project} environment={environment} item={item as SegmentItem} users={users(item.key)} />
              )}
            </li>
          ) : null;
        })}
      </ul>
    </Card>
  );
}

function Row({ project, environment, item, users }: { project: string; environment: string; item: SegmentItem; users: User[] | null }) {
  return (
    <>
      <span>
        <Link to="/projects/$project/segments/$segment" params={{ project, segment: item.key }} search={{ environment }} className={styles.name}>
          {item.name || item.key}
        </Link>{" "}
        <code className={styles.key}>{item.key}</code>
        {item.description ? <span className={styles.description}>{item.description}</span> : null}
      </span>
      <span className={styles.facts}>{whoIsIn(item)}</span>
      <span className={styles.facts}>{users === null ? "" : usedWords(users)}</span>
    </>
  );
}

/** Like “2,400 in, 2 out, 1 rule”. */
export function whoIsIn({ nIncluded, nExcluded, nRules }: Pick<SegmentItem, "nIncluded" | "nExcluded" | "nRules">): string {
  const parts = [
    ...(nIncluded > 0 ? [`${nIncluded.toLocaleString("en")} in`] : []),
    ...(nExcluded > 0 ? [`${nExcluded.toLocaleString("en")} out`] : []),
    ...(nRules > 0 ? [`${nRules} ${nRules === 1 ? "rule" : "rules"}`] : []),
  ];
  return parts.length === 0 ? "nobody is in it" : parts.join(", ");
}

function usedWords(users: User[]): string {
  const counted = (kind: User["kind"]) => {
    const n = users.filter((user) => user.kind === kind).length;
    return n === 0 ? [] : [`${n} ${kind}${n === 1 ? "" : "s"}`];
  };
  const parts = [...counted("flag"), ...counted("segment")];
  return parts.length === 0 ? "not used" : `used by ${parts.join(" and ")}`;
}

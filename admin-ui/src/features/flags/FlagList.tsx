import { Button } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import { lazy, Suspense, useDeferredValue, useMemo } from "react";

import { isBroken } from "../../api/client";
import { queries } from "../../api/queries";
import type { Broken, Environment, ListedFlag } from "../../api/types";
import { PlusIcon } from "../../components/icons";
import { Loading } from "../../components/Loading";
import { Card, Empty, Page } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import { given } from "../../lib/given";
import { useStable } from "../../lib/useStable";
import { matches, type FlagFilter } from "./filter";
import { useFlagActions } from "./FlagActions";
import { FlagFilters } from "./FlagFilters";
import { FlagTable } from "./FlagTable";
import { useAllFlags } from "./useAllFlags";
import { useSelection } from "./useSelection";
import { useTypedSearch } from "./useTypedSearch";

/** They weigh more than the list: they come when somebody asks for them. */
const NewFlag = lazy(() => import("./NewFlag").then(({ NewFlag: component }) => ({ default: component })));
const BulkBar = lazy(() => import("./bulk/BulkBar").then(({ BulkBar: component }) => ({ default: component })));

const NO_ENVIRONMENTS: Environment[] = [];

export function FlagList() {
  const { project } = useParams({ from: "/projects/$project/flags" });
  const inUrl = useSearch({ from: "/projects/$project/flags" });
  const navigate = useNavigate({ from: "/projects/$project/flags" });
  const environments = useQuery(queries.environments(project)).data ?? NO_ENVIRONMENTS;
  const { data: flags, isWhole, error, refetch } = useAllFlags(project);
  const [creating, create] = useDisclosure(false);
  const [selected, select] = useSelection();
  const mayNot = useFlagActions().refusal("edit");

  const change = useStable((part: FlagFilter) => void navigate({ search: (rest) => given({ ...rest, ...part }), replace: true }));
  const [typed, type] = useTypedSearch(inUrl.search ?? "", (search) => change({ search }));
  // The letter that was typed is drawn first, what it finds right after it.
  const search = useDeferredValue(typed.trim());
  const filter = useMemo(() => given({ ...inUrl, search }), [inUrl, search]);
  const shown = useMemo(() => (flags ?? []).filter((flag) => matches(flag, filter)), [flags, filter]);
  const chosen = useMemo(() => (flags ?? []).filter((flag): flag is ListedFlag => selected.has(flag.key) && !isBroken(flag)), [flags, selected]);
  const isFiltered = Object.keys(filter).length > 0;

  const showAll = () => {
    type("");
    void navigate({ search: {}, replace: true });
  };
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
      <FlagFilters typed={typed} onType={type} filter={inUrl} onChange={change} environments={environments}>
        {flags ? countWords(shown.length, flags.length, isWhole, isFiltered) : null}
      </FlagFilters>
      {error && !isWhole ? <ProblemAlert error={error} onRetry={() => void refetch()} /> : null}
      {/* Before the list for the keyboard, over its end for the eye. */}
      <Suspense>
        {chosen.length > 0 ? (
          <BulkBar project={project} flags={chosen} hidden={chosen.filter((flag) => !matches(flag, filter)).length} allTags={tagsOf(flags ?? [])} onSelect={select} />
        ) : null}
      </Suspense>
      {shown.length > 0 ? (
        <FlagTable project={project} flags={shown} isWhole={isWhole} environments={environments} tag={filter.tag} onChange={change} selected={selected} onSelect={select} />
      ) : isWhole ? (
        <Nothing isFiltered={isFiltered} onShowAll={showAll} />
      ) : error ? null : (
        <Loading what="Loading the flags" />
      )}
      <Suspense>{creating ? <NewFlag project={project} onClose={create.close} /> : null}</Suspense>
    </Page>
  );
}

function Nothing({ isFiltered, onShowAll }: { isFiltered: boolean; onShowAll(): void }) {
  return (
    <Card>
      {isFiltered ? (
        <Empty title="No flag matches">
          <Button variant="default" onClick={onShowAll}>
            Show all flags
          </Button>
        </Empty>
      ) : (
        <Empty title="No flags yet">
          <p>A flag starts off in every environment. Make one, ask for it in your application, then turn it on here.</p>
        </Empty>
      )}
    </Card>
  );
}

function tagsOf(flags: (ListedFlag | Broken)[]): string[] {
  return [...new Set(flags.flatMap((flag) => (isBroken(flag) ? [] : (flag.tags ?? []))))].toSorted();
}

/** Like “3 of 1,000 flags”; of a list that still comes, like “200 flags so far”. */
function countWords(n: number, all: number, isWhole: boolean, isFiltered: boolean): string {
  const of = isFiltered ? `${n.toLocaleString("en")} of ` : "";
  return `${of}${all.toLocaleString("en")} ${all === 1 ? "flag" : "flags"}${isWhole ? "" : " so far"}`;
}

import { useInfiniteQuery } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";

import { queries } from "../../api/queries";
import type { Broken, ListedFlag } from "../../api/types";

interface AllFlags {
  /** Those that have come so far; undefined before the first page. */
  data: (ListedFlag | Broken)[] | undefined;
  /** Whether that is all of them. */
  isWhole: boolean;
  error: Error | null;
  /** Reads on where an error stopped it. */
  refetch(): Promise<unknown>;
}

/** All flags of a project: the first page at once, the others as they come. */
export function useAllFlags(project: string): AllFlags {
  const { data: pages, error, hasNextPage, isFetching, fetchNextPage, refetch } = useInfiniteQuery(queries.allFlags(project));
  useEffect(() => {
    if (pages && hasNextPage && !isFetching && !error) void fetchNextPage();
    // `pages`, too: a fetch may be over before it was drawn that it had begun.
  }, [error, fetchNextPage, hasNextPage, isFetching, pages]);
  const data = useMemo(() => pages?.pages.flatMap(({ items }) => items), [pages]);
  return { data, isWhole: data !== undefined && !hasNextPage, error, refetch: hasNextPage ? fetchNextPage : refetch };
}

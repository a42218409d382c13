/** What is cached under which key, and how fresh it is kept. The stream invalidates; nothing polls without need. */

import { infiniteQueryOptions, queryOptions, QueryClient } from "@tanstack/react-query";

import { api } from "./client";
import { given } from "../lib/given";
import { isProblem } from "./problem";

/** As the server filters: see its list of the audit log. */
/** The stream tells of flags, not of who listens: SDKs that come and go are asked for this often. */
export const RECEIPTS_MS = 10_000;

export interface AuditFilter {
  project?: string;
  environment?: string;
  resource?: string;
  actor?: string;
  action?: string;
  since?: string;
  until?: string;
}

export const queries = {
  setup: () => queryOptions({ queryKey: ["setup"], queryFn: () => api.setupNeeded(), staleTime: 0 }),
  me: () => queryOptions({ queryKey: ["me"], queryFn: () => api.session(), staleTime: 5 * 60_000 }),
  projects: () => queryOptions({ queryKey: ["projects"], queryFn: () => api.projects() }),
  environments: (project: string) =>
    queryOptions({
      queryKey: ["project", project, "environments"],
      queryFn: () => api.environments(project),
    }),
  flag: (project: string, flag: string) =>
    queryOptions({ queryKey: ["project", project, "flag", flag], queryFn: () => api.flag(project, flag) }),
  config: (project: string, flag: string, environment: string) =>
    queryOptions({
      queryKey: ["project", project, "config", flag, environment],
      queryFn: () => api.config(project, flag, environment),
    }),
  keys: (project: string, environment: string) =>
    queryOptions({
      queryKey: ["project", project, "keys", environment],
      queryFn: () => api.keys(project, environment),
    }),
  rollout: (project: string, environment: string, rollout: string) =>
    queryOptions({
      queryKey: ["project", project, "rollout", environment, rollout],
      queryFn: () => api.rollout(project, environment, rollout),
    }),
  /** By pages, so that the first is there at once: `useAllFlags` reads on to the last. */
  allFlags: (project: string) =>
    infiniteQueryOptions({
      queryKey: ["project", project, "allFlags"],
      queryFn: ({ pageParam, signal }) => api.flags(project, given({ cursor: pageParam || undefined }), signal),
      initialPageParam: "",
      getNextPageParam: (page) => page.nextCursor ?? undefined,
    }),
  flagFile: (project: string, environment: string) =>
    queryOptions({
      queryKey: ["project", project, "flagFile", environment],
      queryFn: () => api.flagFile(project, environment),
    }),
  segments: (project: string, environment: string) =>
    queryOptions({
      queryKey: ["project", project, "segments", environment],
      queryFn: () => api.segments(project, environment),
    }),
  segment: (project: string, environment: string, segment: string) =>
    queryOptions({
      queryKey: ["project", project, "segment", environment, segment],
      queryFn: () => api.segment(project, environment, segment),
    }),
  members: (project: string) => queryOptions({ queryKey: ["project", project, "members"], queryFn: () => api.members(project) }),
  users: () => queryOptions({ queryKey: ["users"], queryFn: () => api.users() }),
  tokens: () => queryOptions({ queryKey: ["tokens"], queryFn: () => api.tokens() }),
  system: () => queryOptions({ queryKey: ["system"], queryFn: () => api.system() }),
  verification: () => queryOptions({ queryKey: ["verification"], queryFn: () => api.verifyAudit(), staleTime: Number.POSITIVE_INFINITY, retry: false }),
  insights: (project: string, flag: string, environment: string) =>
    queryOptions({
      queryKey: ["project", project, "insights", flag, environment],
      queryFn: () => api.insights(project, flag, environment),
    }),
  environmentInsights: (project: string, environment: string) =>
    queryOptions({
      queryKey: ["project", project, "environmentInsights", environment],
      queryFn: () => api.environmentInsights(project, environment),
    }),
  receipts: (project: string, environment: string) =>
    queryOptions({
      queryKey: ["project", project, "receipts", environment],
      queryFn: () => api.receipts(project, environment),
      refetchInterval: RECEIPTS_MS,
      retry: false,
    }),
  audit: (filter: AuditFilter, limit = 50) =>
    infiniteQueryOptions({
      queryKey: ["project", filter.project ?? "", "audit", given(filter), limit],
      queryFn: ({ pageParam, signal }) => api.audit({ ...given({ ...filter, cursor: pageParam || undefined }), limit }, signal),
      initialPageParam: "",
      getNextPageParam: (page) => page.nextCursor ?? undefined,
      placeholderData: (previous) => previous,
    }),
  /** One row of the log: rows never change. Null where the project has none of that number. */
  auditRow: (project: string, sequence: number) =>
    queryOptions({
      queryKey: ["auditRow", project, sequence],
      queryFn: async () => {
        try {
          const row = await api.auditRow(sequence);
          return row.project === project ? row : null;
        } catch (error) {
          if (isProblem(error, "not_found")) return null;
          throw error;
        }
      },
      staleTime: Number.POSITIVE_INFINITY,
    }),
};

/** A client whose reads are tried again only where that can help. */
export function createQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        staleTime: 30_000,
        refetchOnWindowFocus: true,
        retry: (failures, error) =>
          failures < 2 && !isProblem(error, "broken") && (!isProblem(error) || error.status === 0 || error.status >= 500),
      },
      mutations: { retry: false },
    },
  });
}

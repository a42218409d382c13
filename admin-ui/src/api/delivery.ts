/** What is asked of rollouts, their templates, metric sources and notification channels: apart from the client, as the first screen needs none of it. */

import { infiniteQueryOptions, queryOptions } from "@tanstack/react-query";

import { after, because, everything, ifMatch, limit, settled } from "./client";
import * as sdk from "./generated";
import type { Broken, ConfigPatch, Rollout } from "./types";

function readable<T extends object>(items: (T | Broken)[]): T[] {
  return items.filter((item): item is T => !("broken" in item));
}

export const deliveryApi = {
  /** All of an environment's, or of one flag there, newest first. */
  rollouts: (project: string, environment: string, flag?: string): Promise<Rollout[]> =>
    everything((cursor) =>
      settled(sdk.listRollouts({ path: { project, environment }, query: { limit, ...(flag ? { flag } : {}), ...after(cursor) } })),
    ).then((found) => found.toReversed()),
  /** Changes a flag that a rollout moves: the rollout ends, and begins anew with the changed flag. */
  restartWith: (project: string, environment: string, flag: string, version: number, patch: ConfigPatch, reason: string) =>
    settled(sdk.configureFlag({ path: { project, flag, environment }, headers: ifMatch(version), query: { restartRollout: true }, body: { ...patch, ...because(reason) } })),
  /** What `restartWith` would store; nothing is written. */
  previewRestart: (project: string, environment: string, flag: string, version: number, patch: ConfigPatch) =>
    settled(sdk.configureFlag({ path: { project, flag, environment }, headers: ifMatch(version), query: { restartRollout: true, dryRun: true }, body: patch })),
  previewRollout: (project: string, environment: string, body: sdk.PreviewRollout, signal: AbortSignal) =>
    settled(sdk.previewRollout({ path: { project, environment }, body, signal })),

  templates: (project: string) => settled(sdk.listRolloutTemplates({ path: { project }, query: { limit } })).then(({ items }) => readable(items)),
  createTemplate: (project: string, body: sdk.ReasonedCreateTemplate) => settled(sdk.createRolloutTemplate({ path: { project }, body })),
  updateTemplate: (project: string, template: string, version: number, body: sdk.ReasonedUpdateTemplate) =>
    settled(sdk.updateRolloutTemplate({ path: { project, template }, headers: ifMatch(version), body })),
  archiveTemplate: (project: string, template: string, version: number, reason: string) =>
    settled(sdk.archiveRolloutTemplate({ path: { project, template }, headers: ifMatch(version), query: because(reason) })),
  gatePresets: () => settled(sdk.listGatePresets()).then(({ items }) => items),
  expandPreset: (preset: string, body: sdk.ExpandPreset) => settled(sdk.expandGatePreset({ path: { preset }, body })).then(({ gates }) => gates),

  metricSources: (project: string) => settled(sdk.listMetricSources({ path: { project }, query: { limit } })).then(({ items }) => readable(items)),
  createMetricSource: (project: string, body: sdk.ReasonedCreateMetricSource) => settled(sdk.createMetricSource({ path: { project }, body })),
  updateMetricSource: (project: string, source: string, version: number, body: sdk.ReasonedUpdateMetricSource) =>
    settled(sdk.updateMetricSource({ path: { project, source }, headers: ifMatch(version), body })),
  archiveMetricSource: (project: string, source: string, version: number, reason: string) =>
    settled(sdk.archiveMetricSource({ path: { project, source }, headers: ifMatch(version), query: because(reason) })),
  testMetricSource: (project: string, source: string, query: string) => settled(sdk.testMetricSource({ path: { project, source }, body: { query } })),

  channels: (project: string) => settled(sdk.listChannels({ path: { project }, query: { limit } })).then(({ items }) => readable(items)),
  createChannel: (project: string, body: sdk.ReasonedCreateChannel) => settled(sdk.createChannel({ path: { project }, body })),
  updateChannel: (project: string, channel: string, version: number, body: sdk.ReasonedUpdateChannel) =>
    settled(sdk.updateChannel({ path: { project, channel }, headers: ifMatch(version), body })),
  archiveChannel: (project: string, channel: string, version: number, reason: string) =>
    settled(sdk.archiveChannel({ path: { project, channel }, headers: ifMatch(version), query: because(reason) })),
  changeChannelKey: (project: string, channel: string, version: number, reason: string) =>
    settled(sdk.changeChannelKey({ path: { project, channel }, headers: ifMatch(version), query: because(reason) })),
  testChannel: (project: string, channel: string) => settled(sdk.testChannel({ path: { project, channel } })),
  deliveries: (project: string, channel: string, cursor: string | undefined) =>
    settled(sdk.listDeliveries({ path: { project, channel }, query: { limit: 50, ...(cursor ? { cursor } : {}) } })),
  retryDelivery: (project: string, channel: string, delivery: string) => settled(sdk.retryDelivery({ path: { project, channel, delivery } })),

  /** When no rollout may raise a share in an environment. */
  setFreezes: (project: string, environment: string, version: number, freezes: sdk.RolloutWindow[], reason: string) =>
    settled(sdk.updateEnvironment({ path: { project, environment }, headers: ifMatch(version), body: { freezes, reason } })),
  project: (project: string) => settled(sdk.getProject({ path: { project } })),
  setOneRolloutAtATime: (project: string, version: number, oneRolloutAtATime: boolean, reason: string) =>
    settled(sdk.updateProject({ path: { project }, headers: ifMatch(version), body: { oneRolloutAtATime, reason } })),
  segmentKeys: (project: string, environment: string) =>
    settled(sdk.listSegments({ path: { project, environment }, query: { limit } })).then(({ items }) => items.map(({ key }) => key)),
};

export const deliveryQueries = {
  rollouts: (project: string, environment: string, flag?: string) =>
    queryOptions({
      queryKey: ["project", project, "rollouts", environment, flag ?? ""],
      queryFn: () => deliveryApi.rollouts(project, environment, flag),
    }),
  templates: (project: string) =>
    queryOptions({ queryKey: ["project", project, "templates"], queryFn: () => deliveryApi.templates(project) }),
  gatePresets: () => queryOptions({ queryKey: ["gatePresets"], queryFn: () => deliveryApi.gatePresets(), staleTime: Infinity }),
  metricSources: (project: string) =>
    queryOptions({ queryKey: ["project", project, "metricSources"], queryFn: () => deliveryApi.metricSources(project) }),
  channels: (project: string) =>
    queryOptions({ queryKey: ["project", project, "channels"], queryFn: () => deliveryApi.channels(project) }),
  deliveries: (project: string, channel: string) =>
    infiniteQueryOptions({
      queryKey: ["project", project, "deliveries", channel],
      queryFn: ({ pageParam }) => deliveryApi.deliveries(project, channel, pageParam || undefined),
      initialPageParam: "",
      getNextPageParam: (page) => page.nextCursor ?? undefined,
    }),
  project: (project: string) => queryOptions({ queryKey: ["project", project, "itself"], queryFn: () => deliveryApi.project(project) }),
  segmentKeys: (project: string, environment: string) =>
    queryOptions({ queryKey: ["project", project, "segmentKeys", environment], queryFn: () => deliveryApi.segmentKeys(project, environment) }),
};

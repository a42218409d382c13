import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";

import { deliveryApi } from "../../api/delivery";
import type { GateBaseline, RolloutSpec } from "../../api/types";
import type { Traffic } from "./PreviewPanel";
import { cleaned, isUnfinished } from "./specDraft";
import { isQuery } from "./rolloutWords";

const TYPING_MS = 400;

/** What is sent of the traffic: only what is said in full, of gates that there are. */
export function saidTraffic(spec: RolloutSpec, { unitsPerMinute, baselines }: Traffic): { unitsPerMinute?: number; baselines: Record<string, GateBaseline> } {
  const known = (spec.gates ?? []).filter((gate) => !isQuery(gate)).flatMap(({ key }): [string, GateBaseline][] => {
    const { rate, spread } = baselines[key] ?? {};
    return rate !== undefined && rate > 0 && rate <= 1 ? [[key, { rate, ...(spread === undefined ? {} : { spread }) }]] : [];
  });
  return { ...(unitsPerMinute !== undefined && unitsPerMinute > 0 ? { unitsPerMinute } : {}), baselines: Object.fromEntries(known) };
}

/** Asks what is to be expected, some time after the last change; refusals name the fields that are wrong. */
export function usePreview(project: string, environment: string, flag: string, spec: RolloutSpec, traffic: Traffic) {
  const wanted = JSON.stringify({ flag, spec: cleaned(spec), ...saidTraffic(spec, traffic) });
  const [body] = useDebouncedValue(wanted, TYPING_MS);
  const asked = useQuery({
    queryKey: ["rolloutPreview", project, environment, body],
    queryFn: ({ signal }) => deliveryApi.previewRollout(project, environment, JSON.parse(body), signal),
    placeholderData: keepPreviousData,
    enabled: body === wanted && !isUnfinished(spec),
    retry: false,
    gcTime: 60_000,
  });
  return { ...asked, pending: asked.isFetching || body !== wanted };
}

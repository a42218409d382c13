import { Button, Group, Menu, NativeSelect, SegmentedControl, Select, Stack, Switch, Text, Textarea, TextInput } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { memo, useMemo, useState, type KeyboardEvent } from "react";

import { deliveryApi, deliveryQueries } from "../../api/delivery";
import type { GatePreset, MetricSource, RolloutGate, RolloutSpec } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { PlusIcon } from "../../components/icons";
import { ProblemAlert } from "../../components/ProblemAlert";
import { TryQuery } from "../delivery/TryQuery";
import { DurationField, NumberField, ORDER, PercentField } from "./fields";
import { gateWords, isQuery, testOf } from "./rolloutWords";
import styles from "./Spec.module.css";
import { freeKey, gateChanged, gateRemoved, takesLimits, testChanged, within, type FieldErrors } from "./specDraft";
import { useStable } from "../../lib/useStable";

interface GatesProps {
  project: string;
  spec: RolloutSpec;
  errors: FieldErrors;
  onChange(spec: RolloutSpec): void;
}

/** What is watched. */
export function GatesEditor({ project, spec, errors, onChange }: GatesProps) {
  const gates = spec.gates ?? [];
  const sources = useQuery(deliveryQueries.metricSources(project)).data ?? NONE;
  const presets = useQuery(deliveryQueries.gatePresets()).data ?? [];
  const [preset, setPreset] = useState<GatePreset | null>(null);
  const set = useStable((index: number, gate: RolloutGate | null) => onChange(gate ? gateChanged(spec, index, gate) : gateRemoved(spec, index)));
  const add = (...added: RolloutGate[]) => {
    const all = [...gates];
    for (const gate of added) all.push({ ...gate, key: freeKey(gate.key, all) });
    onChange({ ...spec, gates: all });
  };
  return (
    <div className={styles.gates}>
      {gates.length === 0 ? (
        <Text size="sm" c="dimmed">
          None: a timed ramp. Add what must not happen more often, and harm ends the rollout by itself.
        </Text>
      ) : null}
      {gates.map((gate, index) => (
        // A gate's key is what is being written.
        // oxlint-disable-next-line react/no-array-index-key
        <Gate key={index} project={project} gate={gate} index={index} sources={sources} errors={errors} onSet={set} />
      ))}
      {errors("/gates") ? (
        <p role="alert" className={styles.error}>
          {errors("/gates")}
        </p>
      ) : null}
      <Group gap="xs">
        <Button size="compact-sm" variant="default" leftSection={<PlusIcon size={15} />} onClick={() => add({ key: "errors", metric: "" })}>
          Gate on events
        </Button>
        <Button size="compact-sm" variant="default" leftSection={<PlusIcon size={15} />} onClick={() => add({ key: "error-rate", source: sources[0]?.key ?? "", query: "", forMs: 300_000 })}>
          Gate on a metric source
        </Button>
        <Menu position="bottom-start">
          <Menu.Target>
            <Button size="compact-sm" variant="default" leftSection={<PlusIcon size={15} />}>
              From a preset
            </Button>
          </Menu.Target>
          <Menu.Dropdown>
            {presets.map((each) => (
              <Menu.Item key={each.key} onClick={() => setPreset(each)}>
                {each.name}
                <Text size="xs" c="dimmed">
                  {each.description}
                </Text>
              </Menu.Item>
            ))}
          </Menu.Dropdown>
        </Menu>
      </Group>
      {preset ? (
        <PresetDialog
          preset={preset}
          sources={sources}
          onClose={() => setPreset(null)}
          onDone={(made) => {
            add(...made);
            setPreset(null);
          }}
        />
      ) : null}
    </div>
  );
}

interface GateProps {
  project: string;
  gate: RolloutGate;
  index: number;
  sources: MetricSource[];
  /** Of the whole spec. */
  errors: FieldErrors;
  onSet(index: number, gate: RolloutGate | null): void;
}

const NONE: MetricSource[] = [];

const TESTS = [
  { value: "happened", label: "How many units" },
  { value: "mean", label: "Mean per unit" },
  { value: "ratio", label: "Mean of measurements" },
  { value: "quantile", label: "Quantile" },
];

const WORSE = [
  { value: "up", label: "More is worse" },
  { value: "down", label: "Less is worse" },
];

const SEVERITIES = [
  { value: "harm", label: "Harm: ends it" },
  { value: "signal", label: "Signal: holds it" },
];

const Gate = memo(function Gate({ project, gate, index, sources, errors: all, onSet }: GateProps) {
  const name = gate.key || "new gate";
  const errors = useMemo(() => within(all, `/gates/${index}`), [all, index]);
  const onChange = (next: RolloutGate) => onSet(index, next);
  return (
    <fieldset className={styles.gate} aria-label={`Gate ${name}`}>
      <div className={styles.gateHead}>
        <span className={styles.kind}>{isQuery(gate) ? "asks a source" : "on events"}</span>
        <Button size="compact-sm" variant="subtle" color="gray" onClick={() => onSet(index, null)} aria-label={`Remove gate ${name}`}>
          Remove
        </Button>
      </div>
      <div className={styles.fields}>
        <TextInput label="Key" value={gate.key} onChange={(event) => onChange({ ...gate, key: event.currentTarget.value })} error={errors("/key") ?? errors("")} />
        <NativeSelect label="Severity" value={gate.severity ?? "harm"} onChange={(event) => onChange({ ...gate, severity: event.currentTarget.value as "harm" | "signal" })} data={SEVERITIES} />
        {isQuery(gate) ? <QueryFields project={project} gate={gate} sources={sources} errors={errors} onChange={onChange} /> : <EventFields gate={gate} errors={errors} onChange={onChange} />}
      </div>
      {gate.metric || gate.query ? <p className={styles.says}>{gateWords(gate).join(" ")}</p> : null}
    </fieldset>
  );
});

interface FieldsProps {
  gate: RolloutGate;
  /** Of the gate. */
  errors: FieldErrors;
  onChange(gate: RolloutGate): void;
}

function EventFields({ gate, errors, onChange }: FieldsProps) {
  const test = testOf(gate);
  const limited = gate.limit !== undefined && gate.limit !== null;
  return (
    <>
      <TextInput label="Metric" inputWrapperOrder={ORDER} description="What the application tracks." placeholder="checkout-error" value={gate.metric ?? ""} onChange={(event) => onChange({ ...gate, metric: event.currentTarget.value })} error={errors("/metric")} />
      <NativeSelect label="What is compared" value={test} onChange={(event) => onChange(testChanged(gate, event.currentTarget.value as NonNullable<RolloutGate["test"]>))} data={TESTS} />
      {test === "happened" ? <NumberField label="Only values above" placeholder="All" value={gate.above} onChange={(above) => onChange({ ...gate, above: above ?? null })} error={errors("/above")} /> : null}
      {test === "mean" || test === "ratio" ? (
        <DurationField label="Watched for" description="After a unit’s first exposure." placeholder="10" value={gate.withinMs} onChange={(ms) => onChange({ ...gate, withinMs: ms ?? null })} error={errors("/withinMs")} />
      ) : null}
      {test === "quantile" ? <PercentField label="Quantile" description="95 % for the p95." value={gate.quantile} onChange={(quantile) => onChange({ ...gate, quantile: quantile ?? null })} error={errors("/quantile")} /> : null}
      <NativeSelect
        label="Direction"
        value={gate.worse ?? "up"}
        onChange={(event) => {
          const worse = event.currentTarget.value as "up" | "down";
          onChange(worse === "down" ? { ...gate, worse, limit: null, proof: null } : { ...gate, worse });
        }}
        data={WORSE}
      />
      <PercentField label="Margin" description="So much worse is no harm." placeholder="10 %" value={gate.margin} onChange={(margin) => onChange({ ...gate, margin: margin ?? null })} error={errors("/margin")} />
      <NumberField label="Weight" description="Beside the other gates." placeholder="1" value={gate.weight} onChange={(weight) => onChange({ ...gate, weight: weight ?? null })} error={errors("/weight")} />
      {takesLimits(gate) ? (
        <>
          <NumberField
            label="Proof"
            description="It must be proved to be less than so many times."
            placeholder="None"
            value={gate.proof}
            onChange={(proof) => onChange({ ...gate, proof: proof ?? null })}
            error={errors("/proof")}
          />
          <div className={styles.limit}>
            <Switch label="Absolute limit" checked={limited} onChange={(event) => onChange({ ...gate, limit: event.currentTarget.checked ? { share: 0.2, units: 20 } : null })} />
            {errors("/limit") ? (
              <p role="alert" className={styles.error}>
                {errors("/limit")}
              </p>
            ) : null}
            {gate.limit ? (
              <Group gap={8} wrap="nowrap" align="flex-start">
                <PercentField label="Of units" value={gate.limit.share} onChange={(share) => onChange({ ...gate, limit: { ...gate.limit, share: share ?? Number.NaN } })} error={errors("/limit/share")} />
                <NumberField label="At least" placeholder="20" value={gate.limit.units} onChange={(units) => onChange({ ...gate, limit: { share: gate.limit?.share ?? 0.2, ...(units === undefined ? {} : { units }) } })} error={errors("/limit/units")} />
              </Group>
            ) : null}
          </div>
        </>
      ) : null}
    </>
  );
}

function QueryFields({ project, gate, sources, errors, onChange }: FieldsProps & Pick<GateProps, "project" | "sources">) {
  const compares = typeof gate.controlQuery === "string";
  return (
    <>
      <Select
        label="Source"
        placeholder={sources.length === 0 ? "The project has none yet" : "Choose one"}
        data={[...new Set([...sources.map(({ key }) => key), ...(gate.source ? [gate.source] : [])])]}
        value={gate.source === "" ? null : (gate.source ?? null)}
        onChange={(source) => onChange({ ...gate, source: source ?? "" })}
        error={errors("/source")}
      />
      <div className={styles.wide}>
        <SegmentedControl
          size="xs"
          mb={8}
          aria-label="What the answer is held against"
          value={compares ? "control" : "absolute"}
          onChange={(value) => {
            const { min: _min, max: _max, controlQuery: _control, margin: _margin, worse: _worse, ...kept } = gate;
            onChange(value === "control" ? { ...kept, controlQuery: "" } : kept);
          }}
          data={[
            { value: "absolute", label: "Fixed bounds" },
            { value: "control", label: "What it says of control" },
          ]}
        />
        <Textarea label={compares ? "Query for treatment" : "Query"} description="PromQL, or the path of an HTTP source." autosize minRows={2} maxRows={8} classNames={{ input: styles.code ?? "" }} value={gate.query ?? ""} onChange={(event) => onChange({ ...gate, query: event.currentTarget.value })} error={errors("/query")} />
        {compares ? (
          <Textarea label="Query for control" mt={8} autosize minRows={2} maxRows={8} classNames={{ input: styles.code ?? "" }} value={gate.controlQuery ?? ""} onChange={(event) => onChange({ ...gate, controlQuery: event.currentTarget.value })} error={errors("/controlQuery")} />
        ) : null}
        {gate.source && gate.query ? <TryQuery key={`${gate.source} ${gate.query}`} project={project} source={gate.source} query={gate.query} /> : null}
      </div>
      {compares ? (
        <>
          <NativeSelect label="Direction" value={gate.worse ?? "up"} onChange={(event) => onChange({ ...gate, worse: event.currentTarget.value as "up" | "down" })} data={WORSE} />
          <PercentField label="Margin" placeholder="10 %" value={gate.margin} onChange={(margin) => onChange({ ...gate, margin: margin ?? null })} error={errors("/margin")} />
        </>
      ) : (
        <>
          <NumberField label="Harm above" placeholder="None" value={gate.max} onChange={(max) => onChange({ ...gate, max: max ?? null })} error={errors("/max")} />
          <NumberField label="Harm below" placeholder="None" value={gate.min} onChange={(min) => onChange({ ...gate, min: min ?? null })} error={errors("/min")} />
        </>
      )}
      <DurationField label="Beyond for" placeholder="at once" value={gate.forMs || undefined} onChange={(ms) => onChange({ ...gate, forMs: ms ?? null })} error={errors("/forMs")} />
      <DurationField label="Asked every" placeholder="15 s" value={gate.everyMs} onChange={(ms) => onChange({ ...gate, everyMs: ms ?? null })} error={errors("/everyMs")} />
    </>
  );
}

interface PresetProps {
  preset: GatePreset;
  sources: MetricSource[];
  onClose(): void;
  onDone(gates: RolloutGate[]): void;
}

/** Whether a person has to say it: it may have an empty word of its own. */
const isNeeded = ({ default: fallback }: GatePreset["parameters"][number]) => fallback === undefined || fallback === null;

/** Fills in the words that a preset leaves open. */
function PresetDialog({ preset, sources, onClose, onDone }: PresetProps) {
  const usable = sources.filter(({ kind }) => kind === "prometheus");
  const [source, setSource] = useState<string | null>(usable[0]?.key ?? null);
  const [words, setWords] = useState<Record<string, string>>({});
  const expand = useMutation({
    mutationFn: () => deliveryApi.expandPreset(preset.key, { source: source ?? "", parameters: Object.fromEntries(Object.entries(words).filter(([, word]) => word !== "")) }),
    onSuccess: onDone,
  });
  const isReady = source !== null && preset.parameters.every((parameter) => !isNeeded(parameter) || (words[parameter.name] ?? "").trim() !== "");
  const submitByEnter = ({ key }: KeyboardEvent) => {
    if (key === "Enter" && isReady) expand.mutate();
  };
  return (
    <Dialog onClose={onClose} size={560} title={preset.name}>
      {/* No form: in React's eyes, that of the page is around it. */}
      <Stack gap="sm">
        <Text size="sm">{preset.description} The gates that it makes can be changed like any other.</Text>
        {usable.length === 0 ? (
          <Text size="sm">The project has no metric source of kind prometheus yet: an administrator adds one under Delivery.</Text>
        ) : (
          <Select label="Source" data={usable.map(({ key, name }) => ({ value: key, label: name }))} value={source} onChange={setSource} />
        )}
        {preset.parameters.map((parameter) => {
          const { name, description, default: fallback } = parameter;
          return (
            <TextInput
              key={name}
              label={name}
              description={description}
              required={isNeeded(parameter)}
              placeholder={fallback ?? ""}
              value={words[name] ?? ""}
              onChange={(event) => {
                const word = event.currentTarget.value;
                setWords((all) => ({ ...all, [name]: word }));
              }}
              onKeyDown={submitByEnter}
            />
          );
        })}
        {expand.error ? <ProblemAlert error={expand.error} /> : null}
        <Group justify="flex-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button disabled={!isReady} loading={expand.isPending} onClick={() => expand.mutate()}>
            Add its gates
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

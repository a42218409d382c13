import { ActionIcon, Button, Checkbox, Group, MultiSelect, TagsInput } from "@mantine/core";
import { memo } from "react";

import type { RolloutGate, RolloutStep } from "../../api/types";
import { CloseIcon, PlusIcon } from "../../components/icons";
import { DurationField, NumberField, PercentField } from "./fields";
import { stepWords } from "./rolloutWords";
import styles from "./Spec.module.css";
import { replaced, stepAdded, without, type FieldErrors } from "./specDraft";
import { useStable } from "../../lib/useStable";

interface StepsProps {
  steps: RolloutStep[];
  gates: RolloutGate[];
  /** The environment's segments; empty where they are not known, as in a template. */
  segments: string[];
  errors: FieldErrors;
  onChange(steps: RolloutStep[]): void;
}

/** The steps, one below the other: each a share, and what must be before the next. */
export function StepsEditor({ steps, gates, segments, errors, onChange }: StepsProps) {
  const set = useStable((index: number, step: RolloutStep | null) => onChange(step ? replaced(steps, index, step) : without(steps, index)));
  // As text, so that a step is drawn anew for other keys only.
  const keys = gates.map(({ key }) => key).join("\n");
  return (
    <div>
      <ol className={styles.steps}>
        {steps.map((step, index) => (
          // Steps have no names, and every field holds what is given to it.
          // oxlint-disable-next-line react/no-array-index-key
          <Step
            key={index}
            step={step}
            index={index}
            only={steps.length === 1}
            gateKeys={keys}
            segments={segments}
            errors={errors}
            onSet={set}
          />
        ))}
      </ol>
      {errors("/steps") ? (
        <p role="alert" className={styles.error}>
          {errors("/steps")}
        </p>
      ) : null}
      <Group gap="xs">
        <Button size="compact-sm" variant="default" leftSection={<PlusIcon size={15} />} onClick={() => onChange(stepAdded(steps))}>
          Add a step
        </Button>
        {steps[0] && !(steps[0].share === 0 && !steps[0].segments?.length) ? (
          <Button size="compact-sm" variant="default" onClick={() => onChange([{ share: 0, bakeMs: 600_000 }, ...steps])}>
            Begin with an A/A bake
          </Button>
        ) : null}
      </Group>
    </div>
  );
}

interface StepProps {
  step: RolloutStep;
  index: number;
  only: boolean;
  gateKeys: string;
  segments: string[];
  errors: FieldErrors;
  onSet(index: number, step: RolloutStep | null): void;
}

const Step = memo(function Step({ step, index, only, gateKeys, segments, errors, onSet }: StepProps) {
  const gates = gateKeys.split("\n").filter((key, at, all) => key !== "" && all.indexOf(key) === at);
  const error = (field: string) => errors(`/steps/${index}${field}`);
  const onChange = (next: RolloutStep) => onSet(index, next);
  const name = `Step ${index + 1}`;
  const chosen = step.segments ?? [];
  const segmentError = error("/segments") ?? chosen.map((_, at) => error(`/segments/${at}`)).find((message) => message !== undefined);
  const gateError = (step.gates ?? []).map((_, at) => error(`/gates/${at}`)).find((message) => message !== undefined);
  const some = step.gates !== undefined && step.gates !== null;
  return (
    <li className={styles.step} aria-label={`${name}, ${stepWords({ ...step, share: Number.isFinite(step.share) ? step.share : 0 })}`}>
      <span className={styles.ordinal} aria-hidden="true">
        {index + 1}
      </span>
      <div className={styles.stepFields}>
        <PercentField
          label="Share"
          value={step.share / 100_000}
          onChange={(part) => onChange({ ...step, share: part === undefined ? Number.NaN : Math.round(part * 100_000) })}
          error={error("/share")}
        />
        <DurationField label="Bakes for" value={step.bakeMs} onChange={(ms) => onChange({ ...step, bakeMs: ms ?? Number.NaN })} error={error("/bakeMs")} />
        <NumberField label="Min. units" placeholder="1" value={step.minUnits || undefined} onChange={(minUnits) => onChange({ ...step, minUnits: minUnits ?? 0 })} error={error("/minUnits")} />
        {segments.length > 0 || chosen.length > 0 ? (
          <MultiSelect
            label="Segments"
            placeholder={chosen.length > 0 ? "" : "None"}
            data={[...new Set([...segments, ...chosen])]}
            value={chosen}
            onChange={(value) => onChange({ ...step, segments: value })}
            error={segmentError}
          />
        ) : (
          <TagsInput label="Segments" placeholder="None" value={chosen} onChange={(value) => onChange({ ...step, segments: value })} error={segmentError} />
        )}
        {gates.length > 0 ? (
          <MultiSelect
            label="Gates that count"
            placeholder={some ? (step.gates?.length ? "" : "None: timed") : "All"}
            data={gates}
            value={step.gates ?? []}
            onChange={(value) => onChange({ ...step, gates: value })}
            error={gateError}
            disabled={!some}
          />
        ) : null}
        <div className={styles.ticks}>
          <Checkbox label="A person approves next" checked={step.approval ?? false} onChange={(event) => onChange({ ...step, approval: event.currentTarget.checked })} />
          {gates.length > 0 ? (
            <Checkbox
              label="All gates count"
              checked={!some}
              onChange={(event) => {
                const { gates: _, ...rest } = step;
                onChange(event.currentTarget.checked ? rest : { ...rest, gates });
              }}
            />
          ) : null}
        </div>
      </div>
      <ActionIcon variant="subtle" color="gray" size="lg" aria-label={`Remove step ${index + 1}`} disabled={only} onClick={() => onSet(index, null)}>
        <CloseIcon size={16} />
      </ActionIcon>
    </li>
  );
});

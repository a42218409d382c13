import { ActionIcon, Autocomplete, Button, Checkbox, NativeSelect, Textarea } from "@mantine/core";
import { useState } from "react";

import type { Prerequisite, Target } from "../../api/types";
import { BinIcon, PlusIcon } from "../../components/icons";
import { useIssue, useSurroundings } from "./context";
import { replaced, same, without } from "./draft";
import styles from "./Targeting.module.css";

/** Targeting keys that get one variant whatever the rules say. */
export function Targets({ targets, onChange }: { targets: Target[]; onChange(targets: Target[]): void }) {
  const { flag } = useSurroundings();
  const free = flag.variants.find(({ key }) => !targets.some(({ variant }) => variant === key)) ?? flag.variants[0];
  return (
    <>
      {targets.map((target, place) => (
        <TargetFields key={place} target={target} at={`/targets/${place}`} place={place} onChange={(next) => onChange(replaced(targets, place, next))} onRemove={() => onChange(without(targets, place))} />
      ))}
      <div className={styles.adders}>
        <Button variant="default" size="compact-sm" leftSection={<PlusIcon size={13} />} onClick={() => onChange([...targets, { variant: free?.key ?? "", values: [] }])}>
          Units by name
        </Button>
      </div>
    </>
  );
}

interface TargetProps {
  target: Target;
  at: string;
  place: number;
  onChange(target: Target): void;
  onRemove(): void;
}

const linesOf = (text: string) => [...new Set(text.split("\n").map((line) => line.trim()))].filter((line) => line !== "");

function TargetFields({ target, at, place, onChange, onRemove }: TargetProps) {
  const { flag } = useSurroundings();
  const variantIssue = useIssue(`${at}/variant`);
  const valuesIssue = useIssue(`${at}/values`);
  const issue = useIssue(at, "at");
  // As typed, for as long as it says what is stored: blank lines are on the way to a next one.
  const [text, setText] = useState(() => target.values.join("\n"));
  // Keys that lines cannot say would be others after the next keystroke.
  const sayable = same(linesOf(target.values.join("\n")), target.values);
  const shown = same(linesOf(text), target.values) ? text : target.values.join("\n");
  return (
    <div className={styles.target}>
      <Textarea
        label={`Targeting keys, one a line${target.values.length > 3 ? ` (${target.values.length})` : ""}`}
        aria-label={`Targeting keys of list ${place + 1}`}
        autosize
        minRows={1}
        maxRows={8}
        spellCheck={false}
        value={shown}
        error={valuesIssue ?? issue}
        readOnly={!sayable}
        description={sayable ? undefined : "Some keys begin or end with spaces, hold line breaks, or come twice: edit them as JSON."}
        onChange={(event) => {
          setText(event.currentTarget.value);
          onChange({ ...target, values: linesOf(event.currentTarget.value) });
        }}
      />
      <NativeSelect
        label="get"
        aria-label={`Variant of list ${place + 1}`}
        data={[...new Set([...flag.variants.map(({ key }) => key), target.variant])]}
        value={target.variant}
        error={variantIssue}
        onChange={(event) => onChange({ ...target, variant: event.currentTarget.value })}
      />
      <ActionIcon variant="subtle" color="gray" size={36} aria-label={`Remove list ${place + 1}`} onClick={onRemove}>
        <BinIcon />
      </ActionIcon>
    </div>
  );
}

/** Other flags that have to serve something first. */
export function Prerequisites({ prerequisites, onChange }: { prerequisites: Prerequisite[]; onChange(prerequisites: Prerequisite[]): void }) {
  return (
    <>
      {prerequisites.map((prerequisite, place) => (
        <PrerequisiteFields
          key={place}
          prerequisite={prerequisite}
          at={`/prerequisites/${place}`}
          place={place}
          onChange={(next) => onChange(replaced(prerequisites, place, next))}
          onRemove={() => onChange(without(prerequisites, place))}
        />
      ))}
      <div className={styles.adders}>
        <Button variant="default" size="compact-sm" leftSection={<PlusIcon size={13} />} onClick={() => onChange([...prerequisites, { flag: "", variants: [] }])}>
          Prerequisite
        </Button>
      </div>
    </>
  );
}

interface PrerequisiteProps {
  prerequisite: Prerequisite;
  at: string;
  place: number;
  onChange(prerequisite: Prerequisite): void;
  onRemove(): void;
}

function PrerequisiteFields({ prerequisite, at, place, onChange, onRemove }: PrerequisiteProps) {
  const { flags } = useSurroundings();
  const flagIssue = useIssue(`${at}/flag`);
  const variantsIssue = useIssue(`${at}/variants`);
  const issue = useIssue(at, "at");
  const needed = flags.find(({ key }) => key === prerequisite.flag);
  const choices = [...new Set([...(needed?.variants.map(({ key }) => key) ?? []), ...prerequisite.variants])];
  return (
    <div className={styles.target}>
      <Autocomplete
        label="Flag"
        aria-label={`Flag of prerequisite ${place + 1}`}
        placeholder="another flag"
        data={flags.map(({ key }) => key)}
        limit={12}
        spellCheck={false}
        value={prerequisite.flag}
        error={flagIssue ?? issue}
        onChange={(flag) => {
          const variants = flags.find(({ key }) => key === flag)?.variants ?? [];
          const on = variants.filter(({ value }) => value === true).map(({ key }) => key);
          onChange(prerequisite.flag === flag ? prerequisite : { flag, variants: on });
        }}
      />
      <Checkbox.Group
        label="serves one of"
        value={prerequisite.variants}
        error={choices.length === 0 ? undefined : variantsIssue}
        onChange={(variants) => onChange({ ...prerequisite, variants })}
      >
        <div className={styles.checks}>
          {choices.map((variant) => (
            <Checkbox key={variant} value={variant} label={variant} />
          ))}
          {choices.length === 0 ? <span className={styles.dim}>Name the flag first</span> : null}
        </div>
      </Checkbox.Group>
      <ActionIcon variant="subtle" color="gray" size={36} aria-label={`Remove prerequisite ${place + 1}`} onClick={onRemove}>
        <BinIcon />
      </ActionIcon>
    </div>
  );
}

import { NativeSelect, Switch, Tabs, Textarea, TextInput } from "@mantine/core";
import { memo, useMemo, useState } from "react";

import type { RolloutOnHarm, RolloutSpec, RolloutWindow } from "../../api/types";
import { DurationField, ORDER } from "./fields";
import { GatesEditor } from "./GatesEditor";
import { DAY_MS } from "./rolloutWords";
import styles from "./Spec.module.css";
import { cleaned, localText, readSpec, within, type FieldErrors } from "./specDraft";
import { StepsEditor } from "./StepsEditor";
import { useStable } from "../../lib/useStable";
import { WindowsEditor } from "./WindowsEditor";

interface EditorProps {
  project: string;
  spec: RolloutSpec;
  segments: string[];
  errors: FieldErrors;
  onChange(spec: RolloutSpec): void;
}

const NONE: RolloutWindow[] = [];
const Windows = memo(WindowsEditor);

const ON_HARM = [
  { value: "rollBack", label: "Roll back" },
  { value: "kill", label: "Kill the flag" },
  { value: "hold", label: "Pause" },
];

const HARM_WORDS: Record<RolloutOnHarm, string> = {
  rollBack: "Everybody gets the old variant again.",
  kill: "Everybody gets the off variant, also those with a target or rule of their own.",
  hold: "The share stays, and a person decides.",
};

/** All that a rollout can be asked to do, as a form, and the same as JSON. */
export function SpecEditor({ project, spec, segments, errors, onChange }: EditorProps) {
  const [tab, setTab] = useState<string | null>("form");
  const windowErrors = useMemo(() => within(errors, "/windows"), [errors]);
  const setWindows = useStable((windows: RolloutWindow[]) => onChange({ ...spec, windows }));
  return (
    <Tabs value={tab} onChange={setTab} keepMounted={false}>
      <Tabs.List aria-label="How it is written">
        <Tabs.Tab value="form">Form</Tabs.Tab>
        <Tabs.Tab value="json">JSON</Tabs.Tab>
      </Tabs.List>
      <Tabs.Panel value="form" className={styles.form}>
        <section aria-labelledby="spec-steps">
          <h3 id="spec-steps">Steps</h3>
          <StepsEditor steps={spec.steps} gates={spec.gates ?? []} segments={segments} errors={errors} onChange={(steps) => onChange({ ...spec, steps })} />
        </section>
        <section aria-labelledby="spec-gates">
          <h3 id="spec-gates">Gates</h3>
          <GatesEditor project={project} spec={spec} errors={errors} onChange={onChange} />
        </section>
        <section aria-labelledby="spec-harm">
          <h3 id="spec-harm">On harm, and after the last step</h3>
          <div className={styles.pair}>
            <NativeSelect label="On harm" inputWrapperOrder={ORDER} description={HARM_WORDS[spec.onHarm ?? "rollBack"]} value={spec.onHarm ?? "rollBack"} onChange={(event) => onChange({ ...spec, onHarm: event.currentTarget.value as RolloutOnHarm })} data={ON_HARM} error={errors("/onHarm")} />
            <div>
              <Switch
                label="Guard: limits stay on after the last step, and kill the flag"
                checked={typeof spec.guardMs === "number"}
                onChange={(event) => onChange({ ...spec, guardMs: event.currentTarget.checked ? DAY_MS : null })}
                error={typeof spec.guardMs === "number" ? undefined : errors("/guardMs")}
                mb={8}
              />
              {typeof spec.guardMs === "number" ? <DurationField label="Guarded for" value={spec.guardMs} onChange={(ms) => onChange({ ...spec, guardMs: ms ?? Number.NaN })} error={errors("/guardMs")} /> : null}
            </div>
          </div>
        </section>
        <section aria-labelledby="spec-times">
          <h3 id="spec-times">When shares may rise</h3>
          <div className={styles.pair}>
            <TextInput
              label="Not before"
              description="By the clocks of here; empty: at once."
              type="datetime-local"
              value={localText(spec.startAt)}
              onChange={(event) => {
                const text = event.currentTarget.value;
                onChange({ ...spec, startAt: text === "" ? null : new Date(text).toISOString() });
              }}
              error={errors("/startAt")}
            />
          </div>
          <p className={styles.hint}>Within windows only; none: at any time. Rolling back, killing and completing need no window.</p>
          <Windows windows={spec.windows ?? NONE} what="window" errors={windowErrors} onChange={setWindows} />
          {errors("/windows") ? (
            <p role="alert" className={styles.error}>
              {errors("/windows")}
            </p>
          ) : null}
        </section>
      </Tabs.Panel>
      <Tabs.Panel value="json" className={styles.form}>
        <JsonSpec spec={spec} onChange={onChange} />
      </Tabs.Panel>
    </Tabs>
  );
}

function JsonSpec({ spec, onChange }: { spec: RolloutSpec; onChange(spec: RolloutSpec): void }) {
  const [text, setText] = useState(() => JSON.stringify(cleaned(spec), null, 2));
  const [wrong, setWrong] = useState<string | null>(null);
  return (
    <Textarea
      label="The spec"
      description="The same as in the form: what is changed here is there, too."
      autosize
      minRows={14}
      maxRows={36}
      spellCheck={false}
      classNames={{ input: styles.code ?? "" }}
      value={text}
      error={wrong}
      onChange={(event) => {
        const next = event.currentTarget.value;
        setText(next);
        const read = readSpec(next);
        setWrong("wrong" in read ? read.wrong : null);
        if ("spec" in read) onChange(read.spec);
      }}
    />
  );
}

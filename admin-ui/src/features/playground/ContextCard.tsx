import { ActionIcon, Button, NativeSelect, SegmentedControl, Textarea, TextInput } from "@mantine/core";
import { useId } from "react";

import { BinIcon, PlusIcon } from "../../components/icons";
import { contextOf, formOf, parseContext, type AskedFor, type AttributeRow, type AttributeType, type ContextForm } from "./context";
import styles from "./Playground.module.css";

/** What is being filled in: a form, or JSON text. */
export type ContextDraft = { form: ContextForm } | { text: string };

/** What a draft says; null while it says nothing that can be used. */
export function readDraft(draft: ContextDraft): Record<string, unknown> | null {
  if ("form" in draft) return contextOf(draft.form).context;
  const read = parseContext(draft.text);
  return typeof read === "string" ? null : read;
}

interface ContextProps {
  draft: ContextDraft;
  onChange(draft: ContextDraft): void;
  /** Attributes that are worth setting. */
  asked: AskedFor[];
}

const TYPES: { value: AttributeType; label: string }[] = [
  { value: "text", label: "Text" },
  { value: "number", label: "Number" },
  { value: "boolean", label: "True/false" },
  { value: "json", label: "JSON" },
];

/** Who asks: a targeting key with attributes, as a form or as JSON. */
export function ContextFields({ draft, onChange, asked }: ContextProps) {
  const id = useId();
  const context = readDraft(draft);
  const form = context === null ? null : formOf(context);
  const swap = (view: string) => {
    if (view === "json" && context !== null) onChange({ text: JSON.stringify(context, null, 2) });
    if (view === "form" && form !== null) onChange({ form });
  };
  return (
    <section aria-labelledby={id}>
      <div className={styles.cardHead}>
        <h2 id={id}>Context</h2>
        <SegmentedControl
          size="xs"
          aria-label="Fill in as"
          value={"form" in draft ? "form" : "json"}
          onChange={swap}
          data={[
            { value: "form", label: "Form", disabled: "text" in draft && form === null },
            { value: "json", label: "JSON" },
          ]}
        />
      </div>
      {"form" in draft ? (
        <Rows form={draft.form} onChange={(next) => onChange({ form: next })} asked={asked} />
      ) : (
        <Textarea
          label="Context as JSON"
          description="An object: targetingKey, and attributes."
          autosize
          minRows={6}
          maxRows={20}
          spellCheck={false}
          styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
          value={draft.text}
          onChange={(event) => onChange({ text: event.currentTarget.value })}
          error={context === null ? parseContext(draft.text) as string : form === null ? "The targeting key is no text: SDKs would not take it" : undefined}
        />
      )}
    </section>
  );
}

function Rows({ form, onChange, asked }: { form: ContextForm; onChange(form: ContextForm): void; asked: AskedFor[] }) {
  const { rows } = form;
  const { problems } = contextOf(form);
  const set = (at: number, row: Partial<AttributeRow>) => onChange({ ...form, rows: rows.map((each, index) => (index === at ? { ...each, ...row } : each)) });
  const unset = asked.filter(({ name }) => !rows.some((row) => row.name === name));
  const add = (row: AttributeRow) => onChange({ ...form, rows: [...rows, row] });
  return (
    <>
      <TextInput
        label="Targeting key"
        description="Who it is about: the unit that buckets are drawn for."
        placeholder="None: anonymous"
        spellCheck={false}
        value={form.targetingKey}
        onChange={(event) => onChange({ ...form, targetingKey: event.currentTarget.value })}
      />
      {rows.length > 0 ? (
        <ul className={styles.rows} aria-label="Attributes">
          {rows.map((row, at) => {
            const name = row.name === "" ? `attribute ${at + 1}` : row.name;
            return (
              <li key={at} className={styles.row}>
                <TextInput
                  aria-label={`Name of ${name}`}
                  placeholder="name"
                  spellCheck={false}
                  value={row.name}
                  onChange={(event) => set(at, { name: event.currentTarget.value })}
                />
                <NativeSelect
                  aria-label={`Type of ${name}`}
                  data={TYPES}
                  value={row.type}
                  onChange={(event) => {
                    const type = event.currentTarget.value as AttributeType;
                    set(at, { type, ...(type === "boolean" && row.value !== "true" ? { value: "false" } : {}) });
                  }}
                />
                <ActionIcon variant="subtle" color="gray" size={36} aria-label={`Remove ${name}`} onClick={() => onChange({ ...form, rows: rows.filter((_, index) => index !== at) })}>
                  <BinIcon />
                </ActionIcon>
                {row.type === "boolean" ? (
                  <NativeSelect className={styles.value} aria-label={`Value of ${name}`} data={["true", "false"]} value={row.value} error={problems[at]} onChange={(event) => set(at, { value: event.currentTarget.value })} />
                ) : (
                  <TextInput
                    className={styles.value}
                    aria-label={`Value of ${name}`}
                    placeholder={row.type === "json" ? '["a", "b"]' : "value"}
                    inputMode={row.type === "number" ? "decimal" : "text"}
                    spellCheck={false}
                    value={row.value}
                    error={problems[at]}
                    onChange={(event) => set(at, { value: event.currentTarget.value })}
                  />
                )}
              </li>
            );
          })}
        </ul>
      ) : null}
      <div className={styles.add}>
        <Button variant="default" size="xs" leftSection={<PlusIcon size={14} />} onClick={() => add({ name: "", type: "text", value: "" })}>
          Add an attribute
        </Button>
        {unset.length > 0 ? (
          <div className={styles.asked}>
            <span>Rules ask for</span>
            {unset.slice(0, 12).map(({ name, type }) => (
              <button key={name} type="button" className={styles.chip} onClick={() => add({ name, type, value: type === "boolean" ? "true" : "" })}>
                + {name}
              </button>
            ))}
          </div>
        ) : null}
      </div>
    </>
  );
}

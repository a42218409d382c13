import { ActionIcon, Button, Group, NativeSelect, SegmentedControl, Stack, Text, Textarea, TextInput } from "@mantine/core";
import { useState, type FormEvent } from "react";

import type { SegmentRule, Test } from "../../api/types";
import { CloseIcon, PlusIcon } from "../../components/icons";
import { conditionWords } from "../../lib/words";
import { parseMembers } from "./members";
import styles from "./Segments.module.css";

interface RulesProps {
  rules: SegmentRule[];
  disabled: boolean;
  onChange(rules: SegmentRule[]): void;
  /** What is wrong with the text, where it is; null where it can be saved. */
  onProblem(problem: string | null): void;
}

/** A rule list of a text, or what is wrong with it. The server has the last word on conditions. */
export function parseRules(text: string): SegmentRule[] | string {
  let value: unknown;
  try {
    value = JSON.parse(text.trim() === "" ? "[]" : text);
  } catch (error) {
    return `This is not JSON: ${error instanceof Error ? error.message : "it cannot be read"}`;
  }
  if (!Array.isArray(value)) return "Rules are a list: [ … ]";
  for (const [at, rule] of value.entries()) {
    const conditions = rule !== null && typeof rule === "object" ? (rule as Record<string, unknown>)["conditions"] : undefined;
    if (!Array.isArray(conditions)) return `Rule ${at + 1} has no list of conditions: {"conditions": [ … ]}`;
  }
  return value as SegmentRule[];
}

const textOf = (rules: SegmentRule[]) => (rules.length === 0 ? "[]" : JSON.stringify(rules, null, 2));

/** The rules in words, with a form for the plain ones, or as the JSON that is stored. */
export function RulesEditor({ rules, disabled, onChange, onProblem }: RulesProps) {
  const [view, setView] = useState("words");
  const [text, setText] = useState(textOf(rules));
  const [problem, setProblem] = useState<string | null>(null);
  // What came from elsewhere (a merge, the other view) is shown; what is being typed is not touched.
  const [shown, setShown] = useState(rules);
  if (shown !== rules) {
    setShown(rules);
    setText(textOf(rules));
    setProblem(null);
  }
  const type = (next: string) => {
    setText(next);
    const parsed = parseRules(next);
    const wrong = typeof parsed === "string" ? parsed : null;
    setProblem(wrong);
    onProblem(wrong);
    if (typeof parsed !== "string") {
      setShown(parsed);
      onChange(parsed);
    }
  };
  return (
    <>
      <Group justify="space-between" mb="sm">
        <Text size="sm" c="dimmed">
          A unit is in where one rule holds; all conditions of a rule have to.
        </Text>
        <SegmentedControl
          size="xs"
          aria-label="Show rules as"
          value={view}
          onChange={setView}
          data={[
            { value: "words", label: "Words" },
            { value: "json", label: "JSON" },
          ]}
        />
      </Group>
      {view === "json" ? (
        <Textarea
          aria-label="Rules as JSON"
          autosize
          minRows={6}
          maxRows={24}
          value={text}
          onChange={(event) => type(event.currentTarget.value)}
          error={problem}
          readOnly={disabled}
          spellCheck={false}
          styles={{ input: { fontFamily: "var(--mantine-font-family-monospace)", fontSize: 13 } }}
        />
      ) : problem ? (
        <Text size="sm" c="var(--mantine-color-error)" role="alert">
          {problem}. Set it right under JSON.
        </Text>
      ) : (
        <>
          {rules.length === 0 ? (
            <Text size="sm" c="dimmed" mb="sm">
              No rules: only those included by name are in.
            </Text>
          ) : null}
          <ol className={styles.rules}>
            {rules.map((rule, at) => (
              // oxlint-disable-next-line react/no-array-index-key -- rules have no ids: their place is what they are told by
              <li key={at}>
                <h3>Rule {at + 1}</h3>
                <ul>
                  {rule.conditions.length === 0 ? <li>everybody</li> : null}
                  {rule.conditions.map((condition, conditionAt) => (
                    // oxlint-disable-next-line react/no-array-index-key -- as above
                    <li key={conditionAt}>{conditionWords(condition)}</li>
                  ))}
                </ul>
                {disabled ? null : (
                  <ActionIcon variant="subtle" color="gray" size={28} className={styles.remove ?? ""} aria-label={`Remove rule ${at + 1}`} onClick={() => onChange(rules.toSpliced(at, 1))}>
                    <CloseIcon size={14} />
                  </ActionIcon>
                )}
              </li>
            ))}
          </ol>
          {disabled ? null : <AddRule onAdd={(condition) => onChange([...rules, { conditions: [condition] }])} />}
        </>
      )}
    </>
  );
}

const OPERATORS = [
  { value: "in", label: "is one of" },
  { value: "contains", label: "contains" },
  { value: "startsWith", label: "starts with" },
  { value: "endsWith", label: "ends with" },
  { value: "segment", label: "is in segment" },
];

/** The plain rules, of one condition on a text. */
function AddRule({ onAdd }: { onAdd(condition: Test): void }) {
  const [open, setOpen] = useState(false);
  const [attribute, setAttribute] = useState("");
  const [operator, setOperator] = useState("in");
  const [values, setValues] = useState("");
  const ofSegment = operator === "segment";
  const listed = parseMembers(values);
  const complete = listed.length > 0 && (ofSegment || attribute.trim() !== "");
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!complete) return;
    onAdd({ operator, values: listed, ...(ofSegment ? {} : { attribute: attribute.trim() }) } as Test);
    setOpen(false);
    setAttribute("");
    setValues("");
  };
  if (!open) {
    return (
      <Button size="xs" variant="default" leftSection={<PlusIcon size={14} />} onClick={() => setOpen(true)}>
        Add a rule
      </Button>
    );
  }
  return (
    <form onSubmit={submit} className={styles.addRule}>
      <Stack gap="xs">
        <Group gap="xs" align="end" grow preventGrowOverflow={false}>
          {ofSegment ? null : <TextInput label="Attribute" placeholder="plan" autoFocus value={attribute} onChange={(event) => setAttribute(event.currentTarget.value)} />}
          <NativeSelect label="Test" data={OPERATORS} value={operator} onChange={(event) => setOperator(event.currentTarget.value)} />
          <TextInput label={ofSegment ? "Segment keys" : "Values"} placeholder={ofSegment ? "staff" : "pro, team"} value={values} onChange={(event) => setValues(event.currentTarget.value)} />
        </Group>
        <Text size="xs" c="dimmed">
          Values are texts, with commas between them. Numbers, versions, dates and groups of conditions are written under JSON.
        </Text>
        <Group gap="xs">
          <Button size="xs" type="submit" disabled={!complete}>
            Add the rule
          </Button>
          <Button size="xs" variant="default" onClick={() => setOpen(false)}>
            Cancel
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

import { Group, SegmentedControl, Text, Textarea } from "@mantine/core";
import { useState } from "react";

import type { SegmentRule } from "../../api/types";
import { conditionWords } from "../../lib/words";
import { Issues } from "../targeting/Issues";
import type { Verdict } from "../targeting/verdict";
import { RuleForm } from "./RuleForm";
import styles from "./Segments.module.css";

interface RulesProps {
  rules: SegmentRule[];
  disabled: boolean;
  /** What compiling says of them; null where nothing does. */
  verdict: Verdict | null;
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

/** The rules as a form, in words for those who only read them, or as the JSON that is stored. */
export function RulesEditor({ rules, disabled, verdict, onChange, onProblem }: RulesProps) {
  const [view, setView] = useState("form");
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
            { value: "form", label: disabled ? "Words" : "Form" },
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
          {disabled ? <Words rules={rules} /> : <RuleForm rules={rules} onChange={onChange} />}
        </>
      )}
      {problem === null ? <Issues verdict={verdict} /> : null}
    </>
  );
}

function Words({ rules }: { rules: SegmentRule[] }) {
  return (
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
        </li>
      ))}
    </ol>
  );
}

import { ActionIcon, Autocomplete, Button, Checkbox, NativeSelect, TagsInput, TextInput } from "@mantine/core";
import { useState } from "react";

import type { Condition, Test } from "../../api/types";
import { BinIcon, PlusIcon } from "../../components/icons";
import { brief } from "../../lib/json";
import { membersOf, type GroupKind } from "../playground/traceWords";
import { useIssue, useSurroundings } from "./context";
import { CASED_OPERATORS, NEW_SEGMENT_TEST, NEW_TEST, replaced, valueKind, valuesFrom, withOperator, without, type ValueKind } from "./draft";
import styles from "./Targeting.module.css";

const OPERATORS = [
  {
    group: "Value",
    items: [
      { value: "in", label: "is one of" },
      { value: "exists", label: "is present" },
    ],
  },
  {
    group: "Text",
    items: [
      { value: "contains", label: "contains" },
      { value: "startsWith", label: "starts with" },
      { value: "endsWith", label: "ends with" },
      { value: "matches", label: "matches (regular expression)" },
    ],
  },
  {
    group: "Number",
    items: [
      { value: "lessThan", label: "<" },
      { value: "lessOrEqual", label: "≤" },
      { value: "greaterThan", label: ">" },
      { value: "greaterOrEqual", label: "≥" },
    ],
  },
  {
    group: "Version",
    items: [
      { value: "semverEqual", label: "is version" },
      { value: "semverLess", label: "is a version below" },
      { value: "semverLessOrEqual", label: "is at most version" },
      { value: "semverGreater", label: "is a version above" },
      { value: "semverGreaterOrEqual", label: "is at least version" },
    ],
  },
  {
    group: "Time and network",
    items: [
      { value: "before", label: "is before" },
      { value: "after", label: "is after" },
      { value: "inCidr", label: "is in network" },
    ],
  },
];

const KNOWN = new Set(OPERATORS.flatMap(({ items }) => items.map(({ value }) => value)));

/** What to type, by operator. */
const EXAMPLES: Record<string, string> = {
  before: "2026-12-24T18:00:00Z",
  after: "2026-12-24T18:00:00Z",
  inCidr: "10.0.0.0/8",
  matches: "^ada@",
};

const placeholderOf = ({ operator }: Test) => EXAMPLES[operator] ?? (operator.startsWith("semver") ? "4.2.0" : "Type, then Enter");

interface ConditionsProps {
  conditions: Condition[];
  onChange(conditions: Condition[]): void;
  /** The JSON Pointer of the list. */
  at: string;
  /** Whose they are, like “rule 2”. */
  of: string;
  /** How many groups are around them. */
  depth?: number;
}

/** How many groups the form puts into each other; the server takes more, as JSON. */
const DEPTH = 3;

/** Conditions, all of which are edited; what they are joined by is the caller's. */
export function Conditions({ conditions, onChange, at, of, depth = 0 }: ConditionsProps) {
  const { segments } = useSurroundings();
  const add = (condition: Condition) => onChange([...conditions, condition]);
  return (
    <>
      {conditions.length > 0 ? (
        <ul className={styles.conditions}>
          {conditions.map((condition, place) => (
            <li key={place} className={styles.condition}>
              <ConditionFields
                condition={condition}
                onChange={(next) => onChange(replaced(conditions, place, next))}
                at={`${at}/${place}`}
                name={`condition ${place + 1} of ${of}`}
                depth={depth}
              />
              <ActionIcon variant="subtle" color="gray" size={36} aria-label={`Remove condition ${place + 1} of ${of}`} onClick={() => onChange(without(conditions, place))}>
                <BinIcon />
              </ActionIcon>
            </li>
          ))}
        </ul>
      ) : null}
      <div className={styles.adders}>
        <Button variant="default" size="compact-sm" leftSection={<PlusIcon size={13} />} onClick={() => add(NEW_TEST)}>
          Condition
        </Button>
        <Button variant="subtle" size="compact-sm" leftSection={<PlusIcon size={13} />} onClick={() => add({ ...NEW_SEGMENT_TEST, values: segments.length === 1 ? segments : [] })}>
          Segment
        </Button>
        {depth < DEPTH ? (
          <Button variant="subtle" size="compact-sm" leftSection={<PlusIcon size={13} />} onClick={() => add({ any: [NEW_TEST] })}>
            Group
          </Button>
        ) : null}
      </div>
    </>
  );
}

interface ConditionProps {
  condition: Condition;
  onChange(condition: Condition): void;
  at: string;
  name: string;
  depth: number;
}

const groupOf = (kind: GroupKind, members: Condition[]): Condition => (kind === "any" ? { any: members } : kind === "all" ? { all: members } : { none: members });

function ConditionFields({ condition, onChange, at, name, depth }: ConditionProps) {
  const group = membersOf(condition);
  const issue = useIssue(at, "at");
  if (group) {
    const members = group.of as Condition[];
    return (
      <fieldset className={styles.group}>
        <legend className="visually-hidden">{name}, a group</legend>
        <NativeSelect
          aria-label={`How ${name} is joined`}
          data={[
            { value: "any", label: "At least one of" },
            { value: "all", label: "All of" },
            { value: "none", label: "None of" },
          ]}
          value={group.kind}
          error={issue}
          onChange={(event) => onChange(groupOf(event.currentTarget.value as GroupKind, members))}
        />
        <Conditions conditions={members} onChange={(next) => onChange(groupOf(group.kind, next))} at={`${at}/${group.kind}`} of={name} depth={depth + 1} />
      </fieldset>
    );
  }
  if (!("operator" in condition) || typeof condition.operator !== "string") {
    return (
      <div>
        <code>{brief(condition, 200)}</code>
        <p className={styles.issue}>{issue ?? "The form does not know this: edit it as JSON."}</p>
      </div>
    );
  }
  return condition.operator === "segment" ? (
    <SegmentFields test={condition} onChange={onChange} at={at} name={name} />
  ) : (
    <TestFields test={condition} onChange={onChange} at={at} name={name} />
  );
}

interface TestProps {
  test: Test;
  onChange(test: Test): void;
  at: string;
  name: string;
}

function SegmentFields({ test, onChange, at, name }: TestProps) {
  const { segments } = useSurroundings();
  const issue = useIssue(at);
  return (
    <div className={styles.test}>
      <NativeSelect
        aria-label={`Test of ${name}`}
        data={[
          { value: "", label: "is in segment" },
          { value: "not", label: "is not in segment" },
        ]}
        value={test.negate ? "not" : ""}
        onChange={(event) => onChange(negated(test, event.currentTarget.value === "not"))}
      />
      <TagsInput
        className={styles.wide}
        aria-label={`Segments of ${name}`}
        placeholder={(test.values ?? []).length === 0 ? "Choose segments" : ""}
        data={segments}
        value={(test.values ?? []).map(String)}
        error={issue}
        onChange={(values) => onChange({ ...test, values })}
      />
    </div>
  );
}

function negated({ negate: _, ...test }: Test, negate: boolean): Test {
  return negate ? { ...test, negate } : test;
}

function TestFields({ test, onChange, at, name }: TestProps) {
  const { attributes } = useSurroundings();
  const attributeIssue = useIssue(`${at}/attribute`);
  const operatorIssue = useIssue(`${at}/operator`);
  const valuesIssue = useIssue(`${at}/values`);
  const issue = useIssue(at, "at");
  const kind = valueKind(test);
  const { ignoreCase: _, ...exact } = test;
  return (
    <div className={styles.test}>
      <Autocomplete
        aria-label={`Attribute of ${name}`}
        placeholder="attribute"
        data={attributes}
        limit={12}
        spellCheck={false}
        value={test.attribute ?? ""}
        error={attributeIssue}
        onChange={(attribute) => onChange({ ...test, attribute })}
      />
      <NativeSelect
        aria-label={`Operator of ${name}`}
        data={KNOWN.has(test.operator) ? OPERATORS : [...OPERATORS, { group: "Not known", items: [{ value: test.operator, label: test.operator }] }]}
        value={test.operator}
        error={operatorIssue}
        onChange={(event) => onChange(withOperator(test, event.currentTarget.value))}
      />
      {kind === "nothing" ? null : <ValueFields test={test} kind={kind} onChange={onChange} name={name} error={valuesIssue ?? issue} />}
      <div className={styles.switches}>
        <Checkbox size="xs" label="Not" aria-label={`Negate ${name}`} checked={test.negate === true} onChange={(event) => onChange(negated(test, event.currentTarget.checked))} />
        {CASED_OPERATORS.has(test.operator) && kind === "text" ? (
          <Checkbox
            size="xs"
            label="Any case"
            aria-label={`Ignore the case in ${name}`}
            checked={test.ignoreCase === true}
            onChange={(event) => onChange(event.currentTarget.checked ? { ...test, ignoreCase: true } : exact)}
          />
        ) : null}
        {test.operator === "in" && kind !== "json" ? (
          <NativeSelect
            size="xs"
            aria-label={`Kind of values of ${name}`}
            data={[
              { value: "text", label: "Texts" },
              { value: "number", label: "Numbers" },
              { value: "boolean", label: "True or false" },
            ]}
            value={kind}
            onChange={(event) => onChange({ ...test, values: converted(test.values ?? [], event.currentTarget.value as ValueKind) })}
          />
        ) : null}
        {kind === "nothing" && issue ? <p className={styles.issue}>{issue}</p> : null}
      </div>
    </div>
  );
}

/** Values as another kind; where that is empty, something of that kind, so that the kind is remembered. */
function converted(values: unknown[], kind: ValueKind): unknown[] {
  if (kind === "boolean") return [true];
  const texts = values.map(String);
  if (kind === "text") return texts;
  const numbers = texts.map(Number).filter(Number.isFinite);
  return numbers.length === 0 ? [0] : numbers;
}

function ValueFields({ test, kind, onChange, name, error }: { test: Test; kind: ValueKind; onChange(test: Test): void; name: string; error: string | undefined }) {
  const values = test.values ?? [];
  if (kind === "json") return <JsonValues values={values} onChange={(next) => onChange({ ...test, values: next })} name={name} error={error} />;
  if (kind === "boolean") {
    return (
      <NativeSelect
        className={styles.wide}
        aria-label={`Values of ${name}`}
        data={["true", "false"]}
        value={String(values[0] ?? true)}
        error={error}
        onChange={(event) => onChange({ ...test, values: [event.currentTarget.value === "true"] })}
      />
    );
  }
  return (
    <TagsInput
      className={styles.wide}
      aria-label={`Values of ${name}`}
      placeholder={values.length === 0 ? placeholderOf(test) : ""}
      // A pattern may hold commas: `a{1,3}`.
      splitChars={test.operator === "matches" ? [] : [","]}
      value={values.map(String)}
      error={error}
      onChange={(texts) => onChange({ ...test, values: valuesFrom(texts, kind) })}
    />
  );
}

/** Values that are of several kinds, or of none that fields are for. */
function JsonValues({ values, onChange, name, error }: { values: unknown[]; onChange(values: unknown[]): void; name: string; error: string | undefined }) {
  const [text, setText] = useState<string | null>(null);
  const shown = text ?? JSON.stringify(values);
  return (
    <TextInput
      className={styles.wide}
      aria-label={`Values of ${name} as JSON`}
      spellCheck={false}
      value={shown}
      error={text === null ? error : "A list in JSON is needed"}
      onChange={(event) => {
        const typed = event.currentTarget.value;
        try {
          const read: unknown = JSON.parse(typed);
          setText(Array.isArray(read) ? null : typed);
          if (Array.isArray(read)) onChange(read);
        } catch {
          setText(typed);
        }
      }}
    />
  );
}

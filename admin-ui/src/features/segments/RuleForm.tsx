import { ActionIcon, Button } from "@mantine/core";

import type { SegmentRule } from "../../api/types";
import { CloseIcon, PlusIcon } from "../../components/icons";
import { Conditions } from "../targeting/Conditions";
import { useIssue } from "../targeting/context";
import { NEW_TEST } from "../targeting/draft";
import styles from "./Segments.module.css";

interface FormProps {
  rules: SegmentRule[];
  onChange(rules: SegmentRule[]): void;
}

/** Rules, each with the conditions that flags' rules have. */
export function RuleForm({ rules, onChange }: FormProps) {
  return (
    <>
      <ol className={styles.forms}>
        {rules.map((rule, at) => (
          // oxlint-disable-next-line react/no-array-index-key -- rules have no ids: their place is what they are told by
          <li key={at}>
            <Rule rule={rule} at={at} onChange={(next) => onChange(rules.with(at, next))} onRemove={() => onChange(rules.toSpliced(at, 1))} />
          </li>
        ))}
      </ol>
      <Button size="xs" variant="default" leftSection={<PlusIcon size={14} />} onClick={() => onChange([...rules, { conditions: [NEW_TEST] }])}>
        Add a rule
      </Button>
    </>
  );
}

interface RuleProps {
  rule: SegmentRule;
  at: number;
  onChange(rule: SegmentRule): void;
  onRemove(): void;
}

function Rule({ rule, at, onChange, onRemove }: RuleProps) {
  const issue = useIssue(`/rules/${at}`, "at");
  return (
    <>
      <h3>Rule {at + 1}</h3>
      <ActionIcon variant="subtle" color="gray" size={28} className={styles.remove ?? ""} aria-label={`Remove rule ${at + 1}`} onClick={onRemove}>
        <CloseIcon size={14} />
      </ActionIcon>
      {issue ? <p className={styles.issue}>{issue}</p> : null}
      <Conditions conditions={rule.conditions} onChange={(conditions) => onChange({ ...rule, conditions })} at={`/rules/${at}/conditions`} of={`rule ${at + 1}`} />
    </>
  );
}

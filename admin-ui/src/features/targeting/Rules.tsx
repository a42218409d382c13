import { ActionIcon, Button, TextInput } from "@mantine/core";
import { useState, type KeyboardEvent } from "react";

import type { Rule } from "../../api/types";
import { BinIcon, ChevronIcon, CopyIcon, DownIcon, PlusIcon, UpIcon, WarningIcon } from "../../components/icons";
import { conditionWords, serveWords } from "../../lib/words";
import { Matched } from "../flags/Matched";
import { Conditions } from "./Conditions";
import { useIssue, useSurroundings } from "./context";
import { duplicated, moved, NEW_TEST, replaced, without } from "./draft";
import { ServeFields } from "./ServeFields";
import styles from "./Targeting.module.css";

const idOf = (place: number, what: string) => `rule-${place}-${what}`;

/** Once what was changed is drawn. */
const focusOn = (place: number, what: string) => requestAnimationFrame(() => document.getElementById(idOf(place, what))?.focus());

/** Rules in their order, one of them open. */
export function Rules({ rules, onChange }: { rules: Rule[]; onChange(rules: Rule[]): void }) {
  const { flag } = useSurroundings();
  const [open, setOpen] = useState<number | null>(null);
  const [said, setSaid] = useState("");
  const move = (from: number, to: number, what: "up" | "down") => {
    if (to < 0 || to >= rules.length) return;
    onChange(moved(rules, from, to));
    setOpen(open === from ? to : open === to ? from : open);
    setSaid(`Rule ${from + 1} is now rule ${to + 1} of ${rules.length}`);
    // The focus goes with the rule, to a button that can still move it.
    const end = what === "up" ? to === 0 : to === rules.length - 1;
    const next = end ? (what === "up" ? "down" : "up") : what;
    focusOn(to, next);
  };
  const duplicate = (place: number) => {
    onChange(duplicated(rules, place));
    setOpen(place + 1);
    setSaid(`Rule ${place + 1} duplicated: the copy is rule ${place + 2} of ${rules.length + 1}`);
    focusOn(place + 1, "toggle");
  };
  return (
    <>
      <ol className={styles.rules}>
        {rules.map((rule, place) => (
          <RuleCard
            key={place}
            rule={rule}
            place={place}
            last={place === rules.length - 1}
            open={open === place}
            onToggle={() => setOpen(open === place ? null : place)}
            onChange={(next) => onChange(replaced(rules, place, next))}
            onMove={(by) => move(place, place + by, by < 0 ? "up" : "down")}
            onDuplicate={() => duplicate(place)}
            onRemove={() => {
              onChange(without(rules, place));
              setOpen(open === null || open === place ? null : open > place ? open - 1 : open);
              setSaid(`Rule ${place + 1} removed`);
            }}
          />
        ))}
      </ol>
      <div className={styles.adders}>
        <Button
          variant="default"
          size="compact-sm"
          leftSection={<PlusIcon size={13} />}
          onClick={() => {
            onChange([...rules, { conditions: [NEW_TEST], serve: { variant: flag.variants[0]?.key ?? "" } }]);
            setOpen(rules.length);
          }}
        >
          Rule
        </Button>
      </div>
      <span className="visually-hidden" role="status">
        {said}
      </span>
    </>
  );
}

interface RuleProps {
  rule: Rule;
  place: number;
  last: boolean;
  open: boolean;
  onToggle(): void;
  onChange(rule: Rule): void;
  onMove(by: -1 | 1): void;
  onDuplicate(): void;
  onRemove(): void;
}

function RuleCard({ rule, place, last, open, onToggle, onChange, onMove, onDuplicate, onRemove }: RuleProps) {
  const at = `/rules/${place}`;
  const number = place + 1;
  const inside = useIssue(at);
  const idIssue = useIssue(`${at}/id`);
  const issue = useIssue(at, "at");
  const { project, environment, flag } = useSurroundings();
  const conditions = rule.conditions ?? [];
  const keys = (event: KeyboardEvent) => {
    if (!event.altKey || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
    event.preventDefault();
    onMove(event.key === "ArrowUp" ? -1 : 1);
  };
  return (
    <li className={styles.rule} data-wrong={inside !== undefined || undefined}>
      <div className={styles.ruleHead}>
        <button type="button" id={idOf(place, "toggle")} className={styles.ruleToggle} aria-expanded={open} aria-controls={idOf(place, "body")} aria-keyshortcuts="Alt+ArrowUp Alt+ArrowDown" onClick={onToggle} onKeyDown={keys}>
          <ChevronIcon size={16} />
          <span>
            <strong>
              Rule {number}
              {rule.id ? ` · ${rule.id}` : ""}
            </strong>
            {open ? null : (
              <span className={styles.summary}>
                {conditions.length === 0 ? "everybody" : conditions.map(conditionWords).join(" and ")} → {serveWords(rule.serve)}
              </span>
            )}
          </span>
          {inside === undefined ? null : (
            <span className={styles.wrong}>
              <WarningIcon size={15} /> <span>{open ? "" : "to fix"}</span>
            </span>
          )}
        </button>
        <ActionIcon id={idOf(place, "up")} variant="subtle" color="gray" size={32} aria-label={`Move rule ${number} up`} title="Alt + ↑" disabled={place === 0} onClick={() => onMove(-1)} onKeyDown={keys}>
          <UpIcon size={16} />
        </ActionIcon>
        <ActionIcon id={idOf(place, "down")} variant="subtle" color="gray" size={32} aria-label={`Move rule ${number} down`} title="Alt + ↓" disabled={last} onClick={() => onMove(1)} onKeyDown={keys}>
          <DownIcon size={16} />
        </ActionIcon>
        <ActionIcon variant="subtle" color="gray" size={32} aria-label={`Duplicate rule ${number}`} onClick={onDuplicate}>
          <CopyIcon size={16} />
        </ActionIcon>
        <ActionIcon variant="subtle" color="gray" size={32} aria-label={`Remove rule ${number}`} onClick={onRemove}>
          <BinIcon size={16} />
        </ActionIcon>
      </div>
      <div id={idOf(place, "body")} hidden={!open} className={styles.ruleBody}>
        {open ? (
          <>
            {issue ? <p className={styles.issue}>{issue}</p> : null}
            <Matched project={project} flag={flag.key} environment={environment} rule={rule.id} />
            <div>
              <h4>{conditions.length === 0 ? "For everybody" : conditions.length === 1 ? "If this holds" : "If all of these hold"}</h4>
              <Conditions conditions={conditions} onChange={(next) => onChange({ ...rule, conditions: next })} at={`${at}/conditions`} of={`rule ${number}`} />
            </div>
            <ServeFields serve={rule.serve} onChange={(serve) => onChange({ ...rule, serve })} at={`${at}/serve`} of={`rule ${number}`} />
            <details className={styles.more} open={idIssue !== undefined || undefined}>
              <summary>Name of the rule</summary>
              <TextInput
                aria-label={`Name of rule ${number}`}
                description="Evaluations and the audit log call it so. Empty: the server names it."
                spellCheck={false}
                value={rule.id ?? ""}
                error={idIssue}
                onChange={(event) => onChange({ ...rule, id: event.currentTarget.value.trim() || undefined })}
              />
            </details>
          </>
        ) : null}
      </div>
    </li>
  );
}

import { Button, Group, Radio, Stack, Text } from "@mantine/core";
import { useState } from "react";

import type { Prerequisite, Rule, Serve, Target } from "../../api/types";
import { Dialog } from "../../components/Dialog";
import { brief, canonical } from "../../lib/json";
import { conditionWords, serveWords } from "../../lib/words";
import type { Targeting } from "./draft";
import { merge, piecesOf, type Piece, type Side } from "./merge";
import styles from "./Targeting.module.css";

interface MergeProps {
  /** What the draft was made from. */
  base: Targeting;
  /** What is stored now. */
  theirs: Targeting;
  version: number;
  mine: Targeting;
  onClose(): void;
  onMerged(merged: Targeting): void;
}

/** Their change and ours next to what both began with: each part is chosen, and nothing is lost. */
export function MergeDialog({ base, theirs, version, mine, onClose, onMerged }: MergeProps) {
  const [choices, setChoices] = useState<Record<string, Side>>({});
  const pieces = piecesOf(base, theirs, mine);
  const open = pieces.filter(({ id, from }) => from === null && choices[id] === undefined);
  return (
    <Dialog onClose={onClose} size={880} title="Put both changes together">
      <Stack gap="md">
        <Text size="sm">
          Somebody saved version {version} while you were editing. {pieces.length === 0 ? "They changed nothing that you see here differently." : "Choose for each part; what only one of you changed is chosen already."} Nothing is saved yet.
        </Text>
        {pieces.map((piece) => (
          <PieceFields key={piece.id} piece={piece} side={choices[piece.id] ?? piece.from} onChoose={(side) => setChoices({ ...choices, [piece.id]: side })} />
        ))}
        <Group justify="flex-end">
          <span role="status" className={styles.dim}>
            {open.length > 0 ? `${open.length} still to choose` : ""}
          </span>
          <Button variant="default" onClick={onClose}>
            Not now
          </Button>
          <Button disabled={open.length > 0} onClick={() => onMerged(merge(base, theirs, mine, choices))}>
            Go on with this
          </Button>
        </Group>
      </Stack>
    </Dialog>
  );
}

function PieceFields({ piece: { id, title, base, theirs, mine, from }, side, onChoose }: { piece: Piece; side: Side | null; onChoose(side: Side): void }) {
  const note = from === null ? "both changed it" : from === "mine" ? "only you changed it" : "only they changed it";
  return (
    <Radio.Group
      className={styles.piece}
      label={
        <>
          {title} <span className={styles.note}>{note}</span>
        </>
      }
      value={side ?? ""}
      onChange={(value) => onChoose(value as Side)}
    >
      <div className={styles.sides}>
        <div className={styles.side}>
          <strong>Before</strong>
          <Words id={id} value={base} />
        </div>
        <div className={styles.side} data-chosen={side === "theirs" || undefined}>
          <Radio value="theirs" label="Theirs" />
          <Words id={id} value={theirs} />
        </div>
        <div className={styles.side} data-chosen={side === "mine" || undefined}>
          <Radio value="mine" label="Yours" />
          <Words id={id} value={mine} />
        </div>
      </div>
    </Radio.Group>
  );
}

function Words({ id, value }: { id: string; value: unknown }) {
  const lines = wordsOf(id, value);
  return (
    <>
      {lines.length === 0 ? <p className={styles.dim}>nothing</p> : lines.map((line, at) => <p key={at}>{line}</p>)}
      {value === undefined ? null : (
        <details className={styles.more}>
          <summary>As JSON</summary>
          <pre>{canonical(value)}</pre>
        </details>
      )}
    </>
  );
}

const ruleWords = (rule: Rule) => `${(rule.conditions ?? []).map(conditionWords).join(" and ") || "everybody"} → ${serveWords(rule.serve)}`;

function wordsOf(id: string, value: unknown): string[] {
  if (value === undefined) return [];
  switch (id) {
    case "prerequisites":
      return (value as Prerequisite[]).map(({ flag, variants }) => `${flag} serves ${variants.join(" or ")}`);
    case "targets":
      return (value as Target[]).map(({ variant, values }) => `${values.slice(0, 6).map((each) => brief(each, 40)).join(", ")}${values.length > 6 ? ` and ${values.length - 6} more` : ""} → ${variant}`);
    case "default":
      return [`→ ${serveWords(value as Serve)}`];
    case "rules":
      return (value as Rule[]).map(ruleWords);
    case "rules order":
      return [(value as string[]).map((name) => name.replace(/^rule /, "")).join(", ")];
    default:
      return [ruleWords(value as Rule)];
  }
}

import { Text } from "@mantine/core";
import { useMemo } from "react";

import diff from "../../components/Diff.module.css";
import { diffLines, fold, type DiffLine } from "../../lib/json";
import styles from "./Audit.module.css";

export interface SideRow {
  before: DiffLine | null;
  after: DiffLine | null;
}

/** Lines next to each other: what went next to what came, the same next to the same. */
export function paired(lines: DiffLine[]): SideRow[] {
  const rows: SideRow[] = [];
  let removed: DiffLine[] = [];
  let added: DiffLine[] = [];
  const flush = () => {
    for (let at = 0; at < Math.max(removed.length, added.length); at++) rows.push({ before: removed[at] ?? null, after: added[at] ?? null });
    [removed, added] = [[], []];
  };
  for (const line of lines) {
    if (line.kind === "removed") removed.push(line);
    else if (line.kind === "added") added.push(line);
    else {
      flush();
      rows.push({ before: line, after: line });
    }
  }
  flush();
  return rows;
}

const BEFORE_AFTER: [string, string] = ["Before", "After"];

/** What differs between two values, before on the left and after on the right. */
export function SideDiff({ before, after, label, titles = BEFORE_AFTER }: { before: unknown; after: unknown; label: string; titles?: [string, string] }) {
  const parts = useMemo(() => fold(diffLines(before, after)), [before, after]);
  if (parts.every((part) => "hidden" in part)) {
    return (
      <Text size="sm" c="dimmed">
        Nothing differs.
      </Text>
    );
  }
  return (
    <section className={diff.diff} aria-label={label} tabIndex={0}>
      <table className={styles.sides}>
        <thead>
          <tr>
            <th scope="col">{titles[0]}</th>
            <th scope="col">{titles[1]}</th>
          </tr>
        </thead>
        <tbody>
          {parts.map((part, at) =>
            "hidden" in part ? (
              <tr key={at}>
                <td colSpan={2} className={diff.hidden}>
                  {part.hidden === 1 ? "1 equal line" : `${part.hidden} equal lines`}
                </td>
              </tr>
            ) : (
              paired(part.lines).map((row, rowAt) => (
                <tr key={`${at}.${rowAt}`}>
                  <Side line={row.before} sign="−" word="removed: " />
                  <Side line={row.after} sign="+" word="added: " />
                </tr>
              ))
            ),
          )}
        </tbody>
      </table>
    </section>
  );
}

function Side({ line, sign, word }: { line: DiffLine | null; sign: string; word: string }) {
  const changed = line !== null && line.kind !== "same";
  return (
    <td className={diff.line} data-kind={line?.kind ?? "none"}>
      <span className={diff.sign} aria-hidden="true">
        {changed ? sign : " "}
      </span>
      {changed ? <span className="visually-hidden">{word}</span> : null}
      {line?.text}
    </td>
  );
}

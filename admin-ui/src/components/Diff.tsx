import { Text } from "@mantine/core";
import { useMemo } from "react";

import { diffLines, fold } from "../lib/json";
import styles from "./Diff.module.css";

const SIGNS = { same: " ", removed: "−", added: "+" };
const WORDS = { same: "", removed: "removed: ", added: "added: " };

/** What differs between the canonical forms of two values, line by line. */
export function Diff({ before, after, label }: { before: unknown; after: unknown; label: string }) {
  const lines = useMemo(() => diffLines(before, after), [before, after]);
  if (lines.every((line) => line.kind === "same")) {
    return (
      <Text size="sm" c="dimmed">
        Nothing differs.
      </Text>
    );
  }
  return (
    // A region that scrolls has to take the keyboard's focus.
    <section className={styles.diff} aria-label={label} tabIndex={0}>
      <div className={styles.lines}>
        {fold(lines).map((part, at) =>
          "hidden" in part ? (
            <div key={at} className={styles.hidden}>
              {part.hidden === 1 ? "1 equal line" : `${part.hidden} equal lines`}
            </div>
          ) : (
            part.lines.map((line, lineAt) => (
              <div key={`${at}.${lineAt}`} className={styles.line} data-kind={line.kind}>
                <span className={styles.sign} aria-hidden="true">
                  {SIGNS[line.kind]}
                </span>
                <span className="visually-hidden">{WORDS[line.kind]}</span>
                {line.text}
              </div>
            ))
          ),
        )}
      </div>
    </section>
  );
}

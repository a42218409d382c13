import type { ReactNode } from "react";

import styles from "./Tag.module.css";

export type TagTone = "good" | "warn" | "bad" | "plain" | "outline";

/** A word about a state. The tone only repeats what it says. */
export function Tag({ tone, large = false, children }: { tone: TagTone; large?: boolean; children: ReactNode }) {
  return (
    <span className={styles.tag} data-tone={tone} data-large={large || undefined}>
      {children}
    </span>
  );
}

/** A sentence of the server's: what is in backticks is code. */
export function Said({ children }: { children: string }) {
  return children.split("`").map((part, index) =>
    // oxlint-disable-next-line react/no-array-index-key -- parts of one sentence
    index % 2 === 1 ? <code key={index}>{part}</code> : part,
  );
}

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

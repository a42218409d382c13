import { Switch, Tooltip } from "@mantine/core";
import type { CSSProperties, ReactNode } from "react";

import { KillIcon } from "../../components/icons";
import type { StateWords } from "../../lib/words";
import styles from "./Basin.module.css";

interface BasinProps {
  /** Names the switch, like “new-checkout in Production”. */
  name: string;
  words: StateWords;
  enabled: boolean;
  /** A change of it is on its way to the server. */
  busy: boolean;
  /** Why the switch cannot be used; null where it can. */
  refusal: string | null;
  onToggle(): void;
  /** Below the words. */
  children?: ReactNode;
}

/** A flag in an environment: a switch, its state in words, and water that stands as high as the flag is on. */
export function Basin({ name, words, enabled, busy, refusal, onToggle, children }: BasinProps) {
  const label = busy ? "Saving…" : words.label;
  const before = busy ? "" : words.before;
  const why = words.tone === "killed" ? "Killed: restore it first" : refusal;
  return (
    <div className={styles.basin} data-tone={words.tone} style={{ "--level": words.level } as CSSProperties}>
      <span className={styles.water} aria-hidden="true" />
      <div className={styles.content}>
        {words.tone === "killed" ? (
          <Tooltip label={why}>
            <span className={styles.killed}>
              <KillIcon size={20} />
            </span>
          </Tooltip>
        ) : (
          <Tooltip label={why} disabled={why === null}>
            {/* A disabled control tells nobody why: this one stays in the order of the keyboard, and says. */}
            <Switch
              checked={enabled}
              onChange={why === null && !busy ? onToggle : () => {}}
              aria-label={`${name}: ${label}${before === "" ? "" : `, ${before}`}${why === null ? "" : `. ${why}`}`}
              aria-disabled={why !== null || undefined}
              data-busy={busy || undefined}
              size="sm"
              color="var(--tg-switch)"
              withThumbIndicator={false}
              styles={why === null ? {} : { track: { opacity: 0.55, cursor: "not-allowed" } }}
            />
          </Tooltip>
        )}
        <span className={styles.label}>
          {label}
          {before === "" ? null : <small>{before}</small>}
          {children}
        </span>
      </div>
    </div>
  );
}

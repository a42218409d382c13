import { Tooltip } from "@mantine/core";

import { useLive } from "../features/environments/live";
import { clockTime } from "../lib/time";
import styles from "./LiveChip.module.css";

/** Whether what the page shows is what the server has. */
export function LiveChip() {
  const { health, stale, retryNow } = useLive();
  if (!health) return null;
  if (health.phase === "live") {
    return (
      <Tooltip label="Changes by anybody show here within milliseconds, over the stream that SDKs use.">
        <span className={styles.chip} data-phase="live" role="status" tabIndex={0}>
          <span className={styles.dot} />
          Live
        </span>
      </Tooltip>
    );
  }
  const text = stale
    ? `Stale since ${clockTime(health.since)}`
    : health.phase === "connecting"
      ? "Connecting…"
      : "Reconnecting…";
  return (
    <Tooltip label="The stream is down: what you see may be old. Click to try now.">
      <button type="button" className={styles.chip} data-phase={stale ? "stale" : health.phase} onClick={retryNow}>
        <span className={styles.dot} />
        <span role="status">{text}</span>
      </button>
    </Tooltip>
  );
}

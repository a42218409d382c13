import type { Environment } from "../api/types";
import styles from "./EnvironmentName.module.css";
import { LockIcon } from "./icons";

const SAFE_COLOR = /^#[0-9a-fA-F]{3,8}$/;

/** An environment's name with its color, and in words that it is production. */
export function EnvironmentName({ environment }: { environment: Pick<Environment, "key" | "name" | "production" | "color"> }) {
  const name = environment.name || environment.key;
  const color = environment.color && SAFE_COLOR.test(environment.color) ? environment.color : undefined;
  return (
    <span className={styles.name}>
      <span className={styles.dot} style={color ? { background: color } : undefined} />
      <span className={styles.text}>{name}</span>
      {environment.production ? (
        <span className={styles.production}>
          <LockIcon size={12} />
          {/* The name may have said it already; the lock says that changes are confirmed first. */}
          <span className={/production/i.test(name) ? "visually-hidden" : undefined}>production</span>
        </span>
      ) : null}
    </span>
  );
}

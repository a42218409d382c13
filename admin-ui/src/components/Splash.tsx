import { Anchor } from "@mantine/core";

import { Loading } from "./Loading";
import { Logo } from "./Logo";
import { ProblemAlert } from "./ProblemAlert";
import styles from "./Splash.module.css";

/** The whole window, while there is nothing to show yet, or nothing to be had. */
export function Splash({ error, onRetry, home }: { error?: unknown; onRetry?: () => void; home?: boolean }) {
  return (
    <main className={styles.splash}>
      <Logo size={44} />
      {error ? (
        <div className={styles.box}>
          <ProblemAlert error={error} {...(onRetry ? { onRetry } : {})} />
          {home ? (
            <Anchor href="/" size="sm" mt="md" display="inline-block">
              To the first page
            </Anchor>
          ) : null}
        </div>
      ) : (
        <Loading size="sm" what="Loading" />
      )}
    </main>
  );
}

import { Button } from "@mantine/core";
import { Link } from "@tanstack/react-router";
import { useState } from "react";

import type { Broken, Environment, ListedFlag } from "../../api/types";
import { Card } from "../../components/Page";
import { ProblemAlert } from "../../components/ProblemAlert";
import styles from "./Overview.module.css";
import { useStaleFlags } from "./useStaleFlags";

const SHOWN = 6;

/** Flags whose time is over, and the safe order of taking them away. */
export function CleanUp({ project, flags, environments }: { project: string; flags: (ListedFlag | Broken)[]; environments: Environment[] }) {
  const { stale, error } = useStaleFlags(project, flags, environments);
  const [all, setAll] = useState(false);
  if (stale.length === 0 && !error) return null;
  return (
    <section aria-label="Ready to clean up">
      <h2 className={styles.title}>
        Ready to clean up <span>{stale.length}</span>
      </h2>
      <Card>
        <div className={styles.order}>
          These decide nothing in production any more. Take them away in this order, so that no application asks for a flag that is gone:
          <ol>
            <li>Take the flag out of the code; keep what everyone gets.</li>
            <li>Deploy that everywhere.</li>
            <li>Archive the flag, in its settings.</li>
          </ol>
        </div>
        {error ? <ProblemAlert error={error} /> : null}
        <ul className={styles.items}>
          {stale.slice(0, all ? stale.length : SHOWN).map(({ flag, why }) => (
            <li key={flag.key} className={styles.item}>
              <Link to="/projects/$project/flags/$flag" params={{ project, flag: flag.key }} className={styles.subject}>
                {flag.key}
              </Link>
              <span className={styles.detail}>{why}</span>
            </li>
          ))}
        </ul>
        {stale.length > SHOWN && !all ? (
          <Button variant="subtle" size="compact-sm" m="xs" onClick={() => setAll(true)}>
            Show all {stale.length}
          </Button>
        ) : null}
      </Card>
    </section>
  );
}

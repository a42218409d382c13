import { Alert } from "@mantine/core";

import { WarningIcon } from "../../components/icons";
import { Sentence } from "../playground/Sentence";
import styles from "./Targeting.module.css";
import type { Verdict } from "./verdict";

/** What compiling finds wrong with a draft, and with what it would break elsewhere; nothing where all is well. */
export function Issues({ verdict }: { verdict: Verdict | null }) {
  if (!verdict) return null;
  const rest = verdict.stopping.filter((issue) => !verdict.issues.includes(issue));
  const all = [...verdict.issues, ...rest];
  if (all.length === 0) return null;
  return (
    <Alert color={verdict.stopping.length > 0 ? "buoy" : "yellow"} variant="light" icon={<WarningIcon />} title={verdict.stopping.length > 0 ? "This does not compile" : "It compiles, but look at this"}>
      <ul className={styles.issues}>
        {all.map((issue) => (
          <li key={`${issue.collection} ${issue.key} ${issue.path} ${issue.message}`}>
            {rest.includes(issue) ? (
              <>
                {issue.collection === "flags" ? "flag" : "segment"} <code>{issue.key}</code>{" "}
              </>
            ) : null}
            {issue.path ? <code>{issue.path}</code> : null} <Sentence text={issue.message} />
          </li>
        ))}
      </ul>
    </Alert>
  );
}

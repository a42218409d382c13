import { Said } from "../../components/Said";
import type { AuditRow, Environment } from "../../api/types";
import { auditWords } from "../../lib/words";
import styles from "./Audit.module.css";

/** An audit row as a sentence: who did what to what, where, and why. */
export function Sentence({ row, environments, withSubject }: { row: AuditRow; environments: Environment[]; withSubject: boolean }) {
  const words = auditWords(row);
  const environment = environments.find(({ key }) => key === row.environment)?.name ?? row.environment;
  return (
    <span>
      {row.actorName || row.actor} {withSubject || words.subject === "" ? words.verb : withIt(words.verb)}
      {withSubject && words.subject !== "" ? (
        <>
          {" "}
          {words.kind === "flag" ? "" : `${words.kind} `}
          <span className={styles.subject}>{words.subject}</span>
        </>
      ) : null}
      {environment && words.kind !== "environment" ? ` in ${environment}` : ""}
      {words.detail ? <span className={styles.detail}>{words.detail}</span> : null}
      {row.reason ? (
        <span className={styles.reason}>
          “<Said>{row.reason}</Said>”
        </span>
      ) : null}
    </span>
  );
}

/** Like “changed it” and “rolled it back”. */
function withIt(verb: string): string {
  const [, act, particle] = /^(.+) (back|on|off)$/.exec(verb) ?? [];
  return act ? `${act} it ${particle}` : `${verb} it`;
}

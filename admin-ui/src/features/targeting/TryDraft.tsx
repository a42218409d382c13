import { useMemo, useState } from "react";

import type { Explained, Flag, FlagConfig } from "../../api/types";
import { attributesAskedFor } from "../playground/context";
import { ContextFields, readDraft, type ContextDraft } from "../playground/ContextCard";
import type { Compiled, EvaluationContext } from "../playground/evaluator";
import { Trace } from "../playground/Trace";
import { sameAnswer, whyWords } from "../playground/traceWords";
import type { LoadedEnvironment } from "../playground/useEnvironment";
import { inFile, settled, type Targeting } from "./draft";
import styles from "./Targeting.module.css";

interface TryProps {
  stored: LoadedEnvironment;
  flag: Flag;
  config: FlagConfig;
  draft: Targeting;
}

const SOMEBODY = { targetingKey: "user-1" };

/** What somebody gets now, and would get with the draft. */
export function TryDraft(props: TryProps) {
  const [open, setOpen] = useState(false);
  return (
    <details className={styles.try} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Try this draft</summary>
      {open ? <Comparison {...props} /> : null}
    </details>
  );
}

function Comparison({ stored, flag: { key, kind, variants }, config, draft }: TryProps) {
  const [typed, setTyped] = useState<ContextDraft>({ form: { ...SOMEBODY, rows: [] } });
  const [context, setContext] = useState<EvaluationContext>(SOMEBODY);
  const [nowMs] = useState(() => Date.now());
  const { flag, compiled } = useMemo(() => {
    const next = inFile({ key, kind, variants }, config, asStored(stored.compiled, config, draft));
    return { flag: next, compiled: stored.compiled.withFlag(next) };
  }, [stored, key, kind, variants, config, draft]);
  const file = { ...stored.file, flags: (stored.file.flags ?? []).map((each) => (each.key === key ? flag : each)) };
  const storedFlag = stored.file.flags?.find((each) => each.key === key);
  const before = explain(stored.compiled, flag.key, context, nowMs);
  const after = explain(compiled, flag.key, context, nowMs);
  return (
    <div className={styles.tryColumns}>
      <ContextFields
        draft={typed}
        asked={attributesAskedFor(file, flag.key)}
        onChange={(next) => {
          setTyped(next);
          const read = readDraft(next);
          if (read !== null) setContext(read);
        }}
      />
      {before && after ? (
        <div>
          <p className={styles.dim}>Now</p>
          <p className={styles.para}>
            {whyWords(before, storedFlag)}
          </p>
          <p className={styles.dim}>With this draft{sameAnswer(before, after) ? ", the same" : ""}</p>
          <p className={styles.para}>
            <strong>
              {sameAnswer(before, after) ? "" : "≠ "}
              {whyWords(after, flag)}
            </strong>
          </p>
          <Trace explained={after} flag={flag} file={file} context={context} compiled={compiled} nowMs={nowMs} />
        </div>
      ) : (
        <p className={styles.issue}>This context cannot be used.</p>
      )}
    </div>
  );
}

function asStored(compiled: Compiled, config: FlagConfig, draft: Targeting): Targeting {
  try {
    return settled(config, draft, (previous, weights) => compiled.reweight(previous, weights));
  } catch {
    // Weights of something that is no variant: the compiler says so, above.
    return draft;
  }
}

function explain(compiled: Compiled, flag: string, context: EvaluationContext, nowMs: number): Explained | null {
  try {
    return compiled.explain(flag, context, nowMs);
  } catch {
    return null;
  }
}

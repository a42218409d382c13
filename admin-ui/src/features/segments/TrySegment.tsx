import { useMemo, useState } from "react";

import type { FlagInFile, SegmentInFile } from "../../api/types";
import { attributesAskedFor } from "../playground/context";
import { ContextFields, readDraft, type ContextDraft } from "../playground/ContextCard";
import type { Compiled, EvaluationContext } from "../playground/evaluator";
import type { LoadedEnvironment } from "../playground/useEnvironment";
import styles from "./Segments.module.css";

interface TryProps {
  stored: LoadedEnvironment;
  segment: SegmentInFile;
}

const SOMEBODY = { targetingKey: "user-1" };

/** A flag that says nothing but whether somebody is in. It is in no file: another of its name is in nobody’s way. */
const probe = (segment: string): FlagInFile => ({
  key: "probe",
  kind: "boolean",
  enabled: true,
  salt: "",
  variants: [
    { key: "in", value: true },
    { key: "out", value: false },
  ],
  rules: [{ conditions: [{ operator: "segment", values: [segment] }], serve: { variant: "in" } }],
  default: { variant: "out" },
});

/** Whether somebody is in now, and would be with the draft. */
export function TrySegment(props: TryProps) {
  const [open, setOpen] = useState(false);
  return (
    <details className={styles.try} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>Is somebody in?</summary>
      {open ? <Somebody {...props} /> : null}
    </details>
  );
}

function Somebody({ stored, segment }: TryProps) {
  const [typed, setTyped] = useState<ContextDraft>({ form: { ...SOMEBODY, rows: [] } });
  const [context, setContext] = useState<EvaluationContext>(SOMEBODY);
  const [nowMs] = useState(() => Date.now());
  const asks = useMemo(() => probe(segment.key), [segment.key]);
  const before = useMemo(() => stored.compiled.withFlag(asks), [stored, asks]);
  const after = useMemo(() => stored.compiled.withSegment(segment).withFlag(asks), [stored, segment, asks]);
  const [was, is] = [isIn(before, asks, context, nowMs), isIn(after, asks, context, nowMs)];
  return (
    <>
      <ContextFields
        draft={typed}
        asked={attributesAskedFor({ segments: [segment] })}
        onChange={(next) => {
          setTyped(next);
          const read = readDraft(next);
          if (read !== null) setContext(read);
        }}
      />
      <p role="status" className={styles.answer}>
        {is === null ? (
          "This context cannot be used."
        ) : (
          <>
            <strong>{is ? "In" : "Out"}</strong>
            {was === is ? "" : `; ${was ? "in" : "out"} before it is saved`}
          </>
        )}
      </p>
    </>
  );
}

function isIn(compiled: Compiled, asks: FlagInFile, context: EvaluationContext, nowMs: number): boolean | null {
  try {
    return compiled.explain(asks.key, context, nowMs).variant === "in";
  } catch {
    return null;
  }
}

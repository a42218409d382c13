import type { ReactNode } from "react";

import type { Explained, FlagFile, FlagInFile, SegmentConfig, Serve } from "../../api/types";
import { CheckIcon, CloseIcon } from "../../components/icons";
import { brief } from "../../lib/json";
import { conditionWords, serveWords } from "../../lib/words";
import { BucketBar } from "./BucketBar";
import type { Compiled, EvaluationContext } from "./evaluator";
import styles from "./Playground.module.css";
import { Sentence } from "./Sentence";
import { drawsOf, membersOf, Steps, type State } from "./traceWords";

interface TraceProps {
  explained: Pick<Explained, "steps">;
  flag: FlagInFile;
  file: FlagFile;
  context: EvaluationContext;
  compiled: Compiled;
  nowMs: number;
}

/** An evaluation from its beginning to its answer: what was looked at, and how it came out. */
export function Trace({ explained, ...rest }: TraceProps) {
  return <FlagTrace steps={new Steps(explained.steps)} depth={0} {...rest} />;
}

interface FlagTraceProps extends Omit<TraceProps, "explained"> {
  steps: Steps;
  /** How many flags need this one, one through the other. */
  depth: number;
}

function FlagTrace({ steps, flag, depth, ...world }: FlagTraceProps) {
  const { file, context, compiled } = world;
  const { prerequisites = [], targets = [], rules = [] } = flag;
  const whole = steps.at("");
  const serve = { flag, context, compiled };
  const target = steps.at("/targets");
  const fallback = steps.at("/default");
  return (
    <ol className={styles.trace}>
      {whole ? (
        <Place title={depth === 0 ? "The flag as a whole" : flag.key} state={whole.held ? "held" : "failed"} words={whole.held ? "decides" : "cannot be used"}>
          <p className={styles.detail}><Sentence text={whole.detail} /></p>
        </Place>
      ) : null}
      {prerequisites.map((prerequisite, at) => {
        const path = `/prerequisites/${at}`;
        const step = steps.at(path);
        const needed = file.flags?.find(({ key }) => key === prerequisite.flag);
        const inner = steps.below(path);
        return (
          <Place key={path} title={`Needs ${prerequisite.flag}`} state={step ? (step.held ? "held" : "failed") : "unlooked"}>
            <div>
              {prerequisite.flag} serves {prerequisite.variants.join(" or ")}
            </div>
            {step ? <p className={styles.detail}><Sentence text={step.detail} /></p> : null}
            {needed && !inner.isEmpty ? (
              <details className={styles.inner}>
                <summary>How {prerequisite.flag} came to it</summary>
                <FlagTrace steps={inner} flag={needed} depth={depth + 1} {...world} />
              </details>
            ) : null}
          </Place>
        );
      })}
      {targets.length > 0 ? (
        <Place title="Units by name" state={whole ? "unlooked" : target ? (target.held ? "held" : "failed") : "unlooked"}>
          <div>
            {targets.map(({ variant, values }) => `${values.length === 1 ? brief(values[0]) : `${values.length} units`} → ${variant}`).join("; ")}
          </div>
          {target ? <p className={styles.detail}><Sentence text={target.detail} /></p> : null}
        </Place>
      ) : null}
      {rules.map((rule, at) => {
        const path = `/rules/${at}`;
        const step = steps.at(path);
        return (
          <Place key={path} title={`Rule ${at + 1}${rule.id ? ` · ${rule.id}` : ""}`} state={steps.rule(at)}>
            <Conditions steps={steps} path={path} name="conditions" of={rule.conditions ?? []} {...world} />
            {step ? <Served detail={step.detail} serve={rule.serve} {...serve} /> : <div className={styles.then}>→ {serveWords(rule.serve)}</div>}
          </Place>
        );
      })}
      {whole && !fallback ? null : (
        <Place title={prerequisites.length + targets.length + rules.length === 0 ? "Everyone" : "Everyone else"} state={fallback ? (fallback.held ? "held" : "failed") : "unlooked"}>
          {fallback ? <Served detail={fallback.detail} serve={flag.default} {...serve} /> : <div className={styles.then}>→ {serveWords(flag.default)}</div>}
        </Place>
      )}
    </ol>
  );
}

function Served({ detail, serve, flag, context, compiled }: { detail: string; serve: Serve; flag: FlagInFile; context: EvaluationContext; compiled: Compiled }) {
  const draws = drawsOf(serve, flag, context, (salt, unit) => compiled.bucket(salt, unit));
  const by = "distribution" in serve ? (serve.distribution.bucketBy ?? "targetingKey") : null;
  return (
    <>
      <div className={styles.then}>→ {serveWords(serve)}</div>
      <p className={styles.detail}><Sentence text={detail} /></p>
      {draws.map((draw) => (
        <BucketBar key={draw.title} draw={draw} variants={flag.variants.map(({ key }) => key)} />
      ))}
      {draws.length > 0 ? (
        <p className={styles.unit}>
          The bucket comes from <code>{by}</code>: it stays the same as long as that does.
        </p>
      ) : null}
    </>
  );
}

const WORDS: Record<State, string> = { held: "held", failed: "did not hold", unlooked: "not looked at" };

function Place({ title, state, words = WORDS[state], children }: { title: string; state: State; words?: string; children: ReactNode }) {
  return (
    <li className={styles.place} data-state={state}>
      <h3>
        {title} <Verdict state={state} words={words} />
      </h3>
      {children}
    </li>
  );
}

function Verdict({ state, words = WORDS[state] }: { state: State; words?: string }) {
  return (
    <span className={styles.verdict} data-state={state}>
      {state === "held" ? <CheckIcon size={13} /> : state === "failed" ? <CloseIcon size={12} /> : null}
      {words}
    </span>
  );
}

/** What an evaluation goes by, beside the flag. */
type World = Pick<TraceProps, "file" | "context" | "compiled" | "nowMs">;

interface ConditionsProps extends World {
  steps: Steps;
  path: string;
  name: string;
  of: unknown[];
}

const GROUPS = { any: "at least one of", all: "all of", none: "none of" };

function Conditions({ steps, path, name, of, ...world }: ConditionsProps) {
  if (of.length === 0) return <div>everybody</div>;
  return (
    <ul className={styles.conditions}>
      {of.map((condition, at) => {
        const place = `${path}/${name}/${at}`;
        const state = steps.condition(place, condition);
        const group = membersOf(condition);
        const step = steps.at(place);
        return (
          <li key={place} data-state={state}>
            <div className={styles.condition}>
              <span>{group ? GROUPS[group.kind] : conditionWords(condition)}</span> <Verdict state={state} />
            </div>
            {step ? (
              <p className={styles.detail}>
                <Sentence text={step.detail} />
              </p>
            ) : null}
            {group ? <Conditions steps={steps} path={place} name={group.kind} of={group.of} {...world} /> : step ? <Segments condition={condition} {...world} /> : null}
          </li>
        );
      })}
    </ul>
  );
}

/** Why the context is in the segments that a condition names, or is not. */
function Segments({ condition, ...world }: World & { condition: unknown }) {
  const { operator, values } = (condition ?? {}) as { operator?: unknown; values?: unknown };
  if (operator !== "segment" || !Array.isArray(values)) return null;
  return values.map((name) => {
    const segment = world.file.segments?.find(({ key }) => key === name);
    return segment ? <SegmentTrace key={segment.key} segment={segment} {...world} /> : null;
  });
}

function SegmentTrace({ segment, ...world }: World & { segment: SegmentConfig }) {
  const { key, included = [], excluded = [], rules = [] } = segment;
  const unit = world.context["targetingKey"];
  const listed = typeof unit !== "string" ? null : excluded.includes(unit) ? "excluded" : included.includes(unit) ? "included" : null;
  if (listed !== null || rules.length === 0) {
    return (
      <p className={styles.detail}>
        <code>{key}</code> {listed === null ? "does not list the targeting key" : `lists the targeting key as ${listed}`}
      </p>
    );
  }
  const steps = probe(segment, world);
  return (
    <details className={styles.inner}>
      <summary>
        <code>{key}</code> does not list the targeting key: its {rules.length === 1 ? "rule decides" : `${rules.length} rules decide`}
      </summary>
      {rules.map((rule, at) => (
        <div key={at}>
          {rules.length === 1 ? null : (
            <div className={styles.condition}>
              <strong>Rule {at + 1}</strong> <Verdict state={steps.rule(at)} />
            </div>
          )}
          <Conditions steps={steps} path={`/rules/${at}`} name="conditions" of={rule.conditions} {...world} />
        </div>
      ))}
    </details>
  );
}

/** The trace of a segment's rules: the evaluator tells of flags, so a flag is made that has the same rules. */
function probe({ rules = [] }: SegmentConfig, { compiled, context, nowMs }: World): Steps {
  const variants = [
    { key: "in", value: true },
    { key: "out", value: false },
  ];
  const asked: FlagInFile = { key: "segment", kind: "boolean", enabled: true, variants, rules: rules.map(({ conditions }) => ({ conditions, serve: { variant: "in" } })), default: { variant: "out" } };
  return new Steps(compiled.withFlag(asked).explain(asked.key, context, nowMs).steps);
}

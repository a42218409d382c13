import type { ReactNode } from "react";

import type { Explained, FlagFile, FlagInFile, Serve } from "../../api/types";
import { CheckIcon, CloseIcon } from "../../components/icons";
import { brief } from "../../lib/json";
import { conditionWords, serveWords } from "../../lib/words";
import { BucketBar } from "./BucketBar";
import type { Compiled, EvaluationContext } from "./evaluator";
import styles from "./Playground.module.css";
import { Sentence } from "./Sentence";
import { drawsOf, membersOf, Steps, type State } from "./trace";

interface TraceProps {
  explained: Pick<Explained, "steps">;
  flag: FlagInFile;
  file: FlagFile;
  context: EvaluationContext;
  compiled: Compiled;
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

function FlagTrace({ steps, flag, file, context, compiled, depth }: FlagTraceProps) {
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
                <FlagTrace steps={inner} flag={needed} file={file} context={context} compiled={compiled} depth={depth + 1} />
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
            <Conditions steps={steps} path={path} name="conditions" of={rule.conditions ?? []} file={file} context={context} />
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

interface ConditionsProps {
  steps: Steps;
  path: string;
  name: string;
  of: unknown[];
  file: FlagFile;
  context: EvaluationContext;
}

const GROUPS = { any: "at least one of", all: "all of", none: "none of" };

function Conditions({ steps, path, name, of, file, context }: ConditionsProps) {
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
            {step ? <p className={styles.detail}><Sentence text={step.detail} /></p> : null}
            {group ? <Conditions steps={steps} path={place} name={group.kind} of={group.of} file={file} context={context} /> : <SegmentWords condition={condition} file={file} context={context} looked={step !== undefined} />}
          </li>
        );
      })}
    </ul>
  );
}

/** Why somebody is in a segment or is not, as far as its lists say. */
function SegmentWords({ condition, file, context, looked }: { condition: unknown; file: FlagFile; context: EvaluationContext; looked: boolean }) {
  const { operator, values } = (condition ?? {}) as { operator?: unknown; values?: unknown };
  if (operator !== "segment" || !looked || !Array.isArray(values)) return null;
  const key = context["targetingKey"];
  return values.map((name) => {
    const segment = file.segments?.find((each) => each.key === name);
    if (!segment) return null;
    const { included = [], excluded = [], rules = [] } = segment;
    const by =
      typeof key === "string" && excluded.includes(key)
        ? "lists the targeting key as excluded"
        : typeof key === "string" && included.includes(key)
          ? "lists the targeting key as included"
          : rules.length === 0
            ? "does not list the targeting key"
            : `does not list the targeting key; its ${rules.length === 1 ? "rule decides" : `${rules.length} rules decide`}`;
    return (
      <div key={String(name)} className={styles.detail}>
        <code>{String(name)}</code> {by}
        {by.includes("decide") ? (
          <ul>
            {rules.map((rule, at) => (
              <li key={at}>{rule.conditions.map(conditionWords).join(" and ")}</li>
            ))}
          </ul>
        ) : null}
      </div>
    );
  });
}

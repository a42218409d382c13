import type { Rollout } from "../../api/types";
import { clockTime } from "../../lib/time";
import { percent } from "../../lib/words";
import { forecast } from "./forecast";
import styles from "./RolloutPage.module.css";
import { hasEnded, isAA, segmentsAt, stepWords, timeWords } from "./rolloutWords";
import { useTick } from "./useTick";

/** Every step, what must be before the next, and how far the present one is. */
export function Timeline({ rollout, began }: { rollout: Rollout; began: Map<number, number> }) {
  const now = useTick(1_000);
  const { spec, status } = rollout;
  const ended = hasEnded(rollout);
  const through = status.state === "completed" || status.state === "guarding";
  const present = status.step ?? -1;
  const expected = forecast(rollout, now);
  return (
    <ol className={styles.timeline} aria-label="Steps">
      {spec.steps.map((step, index) => {
        const is = index < present || (through && index === present) ? "done" : index === present && !ended ? "now" : index === present ? "last" : "later";
        const at = began.get(index);
        const inherited = segmentsAt(spec, index - 1);
        const facts = [
          ...(isAA(spec, index) ? ["both arms have the old variant"] : []),
          `bakes ${timeWords(step.bakeMs)}`,
          ...((step.minUnits ?? 0) > 1 ? [`at least ${step.minUnits?.toLocaleString("en")} units of each arm`] : []),
          ...(step.approval ? [is === "now" && status.approved ? "approved" : "then a person approves"] : []),
          ...(step.segments?.length ? [`${step.segments.join(", ")} added`] : []),
          ...(inherited.length > 0 && index > 0 && !step.segments?.length && step.share < 100_000 ? [`with ${inherited.join(", ")}`] : []),
          ...(step.gates ? [step.gates.length > 0 ? `only ${step.gates.join(", ")} ${step.gates.length === 1 ? "counts" : "count"}` : "timed: no gate counts"] : []),
        ];
        return (
          // A share may stay while a segment is added: the place is what names a step.
          <li key={`${index}-${step.share}`} data-is={is} aria-current={is === "now" ? "step" : undefined}>
            <span className={styles.stepName}>
              {stepWords(step)}
              {step.share > 0 && step.segments?.length ? <span className="visually-hidden"> of {percent(step.share)}</span> : null}
            </span>
            <span className={styles.stepFacts}>
              {facts.join(" · ")}
              {at ? ` · since ${clockTime(at)}` : null}
            </span>
            {is === "now" && expected ? (
              <span
                className={styles.baked}
                role="progressbar"
                aria-label={`Baked, of ${timeWords(step.bakeMs)}`}
                aria-valuenow={Math.floor(expected.baked * 100)}
                aria-valuetext={`${Math.floor(expected.baked * 100)} %, ${timeWords(expected.leftMs)} left`}
              >
                <span style={{ inlineSize: `${expected.baked * 100}%` }} />
              </span>
            ) : null}
            {is === "now" && expected ? (
              <span className={styles.stepFacts}>
                {status.bake.since === undefined || status.bake.since === null ? "The bake stands still: " : ""}
                {expected.leftMs > 0 ? `${timeWords(expected.leftMs)} left` : "baked"}
              </span>
            ) : null}
          </li>
        );
      })}
      {spec.guardMs ? (
        <li data-is={status.state === "guarding" ? "now" : status.state === "completed" ? "done" : "later"} aria-current={status.state === "guarding" ? "step" : undefined}>
          <span className={styles.stepName}>Guard</span>
          <span className={styles.stepFacts}>limits are watched for {timeWords(spec.guardMs)}, and kill the flag where one is passed</span>
        </li>
      ) : null}
    </ol>
  );
}

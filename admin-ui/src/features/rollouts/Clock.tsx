import type { Rollout } from "../../api/types";
import { clockTime, exactly } from "../../lib/time";
import { type Expected, forecast, unknownWords } from "./forecast";
import styles from "./RolloutPage.module.css";
import { DAY_MS, stepWords, timeWords } from "./rolloutWords";
import { useTick } from "./useTick";

const SECOND_MS = 1_000;

/** Like “14:32”, or with the day where that is another. */
function when(at: number, now: number): string {
  return at - now < DAY_MS / 2 ? clockTime(at) : exactly(at);
}

/** When it decides next, and when everybody has the variant. What nobody knows is said to be unknown. */
export function Clock({ rollout }: { rollout: Rollout }) {
  const now = useTick(SECOND_MS);
  const expected = forecast(rollout, now);
  if (!expected) return null;
  const { next, everybody } = expected;
  const gated = (rollout.spec.gates ?? []).length > 0;
  const step = rollout.spec.steps[(rollout.status.step ?? -1) + 1];
  const what = next.what === "begin" ? "Begins" : next.what === "end" ? (rollout.status.state === "guarding" ? "The watch ends" : "Completes") : `Next step${step ? `, ${stepWords(step)}` : ""}`;
  return (
    <dl className={styles.clock}>
      <div>
        <dt>{what}</dt>
        <dd>
          <Until expected={next} now={now} gated={gated} />
        </dd>
      </div>
      {everybody ? (
        <div>
          <dt>Everybody has {rollout.variant}</dt>
          <dd>
            <Until expected={everybody} now={now} gated={gated} />
          </dd>
        </div>
      ) : null}
    </dl>
  );
}

function Until({ expected: { at, unknown }, now, gated }: { expected: Expected; now: number; gated: boolean }) {
  const waits = unknownWords(unknown);
  if (at === null || (waits !== "" && at - now < SECOND_MS)) {
    return (
      <>
        <strong>Not known</strong>
        <small>Once {waits}: nobody knows when.</small>
      </>
    );
  }
  const left = at - now;
  return (
    <>
      <strong role="timer">
        {left < SECOND_MS ? "any moment" : `in ${timeWords(left)}`}
        {waits === "" ? "" : " at the earliest"}
      </strong>
      <small>
        {waits === "" ? (
          <>
            at <time dateTime={new Date(at).toISOString()}>{when(at, now)}</time>, if {gated ? "no gate is against it" : "nobody stops it"}
          </>
        ) : (
          <>
            <time dateTime={new Date(at).toISOString()}>{when(at, now)}</time>, and only once {waits}
          </>
        )}
      </small>
    </>
  );
}

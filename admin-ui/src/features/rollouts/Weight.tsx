import type { Rollout } from "../../api/types";
import { percent, WHOLE } from "../../lib/words";
import { isAA, segmentsAt } from "./rolloutWords";
import styles from "./RolloutPage.module.css";

/** The share in force, drawn over all buckets: who has the new variant, who is compared with them, and who is neither. */
export function Weight({ rollout }: { rollout: Rollout }) {
  const { share, variant, baseline, spec, status } = rollout;
  const step = status.step ?? -1;
  const compared = Math.min(share, WHOLE - share);
  const segments = step < 0 ? [] : segmentsAt(spec, step);
  const words = [
    `${percent(share)} of units have ${variant}`,
    share === WHOLE
      ? "nobody is left to compare with"
      : share === 0
        ? step >= 0 && isAA(spec, step)
          ? `both arms have ${baseline}, and are compared`
          : `everybody else has ${baseline}`
        : `the ${percent(compared)} with the highest buckets keep ${baseline} and are compared with ${compared === share ? "them" : `${percent(compared)} of them`}`,
    ...(segments.length > 0 ? [`${segments.join(", ")} ${segments.length === 1 ? "has" : "have"} ${variant} whatever the bucket, and ${segments.length === 1 ? "is" : "are"} not compared`] : []),
  ];
  return (
    <figure className={styles.weight}>
      <div className={styles.bar} aria-hidden="true">
        <div className={styles.treatment} style={{ inlineSize: `${(share / WHOLE) * 100}%` }}>
          {share >= 8_000 ? <span>{percent(share)}</span> : null}
        </div>
        <div className={styles.between} />
        <div className={styles.control} style={{ inlineSize: `${(compared / WHOLE) * 100}%` }} />
      </div>
      <figcaption>{words.join("; ")}.</figcaption>
    </figure>
  );
}

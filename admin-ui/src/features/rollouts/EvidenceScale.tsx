import { ACTS, evidenceWords, HOLDS } from "./rolloutWords";
import styles from "./RolloutPage.module.css";

/** From a hundredth to ten thousand to one. */
const LOW = -2;
const HIGH = 4;

const place = (evidence: number) => ((Math.min(HIGH, Math.max(LOW, Math.log10(Math.max(evidence, 10 ** LOW)))) - LOW) / (HIGH - LOW)) * 100;

/** How strong the evidence of harm is, against what holds and what acts. */
export function EvidenceScale({ evidence }: { evidence: number }) {
  const tone = evidence >= ACTS ? "acts" : evidence >= HOLDS ? "holds" : "goes on";
  return (
    <div className={styles.evidence} role="img" aria-label={`Evidence of harm ${evidenceWords(evidence)}; 20 to 1 holds, 100 to 1 acts`}>
      <div className={styles.scale} data-tone={tone}>
        <span className={styles.level} style={{ inlineSize: `${place(evidence)}%` }} />
        <span className={styles.threshold} data-is="holds" style={{ insetInlineStart: `${place(HOLDS)}%` }} />
        <span className={styles.threshold} data-is="acts" style={{ insetInlineStart: `${place(ACTS)}%` }} />
      </div>
      <div className={styles.scaleWords}>
        <span style={{ insetInlineStart: `${place(1)}%` }}>1</span>
        <span style={{ insetInlineStart: `${place(HOLDS)}%` }} data-end>20 holds</span>
        <span style={{ insetInlineStart: `${place(ACTS)}%` }}>100 acts</span>
      </div>
    </div>
  );
}

import { Button, SegmentedControl } from "@mantine/core";
import { lazy, Suspense, useMemo, useState } from "react";

import { Loading } from "../../components/Loading";
import type { Environment, GateJudgement, Rollout, RolloutGate } from "../../api/types";
import { exactly } from "../../lib/time";
import { percent } from "../../lib/words";
import { measuredAt, measureOf, type Measure } from "./chartData";
import { EvidenceScale } from "./EvidenceScale";
import { pointsOf, type GatePoint, type RolloutLook } from "./history";
import { GateAction } from "./RolloutActions";
import styles from "./RolloutPage.module.css";
import { Tag } from "./Tag";
import { armWords, evidenceWords, gatesAt, gateWords, isQuery, marginOf, measuredWords, VERDICTS, verdictEffect, weightPart } from "./rolloutWords";

const GateChart = lazy(() => import("./GateChart").then((module) => ({ default: module.GateChart })));

interface GateProps {
  project: string;
  environment: Environment;
  rollout: Rollout;
  gate: RolloutGate;
  /** What it says now, or said last. */
  judgement: GateJudgement | undefined;
  looks: RolloutLook[] | undefined;
}

/** One gate: what it tests, what it says, on which numbers, and how that came. */
export function GateCard({ project, environment, rollout, gate, judgement, looks }: GateProps) {
  const { spec, status, variant, baseline } = rollout;
  const [as, setAs] = useState<"chart" | "table">("chart");
  const points = useMemo(() => pointsOf(looks ?? [], gate.key), [looks, gate.key]);
  const overridden = status.overridden?.includes(gate.key) ?? false;
  const counts = status.step === undefined || status.step === null || gatesAt(spec, status.step).includes(gate.key);
  const part = weightPart(gate, spec.gates ?? []);
  const measure = measureOf(gate);
  const id = `gate-${gate.key}`;
  return (
    <section className={styles.gate} aria-labelledby={id}>
      <header className={styles.gateHead}>
        <h3 id={id}>{gate.key}</h3>
        {judgement ? (
          <Tag tone={VERDICTS[judgement.verdict][1]}>{VERDICTS[judgement.verdict][0]}</Tag>
        ) : null}
        {overridden ? (
          <Tag tone="warn">overridden</Tag>
        ) : null}
        {gate.severity === "signal" ? (
          <Tag tone="outline">signal</Tag>
        ) : null}
        {isQuery(gate) && typeof gate.controlQuery === "string" ? (
          <Tag tone="outline">not calibrated</Tag>
        ) : null}
        <span className={styles.grow} />
        <GateAction project={project} environment={environment} rollout={rollout} gate={gate.key} />
      </header>
      <p className={styles.tests}>{gateWords(gate, variant, baseline).join(" ")}</p>
      {gate.query ? (
        <pre className={styles.query} tabIndex={0} aria-label={`What ${gate.key} asks`}>
          {gate.query}
          {typeof gate.controlQuery === "string" ? `\n— compared with —\n${gate.controlQuery}` : ""}
        </pre>
      ) : null}
      {judgement ? (
        <>
          <p className={styles.effect}>
            {judgement.problem ? `It ${judgement.problem}. ` : ""}
            {overridden ? "A person overrode it: it holds nothing and ends nothing." : !counts ? "It does not count at this step." : verdictEffect(judgement.verdict, gate, spec.onHarm)}
          </p>
          {isQuery(gate) ? null : <EvidenceScale evidence={judgement.evidence} />}
          <Numbers rollout={rollout} gate={gate} judgement={judgement} part={part} />
        </>
      ) : (
        <p className={styles.effect}>The controller has not judged it yet.</p>
      )}
      {points.length > 1 ? (
        <>
          <SegmentedControl
            size="xs"
            aria-label={`How ${gate.key} is shown over time`}
            value={as}
            onChange={(value) => setAs(value as "chart" | "table")}
            data={[
              { value: "chart", label: "Chart" },
              { value: "table", label: "Table" },
            ]}
          />
          {as === "chart" ? (
            <Suspense fallback={<Loading size="sm" what="Loading the chart" />}>
              <GateChart gate={gate} points={points} measure={measure} variant={variant} baseline={baseline} />
            </Suspense>
          ) : (
            <PointTable points={points} gate={gate} measure={measure} variant={variant} baseline={baseline} />
          )}
        </>
      ) : looks ? (
        <p className={styles.effect}>There is not enough of it yet to draw.</p>
      ) : null}
    </section>
  );
}

function Numbers({ rollout, gate, judgement, part }: { rollout: Rollout; gate: RolloutGate; judgement: GateJudgement; part: number | null }) {
  const measured = measuredWords(judgement, gate);
  return (
    <dl className={styles.numbers}>
      {isQuery(gate) ? null : (
        <>
          <div>
            <dt>Evidence of harm</dt>
            <dd>{evidenceWords(judgement.evidence)}</dd>
          </div>
          <div>
            <dt>{(gate.test ?? "happened") === "happened" ? "Units it happened to" : "Units counted"}</dt>
            <dd>{armWords(rollout, judgement.met)}</dd>
          </div>
        </>
      )}
      {measured ? (
        <div>
          <dt>{isQuery(gate) ? "Source" : "Difference"}</dt>
          <dd>{measured}</dd>
        </div>
      ) : null}
      {isQuery(gate) && typeof gate.controlQuery !== "string" ? null : (
        <div>
          <dt>Margin</dt>
          <dd>{percent(marginOf(gate) * 100_000)}</dd>
        </div>
      )}
      {part === null ? null : (
        <div>
          <dt>Part of the error allowed</dt>
          <dd>{percent(Math.round(part * 1_000) * 100)}</dd>
        </div>
      )}
    </dl>
  );
}

const ROWS = 25;

/** The chart's numbers, newest first. */
function PointTable({ points, gate, measure, variant, baseline }: { points: GatePoint[]; gate: RolloutGate; measure: Measure; variant: string; baseline: string }) {
  const [shown, setShown] = useState(ROWS);
  const rows = points.toReversed().slice(0, shown);
  return (
    <>
      <div className={styles.scrolls} tabIndex={0} role="region" aria-label={`${gate.key} over time, newest first`}>
        <table className={styles.table}>
          <thead>
            <tr>
              <th>Time</th>
              <th>Share</th>
              <th>Verdict</th>
              {measure === "answer" ? null : <th>Evidence</th>}
              <th>Measured</th>
            </tr>
          </thead>
          <tbody>
            {rows.map((point) => (
              <tr key={point.at}>
                <td>{exactly(point.at)}</td>
                <td>{percent(point.share)}</td>
                <td>{VERDICTS[point.judgement.verdict][0]}</td>
                {measure === "answer" ? null : <td>{evidenceWords(point.judgement.evidence)}</td>}
                <td>{point.judgement.problem ?? measuredAt(point, measure, variant, baseline)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {shown < points.length ? (
        <Button size="compact-sm" variant="default" onClick={() => setShown(shown + 4 * ROWS)}>
          Older looks ({points.length - shown})
        </Button>
      ) : null}
    </>
  );
}

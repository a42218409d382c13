import { Link } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef, type CSSProperties } from "react";

import type { Answer, Environment, FlagInFile } from "../../api/types";
import { EnvironmentName } from "../../components/EnvironmentName";
import { brief } from "../../lib/json";
import styles from "./Playground.module.css";
import { answerWords, reasonWords } from "./traceWords";

/** What one environment answers for one flag. */
export interface Cell {
  answer: Answer | undefined;
  flag: FlagInFile | undefined;
}

export interface AnswerRow {
  flag: string;
  /** In the order of the environments. */
  cells: Cell[];
  differs: boolean;
}

interface AnswersProps {
  project: string;
  environments: Environment[];
  rows: AnswerRow[];
  selected: string | undefined;
}

/** What every flag answers, in one environment or in two side by side. */
export function Answers({ project, environments, rows, selected }: AnswersProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => 58,
    getItemKey: (at) => rows[at]?.flag ?? at,
    overscan: 8,
    // Before the first layout, and where there is none (tests), a screenful is drawn.
    initialRect: { width: 800, height: 460 },
  });
  return (
    <div ref={scroller} className={styles.answers} data-alone={selected === undefined || undefined} style={{ "--environments": environments.length } as CSSProperties}>
      <div role="table" aria-label="Answers" aria-rowcount={rows.length + 1}>
        <div role="rowgroup" className={styles.answersHead}>
          <div role="row" aria-rowindex={1} className={styles.answer}>
            <span role="columnheader">Flag</span>
            {environments.map((environment) => (
              <span role="columnheader" key={environment.key}>
                <EnvironmentName environment={environment} />
              </span>
            ))}
          </div>
        </div>
        <div role="rowgroup" style={{ position: "relative", height: virtualizer.getTotalSize() }}>
          {virtualizer.getVirtualItems().map(({ key, index, start }) => {
            const row = rows[index];
            return row ? (
              <div
                key={key}
                ref={virtualizer.measureElement}
                data-index={index}
                role="row"
                aria-rowindex={index + 2}
                className={styles.answer}
                data-selected={row.flag === selected || undefined}
                style={{ position: "absolute", top: 0, left: 0, width: "100%", transform: `translateY(${start}px)` }}
              >
                <div role="rowheader" className={styles.answerFlag}>
                  <Link
                    from="/projects/$project/playground"
                    to="/projects/$project/playground"
                    params={{ project }}
                    search={(previous) => ({ ...previous, flag: row.flag })}
                    replace
                    resetScroll={false}
                    aria-current={row.flag === selected ? "true" : undefined}
                    activeProps={{ "aria-current": undefined }}
                  >
                    {row.flag}
                  </Link>
                  {row.differs ? <span className={styles.differs}>≠ differs</span> : null}
                </div>
                {row.cells.map(({ answer, flag }, at) => (
                  <div role="cell" key={environments[at]?.key ?? at} className={styles.said} data-error={answer?.reason === "ERROR" || undefined}>
                    {answer ? (
                      <>
                        <span className={styles.variant}>
                          {answerWords(answer)}
                          {answer.variant === null || answer.variant === undefined ? null : <code>{brief(answer.value ?? null, 28)}</code>}
                        </span>
                        <small>
                          {reasonWords(answer, flag)} <span className={styles.reason}>{answer.errorCode ?? answer.reason}</span>
                        </small>
                      </>
                    ) : (
                      <small>cannot be read here</small>
                    )}
                  </div>
                ))}
              </div>
            ) : null;
          })}
        </div>
      </div>
    </div>
  );
}

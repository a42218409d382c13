import { useQuery } from "@tanstack/react-query";

import { queries } from "../../api/queries";
import type { FlagInsights } from "../../api/types";
import { Ago, useNow } from "../../components/Ago";
import styles from "./Insights.module.css";
import { portion, summed, variantWords } from "./served";

const LOOK_MS = 15_000;
const MINUTE_MS = 60_000;
const MINUTES = 60;

/** How often the flag was served in the last hour, variant by variant. */
export function Insights({ project, flag, environment }: { project: string; flag: string; environment: string }) {
  const now = useNow();
  const found = useQuery({ ...queries.insights(project, flag, environment), refetchInterval: LOOK_MS }).data;
  if (!found) return null;
  const sums = summed(found);
  if (found.lastAt === undefined || found.lastAt === null) {
    return <p className={styles.nothing}>No application has told this server of an evaluation since it started.</p>;
  }
  const total = sums.reduce((sum, [, n]) => sum + n, 0);
  return (
    <>
      <p className={styles.nothing}>
        {total.toLocaleString("en")} evaluations in the last hour, the last <Ago at={found.lastAt} />; as applications told this server.
      </p>
      {total > 0 ? (
        <table className={styles.table}>
          <thead>
            <tr>
              <th scope="col">Variant</th>
              <th scope="col" className={styles.number}>
                Share
              </th>
              <th scope="col" className={styles.number}>
                Evaluations
              </th>
              <th scope="col">Minute by minute</th>
            </tr>
          </thead>
          <tbody>
            {sums.map(([variant, n]) => (
              <tr key={variant}>
                <th scope="row">{variantWords(variant)}</th>
                <td className={styles.number}>{portion(n, total)}</td>
                <td className={styles.number}>{n.toLocaleString("en")}</td>
                <td>
                  <Minutes found={found} variant={variant} now={now} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : null}
    </>
  );
}

/** Bars of an hour, as high as the highest of any variant. */
function Minutes({ found, variant, now }: { found: FlagInsights; variant: string; now: number }) {
  const most = Math.max(1, ...found.minutes.flatMap(({ variants }) => Object.values(variants)));
  const last = Math.floor(now / MINUTE_MS);
  return (
    <svg className={styles.bars} viewBox={`0 0 ${MINUTES * 2} 20`} preserveAspectRatio="none" aria-hidden="true">
      {found.minutes.map(({ at, variants }) => {
        const height = ((variants[variant] ?? 0) / most) * 20;
        const x = (MINUTES - 1 - (last - Math.floor(Date.parse(at) / MINUTE_MS))) * 2;
        return height > 0 && x >= 0 ? <rect key={at} x={x} y={20 - height} width={1.5} height={height} /> : null;
      })}
    </svg>
  );
}

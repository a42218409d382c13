import { percent, WHOLE } from "../../lib/words";
import styles from "./Playground.module.css";
import type { Draw } from "./traceWords";

const SHADES = ["tide-5", "tide-3", "tide-8", "tide-2", "tide-6", "gray-5"];

const grouped = (bucket: number) => bucket.toLocaleString("en");

/** Where a unit fell among 100,000 buckets: the boundaries to scale, and the same in words. */
export function BucketBar({ draw: { title, bucket, ranges }, variants }: { draw: Draw; variants: string[] }) {
  const hit = ranges.find(({ start, end }) => bucket >= start && bucket < end);
  const shade = (variant: string | null, at: number) => SHADES[(variant === null ? at * 5 : Math.max(0, variants.indexOf(variant))) % SHADES.length] ?? "gray-5";
  return (
    <div className={styles.draw}>
      <p>
        <strong>{title}</strong> Bucket <strong>{grouped(bucket)}</strong>{" "}
        {hit ? (
          <>
            lies in {grouped(hit.start)}–{grouped(hit.end - 1)} → <strong>{hit.label}</strong>
          </>
        ) : (
          "lies in no range"
        )}
      </p>
      <div className={styles.bar} aria-hidden="true">
        {ranges.map(({ start, end, label, variant }, at) => (
          <span key={start} data-hit={hit?.start === start || undefined} style={{ flexGrow: end - start, background: `var(--mantine-color-${shade(variant, at)})` }} title={`${label}: ${grouped(start)}–${grouped(end - 1)}`} />
        ))}
        <i style={{ left: `${((bucket + 0.5) / WHOLE) * 100}%` }} />
      </div>
      <ul className={styles.ranges}>
        {ranges.map(({ start, end, label, variant }, at) => (
          <li key={start}>
            <span className={styles.swatch} style={{ background: `var(--mantine-color-${shade(variant, at)})` }} aria-hidden="true" />
            {label} {percent(end - start)}
            <small>
              {grouped(start)}–{grouped(end - 1)}
            </small>
          </li>
        ))}
      </ul>
    </div>
  );
}

import { useMediaQuery } from "@mantine/hooks";
import { useVirtualizer } from "@tanstack/react-virtual";
import { memo, useLayoutEffect, useRef, useState, type CSSProperties } from "react";

import { isBroken } from "../../api/client";
import type { Broken, Environment, ListedFlag } from "../../api/types";
import { EnvironmentName } from "../../components/EnvironmentName";
import { useScroller } from "../../components/Shell";
import type { FlagFilter } from "./filter";
import styles from "./FlagList.module.css";
import { FlagRow } from "./FlagRow";
import { SelectAll } from "./SelectAll";
import type { Select } from "./useSelection";

/** A row's height before it is measured, in CSS pixels. */
const ROW_GUESS = 92;
const CARD_GUESS = 290;

interface TableProps {
  project: string;
  flags: (ListedFlag | Broken)[];
  /** Whether no more are to come. */
  isWhole: boolean;
  environments: Environment[];
  tag: string | undefined;
  onChange(part: FlagFilter): void;
  selected: ReadonlySet<string>;
  onSelect: Select;
}

/** Only the rows within the window are drawn. Not drawn anew for a letter whose findings are yet to come. */
export const FlagTable = memo(function FlagTable({ project, flags, isWhole, environments, tag, onChange, selected, onSelect }: TableProps) {
  const scroller = useScroller();
  const body = useRef<HTMLDivElement>(null);
  const narrow = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  const [offset, setOffset] = useState(0);
  useLayoutEffect(() => {
    if (!body.current || !scroller.current) return;
    setOffset(body.current.getBoundingClientRect().top - scroller.current.getBoundingClientRect().top + scroller.current.scrollTop);
  }, [scroller, narrow]);

  const rows = useVirtualizer({
    count: flags.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => (narrow ? CARD_GUESS : ROW_GUESS),
    getItemKey: (at) => flags[at]?.key ?? at,
    gap: narrow ? 12 : 0,
    overscan: 8,
    scrollMargin: offset,
    // Before the first layout, and where there is none (tests), a screenful is drawn.
    initialRect: { width: 1000, height: 900 },
  });
  return (
    <div
      className={styles.table}
      role="table"
      aria-label="Flags"
      aria-rowcount={isWhole ? flags.length + 1 : -1}
      style={{ "--environments": environments.length } as CSSProperties}
    >
      <div role="rowgroup" className={styles.header}>
        <div role="row" style={{ display: "contents" }} aria-rowindex={1}>
          <span role="columnheader" className={styles.selectAll}>
            <SelectAll flags={flags} selected={selected} onSelect={onSelect} />
          </span>
          <span role="columnheader">Flag</span>
          {environments.map((environment) => (
            <span role="columnheader" key={environment.key}>
              <EnvironmentName environment={environment} />
            </span>
          ))}
          <span role="columnheader">
            <span className="visually-hidden">Actions</span>
          </span>
        </div>
      </div>
      <div role="rowgroup" ref={body} className={styles.body} style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map(({ key, index, start }) => {
          const flag = flags[index];
          return flag ? (
            <div
              key={key}
              ref={rows.measureElement}
              data-index={index}
              data-last={index === flags.length - 1 || undefined}
              role="row"
              aria-rowindex={index + 2}
              className={styles.row}
              style={{ transform: `translateY(${start - offset}px)` }}
            >
              {isBroken(flag) ? (
                <BrokenRow flag={flag} />
              ) : (
                <FlagRow
                  project={project}
                  flag={flag}
                  environments={environments}
                  tag={tag}
                  onChange={onChange}
                  isSelected={selected.has(flag.key)}
                  onSelect={onSelect}
                />
              )}
            </div>
          ) : null;
        })}
      </div>
    </div>
  );
});

function BrokenRow({ flag }: { flag: Broken }) {
  return (
    <div role="rowheader" className={styles.flag} style={{ gridColumn: "1 / -1" }}>
      <span className={styles.name}>{flag.key}</span>
      <p className={styles.description}>This flag cannot be read, so SDKs get their own defaults: {flag.broken}</p>
    </div>
  );
}

import { useEffect, useRef, useState } from "react";

import { problemOf, type Problem } from "../../../api/problem";
import type { ListedFlag } from "../../../api/types";

export interface Failure {
  flag: string;
  problem: Problem;
}

export interface Progress {
  changed: number;
  failures: Failure[];
  of: number;
  /** Through, or stopped. */
  isOver: boolean;
}

/** Changes flags one after another; what fails stops nothing, and is told. */
export function useBulk(change: (flag: ListedFlag) => Promise<unknown>) {
  const [progress, setProgress] = useState<Progress | null>(null);
  const isStopped = useRef(false);
  const stop = () => {
    isStopped.current = true;
  };
  useEffect(() => stop, []);

  /** Returns the keys of those that were changed. */
  const run = async (flags: ListedFlag[]): Promise<string[]> => {
    isStopped.current = false;
    const changed: string[] = [];
    const failures: Failure[] = [];
    const tell = (isOver: boolean) => setProgress({ changed: changed.length, failures: [...failures], of: flags.length, isOver });
    for (const flag of flags) {
      if (isStopped.current) break;
      tell(false);
      try {
        // oxlint-disable-next-line no-await-in-loop -- a server of one writer gains nothing by more at a time, and others wait behind them
        await change(flag);
        changed.push(flag.key);
      } catch (error) {
        failures.push({ flag: flag.key, problem: problemOf(error) });
      }
    }
    tell(true);
    return changed;
  };
  return { progress, run, stop };
}

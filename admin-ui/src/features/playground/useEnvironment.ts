import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";

import { queries } from "../../api/queries";
import type { FlagFile } from "../../api/types";
import { compileFile, type Compiled } from "./evaluator";

/** An environment with its evaluator; `file` and `compiled` belong together. */
export interface LoadedEnvironment {
  file: FlagFile;
  compiled: Compiled;
  /** When the file was read, in milliseconds since 1970. */
  readAt: number;
}

interface Loading {
  loaded: LoadedEnvironment | null;
  error: unknown;
  retry(): void;
}

interface Settled {
  file: FlagFile;
  compiled?: Compiled;
  error?: unknown;
}

/** Reads and compiles an environment. Once loaded it stays, whatever becomes of the server; `null` loads nothing. */
export function useEnvironment(project: string, environment: string | null): Loading {
  const read = useQuery({ ...queries.flagFile(project, environment ?? ""), enabled: environment !== null });
  const file = environment === null ? undefined : read.data;
  const [settled, setSettled] = useState<Settled | null>(null);
  const [attempt, setAttempt] = useState(0);
  useEffect(() => {
    if (!file) return;
    let current = true;
    compileFile(file).then(
      (compiled) => current && setSettled({ file, compiled }),
      (error: unknown) => current && setSettled({ file, error }),
    );
    return () => {
      current = false;
    };
  }, [file, attempt]);
  // Another environment's answers would be wrong; the last state of the same one will do until the next is compiled.
  const [shown, setShown] = useState<{ of: string | null; loaded: LoadedEnvironment } | null>(null);
  if (settled?.compiled && settled.file === file && (shown?.of !== environment || shown.loaded.file !== file)) {
    setShown({ of: environment, loaded: { file, compiled: settled.compiled, readAt: read.dataUpdatedAt } });
  }
  return {
    loaded: environment !== null && shown?.of === environment ? shown.loaded : null,
    error: environment === null ? null : (read.data ? settled?.file === file ? settled?.error : null : read.error),
    retry: () => {
      setAttempt((n) => n + 1);
      void read.refetch();
    },
  };
}

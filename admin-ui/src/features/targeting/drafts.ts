import type { FlagConfig } from "../../api/types";
import { useKept } from "../../lib/kept";
import { same, targetingOf, type Targeting } from "./draft";

export interface Draft {
  /** What was stored when the draft began. */
  base: Targeting;
  version: number;
  draft: Targeting;
}

/** The draft of a flag's targeting, if one was begun. */
export function useDraft(project: string, flag: string, environment: string) {
  const [draft, keep] = useKept<Draft>(`tidegate.draft/${project}/${flag}/${environment}`, (kept) => same(kept.base, kept.draft));
  return {
    draft,
    begin: (config: FlagConfig) => keep({ base: targetingOf(config), version: config.version, draft: targetingOf(config) }),
    edit: (next: Targeting) => {
      if (draft) keep({ ...draft, draft: next });
    },
    /** Goes on from what is stored now. */
    rebase: (config: FlagConfig, merged: Targeting) => keep({ base: targetingOf(config), version: config.version, draft: merged }),
    end: () => keep(null),
  };
}

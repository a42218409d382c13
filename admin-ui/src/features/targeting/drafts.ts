import { useKept } from "../../lib/kept";
import { same, type Targeting } from "./draft";

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
    /** Begins from what is stored, or goes on from there with what was changed already. */
    begin: (base: Targeting, version: number, changed = base) => keep({ base, version, draft: changed }),
    edit: (next: Targeting) => {
      if (draft) keep({ ...draft, draft: next });
    },
    end: () => keep(null),
  };
}

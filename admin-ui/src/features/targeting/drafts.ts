/** Drafts survive a reload and a look at another page, in this tab. */

import { useState } from "react";

import type { FlagConfig } from "../../api/types";
import { same, targetingOf, type Targeting } from "./draft";

export interface Draft {
  /** What was stored when the draft began. */
  base: Targeting;
  version: number;
  draft: Targeting;
}

const placeOf = (project: string, flag: string, environment: string) => `tidegate.draft/${project}/${flag}/${environment}`;

function stored(place: string): Draft | null {
  try {
    const text = window.sessionStorage.getItem(place);
    return text === null ? null : (JSON.parse(text) as Draft);
  } catch {
    return null;
  }
}

function store(place: string, draft: Draft | null): void {
  try {
    if (draft === null || same(draft.base, draft.draft)) window.sessionStorage.removeItem(place);
    else window.sessionStorage.setItem(place, JSON.stringify(draft));
  } catch {
    // Without room or permission a draft lasts as long as its page.
  }
}

/** The draft of a flag's targeting, if one was begun. */
export function useDraft(project: string, flag: string, environment: string) {
  const place = placeOf(project, flag, environment);
  const [draft, setDraft] = useState(() => stored(place));
  const set = (next: Draft | null) => {
    setDraft(next);
    store(place, next);
  };
  return {
    draft,
    begin: (config: FlagConfig) => set({ base: targetingOf(config), version: config.version, draft: targetingOf(config) }),
    edit: (next: Targeting) => {
      if (draft) set({ ...draft, draft: next });
    },
    /** Goes on from what is stored now. */
    rebase: (config: FlagConfig, merged: Targeting) => set({ base: targetingOf(config), version: config.version, draft: merged }),
    end: () => set(null),
  };
}

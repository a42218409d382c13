/** Drafts survive a reload and a look at another page, in this tab. */

import { useState } from "react";

function stored<T>(place: string): T | null {
  try {
    const text = window.sessionStorage.getItem(place);
    return text === null ? null : (JSON.parse(text) as T);
  } catch {
    return null;
  }
}

function store(place: string, draft: unknown): void {
  try {
    if (draft === null) window.sessionStorage.removeItem(place);
    else window.sessionStorage.setItem(place, JSON.stringify(draft));
  } catch {
    // Without room or permission a draft lasts as long as its page.
  }
}

/** The draft that was begun at a place, null where none was, and what changes it. One that changes nothing is not kept for later. */
export function useKept<T>(place: string, changesNothing: (draft: T) => boolean): [T | null, (draft: T | null) => void] {
  const [draft, setDraft] = useState(() => stored<T>(place));
  const keep = (next: T | null) => {
    setDraft(next);
    store(place, next === null || changesNothing(next) ? null : next);
  };
  return [draft, keep];
}

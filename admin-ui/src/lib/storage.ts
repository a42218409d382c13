/** What the browser remembers between visits: conveniences only, so that trouble with it is no trouble. */

const LAST_PROJECT = "tidegate.project";

export function lastProject(): string | null {
  try {
    return window.localStorage.getItem(LAST_PROJECT);
  } catch {
    return null;
  }
}

export function rememberProject(project: string): void {
  try {
    window.localStorage.setItem(LAST_PROJECT, project);
  } catch {
    // Private windows may refuse.
  }
}

/** A choice of this person in this browser; null where none was made. */
export function remembered(name: string): string | null {
  try {
    return window.localStorage.getItem(`tidegate.${name}`);
  } catch {
    return null;
  }
}

export function remember(name: string, value: string | null): void {
  try {
    if (value === null) window.localStorage.removeItem(`tidegate.${name}`);
    else window.localStorage.setItem(`tidegate.${name}`, value);
  } catch {
    // Private windows may refuse.
  }
}

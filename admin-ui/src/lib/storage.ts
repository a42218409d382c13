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

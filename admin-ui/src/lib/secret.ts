/** One-time secrets arrive in the address: as `/#/link/<secret>`, or `/link/<secret>` where a proxy ate the fragment. */

const LINK = /^#?\/(link|setup)\/([^/?#]+)$/;

let taken: string | null = null;

/** Takes the secret out of the address, so that it stays in no history, and remembers it until the page is left. */
export function takeSecretFromAddress(): void {
  const match = LINK.exec(window.location.hash) ?? LINK.exec(window.location.pathname);
  if (!match?.[2]) return;
  taken = decodeURIComponent(match[2]);
  window.history.replaceState(null, "", "/link");
}

export function takenSecret(): string | null {
  return taken;
}

export function forgetSecret(): void {
  taken = null;
}

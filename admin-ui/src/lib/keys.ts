/** Keys as the server takes them. */
export const KEY = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export const KEY_RULE = "Letters, digits, dots, dashes and underscores; starts with a letter or digit.";

/** A key made of a name: “New checkout!” becomes `new-checkout`. */
export function keyFrom(name: string): string {
  return name
    .normalize("NFKD")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-+|-+$/g, "")
    .slice(0, 128);
}

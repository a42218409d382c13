/** What a role allows. The server decides; the UI only says beforehand, and why. */

import type { Me, Role } from "../api/types";

const ORDER: Role[] = ["viewer", "editor", "operator", "admin"];

const NEEDS = { edit: "editor", operate: "operator", administer: "admin" } as const satisfies Record<string, Role>;

export type Ability = keyof typeof NEEDS;

/** Why `me` may not, or null where they may. */
export function refusal(me: Me | undefined, project: string, ability: Ability): string | null {
  if (!me) return "You are signed out";
  if (me.instanceAdmin) return null;
  const role = me.roles[project];
  const needed = NEEDS[ability];
  if (role && ORDER.indexOf(role) >= ORDER.indexOf(needed)) return null;
  const doing = { edit: "Changing flags", operate: "Killing and restoring flags", administer: "This" }[ability];
  return `${doing} needs the role ${needed}; you are ${role ? `a${/^[aeo]/.test(role) ? "n" : ""} ${role}` : "not a member"} here`;
}

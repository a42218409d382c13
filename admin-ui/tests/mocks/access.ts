/** Who may do what, as the server's `app::access` has it. */

import type { Me, Role } from "../../src/api/types";
import type { OperationId } from "./document";
import { Refusal } from "./operations";

type Rank = Role | "instanceAdmin";

const RANKS: Rank[] = ["viewer", "editor", "operator", "admin", "instanceAdmin"];

/** What asks for more than being signed in. */
const NEEDED: Partial<Record<Rank, OperationId[]>> = {
  editor: [
    "createFlag", "updateFlag", "archiveFlag", "configureFlag", "createSegment", "updateSegment", "archiveSegment", "applyFlagFile", "startRollout",
    "createRolloutTemplate", "updateRolloutTemplate", "archiveRolloutTemplate", "testMetricSource",
  ],
  operator: ["kill", "restore", "moveRollout"],
  admin: [
    "updateProject", "archiveProject", "createEnvironment", "updateEnvironment", "archiveEnvironment", "createKey", "revokeKey", "setMember",
    "removeMember", "listUsers", "listTokens", "createToken", "revokeToken", "createMetricSource", "updateMetricSource", "archiveMetricSource",
    "listChannels", "getChannel", "createChannel", "updateChannel", "archiveChannel", "changeChannelKey", "testChannel", "listDeliveries",
    "retryDelivery",
  ],
  instanceAdmin: ["createProject", "getUser", "createUser", "updateUser", "archiveUser", "createSignInLink", "getSystem", "verifyAudit"],
};

const neededFor = (id: OperationId): Rank => RANKS.find((rank) => NEEDED[rank]?.includes(id)) ?? "viewer";

/** `project`: absent where the operation is of none; then a role in any project counts. */
export function mustBeAllowed({ instanceAdmin, roles }: Me, id: OperationId, project: string | undefined): void {
  const held = instanceAdmin ? ["instanceAdmin" as const] : Object.entries(roles).flatMap(([key, role]) => (project === undefined || key === project ? [role] : []));
  const needed = neededFor(id);
  if (needed === "viewer" || held.some((role) => RANKS.indexOf(role) >= RANKS.indexOf(needed))) return;
  throw new Refusal(403, "forbidden", needed === "instanceAdmin" ? "this needs an administrator of the instance" : `this needs the role ${needed}`);
}

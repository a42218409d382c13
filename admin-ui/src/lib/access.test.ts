import { expect, it } from "vitest";

import type { Me, Role } from "../api/types";
import { refusal } from "./access";

const me = (role?: Role): Me => ({ user: { id: "u", name: "U", email: "u@x" }, instanceAdmin: false, roles: role ? { shop: role } : {} });

it("says which role is missing", () => {
  expect(refusal(me("viewer"), "shop", "edit")).toBe("Changing flags needs the role editor; you are a viewer here");
  expect(refusal(me("editor"), "shop", "operate")).toBe("Killing and restoring flags needs the role operator; you are an editor here");
  expect(refusal(me(), "shop", "edit")).toBe("Changing flags needs the role editor; you are not a member here");
});

it("allows what a role or a higher one allows", () => {
  expect(refusal(me("editor"), "shop", "edit")).toBeNull();
  expect(refusal(me("admin"), "shop", "operate")).toBeNull();
  expect(refusal({ ...me(), instanceAdmin: true }, "shop", "administer")).toBeNull();
  expect(refusal(me("admin"), "bank", "edit")).not.toBeNull();
});

// What an application writes to declare its flags, compiled against the built package.
import { createClient } from "tidegate";

declare module "tidegate" {
  interface Flags {
    "new-checkout": boolean;
    "checkout-button-color": "green" | "blue";
  }
}

const flags = createClient({ url: "http://localhost", key: "tgs_x", offline: true });

export const color: "green" | "blue" = flags.string("checkout-button-color", "blue");
export const isNew: boolean = flags.boolean("new-checkout", false);
// @ts-expect-error -- no such flag
flags.boolean("new-chekout", false);
// @ts-expect-error -- not one of its values
flags.string("checkout-button-color", "red");

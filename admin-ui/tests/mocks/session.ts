/** Set-up and sessions. */

import type { Me } from "../../src/api/types";
import { Refusal, type Handlers } from "./operations";
import type { Store } from "./store";

export const sessionHandlers = (store: Store): Handlers => ({
  getSetup: () => ({ needed: store.setupNeeded }),
  completeSetup: ({ body }) => {
    if (body.password.length < 12) throw new Refusal(422, "invalid", "at least 12 characters", { field: "/password" });
    store.setupNeeded = false;
    return signedIn(store);
  },
  signIn: ({ body }) => {
    if (body.password !== "correct horse battery") throw new Refusal(401, "unauthenticated", "email and password do not belong together");
    return signedIn(store);
  },
  followLink: ({ body }) => {
    if (body.secret !== "good-secret") throw new Refusal(401, "unauthenticated", "this link was used, or its time is over");
    return signedIn(store);
  },
  getSession: () => store.me ?? store.person,
  signOut: () => void (store.me = null),
});

function signedIn(store: Store): Me {
  store.me = store.person;
  return store.person;
}

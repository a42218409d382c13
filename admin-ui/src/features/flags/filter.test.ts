import { expect, it } from "vitest";

import type { Broken, FlagState, ListedFlag } from "../../api/types";
import { matches, type FlagFilter } from "./filter";

const status = (change: Partial<FlagState>): FlagState => ({ enabled: false, killed: false, version: 1, summary: "off", ...change });

const FLAG: ListedFlag = {
  key: "new-checkout",
  name: "Neue Kasse ÄÖ",
  description: "One page, saved addresses",
  tags: ["checkout", "release"],
  kind: "boolean",
  variants: [],
  defaultVariant: "on",
  salt: "s",
  version: 1,
  createdAt: "2026-01-05T09:00:00Z",
  updatedAt: "2026-01-05T09:00:00Z",
  environments: {
    development: status({ enabled: true, rollout: "01JD" }),
    staging: status({ enabled: true, killed: true }),
    production: status({}),
    sandbox: status({ broken: "no such field" }),
  },
};
const BROKEN: Broken = { key: "old-checkout", broken: "no such field", version: 3 };

it.each<[FlagFilter, boolean]>([
  [{}, true],
  [{ search: "CHECK" }, true],
  [{ search: "kasse äö" }, true],
  [{ search: "saved" }, true],
  // Each of the texts by itself: none holds this.
  [{ search: "new-checkout neue" }, false],
  [{ tag: "release" }, true],
  [{ tag: "rel" }, false],
  [{ search: "kasse", tag: "ops" }, false],
  [{ kind: "boolean" }, true],
  [{ kind: "json" }, false],
  [{ state: "on", environment: "development" }, true],
  [{ state: "on", environment: "staging" }, false],
  [{ state: "killed", environment: "staging" }, true],
  [{ state: "off", environment: "production" }, true],
  [{ state: "off", environment: "sandbox" }, false],
  [{ state: "killed" }, true],
  [{ state: "rolling" }, true],
  [{ state: "rolling", environment: "production" }, false],
  [{ state: "on", environment: "gone" }, false],
  [{ environment: "gone" }, true],
])("%j shows the flag: %s", (filter, shown) => {
  expect(matches(FLAG, filter)).toBe(shown);
});

it.each<[FlagFilter, boolean]>([
  [{}, true],
  [{ search: "old" }, true],
  [{ search: "new" }, false],
  [{ tag: "release" }, false],
  [{ kind: "boolean" }, false],
  [{ state: "off" }, false],
])("%j shows a broken flag: %s", (filter, shown) => {
  expect(matches(BROKEN, filter)).toBe(shown);
});

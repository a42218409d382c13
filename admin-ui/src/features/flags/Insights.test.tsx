import { expect, it } from "vitest";

import type { ServedMinute } from "../../api/generated";
import { summed } from "./Insights";

it("adds variants up over the minutes, the most frequent first", () => {
  const minutes: ServedMinute[] = [
    { at: "2026-11-21T09:30:00Z", variants: { on: 3, off: 1, "": 2 } },
    { at: "2026-11-21T09:32:00Z", variants: { off: 4 } },
  ];
  expect(summed({ minutes, rules: {}, lastAt: "2026-11-21T09:32:05Z" })).toEqual([
    ["off", 5],
    ["on", 3],
    ["", 2],
  ]);
  expect(summed({ minutes: [], rules: {} })).toEqual([]);
});

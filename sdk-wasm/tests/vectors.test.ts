import { readFileSync, readdirSync } from "node:fs";

import { describe, expect, it } from "vitest";

import * as tidegate from "../js/node.js";
// @ts-expect-error -- plain JavaScript, so that browsers run it as it is
import { complaints, ofBucketing } from "./vectors.mjs";

const folder = new URL("../../spec/vectors/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.startsWith("evaluation-"));
const read = (name: string) => JSON.parse(readFileSync(new URL(name, folder), "utf8")) as { cases: unknown[] };

describe("the vectors", () => {
  it("bucketing-v1.json", () => {
    const vectors = ofBucketing(read("bucketing-v1.json"));
    expect(vectors.cases.length).toBeGreaterThanOrEqual(352);
    expect(complaints(tidegate, vectors)).toEqual([]);
  });

  it.each(files)("%s", (name) => {
    expect(complaints(tidegate, read(name))).toEqual([]);
  });

  it("are all there", () => {
    const cases = files.reduce((sum, name) => sum + read(name).cases.length, 0);
    expect(cases).toBeGreaterThanOrEqual(1_261);
  });
});

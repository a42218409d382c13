import { describe, expect, it } from "vitest";

import type { AuditRow, FlagState, Serve } from "../api/types";
import { auditWords, conditionWords, percent, serveWords, shares, stateWords } from "./words";

const plain = (text: string) => text.replaceAll("\u202f", " ");

describe("percent", () => {
  it.each([
    [25_000, "25 %"],
    [100_000, "100 %"],
    [125, "0.125 %"],
    [1, "0.001 %"],
    [0, "0 %"],
  ])("%i is %s", (weight, words) => expect(plain(percent(weight))).toBe(words));
});

describe("serveWords", () => {
  const check = (serve: Serve, words: string) => expect(plain(serveWords(serve))).toBe(words);

  it("sums a variant's ranges", () => {
    const ranges = [
      { start: 0, end: 10_000, variant: "on" },
      { start: 10_000, end: 90_000, variant: "off" },
      { start: 90_000, end: 100_000, variant: "on" },
    ];
    expect(shares({ ranges })).toEqual([
      { variant: "on", weight: 20_000 },
      { variant: "off", weight: 80_000 },
    ]);
    check({ distribution: { ranges } }, "on 20 %, off 80 %");
    check({ distribution: { ranges, bucketBy: "accountId" } }, "on 20 %, off 80 %, by accountId");
  });

  it("says how many units a rollout has", () => {
    check({ distribution: { rollout: { share: 5_000 }, weights: [{ variant: "on", weight: 100_000 }] } }, "on for 5 % of units");
  });

  it("says a variant as it is", () => check({ variant: "neural" }, "neural"));
});

describe("conditionWords", () => {
  const check = (condition: unknown, words: string) => expect(conditionWords(condition)).toBe(words);

  it("words tests, negations and groups", () => {
    check({ attribute: "plan", operator: "in", values: ["pro"] }, "plan is “pro”");
    check({ attribute: "plan", operator: "in", values: ["pro", "team"], negate: true }, "plan is none of “pro” or “team”");
    check({ attribute: "n", operator: "in", values: [1, 2, 3, 4, 5, 6] }, "n is one of 1, 2, 3, 4 or 2 more");
    check({ operator: "segment", values: ["beta"], negate: true }, "not in segment “beta”");
    check({ attribute: "email", operator: "exists", negate: true }, "email is absent");
    check({ any: [{ attribute: "a", operator: "exists" }, { none: [{ attribute: "b", operator: "exists" }] }] }, "any of (a is present; none of (b is present))");
  });

  it("words operators and shapes of newer servers", () => {
    check({ attribute: "a", operator: "resembles", values: ["b"] }, "a resembles “b”");
    check({ strange: 1 }, 'something this version does not know: {"strange":1}');
  });
});

describe("stateWords", () => {
  const boolean = {
    kind: "boolean" as const,
    variants: [
      { key: "on", value: true },
      { key: "off", value: false },
    ],
  };
  const check = (state: Partial<FlagState>, expected: object) => {
    const words = stateWords({ enabled: true, killed: false, version: 1, summary: "", ...state }, boolean);
    expect({ ...words, label: plain(words.label) }).toEqual({ before: "", ...expected });
  };

  it("reads the server's summaries", () => {
    check({ summary: "on" }, { tone: "on", label: "On for everyone", level: 1 });
    check({ summary: "off" }, { tone: "partial", label: "Off for everyone", level: 0 });
    check({ summary: "on 25 % / off 75 %" }, { tone: "partial", label: "On 25 % / off 75 %", level: 0.25 });
    check({ summary: "off 75 % / on 25 %" }, { tone: "partial", label: "Off 75 % / on 25 %", level: 0.25 });
    check({ summary: "2 targets, 1 rule, else on" }, { tone: "on", label: "On by default", before: "2 targets, 1 rule first", level: 1 });
    check({ summary: "1 rule, else 5 % of units: on 50 % / off 50 %" }, { tone: "partial", label: "5 % of units: on 50 % / off 50 %", before: "1 rule first", level: 0.025 });
  });

  it("says killed before anything else", () => {
    check({ killed: true, summary: "killed" }, { tone: "killed", label: "Killed", level: 0 });
    check({ enabled: false, summary: "off" }, { tone: "off", label: "Off", level: 0 });
  });

  it("draws flags of other kinds full", () => {
    const words = stateWords({ enabled: true, killed: false, version: 1, summary: "neural" }, { kind: "string", variants: [] });
    expect(words).toEqual({ tone: "on", label: "neural for everyone", before: "", level: 1 });
  });
});

describe("auditWords", () => {
  const row = (action: string, before: unknown, after: unknown): AuditRow => ({
    sequence: 1,
    at: "2026-11-21T09:00:00Z",
    actor: "user:u1",
    actorName: "Ada",
    action,
    project: "shop",
    environment: "production",
    resource: "flag/new-checkout",
    before,
    after,
    reason: "",
    requestId: "r",
    hash: "",
    leafVersion: 1,
    previousHash: "",
  });

  it("names the usual changes", () => {
    expect(auditWords(row("flag.kill", {}, {}))).toMatchObject({ verb: "killed", subject: "new-checkout", kind: "flag", tone: "killed" });
    expect(auditWords(row("flag.configure", { enabled: false, version: 1 }, { enabled: true, version: 2 }))).toMatchObject({ verb: "turned on", detail: "" });
    expect(auditWords(row("flag.update", { enabled: true }, { enabled: false }))).toMatchObject({ verb: "turned off" });
  });

  it("calls keys, tokens and people by their names", () => {
    expect(auditWords({ ...row("sdkKey.create", null, { name: "checkout service" }), resource: "sdkKey/5bccwtku" })).toMatchObject({ verb: "created", subject: "checkout service", kind: "SDK key" });
    expect(auditWords({ ...row("token.revoke", { name: "ci" }, null), resource: "token/01JD" }).subject).toBe("ci");
  });

  it("names the members that changed", () => {
    const words = auditWords(row("flag.update", { offVariant: "off", rules: [], default: { variant: "off" } }, { offVariant: "on", rules: [{}], default: { variant: "on" } }));
    expect(words.detail).toBe("default: off → on; off variant: “off” → “on”; rules");
  });
});

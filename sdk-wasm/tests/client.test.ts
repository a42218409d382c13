import { afterEach, beforeEach, describe, expect, expectTypeOf, it, vi } from "vitest";

import { Engine } from "../js/core.js";
import { Context, type Details, NotReadyError, createClient } from "../js/node.js";
import { CHANGE_SET, FLAGS, Fake } from "./fake.js";

const ada = { targetingKey: "ada-the-secret", plan: "pro" };

let fake: Fake;

beforeEach(() => {
  vi.useFakeTimers();
  fake = new Fake();
});

afterEach(() => {
  vi.useRealTimers();
});

/** Lets what waits for promises happen. */
const settle = () => vi.advanceTimersByTimeAsync(0);

describe("evaluation", () => {
  it("answers from the bootstrap, at once", () => {
    const client = fake.client({ bootstrap: FLAGS, offline: true });
    expect(client.status).toBe("READY");
    expect(client.boolean("a-boolean", false)).toBe(true);
    expect(client.string("a-string", "")).toBe("text");
    expect(client.number("a-number", 0)).toBe(1.5);
    expect(client.json("a-json", null)).toEqual({ list: [{ deep: 1 }] });
    expect(client.booleanDetails("a-boolean", false)).toEqual({ value: true, variant: "v", reason: "STATIC", flagVersion: 3 });
    expect(client.flagKeys()).toEqual(["a-boolean", "a-json", "a-number", "a-string", "split"]);
  });

  it("takes the bootstrap as text, too, and says what is wrong with it", () => {
    expect(fake.client({ bootstrap: JSON.stringify(FLAGS), offline: true }).boolean("a-boolean", false)).toBe(true);
    expect(fake.client({ bootstrap: "[1]", offline: true }).status).toBe("NOT_READY");
    expect(fake.warnings).toEqual(["the bootstrap is no flag file"]);
    const broken = { flags: [{ key: "broken", kind: 5 }, ...FLAGS.flags] };
    const client = fake.client({ bootstrap: broken, offline: true });
    expect(client.booleanDetails("broken", true)).toMatchObject({ value: true, errorCode: "PARSE_ERROR" });
    expect(client.boolean("a-boolean", false)).toBe(true);
    expect(fake.warnings[1]).toMatch(/^broken: /);
  });

  it.each<[string, (client: ReturnType<Fake["client"]>) => Details<unknown>, string]>([
    ["another kind", (client) => client.stringDetails("a-boolean", "mine"), "TYPE_MISMATCH"],
    ["an unknown flag", (client) => client.stringDetails("nothing", "mine"), "FLAG_NOT_FOUND"],
    ["a context that is none", (client) => client.stringDetails("a-string", "mine", { targetingKey: 1n } as never), "INVALID_CONTEXT"],
    ["no targeting key", (client) => client.details("split", "mine"), "TARGETING_KEY_MISSING"],
  ])("gives the default and a code for %s", (_, ask, errorCode) => {
    const client = fake.client({ bootstrap: FLAGS, offline: true });
    expect(ask(client)).toMatchObject({ value: "mine", reason: "ERROR", errorCode });
  });

  it("gives the default before there are flags", () => {
    const client = fake.client();
    expect(client.boolean("a-boolean", true)).toBe(true);
    expect(client.booleanDetails("a-boolean", true).errorCode).toBe("PROVIDER_NOT_READY");
  });

  it("hands out JSON that nobody can change", () => {
    const client = fake.client({ bootstrap: FLAGS, offline: true });
    const value = client.json("a-json", null) as { list: { deep: number }[] };
    expect(() => value.list[0] && (value.list[0].deep = 2)).toThrow(TypeError);
    expect(client.json("a-json", null)).toBe(value);
  });

  it("evaluates for the context given, else for the one set, else for nobody", async () => {
    const client = fake.client({ bootstrap: FLAGS, offline: true, context: ada });
    const bucket = (context?: object) => client.booleanDetails("split", false, context as never).bucket;
    const ofAda = bucket();
    expect(ofAda).toBeTypeOf("number");
    expect(bucket(new Context(ada))).toBe(ofAda);
    expect(bucket({ ...ada })).toBe(ofAda);
    expect(bucket({ targetingKey: "bob" })).not.toBe(ofAda);
    await client.setContext({ targetingKey: "bob" });
    expect(bucket()).toBe(bucket({ targetingKey: "bob" }));
  });

  it("reads plain fields anew each time, whatever it remembers", () => {
    const client = fake.client({ bootstrap: FLAGS, offline: true });
    const bucket = (targetingKey: string) => client.booleanDetails("split", false, { targetingKey }).bucket;
    const units = Array.from({ length: 600 }, (_, index) => `unit-${index}`);
    const first = units.map(bucket);
    expect(units.map(bucket)).toEqual(first);
    expect(new Set(first).size).toBeGreaterThan(500);
    const fields = { targetingKey: "unit-0" };
    expect(client.booleanDetails("split", false, fields).bucket).toBe(first[0]);
    fields.targetingKey = "unit-1";
    expect(client.booleanDetails("split", false, fields).bucket).toBe(first[1]);
  });

  it("prepares a context once: what happens to the fields later changes nothing", () => {
    const client = fake.client({ bootstrap: FLAGS, offline: true });
    const fields = { ...ada };
    const context = new Context(fields);
    const before = client.booleanDetails("split", false, context);
    fields.targetingKey = "bob";
    expect(client.booleanDetails("split", false, context)).toEqual(before);
  });
});

describe("the connection", () => {
  it("brings the client in step, and tells", async () => {
    const client = fake.client();
    const statuses: string[] = [];
    client.onStatus((status) => statuses.push(status));
    const ready = client.ready(1_000);
    const socket = fake.serve();
    await expect(ready).resolves.toBe("READY");
    expect(statuses).toEqual(["READY"]);
    expect(socket.sent.map(({ type }) => type)).toEqual(["hello", "ack"]);
    expect(client.revision).toBe(1);
  });

  it("is made anew when it breaks, and the old socket is not listened to", async () => {
    const client = fake.client();
    const first = fake.serve();
    first.listener.onClosed("broken", 0, "cut");
    expect(client.status).toBe("STALE");
    await vi.advanceTimersByTimeAsync(300);
    expect(fake.sockets).toHaveLength(2);
    first.listener.onText(CHANGE_SET);
    first.listener.onClosed("refused", 0, "late");
    expect(client.status).toBe("STALE");
    fake.serve();
    expect(client.status).toBe("READY");
  });

  it("is an error past the grace period, and values say so", async () => {
    const client = fake.client({ bootstrap: FLAGS, graceMs: 2_000, polling: false });
    await vi.advanceTimersByTimeAsync(2_001);
    expect(client.status).toBe("ERROR");
    expect(client.booleanDetails("a-boolean", false)).toMatchObject({ value: true, reason: "STALE" });
  });

  it("waits as long as a busy server asks", async () => {
    fake.client({ polling: false });
    fake.socket.listener.onClosed("busy", 5_000, "busy");
    await vi.advanceTimersByTimeAsync(4_900);
    expect(fake.sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(400);
    expect(fake.sockets).toHaveLength(2);
  });

  it("is fatal where the key is refused, and `ready` does not wait", async () => {
    const client = fake.client();
    const ready = client.ready(60_000);
    fake.socket.listener.onClosed("refused", 0, "the server answered 401");
    await expect(ready).rejects.toThrow(new NotReadyError("FATAL", "the server answered 401"));
  });

  it("gives up waiting at the deadline, with what there is", async () => {
    const empty = fake.client().ready(100);
    const stale = fake.client({ bootstrap: FLAGS }).ready(100);
    const outcomes = Promise.allSettled([empty, stale]);
    await vi.advanceTimersByTimeAsync(100);
    expect(await outcomes).toMatchObject([{ status: "rejected" }, { status: "fulfilled", value: "STALE" }]);
  });

  it("tells every listener, whatever another does", () => {
    const client = fake.client();
    const heard: string[] = [];
    client.onStatus(() => {
      throw new Error("mine");
    });
    const unsubscribe = client.onStatus((status) => heard.push(status));
    fake.serve();
    unsubscribe();
    fake.socket.listener.onClosed("broken", 0, "cut");
    expect(heard).toEqual(["READY"]);
    expect(fake.warnings).toContain("a listener threw: Error: mine");
  });

  it("ends where the core fails, without an exception for the application", async () => {
    const client = fake.client({ bootstrap: FLAGS });
    const failure = vi.spyOn(Engine.prototype, "onMessage").mockImplementation(() => {
      throw new WebAssembly.RuntimeError("unreachable");
    });
    const socket = fake.serve();
    failure.mockRestore();
    expect([client.status, socket.closed]).toEqual(["FATAL", true]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(fake.sockets).toHaveLength(1);
    expect(client.boolean("a-boolean", false)).toBe(true);
    await client.close();
  });

  it("ends with the client", async () => {
    const client = fake.client();
    const socket = fake.serve();
    await client.close();
    await client.close();
    expect(socket.closed).toBe(true);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(fake.sockets).toHaveLength(1);
  });
});

describe("polling", () => {
  const changes = (etag: string) => new Response(CHANGE_SET, { status: 200, headers: { etag } });

  it("keeps the client in step where no socket opens", async () => {
    fake.blocked = true;
    fake.answer = () => changes('"one"');
    const client = fake.client({ polling: { intervalMs: 10_000 } });
    await vi.advanceTimersByTimeAsync(3_000);
    expect(client.status).toBe("READY");
    expect(fake.requests[0]).toMatchObject({
      url: "https://flags.example.com/api/v1/changes",
      headers: { authorization: "Bearer tgs_secret" },
    });

    fake.answer = () => new Response(null, { status: 304 });
    await vi.advanceTimersByTimeAsync(10_000);
    const digest = "0".repeat(32);
    expect(fake.requests[1]).toMatchObject({
      url: `https://flags.example.com/api/v1/changes?epoch=e1&revision=1&digest=${digest}`,
      headers: { "if-none-match": '"one"' },
    });
    expect(client.status).toBe("READY");

    fake.blocked = false;
    while (fake.sockets.length === 0) await vi.advanceTimersByTimeAsync(100);
    fake.serve();
    const asked = fake.requests.length;
    await vi.advanceTimersByTimeAsync(50_000);
    expect(fake.requests).toHaveLength(asked);
  });

  it("tells what the socket of a browser cannot: that the key is refused", async () => {
    fake.blocked = true;
    fake.answer = () => new Response(null, { status: 401 });
    const client = fake.client();
    await vi.advanceTimersByTimeAsync(3_000);
    expect(client.status).toBe("FATAL");
  });

  it("is not done where it is not wanted", async () => {
    fake.blocked = true;
    fake.client({ polling: false });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(fake.requests).toEqual([]);
  });
});

describe("events", () => {
  const bodies = () => fake.requests.map(({ body }) => JSON.parse(body ?? "null") as Record<string, unknown>);

  it("count exposures by flag, variant and unit, and name nobody", async () => {
    const client = fake.client({ bootstrap: FLAGS, context: ada });
    for (let call = 0; call < 3; call += 1) client.boolean("a-boolean", false);
    client.boolean("a-boolean", false, {});
    client.string("a-boolean", "mine");
    client.boolean("nothing", false);
    client.track("paid", 9.5);
    client.track("left");
    await client.flush();
    const [batch] = bodies();
    expect(batch).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f]{32}$/) as string,
      measurements: [{ metric: "paid", value: 9.5 }, { metric: "left" }],
    });
    const exposures = batch?.exposures as { flag: string; variant?: string; version: number; unit?: string; count: number }[];
    const seen = exposures.map(({ flag, variant, unit, count, version }) => [flag, variant, unit?.length, count, version]);
    expect(seen).toHaveLength(3);
    expect(seen).toEqual(
      expect.arrayContaining([
        ["a-boolean", "v", 16, 3, 3],
        ["a-boolean", "v", undefined, 1, 3],
        ["a-boolean", undefined, 16, 1, 3],
      ]),
    );
    expect(JSON.stringify(batch)).not.toContain("ada");
    expect(fake.requests[0]).toMatchObject({ method: "POST", url: "https://flags.example.com/api/v1/events" });
  });

  it("are sent now and then, and not when there are none", async () => {
    const client = fake.client({ bootstrap: FLAGS, events: { intervalMs: 1_000 } });
    await vi.advanceTimersByTimeAsync(1_500);
    expect(fake.requests).toEqual([]);
    client.boolean("a-boolean", false);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(bodies()).toHaveLength(1);
  });

  it("go over the stream where there is one, and over HTTP where it does not answer", async () => {
    const client = fake.client();
    const socket = fake.serve();
    client.track("paid");
    const flushed = client.flush();
    await settle();
    const sent = socket.sent.at(-1);
    expect(sent).toMatchObject({ type: "events", measurements: [{ metric: "paid" }] });
    socket.listener.onText(JSON.stringify({ type: "received", id: sent?.id }));
    await flushed;
    expect(fake.requests).toEqual([]);

    client.track("left");
    const repeated = client.flush();
    await vi.advanceTimersByTimeAsync(10_000);
    await repeated;
    expect(bodies()[0]?.id).toBe(socket.sent.findLast(({ type }) => type === "events")?.id);
  });

  it("that are not taken are sent again under their id; those refused count as dropped", async () => {
    const client = fake.client();
    client.track("paid");
    fake.answer = () => new Response(null, { status: 503 });
    await client.flush();
    fake.answer = () => new Response(null, { status: 400 });
    await client.flush();
    fake.answer = () => new Response(null, { status: 202 });
    client.track("left");
    await client.flush();
    const [first, second, third] = bodies();
    expect(second).toEqual(first);
    expect(third).toMatchObject({ dropped: 1, measurements: [{ metric: "left" }] });
    expect(third?.id).not.toBe(first?.id);
  });

  it("are flushed on close", async () => {
    const client = fake.client();
    client.track("paid");
    await client.close();
    expect(bodies()).toHaveLength(1);
  });

  it("are not gathered where they are not wanted", async () => {
    const client = fake.client({ bootstrap: FLAGS, events: false });
    client.boolean("a-boolean", false);
    client.track("paid");
    await client.close();
    expect(fake.requests).toEqual([]);
  });
});

describe("the cache", () => {
  it("is written some time after a change, and read at the next start", async () => {
    const texts = new Map<string, string>();
    const cache = {
      read: async (scope: string) => texts.get(scope),
      write: async (scope: string, text: string) => void texts.set(scope, text),
    };
    const client = fake.client({ cache });
    await settle();
    fake.serve();
    expect(texts.size).toBe(0);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(texts.size).toBe(1);
    await client.close();
    const again = fake.client({ cache, offline: true });
    await settle();
    expect([again.status, again.revision]).toEqual(["READY", 1]);
    const other = fake.client({ cache, offline: true, key: "tgs_other" });
    await settle();
    expect(other.status).toBe("NOT_READY");
  });

  it("that fails is as good as empty", async () => {
    const cache = {
      read: () => {
        throw new Error("forbidden");
      },
      write: () => {
        throw new Error("full");
      },
    };
    const client = fake.client({ cache });
    fake.serve();
    await client.close();
    expect(fake.warnings).toEqual(["the cache cannot be read: Error: forbidden", "the cache cannot be written: Error: full"]);
    fake.client({ cache: { read: () => "damaged", write: () => {} }, offline: true });
    expect(fake.warnings[2]).toMatch(/damaged/);
  });
});

describe("logs", () => {
  it("tell neither the key nor who was evaluated for", async () => {
    const client = fake.client({ bootstrap: FLAGS, context: ada, graceMs: 1 });
    client.boolean("a-boolean", false);
    fake.blocked = true;
    fake.answer = () => new Response(null, { status: 500 });
    fake.socket.listener.onClosed("broken", 0, "cut");
    await vi.advanceTimersByTimeAsync(20_000);
    await client.close();
    const logged = [...fake.warnings, ...fake.debug].join("\n");
    expect(logged).toContain("no connection");
    expect(logged).not.toMatch(/tgs_secret|ada-the-secret|pro\b/);
  });
});

describe("a client key", () => {
  it("tells the server the context, and waits for its answer", async () => {
    const client = fake.client({ key: "tgc_public", context: ada, signature: "00" });
    const socket = fake.serve();
    expect(socket.sent[0]).toMatchObject({ type: "hello", context: ada, signature: "00" });
    let answered = false;
    const changed = client.setContext({ targetingKey: "bob" }).then(() => {
      answered = true;
    });
    await settle();
    expect(socket.sent.at(-1)).toEqual({ type: "context", context: { targetingKey: "bob" } });
    expect(answered).toBe(false);
    socket.listener.onText(CHANGE_SET);
    await changed;
  });
});

describe("a client key that polls", () => {
  it("asks for its context, and at once when that changes", async () => {
    fake.blocked = true;
    fake.answer = () => new Response(CHANGE_SET, { status: 200, headers: { etag: '"one"' } });
    const client = fake.client({ key: "tgc_public", context: ada, signature: "00", polling: { afterAttempts: 0 } });
    await settle();
    expect(client.status).toBe("READY");
    expect(fake.requests[0]).toMatchObject({ method: "POST", url: "https://flags.example.com/api/v1/changes" });
    expect(JSON.parse(fake.requests[0]?.body ?? "")).toEqual({ context: ada, signature: "00" });

    fake.answer = () => new Response(null, { status: 304 });
    const changed = client.setContext({ targetingKey: "bob" });
    await settle();
    await changed;
    const digest = "0".repeat(32);
    expect(JSON.parse(fake.requests[1]?.body ?? "")).toEqual({
      position: { epoch: "e1", revision: 1, digest },
      context: { targetingKey: "bob" },
    });
  });
});

describe("declared flags", () => {
  interface Shop {
    "new-checkout": boolean;
    color: "green" | "blue";
    threshold: number;
    model: { readonly name: string };
  }

  it("are checked by the compiler", () => {
    const client = createClient<Shop>({ url: "http://localhost", key: "tgs_x", offline: true, bootstrap: FLAGS });
    expectTypeOf(client.boolean("new-checkout", false)).toEqualTypeOf<boolean>();
    expectTypeOf(client.string("color", "blue")).toEqualTypeOf<"green" | "blue">();
    expectTypeOf(client.number("threshold", 1)).toEqualTypeOf<number>();
    expectTypeOf(client.json("model", { name: "none" })).toEqualTypeOf<{ readonly name: string }>();
    // @ts-expect-error -- no such flag
    client.boolean("new-chekout", false);
    // @ts-expect-error -- another kind
    client.boolean("color", false);
    // @ts-expect-error -- not one of its values
    client.string("color", "red");
    expect(client.boolean("new-checkout", true)).toBe(true);
  });
});

import { deflateRawSync, inflateRawSync } from "node:zlib";

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { BadFrame, MAX_FRAME_BYTES, type Inflate, readFrame } from "../js/frame.js";
import { standardInflate } from "../js/inflate.js";
import { CHANGE_SET, COMMIT, Fake, type FakeSocket, HELLO, INTENT } from "./fake.js";

/** A frame as the server makes it, or one that declares another length. */
function frame(content: string | Uint8Array, declared = Buffer.from(content).length): Uint8Array {
  const header = Buffer.from([1, 0, 0, 0, 0]);
  header.writeUInt32LE(declared, 1);
  return Buffer.concat([header, deflateRawSync(content)]);
}

const MEGABYTE = "x".repeat(1_000_000);
const whole = frame("whole");

const UNKNOWN = "the frame is compressed in a way that is not known";
const TOO_LARGE = "the frame declares more bytes than are allowed";
const TORN = "the frame does not hold what it declares";

const REFUSED: [string, Uint8Array, string][] = [
  ["nothing", new Uint8Array(), UNKNOWN],
  ["half a header", whole.subarray(0, 4), UNKNOWN],
  ["another compression", Uint8Array.from([2, ...whole.subarray(1)]), UNKNOWN],
  ["more than the limit", frame("x", MAX_FRAME_BYTES + 1), TOO_LARGE],
  ["as much as can be declared", frame("x", 2 ** 32 - 1), TOO_LARGE],
  ["a header alone", whole.subarray(0, 5), TORN],
  ["a part", whole.subarray(0, -1), TORN],
  ["more than it declares", frame("ab", 1), TORN],
  ["less than it declares", frame("ab", 3), TORN],
  ["something, where it declares nothing", frame("a", 0), TORN],
  ["a bomb", frame(MEGABYTE, 1_000), TORN],
  ["no DEFLATE", Uint8Array.from([1, 5, 0, 0, 0, 255, 255, 255]), TORN],
  ["no UTF-8", frame(Uint8Array.from([0xe9])), TORN],
];

const TEXTS = ["", "a", "\ufeffä€😀", MEGABYTE];

describe("in browsers, a binary frame", () => {
  const inflate = standardInflate(DecompressionStream);

  it.each(TEXTS)("holds its text", async (text) => {
    expect(await readFrame(frame(text), inflate)).toBe(text);
  });

  it.each(REFUSED)("of %s is refused", async (_, bytes, why) => {
    await expect((async () => readFrame(bytes, inflate))()).rejects.toThrow(new BadFrame(why));
  });

  it("that holds more than it declares is not inflated any further", async () => {
    let held = 0;
    // As browsers do: a piece is inflated whole. What Node.js has under this name inflates all, whoever reads it.
    class Thousandfold extends TransformStream<Uint8Array, Uint8Array> {
      constructor() {
        super({
          transform: (piece, controller) => {
            held += piece.length * 1_000;
            controller.enqueue(new Uint8Array(piece.length * 1_000));
          },
        });
      }
    }
    const inflateThousandfold = standardInflate(Thousandfold as unknown as typeof DecompressionStream);
    const bomb = Uint8Array.from([1, 0, 0, 128, 0, ...new Uint8Array(60_000)]);
    await expect(readFrame(bomb, inflateThousandfold)).rejects.toThrow(new BadFrame(TORN));
    expect(held).toBeGreaterThan(8 * 2 ** 20);
    expect(held).toBeLessThan(20 * 2 ** 20);
  });

  it("cannot be read where raw DEFLATE is not known", () => {
    const Older = vi.fn(function construct() {
      throw new TypeError("Unsupported compression format: 'deflate-raw'");
    });
    expect(standardInflate(Older as unknown as typeof DecompressionStream)).toBeUndefined();
    expect(Older).toHaveBeenCalledWith("deflate-raw");
    expect(standardInflate(undefined)).toBeUndefined();
    expect(() => readFrame(whole, undefined)).toThrow(new BadFrame(UNKNOWN));
  });
});

describe("a client", () => {
  let fake: Fake;

  beforeEach(() => {
    vi.useFakeTimers();
    fake = new Fake();
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  /** Open, and greeted. */
  function opened(): FakeSocket {
    fake.socket.listener.onOpen();
    fake.socket.listener.onText(HELLO);
    return fake.socket;
  }

  /** Inflates when the test says so. */
  function late() {
    const waiting: { compressed: Uint8Array; settle: (inflated: Promise<Uint8Array>) => void }[] = [];
    const inflate: Inflate = (compressed) => new Promise((settle) => void waiting.push({ compressed, settle }));
    const next = async (inflated: (compressed: Uint8Array) => Promise<Uint8Array>) => {
      const { compressed, settle } = waiting.shift() ?? expect.fail("nothing is being inflated");
      settle(inflated(compressed));
      await vi.advanceTimersByTimeAsync(0);
    };
    return {
      waiting,
      inflate,
      done: () => next(async (compressed) => inflateRawSync(compressed)),
      failed: () => next(() => Promise.reject(new TypeError("torn"))),
    };
  }

  it("reads compressed frames at once in Node.js", () => {
    const client = fake.client();
    const { listener, sent } = opened();
    expect(sent[0]).toMatchObject({ type: "hello", accepts: ["deflate"] });
    listener.onBinary(frame(CHANGE_SET));
    expect([client.status, client.revision]).toEqual(["READY", 1]);
  });

  it.each(REFUSED)("in Node.js gives up a connection that brings a frame of %s", (_, bytes, why) => {
    const client = fake.client();
    const socket = fake.serve();
    fake.debug.length = 0;
    socket.listener.onBinary(bytes);
    expect([client.status, socket.closed]).toEqual(["STALE", true]);
    expect(fake.debug).toEqual([`Error: ${why}`, "no connection: a compressed frame cannot be read", "status STALE"]);
  });

  it("says that it reads text only where its platform cannot inflate", () => {
    fake.clientWith(undefined);
    const socket = opened();
    expect(socket.sent[0]).toMatchObject({ type: "hello" });
    expect(socket.sent[0]).not.toHaveProperty("accepts");
    socket.listener.onBinary(frame(CHANGE_SET));
    expect(socket.closed).toBe(true);
  });

  it("hears what follows a frame that is still being inflated behind it, and then at once again", async () => {
    const { inflate, waiting, done } = late();
    const client = fake.clientWith(inflate);
    const told: string[] = [];
    client.onStatus((status) => told.push(status));
    client.onChange(() => told.push("changed"));
    const { listener, sent } = opened();
    expect(sent[0]).toMatchObject({ accepts: ["deflate"] });
    listener.onBinary(frame(INTENT));
    listener.onBinary(frame(COMMIT));
    listener.onText(CHANGE_SET.replaceAll('"revision":1', '"revision":2'));
    expect(waiting).toHaveLength(1);
    await done();
    expect([waiting.length, client.revision]).toEqual([1, undefined]);
    await done();
    expect([client.status, client.revision]).toEqual(["READY", 2]);
    expect(sent.filter(({ type }) => type === "ack").map(({ revision }) => revision)).toEqual([1, 2]);

    listener.onText(CHANGE_SET.replaceAll('"revision":1', '"revision":3'));
    expect(client.revision).toBe(3);

    listener.onBinary(frame(CHANGE_SET.replaceAll('"revision":1', '"revision":4')));
    listener.onClosed("broken", 0, "cut");
    expect(client.status).toBe("READY");
    await done();
    expect([client.status, client.revision]).toEqual(["STALE", 4]);
    expect(told).toEqual(["READY", "STALE"]);
  });

  it("gives up a connection with all that waits where a frame cannot be inflated", async () => {
    const { inflate, waiting, failed } = late();
    const client = fake.clientWith(inflate);
    const socket = fake.serve();
    socket.listener.onBinary(frame(INTENT));
    socket.listener.onBinary(frame(INTENT));
    socket.listener.onText(CHANGE_SET.replaceAll('"revision":1', '"revision":2'));
    socket.listener.onClosed("refused", 0, "late");
    await failed();
    expect([client.status, client.revision, socket.closed, waiting.length]).toEqual(["STALE", 1, true, 0]);
    await vi.advanceTimersByTimeAsync(300);
    expect(fake.sockets).toHaveLength(2);
  });

  it("does not hear what is inflated when the connection is gone", async () => {
    const { inflate, waiting, done } = late();
    const client = fake.clientWith(inflate);
    const first = opened();
    first.listener.onBinary(frame(CHANGE_SET));
    // No change set came in time.
    await vi.advanceTimersByTimeAsync(31_000);
    expect([first.closed, fake.sockets.length]).toEqual([true, 2]);
    const second = opened();
    first.listener.onBinary(frame(CHANGE_SET));
    await done();
    expect([client.status, client.revision, waiting.length]).toEqual(["ERROR", undefined, 0]);
    second.listener.onText(CHANGE_SET);
    expect([client.status, client.revision]).toEqual(["READY", 1]);
  });

  it("is not disturbed by what is inflated when it is closed", async () => {
    const { inflate, done } = late();
    const client = fake.clientWith(inflate);
    opened().listener.onBinary(frame(CHANGE_SET));
    await client.close();
    await done();
    expect([client.status, client.revision]).toEqual(["NOT_READY", undefined]);
  });
});

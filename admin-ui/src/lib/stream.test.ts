import { beforeEach, describe, expect, it } from "vitest";

import { FakeSocket } from "../../tests/mocks/socket";
import { followStream, worst, type Change, type Health } from "./stream";

/** A clock and timers that move only when told to. */
class Time {
  now = 1_000_000;
  private timers: { at: number; run: () => void }[] = [];

  after = (ms: number, then: () => void) => {
    const timer = { at: this.now + ms, run: then };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((each) => each !== timer);
    };
  };

  advance(ms: number) {
    const end = this.now + ms;
    for (;;) {
      const next = this.timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((each) => each !== next);
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }
}

function follow() {
  const time = new Time();
  const sockets: FakeSocket[] = [];
  const healths: Health[] = [];
  const changes: Change[] = [];
  let refusals = 0;
  const stream = followStream(
    {
      connect: () => {
        const socket = new FakeSocket();
        sockets.push(socket);
        return socket;
      },
      now: () => time.now,
      random: () => 0.5,
      after: time.after,
    },
    { onHealth: (health) => healths.push(health), onChange: (change) => changes.push(change), onRefused: () => refusals++ },
  );
  const socket = () => {
    const last = sockets.at(-1);
    if (!last) throw new Error("not connected");
    return last;
  };
  return { time, sockets, socket, stream, changes, phase: () => healths.at(-1)?.phase, refusals: () => refusals };
}

describe("followStream", () => {
  let it_: ReturnType<typeof follow>;
  beforeEach(() => {
    it_ = follow();
  });

  it("says hello, is live with the first commit, and acknowledges it", () => {
    const { socket, changes, phase } = it_;
    expect(phase()).toBe("connecting");
    socket().greet(7);
    expect(socket().sent).toEqual([
      { type: "hello", protocol: 1, sdk: "tidegate-admin-ui/0.1.0" },
      { type: "ack", epoch: "e1", revision: 7 },
    ]);
    expect(phase()).toBe("live");
    expect(changes).toEqual([]);
  });

  it("tells of later commits and of kills", () => {
    const { socket, changes } = it_;
    socket().greet(7);
    socket().receive({ type: "kill", epoch: "e1", revision: 8, flags: ["a"] });
    socket().commit(8);
    expect(changes).toEqual([
      { revision: 8, killed: ["a"], changed: null },
      { revision: 8, killed: [], changed: [{ kind: "flag", key: "a", version: 3 }] },
    ]);
  });

  it("tells what is changed and deleted, of all parts of a change set; of a whole environment, nothing", () => {
    const { socket, changes } = it_;
    socket().greet(7);
    const to = { epoch: "e1", revision: 8, digest: "0" };
    socket().receive({ type: "intent", transfer: "changes", to }, { type: "objects", put: [{ kind: "segment", key: "beta", body: { version: 2 } }] });
    socket().receive({ type: "objects", delete: [{ kind: "flag", key: "old" }] }, { type: "commit", to });
    socket().commit(9, "full");
    expect(changes.map(({ changed }) => changed)).toEqual([
      [
        { kind: "segment", key: "beta", version: 2 },
        { kind: "flag", key: "old", version: null },
      ],
      null,
    ]);
  });

  it("comes back with what it has, and tells only if something changed meanwhile", () => {
    const { socket, sockets, time, changes, phase } = it_;
    socket().greet(7);
    socket().onclose?.();
    expect(phase()).toBe("reconnecting");
    time.advance(10_000);
    expect(sockets.length).toBe(2);
    socket().greet(7, "none");
    expect(socket().sent[0]).toMatchObject({ type: "hello", position: { epoch: "e1", revision: 7 } });
    expect(phase()).toBe("live");
    expect(changes).toEqual([]);
    socket().onclose?.();
    time.advance(10_000);
    socket().greet(9);
    expect(changes).toEqual([{ revision: 9, killed: [], changed: null }]);
  });

  it("takes a silent server for dead after three heartbeats", () => {
    const { socket, time, phase } = it_;
    socket().greet(7);
    time.advance(44_000);
    expect(phase()).toBe("live");
    socket().receive({ type: "heartbeat" });
    time.advance(44_000);
    expect(phase()).toBe("live");
    time.advance(2_000);
    expect(phase()).toBe("reconnecting");
  });

  it("sends heartbeats as often as the server asked for", () => {
    const { socket, time } = it_;
    socket().greet(7);
    time.advance(30_500);
    expect(socket().sent.filter(({ type }) => type === "heartbeat").length).toBe(2);
  });

  it("waits as long as a goodbye asks for", () => {
    const { socket, sockets, time } = it_;
    socket().greet(7);
    socket().receive({ type: "goodbye", reason: "shutdown", retryAfterMs: 9_000 });
    time.advance(8_999);
    expect(sockets.length).toBe(1);
    time.advance(1);
    expect(sockets.length).toBe(2);
  });

  it("backs off further with each failure, to half a minute at most", () => {
    const { socket, sockets, time } = it_;
    for (let failures = 0; failures < 12; failures++) {
      socket().onclose?.();
      time.advance(15_000);
    }
    // Half of 30 s is the longest wait here, so no failure takes longer than that to be tried again.
    expect(sockets.length).toBe(13);
  });

  it("tells when it is not let in, or sent away, but not when a connection just broke", () => {
    const { socket, sockets, time, refusals } = it_;
    socket().greet(7);
    socket().onclose?.();
    expect(refusals()).toBe(0);
    time.advance(30_000);
    socket().onclose?.();
    expect(refusals()).toBe(1);
    time.advance(30_000);
    socket().greet(8);
    const before = sockets.length;
    socket().receive({ type: "goodbye", reason: "revoked", retryAfterMs: 0 });
    expect(refusals()).toBe(2);
    time.advance(29_000);
    expect(sockets.length).toBe(before);
  });

  it("stays silent once stopped", () => {
    const { socket, sockets, stream, time } = it_;
    socket().greet(7);
    stream.stop();
    time.advance(100_000);
    expect(sockets.length).toBe(1);
    expect(socket().closed).toBe(true);
  });

  it("ignores what it does not know", () => {
    const { socket, phase } = it_;
    socket().greet(7);
    socket().onmessage?.({ data: "not json" });
    socket().receive({ type: "confetti" });
    expect(phase()).toBe("live");
  });
});

describe("worst", () => {
  it("is the worst of all, longest first", () => {
    const live: Health = { phase: "live", since: 1, revision: 1 };
    expect(worst([])).toBeNull();
    expect(worst([live, { phase: "reconnecting", since: 5 }, { phase: "reconnecting", since: 3 }])).toEqual({ phase: "reconnecting", since: 3 });
    expect(worst([live, { phase: "connecting", since: 2 }])?.phase).toBe("connecting");
  });
});

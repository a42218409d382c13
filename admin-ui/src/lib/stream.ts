/**
 * The UI's end of the stream that SDKs use (`protocol/src/message.rs`): it keeps no flags, it learns that they changed.
 * Sockets, timers and randomness are parameters, so that tests run it without any.
 */

export interface Position {
  epoch: string;
  revision: number;
  digest: string;
}

type ServerMessage =
  | { type: "hello"; protocol: number; heartbeatMs: number }
  | { type: "intent"; transfer: "none" | "changes" | "full"; to: Position }
  | { type: "objects"; line: string }
  | { type: "commit"; to: Position }
  | { type: "kill"; epoch: string; revision: number; flags: string[] }
  | { type: "heartbeat" }
  | { type: "goodbye"; reason: string; retryAfterMs: number };

/** An object that a change set puts; one that it deletes has no version. */
export interface ChangedObject {
  kind: string;
  key: string;
  version: number | null;
}

export interface Change {
  revision: number;
  killed: string[];
  /** Null where the stream does not say: anything may have changed. */
  changed: ChangedObject[] | null;
}

export type Health =
  /** Never been connected. */
  | { phase: "connecting"; since: number }
  | { phase: "live"; since: number; revision: number }
  /** Was live; `since` is when it was last heard of. */
  | { phase: "reconnecting"; since: number };

export interface Socket {
  send(text: string): void;
  close(): void;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: (() => void) | null;
  onerror: (() => void) | null;
}

export interface StreamPorts {
  connect(): Socket;
  now(): number;
  /** 0 ≤ x < 1. */
  random(): number;
  /** Runs `then` after `ms`; the answer cancels it. */
  after(ms: number, then: () => void): () => void;
}

export interface StreamEvents {
  onHealth(health: Health): void;
  /** The environment is at another revision than before. */
  onChange(change: Change): void;
  /** The server would not have us, or could not be asked: perhaps the session has ended. */
  onRefused(): void;
}

const SDK = "tidegate-admin-ui/0.1.0";
const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;
const DEFAULT_HEARTBEAT_MS = 15_000;
/** As in the protocol: a side that hears nothing for three heartbeats takes the other for dead. */
const SILENT_HEARTBEATS = 3;

/** Follows one environment until it is stopped. */
export function followStream(ports: StreamPorts, events: StreamEvents): { stop(): void; retryNow(): void } {
  let socket: Socket | null = null;
  let position: Position | null = null;
  /** What the change set under way has changed so far; null where it is everything. */
  let changed: ChangedObject[] | null = null;
  let health: Health = { phase: "connecting", since: ports.now() };
  let failures = 0;
  let notBeforeMs = 0;
  let greeted = false;
  let heartbeatMs = DEFAULT_HEARTBEAT_MS;
  let stopped = false;
  let cancelRetry = () => {};
  let cancelWatchdog = () => {};
  let cancelHeartbeat = () => {};

  const show = (next: Health) => {
    health = next;
    events.onHealth(next);
  };

  const heard = () => {
    cancelWatchdog();
    cancelWatchdog = ports.after(heartbeatMs * SILENT_HEARTBEATS, lost);
  };

  const beat = () => {
    cancelHeartbeat = ports.after(heartbeatMs, () => {
      socket?.send(JSON.stringify({ type: "heartbeat" }));
      beat();
    });
  };

  const drop = () => {
    cancelWatchdog();
    cancelHeartbeat();
    if (!socket) return;
    const old = socket;
    socket = null;
    old.onopen = old.onmessage = old.onclose = old.onerror = null;
    old.close();
  };

  function lost() {
    if (stopped) return;
    drop();
    if (!greeted) events.onRefused();
    if (health.phase === "live") show({ phase: "reconnecting", since: ports.now() });
    // Full jitter, so that a restarted server is not met by everybody at once.
    const ceiling = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures);
    failures = Math.min(failures + 1, 10);
    const wait = Math.max(notBeforeMs, ports.random() * ceiling);
    notBeforeMs = 0;
    cancelRetry = ports.after(wait, open);
  }

  function arrived(to: Position) {
    const moved = position !== null && (position.epoch !== to.epoch || position.revision !== to.revision);
    position = to;
    failures = 0;
    show({ phase: "live", since: ports.now(), revision: to.revision });
    socket?.send(JSON.stringify({ type: "ack", epoch: to.epoch, revision: to.revision }));
    if (moved) events.onChange({ revision: to.revision, killed: [], changed });
  }

  function received(message: ServerMessage) {
    switch (message.type) {
      case "hello":
        greeted = true;
        heartbeatMs = message.heartbeatMs;
        cancelHeartbeat();
        beat();
        break;
      case "intent":
        changed = message.transfer === "changes" ? [] : null;
        if (message.transfer === "none") arrived(message.to);
        break;
      case "objects":
        // A whole environment is not even parsed: all of it may have changed.
        changed?.push(...changedObjects(message.line));
        break;
      case "commit":
        arrived(message.to);
        break;
      case "kill":
        events.onChange({ revision: message.revision, killed: message.flags, changed: null });
        break;
      case "goodbye":
        // Whoever was sent away for good hears of it elsewhere soon: no need to knock before.
        notBeforeMs = message.reason === "revoked" ? Math.max(message.retryAfterMs, MAX_BACKOFF_MS) : message.retryAfterMs;
        greeted = message.reason !== "revoked";
        lost();
        break;
      default:
      // Heartbeats are only heard, newer messages are ignored.
    }
    if (socket) heard();
  }

  function open() {
    if (stopped) return;
    drop();
    const opened = ports.connect();
    socket = opened;
    greeted = false;
    opened.onopen = () => opened.send(JSON.stringify({ type: "hello", protocol: 1, sdk: SDK, ...(position ? { position } : {}) }));
    opened.onmessage = ({ data }) => {
      for (const message of messagesOf(data)) received(message);
    };
    opened.onclose = lost;
    opened.onerror = lost;
    heard();
  }

  events.onHealth(health);
  open();
  return {
    stop() {
      stopped = true;
      cancelRetry();
      drop();
    },
    retryNow() {
      if (socket) return;
      cancelRetry();
      failures = 0;
      open();
    },
  };
}

/** A frame is one or more messages, one a line. Objects are parsed only where somebody asks: a whole environment may be in them. */
function messagesOf(data: unknown): ServerMessage[] {
  if (typeof data !== "string") return [];
  return data.split("\n").flatMap((line): ServerMessage[] => {
    if (line.startsWith('{"type":"objects"')) return [{ type: "objects", line }];
    try {
      return [JSON.parse(line)];
    } catch {
      return [];
    }
  });
}

function changedObjects(line: string): ChangedObject[] {
  const { put = [], delete: deleted = [] } = JSON.parse(line) as {
    put?: { kind: string; key: string; body: { version?: number } }[];
    delete?: { kind: string; key: string }[];
  };
  return [
    ...put.map(({ kind, key, body }) => ({ kind, key, version: body.version ?? null })),
    ...deleted.map(({ kind, key }) => ({ kind, key, version: null })),
  ];
}

/** How one or more connections do, taken together: as well as the worst of them. */
export function worst(healths: Health[]): Health | null {
  const order = { live: 0, connecting: 1, reconnecting: 2 };
  return healths.reduce<Health | null>((worse, health) => {
    if (!worse) return health;
    if (order[health.phase] !== order[worse.phase]) return order[health.phase] > order[worse.phase] ? health : worse;
    return health.since < worse.since ? health : worse;
  }, null);
}

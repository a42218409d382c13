import type { Socket } from "../../src/lib/stream";

/** A websocket that the test holds the other end of. */
export class FakeSocket implements Socket {
  static readonly all: FakeSocket[] = [];
  readonly sent: Record<string, unknown>[] = [];
  readonly url: string;
  closed = false;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;

  constructor(url: URL | string = "") {
    this.url = String(url);
    FakeSocket.all.push(this);
  }

  static open(environment: string): FakeSocket {
    const found = FakeSocket.all.findLast((socket) => !socket.closed && socket.url.includes(`environment=${environment}`));
    if (!found) throw new Error(`no socket follows ${environment}`);
    return found;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.closed = true;
  }

  /** Receives messages in one frame. */
  receive(...messages: object[]): void {
    this.onmessage?.({ data: messages.map((message) => JSON.stringify(message)).join("\n") });
  }

  /** The server's side of a connection, up to `revision`. */
  greet(revision: number, transfer: "full" | "changes" | "none" = "full"): void {
    this.onopen?.();
    this.receive({ type: "hello", protocol: 1, heartbeatMs: 15_000 });
    this.commit(revision, transfer);
  }

  commit(revision: number, transfer: "full" | "changes" | "none" = "changes", flag = { key: "a", version: 3 }): void {
    const to = { epoch: "e1", revision, digest: "0".repeat(32) };
    this.receive({ type: "intent", transfer, to }, { type: "objects", put: [{ kind: "flag", key: flag.key, body: flag }] }, { type: "commit", to });
  }
}

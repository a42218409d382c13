// The websocket to the server, whoever implements it.

import type { Lost } from "./core.js";

/** Where the stream is, under the server's URL. */
const PATH = "/api/v1/stream";

/** The websocket subprotocol of the server. */
const SUBPROTOCOL = "tidegate.v1";

/** What an open socket can be told. */
export interface Connection {
  send(text: string): void;
  /** Ends it; nothing is heard of it afterwards. */
  close(): void;
}

/** Hears of one socket: `onOpen` at most once, `onClosed` exactly once unless it was closed by us. */
export interface SocketListener {
  onOpen(): void;
  onText(text: string): void;
  /** The bytes are the listener's: it may read them later. */
  onBinary(bytes: Uint8Array): void;
  onClosed(lost: Lost, retryAfterMs: number, trouble: string): void;
}

/** Begins to open a socket. May throw: that is a socket that could not be opened. */
export type OpenSocket = (server: Server, listener: SocketListener) => Connection;

/** The part of the standard's `WebSocket` that is used here. */
export interface WebSocketLike {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(text: string): void;
  close(code?: number): void;
}

/** The standard's `WebSocket`, or one like it. */
export type WebSocketConstructor = new (url: string, protocols: string[]) => WebSocketLike;

/** A server's address and the key to it. */
export class Server {
  readonly url: string;
  readonly key: string;

  /** Throws where the URL cannot be that of a server, or the key has characters that no key has. */
  constructor(url: string, key: string) {
    const address = parse(url);
    address.search = "";
    address.hash = "";
    this.url = address.href.replace(/\/+$/, "");
    this.key = key.trim();
    if (!/^[\w.~-]+$/.test(this.key)) {
      throw new TypeError("the SDK key has characters that no key has: was it copied whole?");
    }
  }

  /** With a public key, the server evaluates for this client's context. */
  get isClientKey(): boolean {
    return this.key.startsWith("tgc_");
  }

  get stream(): string {
    return this.url.replace(/^http/, "ws") + PATH;
  }

  get authorization(): string {
    return `Bearer ${this.key}`;
  }
}

function parse(url: string): URL {
  const expected = `\`${url}\` is no URL of a server; expected something like \`https://flags.example.com\``;
  try {
    const address = new URL(url.trim());
    if (address.protocol === "http:" || address.protocol === "https:") return address;
  } catch {
    // Said below.
  }
  throw new TypeError(expected);
}

/** Opens sockets of the standard's kind. They cannot send headers, so the key is a second "subprotocol"; and they do not tell
 * why they were refused, so a refusal looks like a broken connection until a poll tells. */
export function standardSocket(WebSocket: WebSocketConstructor): OpenSocket {
  return (server, listener) => {
    const socket = new WebSocket(server.stream, [SUBPROTOCOL, `key.${server.key}`]);
    socket.binaryType = "arraybuffer";
    let opened = false;
    socket.onopen = () => {
      opened = true;
      listener.onOpen();
    };
    socket.onmessage = ({ data }: { data: unknown }) => {
      if (typeof data === "string") listener.onText(data);
      else if (data instanceof ArrayBuffer) listener.onBinary(new Uint8Array(data));
    };
    socket.onclose = () => {
      listener.onClosed("broken", 0, opened ? "the connection was closed" : "no websocket could be opened");
    };
    // What follows is `close`, which says as much.
    socket.onerror = () => {};
    return {
      send: (text) => socket.send(text),
      close: () => {
        socket.onopen = null;
        socket.onmessage = null;
        socket.onclose = null;
        socket.close(1000);
      },
    };
  };
}

/** What an HTTP status means for somebody who wanted an answer. */
export function lostBy(status: number): Lost {
  if (status === 401 || status === 403) return "refused";
  return status === 429 || status === 503 ? "busy" : "broken";
}

/** `Retry-After` in milliseconds: seconds, or a date; a second where it is absent or neither. */
export function retryAfterMs(header: string | null | undefined, nowMs: number): number {
  if (!header) return 1_000;
  const seconds = Number(header);
  const wait = Number.isFinite(seconds) ? seconds * 1_000 : Date.parse(header) - nowMs;
  return Number.isFinite(wait) ? Math.max(0, wait) : 1_000;
}

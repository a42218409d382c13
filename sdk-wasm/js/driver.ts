// Does what the engine says: owns the socket, the timer, the polls and the cache.

import type { Changed, Effect, Engine, Lost, Position } from "./core.js";
import { type Inflate, readFrame } from "./frame.js";
import { type Connection, type OpenSocket, type Server, lostBy, retryAfterMs } from "./socket.js";
import type { Cache, Logger, Status } from "./types.js";

/** Where changes are polled, under the server's URL. */
const POLL_PATH = "/api/v1/changes";

/** A poll that the engine does not give up first ends by then. */
const POLL_LIMIT_MS = 60_000;

/** Changes within this time are written to the cache at once. */
const CACHE_DELAY_MS = 1_000;

/** The longest delay that timers know. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Hears what the driver does. */
export interface DriverListener {
  /** What is evaluated with changed: handles and values of before are void. */
  onChanged(changed: Changed): void;
  onStatus(status: Status): void;
  onReceived(id: string): void;
  /** A poll was answered, whether with news or without. */
  onAnswered(): void;
}

/** A clock that never goes back. */
const now = (): number => Math.floor(performance.now());

export class Driver {
  /** Why there is no connection, for people. */
  trouble = "the server has not answered yet";
  readonly #engine: Engine;
  readonly #server: Server;
  readonly #openSocket: OpenSocket;
  readonly #inflate: Inflate | undefined;
  readonly #fetch: typeof fetch;
  readonly #listener: DriverListener;
  readonly #logger: Logger;
  readonly #cache: Cache | undefined;
  /** Of what the cache is; with a client key the context counts, too. */
  #scope: string;
  /** With a client key: whom the server evaluates for, and the proof of it. */
  #context: { json: string; signature: string | undefined } | undefined;
  #connection: Connection | undefined;
  /** Names the socket that is listened to. */
  #attempt: symbol | undefined;
  #open = false;
  #poll: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wakeAt = -1;
  #closed = false;
  #cacheTimer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: {
    engine: Engine;
    server: Server;
    openSocket: OpenSocket;
    inflate: Inflate | undefined;
    fetch: typeof fetch;
    listener: DriverListener;
    logger: Logger;
    cache: Cache | undefined;
    scope: string;
  }) {
    this.#engine = options.engine;
    this.#server = options.server;
    this.#openSocket = options.openSocket;
    this.#inflate = options.inflate;
    this.#fetch = options.fetch;
    this.#listener = options.listener;
    this.#logger = options.logger;
    this.#cache = options.cache;
    this.#scope = options.scope;
  }

  start(): void {
    this.#do(() => this.#engine.start(now()));
  }

  /** With a client key: whom the server evaluates for. */
  setContext(json: string, signature: string | undefined, scope: string): void {
    this.#scope = scope;
    this.#context = { json, signature };
    this.#do(() => this.#engine.setClientContext(json, signature, now()));
  }

  /** Carries out effects that came about elsewhere. */
  perform(effects: string | undefined): void {
    this.#do(() => effects);
  }

  /** Sends a frame, where there is a connection. */
  send(frame: string): boolean {
    if (!this.#open || this.#connection === undefined) return false;
    return this.#sendOn(this.#connection, frame);
  }

  /** Ends it all, and writes what is not written. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#poll?.abort();
    this.#dropConnection();
    if (this.#cacheTimer !== undefined) {
      clearTimeout(this.#cacheTimer);
      this.#writeCache();
    }
    await this.#writing;
  }

  /** Calls the engine, and does what it says. */
  #do(call: () => string | undefined): void {
    if (this.#closed) return;
    try {
      const effects = call();
      if (effects !== undefined) {
        for (const effect of JSON.parse(effects) as Effect[]) this.#carryOut(effect);
      }
      this.#setTimer();
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The core is broken, which it should never be: the application must not be. */
  #fail(error: unknown): void {
    this.#closed = true;
    this.trouble = "the WASM core failed";
    this.#logger.warn(`${this.trouble}, and the client with it: ${String(error)}`);
    clearTimeout(this.#timer);
    this.#poll?.abort();
    this.#dropConnection();
    this.#listener.onStatus("FATAL");
  }

  #carryOut(effect: Effect): void {
    if (this.#closed) return;
    switch (effect.type) {
      case "connect":
        this.#connect();
        break;
      case "disconnect":
        this.#note(effect.reason);
        this.#dropConnection();
        break;
      case "send":
        if (this.#connection !== undefined) this.#sendOn(this.#connection, effect.frame);
        break;
      case "poll":
        void this.#ask(effect.position, effect.etag);
        break;
      case "changed":
        for (const { key, path, message } of effect.issues) this.#logger.warn(`${key}: ${path}: ${message}`);
        this.#listener.onChanged(effect);
        this.#cacheLater();
        break;
      case "status":
        this.#logger.debug(`status ${effect.status}`);
        this.#listener.onStatus(effect.status);
        break;
      case "received":
        this.#listener.onReceived(effect.id);
        break;
    }
  }

  #connect(): void {
    this.#dropConnection();
    // What an earlier socket says late is nobody's business.
    const isCurrent = () => attempt === this.#attempt;
    const attempt = Symbol("attempt");
    this.#attempt = attempt;
    const closed = (lost: Lost, waitMs: number, trouble: string) => {
      if (!isCurrent()) return;
      this.#attempt = undefined;
      this.#connection = undefined;
      this.#open = false;
      this.#note(trouble);
      this.#do(() => this.#engine.onClosed(lost, waitMs, now()));
    };
    const read = (text: string) => {
      if (isCurrent()) this.#do(() => this.#engine.onMessage(text, now()));
    };
    const unreadable = (why: unknown) => {
      if (!isCurrent()) return;
      this.#do(() => {
        this.#logger.debug(String(why));
        return this.#engine.onUnreadable(now());
      });
    };
    // Whatever follows a frame that is still being inflated waits behind it, kills and the end of the connection, too: a
    // change set is a row of frames, and each says what is true after those before it.
    const inTurn = queue();
    try {
      this.#connection = this.#openSocket(this.#server, {
        onOpen: () => {
          if (!isCurrent()) return;
          this.#open = true;
          this.#do(() => this.#engine.onOpen(now()));
        },
        onText: (text) => inTurn(() => read(text)),
        onBinary: (bytes) =>
          inTurn(() => {
            if (!isCurrent()) return undefined;
            try {
              const text = readFrame(bytes, this.#inflate);
              return typeof text === "string" ? read(text) : text.then(read, unreadable);
            } catch (why) {
              return unreadable(why);
            }
          }),
        onClosed: (...why) => inTurn(() => closed(...why)),
      });
    } catch {
      // Later: the engine must not be called while its effects are carried out.
      queueMicrotask(() => closed("broken", 0, "no websocket could be opened"));
    }
  }

  #sendOn(connection: Connection, frame: string): boolean {
    try {
      connection.send(frame);
      return true;
    } catch {
      // It is closing, and says so itself.
      return false;
    }
  }

  #dropConnection(): void {
    const connection = this.#connection;
    this.#attempt = undefined;
    this.#connection = undefined;
    this.#open = false;
    try {
      connection?.close();
    } catch {
      // It was gone already.
    }
  }

  async #ask(position: Position | undefined, etag: string | undefined): Promise<void> {
    this.#poll?.abort();
    const poll = new AbortController();
    this.#poll = poll;
    const limit = setTimeout(() => poll.abort(), POLL_LIMIT_MS);
    let effects: () => string | undefined;
    try {
      const headers: Record<string, string> = { authorization: this.#server.authorization };
      if (etag !== undefined) headers["if-none-match"] = etag;
      // The tag is ours, and so is what it is of.
      const request: RequestInit = { headers, cache: "no-store", signal: poll.signal };
      const url = this.#server.url + POLL_PATH;
      const answer = await (this.#context === undefined
        ? this.#fetch(url + query(position), request)
        : this.#fetch(url, {
            ...request,
            method: "POST",
            headers: { ...headers, "content-type": "application/json" },
            body: question(position, this.#context),
          }));
      const body = await answer.text();
      if (answer.status === 200) {
        const tag = answer.headers.get("etag") ?? undefined;
        effects = () => this.#engine.onPolled(body, tag, now());
      } else if (answer.status === 304) {
        effects = () => this.#engine.onUnchanged(now());
      } else {
        const wait = retryAfterMs(answer.headers.get("retry-after"), Date.now());
        this.#note(`the server answered a poll with ${answer.status}`);
        effects = () => this.#engine.onPollFailed(lostBy(answer.status), wait, now());
      }
    } catch {
      this.#note("no answer to a poll");
      effects = () => this.#engine.onPollFailed("broken", 0, now());
    } finally {
      clearTimeout(limit);
    }
    // One that was given up is not the engine's business any more.
    if (this.#poll !== poll || this.#closed) return;
    this.#poll = undefined;
    this.#do(effects);
    this.#listener.onAnswered();
  }

  #setTimer(): void {
    const wakeAt = this.#closed ? -1 : this.#engine.wakeAt();
    if (wakeAt === this.#wakeAt) return;
    this.#wakeAt = wakeAt;
    clearTimeout(this.#timer);
    if (wakeAt < 0) return;
    const delay = Math.min(Math.max(wakeAt - now(), 0), MAX_DELAY_MS);
    this.#timer = setTimeout(() => {
      this.#wakeAt = -1;
      this.#do(() => this.#engine.onTimer(now()));
    }, delay);
  }

  #cacheLater(): void {
    if (this.#cache === undefined || this.#cacheTimer !== undefined) return;
    this.#cacheTimer = setTimeout(() => this.#writeCache(), CACHE_DELAY_MS);
  }

  #writeCache(): void {
    this.#cacheTimer = undefined;
    const cache = this.#cache;
    this.#writing = this.#writing.then(async () => {
      // The newest, whenever its turn comes.
      const scope = this.#scope;
      try {
        const text = this.#engine.snapshot(scope, Date.now());
        if (cache === undefined || text === undefined) return;
        await cache.write(scope, text);
      } catch (error) {
        this.#logger.warn(`the cache cannot be written: ${String(error)}`);
      }
    });
  }

  #note(trouble: string): void {
    this.trouble = trouble;
    this.#logger.debug(`no connection: ${trouble}`);
  }
}

/** Does one work after the other: at once, or behind a work before that is not done yet. No work may throw. */
function queue(): (work: () => void | Promise<void>) => void {
  let last: Promise<void> | undefined;
  return (work) => {
    const working = last === undefined ? work() : last.then(work);
    if (working === undefined) return;
    const done = working.then(() => {
      if (last === done) last = undefined;
    });
    last = done;
  };
}

function query(position: Position | undefined): string {
  if (position === undefined) return "";
  const { epoch, revision, digest } = position;
  return `?${new URLSearchParams({ epoch, revision: String(revision), digest })}`;
}

/** With a client key the context is part of the question, and may be too large for a query. */
function question(position: Position | undefined, told: { json: string; signature: string | undefined }): string {
  const context: unknown = JSON.parse(told.json);
  return JSON.stringify({ position, context, signature: told.signature });
}

// Exposures and measurements on their way to the server.

import type { Engine } from "./core.js";
import type { Server } from "./socket.js";
import type { EventOptions, Logger } from "./types.js";

/** Where events are sent over HTTP, under the server's URL. */
const PATH = "/api/v1/events";

const DEFAULT_INTERVAL_MS = 10_000;

/** A batch that the server has not taken by then is sent again. */
const ANSWER_MS = 10_000;

/** The same for a client that ends. */
const LAST_ANSWER_MS = 1_500;

interface Batch {
  id: string;
  body: string;
  events: number;
}

type Outcome = "taken" | "refused" | "later";

/**
 * Sends what the engine gathered, a batch at a time. One that is not taken is kept and sent again under its id, so that it
 * counts once; what comes meanwhile waits in the engine, which bounds it.
 */
export class EventSender {
  readonly #engine: Engine;
  readonly #server: Server;
  readonly #logger: Logger;
  readonly #fetch: typeof fetch;
  /** Sends a frame over the stream, if there is one. */
  readonly #stream: (frame: string) => boolean;
  readonly #timer: ReturnType<typeof setInterval>;
  #answerMs = ANSWER_MS;
  /** It answers events on its stream; one that does not once is an older one. */
  #streamAnswers = true;
  #waiting: Batch | undefined;
  #sending: Promise<void> | undefined;
  #received: ((id: string) => void) | undefined;
  /** Stops waiting for the stream's answer. */
  #hurry: (() => void) | undefined;

  constructor(
    engine: Engine,
    server: Server,
    stream: (frame: string) => boolean,
    fetchImplementation: typeof fetch,
    logger: Logger,
    options: EventOptions,
  ) {
    this.#engine = engine;
    this.#server = server;
    this.#stream = stream;
    this.#fetch = fetchImplementation;
    this.#logger = logger;
    this.#timer = setInterval(() => void this.flush(), options.intervalMs ?? DEFAULT_INTERVAL_MS);
  }

  /** The server took the batch with this id, which went over the stream. */
  received(id: string): void {
    this.#received?.(id);
  }

  /** Sends all there is; ends early where the server does not take it. Never rejects. */
  flush(): Promise<void> {
    return (this.#sending ??= this.#sendAll(false));
  }

  /** Sends what there is in a way that outlives the page. */
  flushAndForget(): void {
    this.#sending ??= this.#sendAll(true);
  }

  /** Sends all there is, once, and ends. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#answerMs = LAST_ANSWER_MS;
    this.#hurry?.();
    await this.#sending;
    await this.flush();
  }

  async #sendAll(leaving: boolean): Promise<void> {
    try {
      await this.#send(leaving);
    } catch (error) {
      this.#logger.warn(`events cannot be sent: ${String(error)}`);
    } finally {
      this.#sending = undefined;
    }
  }

  async #send(leaving: boolean): Promise<void> {
    for (;;) {
      const batch = (this.#waiting ??= this.#take());
      if (batch === undefined) return;
      const outcome = leaving ? await this.#post(batch, true) : await this.#transfer(batch);
      if (outcome === "later") return;
      if (outcome === "refused") {
        this.#logger.warn(`the server refused ${batch.events} events`);
        this.#engine.lostEvents(batch.events);
      }
      this.#waiting = undefined;
      // What was refused is told with the next batch, not in a batch of its own right now.
      if (outcome === "refused") return;
    }
  }

  #take(): Batch | undefined {
    const id = randomId();
    const body = this.#engine.takeEvents(id);
    if (body === undefined) return undefined;
    const { exposures = [], measurements = [], dropped = 0 } = JSON.parse(body) as {
      exposures?: unknown[];
      measurements?: unknown[];
      dropped?: number;
    };
    return { id, body, events: exposures.length + measurements.length + dropped };
  }

  async #transfer(batch: Batch): Promise<Outcome> {
    // A batch is an object, and a frame the same with a type.
    if (this.#streamAnswers && this.#stream(`{"type":"events",${batch.body.slice(1)}`)) {
      if (await this.#answered(batch.id)) return "taken";
      this.#streamAnswers = false;
    }
    return this.#post(batch, false);
  }

  #answered(id: string): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (taken: boolean) => {
        clearTimeout(timer);
        this.#received = undefined;
        this.#hurry = undefined;
        resolve(taken);
      };
      const timer = setTimeout(() => settle(false), this.#answerMs);
      this.#received = (received) => received === id && settle(true);
      this.#hurry = () => settle(false);
    });
  }

  async #post(batch: Batch, keepalive: boolean): Promise<Outcome> {
    try {
      const answer = await this.#fetch(this.#server.url + PATH, {
        method: "POST",
        headers: { authorization: this.#server.authorization, "content-type": "application/json" },
        body: batch.body,
        keepalive,
        signal: AbortSignal.timeout(this.#answerMs),
      });
      // Read to its end, so that the connection can be used again.
      await answer.arrayBuffer();
      if (answer.ok) return "taken";
      return answer.status >= 400 && answer.status < 500 && answer.status !== 429 ? "refused" : "later";
    } catch {
      return "later";
    }
  }
}

/** `crypto.randomUUID` is missing on pages without TLS. */
function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

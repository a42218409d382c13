// The client: what application code holds.

import { Context, withFields } from "./context.js";
import { type Changed, type Described, Engine, type EvaluationContext, type WasmSource, isLoaded, load } from "./core.js";
import { Driver } from "./driver.js";
import { EventSender } from "./events.js";
import type { Inflate } from "./frame.js";
import { type OpenSocket, Server } from "./socket.js";
import {
  type Cache,
  type Change,
  type ContextFields,
  type Details,
  type ErrorCode,
  type EventOptions,
  type FlagKey,
  type FlagValue,
  type Flags,
  type Json,
  type Logger,
  NotReadyError,
  type PollingOptions,
  type Reason,
  type Status,
} from "./types.js";

/** How a client is made. */
export interface ClientOptions {
  /** The server, like `https://flags.example.com`. */
  url: string;
  /** The SDK key of an environment: `tgs_…` on servers, `tgc_…` in browsers. */
  key: string;
  /** Whom to evaluate for where an evaluation does not say. */
  context?: Context | ContextFields;
  /** Where a client key demands it: HMAC-SHA256 of the targeting key, from your server. */
  signature?: string;
  /** Evaluated with until there is something newer: a flag file, parsed or as text. */
  bootstrap?: object | string;
  /** Keeps the last good flags, and starts with them. */
  cache?: Cache;
  /** Does not connect at all: evaluates with the cache, or else the bootstrap, for ever. */
  offline?: boolean;
  /** What to do where no websocket can be had; `false`: only try again. */
  polling?: PollingOptions | false;
  /** What happened is sent to the server, for metrics and rollouts; `false`: it is not. */
  events?: EventOptions | false;
  /** How long opening the connection may take; 5 s unless told. */
  connectTimeoutMs?: number;
  /** How long the connection may be lost before the status is `ERROR`; 10 s unless told. */
  graceMs?: number;
  /** Hears of trouble; the console hears warnings unless told. */
  logger?: Logger;
  /** The WASM core, where it cannot be loaded from beside the package: in some workers and bundles. */
  wasm?: WasmSource;
  /** Opens sockets in another way than the platform does. */
  openSocket?: OpenSocket;
  /** Asks over HTTP in another way than the platform does. */
  fetch?: typeof fetch;
}

/** What differs from platform to platform. */
export interface Platform {
  /** Loads the core at once, where that can be done. */
  loadNow?: () => void;
  openSocket: OpenSocket;
  /** Absent where the platform cannot: the server sends text then. */
  inflate: Inflate | undefined;
}

/** What a client says it is. */
const SDK = "tidegate-js/0.1.0";

/** In the order of the core's numbers. */
const KINDS = { boolean: 0, string: 1, number: 2, json: 3, any: 4 } as const;
const REASONS: readonly Reason[] = [
  "STATIC",
  "DEFAULT",
  "TARGETING_MATCH",
  "SPLIT",
  "CACHED",
  "DISABLED",
  "STALE",
  "UNKNOWN",
  "ERROR",
];
const ERRORS: readonly ErrorCode[] = [
  "PROVIDER_NOT_READY",
  "FLAG_NOT_FOUND",
  "PARSE_ERROR",
  "TYPE_MISMATCH",
  "TARGETING_KEY_MISSING",
  "INVALID_CONTEXT",
  "PROVIDER_FATAL",
  "GENERAL",
];

/** How long a changed context is waited for, with a client key. */
const CONTEXT_DEADLINE_MS = 5_000;

/** A value that a flag may have. */
interface Known {
  readonly value: unknown;
  readonly variant: string;
}

const consoleLogger: Logger = {
  debug: () => {},
  // oxlint-disable-next-line no-console -- the default of whoever gives no logger
  warn: (message) => console.warn(`tidegate: ${message}`),
};

/**
 * A client of one environment. Evaluations are answered in process, at once; they never throw. `F` declares the flags; see
 * {@link Flags}.
 */
export class Client<F = Flags> {
  readonly #logger: Logger;
  readonly #server: Server;
  readonly #changes = new Set<(change: Change) => void>();
  readonly #statuses = new Set<(status: Status) => void>();
  /** By key, the core's handle. Void after each change, like the values. */
  readonly #handles = new Map<string, number>();
  readonly #values = new Map<number, Known>();
  #engine: Engine | undefined;
  #driver: Driver | undefined;
  #events: EventSender | undefined;
  #status: Status = "NOT_READY";
  #context: Context;
  /** The same, as the core reads it. */
  #prepared: EvaluationContext | undefined;
  #signature: string | undefined;
  /** Who waits for the server's answer for a new context. */
  readonly #settled = new Set<() => void>();
  #closing: Promise<void> | undefined;
  #failed: string | undefined;

  /** Made by `createClient`. Throws where the URL or the key cannot be right: that is a mistake, not an outage. */
  constructor(options: ClientOptions, platform: Platform) {
    this.#logger = options.logger ?? consoleLogger;
    this.#server = new Server(options.url, options.key);
    this.#context = options.context instanceof Context ? options.context : new Context(options.context);
    this.#signature = options.signature;
    if (!isLoaded() && options.wasm === undefined) platform.loadNow?.();
    if (isLoaded()) {
      this.#start(options, platform);
      return;
    }
    load(options.wasm).then(
      () => this.#start(options, platform),
      (error: unknown) => this.#fail(`the WASM core cannot be loaded: ${String(error)}`),
    );
  }

  #start(options: ClientOptions, platform: Platform): void {
    this.#begin(options, platform).catch((error: unknown) => this.#fail(`the client cannot start: ${String(error)}`));
  }

  #fail(why: string): void {
    this.#failed = why;
    this.#logger.warn(why);
    this.#enter("FATAL");
  }

  /** Asynchronous only where the cache is. */
  async #begin(options: ClientOptions, platform: Platform): Promise<void> {
    if (this.#closing !== undefined) return;
    const { polling = {} } = options;
    const engine = Engine.create(
      JSON.stringify({
        sdk: SDK,
        seed: Math.random(),
        retainBodies: options.cache !== undefined,
        connectTimeoutMs: options.connectTimeoutMs,
        graceMs: options.graceMs,
        gatherEvents: options.events !== false && options.offline !== true,
        inflates: platform.inflate !== undefined,
        polling:
          polling === false
            ? undefined
            : {
                afterAttempts: polling.afterAttempts ?? 3,
                intervalMs: polling.intervalMs ?? 30_000,
                timeoutMs: polling.timeoutMs ?? 10_000,
              },
      }),
    );
    if (engine === undefined) {
      this.#fail("the options have numbers that are none");
      return;
    }
    this.#engine = engine;
    this.#prepared = Context.prepared(this.#context);
    const fetchImplementation = options.fetch ?? ((...request: Parameters<typeof fetch>) => fetch(...request));
    this.#driver = new Driver({
      engine,
      server: this.#server,
      openSocket: options.openSocket ?? platform.openSocket,
      inflate: platform.inflate,
      fetch: fetchImplementation,
      listener: {
        onChanged: (changed) => this.#changed(changed),
        onStatus: (status) => this.#enter(status),
        onReceived: (id) => this.#events?.received(id),
        onAnswered: () => this.#settle(),
      },
      logger: this.#logger,
      cache: options.cache,
      scope: this.#scope(),
    });
    this.#bootstrap(engine, this.#driver, options.bootstrap);
    const cached = this.#read(options.cache);
    this.#restore(engine, this.#driver, typeof cached === "string" ? cached : await cached);
    // The engine is used by one call at a time, and may be gone after a wait.
    if (this.#closing !== undefined) return;
    if (options.offline === true) {
      this.#enter(engine.loaded ? "READY" : "NOT_READY");
      return;
    }
    if (options.events !== false) {
      const stream = (frame: string) => this.#status === "READY" && (this.#driver?.send(frame) ?? false);
      this.#events = new EventSender(engine, this.#server, stream, fetchImplementation, this.#logger, options.events ?? {});
    }
    if (this.#server.isClientKey) this.#tellContext();
    this.#driver.start();
  }

  #bootstrap(engine: Engine, driver: Driver, file: object | string | undefined): void {
    if (file === undefined) return;
    const effects = engine.bootstrap(typeof file === "string" ? file : JSON.stringify(file));
    if (effects === undefined) {
      this.#logger.warn("the bootstrap is no flag file");
      return;
    }
    driver.perform(effects);
    this.#enter("STALE");
  }

  #read(cache: Cache | undefined): ReturnType<Cache["read"]> {
    if (cache === undefined) return "";
    try {
      const read = cache.read(this.#scope());
      return typeof read === "string" ? read : Promise.resolve(read).catch((error: unknown) => this.#unreadable(error));
    } catch (error) {
      return this.#unreadable(error);
    }
  }

  #unreadable(error: unknown): string {
    this.#logger.warn(`the cache cannot be read: ${String(error)}`);
    return "";
  }

  #restore(engine: Engine, driver: Driver, text: string | null | undefined): void {
    if (!text || this.#closing !== undefined) return;
    const effects = engine.restore(text, this.#scope());
    if (effects === undefined) this.#logger.warn("what the cache holds is damaged, or of another server or key");
    driver.perform(effects);
  }

  #scope(): string {
    return Engine.scope(this.#server.url, this.#server.key, this.#server.isClientKey ? Context.json(this.#context) : "");
  }

  #tellContext(): void {
    this.#driver?.setContext(Context.json(this.#context), this.#signature, this.#scope());
  }

  /**
   * Waits until the client is in step with the server, or `deadlineMs` is over. Resolves to how it stands: `READY`, or, at
   * the deadline, another where there is something to evaluate with (a cache, a bootstrap).
   *
   * Rejects with a {@link NotReadyError} where there is nothing to evaluate with: at the deadline, or as soon as the server
   * refuses the key.
   */
  async ready(deadlineMs: number): Promise<Status> {
    await new Promise<void>((resolve) => {
      const settled = (status: Status) => {
        if (status !== "READY" && status !== "FATAL") return;
        clearTimeout(deadline);
        unsubscribe();
        resolve();
      };
      const unsubscribe = this.onStatus(settled);
      const deadline = setTimeout(() => {
        unsubscribe();
        resolve();
      }, deadlineMs);
      settled(this.#status);
    });
    if (this.#engine?.loaded === true) return this.#status;
    throw new NotReadyError(this.#status, this.#failed ?? this.#driver?.trouble ?? "the WASM core is not loaded yet");
  }

  /** How the client stands with the server. */
  get status(): Status {
    return this.#status;
  }

  /** Whether the server evaluates for this client's context: with a client key. A context that is new is then waited for. */
  get isEvaluatedByServer(): boolean {
    return this.#server.isClientKey;
  }

  /** The revision that is evaluated with; absent where it is not the server's. */
  get revision(): number | undefined {
    const revision = this.#engine?.revision ?? -1;
    return revision < 0 ? undefined : revision;
  }

  /** Hears of every change; returns how to stop. */
  onChange(listener: (change: Change) => void): () => void {
    this.#changes.add(listener);
    return () => void this.#changes.delete(listener);
  }

  /** Hears of every change of the status; returns how to stop. */
  onStatus(listener: (status: Status) => void): () => void {
    this.#statuses.add(listener);
    return () => void this.#statuses.delete(listener);
  }

  /**
   * Sets whom to evaluate for where an evaluation does not say. With a client key, the server is told, and this resolves
   * when its answer for that context is here (or 5 s later); else at once. `signature` is as in the options.
   */
  async setContext(context: Context | ContextFields, signature?: string): Promise<void> {
    this.#context = context instanceof Context ? context : new Context(context);
    this.#prepared = Context.prepared(this.#context);
    this.#signature = signature;
    if (!this.#server.isClientKey || this.#driver === undefined) return;
    const connected = this.#status === "READY";
    const answered = connected ? this.#nextChange() : undefined;
    this.#tellContext();
    await answered;
  }

  #nextChange(): Promise<void> {
    return new Promise((resolve) => {
      const settle = () => {
        clearTimeout(deadline);
        this.#settled.delete(settle);
        resolve();
      };
      const deadline = setTimeout(settle, CONTEXT_DEADLINE_MS);
      this.#settled.add(settle);
    });
  }

  #settle(): void {
    for (const settle of this.#settled) settle();
  }

  /** The value of a boolean flag, or `defaultValue`. */
  boolean<K extends FlagKey<F, boolean>>(key: K, defaultValue: boolean, context?: Context | ContextFields): boolean {
    const known = this.#evaluate(key, KINDS.boolean, context);
    return known === undefined ? defaultValue : (known.value as boolean);
  }

  /** The value of a string flag, or `defaultValue`. */
  string<K extends FlagKey<F, string>, T extends FlagValue<F, K, string>>(
    key: K,
    defaultValue: T,
    context?: Context | ContextFields,
  ): FlagValue<F, K, string> {
    const known = this.#evaluate(key, KINDS.string, context);
    return known === undefined ? defaultValue : (known.value as T);
  }

  /** The value of a number flag, or `defaultValue`. */
  number<K extends FlagKey<F, number>, T extends FlagValue<F, K, number>>(
    key: K,
    defaultValue: T,
    context?: Context | ContextFields,
  ): FlagValue<F, K, number> {
    const known = this.#evaluate(key, KINDS.number, context);
    return known === undefined ? defaultValue : (known.value as T);
  }

  /** The value of a JSON flag, or `defaultValue`. Shared between evaluations, and so frozen. */
  json<K extends FlagKey<F, object>, T extends FlagValue<F, K, Json>>(
    key: K,
    defaultValue: T,
    context?: Context | ContextFields,
  ): FlagValue<F, K, Json> {
    const known = this.#evaluate(key, KINDS.json, context);
    return known === undefined ? defaultValue : (known.value as T);
  }

  /** As {@link boolean}, with how it came about. */
  booleanDetails<K extends FlagKey<F, boolean>>(
    key: K,
    defaultValue: boolean,
    context?: Context | ContextFields,
  ): Details<boolean> {
    return this.#details(key, KINDS.boolean, defaultValue, context);
  }

  /** As {@link string}, with how it came about. */
  stringDetails<K extends FlagKey<F, string>, T extends FlagValue<F, K, string>>(
    key: K,
    defaultValue: T,
    context?: Context | ContextFields,
  ): Details<FlagValue<F, K, string>> {
    return this.#details(key, KINDS.string, defaultValue, context);
  }

  /** As {@link number}, with how it came about. */
  numberDetails<K extends FlagKey<F, number>, T extends FlagValue<F, K, number>>(
    key: K,
    defaultValue: T,
    context?: Context | ContextFields,
  ): Details<FlagValue<F, K, number>> {
    return this.#details(key, KINDS.number, defaultValue, context);
  }

  /** As {@link json}, with how it came about. */
  jsonDetails<K extends FlagKey<F, object>, T extends FlagValue<F, K, Json>>(
    key: K,
    defaultValue: T,
    context?: Context | ContextFields,
  ): Details<FlagValue<F, K, Json>> {
    return this.#details(key, KINDS.json, defaultValue, context);
  }

  /** Whatever kind of value the flag has, with how it came about: for tools that show flags. */
  details(key: string, defaultValue: unknown, context?: Context | ContextFields): Details<unknown> {
    return this.#details(key, KINDS.any, defaultValue, context);
  }

  /** The keys of all flags, in their order. */
  flagKeys(): string[] {
    return this.#engine === undefined ? [] : (JSON.parse(this.#engine.flagKeys()) as string[]);
  }

  /** Tells that something happened to the unit of `context`: a metric's name, and how much, where it counts an amount. */
  track(metric: string, value?: number, context?: Context | ContextFields): void {
    try {
      this.#with(context, (prepared) => {
        if (prepared !== undefined) this.#engine?.track(metric, value, prepared, Date.now());
      });
    } catch (error) {
      this.#logger.warn(`cannot track: ${String(error)}`);
    }
  }

  /** Sends the exposures and measurements gathered so far. Never rejects. */
  async flush(): Promise<void> {
    await this.#events?.flush();
  }

  /** As {@link flush}, in a way that outlives the page: for when it is hidden. */
  flushAndForget(): void {
    this.#events?.flushAndForget();
  }

  /** Ends the client: sends what it gathered, writes the cache, and closes the connection. Evaluations go on with the last
   * flags. */
  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#events?.close();
      await this.#driver?.close();
    })();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #with<T>(
    context: Context | ContextFields | undefined,
    work: (context: EvaluationContext | undefined) => T,
  ): T {
    if (context === undefined) return work(this.#prepared);
    if (context instanceof Context) return work(Context.prepared(context));
    if (!isLoaded()) return work(undefined);
    return withFields(context, work);
  }

  /** The value that the flag serves, if it serves one. */
  #evaluate(key: string, kind: number, context: Context | ContextFields | undefined): Known | undefined {
    try {
      const engine = this.#engine;
      if (engine === undefined) return undefined;
      const flag = this.#handles.get(key) ?? this.#handle(engine, key);
      if (flag === 0) return undefined;
      if (context === undefined) return this.#serve(engine, flag, kind, this.#prepared);
      return this.#with(context, (prepared) => this.#serve(engine, flag, kind, prepared));
    } catch {
      return undefined;
    }
  }

  #handle(engine: Engine, key: string): number {
    const flag = engine.flag(key);
    // Keys of no flag are not kept: there is no end of them.
    if (flag !== 0) this.#handles.set(key, flag);
    return flag;
  }

  #serve(engine: Engine, flag: number, kind: number, context: EvaluationContext | undefined): Known | undefined {
    if (context === undefined) return undefined;
    const now = Date.now();
    const id = engine.evaluate(flag, kind, context, now);
    if (id === 0) return undefined;
    return this.#values.get(id) ?? this.#learn(engine, id, engine.describe(flag, context, now));
  }

  #learn(_engine: Engine, id: number, text: string | undefined): Known | undefined {
    if (text === undefined) return undefined;
    const { value, variant } = JSON.parse(text) as Described;
    const known = { value: freeze(value), variant };
    this.#values.set(id, known);
    return known;
  }

  #details<T>(key: string, kind: number, defaultValue: T, context: Context | ContextFields | undefined): Details<T> {
    try {
      const engine = this.#engine;
      if (engine?.loaded !== true) return failed(defaultValue, "PROVIDER_NOT_READY");
      const flag = this.#handles.get(key) ?? this.#handle(engine, key);
      if (flag === 0) return failed(defaultValue, "FLAG_NOT_FOUND");
      return this.#with(context, (prepared) => {
        if (prepared === undefined) return failed(defaultValue, "INVALID_CONTEXT");
        const known = this.#serve(engine, flag, kind, prepared);
        return told(engine, known, defaultValue);
      });
    } catch {
      return failed(defaultValue, "GENERAL");
    }
  }

  #changed(changed: Changed): void {
    this.#handles.clear();
    this.#values.clear();
    this.#settle();
    const { flags, segments, dependents, cause, changedAt } = changed;
    if (flags.length === 0 && segments.length === 0) return;
    const at = changedAt === undefined ? {} : { changedAt };
    const change: Change = { flags, segments, dependents, killed: cause === "kill", ...at };
    this.#tell(this.#changes, change);
  }

  /** The status is updated before anybody hears of it. */
  #enter(status: Status): void {
    if (this.#status === status) return;
    this.#status = status;
    this.#tell(this.#statuses, status);
  }

  /** One listener that throws must not keep the others from hearing. */
  #tell<T>(listeners: Set<(news: T) => void>, news: T): void {
    for (const listener of listeners) {
      try {
        listener(news);
      } catch (error) {
        this.#logger.warn(`a listener threw: ${String(error)}`);
      }
    }
  }
}

function failed<T>(value: T, errorCode: ErrorCode): Details<T> {
  return { value, reason: "ERROR", errorCode, flagVersion: 0 };
}

/** What the engine says of its last evaluation. */
function told<T>(engine: Engine, known: Known | undefined, defaultValue: T): Details<T> {
  const why = engine.why();
  const [rule, bucket] = [engine.rule(), engine.bucket()];
  const errorCode = ERRORS[(why >> 8) - 1];
  const details: { -readonly [field in keyof Details<T>]: Details<T>[field] } = {
    value: known === undefined ? defaultValue : (known.value as T),
    reason: REASONS[why & 0xff] ?? "UNKNOWN",
    flagVersion: engine.version(),
  };
  if (known !== undefined) details.variant = known.variant;
  if (errorCode !== undefined) details.errorCode = errorCode;
  if (rule >= 0) details.rule = rule;
  if (bucket >= 0) details.bucket = bucket;
  return details;
}

/** All the way down. */
function freeze(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  for (const member of Object.values(value)) freeze(member);
  return Object.freeze(value);
}

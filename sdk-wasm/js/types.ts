// What application code sees, but for the client itself.

/** A JSON value, as flags hold it. Shared between evaluations, and so frozen. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/**
 * The flags of your environment, by key. Empty, any key may be asked for with any kind; once you declare it, only what is
 * declared may, with a default of its type:
 *
 * ```ts
 * declare module "tidegate" {
 *   interface Flags {
 *     "new-checkout": boolean;
 *     "checkout-button-color": "green" | "blue";
 *   }
 * }
 * ```
 */
// oxlint-disable-next-line typescript/no-empty-interface, typescript/no-empty-object-type -- to be augmented
export interface Flags {}

/** The keys of those flags whose values are of type `T`. */
export type FlagKey<F, T> = keyof F extends never
  ? string
  : { [K in keyof F & string]: F[K] extends T ? K : never }[keyof F & string];

/** The type of a flag's value: as declared, or what its kind has. */
export type FlagValue<F, K, T> = keyof F extends never ? T : K extends keyof F ? F[K] : T;

/** Who asks: a targeting key and attributes. What JSON cannot hold is left out or refused, as `JSON.stringify` does. */
export interface ContextFields {
  /** The unit of percentage rollouts and individual targets. */
  targetingKey?: string | null;
  [attribute: string]: unknown;
}

/** Why an evaluation has its value: OpenFeature's reasons. */
export type Reason =
  | "STATIC"
  | "DEFAULT"
  | "TARGETING_MATCH"
  | "SPLIT"
  | "CACHED"
  | "DISABLED"
  | "STALE"
  | "UNKNOWN"
  | "ERROR";

/** Why an evaluation has no value: OpenFeature's error codes. */
export type ErrorCode =
  | "PROVIDER_NOT_READY"
  | "FLAG_NOT_FOUND"
  | "PARSE_ERROR"
  | "TYPE_MISMATCH"
  | "TARGETING_KEY_MISSING"
  | "INVALID_CONTEXT"
  | "PROVIDER_FATAL"
  | "GENERAL";

/** A value, and how it came about. */
export interface Details<T> {
  /** The flag's value, or the caller's default. */
  readonly value: T;
  /** The key of the variant; absent where the value is the caller's default. */
  readonly variant?: string;
  /** Why this value; `STALE` where the server has been away for longer than the grace period. */
  readonly reason: Reason;
  /** Why the value is the caller's default; absent where the flag served it, or serves none. */
  readonly errorCode?: ErrorCode;
  /** The flag's version; 0 where it is not known. */
  readonly flagVersion: number;
  /** The index of the rule that served. */
  readonly rule?: number;
  /** The bucket that decided, 0 to 99,999. */
  readonly bucket?: number;
}

/** How a client stands with the server: OpenFeature's provider states. */
export type Status =
  /** Nothing to evaluate with yet. */
  | "NOT_READY"
  /** In step with the server. */
  | "READY"
  /** The connection is lost, or was not made yet: the last good flags are used. */
  | "STALE"
  /** As before, and for longer than the grace period. The client goes on trying. */
  | "ERROR"
  /** The server refuses the key. The client goes on trying, rarely. */
  | "FATAL";

/** What changed. */
export interface Change {
  /** Exactly the flags that were added, changed, removed or killed, in the order of their keys. */
  readonly flags: readonly string[];
  /** Exactly the segments that were. */
  readonly segments: readonly string[];
  /**
   * The flags that did not change themselves, but may answer differently: they use one of the segments, or need one of the flags,
   * directly or through others. In the order of their keys.
   */
  readonly dependents: readonly string[];
  /** They came on the kill lane, ahead of everything else. */
  readonly killed: boolean;
  /** When the server accepted the newest of the changes, by its clock, in milliseconds since 1970. */
  readonly changedAt?: number;
}

/** Where the last good flags are kept between runs. Whatever it throws is logged, and as good as an empty cache. */
export interface Cache {
  /** What was written last for this scope; a scope names a server, a key and, with a client key, a context, by a hash. */
  read(scope: string): string | null | undefined | Promise<string | null | undefined>;
  /** Replaces it. Never called again before it is done. */
  write(scope: string, text: string): void | Promise<void>;
}

/** Hears what may interest whoever runs the program: never a key, a targeting key or an attribute. */
export interface Logger {
  debug(message: string): void;
  warn(message: string): void;
}

/** How often to ask over HTTP where no websocket can be had. */
export interface PollingOptions {
  /** After this many attempts in a row that gave no stream; 0: from the beginning. 3 unless told. */
  afterAttempts?: number;
  /** From one answer to the next question; 30 s unless told. */
  intervalMs?: number;
  /** From the question to its answer; 10 s unless told. */
  timeoutMs?: number;
}

/** How exposures and measurements are sent. */
export interface EventOptions {
  /** How long they are gathered; 10 s unless told. */
  intervalMs?: number;
}

/** There was nothing to evaluate with by the deadline. The client goes on trying. */
export class NotReadyError extends Error {
  override readonly name = "NotReadyError";
  /** How the client stands with the server. */
  readonly status: Status;

  constructor(status: Status, trouble: string) {
    super(`no flags yet (${status}): ${trouble}`);
    this.status = status;
  }
}

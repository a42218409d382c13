// What both OpenFeature providers share. The SDKs' own types are alike, but not the same: hence the narrow ones here.

import type { Client } from "./client.js";
import type { Details, Status } from "./types.js";

/** How a provider behaves. */
export interface ProviderOptions {
  /** How long the first flags are waited for; 5 s unless told. */
  deadlineMs?: number;
}

/** What both SDKs take for an answer, but for the names of the error codes. */
export interface Resolution<T> {
  value: T;
  variant?: string;
  reason: string;
  errorCode?: string;
  flagMetadata: Record<string, string | number | boolean>;
}

/** Tells the SDK what happens to the client. */
export interface Emitter {
  ready(): void;
  stale(message: string): void;
  error(message: string, fatal: boolean): void;
  /** `flagsChanged`: all that may answer differently. */
  configurationChanged(flagsChanged: string[]): void;
}

const DEFAULT_DEADLINE_MS = 5_000;

/** Any client: providers ask by whatever key they are told. */
// oxlint-disable-next-line typescript/no-explicit-any -- the flags of a client are its user's
export type AnyClient = Client<any>;

/** Carries a client's life over to an SDK. */
export class Bridge {
  readonly #client: AnyClient;
  readonly #deadlineMs: number;
  readonly #emitter: Emitter;
  readonly #unsubscribe: (() => void)[] = [];

  constructor(client: AnyClient, options: ProviderOptions, emitter: Emitter) {
    this.#client = client;
    this.#deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
    this.#emitter = emitter;
  }

  /**
   * Resolves where there is something to evaluate with, else rejects; the SDK makes its first event of that. `fatal` makes the
   * error that the SDK knows as one that no waiting helps.
   */
  async initialize(fatal: (message: string) => Error): Promise<void> {
    try {
      const status = await this.#client.ready(this.#deadlineMs);
      // The SDK says "ready" after this promise; what is not, says so after that.
      if (status !== "READY") setTimeout(() => this.#tell(this.#client.status), 0);
    } catch (error) {
      throw this.#client.status === "FATAL" ? fatal(String(error)) : error;
    } finally {
      this.#listen();
    }
  }

  async close(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
    await this.#client.close();
  }

  #listen(): void {
    this.#unsubscribe.push(
      this.#client.onStatus((status) => this.#tell(status)),
      this.#client.onChange(({ flags, dependents }) => {
        const flagsChanged = [...flags, ...dependents];
        // Nobody may use the segment that changed.
        if (flagsChanged.length > 0) this.#emitter.configurationChanged(flagsChanged);
      }),
    );
  }

  #tell(status: Status): void {
    switch (status) {
      case "NOT_READY":
        break;
      case "READY":
        this.#emitter.ready();
        break;
      case "STALE":
        this.#emitter.stale("the connection is lost: the last good flags are used");
        break;
      case "ERROR":
        this.#emitter.error("the connection has been lost for longer than the grace period", false);
        break;
      case "FATAL":
        this.#emitter.error("the server refuses the key", true);
        break;
    }
  }
}

/** A client's answer as the SDKs have it. */
export function resolution<T>({ value, variant, reason, errorCode, flagVersion, rule, bucket }: Details<T>): Resolution<T> {
  return {
    value,
    reason,
    ...(variant === undefined ? {} : { variant }),
    ...(errorCode === undefined ? {} : { errorCode }),
    flagMetadata: {
      version: flagVersion,
      ...(rule === undefined ? {} : { rule }),
      ...(bucket === undefined ? {} : { bucket }),
    },
  };
}

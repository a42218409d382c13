// The provider for OpenFeature's web SDK: the context is set once.

import {
  type EvaluationContext,
  type JsonValue,
  OpenFeatureEventEmitter,
  type Provider,
  ProviderEvents,
  ProviderFatalError,
  type ResolutionDetails,
  type TrackingEventDetails,
  ErrorCode,
} from "@openfeature/web-sdk";

import { type AnyClient, Bridge, type ProviderOptions, resolution } from "./openfeature.js";
import type { Details, Json } from "./types.js";

export type { ProviderOptions } from "./openfeature.js";

/**
 * Makes a client OpenFeature's provider, which it then belongs to: it is closed with it, and evaluates for OpenFeature's
 * context.
 *
 * ```ts
 * const client = createClient({ url, key });
 * await OpenFeature.setContext({ targetingKey: "user-42" });
 * await OpenFeature.setProviderAndWait(new TidegateWebProvider(client));
 * ```
 */
export class TidegateWebProvider implements Provider {
  readonly metadata = { name: "tidegate" } as const;
  readonly runsOn = "client";
  readonly events = new OpenFeatureEventEmitter();
  readonly #client: AnyClient;
  readonly #bridge: Bridge;

  constructor(client: AnyClient, options: ProviderOptions = {}) {
    this.#client = client;
    this.#bridge = new Bridge(client, options, {
      ready: () => this.events.emit(ProviderEvents.Ready),
      stale: (message) => this.events.emit(ProviderEvents.Stale, { message }),
      error: (message, fatal) =>
        this.events.emit(ProviderEvents.Error, {
          message,
          errorCode: fatal ? ErrorCode.PROVIDER_FATAL : ErrorCode.GENERAL,
        }),
      configurationChanged: (flagsChanged) => this.events.emit(ProviderEvents.ConfigurationChanged, { flagsChanged }),
    });
  }

  async initialize(context: EvaluationContext = {}): Promise<void> {
    // With a client key, the flags that `ready` waits for are those of the newest context.
    void this.#client.setContext(context);
    await this.#bridge.initialize((message) => new ProviderFatalError(message));
  }

  /** Only with a client key is there something to wait for: with a server key, the rules are here. */
  onContextChange(_before: EvaluationContext, context: EvaluationContext): Promise<void> | void {
    const told = this.#client.setContext(context);
    if (this.#client.isEvaluatedByServer) return told;
  }

  onClose(): Promise<void> {
    return this.#bridge.close();
  }

  resolveBooleanEvaluation(flag: string, defaultValue: boolean): ResolutionDetails<boolean> {
    return resolved(this.#client.booleanDetails(flag, defaultValue));
  }

  resolveStringEvaluation(flag: string, defaultValue: string): ResolutionDetails<string> {
    return resolved(this.#client.stringDetails(flag, defaultValue));
  }

  resolveNumberEvaluation(flag: string, defaultValue: number): ResolutionDetails<number> {
    return resolved(this.#client.numberDetails(flag, defaultValue));
  }

  resolveObjectEvaluation<T extends JsonValue>(flag: string, defaultValue: T): ResolutionDetails<T> {
    return resolved(this.#client.jsonDetails(flag, defaultValue as Json) as Details<unknown> as Details<T>);
  }

  track(metric: string, _context: EvaluationContext, { value }: TrackingEventDetails): void {
    this.#client.track(metric, value);
  }
}

/** The error codes are the same, by other names. */
function resolved<T>(details: Details<T>): ResolutionDetails<T> {
  return resolution(details) as ResolutionDetails<T>;
}

// The provider for OpenFeature's server SDK: the context comes with each evaluation.

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
} from "@openfeature/server-sdk";

import { type AnyClient, Bridge, type ProviderOptions, resolution } from "./openfeature.js";
import type { Details, Json } from "./types.js";

export type { ProviderOptions } from "./openfeature.js";

/**
 * Makes a client OpenFeature's provider, which it then belongs to: it is closed with it.
 *
 * ```ts
 * const client = createClient({ url, key });
 * await OpenFeature.setProviderAndWait(new TidegateProvider(client));
 * ```
 */
export class TidegateProvider implements Provider {
  readonly metadata = { name: "tidegate" } as const;
  readonly runsOn = "server";
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

  initialize(): Promise<void> {
    return this.#bridge.initialize((message) => new ProviderFatalError(message));
  }

  onClose(): Promise<void> {
    return this.#bridge.close();
  }

  async resolveBooleanEvaluation(
    flag: string,
    defaultValue: boolean,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<boolean>> {
    return resolved(this.#client.booleanDetails(flag, defaultValue, context));
  }

  async resolveStringEvaluation(
    flag: string,
    defaultValue: string,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<string>> {
    return resolved(this.#client.stringDetails(flag, defaultValue, context));
  }

  async resolveNumberEvaluation(
    flag: string,
    defaultValue: number,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<number>> {
    return resolved(this.#client.numberDetails(flag, defaultValue, context));
  }

  async resolveObjectEvaluation<T extends JsonValue>(
    flag: string,
    defaultValue: T,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<T>> {
    return resolved(this.#client.jsonDetails(flag, defaultValue as Json, context) as Details<unknown> as Details<T>);
  }

  track(metric: string, context: EvaluationContext, { value }: TrackingEventDetails): void {
    this.#client.track(metric, value, context);
  }
}

/** The error codes are the same, by other names. */
function resolved<T>(details: Details<T>): ResolutionDetails<T> {
  return resolution(details) as ResolutionDetails<T>;
}

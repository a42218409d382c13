// Evaluation contexts: written as JSON once, read by the core once.

import { EvaluationContext, isLoaded } from "./core.js";
import type { ContextFields } from "./types.js";

/**
 * Who asks, ready to be evaluated for. Make one for each request or user, and evaluate with it as often as you like: that is
 * several times faster than with the plain fields. What happens to the fields afterwards changes nothing.
 */
export class Context {
  readonly #json: string | undefined;
  #prepared: EvaluationContext | undefined;
  #refused = false;

  constructor(fields: ContextFields = {}) {
    this.#json = stringify(fields);
    this.#refused = this.#json === undefined;
  }

  /** As the core reads it; undefined where it is no context, or the core is not loaded. */
  static prepared(context: Context): EvaluationContext | undefined {
    if (context.#prepared !== undefined || context.#refused || !isLoaded()) return context.#prepared;
    context.#prepared = EvaluationContext.parse(context.#json ?? "");
    context.#refused = context.#prepared === undefined;
    return context.#prepared;
  }

  /** As it was written. */
  static json(context: Context): string {
    return context.#json ?? "{}";
  }
}

/** What was evaluated for lately: a request asks for several flags with the same fields, mostly. */
const recent = new Map<string, EvaluationContext>();

const MAX_RECENT = 256;

/** Evaluates for fields as they are now; undefined where they are no context. */
export function withFields<T>(fields: ContextFields, work: (context: EvaluationContext | undefined) => T): T {
  const json = stringify(fields);
  if (json === undefined) return work(undefined);
  const known = recent.get(json);
  if (known !== undefined) return work(known);
  const context = EvaluationContext.parse(json);
  if (context !== undefined) remember(json, context);
  return work(context);
}

function remember(json: string, context: EvaluationContext): void {
  recent.set(json, context);
  if (recent.size <= MAX_RECENT) return;
  // The oldest, as maps keep their order. Not left to the garbage collector, which does not see how much the core holds.
  for (const [oldest, forgotten] of recent) {
    recent.delete(oldest);
    forgotten.free();
    return;
  }
}

/** Undefined where JSON cannot hold it: cycles, big integers. */
function stringify(fields: ContextFields): string | undefined {
  try {
    return JSON.stringify(fields);
  } catch {
    return undefined;
  }
}

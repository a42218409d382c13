/** The server's own evaluator, compiled to WebAssembly and loaded when it is first asked for. */

import type { Answer, BucketRange, CompileIssue, Explained, FlagInFile, SegmentInFile } from "../../api/types";

/** What `admin-ui/wasm` exports; see there. */
interface WasmEvaluator {
  withFlag(flag: string): WasmEvaluator;
  withSegment(segment: string): WasmEvaluator;
  issues(): string;
  explain(flag: string, context: string, nowMs: number): string;
  evaluateAll(context: string, nowMs: number): string;
}

interface Glue {
  default(from: { module_or_path: BufferSource }): Promise<unknown>;
  Evaluator: { load(file: string): WasmEvaluator };
  bucket(salt: string, unit: string): number;
  reweight(previous: string, weights: string): string;
}

// Globs, because `cargo xtask` builds these files: without them, the UI is built all the same, and says what it lacks.
const glue = Object.values(import.meta.glob<Glue>("../../wasm/evaluator.js"))[0];
const wasm = Object.values(import.meta.glob<string>("../../wasm/evaluator_bg.wasm", { query: "?url", import: "default" }))[0];

/** Whether this build has the evaluator. */
export const hasEvaluator = glue !== undefined && wasm !== undefined;

/** Who asks: a targeting key and attributes. */
export type EvaluationContext = Record<string, unknown>;

/** An environment, compiled. Never changes: a draft makes another. */
export class Compiled {
  readonly #evaluator: WasmEvaluator;
  readonly #glue: Glue;

  constructor(from: Glue, evaluator: WasmEvaluator) {
    this.#glue = from;
    this.#evaluator = evaluator;
  }

  withFlag(flag: FlagInFile): Compiled {
    return new Compiled(this.#glue, this.#evaluator.withFlag(JSON.stringify(flag)));
  }

  withSegment(segment: SegmentInFile): Compiled {
    return new Compiled(this.#glue, this.#evaluator.withSegment(JSON.stringify(segment)));
  }

  issues(): CompileIssue[] {
    return JSON.parse(this.#evaluator.issues()) as CompileIssue[];
  }

  explain(flag: string, context: EvaluationContext, nowMs: number): Explained {
    return JSON.parse(this.#evaluator.explain(flag, JSON.stringify(context), nowMs)) as Explained;
  }

  evaluateAll(context: EvaluationContext, nowMs: number): Answer[] {
    return JSON.parse(this.#evaluator.evaluateAll(JSON.stringify(context), nowMs)) as Answer[];
  }

  bucket(salt: string, unit: string): number {
    return this.#glue.bucket(salt, unit);
  }

  /** The ranges that weights become when they are saved: those that move the fewest buckets. */
  reweight(previous: BucketRange[], weights: { variant: string; weight: number }[]): BucketRange[] {
    return JSON.parse(this.#glue.reweight(JSON.stringify(previous), JSON.stringify(weights))) as BucketRange[];
  }
}

export class NoEvaluator extends Error {
  constructor() {
    super("this build has no evaluator for the browser");
    this.name = "NoEvaluator";
  }
}

let loading: Promise<Glue> | null = null;

async function load(): Promise<Glue> {
  if (!glue || !wasm) throw new NoEvaluator();
  const [module, url] = await Promise.all([glue(), wasm()]);
  const answer = await fetch(new URL(url, window.location.href));
  if (!answer.ok) throw new Error(`the server answered ${answer.status} for the evaluator`);
  await module.default({ module_or_path: await answer.arrayBuffer() });
  return module;
}

/** Compiles a flag file: what the API has of an environment. */
export async function compileFile(file: object): Promise<Compiled> {
  // One that failed is tried again.
  loading ??= load().catch((error: unknown) => {
    loading = null;
    throw error;
  });
  const module = await loading;
  return new Compiled(module, module.Evaluator.load(JSON.stringify(file)));
}

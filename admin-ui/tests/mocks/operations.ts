/** What handlers of operations are given, what they answer, and how they refuse. */

import type { Operations } from "../../src/api/generated/operations.gen";
import type { Problem } from "../../src/api/generated";
import type { OperationId } from "./document";

type Part<Id extends OperationId, Name extends "path" | "query" | "body"> = NonNullable<Operations[Id]["data"][Name]>;

/** A request, by the document's types. */
export interface Asked<Id extends OperationId> {
  path: Part<Id, "path">;
  query: Part<Id, "query">;
  body: Omit<Part<Id, "body">, "reason">;
  /** Why something is changed, wherever it was said; may be empty. */
  reason: string;
  ifMatch: string | null;
}

/** The body of the answer: its status and type are the document's. */
export type Answer<Id extends OperationId> = Operations[Id]["responses"][keyof Operations[Id]["responses"]];

export type Handlers = { [Id in OperationId]?: (asked: Asked<Id>) => Answer<Id> };

/** Thrown by handlers: the answer is a problem. */
export class Refusal extends Error {
  readonly problem: Problem;

  constructor(status: number, code: Problem["code"], detail: string, details: Pick<Problem, "field" | "issues"> = {}) {
    super(detail);
    this.problem = { status, code, title: code, detail, ...details };
  }
}

/** Refuses what goes by another version than the present one. */
export function mustBeCurrent(ifMatch: string | null, version: number, what: string): void {
  if (ifMatch === null) throw new Refusal(428, "version_required", "say which version you read");
  if (ifMatch === `"${version}"`) return;
  throw new Refusal(412, "stale", `${what} is at version ${version}, not ${ifMatch.replaceAll('"', "")}: read it again and repeat the change`);
}

export function page<T>(items: T[], { limit = 50, cursor = "0" }: { limit?: number; cursor?: string }): { items: T[]; nextCursor?: string } {
  const start = Number(cursor);
  const end = start + limit;
  return { items: items.slice(start, end), ...(end < items.length ? { nextCursor: String(end) } : {}) };
}

/** Changes to fields; `null` takes away what may be absent. */
type MergePatch<T> = { [Field in keyof T]?: T[Field] | null };

export function merged<T extends object>(before: T, patch: MergePatch<T>): T {
  const after = { ...before, ...Object.fromEntries(Object.entries(patch)) };
  for (const [field, value] of Object.entries(patch)) if (value === null) Reflect.deleteProperty(after, field);
  return after;
}

/** Things with versions, by their keys or ids. */
export class Collection<T extends { version: number }> extends Map<string, T> {
  constructor(
    /** One of them, in sentences. */
    readonly noun: string,
    items: Iterable<[string, T]> = [],
  ) {
    super();
    for (const [key, item] of items) this.set(key, item);
  }

  private named = (key: string) => `${this.noun} \`${key.split("/").at(-1)}\``;

  all(): T[] {
    return [...this.values()];
  }

  read(key: string): T {
    const found = this.get(key);
    if (!found) throw new Refusal(404, "not_found", `there is no ${this.named(key)}`);
    return found;
  }

  /** What is about to be changed by somebody who read it before. */
  seen(key: string, ifMatch: string | null): T {
    const found = this.read(key);
    mustBeCurrent(ifMatch, found.version, this.named(key));
    return found;
  }

  add(key: string, item: T): T {
    if (this.has(key)) throw new Refusal(409, "key_taken", `${this.named(key)} is there already: choose another key`, { field: "/key" });
    this.set(key, item);
    return item;
  }

  patch(key: string, ifMatch: string | null, patch: MergePatch<T>): T {
    const before = this.seen(key, ifMatch);
    const after = { ...merged(before, patch), version: before.version + 1 };
    this.set(key, after);
    return after;
  }

  archive(key: string, ifMatch: string | null): void {
    this.seen(key, ifMatch);
    this.delete(key);
  }
}

/** What the palette finds, and in which order. */

import type { ComponentType } from "react";

import type { ListedFlag } from "../../api/types";

export interface Command {
  id: string;
  label: string;
  detail: string;
  icon: ComponentType<{ size?: number }>;
  /** The word that asks for it. */
  verb?: string;
  danger?: boolean;
  /** The flag that it opens, and that has actions of its own. */
  flag?: ListedFlag;
  /** Why it cannot be done; null where it can. */
  refusal: string | null;
  run(): void;
}

interface Verb {
  label: string;
  verbs: string[];
}

const VERBS: [RegExp, Verb][] = [
  [/^kill\s/i, { label: "Kill", verbs: ["kill"] }],
  [/^restore\s/i, { label: "Restore", verbs: ["restore"] }],
  [/^(?:turn\s+on|on|enable)\s/i, { label: "Turn on", verbs: ["on"] }],
  [/^(?:turn\s+off|off|disable)\s/i, { label: "Turn off", verbs: ["off"] }],
  [/^toggle\s/i, { label: "Toggle", verbs: ["on", "off"] }],
];

/** “kill checkout” asks for an action on what the rest finds; everything else only finds. */
export function parseVerb(query: string): { verb: Verb | null; rest: string } {
  for (const [pattern, verb] of VERBS) {
    const match = pattern.exec(query);
    if (match) return { verb, rest: query.slice(match[0].length).trim() };
  }
  return { verb: null, rest: query.trim() };
}

/** Whether a flag is one that the words ask for, as the server's search sees it. */
export function fits({ key, name, description }: Pick<ListedFlag, "key" | "name" | "description">, search: string): boolean {
  return `${key} ${name} ${description ?? ""}`.toLowerCase().includes(search.toLowerCase());
}

/** The flags in the order of how well their keys or names fit: whole, from the start, from a word's start, anywhere. */
export function ranked(flags: ListedFlag[], search: string): ListedFlag[] {
  const wanted = search.toLowerCase();
  if (wanted === "") return flags;
  const rank = ({ key, name }: ListedFlag) => {
    const texts = [key.toLowerCase(), name.toLowerCase()];
    if (texts.includes(wanted)) return 0;
    if (texts.some((text) => text.startsWith(wanted))) return 1;
    if (texts.some((text) => text.split(/[^a-z0-9]+/).some((word) => word.startsWith(wanted)))) return 2;
    return texts.some((text) => text.includes(wanted)) ? 3 : 4;
  };
  return flags.toSorted((a, b) => rank(a) - rank(b));
}

/** Which keys do what. */

export interface Jump {
  /** The key after `g`. */
  key: string;
  label: string;
  to: "/projects/$project" | "/projects/$project/flags" | "/projects/$project/segments" | "/projects/$project/audit" | "/projects/$project/environments" | "/projects/$project/members";
}

export const JUMPS: Jump[] = [
  { key: "o", label: "Overview", to: "/projects/$project" },
  { key: "f", label: "Flags", to: "/projects/$project/flags" },
  { key: "s", label: "Segments", to: "/projects/$project/segments" },
  { key: "a", label: "Audit log", to: "/projects/$project/audit" },
  { key: "e", label: "Environments", to: "/projects/$project/environments" },
  { key: "m", label: "Members", to: "/projects/$project/members" },
];

/** How long `g` waits for its second key. */
const CHORD_MS = 1_200;

export type KeyMeaning = { kind: "palette" } | { kind: "search" } | { kind: "help" } | { kind: "jump"; jump: Jump };

type Pressed = Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey" | "timeStamp">;

/** Reads keys one after the other. Of single keys it knows only while they are on and nobody is typing. */
export function keyReader() {
  let began: number | null = null;
  return (event: Pressed, { typing, singleKeys }: { typing: boolean; singleKeys: boolean }): KeyMeaning | null => {
    const chord = began !== null && event.timeStamp - began < CHORD_MS;
    began = null;
    if ((event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "k") return { kind: "palette" };
    if (!singleKeys || typing || event.ctrlKey || event.metaKey || event.altKey) return null;
    if (chord) {
      const jump = JUMPS.find(({ key }) => key === event.key.toLowerCase());
      return jump ? { kind: "jump", jump } : null;
    }
    if (event.key === "/") return { kind: "search" };
    if (event.key === "?") return { kind: "help" };
    if (event.key === "g") began = event.timeStamp;
    return null;
  };
}

/** Whether keys go into a field. */
export function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || target.closest("input:not([type='checkbox'], [type='radio']), textarea, select, [role='textbox']") !== null);
}

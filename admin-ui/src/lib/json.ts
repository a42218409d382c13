/** Canonical text of JSON values, and what differs between two of them. */

/** Pretty JSON with sorted members: equal values have equal text, whatever order their members came in. */
export function canonical(value: unknown): string {
  return JSON.stringify(sorted(value), null, 2) ?? "null";
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  members.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, sorted(member)]));
}

export interface DiffLine {
  kind: "same" | "removed" | "added";
  text: string;
}

/** A run of lines to show, or of `hidden` equal lines left out. */
export type DiffPart = { lines: DiffLine[] } | { hidden: number };

/** Past this many lines on a side the quadratic table would be slow: everything is shown as replaced. */
const MAX_LINES = 1_500;

/** The line difference of the canonical texts: every field counts, none is picked by hand. */
export function diffLines(before: unknown, after: unknown): DiffLine[] {
  const old = before === null || before === undefined ? [] : canonical(before).split("\n");
  const now = after === null || after === undefined ? [] : canonical(after).split("\n");
  if (old.length > MAX_LINES || now.length > MAX_LINES) {
    return canonical(before) === canonical(after)
      ? now.map((text) => ({ kind: "same", text }))
      : [...old.map((text): DiffLine => ({ kind: "removed", text })), ...now.map((text): DiffLine => ({ kind: "added", text }))];
  }
  // Longest common subsequence, from the end, so that the walk below goes forwards.
  const width = now.length + 1;
  const common = new Uint16Array((old.length + 1) * width);
  const at = (i: number, j: number) => common[i * width + j] ?? 0;
  for (let i = old.length - 1; i >= 0; i--) {
    for (let j = now.length - 1; j >= 0; j--) {
      common[i * width + j] = old[i] === now[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: DiffLine[] = [];
  let i = 0;
  let j = 0;
  while (i < old.length || j < now.length) {
    const [left, right] = [old[i], now[j]];
    if (left !== undefined && left === right) {
      lines.push({ kind: "same", text: left });
      i++;
      j++;
    } else if (right === undefined || (left !== undefined && at(i + 1, j) >= at(i, j + 1))) {
      lines.push({ kind: "removed", text: left ?? "" });
      i++;
    } else {
      lines.push({ kind: "added", text: right });
      j++;
    }
  }
  return lines;
}

/** Leaves out equal lines further than `context` lines from a change. */
export function fold(lines: DiffLine[], context = 3): DiffPart[] {
  const keep = lines.map((_, at) => lines.slice(Math.max(0, at - context), at + context + 1).some((line) => line.kind !== "same"));
  const parts: DiffPart[] = [];
  for (const [at, line] of lines.entries()) {
    const last = parts.at(-1);
    if (keep[at]) {
      if (last && "lines" in last) last.lines.push(line);
      else parts.push({ lines: [line] });
    } else if (last && "hidden" in last) last.hidden++;
    else parts.push({ hidden: 1 });
  }
  return parts;
}

/** A value on one line, shortened. */
export function brief(value: unknown, max = 60): string {
  const text = typeof value === "string" ? `“${value}”` : (JSON.stringify(value) ?? "nothing");
  return text.length > max ? `${text.slice(0, max - 1)}…` : text;
}

/** A sentence of the evaluator, its code set as code, its times as people read them. */
export function Sentence({ text }: { text: string }) {
  return withTimes(text)
    .split("`")
    .map((part, at) => (at % 2 === 1 ? <code key={at}>{part}</code> : part));
}

/** Milliseconds since 1970, where the evaluator says that they are a time. */
export function withTimes(text: string): string {
  return text.replaceAll(/(`\$now` is |time [<>≤≥] )(-?\d{1,15})(?!\d)/g, (_, before: string, ms: string) => before + new Date(Number(ms)).toISOString().replace(".000Z", "Z"));
}

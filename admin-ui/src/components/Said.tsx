/** The server's sentences follow a colon, or stand alone, as here. */
export const capitalised = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;

/** A sentence of the server's: what is in backticks is code. */
export function Said({ children }: { children: string }) {
  return children.split("`").map((part, index) =>
    // oxlint-disable-next-line react/no-array-index-key -- parts of one sentence
    index % 2 === 1 ? <code key={index}>{part}</code> : part,
  );
}

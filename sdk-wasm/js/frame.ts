// Binary frames: a byte that names the compression, the length of the text as four bytes, the least significant first, and the
// compressed text.

/** A client refuses longer frames, compressed or not, as every SDK does; in bytes. */
export const MAX_FRAME_BYTES = 32 * 1024 * 1024;

/** The first byte of a frame that holds raw DEFLATE (RFC 1951). */
const DEFLATE = 1;

const HEADER_BYTES = 5;

/**
 * Inflates raw DEFLATE that should hold `length` bytes. It throws, or rejects, where it cannot, and at the latest when much more
 * than `length` bytes have come: what is compressed may hold a thousand times its size.
 */
export type Inflate = (compressed: Uint8Array, length: number) => Uint8Array | Promise<Uint8Array>;

/** Why a binary frame cannot be read. */
export class BadFrame extends Error {}

/** The text of a binary frame. Throws, or rejects, with a {@link BadFrame}; without an `inflate`, no compression is known. */
export function readFrame(frame: Uint8Array, inflate: Inflate | undefined): string | Promise<string> {
  if (frame.length < HEADER_BYTES || frame[0] !== DEFLATE || inflate === undefined) {
    throw new BadFrame("the frame is compressed in a way that is not known");
  }
  const length = new DataView(frame.buffer, frame.byteOffset).getUint32(1, true);
  if (length > MAX_FRAME_BYTES) throw new BadFrame("the frame declares more bytes than are allowed");
  const torn = () => new BadFrame("the frame does not hold what it declares");
  const textOf = (inflated: Uint8Array) => {
    if (inflated.length !== length) throw torn();
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(inflated);
  };
  try {
    const inflated = inflate(frame.subarray(HEADER_BYTES), length);
    if (!("then" in inflated)) return textOf(inflated);
    return inflated.then(textOf).catch(() => {
      throw torn();
    });
  } catch {
    throw torn();
  }
}

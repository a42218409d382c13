// Inflating, as browsers and workers can.

import type { Inflate } from "./frame.js";

/**
 * So many compressed bytes are inflated at once. Whatever they hold is in memory then, whether it is read or not, and DEFLATE
 * packs up to 1,032 bytes into one (https://zlib.net/zlib_tech.html): at most 4 MiB more than what a frame declares.
 */
const PIECE_BYTES = 4 * 1024;

/** By the standard's `DecompressionStream`; absent where that is, or where it does not know raw DEFLATE. */
export function standardInflate(Decompression: typeof DecompressionStream | undefined): Inflate | undefined {
  if (Decompression === undefined) return undefined;
  const open = () => new Decompression("deflate-raw");
  try {
    open();
  } catch {
    return undefined;
  }
  return async (compressed, length) => {
    const reader = pieces(compressed).pipeThrough(open()).getReader();
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return joined(chunks, bytes);
      chunks.push(value);
      bytes += value.length;
      if (bytes > length) {
        await reader.cancel();
        throw new RangeError(`more than ${length} bytes`);
      }
    }
  };
}

/** Each piece is given when the one before was read. */
function pieces(bytes: Uint8Array): ReadableStream<BufferSource> {
  let at = 0;
  return new ReadableStream({
    pull: (controller) => {
      if (at === bytes.length) {
        controller.close();
        return;
      }
      const piece = bytes.slice(at, at + PIECE_BYTES);
      at += piece.length;
      controller.enqueue(piece);
    },
  });
}

function joined(chunks: Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

// What a socket brings: in Node.js and on pages.

/** Opens sockets as `openSocket` does, and counts in `frames` what they bring. */
export const counting = (openSocket, frames) => (server, listener) =>
  openSocket(server, {
    ...listener,
    onText: (text) => {
      frames.text += 1;
      listener.onText(text);
    },
    onBinary: (bytes) => {
      frames.binary += 1;
      listener.onBinary(bytes);
    },
  });

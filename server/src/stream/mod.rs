//! Streams: one hub per environment, one task per socket.

//! The sync machine: messages in, effects out.

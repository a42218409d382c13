//! What travels between server and SDKs, and the I/O-free machine that keeps an SDK in step.
//!
//! The protocol is JSON text frames on a websocket; a frame holds one or more messages, one per line, so that the same
//! bytes also travel over HTTP. A change set is transactional: [`ServerMessage::Intent`], any number of
//! [`ServerMessage::Objects`], [`ServerMessage::Commit`]; a client shows nothing of it before the commit, and checks
//! the digest first. [`sync::Synchronizer`] does so for every SDK.
//!
//! Upwards go receipts and [events], downwards also kills, ahead of the change sets that hold them.
//!
//! Both sides ignore fields, messages and kinds of objects that they do not know.

#![deny(missing_docs)]

pub mod digest;
pub mod events;
pub mod message;

pub mod frame;

pub mod snapshot;
pub mod sync;

pub use digest::Digest;
pub use message::{ClientMessage, ObjectKind, ObjectRef, Position, ServerMessage, Transfer, WireObject};
pub use snapshot::Snapshot;
pub use sync::{Effect, Status, Synchronizer, Update};

//! What travels between server and SDKs, and the I/O-free machine that keeps an SDK in step.
//!
//! The protocol is JSON text frames on a websocket; the same change sets also travel over HTTP. A change set is
//! transactional: [`ServerMessage::Intent`], any number of [`ServerMessage::Objects`], [`ServerMessage::Commit`]; a
//! client shows nothing of it before the commit, and checks the digest after it.

pub mod digest;
pub mod message;
pub mod sync;

pub use digest::Digest;
pub use message::{ClientMessage, ObjectKind, Position, ServerMessage, WireObject};

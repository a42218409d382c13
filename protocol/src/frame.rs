//! Frames: messages, one per line.
//!
//! A text frame is what it says. A binary frame is a compressed one: a byte that names the [compression](DEFLATE), the
//! length of the text as four bytes, the least significant first, and the compressed text. What does not give exactly
//! as many bytes as declared is no frame, and nobody makes room for more than that.

#[cfg(feature = "deflate")]
mod deflate;

use tidegate_core::tree::Write;

#[cfg(feature = "deflate")]
pub use self::deflate::{BadFrame, compress, compress_all, decompress};
use crate::message::{Commit, Intent, ObjectRef, Objects, ServerMessage, WireObject};

/// A server refuses longer frames from a client, in bytes.
pub const MAX_CLIENT_FRAME_BYTES: usize = 64 * 1024;

/// A client refuses longer frames from a server, in bytes. It bounds one object too: a frame holds at least one.
pub const MAX_SERVER_FRAME_BYTES: usize = 32 * 1024 * 1024;

/// Objects go into frames of about this many bytes: a kill need not wait for a long transfer, and a websocket library
/// keeps a buffer of the longest frame for each connection.
pub const FRAME_TARGET_BYTES: usize = 16 * 1024;

/// The first byte of a frame that holds raw DEFLATE (RFC 1951).
pub const DEFLATE: u8 = 1;

/// Puts messages into one frame.
pub fn encode<'a, M: Write + 'a>(messages: impl IntoIterator<Item = &'a M>) -> String {
    let mut frame = String::new();
    for message in messages {
        if !frame.is_empty() {
            frame.push('\n');
        }
        message.write(&mut frame);
    }
    frame
}

/// The messages of a frame, unread; empty lines are skipped.
pub fn lines(frame: &str) -> impl Iterator<Item = &str> {
    frame.split('\n').map(str::trim).filter(|line| !line.is_empty())
}

/// The frames of one change set: `intent`, the objects in their order, `commit`. One frame where it is small.
pub fn change_set(
    intent: Intent,
    put: impl IntoIterator<Item = WireObject>,
    delete: Vec<ObjectRef>,
    commit: Commit,
) -> Vec<String> {
    let mut frames = Vec::new();
    let mut messages = vec![ServerMessage::Intent(intent)];
    let mut objects = Objects { put: Vec::new(), delete };
    let mut bytes = 0;
    for object in put {
        bytes += object.key.len() + object.body.get().len();
        objects.put.push(object);
        if bytes >= FRAME_TARGET_BYTES {
            messages.push(ServerMessage::Objects(std::mem::take(&mut objects)));
            frames.push(encode(&messages));
            messages.clear();
            bytes = 0;
        }
    }
    if !objects.put.is_empty() || !objects.delete.is_empty() {
        messages.push(ServerMessage::Objects(objects));
    }
    messages.push(ServerMessage::Commit(commit));
    frames.push(encode(&messages));
    frames
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        digest::Digest,
        message::{ClientMessage, ObjectKind, Position, Transfer},
    };

    fn frames_of(bodies: &[String]) -> Vec<String> {
        let to = Position { epoch: "e".into(), revision: 1, digest: Digest(0) };
        let put = bodies
            .iter()
            .enumerate()
            .map(|(index, body)| WireObject::new(ObjectKind::Flag, &format!("f{index}"), body).unwrap());
        let intent = Intent { transfer: Transfer::Full, from: None, to: to.clone() };
        change_set(intent, put, Vec::new(), Commit { to, changed_at: None })
    }

    #[test]
    fn a_small_change_set_is_one_frame() {
        let frames = frames_of(&["a".to_owned(), "b\nc".to_owned()]);
        assert_eq!(frames.len(), 1);
        let kinds: Vec<_> = lines(&frames[0])
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].clone())
            .collect();
        assert_eq!(kinds, ["intent", "objects", "commit"]);
    }

    #[test]
    fn a_large_change_set_is_cut_between_objects() {
        let frames = frames_of(&vec!["x".repeat(6_000); 7]);
        assert_eq!(frames.len(), 3);
        assert!(frames.iter().all(|frame| frame.len() < FRAME_TARGET_BYTES + 6_100));
    }

    #[test]
    fn empty_lines_do_not_count() {
        let frame = encode(&[ClientMessage::Heartbeat, ClientMessage::Heartbeat]);
        assert_eq!(frame, "{\"type\":\"heartbeat\"}\n{\"type\":\"heartbeat\"}");
        assert_eq!(lines("\n\n \r\na\n").collect::<Vec<_>>(), ["a"]);
    }
}

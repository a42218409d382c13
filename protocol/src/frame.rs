//! Frames: messages, one per line.
//!
//! A text frame is what it says. A binary frame is a compressed one: a byte that names the [compression](DEFLATE), the
//! length of the text as four bytes, the least significant first, and the compressed text. What does not give exactly
//! as many bytes as declared is no frame, and nobody makes room for more than that.

use miniz_oxide::{deflate::compress_to_vec, inflate::decompress_to_vec_with_limit};
use tidegate_core::tree::Write;

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

/// So many bytes of text are compressed at once: as far as DEFLATE looks back. Compressed, they are a few KiB, which is what
/// stays in the buffer of each connection.
const COMPRESSED_TARGET_BYTES: usize = 32 * 1024;

/// What a frame is compressed with: better, and slower, up to 10. A frame is compressed once for all clients.
const LEVEL: u8 = 6;

/// Why a binary frame cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// It is too short, or compressed in a way that is not known.
    #[error("the frame is compressed in a way that is not known")]
    Unknown,
    /// It declares more than the limit.
    #[error("the frame declares more bytes than are allowed")]
    TooLarge,
    /// It does not hold what it declares, or no text.
    #[error("the frame does not hold what it declares")]
    Torn,
}

/// The binary frame of a text frame. O(bytes), some 50 MB/s.
pub fn compress(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let mut frame = vec![DEFLATE];
    frame.extend(length.to_le_bytes());
    frame.extend(compress_to_vec(text.as_bytes(), LEVEL));
    frame
}

/// The binary frames of a row of text frames, several in one where they are small. As [`compress`] for what it costs.
pub fn compress_all<'f>(frames: impl IntoIterator<Item = &'f str>) -> Vec<Vec<u8>> {
    let mut compressed = Vec::new();
    let mut text = String::new();
    for frame in frames {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(frame);
        if text.len() >= COMPRESSED_TARGET_BYTES {
            compressed.push(compress(&text));
            text.clear();
        }
    }
    if !text.is_empty() {
        compressed.push(compress(&text));
    }
    compressed
}

/// The text frame of a binary frame, of at most `limit` bytes.
///
/// # Errors
/// [`BadFrame`]; the memory that this takes is bounded by `limit` and by what the frame declares, whichever is less.
pub fn decompress(frame: &[u8], limit: usize) -> Result<String, BadFrame> {
    let Some(([DEFLATE, a, b, c, d], compressed)) = frame.split_first_chunk() else {
        return Err(BadFrame::Unknown);
    };
    let length = usize::try_from(u32::from_le_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX);
    if length > limit {
        return Err(BadFrame::TooLarge);
    }
    let text = decompress_to_vec_with_limit(compressed, length).map_err(|_| BadFrame::Torn)?;
    String::from_utf8(text).ok().filter(|text| text.len() == length).ok_or(BadFrame::Torn)
}

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
    fn what_is_compressed_is_read_back() {
        for text in ["", "a", &"{\"type\":\"heartbeat\"}\n".repeat(1_000)] {
            assert_eq!(decompress(&compress(text), text.len()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn many_frames_become_few() {
        let frames: Vec<_> = (0..20).map(|index| format!("{index}{}", "x".repeat(20_000))).collect();
        let compressed = compress_all(frames.iter().map(String::as_str));
        assert_eq!(compressed.len(), 10);
        let texts: Vec<_> = compressed.iter().map(|frame| decompress(frame, 1_000_000).unwrap()).collect();
        let read: Vec<_> = texts.iter().flat_map(|text| lines(text)).collect();
        assert_eq!(read, frames);
        assert!(compress_all([]).is_empty());
    }

    #[test]
    fn bombs_and_torn_frames_are_refused() {
        let bomb = compress(&"x".repeat(1_000_000));
        assert!(bomb.len() < 5_000);
        assert_eq!(decompress(&bomb, 999_999), Err(BadFrame::TooLarge));
        let mut modest = bomb.clone();
        modest[1..5].copy_from_slice(&1_000_u32.to_le_bytes());
        assert_eq!(decompress(&modest, 1_000_000), Err(BadFrame::Torn));
        let mut boastful = compress("ab");
        boastful[1] = 3;
        assert_eq!(decompress(&boastful, 100), Err(BadFrame::Torn));
        let latin = [&[DEFLATE, 1, 0, 0, 0][..], &compress_to_vec(&[0xe9], 6)].concat();
        assert_eq!(decompress(&latin, 100), Err(BadFrame::Torn));
        let whole = compress("whole");
        for end in 0..whole.len() {
            assert!(decompress(&whole[..end], 100).is_err(), "{end}");
        }
        assert_eq!(decompress(&[2, 0, 0, 0, 0], 100), Err(BadFrame::Unknown));
    }

    #[test]
    fn empty_lines_do_not_count() {
        let frame = encode(&[ClientMessage::Heartbeat, ClientMessage::Heartbeat]);
        assert_eq!(frame, "{\"type\":\"heartbeat\"}\n{\"type\":\"heartbeat\"}");
        assert_eq!(lines("\n\n \r\na\n").collect::<Vec<_>>(), ["a"]);
    }
}

//! Frames that are compressed.

use miniz_oxide::{deflate::compress_to_vec, inflate::decompress_to_vec_with_limit};

use super::DEFLATE;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::lines;

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
}

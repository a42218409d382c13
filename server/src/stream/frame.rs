//! Frames as they leave: made once, sent to everybody.

use std::sync::OnceLock;

use axum::extract::ws::{Message, Utf8Bytes};
use bytes::{BufMut as _, Bytes, BytesMut};

/// A text or binary frame, as a message and as the bytes on the connection.
#[derive(Debug)]
pub struct Frame {
    opcode: u8,
    payload: Payload,
    packet: OnceLock<Bytes>,
}

#[derive(Clone, Debug)]
enum Payload {
    Text(Utf8Bytes),
    Binary(Bytes),
}

/// Sends whole frames past the task that a stream belongs to, without waiting.
pub trait Pen: Send + Sync + std::fmt::Debug {
    /// Sends a frame, as far as it goes.
    fn write(&self, frame: &Frame) -> Written;
}

/// How far a frame came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The connection has all of it.
    Whole,
    /// It has a part. The rest goes as soon as the stream's own task sends or flushes.
    Begun,
    /// It has nothing of it: there is no room, something else is half-sent, or the connection is broken.
    Nothing,
}

impl Frame {
    /// A text frame.
    pub fn text(text: impl Into<Utf8Bytes>) -> Self {
        Self { opcode: 1, payload: Payload::Text(text.into()), packet: OnceLock::new() }
    }

    /// A binary frame.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self { opcode: 2, payload: Payload::Binary(bytes.into()), packet: OnceLock::new() }
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        match &self.payload {
            Payload::Text(text) => text.as_bytes(),
            Payload::Binary(bytes) => bytes,
        }
    }

    /// The payload, shared.
    pub fn bytes(&self) -> Bytes {
        match &self.payload {
            Payload::Text(text) => text.clone().into(),
            Payload::Binary(bytes) => bytes.clone(),
        }
    }

    /// The text; empty, where it is binary.
    pub fn as_text(&self) -> &str {
        match &self.payload {
            Payload::Text(text) => text,
            Payload::Binary(_) => "",
        }
    }

    /// For a websocket.
    pub fn message(&self) -> Message {
        match self.payload.clone() {
            Payload::Text(text) => Message::Text(text),
            Payload::Binary(bytes) => Message::Binary(bytes),
        }
    }

    /// What a websocket would make of it: a message of one unmasked frame (RFC 6455 §5.2).
    pub fn packet(&self) -> &Bytes {
        const FINAL: u8 = 0x80;
        self.packet.get_or_init(|| {
            let payload = self.payload();
            let mut packet = BytesMut::with_capacity(payload.len() + 10);
            packet.put_u8(FINAL | self.opcode);
            match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
                (Ok(length @ 0..=125), _) => packet.put_u8(length),
                (_, Ok(length)) => {
                    packet.put_u8(126);
                    packet.put_u16(length);
                }
                _ => {
                    packet.put_u8(127);
                    packet.put_u64(payload.len() as u64);
                }
            }
            packet.extend_from_slice(payload);
            packet.freeze()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_tell_their_length() {
        for (length, head) in [
            (0, &[0x82, 0][..]),
            (125, &[0x82, 125]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 0xff, 0xff]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let frame = Frame::binary(vec![7; length]);
            let packet = frame.packet();
            assert_eq!((&packet[..head.len()], packet.len()), (head, head.len() + length));
            assert!(packet[head.len()..].iter().all(|byte| *byte == 7));
        }
        assert_eq!(&Frame::text("é").packet()[..], [0x81, 2, 0xc3, 0xa9]);
    }
}

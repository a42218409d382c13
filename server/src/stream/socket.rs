//! A connection on which whole frames can be sent from outside of the task that it belongs to.
//!
//! To wake a task that then writes 600 bytes costs more than to write them. So whoever has something for thousands of streams
//! writes it himself, where a stream's task has nothing half-sent; see [`Line`](super::line::Line).

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::frame::{Frame, Pen, Written};

/// A TCP connection with a [`Pen`] for others.
#[derive(Debug)]
pub struct Socket {
    read: OwnedReadHalf,
    writer: Arc<SharedWriter>,
}

#[derive(Debug)]
struct SharedWriter(Mutex<Writer>);

#[derive(Debug)]
struct Writer {
    half: OwnedWriteHalf,
    /// What a frame that others began still lacks: it goes before everything else.
    rest: Bytes,
    /// The connection's own task has sent a part of something.
    is_halfway: bool,
}

impl Socket {
    /// A connection; nothing was written to it yet.
    pub fn new(stream: TcpStream) -> Self {
        let (read, half) = stream.into_split();
        let writer = Writer { half, rest: Bytes::new(), is_halfway: false };
        Self { read, writer: Arc::new(SharedWriter(Mutex::new(writer))) }
    }

    /// For those who send past the connection's own task. What they send are frames: to be used once the connection is a
    /// websocket, and no longer.
    pub fn pen(&self) -> Arc<dyn Pen> {
        Arc::clone(&self.writer) as _
    }
}

impl Pen for SharedWriter {
    fn write(&self, frame: &Frame) -> Written {
        let packet = frame.packet();
        let mut writer = self.lock();
        if writer.is_halfway || !writer.rest.is_empty() {
            return Written::Nothing;
        }
        match writer.half.try_write(packet) {
            Ok(sent) if sent == packet.len() => Written::Whole,
            Ok(sent) if sent > 0 => {
                writer.rest = packet.slice(sent..);
                Written::Begun
            }
            // What is broken is found out by the connection's own task.
            _ => Written::Nothing,
        }
    }
}

impl SharedWriter {
    fn lock(&self) -> MutexGuard<'_, Writer> {
        // Nothing here panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            match ready!(Pin::new(&mut self.half).poll_write(cx, &self.rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.rest.advance(sent),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut writer = self.writer.lock();
        ready!(writer.poll_rest(cx))?;
        let sent = ready!(Pin::new(&mut writer.half).poll_write_vectored(cx, bufs))?;
        // A websocket offers all that it has each time: what was taken whole ends with a frame.
        writer.is_halfway = sent < bufs.iter().map(|buf| buf.len()).sum();
        Poll::Ready(Ok(sent))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.lock().poll_rest(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut writer = self.writer.lock();
        ready!(writer.poll_rest(cx))?;
        Pin::new(&mut writer.half).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// More than any connection has room for.
    const LONG: usize = 64 << 20;

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Socket::new(listener.accept().await.unwrap().0), peer)
    }

    #[tokio::test]
    async fn a_frame_that_was_only_begun_is_ended_before_the_next() {
        let (mut socket, mut peer) = pair().await;
        let (long, short) = (Frame::binary(vec![b'a'; LONG]), Frame::text("b"));
        assert_eq!(socket.pen().write(&long), Written::Begun);
        assert_eq!(socket.pen().write(&short), Written::Nothing);
        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).await.unwrap();
            all
        });
        socket.flush().await.unwrap();
        assert_eq!(socket.pen().write(&short), Written::Whole);
        socket.write_all(b"c").await.unwrap();
        assert_eq!(socket.pen().write(&short), Written::Whole);
        socket.shutdown().await.unwrap();
        let all = reader.await.unwrap();
        assert!(all == [long.packet(), short.packet(), &b"c"[..], short.packet()].concat());
    }

    #[tokio::test]
    async fn what_the_task_has_half_sent_is_not_torn() {
        let (mut socket, mut peer) = pair().await;
        let (long, short) = (vec![b'a'; LONG], Frame::text("b"));
        let sent = socket.write(&long).await.unwrap();
        assert!(sent < LONG);
        assert_eq!(socket.pen().write(&short), Written::Nothing);
        let reader = tokio::spawn(async move {
            peer.read_exact(&mut vec![0; LONG]).await.unwrap();
            peer
        });
        socket.write_all(&long[sent..]).await.unwrap();
        let mut peer = reader.await.unwrap();
        assert_eq!(socket.pen().write(&short), Written::Whole);
        let mut next = [0; 3];
        peer.read_exact(&mut next).await.unwrap();
        assert_eq!(next, short.packet()[..]);
    }

    #[tokio::test]
    async fn to_a_broken_connection_nothing_is_written() {
        let (mut socket, peer) = pair().await;
        peer.set_zero_linger().unwrap();
        drop(peer);
        // The reset has arrived when the read fails.
        socket.read_u8().await.unwrap_err();
        assert_eq!(socket.pen().write(&Frame::text("a")), Written::Nothing);
    }
}

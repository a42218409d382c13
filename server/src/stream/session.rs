//! One stream: a cursor, and the way from there to the newest state.

use std::{collections::VecDeque, mem, sync::Arc, time::Duration};

use axum::extract::ws::Message;
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tidegate_core::Context;
use tidegate_protocol::{
    ClientMessage, ServerMessage, frame,
    message::{
        Ack, ClientContext, ClientHello, Goodbye, Heartbeat, PROTOCOL_VERSION, Received, ServerHello, encoding, goodbye,
    },
    sync::HEARTBEATS_MISSED,
};
use tokio::{
    sync::oneshot,
    time::{Interval, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Credential, Hub, Logged, Personal, Streams, Taken,
    lane::Seat,
    line::{Line, Place},
    receipts::Entry,
    state::{ChangeSet, Encoding},
    up_to_date,
};
use crate::app::{SdkKeyKind, SdkPrincipal};

/// Why a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client closed, or the connection broke.
    Gone,
    /// The client was not heard for three heartbeats.
    Silent,
    /// The client did not take a frame in time.
    Slow,
    /// The server ended it: one of the reasons of [`goodbye`].
    Goodbye(&'static str),
}

/// Whether there was something to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Advanced {
    Yes,
    No,
}

/// What a stream waits for.
enum Next<E> {
    Over,
    Kill,
    Change,
    Beat,
    Message(Option<Result<Message, E>>),
    Written { id: String, is_written: bool },
}

/// The client's name is kept up to this length, in characters.
const MAX_SDK_NAME: usize = 64;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

struct Session<'s, S> {
    streams: &'s Streams,
    hub: &'s Hub,
    socket: S,
    over: &'s CancellationToken,
    /// None with a client key: what it sees is evaluated first, and a kill with it.
    kills: Option<Seat>,
    changes: Seat,
    /// Whom a client key evaluates for; others get everything.
    personal: Option<Personal>,
    heartbeat: Interval,
    line: Arc<Line>,
    /// Where the client is, while it is not lent.
    place: Place,
    /// Heartbeats since the client was last heard.
    silent: u64,
    /// Its place among the receipts; people who only watch have none.
    entry: Option<Entry>,
    /// The client's batches of events that are being written, in their order.
    writing: VecDeque<(String, oneshot::Receiver<Logged>)>,
}

/// More batches than any SDK sends before the first is received; more are left to be repeated.
const MAX_WRITING: usize = 32;

/// Runs a stream over any socket of websocket messages, to its end.
pub(super) async fn run<S, E>(
    streams: &Streams,
    hub: &Hub,
    socket: S,
    line: Line,
    credential: &Credential,
    over: &CancellationToken,
) -> Ended
where
    S: Stream<Item = Result<Message, E>> + Sink<Message> + Unpin,
{
    let mut heartbeat = interval(streams.settings.heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset();
    let line = Arc::new(line);
    let mut session = Session {
        streams,
        hub,
        socket,
        over,
        kills: Some(hub.kills.take_seat(&line)),
        changes: hub.changes.take_seat(&line),
        personal: None,
        heartbeat,
        line,
        place: Place::default(),
        silent: 0,
        entry: None,
        writing: VecDeque::new(),
    };
    let Err(ended) = session.converse(credential).await;
    if let Ended::Goodbye(reason) = ended {
        session.farewell(reason).await;
    }
    ended
}

impl<S, E> Session<'_, S>
where
    S: Stream<Item = Result<Message, E>> + Sink<Message> + Unpin,
{
    async fn converse(&mut self, credential: &Credential) -> Result<std::convert::Infallible, Ended> {
        // Boxed: it would keep its room for as long as the stream lives.
        Box::pin(self.open(credential)).await?;
        loop {
            self.line.lend(mem::take(&mut self.place));
            // A kill overtakes what else there is to send.
            let next = tokio::select! {
                biased;
                () = self.over.cancelled() => Next::Over,
                () = turn(self.kills.as_ref()) => Next::Kill,
                () = self.changes.turn() => Next::Change,
                _ = self.heartbeat.tick() => Next::Beat,
                (id, is_written) = written(&mut self.writing) => Next::Written { id, is_written },
                message = self.socket.next() => Next::Message(message),
            };
            self.place = self.line.take_back();
            if mem::take(&mut self.place.is_halfway) {
                self.flush().await?;
            }
            match next {
                Next::Over => return Err(why_over(self.streams)),
                Next::Kill => self.send_kill(0).await?,
                Next::Change => drop(self.advance().await?),
                Next::Beat => Box::pin(self.beat()).await?,
                Next::Message(message) => self.hear(message, credential).await?,
                // What is not comes again.
                Next::Written { is_written: false, .. } => {}
                Next::Written { id, .. } => self.send(ServerMessage::Received(Received { id })).await?,
            }
        }
    }

    async fn open(&mut self, credential: &Credential) -> Result<(), Ended> {
        let hello = timeout(self.streams.settings.hello_timeout, self.hello());
        let hello = hello.await.map_err(|_| Ended::Goodbye(goodbye::PROTOCOL))??;
        self.greet(hello, credential).await
    }

    /// The first message must be the client's hello.
    async fn hello(&mut self) -> Result<ClientHello, Ended> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) => {
                    let first = frame::lines(&text).next().map(ClientMessage::parse);
                    return match first {
                        Some(Ok(ClientMessage::Hello(hello))) if hello.protocol >= PROTOCOL_VERSION => Ok(hello),
                        _ => Err(Ended::Goodbye(goodbye::PROTOCOL)),
                    };
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Err(Ended::Gone),
            }
        }
    }

    async fn greet(&mut self, hello: ClientHello, credential: &Credential) -> Result<(), Ended> {
        if hello.accepts.iter().any(|name| name == encoding::DEFLATE) {
            self.place.encoding = Encoding::Deflate;
        }
        if let Credential::Key(key) = credential {
            if key.kind == SdkKeyKind::Client {
                self.personal = Some(personal(key, hello.context.as_ref())?);
                self.kills = None;
                self.changes = self.hub.views.take_seat(&self.line);
            }
            let sdk = hello.sdk.chars().filter(|c| !c.is_control()).take(MAX_SDK_NAME).collect();
            self.entry = Some(self.hub.ledger.enter(sdk, key.key.clone(), self.streams.app.clock.now()));
        }
        let settings = &self.streams.settings;
        let heartbeat_ms = milliseconds(settings.heartbeat);
        let receipt_spread_ms = milliseconds(settings.receipt_spread);
        let greeting = ServerHello { protocol: PROTOCOL_VERSION, heartbeat_ms, receipt_spread_ms };
        self.send(ServerMessage::Hello(greeting)).await?;

        self.place.cursor = hello.position;
        if self.advance().await? == Advanced::No {
            let here = self.hub.state().position.clone();
            // A client that is ahead was fed by another process, or by this one before the database lost something.
            if self.place.cursor.as_ref().is_some_and(|at| at.revision > here.revision) {
                self.hub.nudge();
            }
            let to = self.place.cursor.as_ref().filter(|_| self.personal.is_some()).unwrap_or(&here);
            return self.send_message(Message::text(up_to_date(to))).await;
        }
        Ok(())
    }

    /// Brings the client to the newest state, whatever it missed on the way.
    async fn advance(&mut self) -> Result<Advanced, Ended> {
        if let Some(personal) = &mut self.personal {
            let front = self.hub.newest_front();
            let now = self.streams.app.clock.now();
            let Some((frames, to)) = personal.advance(&front, self.place.cursor.as_ref(), now) else {
                return Ok(Advanced::No);
            };
            for frame in frames {
                self.send_message(Message::text(frame)).await?;
            }
            self.place.cursor = Some(to);
            return Ok(Advanced::Yes);
        }
        let state = self.hub.state();
        let Some(change_set) = self.hub.change_set(&state, self.place.cursor.as_ref()).await else {
            return Ok(Advanced::No);
        };
        self.send_change_set(&change_set, state.position.revision).await?;
        self.place.cursor = Some(state.position.clone());
        Ok(Advanced::Yes)
    }

    /// Sends the change set that leads to the revision `to`.
    async fn send_change_set(&mut self, change_set: &Arc<ChangeSet>, to: u64) -> Result<(), Ended> {
        if let Some(kill) = change_set.kill.as_ref().filter(|kill| kill.revision > self.place.killed_to) {
            self.place.killed_to = kill.revision;
            self.send_message(kill.frame.message()).await?;
        }
        let mut frames = self.hub.encoded(change_set, self.place.encoding).await.iter();
        while let Some(frame) = frames.next() {
            self.send_message(frame.message()).await?;
            // Also past a long transfer.
            if frames.len() > 0 {
                self.send_kill(to).await?;
            }
        }
        Ok(())
    }

    /// Unless it is in what the client has, or is just being sent: a change set to the revision `sending`.
    async fn send_kill(&mut self, sending: u64) -> Result<(), Ended> {
        match self.hub.newest_kill() {
            Some(kill) if kill.revision > sending && !self.place.knows_kill(kill.revision) => {
                self.place.killed_to = kill.revision;
                self.send_message(kill.frame.message()).await
            }
            _ => Ok(()),
        }
    }

    async fn beat(&mut self) -> Result<(), Ended> {
        self.silent += 1;
        if self.silent > HEARTBEATS_MISSED {
            return Err(Ended::Silent);
        }
        // What a client key sees may change with time alone.
        if self.personal.is_some() {
            self.advance().await?;
        }
        let revision = self.place.cursor.as_ref().map(|at| at.revision);
        self.send(ServerMessage::Heartbeat(Heartbeat { revision })).await
    }

    async fn hear(&mut self, message: Option<Result<Message, E>>, credential: &Credential) -> Result<(), Ended> {
        self.silent = 0;
        match message {
            Some(Ok(Message::Text(text))) => {
                // What cannot be read, or is not known, is ignored: the client may be newer.
                for message in frame::lines(&text).filter_map(|line| ClientMessage::parse(line).ok()) {
                    match message {
                        ClientMessage::Ack(ack) => self.applied(ack),
                        // A stream takes the room of its largest state; what is rare is boxed.
                        other => Box::pin(self.obey(other, credential)).await?,
                    }
                }
                Ok(())
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Ended::Gone),
            Some(Ok(_)) => Ok(()),
        }
    }

    fn applied(&self, ack: Ack) {
        if let Some(entry) = &self.entry {
            entry.applied(ack, self.streams.app.clock.now());
        }
    }

    async fn obey(&mut self, message: ClientMessage, credential: &Credential) -> Result<(), Ended> {
        match message {
            ClientMessage::Resync(resync) => {
                tracing::info!(reason = resync.reason.chars().take(100).collect::<String>(), "a client starts over");
                self.streams.counters.resyncs.inc();
                self.place.cursor = None;
                self.advance().await.map(drop)
            }
            ClientMessage::Context(context) => {
                let (Credential::Key(key), Some(before)) = (credential, &mut self.personal) else { return Ok(()) };
                *before = personal(key, Some(&context))?;
                self.place.cursor = None;
                self.advance().await.map(drop)
            }
            ClientMessage::Events(batch) => {
                let Credential::Key(key) = credential else { return Ok(()) };
                if self.writing.len() >= MAX_WRITING {
                    return Ok(());
                }
                let whom = self.personal.as_ref().and_then(Personal::targeting_key);
                let taken = self.streams.take_events(self.hub, key, whom, &batch).await;
                let id = batch.id;
                match taken {
                    // Kills go on meanwhile.
                    Ok(Taken::Soon(written)) => self.writing.push_back((id, written)),
                    Ok(Taken::Not) => {}
                    // One that cannot be used would not be better the next time.
                    Ok(Taken::Now) | Err(_) => return self.send(ServerMessage::Received(Received { id })).await,
                }
                Ok(())
            }
            ClientMessage::Hello(_) | ClientMessage::Ack(_) | ClientMessage::Heartbeat | ClientMessage::Unknown => {
                Ok(())
            }
        }
    }

    async fn send(&mut self, message: ServerMessage) -> Result<(), Ended> {
        self.send_message(Message::text(frame::encode([&message]))).await
    }

    /// Waits until the client has taken the frame: what happens meanwhile is caught up with afterwards, in one step.
    async fn send_message(&mut self, message: Message) -> Result<(), Ended> {
        sent(self.socket.send(message), self.streams, self.over).await
    }

    /// Waits until the client has taken what somebody else began to send.
    async fn flush(&mut self) -> Result<(), Ended> {
        Box::pin(sent(self.socket.flush(), self.streams, self.over)).await
    }

    async fn farewell(&mut self, reason: &'static str) {
        let mut random = [0; 8];
        self.streams.app.ids.fill(&mut random);
        let spread = milliseconds(self.streams.settings.drain_spread);
        let retry_after_ms = u64::from_le_bytes(random).checked_rem(spread).unwrap_or(0);
        let goodbye = ServerMessage::Goodbye(Goodbye { reason: reason.into(), retry_after_ms });
        // Who does not take it has gone anyway.
        let _ = timeout(FAREWELL, async {
            self.socket.send(Message::Text(frame::encode([&goodbye]).into())).await?;
            self.socket.close().await
        })
        .await;
    }
}

fn why_over(streams: &Streams) -> Ended {
    Ended::Goodbye(if streams.shutdown.is_cancelled() { goodbye::SHUTDOWN } else { goodbye::REVOKED })
}

/// Waits for `sending`, as long as a client may take.
async fn sent<E>(
    sending: impl Future<Output = Result<(), E>>,
    streams: &Streams,
    over: &CancellationToken,
) -> Result<(), Ended> {
    tokio::select! {
        biased;
        sent = timeout(streams.settings.send_timeout, sending) => match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Gone),
            Err(_) => Err(Ended::Slow),
        },
        () = over.cancelled() => Err(why_over(streams)),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Waits until the first of the batches is written, or is not; for ever without one. Cancel safe.
async fn written(writing: &mut VecDeque<(String, oneshot::Receiver<Logged>)>) -> (String, bool) {
    let Some((_, first)) = writing.front_mut() else { return std::future::pending().await };
    let is_written = first.await.is_ok();
    let id = writing.pop_front().map(|(id, _)| id);
    (id.unwrap_or_default(), is_written)
}

/// Waits for the seat's turn; for ever without one.
async fn turn(seat: Option<&Seat>) {
    match seat {
        Some(seat) => seat.turn().await,
        None => std::future::pending().await,
    }
}

/// Whom the client evaluates for, where it may.
fn personal(key: &SdkPrincipal, context: Option<&ClientContext>) -> Result<Personal, Ended> {
    let Some(ClientContext { context, signature }) = context else { return Ok(Personal::new(Context::anonymous())) };
    let ctx = Context::from_json(context).map_err(|_| Ended::Goodbye(goodbye::PROTOCOL))?;
    if !key.vouches_for(ctx.targeting_key(), signature.as_deref()) {
        return Err(Ended::Goodbye(goodbye::FORBIDDEN));
    }
    Ok(Personal::new(ctx))
}

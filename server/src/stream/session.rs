//! One stream: a cursor, and the way from there to the newest state.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{Message, Utf8Bytes};
use futures_util::{Sink, SinkExt as _, Stream, StreamExt as _};
use tidegate_protocol::{
    ClientMessage, Position, ServerMessage, Transfer, frame,
    message::{ClientHello, Goodbye, Heartbeat, Intent, PROTOCOL_VERSION, ServerHello, goodbye},
    sync::HEARTBEATS_MISSED,
};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    Credential, Hub, State, Streams,
    receipts::Entry,
    state::{ChangeSet, KillFrame},
};

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

/// The client's name is kept up to this length, in characters.
const MAX_SDK_NAME: usize = 64;

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

struct Session<'s, S> {
    streams: &'s Streams,
    hub: &'s Hub,
    socket: S,
    revoked: &'s CancellationToken,
    states: watch::Receiver<Arc<State>>,
    kills: watch::Receiver<Option<KillFrame>>,
    heartbeat: Interval,
    /// Where the client is; nowhere: it needs everything.
    cursor: Option<Position>,
    /// Kills up to this revision were sent on the fast lane.
    killed_to: u64,
    /// Heartbeats since the client was last heard.
    silent: u64,
    /// Its place among the receipts; people who only watch have none.
    entry: Option<Entry>,
}

/// Runs a stream over any socket of websocket messages, to its end.
pub(super) async fn run<S, E>(
    streams: &Streams,
    hub: &Hub,
    socket: S,
    credential: &Credential,
    revoked: &CancellationToken,
) -> Ended
where
    S: Stream<Item = Result<Message, E>> + Sink<Message> + Unpin,
{
    let mut heartbeat = interval(streams.settings.heartbeat);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    heartbeat.reset();
    let mut session = Session {
        streams,
        hub,
        socket,
        revoked,
        states: hub.states(),
        kills: hub.kills(),
        heartbeat,
        cursor: None,
        killed_to: 0,
        silent: 0,
        entry: None,
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
        let hello = timeout(self.streams.settings.hello_timeout, self.hello());
        let hello = hello.await.map_err(|_| Ended::Goodbye(goodbye::PROTOCOL))??;
        self.greet(hello, credential).await?;
        loop {
            // A kill overtakes what else there is to send.
            tokio::select! {
                biased;
                () = self.revoked.cancelled() => return Err(Ended::Goodbye(goodbye::REVOKED)),
                () = self.streams.shutdown.cancelled() => return Err(Ended::Goodbye(goodbye::SHUTDOWN)),
                _ = self.kills.changed() => self.send_kill().await?,
                _ = self.states.changed() => self.advance().await?,
                _ = self.heartbeat.tick() => self.beat().await?,
                message = self.socket.next() => self.hear(message).await?,
            }
        }
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
        if matches!(credential, Credential::Key(_)) {
            let sdk = hello.sdk.chars().filter(|c| !c.is_control()).take(MAX_SDK_NAME).collect();
            self.entry = Some(self.hub.ledger.enter(sdk, self.streams.app.clock.now()));
        }
        let heartbeat_ms = u64::try_from(self.streams.settings.heartbeat.as_millis()).unwrap_or(u64::MAX);
        self.send(ServerMessage::Hello(ServerHello { protocol: PROTOCOL_VERSION, heartbeat_ms })).await?;

        self.cursor = hello.position;
        let state = self.hub.state();
        if needs_nothing(self.cursor.as_ref(), &state.position) {
            // A client that is ahead was fed by another process, or by this one before the database lost something.
            if self.cursor.as_ref() != Some(&state.position) {
                self.hub.nudge();
            }
            let to = state.position.clone();
            return self.send(ServerMessage::Intent(Intent { transfer: Transfer::None, from: None, to })).await;
        }
        self.advance().await
    }

    /// Brings the client to the newest state, whatever it missed on the way.
    async fn advance(&mut self) -> Result<(), Ended> {
        let state = Arc::clone(&self.states.borrow_and_update());
        let to = &state.position;
        if needs_nothing(self.cursor.as_ref(), to) {
            return Ok(());
        }
        let change_set = match &self.cursor {
            Some(at) if at.epoch == to.epoch && at.revision < to.revision => {
                self.hub.changes_since(&state, at.revision).await
            }
            _ => state.full(),
        };
        self.send_change_set(&change_set).await?;
        self.cursor = Some(to.clone());
        Ok(())
    }

    async fn send_change_set(&mut self, change_set: &ChangeSet) -> Result<(), Ended> {
        if let Some(kill) = change_set.kill.as_ref().filter(|kill| kill.revision > self.killed_to) {
            self.killed_to = kill.revision;
            self.send_frame(kill.frame.clone()).await?;
        }
        for frame in &change_set.frames {
            self.send_frame(frame.clone()).await?;
            // Also past a long transfer.
            if self.kills.has_changed().unwrap_or(false) {
                self.send_kill().await?;
            }
        }
        Ok(())
    }

    async fn send_kill(&mut self) -> Result<(), Ended> {
        let kill = self.kills.borrow_and_update().clone();
        let known = self.cursor.as_ref().map_or(0, |at| at.revision).max(self.killed_to);
        match kill {
            Some(kill) if kill.revision > known => {
                self.killed_to = kill.revision;
                self.send_frame(kill.frame).await
            }
            _ => Ok(()),
        }
    }

    async fn beat(&mut self) -> Result<(), Ended> {
        self.silent += 1;
        if self.silent > HEARTBEATS_MISSED {
            return Err(Ended::Silent);
        }
        let revision = self.cursor.as_ref().map(|at| at.revision);
        self.send(ServerMessage::Heartbeat(Heartbeat { revision })).await
    }

    async fn hear(&mut self, message: Option<Result<Message, E>>) -> Result<(), Ended> {
        self.silent = 0;
        match message {
            Some(Ok(Message::Text(text))) => {
                // What cannot be read, or is not known, is ignored: the client may be newer.
                for message in frame::lines(&text).filter_map(|line| ClientMessage::parse(line).ok()) {
                    self.obey(message).await?;
                }
                Ok(())
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(Ended::Gone),
            Some(Ok(_)) => Ok(()),
        }
    }

    async fn obey(&mut self, message: ClientMessage) -> Result<(), Ended> {
        match message {
            ClientMessage::Ack(ack) => {
                if let Some(entry) = &self.entry {
                    entry.applied(ack, self.streams.app.clock.now());
                }
                Ok(())
            }
            ClientMessage::Resync(resync) => {
                tracing::info!(reason = resync.reason.chars().take(100).collect::<String>(), "a client starts over");
                self.streams.counters.resyncs.inc();
                self.cursor = None;
                self.advance().await
            }
            ClientMessage::Hello(_)
            | ClientMessage::Context(_)
            | ClientMessage::Events(_)
            | ClientMessage::Heartbeat
            | ClientMessage::Unknown => Ok(()),
        }
    }

    async fn send(&mut self, message: ServerMessage) -> Result<(), Ended> {
        self.send_frame(frame::encode([&message]).into()).await
    }

    /// Waits until the client has taken the frame: what happens meanwhile is caught up with afterwards, in one step.
    async fn send_frame(&mut self, frame: Utf8Bytes) -> Result<(), Ended> {
        tokio::select! {
            biased;
            sent = timeout(self.streams.settings.send_timeout, self.socket.send(Message::Text(frame))) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Ended::Gone),
                Err(_) => Err(Ended::Slow),
            },
            () = self.revoked.cancelled() => Err(Ended::Goodbye(goodbye::REVOKED)),
        }
    }

    async fn farewell(&mut self, reason: &'static str) {
        let mut random = [0; 8];
        self.streams.app.ids.fill(&mut random);
        let spread = u64::try_from(self.streams.settings.drain_spread.as_millis()).unwrap_or(u64::MAX);
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

/// A client at `cursor` has all that `to` has, or more of the same epoch.
fn needs_nothing(cursor: Option<&Position>, to: &Position) -> bool {
    cursor.is_some_and(|at| at == to || (at.epoch == to.epoch && at.revision > to.revision))
}

//! The other end of an SDK's stream, spoken by hand: a server that does what the test says.

use std::{collections::VecDeque, time::Duration};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value as Json, json};
use tidegate_protocol::{
    ClientMessage, Digest, ObjectKind, Position, ServerMessage, Transfer, WireObject, frame,
    message::{Commit, Intent, Objects, ServerHello},
};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};

use super::within;

/// Listens where an SDK connects to.
pub struct Peer(TcpListener);

impl Peer {
    pub async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }

    /// The next connection, as bytes.
    pub async fn accept_raw(&self) -> TcpStream {
        within(self.0.accept()).await.unwrap().0
    }

    /// The next connection, its websocket open and nothing said.
    pub async fn accept(&self) -> Line {
        let socket = within(tokio_tungstenite::accept_async(self.accept_raw().await)).await.unwrap();
        Line { socket, read: VecDeque::new() }
    }

    /// The next connection, in step at `revision` with these objects. What the SDK said until then is read.
    pub async fn serve(&self, heartbeat: Duration, revision: u64, objects: &[WireObject]) -> Line {
        let mut line = self.accept().await;
        line.greet(heartbeat).await;
        line.full(revision, objects).await;
        while !matches!(line.next().await, Some(ClientMessage::Ack(ack)) if ack.revision == revision) {}
        line
    }
}

/// A connection to an SDK.
pub struct Line {
    pub socket: WebSocketStream<TcpStream>,
    read: VecDeque<ClientMessage>,
}

impl Line {
    pub async fn send(&mut self, frame: impl Into<String>) {
        within(self.socket.send(Message::text(frame.into()))).await.unwrap();
    }

    pub async fn say(&mut self, message: &ServerMessage) {
        self.send(frame::encode([message])).await;
    }

    /// Says hello.
    pub async fn greet(&mut self, heartbeat: Duration) {
        self.say(&hello(heartbeat)).await;
    }

    /// Sends everything there is.
    pub async fn full(&mut self, revision: u64, objects: &[WireObject]) {
        self.send(frame::encode(&full(revision, objects))).await;
    }

    /// The next message but hello and heartbeats; `None`: the SDK has gone.
    pub async fn next(&mut self) -> Option<ClientMessage> {
        loop {
            match self.read.pop_front() {
                Some(ClientMessage::Hello(_) | ClientMessage::Heartbeat) => {}
                Some(message) => return Some(message),
                None => match within(self.socket.next()).await {
                    Some(Ok(Message::Text(text))) => {
                        self.read.extend(frame::lines(&text).map(|line| ClientMessage::parse(line).unwrap()));
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    _ => return None,
                },
            }
        }
    }
}

fn hello(heartbeat: Duration) -> ServerMessage {
    let heartbeat_ms = u64::try_from(heartbeat.as_millis()).unwrap();
    ServerMessage::Hello(ServerHello { protocol: 1, heartbeat_ms, receipt_spread_ms: 0 })
}

fn full(revision: u64, objects: &[WireObject]) -> [ServerMessage; 3] {
    let to = Position { epoch: "e".into(), revision, digest: objects.iter().map(Digest::from).sum() };
    [
        ServerMessage::Intent(Intent { transfer: Transfer::Full, from: None, to: to.clone() }),
        ServerMessage::Objects(Objects { put: objects.to_vec(), delete: Vec::new() }),
        ServerMessage::Commit(Commit { to, changed_at: None }),
    ]
}

/// Serves the SDK at the other end for as long as it is there: it may go at any moment.
pub async fn serve_mortal(stream: TcpStream, revision: u64, objects: &[WireObject]) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { return };
    let messages = [&[hello(Duration::from_hours(1))][..], &full(revision, objects)].concat();
    let _ = socket.send(Message::text(frame::encode(&messages))).await;
    while let Some(Ok(_)) = socket.next().await {}
}

/// A number flag that serves `value` to everybody.
pub fn flag(key: &str, value: u64) -> WireObject {
    let body = json!({
        "key": key, "kind": "number", "version": value, "enabled": true,
        "variants": [{ "key": "v", "value": value }], "default": { "variant": "v" },
    });
    object(key, &body)
}

/// A flag with that body, whatever it is.
pub fn object(key: &str, body: &Json) -> WireObject {
    WireObject::new(ObjectKind::Flag, key, body).unwrap()
}

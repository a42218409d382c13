//! The messages.
//!
//! [`ClientMessage`] and [`ServerMessage`] are read by type first, then by body (`parse`): one that is not known is
//! [`Unknown`](ServerMessage::Unknown), never an error.

pub(crate) mod write;

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;
use tidegate_core::tree::{self, Read, ReadError, Tree};

use crate::{digest::Digest, events::EventBatch};

/// The version of the protocol spoken here.
pub const PROTOCOL_VERSION: u32 = 1;

/// Where a snapshot stands: what an SDK has, or what a server offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The database's timeline; revisions of different epochs do not compare.
    pub epoch: Arc<str>,
    /// Grows by one with each commit in the environment.
    pub revision: u64,
    /// Of all objects at this revision.
    pub digest: Digest,
}

/// What the client sends.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage {
    /// The first message: who this is and what it has.
    Hello(ClientHello),
    /// The client evaluates with this revision now: a propagation receipt.
    Ack(Ack),
    /// The client cannot use what it was sent: send everything.
    Resync(Resync),
    /// With a client key: the context changed.
    Context(ClientContext),
    /// What was evaluated and measured.
    Events(EventBatch),
    /// Still here.
    Heartbeat,
    /// Whatever a newer client may send: ignored.
    Unknown,
}

/// Who the client is and what it has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientHello {
    /// The highest protocol version that the client speaks.
    pub protocol: u32,
    /// Like `tidegate-rust/0.1.0`.
    pub sdk: String,
    /// What the client has; absent: nothing.
    #[serde(default)]
    pub position: Option<Position>,
    /// The compressions that the client can read, by the names of [`encoding`].
    #[serde(default)]
    pub accepts: Vec<Cow<'static, str>>,
    /// With a client key: whom the server evaluates for; absent: nobody in particular.
    #[serde(default, flatten)]
    pub context: Option<ClientContext>,
}

/// How a frame may be compressed: see [`frame::compress`](crate::frame::compress).
pub mod encoding {
    /// Raw DEFLATE (RFC 1951).
    pub const DEFLATE: &str = "deflate";
}

/// Whom a client key evaluates for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientContext {
    /// The evaluation context: a JSON object, its `targetingKey` the targeting key, all else attributes.
    pub context: Json,
    /// Where the key demands it (secure mode): HMAC-SHA256 of the targeting key under the key's secret, 64 hex digits.
    #[serde(default)]
    pub signature: Option<String>,
}

/// The revision that a client evaluates with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ack {
    /// The revision's epoch.
    pub epoch: Arc<str>,
    /// The revision applied.
    pub revision: u64,
    /// How long ago, in milliseconds: receipts may wait, see [`ServerHello::receipt_spread_ms`].
    #[serde(default)]
    pub age_ms: u64,
}

/// Asks for a full transfer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resync {
    /// Why, for the server's metric: a short constant text.
    pub reason: Cow<'static, str>,
}

/// What the server sends.
#[derive(Clone, Debug)]
pub enum ServerMessage {
    /// The answer to the client's hello.
    Hello(ServerHello),
    /// A change set begins. One that transfers nothing has no objects and no commit.
    Intent(Intent),
    /// Part of a change set.
    Objects(Objects),
    /// The change set is complete.
    Commit(Commit),
    /// Flags were killed: to be applied at once; the change set that says so follows.
    Kill(Kill),
    /// A batch of events was taken, now or before: it need not be sent again.
    Received(Received),
    /// Still here.
    Heartbeat(Heartbeat),
    /// The server is about to close the connection.
    Goodbye(Goodbye),
    /// Whatever a newer server may send: ignored.
    Unknown,
}

/// How the connection will be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The protocol version that will be spoken: at most the client's.
    pub protocol: u32,
    /// Each side sends something at least this often; one that hears nothing for three of these takes the other for
    /// dead.
    pub heartbeat_ms: u64,
    /// A receipt waits for a random part of this, in milliseconds, so that thousands of clients do not answer one change
    /// all at once, while the server still sends it.
    pub receipt_spread_ms: u64,
}

/// Announces a change set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// What it holds.
    pub transfer: Transfer,
    /// For [`Transfer::Changes`]: the revision, of the same epoch as `to`, that they start from.
    pub from: Option<u64>,
    /// What the client will have after it.
    pub to: Position,
}

/// What a change set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transfer {
    /// Nothing: the client is up to date.
    None,
    /// What changed since the client's position.
    Changes,
    /// Everything: what is not in it is gone.
    Full,
}

/// Objects of a change set.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Objects added or replaced. A segment or prerequisite comes before what uses it.
    pub put: Vec<WireObject>,
    /// Objects removed.
    pub delete: Vec<ObjectRef>,
}

/// Ends a change set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// As in the intent.
    pub to: Position,
    /// When the newest change in it was accepted: milliseconds since 1970 on the server's clock. To be shown, never to
    /// decide anything.
    pub changed_at: Option<i64>,
}

/// Flags that are killed from `revision` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kill {
    /// The epoch of `revision`.
    pub epoch: Arc<str>,
    /// The revision of the kill.
    pub revision: u64,
    /// The keys of the flags.
    pub flags: Vec<String>,
    /// As in [`Commit`].
    pub changed_at: Option<i64>,
}

/// Names a batch of events that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The batch's id.
    pub id: String,
}

/// A sign of life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// The revision that this client was last brought to; one that is behind it has missed something.
    pub revision: Option<u64>,
}

/// Announces the end of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goodbye {
    /// Why: one of the constants of [`goodbye`].
    pub reason: Cow<'static, str>,
    /// How long to wait before connecting again, at least.
    pub retry_after_ms: u64,
}

/// The reasons of a [`Goodbye`].
pub mod goodbye {
    /// The server stops or restarts.
    pub const SHUTDOWN: &str = "shutdown";
    /// The key or session is not valid any more: trying again at once is of no use.
    pub const REVOKED: &str = "revoked";
    /// The client broke the protocol, or speaks none that the server does.
    pub const PROTOCOL: &str = "protocol";
    /// The key is in secure mode, and the signature does not fit the targeting key.
    pub const FORBIDDEN: &str = "forbidden";
    /// The environment cannot be read now.
    pub const UNAVAILABLE: &str = "unavailable";
}

/// What an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Its body is a [`tidegate_core::SegmentConfig`].
    Segment,
    /// Its body is a [`tidegate_core::FlagConfig`].
    Flag,
    /// A flag as the server evaluated it for the client's context: a [`tidegate_core::config::ResolvedFlag`].
    Value,
    /// A kind that this version does not know, by its name: counted in the digest, else ignored.
    Other(Box<str>),
}

impl ObjectKind {
    /// The name on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Segment => "segment",
            Self::Flag => "flag",
            Self::Value => "value",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for ObjectKind {
    fn from(name: &str) -> Self {
        match name {
            "segment" => Self::Segment,
            "flag" => Self::Flag,
            "value" => Self::Value,
            other => Self::Other(other.into()),
        }
    }
}

impl Read for ObjectKind {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        tree.text().map(Self::from)
    }
}

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// What it is.
    pub kind: ObjectKind,
    /// Its key.
    pub key: Arc<str>,
}

/// A flag or segment as it travels: the exact bytes count in the digest. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireObject {
    /// What it is.
    pub kind: ObjectKind,
    /// Its key.
    pub key: Arc<str>,
    /// Its configuration.
    pub body: Body,
}

/// The configuration of an object: compact JSON, without line breaks. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(Arc<str>);

impl Body {
    /// Its text.
    pub fn get(&self) -> &str {
        &self.0
    }
}

impl WireObject {
    /// An object with `body` as compact JSON.
    ///
    /// # Errors
    /// Where `body` cannot be written as JSON; flags and segments always can.
    pub fn new(kind: ObjectKind, key: &str, body: &impl Serialize) -> Result<Self, serde_json::Error> {
        let body = Body(serde_json::to_string(body)?.into());
        Ok(Self { kind, key: key.into(), body })
    }

    /// Names the object.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef { kind: self.kind.clone(), key: Arc::clone(&self.key) }
    }
}

/// The part of a client's message that says what the rest is.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
}

impl ClientMessage {
    /// Reads one message.
    ///
    /// # Errors
    /// Where `text` is no JSON object with a `type`, or lacks a field that its type needs.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let head: Head<'_> = serde_json::from_str(text)?;
        Ok(match head.kind.as_ref() {
            "hello" => Self::Hello(serde_json::from_str(text)?),
            "ack" => Self::Ack(serde_json::from_str(text)?),
            "resync" => Self::Resync(serde_json::from_str(text)?),
            "context" => Self::Context(serde_json::from_str(text)?),
            "events" => Self::Events(serde_json::from_str(text)?),
            "heartbeat" => Self::Heartbeat,
            _ => Self::Unknown,
        })
    }
}

impl ServerMessage {
    /// Reads one message.
    ///
    /// # Errors
    /// Where `text` is no JSON object with a `type`, or lacks a field that its type needs.
    pub fn parse(text: &str) -> Result<Self, ReadError> {
        let tree = Tree::parse_but(BODY, text)?;
        Ok(match tree.fields()?.required::<String>("type")?.as_str() {
            "hello" => Self::Hello(Read::read(&tree)?),
            "intent" => Self::Intent(Read::read(&tree)?),
            "objects" => Self::Objects(Read::read(&tree)?),
            "commit" => Self::Commit(Read::read(&tree)?),
            "kill" => Self::Kill(Read::read(&tree)?),
            "received" => Self::Received(Read::read(&tree)?),
            "heartbeat" => Self::Heartbeat(Read::read(&tree)?),
            "goodbye" => Self::Goodbye(Read::read(&tree)?),
            _ => Self::Unknown,
        })
    }
}

impl Read for Position {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            epoch: fields.required("epoch")?,
            revision: fields.required("revision")?,
            digest: fields.required("digest")?,
        })
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        tree::deserialize(deserializer)
    }
}

impl Read for ServerHello {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            protocol: fields.required("protocol")?,
            heartbeat_ms: fields.required("heartbeatMs")?,
            receipt_spread_ms: fields.or_default("receiptSpreadMs")?,
        })
    }
}

impl Read for Intent {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self { transfer: fields.required("transfer")?, from: fields.optional("from")?, to: fields.required("to")? })
    }
}

impl Read for Transfer {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        tree.one_of(&[("none", Self::None), ("changes", Self::Changes), ("full", Self::Full)])
    }
}

impl Read for Objects {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self { put: fields.or_default("put")?, delete: fields.or_default("delete")? })
    }
}

impl Read for Commit {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self { to: fields.required("to")?, changed_at: fields.optional("changedAt")? })
    }
}

impl Read for Kill {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            epoch: fields.required("epoch")?,
            revision: fields.required("revision")?,
            flags: fields.required("flags")?,
            changed_at: fields.optional("changedAt")?,
        })
    }
}

impl Read for Received {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        Ok(Self { id: tree.fields()?.required("id")? })
    }
}

impl Read for Heartbeat {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        Ok(Self { revision: tree.fields()?.optional("revision")? })
    }
}

impl Read for Goodbye {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        let reason = Cow::Owned(fields.required("reason")?);
        Ok(Self { reason, retry_after_ms: fields.required("retryAfterMs")? })
    }
}

impl Read for ObjectRef {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self { kind: fields.required("kind")?, key: fields.required("key")? })
    }
}

/// What a [`WireObject`] needs as the text that it is.
const BODY: &str = "body";

impl WireObject {
    pub(crate) fn parse(text: &str) -> Result<Self, ReadError> {
        Self::read(&Tree::parse_but(BODY, text)?)
    }
}

impl Read for Body {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        match tree {
            Tree::Raw(text) => Ok(Self((*text).into())),
            _ => Err(ReadError::new("must be kept as text")),
        }
    }
}

impl Read for WireObject {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self { kind: fields.required("kind")?, key: fields.required("key")?, body: fields.required(BODY)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_server(message: &ServerMessage, json: &str) {
        assert_eq!(tree::text(message), json);
        let read = ServerMessage::parse(json).unwrap();
        assert_eq!(tree::text(&read), json);
    }

    fn position() -> Position {
        Position { epoch: "e1".into(), revision: 7, digest: Digest(1) }
    }

    #[test]
    fn server_messages_have_this_form() {
        check_server(
            &ServerMessage::Hello(ServerHello { protocol: 1, heartbeat_ms: 15_000, receipt_spread_ms: 0 }),
            r#"{"type":"hello","protocol":1,"heartbeatMs":15000}"#,
        );
        check_server(
            &ServerMessage::Intent(Intent { transfer: Transfer::Changes, from: Some(6), to: position() }),
            r#"{"type":"intent","transfer":"changes","from":6,"to":{"epoch":"e1","revision":7,"digest":"00000000000000000000000000000001"}}"#,
        );
        let put = WireObject::new(ObjectKind::Flag, "checkout", &serde_json::json!({ "key": "checkout" })).unwrap();
        let delete = ObjectRef { kind: ObjectKind::Segment, key: "beta".into() };
        check_server(
            &ServerMessage::Objects(Objects { put: vec![put], delete: vec![delete] }),
            r#"{"type":"objects","put":[{"kind":"flag","key":"checkout","body":{"key":"checkout"}}],"delete":[{"kind":"segment","key":"beta"}]}"#,
        );
        check_server(
            &ServerMessage::Commit(Commit { to: position(), changed_at: Some(5) }),
            r#"{"type":"commit","to":{"epoch":"e1","revision":7,"digest":"00000000000000000000000000000001"},"changedAt":5}"#,
        );
        check_server(
            &ServerMessage::Kill(Kill {
                epoch: "e1".into(),
                revision: 7,
                flags: vec!["checkout".to_owned()],
                changed_at: None,
            }),
            r#"{"type":"kill","epoch":"e1","revision":7,"flags":["checkout"]}"#,
        );
        check_server(&ServerMessage::Received(Received { id: "b1".to_owned() }), r#"{"type":"received","id":"b1"}"#);
        check_server(
            &ServerMessage::Heartbeat(Heartbeat { revision: Some(7) }),
            r#"{"type":"heartbeat","revision":7}"#,
        );
        check_server(
            &ServerMessage::Goodbye(Goodbye { reason: goodbye::SHUTDOWN.into(), retry_after_ms: 250 }),
            r#"{"type":"goodbye","reason":"shutdown","retryAfterMs":250}"#,
        );
    }

    #[test]
    fn client_messages_have_this_form() {
        for (message, json) in [
            (
                ClientMessage::Hello(ClientHello {
                    protocol: 1,
                    sdk: "test/1".to_owned(),
                    position: None,
                    accepts: Vec::new(),
                    context: None,
                }),
                r#"{"type":"hello","protocol":1,"sdk":"test/1"}"#,
            ),
            (
                ClientMessage::Hello(ClientHello {
                    protocol: 1,
                    sdk: "test/1".to_owned(),
                    position: None,
                    accepts: vec![encoding::DEFLATE.into()],
                    context: Some(ClientContext {
                        context: serde_json::json!({ "targetingKey": "ada" }),
                        signature: Some("00".to_owned()),
                    }),
                }),
                r#"{"type":"hello","protocol":1,"sdk":"test/1","accepts":["deflate"],"context":{"targetingKey":"ada"},"signature":"00"}"#,
            ),
            (
                ClientMessage::Context(ClientContext { context: serde_json::json!({}), signature: None }),
                r#"{"type":"context","context":{}}"#,
            ),
            (
                ClientMessage::Ack(Ack { epoch: "e1".into(), revision: 7, age_ms: 0 }),
                r#"{"type":"ack","epoch":"e1","revision":7}"#,
            ),
            (ClientMessage::Resync(Resync { reason: "digest".into() }), r#"{"type":"resync","reason":"digest"}"#),
            (ClientMessage::Heartbeat, r#"{"type":"heartbeat"}"#),
        ] {
            assert_eq!(tree::text(&message), json);
            assert_eq!(ClientMessage::parse(json).unwrap(), message);
        }
    }

    #[test]
    fn what_a_newer_side_adds_is_ignored() {
        let hello = ServerMessage::parse(r#"{"new":[{}],"type":"hello","protocol":2,"heartbeatMs":1}"#).unwrap();
        assert!(matches!(
            hello,
            ServerMessage::Hello(ServerHello { protocol: 2, heartbeat_ms: 1, receipt_spread_ms: 0 })
        ));
        let unknown = ServerMessage::parse(r#"{"flags":{"a":1},"type":"celebration"}"#).unwrap();
        assert!(matches!(unknown, ServerMessage::Unknown));
        assert_eq!(ClientMessage::parse(r#"{"type":"sigh"}"#).unwrap(), ClientMessage::Unknown);
    }

    #[test]
    fn an_unknown_kind_keeps_its_name() {
        let kind: ObjectKind = tree::parse("\"experiment\"").unwrap();
        assert_eq!(kind, ObjectKind::Other("experiment".into()));
        assert_eq!(tree::text(&kind), "\"experiment\"");
    }

    #[test]
    fn a_body_keeps_its_bytes() {
        let text = r#"{"type":"objects","put":[{"kind":"flag","key":"a","body":{ "b":1.0e2 , "a":"\u00e9"}}]}"#;
        let ServerMessage::Objects(objects) = ServerMessage::parse(text).unwrap() else { panic!("no objects") };
        assert_eq!(objects.put[0].body.get(), r#"{ "b":1.0e2 , "a":"\u00e9"}"#);
    }
}

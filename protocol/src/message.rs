//! The messages.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::digest::Digest;

/// The version of the protocol spoken here.
pub const PROTOCOL_VERSION: u32 = 1;

/// Where a snapshot stands: what an SDK has, or what a server offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The database's timeline; revisions of different epochs do not compare.
    pub epoch: String,
    /// Grows by one with each commit in the environment.
    pub revision: u64,
    /// Of all objects at this revision.
    pub digest: Digest,
}

/// What the client sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ClientMessage {
    /// The first frame: who this is and what it has.
    Hello {
        /// The highest protocol version that the client speaks.
        protocol: u32,
        /// Like `tidegate-rust/0.1.0`.
        sdk: String,
        /// What the client has; absent: nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
    },
    /// The client evaluates with this revision now: a propagation receipt.
    Ack {
        /// The revision's epoch.
        epoch: String,
        /// The revision applied.
        revision: u64,
    },
    /// The client cannot use what it has (a digest that does not match): send everything.
    Resync {
        /// Why, for the server's metric: a short constant text.
        reason: String,
    },
    /// Still here.
    Heartbeat,
    /// Whatever a newer client may send: ignored.
    #[serde(other)]
    Unknown,
}

/// What the server sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ServerMessage {
    /// The first frame.
    Hello {
        /// The protocol version that will be spoken.
        protocol: u32,
        /// A side that hears nothing for three of these takes the other for dead.
        heartbeat_ms: u64,
    },
    /// A change set begins.
    Intent {
        /// What it holds.
        transfer: Transfer,
        /// What the client will have after it.
        to: Position,
    },
    /// Part of a change set.
    Objects {
        /// Objects added or replaced. A segment or prerequisite comes before what uses it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        put: Vec<WireObject>,
        /// Objects removed.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        delete: Vec<ObjectRef>,
    },
    /// The change set is complete.
    Commit {
        /// As in the intent.
        to: Position,
    },
    /// These flags are killed as of `revision`: to be applied at once; the change set follows.
    Kill {
        /// The epoch of `revision`.
        epoch: String,
        /// The revision of the kill.
        revision: u64,
        /// The keys of the flags.
        flags: Vec<String>,
    },
    /// Still here.
    Heartbeat,
    /// The server is about to close the connection.
    Goodbye {
        /// Why: `shutdown`, `revoked`, `slow`, `protocol`, `capacity`.
        reason: String,
        /// How long to wait before connecting again, at least.
        retry_after_ms: u64,
    },
    /// Whatever a newer server may send: ignored.
    #[serde(other)]
    Unknown,
}

/// What a change set holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Transfer {
    /// Nothing: the client is up to date.
    None,
    /// What changed since the client's position.
    Changes,
    /// Everything: the client forgets what it has.
    Full,
}

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ObjectKind {
    /// Its body is a [`tidegate_core::FlagConfig`].
    Flag,
    /// Its body is a [`tidegate_core::SegmentConfig`].
    Segment,
    /// A kind that this version does not know: counted in the digest, else ignored.
    #[serde(other)]
    Unknown,
}

/// Names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// What it is.
    pub kind: ObjectKind,
    /// Its key.
    pub key: String,
}

/// A flag or segment as it travels: the exact bytes count in the digest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireObject {
    /// What it is.
    pub kind: ObjectKind,
    /// Its key.
    pub key: String,
    /// Its configuration.
    pub body: Box<RawValue>,
}

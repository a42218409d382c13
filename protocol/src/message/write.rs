//! How messages are written: a member that says nothing is left out.

use tidegate_core::tree::{Members, Write};

use super::{
    Ack, Body, ClientContext, ClientHello, ClientMessage, Commit, Goodbye, Heartbeat, Intent, Kill, ObjectKind,
    ObjectRef, Objects, Position, Received, Resync, ServerHello, ServerMessage, Transfer, WireObject,
};

impl Write for ClientMessage {
    fn write(&self, out: &mut String) {
        match self {
            Self::Hello(hello) => hello.members(Members::typed(out, "hello")),
            Self::Ack(ack) => ack.members(Members::typed(out, "ack")),
            Self::Resync(Resync { reason }) => Members::typed(out, "resync").with("reason", &reason.as_ref()),
            Self::Context(context) => context.members(Members::typed(out, "context")),
            Self::Events(batch) => batch.members(Members::typed(out, "events")),
            Self::Heartbeat => Members::typed(out, "heartbeat"),
            Self::Unknown => Members::typed(out, "unknown"),
        }
        .end();
    }
}

impl ClientHello {
    fn members<'o>(&self, members: Members<'o>) -> Members<'o> {
        let accepts: Vec<_> = self.accepts.iter().map(AsRef::as_ref).collect();
        let members = members
            .with("protocol", &self.protocol)
            .with("sdk", &self.sdk)
            .with_some("position", self.position.as_ref())
            .with_some("accepts", not_empty::<&str>(&accepts));
        match &self.context {
            Some(context) => context.members(members),
            None => members,
        }
    }
}

impl ClientContext {
    fn members<'o>(&self, members: Members<'o>) -> Members<'o> {
        members.with("context", &self.context).with_some("signature", self.signature.as_ref())
    }
}

impl Ack {
    fn members<'o>(&self, members: Members<'o>) -> Members<'o> {
        let members = members.with("epoch", &self.epoch).with("revision", &self.revision);
        members.with_some("ageMs", not_zero(&self.age_ms))
    }
}

impl Write for ServerMessage {
    fn write(&self, out: &mut String) {
        match self {
            Self::Hello(ServerHello { protocol, heartbeat_ms, receipt_spread_ms }) => Members::typed(out, "hello")
                .with("protocol", protocol)
                .with("heartbeatMs", heartbeat_ms)
                .with_some("receiptSpreadMs", not_zero(receipt_spread_ms)),
            Self::Intent(Intent { transfer, from, to }) => {
                Members::typed(out, "intent").with("transfer", transfer).with_some("from", from.as_ref()).with("to", to)
            }
            Self::Objects(Objects { put, delete }) => {
                Members::typed(out, "objects").with_some("put", not_empty(put)).with_some("delete", not_empty(delete))
            }
            Self::Commit(Commit { to, changed_at }) => {
                Members::typed(out, "commit").with("to", to).with_some("changedAt", changed_at.as_ref())
            }
            Self::Kill(Kill { epoch, revision, flags, changed_at }) => Members::typed(out, "kill")
                .with("epoch", epoch)
                .with("revision", revision)
                .with("flags", flags)
                .with_some("changedAt", changed_at.as_ref()),
            Self::Received(Received { id }) => Members::typed(out, "received").with("id", id),
            Self::Heartbeat(Heartbeat { revision }) => {
                Members::typed(out, "heartbeat").with_some("revision", revision.as_ref())
            }
            Self::Goodbye(Goodbye { reason, retry_after_ms }) => {
                Members::typed(out, "goodbye").with("reason", &reason.as_ref()).with("retryAfterMs", retry_after_ms)
            }
            Self::Unknown => Members::typed(out, "unknown"),
        }
        .end();
    }
}

impl Write for Transfer {
    fn write(&self, out: &mut String) {
        match self {
            Self::None => "none",
            Self::Changes => "changes",
            Self::Full => "full",
        }
        .write(out);
    }
}

impl Write for Position {
    fn write(&self, out: &mut String) {
        let Self { epoch, revision, digest } = self;
        Members::of(out).with("epoch", epoch).with("revision", revision).with("digest", digest).end();
    }
}

impl Write for ObjectKind {
    fn write(&self, out: &mut String) {
        self.as_str().write(out);
    }
}

impl Write for ObjectRef {
    fn write(&self, out: &mut String) {
        Members::of(out).with("kind", &self.kind).with("key", &self.key).end();
    }
}

impl Write for WireObject {
    fn write(&self, out: &mut String) {
        Members::of(out).with("kind", &self.kind).with("key", &self.key).with("body", &self.body).end();
    }
}

/// As it is.
impl Write for Body {
    fn write(&self, out: &mut String) {
        out.push_str(self.get());
    }
}

pub(crate) fn not_zero(number: &u64) -> Option<&u64> {
    Some(number).filter(|number| **number > 0)
}

pub(crate) fn not_empty<T>(items: &Vec<T>) -> Option<&Vec<T>> {
    Some(items).filter(|items| !items.is_empty())
}

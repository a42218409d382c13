//! The sync machine: what happened goes in, what to do comes out.
//!
//! A [`Synchronizer`] does no I/O and reads no clock. Whoever drives it owns one socket and one timer:
//!
//! ```text
//! start                        ──►            ──► Connect, Disconnect, Send, Poll
//! socket opened, message, lost ──►  machine   ──► Apply (to the ruleset)
//! answer of a poll             ──►            ──► Status (for the application)
//! timer at wake_at()           ──►
//! ```
//!
//! The effects of one call are to be carried out in their order, so that a receipt says what is true: it comes after
//! the change that it is for.

mod backoff;
mod poll;
mod replica;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use tidegate_core::{Change, FlagKey, SegmentKey};

pub use self::{
    backoff::Backoff,
    poll::{Poll, Polled, Polling},
};
use self::{
    backoff::Jitter,
    poll::{Memory, Poller},
    replica::{Outcome, Replica},
};
use crate::{
    frame,
    message::{
        Ack, ClientContext, ClientHello, ClientMessage, Goodbye, Heartbeat, PROTOCOL_VERSION, Position, Resync,
        ServerHello, ServerMessage, encoding, goodbye,
    },
    snapshot::Snapshot,
};

/// Milliseconds on a clock that never goes back; where zero lies is the driver's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// How the machine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Told to the server, like `tidegate-rust/0.1.0`.
    pub sdk: String,
    /// The compressions that the driver can read, by the names of [`encoding`]; the server sends text to who can read none.
    pub accepts: Vec<Cow<'static, str>>,
    /// The waits between attempts.
    pub backoff: Backoff,
    /// The waits after the server refused the key: trying harder is of no use.
    pub refused_backoff: Backoff,
    /// How long the connection may be lost before [`Status::Stale`] becomes [`Status::Error`].
    pub grace_ms: u64,
    /// From the attempt to the open socket.
    pub connect_timeout_ms: u64,
    /// From the open socket to the server's hello.
    pub handshake_timeout_ms: u64,
    /// From the server's hello to a first complete change set; also from a resync to its full transfer.
    pub transfer_timeout_ms: u64,
    /// What to do where no stream can be had; absent: only try again.
    pub polling: Option<Polling>,
    /// Whether objects are kept for [`Synchronizer::snapshot`].
    pub retention: Retention,
    /// What the machine takes in at most.
    pub limits: Limits,
    /// Spreads the waits: any number, another one in each process.
    pub seed: u64,
}

impl Settings {
    /// The settings every SDK starts from: waits up to 5 s, which is below the grace period of 10 s; without polling,
    /// which a driver must know to do.
    pub fn new(sdk: &str, seed: u64) -> Self {
        Self {
            sdk: sdk.to_owned(),
            accepts: vec![encoding::DEFLATE.into()],
            backoff: Backoff { base_ms: 200, cap_ms: 5_000 },
            refused_backoff: Backoff { base_ms: 60_000, cap_ms: 300_000 },
            grace_ms: 10_000,
            connect_timeout_ms: 5_000,
            handshake_timeout_ms: 5_000,
            transfer_timeout_ms: 30_000,
            polling: None,
            retention: Retention::Digests,
            limits: Limits::default(),
            seed,
        }
    }
}

/// What a machine keeps of each object beside its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// Nothing: [`Synchronizer::snapshot`] has nothing to give.
    Digests,
    /// The bytes of its body.
    Bodies,
}

/// What a machine takes in at most; what is larger is refused, and the last good state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bodies of one change set, in bytes.
    pub change_set_bytes: usize,
    /// The objects of one change set.
    pub objects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { change_set_bytes: 256 * 1024 * 1024, objects: 500_000 }
    }
}

/// What the driver has to do.
#[derive(Debug)]
pub enum Effect {
    /// Open a socket, then call [`on_connected`](Synchronizer::on_connected) or
    /// [`on_disconnected`](Synchronizer::on_disconnected).
    Connect,
    /// Drop the socket, open or not; no call answers this.
    Disconnect {
        /// For the log: a short constant text.
        reason: &'static str,
    },
    /// Send this text frame.
    Send(String),
    /// Ask over HTTP, then call [`on_polled`](Synchronizer::on_polled). A question before, if it is still open, is to be
    /// given up. Only under [`Settings::polling`].
    Poll(Poll),
    /// Change the ruleset.
    Apply(Update),
    /// Tell the application.
    Status(Status),
    /// The server has the batch of events with this id; the machine itself knows nothing of events.
    Received(String),
}

/// How the machine stands with the server; OpenFeature's provider states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Nothing to evaluate with yet.
    NotReady,
    /// In step with the server.
    Ready,
    /// The connection is lost, or was not made yet: the last good state is used.
    Stale,
    /// As before, and for longer than the grace period. The machine goes on trying.
    Error,
    /// The server refuses the key or speaks another protocol. The machine goes on trying, rarely.
    Fatal,
}

/// A change of the ruleset.
#[derive(Debug)]
pub struct Update {
    /// What it changes.
    pub onto: Onto,
    /// For [`tidegate_core::Ruleset::update`], all at once.
    pub changes: Vec<Change>,
    /// Exactly the flags that were added, changed, removed or killed.
    pub flags: Vec<FlagKey>,
    /// Exactly the segments that were added, changed or removed.
    pub segments: Vec<SegmentKey>,
    /// Where it comes from.
    pub cause: Cause,
}

/// What an [`Update`] is applied to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// The ruleset as the last update left it.
    Current,
    /// An empty ruleset: whatever the driver evaluated with until now, a bootstrap for one, is replaced.
    Nothing,
}

/// Where an [`Update`] comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A change set of the server.
    Commit {
        /// When the newest change was accepted: milliseconds since 1970 on the server's clock.
        changed_at: Option<i64>,
    },
    /// The kill lane: the change set follows.
    Kill {
        /// The revision of the kill.
        revision: u64,
        /// As above.
        changed_at: Option<i64>,
    },
    /// A stored snapshot.
    Restored,
}

/// How a connection ended, or why there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It could not be made, or broke.
    Broken,
    /// The server asks for patience: HTTP 429 or 503.
    Busy {
        /// Its `Retry-After`.
        retry_after_ms: u64,
    },
    /// The server refuses the key: HTTP 401 or 403.
    Refused,
}

/// What the machine counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Change sets applied.
    pub change_sets: u64,
    /// Full transfers asked for, because something did not fit.
    pub resyncs: u64,
    /// Connections that were opened.
    pub connections: u64,
    /// Messages that could not be read.
    pub unreadable: u64,
}

/// The sync machine of one environment. See the [module](self).
#[derive(Debug)]
pub struct Synchronizer {
    settings: Settings,
    jitter: Jitter,
    replica: Replica,
    /// With a client key: whom the server evaluates for.
    context: Option<ClientContext>,
    phase: Phase,
    /// Attempts since a connection last lived for a heartbeat.
    attempt: u32,
    status: Status,
    /// When an outage becomes an error.
    grace_ends: Option<Moment>,
    /// Attempts since a stream last committed something.
    streamless: u32,
    poller: Poller,
    polls: Memory,
    counters: Counters,
}

#[derive(Debug)]
enum Phase {
    /// Not started, or closed.
    Idle,
    /// No connection; the next attempt is at `until`.
    Waiting { until: Moment },
    /// The driver opens a socket.
    Connecting { deadline: Moment },
    /// The socket is open, and the client's hello sent.
    Greeting { deadline: Moment },
    /// The server's hello is here.
    Connected(Session),
}

#[derive(Debug)]
struct Session {
    heartbeat_ms: u64,
    heard: Moment,
    sent: Moment,
    /// A change set must be complete by then: the first one, or the one that answers a resync.
    expected: Option<Moment>,
    /// A resync was asked for, and its full transfer is not here yet.
    resyncing: bool,
    /// It has brought the client in step.
    committed: bool,
    receipt_spread_ms: u64,
    receipt: Option<Receipt>,
}

/// A receipt that waits to be sent.
#[derive(Clone, Copy, Debug)]
struct Receipt {
    applied: Moment,
    due: Moment,
}

/// A side that hears nothing for this many heartbeats takes the other for dead.
pub const HEARTBEATS_MISSED: u64 = 3;

/// The longest `retry_after` that is obeyed.
const MAX_RETRY_AFTER_MS: u64 = 300_000;

/// The longest that a receipt waits, whatever the server says.
const MAX_RECEIPT_SPREAD_MS: u64 = 10_000;

/// Heartbeats are not awaited in shorter intervals than this, whatever the server says.
const MIN_HEARTBEAT_MS: u64 = 100;

impl Synchronizer {
    /// A machine that holds nothing and waits for [`start`](Self::start).
    pub fn new(settings: Settings) -> Self {
        Self {
            jitter: Jitter(settings.seed),
            replica: Replica::new(settings.retention, settings.limits),
            context: None,
            phase: Phase::Idle,
            attempt: 0,
            status: Status::NotReady,
            grace_ends: None,
            streamless: 0,
            poller: Poller::Off,
            polls: Memory::default(),
            counters: Counters::default(),
            settings,
        }
    }

    /// Takes a stored snapshot for what is held: it is evaluated with, and resumed from. To be called before
    /// [`start`](Self::start).
    pub fn restore(&mut self, snapshot: Snapshot) -> Vec<Effect> {
        let mut effects = vec![Effect::Apply(self.replica.restore(snapshot))];
        self.enter(Status::Stale, &mut effects);
        effects
    }

    /// With a client key: whom the server evaluates for, from now on. What it sent for the one before stays in use until
    /// the full transfer, or the poll, that answers this.
    pub fn set_context(&mut self, context: ClientContext, now: Moment) -> Vec<Effect> {
        self.context = Some(context.clone());
        let mut effects = Vec::new();
        if let Phase::Connected(session) = &mut self.phase {
            session.sent = now;
            session.expected = Some(now.after(self.settings.transfer_timeout_ms));
            effects.push(send(&ClientMessage::Context(context)));
        }
        if !matches!(self.poller, Poller::Off) {
            // What is asked, or was answered, is for the context before.
            self.ask(now, &mut effects);
        }
        effects
    }

    /// Begins to connect.
    pub fn start(&mut self, now: Moment) -> Vec<Effect> {
        self.grace_ends = Some(now.after(self.settings.grace_ms));
        let mut effects = self.connect(now);
        self.poll_where_streamless(now, &mut effects);
        effects
    }

    /// The socket is open.
    pub fn on_connected(&mut self, now: Moment) -> Vec<Effect> {
        if !matches!(self.phase, Phase::Connecting { .. }) {
            return Vec::new();
        }
        self.counters.connections += 1;
        self.phase = Phase::Greeting { deadline: now.after(self.settings.handshake_timeout_ms) };
        let hello = ClientMessage::Hello(ClientHello {
            protocol: PROTOCOL_VERSION,
            sdk: self.settings.sdk.clone(),
            position: self.replica.position().cloned(),
            accepts: self.settings.accepts.clone(),
            context: self.context.clone(),
        });
        vec![send(&hello)]
    }

    /// The socket could not be opened, or is gone. Ignored after an [`Effect::Disconnect`].
    pub fn on_disconnected(&mut self, lost: Lost, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        if !matches!(self.phase, Phase::Idle | Phase::Waiting { .. }) {
            self.lose(lost, now, &mut effects);
        }
        effects
    }

    /// A text frame arrived. Whatever it says, the machine stays sound; what it cannot read is counted.
    pub fn on_message(&mut self, frame: &str, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        for line in frame::lines(frame) {
            match ServerMessage::parse(line) {
                Ok(message) => self.on_one(message, now, &mut effects),
                Err(_) => self.counters.unreadable += 1,
            }
        }
        if let Phase::Connected(session) = &mut self.phase {
            session.heard = now;
            if effects.iter().any(|effect| matches!(effect, Effect::Send(_))) {
                session.sent = now;
            }
        }
        effects
    }

    /// A binary frame arrived: a compressed one. As [`on_message`](Self::on_message), or else
    /// [`on_unreadable`](Self::on_unreadable).
    #[cfg(feature = "deflate")]
    pub fn on_binary(&mut self, frame: &[u8], now: Moment) -> Vec<Effect> {
        match frame::decompress(frame, frame::MAX_SERVER_FRAME_BYTES) {
            Ok(frame) => self.on_message(&frame, now),
            Err(_) => self.on_unreadable(now),
        }
    }

    /// A binary frame arrived that cannot be read. It ends the connection, as nobody knows what was in it.
    pub fn on_unreadable(&mut self, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        if matches!(self.phase, Phase::Greeting { .. } | Phase::Connected(_)) {
            self.counters.unreadable += 1;
            self.drop_connection("a compressed frame cannot be read", Lost::Broken, now, &mut effects);
        }
        effects
    }

    /// What came of the last [`Effect::Poll`]; ignored where nothing is asked any more.
    pub fn on_polled(&mut self, polled: Polled<'_>, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Poller::Asked { .. } = self.poller {
            self.answered(polled, now, &mut effects);
        }
        effects
    }

    /// The time of [`wake_at`](Self::wake_at) has come; an early call does nothing.
    pub fn on_timer(&mut self, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.grace_ends.is_some_and(|end| end <= now) {
            self.grace_ends = None;
            if self.status != Status::Fatal {
                self.enter(Status::Error, &mut effects);
            }
        }
        match self.poller {
            Poller::Waiting { at } if at <= now => self.ask(now, &mut effects),
            Poller::Asked { deadline } if deadline <= now => {
                self.answered(Polled::Failed(Lost::Broken), now, &mut effects);
            }
            Poller::Off | Poller::Waiting { .. } | Poller::Asked { .. } => {}
        }
        let timed_out = match &mut self.phase {
            Phase::Waiting { until } if *until <= now => {
                effects.extend(self.connect(now));
                None
            }
            Phase::Idle | Phase::Waiting { .. } => None,
            Phase::Connecting { deadline } => (*deadline <= now).then_some("the connection took too long"),
            Phase::Greeting { deadline } => (*deadline <= now).then_some("the server did not say hello"),
            Phase::Connected(session) if session.dead_at() <= now => Some("the server fell silent"),
            Phase::Connected(session) if session.expected.is_some_and(|end| end <= now) => {
                Some("the transfer took too long")
            }
            Phase::Connected(session) => {
                if session.heartbeat_at() <= now {
                    session.sent = now;
                    effects.push(send(&ClientMessage::Heartbeat));
                }
                self.send_receipt(now, &mut effects);
                None
            }
        };
        if let Some(reason) = timed_out {
            self.drop_connection(reason, Lost::Broken, now, &mut effects);
        }
        effects
    }

    /// When [`on_timer`](Self::on_timer) wants to be called; it changes with every call of the machine.
    pub fn wake_at(&self) -> Option<Moment> {
        let phase = match &self.phase {
            Phase::Idle => None,
            Phase::Waiting { until: at } | Phase::Connecting { deadline: at } | Phase::Greeting { deadline: at } => {
                Some(*at)
            }
            Phase::Connected(session) => {
                let receipt = session.receipt.map(|receipt| receipt.due);
                let times = [Some(session.dead_at()), Some(session.heartbeat_at()), session.expected, receipt];
                times.into_iter().flatten().min()
            }
        };
        [phase, self.grace_ends, self.poller.wake_at()].into_iter().flatten().min()
    }

    /// Ends it all; [`start`](Self::start) begins anew.
    pub fn close(&mut self) {
        self.phase = Phase::Idle;
        self.grace_ends = None;
        self.streamless = 0;
        self.poller = Poller::Off;
        self.replica.unstage();
    }

    /// How the machine stands with the server.
    pub fn status(&self) -> Status {
        self.status
    }

    /// What is held: the last committed change set.
    pub fn position(&self) -> Option<&Position> {
        self.replica.position()
    }

    /// What is held, to be stored; absent where nothing is, or under [`Retention::Digests`]. O(objects).
    pub fn snapshot(&self) -> Option<Snapshot> {
        self.replica.snapshot()
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    fn connect(&mut self, now: Moment) -> Vec<Effect> {
        self.phase = Phase::Connecting { deadline: now.after(self.settings.connect_timeout_ms) };
        vec![Effect::Connect]
    }

    fn on_one(&mut self, message: ServerMessage, now: Moment, effects: &mut Vec<Effect>) {
        match (&self.phase, message) {
            (Phase::Greeting { .. } | Phase::Connected(_), ServerMessage::Goodbye(message)) => {
                self.on_goodbye(&message, now, effects);
            }
            (Phase::Greeting { .. }, ServerMessage::Hello(hello)) => self.on_hello(&hello, now, effects),
            (Phase::Connected(_), ServerMessage::Intent(intent)) => {
                let outcome = self.replica.intent(intent);
                self.settle(outcome, now, effects);
            }
            (Phase::Connected(_), ServerMessage::Objects(objects)) => {
                let outcome = self.replica.objects(objects);
                self.settle(outcome, now, effects);
            }
            (Phase::Connected(_), ServerMessage::Commit(commit)) => {
                let outcome = self.replica.commit(commit);
                self.settle(outcome, now, effects);
            }
            // Taken as early as it comes: lowering exposure needs no ceremony.
            (Phase::Greeting { .. } | Phase::Connected(_), ServerMessage::Kill(kill)) => {
                match self.replica.kill(&kill) {
                    Outcome::Applied(update) => effects.push(Effect::Apply(update)),
                    outcome => self.settle(outcome, now, effects),
                }
            }
            (Phase::Connected(_), ServerMessage::Heartbeat(heartbeat)) => self.on_heartbeat(&heartbeat, now, effects),
            (Phase::Connected(_), ServerMessage::Received(received)) => effects.push(Effect::Received(received.id)),
            // Out of turn, or unknown.
            _ => {}
        }
    }

    fn on_hello(&mut self, hello: &ServerHello, now: Moment, effects: &mut Vec<Effect>) {
        if hello.protocol > PROTOCOL_VERSION {
            self.drop_connection("the server speaks a newer protocol only", Lost::Refused, now, effects);
            return;
        }
        self.phase = Phase::Connected(Session {
            heartbeat_ms: hello.heartbeat_ms.max(MIN_HEARTBEAT_MS),
            heard: now,
            sent: now,
            expected: Some(now.after(self.settings.transfer_timeout_ms)),
            resyncing: false,
            committed: false,
            receipt_spread_ms: hello.receipt_spread_ms.min(MAX_RECEIPT_SPREAD_MS),
            receipt: None,
        });
    }

    fn on_goodbye(&mut self, message: &Goodbye, now: Moment, effects: &mut Vec<Effect>) {
        let lost = match message.reason.as_ref() {
            goodbye::REVOKED | goodbye::PROTOCOL | goodbye::FORBIDDEN => Lost::Refused,
            _ => Lost::Busy { retry_after_ms: message.retry_after_ms },
        };
        self.drop_connection("the server said goodbye", lost, now, effects);
    }

    fn on_heartbeat(&mut self, heartbeat: &Heartbeat, now: Moment, effects: &mut Vec<Effect>) {
        let held = self.replica.position().map_or(0, |held| held.revision);
        let missed = self.replica.is_staging() || heartbeat.revision.is_some_and(|revision| revision > held);
        if missed {
            self.resync("a change set was lost", now, effects);
        } else if self.status == Status::Ready {
            // Not sooner: a server that accepts, sends everything and falls over must meet longer and longer waits.
            self.attempt = 0;
        }
    }

    fn settle(&mut self, outcome: Outcome, now: Moment, effects: &mut Vec<Effect>) {
        match outcome {
            Outcome::Nothing => {}
            Outcome::Applied(update) => {
                self.counters.change_sets += 1;
                effects.push(Effect::Apply(update));
                self.in_step(now, effects);
            }
            Outcome::UpToDate => self.in_step(now, effects),
            Outcome::Resync(reason) => self.resync(reason, now, effects),
            Outcome::Unusable(reason) => self.drop_connection(reason, Lost::Broken, now, effects),
        }
    }

    /// The client has what the server has, or better.
    fn in_step(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Phase::Connected(session) = &mut self.phase else { return };
        session.expected = None;
        session.resyncing = false;
        session.committed = true;
        self.streamless = 0;
        self.poller = Poller::Off;
        self.polls = Memory::default();
        self.grace_ends = None;
        let wait_ms = Backoff { base_ms: session.receipt_spread_ms, cap_ms: session.receipt_spread_ms };
        // One that waits already goes when it was to go, and is for this change, too.
        let due =
            session.receipt.map_or_else(|| now.after(wait_ms.delay_ms(0, self.jitter.draw())), |receipt| receipt.due);
        session.receipt = Some(Receipt { applied: now, due });
        self.send_receipt(now, effects);
        self.enter(Status::Ready, effects);
    }

    /// Where it is due.
    fn send_receipt(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let (Phase::Connected(session), Some(held)) = (&mut self.phase, self.replica.position()) else { return };
        if let Some(Receipt { applied, .. }) = session.receipt.take_if(|receipt| receipt.due <= now) {
            let age_ms = now.0.saturating_sub(applied.0);
            let ack = ClientMessage::Ack(Ack { epoch: held.epoch.clone(), revision: held.revision, age_ms });
            session.sent = now;
            effects.push(send(&ack));
        }
    }

    fn resync(&mut self, reason: &'static str, now: Moment, effects: &mut Vec<Effect>) {
        let Phase::Connected(session) = &mut self.phase else { return };
        self.replica.unstage();
        // One request is enough: what comes before its answer does not fit either.
        if session.resyncing {
            return;
        }
        session.resyncing = true;
        session.expected = Some(now.after(self.settings.transfer_timeout_ms));
        self.counters.resyncs += 1;
        effects.push(send(&ClientMessage::Resync(Resync { reason: reason.into() })));
    }

    fn drop_connection(&mut self, reason: &'static str, lost: Lost, now: Moment, effects: &mut Vec<Effect>) {
        effects.push(Effect::Disconnect { reason });
        self.lose(lost, now, effects);
    }

    fn lose(&mut self, lost: Lost, now: Moment, effects: &mut Vec<Effect>) {
        self.replica.unstage();
        // A server that is too busy for a stream is too busy for polls; one that refuses the key refuses it there, too.
        let had_stream = matches!(&self.phase, Phase::Connected(session) if session.committed);
        if lost == Lost::Broken && !had_stream {
            self.streamless = self.streamless.saturating_add(1);
        }
        let mut backoff = self.settings.backoff;
        if let (true, Some(polling)) = (self.polls.in_step, self.settings.polling) {
            // Polls do; a stream would be better, and is tried about as often.
            backoff.cap_ms = backoff.cap_ms.max(polling.interval_ms);
        }
        let wait_ms = self.wait_ms(lost, backoff, self.attempt);
        self.attempt = self.attempt.saturating_add(1);
        self.phase = Phase::Waiting { until: now.after(wait_ms) };
        self.out_of_step(lost, now, effects);
        self.poll_where_streamless(now, effects);
    }

    /// Stream and polls: the last that worked does not any more, or there was none.
    fn out_of_step(&mut self, lost: Lost, now: Moment, effects: &mut Vec<Effect>) {
        match (lost, self.status) {
            (Lost::Refused, _) => self.enter(Status::Fatal, effects),
            (_, Status::Ready) if !self.polls.in_step => {
                self.grace_ends = Some(now.after(self.settings.grace_ms));
                self.enter(Status::Stale, effects);
            }
            _ => {}
        }
    }

    fn wait_ms(&mut self, lost: Lost, backoff: Backoff, attempt: u32) -> u64 {
        let random = self.jitter.draw();
        match lost {
            Lost::Broken => backoff.delay_ms(attempt, random),
            // A server that says "in a year" must not have the last word.
            Lost::Busy { retry_after_ms } => retry_after_ms.min(MAX_RETRY_AFTER_MS) + backoff.delay_ms(attempt, random),
            Lost::Refused => self.settings.refused_backoff.delay_ms(attempt, random),
        }
    }

    fn poll_where_streamless(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let due = self.settings.polling.is_some_and(|polling| self.streamless >= polling.after_attempts);
        if due && matches!(self.poller, Poller::Off) {
            self.ask(now, effects);
        }
    }

    fn ask(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(polling) = self.settings.polling else { return };
        self.poller = Poller::Asked { deadline: now.after(polling.timeout_ms) };
        let held = self.replica.position().filter(|_| !self.polls.whole).cloned();
        let etag = self.polls.etag.clone().filter(|_| held.is_some());
        effects.push(Effect::Poll(Poll { position: held, etag }));
    }

    fn answered(&mut self, polled: Polled<'_>, now: Moment, effects: &mut Vec<Effect>) {
        let Some(polling) = self.settings.polling else { return };
        let result = match polled {
            Polled::Changes { body, etag } => self.take_polled(body, effects).map(|()| {
                self.polls.etag = etag.map(str::to_owned);
                self.polls.whole = false;
            }),
            Polled::Unchanged if self.replica.position().is_some() => Ok(()),
            Polled::Unchanged => Err(Lost::Broken),
            Polled::Failed(lost) => Err(lost),
        };
        let wait_ms = match result {
            Ok(()) => {
                self.polls.failures = 0;
                self.polls.in_step = true;
                self.grace_ends = None;
                self.enter(Status::Ready, effects);
                let tenth = polling.interval_ms / 10;
                let spread = Backoff { base_ms: tenth, cap_ms: tenth };
                polling.interval_ms - self.wait_ms(Lost::Broken, spread, 0)
            }
            Err(lost) => {
                let backoff = Backoff { cap_ms: polling.interval_ms, ..self.settings.backoff };
                let wait_ms = self.wait_ms(lost, backoff, self.polls.failures);
                self.polls.failures = self.polls.failures.saturating_add(1);
                self.polls.in_step = false;
                self.out_of_step(lost, now, effects);
                if let (Lost::Refused, Phase::Waiting { until }) = (lost, &mut self.phase) {
                    // Browsers do not tell why a socket did not open: now we know.
                    *until = now.after(wait_ms).max(*until);
                }
                wait_ms
            }
        };
        self.poller = Poller::Waiting { at: now.after(wait_ms) };
    }

    /// Takes the change set of an answer as a whole. One that a stream has half transferred is given up for it: the stream
    /// notices, and asks for everything.
    fn take_polled(&mut self, body: &str, effects: &mut Vec<Effect>) -> Result<(), Lost> {
        let mut in_step = false;
        for line in frame::lines(body) {
            let outcome = match ServerMessage::parse(line) {
                Ok(ServerMessage::Intent(intent)) => self.replica.intent(intent),
                Ok(ServerMessage::Objects(objects)) => self.replica.objects(objects),
                Ok(ServerMessage::Commit(commit)) => self.replica.commit(commit),
                Ok(_) => Outcome::Nothing,
                Err(_) => {
                    self.counters.unreadable += 1;
                    Outcome::Nothing
                }
            };
            match outcome {
                Outcome::Nothing => {}
                Outcome::UpToDate => in_step = true,
                Outcome::Applied(update) => {
                    self.counters.change_sets += 1;
                    effects.push(Effect::Apply(update));
                    in_step = true;
                }
                Outcome::Resync(_) | Outcome::Unusable(_) => {
                    in_step = false;
                    break;
                }
            }
        }
        self.replica.unstage();
        if !in_step {
            self.polls.whole = true;
            self.counters.resyncs += 1;
            return Err(Lost::Broken);
        }
        Ok(())
    }

    fn enter(&mut self, status: Status, effects: &mut Vec<Effect>) {
        if self.status != status {
            self.status = status;
            effects.push(Effect::Status(status));
        }
    }
}

impl Session {
    fn dead_at(&self) -> Moment {
        self.heard.after(self.heartbeat_ms.saturating_mul(HEARTBEATS_MISSED))
    }

    fn heartbeat_at(&self) -> Moment {
        self.sent.after(self.heartbeat_ms)
    }
}

fn send(message: &ClientMessage) -> Effect {
    Effect::Send(frame::encode([message]))
}

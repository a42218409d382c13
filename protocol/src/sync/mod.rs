//! The sync machine: what happened goes in, what to do comes out.
//!
//! A [`Synchronizer`] does no I/O and reads no clock. Whoever drives it owns one socket and one timer:
//!
//! ```text
//! start                        ──►            ──► Connect, Disconnect, Send
//! socket opened, message, lost ──►  machine   ──► Apply (to the ruleset)
//! timer at wake_at()           ──►            ──► Status (for the application)
//! ```
//!
//! The effects of one call are to be carried out in their order, so that a receipt says what is true: it comes after
//! the change that it is for.

mod backoff;
mod replica;
#[cfg(test)]
mod tests;

use tidegate_core::{Change, FlagKey, SegmentKey};

pub use self::backoff::Backoff;
use self::{
    backoff::Jitter,
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
    /// Whether objects are kept for [`Synchronizer::snapshot`].
    pub retention: Retention,
    /// What the machine takes in at most.
    pub limits: Limits,
    /// Spreads the waits: any number, another one in each process.
    pub seed: u64,
}

impl Settings {
    /// The settings every SDK starts from: waits up to 5 s, which is below the grace period of 10 s.
    pub fn new(sdk: &str, seed: u64) -> Self {
        Self {
            sdk: sdk.to_owned(),
            backoff: Backoff { base_ms: 200, cap_ms: 5_000 },
            refused_backoff: Backoff { base_ms: 60_000, cap_ms: 300_000 },
            grace_ms: 10_000,
            connect_timeout_ms: 5_000,
            handshake_timeout_ms: 5_000,
            transfer_timeout_ms: 30_000,
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
    /// Change the ruleset.
    Apply(Update),
    /// Tell the application.
    Status(Status),
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
}

/// A side that hears nothing for this many heartbeats takes the other for dead.
pub const HEARTBEATS_MISSED: u64 = 3;

/// The longest `retry_after` that is obeyed.
const MAX_RETRY_AFTER_MS: u64 = 300_000;

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
    /// the full transfer that answers this.
    pub fn set_context(&mut self, context: ClientContext, now: Moment) -> Vec<Effect> {
        self.context = Some(context.clone());
        let Phase::Connected(session) = &mut self.phase else { return Vec::new() };
        session.sent = now;
        session.expected = Some(now.after(self.settings.transfer_timeout_ms));
        vec![send(&ClientMessage::Context(context))]
    }

    /// Begins to connect.
    pub fn start(&mut self, now: Moment) -> Vec<Effect> {
        self.grace_ends = Some(now.after(self.settings.grace_ms));
        self.connect(now)
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
            accepts: vec![encoding::DEFLATE.into()],
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

    /// A binary frame arrived: a compressed one. As [`on_message`](Self::on_message); one that cannot be read ends the
    /// connection, as nobody knows what was in it.
    pub fn on_binary(&mut self, frame: &[u8], now: Moment) -> Vec<Effect> {
        if let Ok(frame) = frame::decompress(frame, frame::MAX_SERVER_FRAME_BYTES) {
            return self.on_message(&frame, now);
        }
        let mut effects = Vec::new();
        if matches!(self.phase, Phase::Greeting { .. } | Phase::Connected(_)) {
            self.counters.unreadable += 1;
            self.drop_connection("a compressed frame cannot be read", Lost::Broken, now, &mut effects);
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
                [Some(session.dead_at()), Some(session.heartbeat_at()), session.expected].into_iter().flatten().min()
            }
        };
        [phase, self.grace_ends].into_iter().flatten().min()
    }

    /// Ends it all; [`start`](Self::start) begins anew.
    pub fn close(&mut self) {
        self.phase = Phase::Idle;
        self.grace_ends = None;
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
                self.in_step(effects);
            }
            Outcome::UpToDate => self.in_step(effects),
            Outcome::Resync(reason) => self.resync(reason, now, effects),
            Outcome::Unusable(reason) => self.drop_connection(reason, Lost::Broken, now, effects),
        }
    }

    /// The client has what the server has, or better.
    fn in_step(&mut self, effects: &mut Vec<Effect>) {
        let (Phase::Connected(session), Some(held)) = (&mut self.phase, self.replica.position()) else { return };
        session.expected = None;
        session.resyncing = false;
        self.grace_ends = None;
        let ack = ClientMessage::Ack(Ack { epoch: held.epoch.clone(), revision: held.revision });
        effects.push(send(&ack));
        self.enter(Status::Ready, effects);
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
        let random = self.jitter.draw();
        let wait_ms = match lost {
            Lost::Broken => self.settings.backoff.delay_ms(self.attempt, random),
            // A server that says "in a year" must not have the last word.
            Lost::Busy { retry_after_ms } => {
                retry_after_ms.min(MAX_RETRY_AFTER_MS) + self.settings.backoff.delay_ms(self.attempt, random)
            }
            Lost::Refused => self.settings.refused_backoff.delay_ms(self.attempt, random),
        };
        self.attempt = self.attempt.saturating_add(1);
        self.phase = Phase::Waiting { until: now.after(wait_ms) };
        match (lost, self.status) {
            (Lost::Refused, _) => self.enter(Status::Fatal, effects),
            (_, Status::Ready) => {
                self.grace_ends = Some(now.after(self.settings.grace_ms));
                self.enter(Status::Stale, effects);
            }
            _ => {}
        }
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

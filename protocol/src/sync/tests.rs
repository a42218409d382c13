//! A model server, a faulty channel, and what must hold whatever happens on it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use proptest::prelude::*;
use serde_json::json;
use tidegate_core::{Change, FlagKey, tree};

use super::*;
use crate::{
    digest::Digest,
    message::{Commit, Intent, Kill, ObjectKind, ObjectRef, ServerMessage, Transfer, WireObject},
};

/// A flag, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flag {
    version: u64,
    killed: bool,
}

impl Flag {
    fn object(self, key: &str) -> WireObject {
        let body = json!({
            "key": key, "kind": "boolean", "version": self.version, "enabled": true, "killed": self.killed,
            "variants": [{ "key": "on", "value": true }], "default": { "variant": "on" },
        });
        WireObject::new(ObjectKind::Flag, key, &body).unwrap()
    }
}

type Flags = BTreeMap<String, Flag>;

/// The server: every state it was ever in, and one connection.
struct Server {
    epoch: u32,
    revision: u64,
    flags: Flags,
    /// The flags at each (epoch, revision).
    history: BTreeMap<(u32, u64), Flags>,
    /// The flags touched by each revision of this epoch.
    log: BTreeMap<u64, Vec<String>>,
    /// The revision that the client was last brought to; absent: it needs everything.
    cursor: Option<u64>,
    versions: u64,
}

impl Server {
    fn new() -> Self {
        let history = BTreeMap::from([((0, 0), Flags::new())]);
        Self { epoch: 0, revision: 0, flags: Flags::new(), history, log: BTreeMap::new(), cursor: None, versions: 0 }
    }

    fn epoch(&self) -> Arc<str> {
        self.epoch.to_string().into()
    }

    fn position(&self) -> Position {
        let digest = self.flags.iter().map(|(key, flag)| Digest::from(&flag.object(key))).sum();
        Position { epoch: self.epoch(), revision: self.revision, digest }
    }

    fn edit(&mut self, key: &str, edit: Edit) {
        self.versions += 1;
        let version = self.versions;
        match edit {
            Edit::Put => drop(self.flags.insert(key.to_owned(), Flag { version, killed: false })),
            Edit::Kill => drop(self.flags.insert(key.to_owned(), Flag { version, killed: true })),
            Edit::Delete => drop(self.flags.remove(key)),
        }
        self.revision += 1;
        self.log.insert(self.revision, vec![key.to_owned()]);
        self.history.insert((self.epoch, self.revision), self.flags.clone());
    }

    /// A backup is restored: older flags, a lower revision, another epoch.
    fn restore(&mut self) {
        let (_, flags) = self.history.iter().next_back().map(|(at, flags)| (*at, flags.clone())).unwrap();
        self.flags = flags.into_iter().step_by(2).collect();
        self.epoch += 1;
        self.revision /= 2;
        self.log.clear();
        self.history.insert((self.epoch, self.revision), self.flags.clone());
        self.cursor = None;
    }

    fn hello(&mut self, position: Option<&Position>) -> Vec<ServerMessage> {
        let held = position.filter(|held| held.epoch == self.epoch());
        let reachable = |revision: u64| (revision + 1..=self.revision).all(|at| self.log.contains_key(&at));
        self.cursor = held.map(|held| held.revision).filter(|held| *held <= self.revision && reachable(*held));
        let hello = ServerMessage::Hello(ServerHello { protocol: 1, heartbeat_ms: 1_000, receipt_spread_ms: 0 });
        if position == Some(&self.position()) {
            let intent = Intent { transfer: Transfer::None, from: None, to: self.position() };
            return vec![hello, ServerMessage::Intent(intent)];
        }
        if self.cursor == Some(self.revision) {
            // The same revision with another digest.
            self.cursor = None;
        }
        [vec![hello], self.change_set()].concat()
    }

    /// What it answers to a poll: the body, and its tag. The stream's cursor stays where it is.
    fn poll(&mut self, poll: &Poll) -> Option<(String, String)> {
        let tag = tree::text(&self.position());
        if poll.etag.as_ref() == Some(&tag) {
            return None;
        }
        let cursor = self.cursor;
        let messages = self.hello(poll.position.as_ref());
        self.cursor = cursor;
        Some((frame::encode(&messages[1..]), tag))
    }

    fn change_set(&mut self) -> Vec<ServerMessage> {
        let to = self.position();
        let (transfer, keys): (_, BTreeSet<String>) = match self.cursor {
            None => (Transfer::Full, self.flags.keys().cloned().collect()),
            Some(cursor) if cursor == self.revision => return Vec::new(),
            Some(cursor) => {
                (Transfer::Changes, self.log.range(cursor + 1..).flat_map(|(_, keys)| keys.clone()).collect())
            }
        };
        let mut messages = vec![ServerMessage::Intent(Intent { transfer, from: self.cursor, to: to.clone() })];
        // One message per object: the worst case for a channel that loses some.
        for key in keys {
            let mut objects = crate::message::Objects::default();
            match self.flags.get(&key) {
                Some(flag) => objects.put.push(flag.object(&key)),
                None => objects.delete.push(ObjectRef { kind: ObjectKind::Flag, key: key.into() }),
            }
            messages.push(ServerMessage::Objects(objects));
        }
        messages.push(ServerMessage::Commit(Commit { to, changed_at: None }));
        self.cursor = Some(self.revision);
        messages
    }

    fn on_message(&mut self, message: ClientMessage) -> Vec<ServerMessage> {
        match message {
            ClientMessage::Hello(hello) => self.hello(hello.position.as_ref()),
            ClientMessage::Resync(_) => {
                self.cursor = None;
                self.change_set()
            }
            _ => Vec::new(),
        }
    }
}

/// Server, channel and client.
struct World {
    now: Moment,
    server: Server,
    machine: Synchronizer,
    connected: bool,
    /// No socket opens.
    blocked: bool,
    /// A question that is not answered yet.
    poll: Option<Poll>,
    channel: VecDeque<ServerMessage>,
    /// What an SDK would evaluate with.
    applied: Flags,
    /// Kills that reached the client, with epoch and revision, and are not confirmed yet.
    kills: BTreeMap<String, (u32, u64)>,
    last: Option<(u32, u64)>,
    statuses: Vec<Status>,
}

impl World {
    fn new() -> Self {
        let mut settings = Settings::new("test/1", 7);
        settings.retention = Retention::Bodies;
        settings.polling = Some(Polling { after_attempts: 2, interval_ms: 5_000, timeout_ms: 2_000 });
        let mut world = Self {
            now: Moment(0),
            server: Server::new(),
            machine: Synchronizer::new(settings),
            connected: false,
            blocked: false,
            poll: None,
            channel: VecDeque::new(),
            applied: Flags::new(),
            kills: BTreeMap::new(),
            last: None,
            statuses: Vec::new(),
        };
        let effects = world.machine.start(world.now);
        world.perform(effects);
        world
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Connect if self.blocked => {
                    let effects = self.machine.on_disconnected(Lost::Broken, self.now);
                    self.perform(effects);
                }
                Effect::Poll(poll) => self.poll = Some(poll),
                Effect::Connect => {
                    self.connected = true;
                    self.channel.clear();
                    let effects = self.machine.on_connected(self.now);
                    self.perform(effects);
                }
                Effect::Disconnect { .. } => self.connected = false,
                Effect::Send(frame) => {
                    for line in frame::lines(&frame) {
                        let answer = self.server.on_message(ClientMessage::parse(line).unwrap());
                        self.channel.extend(answer);
                    }
                }
                Effect::Apply(update) => self.apply(update),
                Effect::Status(status) => self.statuses.push(status),
                Effect::Received(id) => panic!("nobody sent the batch {id}"),
            }
        }
    }

    fn apply(&mut self, update: Update) {
        let before = if update.onto == Onto::Nothing { Flags::new() } else { self.applied.clone() };
        self.applied = before.clone();
        for change in update.changes {
            match change {
                Change::PutFlag(config) => {
                    let flag = Flag { version: config.version, killed: config.killed };
                    self.applied.insert(config.key.to_string(), flag);
                }
                Change::DeleteFlag(key) => drop(self.applied.remove(key.as_str())),
                Change::KillFlag(key) => {
                    if let Some(flag) = self.applied.get_mut(key.as_str()) {
                        flag.killed = true;
                    }
                }
                other => panic!("the server sent nothing like {other:?}"),
            }
        }
        if let Cause::Commit { .. } = update.cause {
            self.committed(&before, &update.flags);
        }
    }

    fn committed(&mut self, before: &Flags, named: &[FlagKey]) {
        let position = self.machine.position().unwrap().clone();
        let at = (position.epoch.parse().unwrap(), position.revision);

        // Never backwards within an epoch.
        if let Some(last) = self.last {
            assert!(at.0 != last.0 || at.1 >= last.1, "from {last:?} back to {at:?}");
        }
        self.last = Some(at);

        // Never half a change: exactly a state that the server was in, but for kills that came ahead.
        self.kills.retain(|_, kill| kill.0 == at.0 && kill.1 > at.1);
        let mut expected = self.server.history[&at].clone();
        for key in self.kills.keys() {
            if let Some(flag) = expected.get_mut(key) {
                flag.killed = true;
            }
        }
        assert_eq!(self.applied, expected, "at {at:?}");

        // Everything that changed is named.
        let named: BTreeSet<_> = named.iter().map(ToString::to_string).collect();
        let keys: BTreeSet<_> = before.keys().chain(expected.keys()).cloned().collect();
        for key in keys {
            assert!(before.get(&key) == expected.get(&key) || named.contains(&key), "`{key}` changed unnamed");
        }
    }

    fn deliver(&mut self, count: usize) {
        for _ in 0..count {
            let Some(message) = self.channel.pop_front() else { return };
            if !self.connected {
                continue;
            }
            if let ServerMessage::Kill(kill) = &message {
                self.kill_arrives(kill);
            }
            let effects = self.machine.on_message(&frame::encode([&message]), self.now);
            self.perform(effects);
            if let ServerMessage::Kill(kill) = &message {
                self.killed_now(kill);
            }
        }
    }

    fn kill_arrives(&mut self, kill: &Kill) {
        let at = (kill.epoch.parse().unwrap(), kill.revision);
        let confirmed = self.last.is_some_and(|last| last.0 == at.0 && last.1 >= at.1);
        if !confirmed {
            self.kills.retain(|_, earlier| earlier.0 == at.0);
            for key in &kill.flags {
                let revision = self.kills.get(key).map_or(at.1, |earlier| earlier.1.max(at.1));
                self.kills.insert(key.clone(), (at.0, revision));
            }
        }
    }

    fn killed_now(&self, kill: &Kill) {
        for key in kill.flags.iter().filter(|key| self.kills.contains_key(*key)) {
            assert!(self.applied.get(key).is_none_or(|flag| flag.killed), "`{key}` is not killed");
        }
    }

    fn advance(&mut self, ms: u64) {
        self.now = self.now.after(ms);
        let effects = self.machine.on_timer(self.now);
        self.perform(effects);
    }

    /// Answers the open question, well or badly.
    fn answer(&mut self, answer: Answer) {
        let Some(poll) = self.poll.take() else { return };
        let whole = self.server.poll(&poll);
        let effects = match (answer, &whole) {
            (Answer::Good, None) => self.machine.on_polled(Polled::Unchanged, self.now),
            (Answer::Good, Some((body, tag))) => {
                self.machine.on_polled(Polled::Changes { body, etag: Some(tag) }, self.now)
            }
            (Answer::Torn(end), Some((body, tag))) => {
                let lines: Vec<_> = frame::lines(body).collect();
                let body = lines[..end.index(lines.len())].join("\n");
                self.machine.on_polled(Polled::Changes { body: &body, etag: Some(tag) }, self.now)
            }
            (Answer::None | Answer::Torn(_), _) => self.machine.on_polled(Polled::Failed(Lost::Broken), self.now),
        };
        self.perform(effects);
    }

    fn cut(&mut self) {
        if std::mem::take(&mut self.connected) {
            let effects = self.machine.on_disconnected(Lost::Broken, self.now);
            self.perform(effects);
        }
    }

    fn step(&mut self, step: &Step) {
        let at = |index: &prop::sample::Index, len: usize| index.index(len);
        match step {
            Step::Edit(key, edit) => {
                self.server.edit(key, *edit);
                if matches!(edit, Edit::Kill) && self.connected {
                    let kill = Kill {
                        epoch: self.server.epoch(),
                        revision: self.server.revision,
                        flags: vec![key.clone()],
                        changed_at: None,
                    };
                    self.channel.push_back(ServerMessage::Kill(kill));
                }
            }
            Step::Push => {
                let messages = self.server.change_set();
                self.channel.extend(messages);
            }
            Step::Deliver(count) => self.deliver(*count),
            Step::Lose(index) if !self.channel.is_empty() => drop(self.channel.remove(at(index, self.channel.len()))),
            Step::Repeat(index) if !self.channel.is_empty() => {
                let index = at(index, self.channel.len());
                self.channel.insert(index, self.channel[index].clone());
            }
            Step::Swap(one, other) if !self.channel.is_empty() => {
                let len = self.channel.len();
                self.channel.swap(at(one, len), at(other, len));
            }
            Step::Cut => self.cut(),
            Step::Block => {
                self.cut();
                self.blocked = true;
            }
            Step::Unblock => self.blocked = false,
            Step::Answer(answer) => self.answer(*answer),
            Step::Restore => {
                self.cut();
                self.server.restore();
            }
            Step::Wait(ms) => self.advance(*ms),
            Step::Lose(_) | Step::Repeat(_) | Step::Swap(..) => {}
        }
    }

    /// The faults are over: what the server does by itself, for longer than a transfer may take.
    fn calm(&mut self) {
        for _ in 0..45 {
            self.advance(1_000);
            let messages = self.server.change_set();
            self.channel.extend(messages);
            let heartbeat = Heartbeat { revision: self.server.cursor };
            self.channel.push_back(ServerMessage::Heartbeat(heartbeat));
            self.deliver(usize::MAX);
            self.answer(Answer::Good);
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    Good,
    Torn(prop::sample::Index),
    None,
}

#[derive(Clone, Copy, Debug)]
enum Edit {
    Put,
    Kill,
    Delete,
}

#[derive(Clone, Debug)]
enum Step {
    Edit(String, Edit),
    Push,
    Deliver(usize),
    Lose(prop::sample::Index),
    Repeat(prop::sample::Index),
    Swap(prop::sample::Index, prop::sample::Index),
    Cut,
    Block,
    Unblock,
    Answer(Answer),
    Restore,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = prop::sample::select(vec!["a", "b", "c", "d", "e"]).prop_map(str::to_owned);
    let edit = prop_oneof![3 => Just(Edit::Put), 2 => Just(Edit::Kill), 1 => Just(Edit::Delete)];
    let index = any::<prop::sample::Index>;
    let step = prop_oneof![
        6 => (key, edit).prop_map(|(key, edit)| Step::Edit(key, edit)),
        4 => Just(Step::Push),
        6 => (1..6_usize).prop_map(Step::Deliver),
        1 => index().prop_map(Step::Lose),
        1 => index().prop_map(Step::Repeat),
        1 => (index(), index()).prop_map(|(one, other)| Step::Swap(one, other)),
        1 => Just(Step::Cut),
        1 => Just(Step::Block),
        1 => Just(Step::Unblock),
        2 => Just(Step::Answer(Answer::Good)),
        1 => index().prop_map(|end| Step::Answer(Answer::Torn(end))),
        1 => Just(Step::Answer(Answer::None)),
        1 => Just(Step::Restore),
        2 => (1..4_000_u64).prop_map(Step::Wait),
    ];
    prop::collection::vec(step, 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_channel_does_no_half_change_shows_and_the_client_converges(steps in steps()) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.calm();
        prop_assert_eq!(world.machine.position(), Some(&world.server.position()));
        prop_assert_eq!(&world.applied, &world.server.flags);
        prop_assert_eq!(world.machine.status(), Status::Ready);
        // What would be stored is what is held.
        let snapshot = world.machine.snapshot().unwrap();
        let digest = snapshot.objects.iter().map(Digest::from).sum::<Digest>();
        prop_assert_eq!(digest, world.server.position().digest);
    }

    #[test]
    fn any_text_is_survived(frames in prop::collection::vec(any::<String>(), 0..20)) {
        let mut world = World::new();
        world.deliver(usize::MAX);
        for frame in &frames {
            let effects = world.machine.on_message(frame, world.now);
            world.perform(effects);
        }
        world.calm();
        prop_assert_eq!(world.machine.status(), Status::Ready);
    }
}

fn connected() -> World {
    let mut world = World::new();
    world.server.edit("a", Edit::Put);
    world.server.edit("b", Edit::Put);
    world.calm();
    world
}

fn sent(effects: &[Effect]) -> Vec<ClientMessage> {
    let frames = effects.iter().filter_map(|effect| match effect {
        Effect::Send(frame) => Some(frame),
        _ => None,
    });
    frames.flat_map(|frame| frame::lines(frame)).map(|line| ClientMessage::parse(line).unwrap()).collect()
}

#[test]
fn a_resumed_client_gets_the_changes_only() {
    let mut world = connected();
    world.cut();
    world.server.edit("b", Edit::Put);
    world.advance(200);
    let puts = world.channel.iter().filter(|message| matches!(message, ServerMessage::Objects(_))).count();
    assert_eq!(puts, 1);
    world.deliver(usize::MAX);
    assert_eq!(world.applied, world.server.flags);
}

#[test]
fn a_restored_snapshot_is_used_at_once_and_resumed_from() {
    let world = connected();
    let snapshot = world.machine.snapshot().unwrap();
    let mut machine = Synchronizer::new(Settings::new("test/1", 1));
    let effects = machine.restore(snapshot);
    let [Effect::Apply(update), Effect::Status(Status::Stale)] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((update.changes.len(), update.onto), (2, Onto::Nothing));
    machine.start(Moment(0));
    let [ClientMessage::Hello(hello)] = &sent(&machine.on_connected(Moment(1)))[..] else { panic!("no hello") };
    assert_eq!(hello.position.as_ref(), Some(&world.server.position()));
}

#[test]
fn a_kill_is_applied_before_its_change_set_and_survives_an_older_one() {
    let mut world = connected();
    world.server.edit("b", Edit::Put);
    let older = world.server.change_set();
    world.server.edit("a", Edit::Kill);
    let revision = world.server.revision;
    let kill = Kill { epoch: world.server.epoch(), revision, flags: vec!["a".to_owned()], changed_at: Some(5) };
    world.channel.push_back(ServerMessage::Kill(kill));
    world.channel.extend(older);
    world.deliver(usize::MAX);
    assert!(world.applied["a"].killed, "the older change set brought the flag back");
    assert_eq!(world.machine.position().unwrap().revision, revision - 1);
    world.calm();
    assert_eq!(world.applied, world.server.flags);
}

#[test]
fn a_kill_that_a_restored_database_does_not_know_is_undone() {
    let mut world = connected();
    let before = world.server.flags.clone();
    let kill = Kill { epoch: world.server.epoch(), revision: 99, flags: vec!["a".to_owned()], changed_at: None };
    world.channel.push_back(ServerMessage::Kill(kill));
    world.deliver(usize::MAX);
    assert!(world.applied["a"].killed);
    world.cut();
    world.server.epoch = 1;
    world.server.history.insert((1, world.server.revision), before.clone());
    world.calm();
    assert_eq!(world.applied, before);
}

#[test]
fn a_change_set_with_a_wrong_digest_is_not_shown() {
    let mut world = connected();
    let (held, flags) = (world.machine.position().cloned(), world.applied.clone());
    world.server.edit("a", Edit::Put);
    let mut messages = world.server.change_set();
    let forged = Position { digest: Digest(1), ..world.server.position() };
    for message in &mut messages {
        match message {
            ServerMessage::Intent(Intent { to, .. }) | ServerMessage::Commit(Commit { to, .. }) => *to = forged.clone(),
            _ => {}
        }
    }
    let effects: Vec<_> =
        messages.iter().flat_map(|message| world.machine.on_message(&frame::encode([message]), world.now)).collect();
    assert!(matches!(&sent(&effects)[..], [ClientMessage::Resync(_)]), "{effects:?}");
    assert_eq!((world.machine.position().cloned(), &world.applied), (held, &flags));
    world.perform(effects);
    world.deliver(usize::MAX);
    assert_eq!(world.applied, world.server.flags);
    assert_eq!(world.machine.counters().resyncs, 1);
}

#[test]
fn what_cannot_be_read_is_broken_alone() {
    let mut replica = Replica::new(Retention::Digests, Limits::default());
    let good = Flag { version: 1, killed: false }.object("good");
    let bad = WireObject::new(ObjectKind::Flag, "bad", &json!({ "key": "bad", "kind": 5 })).unwrap();
    let lying = Flag { version: 1, killed: false }.object("other");
    let lying = WireObject { key: "lying".into(), ..lying };
    let newer = WireObject::new(ObjectKind::Other("experiment".into()), "x", &json!([])).unwrap();
    let objects = vec![good, bad, lying, newer];
    let to = Position { epoch: "e".into(), revision: 1, digest: objects.iter().map(Digest::from).sum() };
    replica.intent(Intent { transfer: Transfer::Full, from: None, to: to.clone() });
    replica.objects(crate::message::Objects { put: objects, delete: Vec::new() });
    let Outcome::Applied(update) = replica.commit(Commit { to, changed_at: None }) else { panic!("not applied") };
    assert!(
        matches!(&update.changes[..], [Change::BrokenFlag { .. }, Change::PutFlag(_), Change::BrokenFlag { .. }]),
        "{:?}",
        update.changes
    );
}

#[test]
fn a_flag_that_comes_back_as_a_value_stays() {
    let flag = Flag { version: 1, killed: false }.object("a");
    let resolved = json!({ "key": "a", "variant": "on", "value": true, "reason": "SPLIT" });
    let value = WireObject::new(ObjectKind::Value, "a", &resolved).unwrap();
    let mut replica = Replica::new(Retention::Digests, Limits::default());
    for (revision, object) in [(1, &flag), (2, &value), (3, &flag)] {
        let to = Position { epoch: "e".into(), revision, digest: Digest::from(object) };
        replica.intent(Intent { transfer: Transfer::Full, from: None, to: to.clone() });
        replica.objects(crate::message::Objects { put: vec![object.clone()], delete: Vec::new() });
        let Outcome::Applied(update) = replica.commit(Commit { to, changed_at: None }) else { panic!("not applied") };
        assert_eq!(update.flags.len(), 1);
        let (ruleset, issues) = tidegate_core::Ruleset::default().update(update.changes);
        assert_eq!((ruleset.flag_keys().count(), issues.len()), (1, 0));
    }
}

#[cfg(feature = "deflate")]
#[test]
fn compressed_frames_are_frames() {
    let mut machine = Synchronizer::new(Settings::new("test/1", 1));
    machine.start(Moment(0));
    machine.on_connected(Moment(0));
    let hello =
        frame::encode([&ServerMessage::Hello(ServerHello { protocol: 1, heartbeat_ms: 1_000, receipt_spread_ms: 0 })]);
    assert!(machine.on_binary(&frame::compress(&hello), Moment(0)).is_empty());
    let to = Position { epoch: "e".into(), revision: 1, digest: Digest::default() };
    let intent = ServerMessage::Intent(Intent { transfer: Transfer::Full, from: None, to: to.clone() });
    let commit = ServerMessage::Commit(Commit { to: to.clone(), changed_at: None });
    machine.on_binary(&frame::compress(&frame::encode([&intent, &commit])), Moment(0));
    assert_eq!(machine.position(), Some(&to));
    let effects = machine.on_binary(&[1, 255, 255, 255, 255, 0], Moment(0));
    assert!(matches!(effects[..], [Effect::Disconnect { .. }, Effect::Status(Status::Stale)]), "{effects:?}");
}

#[test]
fn the_hello_names_the_compressions_that_the_driver_can_read() {
    for accepts in [vec![encoding::DEFLATE.into()], Vec::new()] {
        let mut machine = Synchronizer::new(Settings { accepts: accepts.clone(), ..Settings::new("test/1", 1) });
        machine.start(Moment(0));
        let hellos = sent(&machine.on_connected(Moment(0)));
        assert!(matches!(&hellos[..], [ClientMessage::Hello(hello)] if hello.accepts == accepts), "{hellos:?}");
    }
}

#[test]
fn receipts_wait_for_a_random_part_of_the_spread_and_say_how_long() {
    let commit = |revision| {
        let to = Position { epoch: "e".into(), revision, digest: Digest::default() };
        let from = revision.checked_sub(2).map(|_| revision - 1);
        let transfer = if from.is_some() { Transfer::Changes } else { Transfer::Full };
        let intent = ServerMessage::Intent(Intent { transfer, from, to: to.clone() });
        frame::encode([&intent, &ServerMessage::Commit(Commit { to, changed_at: None })])
    };
    let mut waits = Vec::new();
    for seed in 0..20 {
        let mut machine = Synchronizer::new(Settings::new("test/1", seed));
        machine.start(Moment(0));
        machine.on_connected(Moment(0));
        machine.on_message(r#"{"type":"hello","protocol":1,"heartbeatMs":60000,"receiptSpreadMs":1000000}"#, Moment(0));
        assert!(sent(&machine.on_message(&commit(1), Moment(10))).is_empty());
        let due = machine.wake_at().unwrap();
        assert!(sent(&machine.on_message(&commit(2), Moment(11))).is_empty());
        // One receipt for both, when the first was to go.
        assert_eq!(machine.wake_at(), Some(due));
        let ack = ClientMessage::Ack(Ack { epoch: "e".into(), revision: 2, age_ms: due.0 - 11 });
        assert_eq!(sent(&machine.on_timer(due)), [ack]);
        assert!(machine.wake_at() > Some(due));
        waits.push(due.0 - 10);
    }
    assert!(waits.iter().all(|wait| *wait <= MAX_RECEIPT_SPREAD_MS), "{waits:?}");
    assert!(waits.iter().max().unwrap() - waits.iter().min().unwrap() > MAX_RECEIPT_SPREAD_MS / 2, "{waits:?}");
}

#[test]
fn a_change_set_larger_than_allowed_is_given_up_and_the_good_state_kept() {
    let mut world = World::new();
    world.machine.replica = Replica::new(Retention::Bodies, Limits { change_set_bytes: 1_000_000, objects: 2 });
    world.server.edit("a", Edit::Put);
    world.calm();
    let held = world.applied.clone();
    for key in ["b", "c", "d"] {
        world.server.edit(key, Edit::Put);
    }
    let messages = world.server.change_set();
    world.channel.extend(messages);
    world.deliver(usize::MAX);
    assert!(!world.connected);
    assert_eq!(world.applied, held);
}

#[test]
fn an_outage_is_stale_once_then_an_error_then_ready_once() {
    let mut world = connected();
    world.machine.settings.polling = None;
    world.statuses.clear();
    world.connected = false;
    let effects = world.machine.on_disconnected(Lost::Broken, world.now);
    assert!(matches!(effects[..], [Effect::Status(Status::Stale)]), "{effects:?}");
    let start = world.now;
    let mut statuses = Vec::new();
    while world.now < start.after(30_000) {
        let wake = world.machine.wake_at().unwrap();
        assert!(wake >= world.now, "{wake:?} is over");
        world.now = wake;
        for effect in world.machine.on_timer(world.now) {
            match effect {
                Effect::Status(status) => statuses.push((status, world.now.0 - start.0)),
                Effect::Connect => assert!(world.machine.on_disconnected(Lost::Broken, world.now).is_empty()),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(statuses, [(Status::Error, 10_000)]);
    world.calm();
    assert_eq!(world.statuses, [Status::Ready]);
}

#[test]
fn a_silent_server_is_dead_after_three_heartbeats() {
    let mut world = connected();
    let heard = world.now;
    let mut heartbeats = 0;
    let dead = loop {
        world.now = world.machine.wake_at().unwrap();
        let effects = world.machine.on_timer(world.now);
        heartbeats += sent(&effects).len();
        if effects.iter().any(|effect| matches!(effect, Effect::Disconnect { .. })) {
            break world.now;
        }
    };
    assert_eq!(dead, heard.after(3_000));
    assert_eq!(heartbeats, 2);
}

#[test]
fn every_stage_of_a_connection_has_an_end() {
    let mut machine = Synchronizer::new(Settings::new("test/1", 1));
    let disconnects = |machine: &mut Synchronizer| {
        let wake = machine.wake_at().unwrap();
        (wake, machine.on_timer(wake).iter().any(|effect| matches!(effect, Effect::Disconnect { .. })))
    };
    machine.start(Moment(0));
    assert_eq!(disconnects(&mut machine), (Moment(5_000), true));

    let mut machine = Synchronizer::new(Settings::new("test/1", 1));
    machine.start(Moment(0));
    machine.on_connected(Moment(100));
    assert_eq!(disconnects(&mut machine), (Moment(5_100), true));

    let mut machine = Synchronizer::new(Settings { grace_ms: 100_000, ..Settings::new("test/1", 1) });
    machine.start(Moment(0));
    machine.on_connected(Moment(100));
    machine.on_message(r#"{"type":"hello","protocol":1,"heartbeatMs":50000}"#, Moment(200));
    assert_eq!(disconnects(&mut machine), (Moment(30_200), true));
}

#[test]
fn a_refused_key_is_fatal_and_tried_rarely() {
    let mut world = connected();
    let goodbye = Goodbye { reason: goodbye::REVOKED.into(), retry_after_ms: 0 };
    let effects = world.machine.on_message(&frame::encode([&ServerMessage::Goodbye(goodbye)]), world.now);
    assert!(matches!(effects[..], [Effect::Disconnect { .. }, Effect::Status(Status::Fatal)]), "{effects:?}");
    let waits: Vec<_> = (0..20)
        .map(|_| {
            let wake = world.machine.wake_at().unwrap();
            world.machine.on_timer(wake);
            world.machine.on_disconnected(Lost::Refused, wake);
            wake.0
        })
        .collect();
    let mean = (waits[19] - waits[0]) / 19;
    assert!((60_000..300_000).contains(&mean), "{mean} ms");
}

#[test]
fn a_goodbye_is_obeyed_within_reason() {
    for (asked, least, most) in [(3_000, 3_000, 3_200), (u64::MAX, 300_000, 300_200)] {
        let mut world = connected();
        let goodbye = Goodbye { reason: goodbye::SHUTDOWN.into(), retry_after_ms: asked };
        world.machine.on_message(&frame::encode([&ServerMessage::Goodbye(goodbye)]), world.now);
        let Phase::Waiting { until } = world.machine.phase else { panic!("{:?}", world.machine.phase) };
        let wait = until.0 - world.now.0;
        assert!((least..=most).contains(&wait), "{wait} ms");
    }
}

#[test]
fn a_server_behind_the_client_changes_nothing() {
    let mut world = connected();
    world.server.edit("a", Edit::Put);
    world.calm();
    let held = world.machine.position().cloned();
    let mut behind = Server::new();
    behind.edit("a", Edit::Put);
    world.cut();
    world.channel.clear();
    world.server = behind;
    world.advance(200);
    world.deliver(usize::MAX);
    assert_eq!(world.machine.position().cloned(), held);
    assert_eq!(world.machine.status(), Status::Ready);
}

/// A client behind a proxy that knows no websockets.
fn blocked() -> World {
    let mut world = World::new();
    world.server.edit("a", Edit::Put);
    world.step(&Step::Block);
    world
}

#[test]
fn where_no_socket_opens_the_client_polls_and_is_in_step() {
    let mut world = blocked();
    world.calm();
    assert_eq!((&world.applied, world.machine.status()), (&world.server.flags, Status::Ready));
    assert_eq!(world.statuses, [Status::Ready], "attempts at a stream are no news while polls do");
    let connections = world.machine.counters().connections;

    world.server.edit("b", Edit::Kill);
    world.calm();
    assert_eq!(world.applied, world.server.flags);

    // Polls end where a stream commits.
    world.step(&Step::Unblock);
    world.calm();
    assert_eq!(world.machine.counters().connections, connections + 1);
    assert!(matches!(world.machine.poller, Poller::Off));
    assert_eq!(world.statuses, [Status::Ready]);
}

#[test]
fn a_short_outage_is_no_reason_to_poll() {
    let mut world = connected();
    world.cut();
    assert!(world.poll.is_none(), "the stream that broke did its work");
    world.calm();
    assert!(world.poll.is_none() && world.connected);
}

#[test]
fn polls_that_fail_are_an_outage() {
    let mut world = blocked();
    world.calm();
    world.statuses.clear();
    for _ in 0..30 {
        world.advance(1_000);
        world.answer(Answer::None);
    }
    assert_eq!(world.statuses, [Status::Stale, Status::Error]);
    world.calm();
    assert_eq!(world.statuses, [Status::Stale, Status::Error, Status::Ready]);
}

#[test]
fn a_poll_without_an_answer_is_given_up() {
    let mut world = blocked();
    world.calm();
    world.statuses.clear();
    for _ in 0..10 {
        world.advance(1_000);
    }
    assert_eq!(world.statuses, [Status::Stale]);
}

#[test]
fn a_torn_answer_is_not_shown_and_everything_asked_for() {
    let mut world = blocked();
    world.calm();
    let held = world.applied.clone();
    world.server.edit("b", Edit::Put);
    while world.poll.is_none() {
        world.advance(1_000);
    }
    let (body, _) = world.server.poll(world.poll.as_ref().unwrap()).unwrap();
    let torn = body.lines().next().unwrap();
    let effects = world.machine.on_polled(Polled::Changes { body: torn, etag: None }, world.now);
    assert!(matches!(effects[..], [Effect::Status(Status::Stale)]), "{effects:?}");
    assert_eq!(world.applied, held);
    world.poll = None;
    while world.poll.is_none() {
        world.advance(1_000);
    }
    assert_eq!(world.poll, Some(Poll { position: None, etag: None }));
    world.calm();
    assert_eq!(world.applied, world.server.flags);
}

#[test]
fn a_key_that_polls_are_refused_with_is_fatal() {
    let mut world = blocked();
    while world.poll.is_none() {
        world.advance(1_000);
    }
    let effects = world.machine.on_polled(Polled::Failed(Lost::Refused), world.now);
    assert!(matches!(effects[..], [Effect::Status(Status::Fatal)]), "{effects:?}");
}

#[test]
fn who_wants_only_polls_gets_them_at_once() {
    let polling = Polling { after_attempts: 0, ..Polling::default() };
    let mut machine = Synchronizer::new(Settings { polling: Some(polling), ..Settings::new("test/1", 1) });
    let effects = machine.start(Moment(0));
    assert!(matches!(effects[..], [Effect::Connect, Effect::Poll(Poll { position: None, etag: None })]), "{effects:?}");
}

#[test]
fn who_polls_asks_at_once_for_another_context() {
    let mut world = blocked();
    world.calm();
    let context = ClientContext { context: json!({ "targetingKey": "ada" }), signature: None };
    let effects = world.machine.set_context(context, world.now);
    assert!(matches!(effects[..], [Effect::Poll(_)]), "{effects:?}");
    world.perform(effects);
    world.answer(Answer::Good);
    assert_eq!(world.machine.status(), Status::Ready);
}

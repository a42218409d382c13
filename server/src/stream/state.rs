//! One environment as it is sent: pure.
//!
//! A [`State`] is what the environment is at one revision, with a bounded memory of how it came there. It knows how to
//! bring a client from anywhere to itself, and does the work once however many clients ask.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use rpds::RedBlackTreeMapSync;
use serde_json::json;
use tidegate_core::{
    FlagConfig, Timestamp, VariantKey,
    config::{Availability, Condition, Rule, Serve, Split},
};
use tidegate_protocol::{
    Digest, ObjectKind, ObjectRef, Position, ServerMessage, Transfer, WireObject, frame,
    message::{Commit, Intent, Kill},
};

use super::frame::Frame;
use crate::{
    app::{BrokenDocument, wire},
    ports::store::{Document, EnvironmentId, EnvironmentSnapshot, LiveObject, Touched, TouchedKind},
};

/// An object as it is sent, and what its place among the others depends on.
#[derive(Clone, Debug)]
pub struct Object {
    wire: WireObject,
    digest: Digest,
    killed: bool,
    public: Public,
    prerequisites: Arc<[Arc<str>]>,
    broken: Option<Arc<BrokenDocument>>,
}

/// What client keys see of an object.
#[derive(Clone, Debug)]
pub enum Public {
    /// Nothing.
    Hidden,
    /// Of a flag, the value for one context.
    Value,
    /// Of a flag, these rules.
    Rules(Shown),
}

/// An object as it is sent to somebody, with its digest.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The object.
    pub wire: WireObject,
    /// Its digest.
    pub digest: Digest,
}

impl From<WireObject> for Shown {
    fn from(wire: WireObject) -> Self {
        Self { digest: Digest::from(&wire), wire }
    }
}

/// What one refresh found: the new state of some objects, or that they are gone.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    objects: BTreeMap<ObjectRef, Option<Object>>,
    changed_at: Option<Timestamp>,
}

/// One step of a state's memory.
#[derive(Clone, Debug)]
struct Step {
    /// The revision that it led to.
    revision: u64,
    touched: Arc<[ObjectRef]>,
    /// The flags that it killed.
    killed: Arc<[Arc<str>]>,
}

/// An environment at a revision. See the [module](self).
#[derive(Debug)]
pub struct State {
    /// Where it stands.
    pub position: Position,
    /// When the newest change was accepted.
    pub changed_at: Timestamp,
    /// The newest revision at which something changed that client keys may notice.
    pub public_revision: u64,
    objects: RedBlackTreeMapSync<ObjectRef, Object>,
    /// The steps after `reach`, oldest first.
    steps: VecDeque<Step>,
    /// The oldest revision from which the steps lead here.
    reach: u64,
    /// What was encoded, by where it starts: a revision, or nothing.
    encoded: Mutex<BTreeMap<Option<u64>, Arc<ChangeSet>>>,
}

/// The frames that bring a client to a state.
#[derive(Debug)]
pub struct ChangeSet {
    /// To be sent first, where flags were killed on the way.
    pub kill: Option<KillFrame>,
    /// To be sent in this order, as text.
    pub frames: Vec<Frame>,
    compressed: OnceLock<Vec<Frame>>,
}

/// A change set of fewer bytes is not worth compressing: it is one packet as it is.
const COMPRESS_FROM_BYTES: usize = 1_024;

impl ChangeSet {
    fn new(kill: Option<KillFrame>, frames: Vec<String>) -> Self {
        Self { kill, frames: frames.into_iter().map(Frame::text).collect(), compressed: OnceLock::new() }
    }

    /// The size of the frames.
    pub fn bytes(&self) -> usize {
        self.frames.iter().map(|frame| frame.payload().len()).sum()
    }

    /// Whether it was not compressed yet.
    pub fn is_raw(&self) -> bool {
        self.compressed.get().is_none()
    }

    /// As they are sent; compressed, once for all clients that can read it, where that is worth it.
    pub fn encoded(&self, encoding: Encoding) -> &[Frame] {
        match encoding {
            Encoding::Deflate if self.bytes() >= COMPRESS_FROM_BYTES => self.compressed.get_or_init(|| {
                let texts = self.frames.iter().map(Frame::as_text);
                frame::compress_all(texts).into_iter().map(Frame::binary).collect()
            }),
            _ => &self.frames,
        }
    }
}

/// How a client is sent large change sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// As text.
    #[default]
    Plain,
    /// See [`frame::compress`].
    Deflate,
}

/// A kill, ready to be sent.
#[derive(Debug)]
pub struct KillFrame {
    /// The revision of the newest kill in it.
    pub revision: u64,
    /// The frame.
    pub frame: Frame,
}

/// Steps remembered: a client that is further behind is answered from the database's change log.
const MAX_STEPS: usize = 1_024;

/// Change sets kept encoded; more starting points than this at one revision are encoded again and again.
const MAX_ENCODED: usize = 64;

impl Delta {
    /// Everything of a snapshot.
    pub fn of_snapshot(environment: &EnvironmentId, snapshot: &EnvironmentSnapshot) -> Self {
        let segments = snapshot.segments.iter().map(|segment| (TouchedKind::Segment, segment, None));
        let flags = snapshot.flags.iter().map(|(flag, config)| (TouchedKind::Flag, flag, config.as_ref()));
        let mut delta = Self::default();
        for (kind, document, configuration) in segments.chain(flags) {
            delta.put(environment, kind, document, configuration);
        }
        delta
    }

    /// What the store says was touched.
    pub fn of_changes(environment: &EnvironmentId, changes: &[(Touched, Option<LiveObject>)]) -> Self {
        let mut delta = Self::default();
        for (touched, live) in changes {
            match live {
                Some((document, configuration)) => {
                    delta.put(environment, touched.kind, document, configuration.as_ref());
                }
                None => drop(delta.objects.insert(reference(touched), None)),
            }
        }
        delta
    }

    /// The documents in it that cannot be read.
    pub fn broken(&self) -> impl Iterator<Item = &BrokenDocument> {
        self.objects.values().flatten().filter_map(|object| object.broken.as_deref())
    }

    fn put(&mut self, environment: &EnvironmentId, kind: TouchedKind, document: &Document, config: Option<&Document>) {
        let newest = config.map_or(document.updated_at, |config| config.updated_at.max(document.updated_at));
        self.changed_at = self.changed_at.max(Some(newest));
        let object = match kind {
            TouchedKind::Flag => Object::flag(environment, document, config),
            TouchedKind::Segment => Object::segment(document),
        };
        self.objects.insert(object.wire.reference(), Some(object));
    }
}

/// The [`ObjectRef`] of what the store calls touched.
pub fn reference(touched: &Touched) -> ObjectRef {
    let kind = match touched.kind {
        TouchedKind::Flag => ObjectKind::Flag,
        TouchedKind::Segment => ObjectKind::Segment,
    };
    ObjectRef { kind, key: touched.key.as_str().into() }
}

impl Object {
    fn flag(environment: &EnvironmentId, flag: &Document, configuration: Option<&Document>) -> Self {
        match wire::flag_config(environment, flag, configuration) {
            Ok(config) => Self::good_flag(&config),
            Err(broken) => Self::broken(ObjectKind::Flag, &flag.id.key, broken),
        }
    }

    fn good_flag(config: &FlagConfig) -> Self {
        Self {
            killed: config.killed,
            public: Public::of(config),
            prerequisites: config.prerequisites.iter().map(|needed| needed.flag.as_str().into()).collect(),
            ..Self::new(ObjectKind::Flag, config.key.as_str(), config)
        }
    }

    fn segment(segment: &Document) -> Self {
        match wire::segment_config(segment) {
            Ok(config) => Self::new(ObjectKind::Segment, config.key.as_str(), &config),
            Err(broken) => Self::broken(ObjectKind::Segment, &segment.id.key, broken),
        }
    }

    /// A document that cannot be read travels as a body that cannot be read, so that every SDK gives the same answer
    /// as the server does: the flag is broken, and nothing else is.
    fn broken(kind: ObjectKind, key: &str, broken: BrokenDocument) -> Self {
        let body = json!({ "broken": "the stored document cannot be read" });
        Self { broken: Some(Arc::new(broken)), ..Self::new(kind, key, &body) }
    }

    fn new(kind: ObjectKind, key: &str, body: &impl serde::Serialize) -> Self {
        let Shown { wire, digest } = shown(kind, key, body);
        Self { wire, digest, killed: false, public: Public::Hidden, prerequisites: Arc::default(), broken: None }
    }

    /// Whether client keys may notice that it changes: a segment decides what flags say.
    fn is_noticed(&self) -> bool {
        self.wire.kind == ObjectKind::Segment || !matches!(self.public, Public::Hidden)
    }
}

/// An object with `body`, a configuration, as JSON.
pub(super) fn shown(kind: ObjectKind, key: &str, body: &impl serde::Serialize) -> Shown {
    let wire = WireObject::new(kind, key, body)
        .unwrap_or_else(|error| unreachable!("configurations have only string keys and finite numbers: {error}"));
    Shown::from(wire)
}

impl Public {
    /// Rules are shown where the flag says so and they tell of nobody and of no other flag: individual targets,
    /// segments and prerequisites stay on the server, which then evaluates.
    fn of(config: &FlagConfig) -> Self {
        let tells_of_others =
            !config.targets.is_empty() || !config.prerequisites.is_empty() || config.rules.iter().any(uses_segment);
        match config.availability {
            Availability::Private => Self::Hidden,
            Availability::Rules if !tells_of_others => {
                Self::Rules(shown(ObjectKind::Flag, config.key.as_str(), &without_secrets(config)))
            }
            Availability::Rules | Availability::Values => Self::Value,
        }
    }
}

fn uses_segment(rule: &Rule) -> bool {
    fn is_segment(condition: &Condition) -> bool {
        match condition {
            Condition::Test(test) => test.operator == "segment",
            Condition::Any { any: members } | Condition::All { all: members } | Condition::None { none: members } => {
                members.iter().any(is_segment)
            }
            // Nobody knows what it is about.
            Condition::Unknown(_) => true,
        }
    }
    rule.conditions.iter().any(is_segment)
}

/// The flag without what its rules do not need: variants that nobody is served, and the rules' names.
fn without_secrets(config: &FlagConfig) -> FlagConfig {
    let mut served: BTreeSet<&VariantKey> = config.off_variant.iter().collect();
    for serve in config.rules.iter().map(|rule| &rule.serve).chain([&config.default]) {
        match serve {
            Serve::Variant(variant) => served.extend([variant]),
            Serve::Distribution(distribution) => match &distribution.split {
                Split::Weights(weights) => served.extend(weights.iter().map(|weight| &weight.variant)),
                Split::Ranges(ranges) => served.extend(ranges.iter().map(|range| &range.variant)),
            },
        }
    }
    let variants = config.variants.iter().filter(|variant| served.contains(&variant.key)).cloned().collect();
    let rules = config.rules.iter().cloned().map(|rule| Rule { id: String::new(), ..rule }).collect();
    FlagConfig { variants, rules, availability: Availability::Private, ..config.clone() }
}

impl State {
    /// An environment as a snapshot tells it, without memory.
    pub fn new(epoch: &str, revision: u64, delta: Delta) -> Self {
        let objects: RedBlackTreeMapSync<_, _> =
            delta.objects.into_iter().filter_map(|(at, object)| Some((at, object?))).collect();
        let digest = objects.values().map(|object| object.digest).sum();
        Self {
            position: Position { epoch: epoch.into(), revision, digest },
            changed_at: delta.changed_at.unwrap_or_default(),
            public_revision: revision,
            objects,
            steps: VecDeque::new(),
            reach: revision,
            encoded: Mutex::default(),
        }
    }

    /// The state that `delta` leads to; the old one stays whole for whoever still sends it. O(changes · log objects).
    #[must_use]
    pub fn after(&self, revision: u64, delta: Delta, now: Timestamp) -> Self {
        let killed = self.newly_killed(&delta).into();
        let touched = delta.objects.keys().cloned().collect();
        let public_revision = if self.is_noticed(&delta) { revision } else { self.public_revision };
        let mut objects = self.objects.clone();
        let mut digest = self.position.digest;
        for (at, object) in delta.objects {
            digest -= objects.get(&at).map(|object| object.digest).unwrap_or_default();
            if let Some(object) = object {
                digest += object.digest;
                objects.insert_mut(at, object);
            } else {
                objects.remove_mut(&at);
            }
        }
        let mut steps = self.steps.clone();
        steps.push_back(Step { revision, touched, killed });
        let mut reach = self.reach;
        if steps.len() > MAX_STEPS {
            reach = steps.pop_front().map_or(reach, |forgotten| forgotten.revision);
        }
        Self {
            position: Position { epoch: self.position.epoch.clone(), revision, digest },
            changed_at: delta.changed_at.unwrap_or(now),
            public_revision,
            objects,
            steps,
            reach,
            encoded: Mutex::default(),
        }
    }

    /// The flags that are killed in `delta` and were not before, in the order of their keys.
    pub fn newly_killed(&self, delta: &Delta) -> Vec<Arc<str>> {
        let killed = delta.objects.iter().filter(|(at, object)| {
            object.as_ref().is_some_and(|object| object.killed)
                && self.objects.get(at).is_none_or(|known| !known.killed)
        });
        killed.map(|(at, _)| Arc::clone(&at.key)).collect()
    }

    /// Whether client keys may notice the change: it touches what they see, or what that depends on. May say so of a
    /// change that, in the end, makes no difference.
    fn is_noticed(&self, delta: &Delta) -> bool {
        let is_noticed = |object: Option<&Object>| object.is_some_and(Object::is_noticed);
        delta.objects.iter().any(|(at, after)| {
            is_noticed(after.as_ref())
                || is_noticed(self.objects.get(at))
                || self.objects.values().any(|object| object.prerequisites.contains(&at.key))
        })
    }

    /// The flags that client keys see something of, in the order of the keys.
    pub fn public(&self) -> impl Iterator<Item = (&Arc<str>, &Public)> {
        let seen = self.objects.values().filter(|object| !matches!(object.public, Public::Hidden));
        seen.map(|object| (&object.wire.key, &object.public))
    }

    /// The size of all its objects. O(objects).
    pub fn snapshot_bytes(&self) -> usize {
        self.objects.values().map(|object| object.wire.body.get().len()).sum()
    }

    /// The documents that cannot be read.
    pub fn broken(&self) -> impl Iterator<Item = &BrokenDocument> {
        self.objects.values().filter_map(|object| object.broken.as_deref())
    }

    /// Whether the steps that are remembered lead here from `revision`.
    pub fn reaches(&self, revision: u64) -> bool {
        (self.reach..=self.position.revision).contains(&revision)
    }

    /// Everything, for a client that has nothing of use. Encoded once.
    pub fn full(&self) -> Arc<ChangeSet> {
        self.encoded_once(None, || {
            let all = self.objects.keys().cloned().collect();
            self.encode(Transfer::Full, None, &all, &[])
        })
    }

    /// What changed since `revision`, which must be within [reach](Self::reaches). Encoded once.
    pub fn since(&self, revision: u64) -> Arc<ChangeSet> {
        self.encoded_once(Some(revision), || {
            let steps = || self.steps.iter().filter(|step| step.revision > revision);
            let touched = steps().flat_map(|step| step.touched.iter().cloned()).collect();
            let killed: Vec<_> = steps().filter(|step| !step.killed.is_empty()).collect();
            self.encode(Transfer::Changes, Some(revision), &touched, &killed)
        })
    }

    /// As [`since`](Self::since), where the database says what was touched: it remembers longer.
    pub fn since_touched(&self, revision: u64, touched: impl IntoIterator<Item = ObjectRef>) -> Arc<ChangeSet> {
        let touched = touched.into_iter().collect();
        self.encoded_once(Some(revision), || self.encode(Transfer::Changes, Some(revision), &touched, &[]))
    }

    /// What was encoded before for a client at `revision`.
    pub fn encoded_since(&self, revision: u64) -> Option<Arc<ChangeSet>> {
        self.encoded().get(&Some(revision)).cloned()
    }

    /// Encoding only reads: a map that a panic left behind is whole.
    fn encoded(&self) -> MutexGuard<'_, BTreeMap<Option<u64>, Arc<ChangeSet>>> {
        self.encoded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first caller encodes, the others wait for it: a thousand clients that come back together cost one.
    fn encoded_once(&self, from: Option<u64>, encode: impl FnOnce() -> ChangeSet) -> Arc<ChangeSet> {
        let mut encoded = self.encoded();
        if let Some(known) = encoded.get(&from) {
            return Arc::clone(known);
        }
        let change_set = Arc::new(encode());
        if encoded.len() < MAX_ENCODED {
            encoded.insert(from, Arc::clone(&change_set));
        }
        change_set
    }

    fn encode(
        &self,
        transfer: Transfer,
        from: Option<u64>,
        touched: &BTreeSet<ObjectRef>,
        kills: &[&Step],
    ) -> ChangeSet {
        let to = self.position.clone();
        let put = self.in_order(touched).into_iter().map(|object| object.wire.clone());
        let delete = touched.iter().filter(|at| !self.objects.contains_key(at)).cloned().collect();
        let intent = Intent { transfer, from, to: to.clone() };
        let commit = Commit { to, changed_at: Some(self.changed_at.0) };
        ChangeSet::new(self.kill_frame(kills), frame::change_set(intent, put, delete, commit))
    }

    /// One frame for the kills of several steps; flags that are not killed any more are left out.
    fn kill_frame(&self, steps: &[&Step]) -> Option<KillFrame> {
        let is_killed = |key: &Arc<str>| {
            let at = ObjectRef { kind: ObjectKind::Flag, key: Arc::clone(key) };
            self.objects.get(&at).is_some_and(|object| object.killed)
        };
        let flags: BTreeSet<_> =
            steps.iter().flat_map(|step| step.killed.iter()).filter(|key| is_killed(key)).cloned().collect();
        let newest = steps.iter().map(|step| step.revision).max()?;
        let frame = kill_frame(&self.position.epoch, self.position.revision, &flags, self.changed_at)?;
        Some(KillFrame { revision: newest, frame })
    }

    /// The objects of `touched` that exist: segments, then flags, each prerequisite before what needs it. A client
    /// applies them all at once; the order serves those that cannot.
    fn in_order<'s>(&'s self, touched: &'s BTreeSet<ObjectRef>) -> Vec<&'s Object> {
        let mut order = Vec::with_capacity(touched.len());
        let mut placed = BTreeSet::new();
        // (object, its prerequisites were looked at): a stack, as a chain of prerequisites may be long.
        let mut stack: Vec<(&ObjectRef, bool)> = Vec::new();
        for at in touched {
            stack.push((at, false));
            while let Some((at, opened)) = stack.pop() {
                let Some((at, object)) = self.objects.get_key_value(at) else { continue };
                if opened {
                    order.push(object);
                } else if placed.insert(at) {
                    stack.push((at, true));
                    let needed = object
                        .prerequisites
                        .iter()
                        .filter_map(|key| touched.get(&ObjectRef { kind: ObjectKind::Flag, key: Arc::clone(key) }));
                    stack.extend(needed.map(|at| (at, false)));
                }
            }
        }
        order
    }
}

/// The frame that says that `flags` are killed as of `revision`; none where there are none.
pub fn kill_frame<'f>(
    epoch: &Arc<str>,
    revision: u64,
    flags: impl IntoIterator<Item = &'f Arc<str>>,
    changed_at: Timestamp,
) -> Option<Frame> {
    let flags: Vec<_> = flags.into_iter().map(|key| key.as_ref().to_owned()).collect();
    if flags.is_empty() {
        return None;
    }
    let kill = Kill { epoch: Arc::clone(epoch), revision, flags, changed_at: Some(changed_at.0) };
    Some(Frame::text(frame::encode([&ServerMessage::Kill(kill)])))
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::{
        Effect, Synchronizer,
        sync::{Moment, Settings},
    };

    use super::*;
    use crate::ports::store::{DocumentId, DocumentKind};

    fn document(kind: DocumentKind, key: &str, body: &str, version: u64) -> Document {
        Document {
            id: DocumentId { kind, scope: "shop/test".to_owned(), key: key.to_owned() },
            version,
            archived: false,
            body: body.to_owned(),
            created_at: Timestamp(0),
            updated_at: Timestamp(1_000),
        }
    }

    fn environment() -> EnvironmentId {
        EnvironmentId { project: "shop".to_owned(), environment: "test".to_owned() }
    }

    fn touched(kind: TouchedKind, key: &str) -> Touched {
        Touched { kind, key: key.to_owned() }
    }

    /// A boolean flag that needs `needs`.
    fn flag(key: &str, killed: bool, needs: &[&str]) -> (Touched, Option<LiveObject>) {
        let body = json!({
            "name": key, "kind": "boolean", "variants": [{ "key": "on", "value": true }], "defaultVariant": "on",
            "salt": key,
        });
        let needs: Vec<_> = needs.iter().map(|key| json!({ "flag": key, "variants": ["on"] })).collect();
        let mut config =
            json!({ "enabled": true, "prerequisites": needs, "default": { "variant": "on" }, "salt": key });
        if killed {
            config["kill"] = json!({ "reason": "test", "actorName": "somebody", "at": 0 });
        }
        let flag = document(DocumentKind::Flag, key, &body.to_string(), 1);
        let config = document(DocumentKind::FlagEnvironment, key, &config.to_string(), 1);
        (touched(TouchedKind::Flag, key), Some((flag, Some(config))))
    }

    fn segment(key: &str) -> (Touched, Option<LiveObject>) {
        let body = json!({ "name": key, "included": ["ada"] }).to_string();
        (touched(TouchedKind::Segment, key), Some((document(DocumentKind::Segment, key, &body, 1), None)))
    }

    fn gone(kind: TouchedKind, key: &str) -> (Touched, Option<LiveObject>) {
        (touched(kind, key), None)
    }

    fn delta(changes: &[(Touched, Option<LiveObject>)]) -> Delta {
        Delta::of_changes(&environment(), changes)
    }

    fn first() -> State {
        State::new("e", 5, delta(&[flag("b", false, &["c"]), flag("c", false, &[]), segment("beta")]))
    }

    /// A client that took `change_set`.
    fn fed(mut client: Synchronizer, change_set: &ChangeSet) -> (Synchronizer, Vec<Effect>) {
        let effects = change_set
            .frames
            .iter()
            .flat_map(|frame| client.on_message(frame.as_text(), Moment(0)))
            .collect::<Vec<_>>();
        (client, effects)
    }

    fn client() -> Synchronizer {
        let mut client = Synchronizer::new(Settings::new("test/1", 1));
        client.start(Moment(0));
        client.on_connected(Moment(0));
        client.on_message(r#"{"type":"hello","protocol":1,"heartbeatMs":1000}"#, Moment(0));
        client
    }

    #[test]
    fn a_client_gets_from_nothing_to_the_first_state_and_on_to_the_next() {
        let first = first();
        let (client, _) = fed(client(), &first.full());
        assert_eq!(client.position(), Some(&first.position));

        let second = first.after(6, delta(&[flag("a", false, &[]), gone(TouchedKind::Segment, "beta")]), Timestamp(0));
        let third = second.after(7, delta(&[flag("a", true, &[]), gone(TouchedKind::Flag, "b")]), Timestamp(0));
        let (client, effects) = fed(client, &third.since(5));
        assert_eq!(client.position(), Some(&third.position));
        assert_eq!(client.counters().resyncs, 0);
        let Some(Effect::Apply(update)) = effects.first() else { panic!("{effects:?}") };
        assert_eq!((update.flags.len(), update.segments.len()), (2, 1));
    }

    #[test]
    fn the_digest_does_not_depend_on_the_way() {
        let direct = State::new("e", 7, delta(&[flag("c", false, &[]), segment("beta")]));
        let changed = first().after(6, delta(&[flag("c", true, &[]), gone(TouchedKind::Flag, "b")]), Timestamp(0));
        let back = changed.after(7, delta(&[flag("c", false, &[])]), Timestamp(0));
        assert_eq!(back.position, direct.position);
    }

    #[test]
    fn kills_lead_until_they_are_lifted() {
        let killed = first().after(6, delta(&[flag("b", true, &[]), flag("c", true, &[])]), Timestamp(0));
        let kill_of = |change_set: &ChangeSet| change_set.kill.as_ref().unwrap().frame.as_text().to_owned();
        let kill = kill_of(&killed.since(5));
        assert!(kill.contains(r#""type":"kill","epoch":"e","revision":6,"flags":["b","c"]"#), "{kill}");
        let lifted = killed.after(7, delta(&[flag("b", false, &[])]), Timestamp(0));
        let kill = kill_of(&lifted.since(5));
        assert!(kill.contains(r#""revision":7,"flags":["c"]"#), "{kill}");
        assert!(lifted.since(6).kill.is_none());
        assert!(lifted.full().kill.is_none());
    }

    #[test]
    fn what_is_needed_comes_before_what_needs_it() {
        let state = State::new(
            "e",
            1,
            delta(&[
                flag("a", false, &["b", "d"]),
                flag("b", false, &["c"]),
                flag("c", false, &[]),
                flag("d", false, &["c", "a"]),
                segment("z"),
            ]),
        );
        let all = state.objects.keys().cloned().collect();
        let order: Vec<_> = state.in_order(&all).iter().map(|object| object.wire.key.to_string()).collect();
        let place = |key: &str| order.iter().position(|placed| placed == key).unwrap();
        assert_eq!((order.len(), place("z")), (5, 0));
        assert!(place("c") < place("b") && place("b") < place("a"));
        // `a` and `d` need each other: any order will do, as compile breaks the cycle.
        assert!(place("c") < place("d"));
    }

    #[test]
    fn a_document_that_cannot_be_read_is_broken_alone() {
        let poisoned = document(DocumentKind::Flag, "bad", "{\"kind\": 7", 3);
        let delta = delta(&[(touched(TouchedKind::Flag, "bad"), Some((poisoned, None))), flag("good", false, &[])]);
        let state = State::new("e", 1, delta);
        assert_eq!(state.broken().map(|broken| broken.id.key.as_str()).collect::<Vec<_>>(), ["bad"]);
        let (_, effects) = fed(client(), &state.full());
        let Some(Effect::Apply(update)) = effects.first() else { panic!("{effects:?}") };
        let changes = format!("{:?}", update.changes);
        assert!(changes.contains("BrokenFlag") && changes.contains("PutFlag"), "{changes}");
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut state = first();
        for revision in 6..=1_100 {
            state = state.after(revision, delta(&[flag("c", false, &[])]), Timestamp(0));
        }
        assert_eq!(state.steps.len(), MAX_STEPS);
        assert_eq!(state.reach, 1_100 - MAX_STEPS as u64);
        assert!(state.reaches(state.reach) && !state.reaches(state.reach - 1) && !state.reaches(1_101));
    }

    #[test]
    fn clients_notice_what_they_see_and_what_that_needs() {
        let public = |key: &str, needs: &[&str]| {
            let (touched, live) = flag(key, false, needs);
            let (flag, config) = live.unwrap();
            let mut config = config.unwrap();
            config.body = config.body.replacen('{', r#"{"availability":"values","#, 1);
            (touched, Some((flag, Some(config))))
        };
        let state = State::new(
            "e",
            1,
            delta(&[public("seen", &["needed"]), flag("needed", false, &[]), flag("hidden", false, &[])]),
        );
        for (change, noticed) in [
            (flag("hidden", true, &[]), false),
            (gone(TouchedKind::Flag, "hidden"), false),
            (flag("needed", true, &[]), true),
            (public("hidden", &[]), true),
            (flag("seen", false, &[]), true),
            (gone(TouchedKind::Flag, "seen"), true),
            (segment("any"), true),
        ] {
            let next = state.after(2, delta(std::slice::from_ref(&change)), Timestamp(0));
            assert_eq!(next.public_revision == 2, noticed, "{change:?}");
        }
    }

    #[test]
    fn frames_are_encoded_once() {
        let state = first().after(6, delta(&[flag("a", false, &[])]), Timestamp(0));
        assert!(Arc::ptr_eq(&state.full(), &state.full()));
        assert!(Arc::ptr_eq(&state.since(5), &state.since(5)));
    }
}

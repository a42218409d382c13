//! The data half of the sync machine: one environment's objects, changed one committed change set at a time.
//!
//! What is held is always the verified state of one position. A change set is staged beside it, and takes its place
//! only when it is complete and its digest fits; whatever was lost, repeated or shuffled on the way makes it not fit.

use std::{mem, sync::Arc};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use tidegate_core::{Change, FlagConfig, FlagKey, SegmentConfig, SegmentKey, config::ResolvedFlag, order, tree};

use super::{Cause, Limits, Onto, Retention, Update};
use crate::{
    digest::Digest,
    message::{Body, Commit, Intent, Kill, ObjectKind, ObjectRef, Objects, Position, Transfer, WireObject},
    snapshot::Snapshot,
};

/// What a message did to the replica.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Nothing to be done (yet).
    Nothing,
    /// A change set was committed.
    Applied(Update),
    /// The server has nothing newer than what is held.
    UpToDate,
    /// What is held stays as it was; the server must send everything.
    Resync(&'static str),
    /// Not even a full transfer could be used, or it is too large.
    Unusable(&'static str),
}

/// Its seed is fixed: what it holds comes from the server, which is trusted.
type Map<K, V> = HashMap<K, V, FixedState>;

#[derive(Debug)]
pub(super) struct Replica {
    retention: Retention,
    limits: Limits,
    position: Option<Position>,
    objects: Map<ObjectRef, Held>,
    staged: Option<Staged>,
    kills: Kills,
}

#[derive(Debug)]
struct Held {
    digest: Digest,
    /// Absent under [`Retention::Digests`].
    body: Option<Body>,
}

#[derive(Debug)]
struct Staged {
    intent: Intent,
    /// To be ignored up to its commit: it leads back in time, or to where the client is.
    skipped: bool,
    /// By object, the last word on it: put, or deleted.
    objects: Map<ObjectRef, Option<WireObject>>,
    bytes: usize,
}

/// Kills that came ahead of the change set that will confirm them.
#[derive(Debug, Default)]
struct Kills {
    epoch: Arc<str>,
    /// By flag, the revision of the kill.
    flags: Map<Arc<str>, u64>,
}

impl Replica {
    pub fn new(retention: Retention, limits: Limits) -> Self {
        Self { retention, limits, position: None, objects: Map::default(), staged: None, kills: Kills::default() }
    }

    pub fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    /// A change set is half here.
    pub fn is_staging(&self) -> bool {
        self.staged.is_some()
    }

    /// Forgets a change set that is half here: its connection is gone.
    pub fn unstage(&mut self) {
        self.staged = None;
    }

    /// What is held, where there is something and its bodies were kept.
    pub fn snapshot(&self) -> Option<Snapshot> {
        let position = self.position.clone()?;
        let objects = self
            .objects
            .iter()
            .map(|(reference, held)| {
                let body = held.body.clone()?;
                Some(WireObject { kind: reference.kind.clone(), key: Arc::clone(&reference.key), body })
            })
            .collect::<Option<_>>()?;
        Some(Snapshot { position, objects })
    }

    /// Takes a stored snapshot for what is held.
    pub fn restore(&mut self, snapshot: Snapshot) -> Update {
        let objects = snapshot.objects.into_iter().map(|object| (object.reference(), Some(object))).collect();
        self.position = None;
        self.take(objects, Transfer::Full, snapshot.position, Cause::Restored)
    }

    pub fn intent(&mut self, intent: Intent) -> Outcome {
        // A change set whose commit was lost is given up; the checks below notice what it would have brought.
        self.staged = None;
        let held = self.position.as_ref();
        let backwards = held.is_some_and(|held| held.epoch == intent.to.epoch && held.revision > intent.to.revision);
        let current = held == Some(&intent.to);
        match intent.transfer {
            Transfer::None if current || backwards => Outcome::UpToDate,
            Transfer::None => Outcome::Resync("nothing was sent to a client that is not up to date"),
            Transfer::Changes if !current && !backwards && !follows(held, &intent) => {
                Outcome::Resync("changes do not start where the client stands")
            }
            Transfer::Changes | Transfer::Full => {
                let skipped = backwards || (current && intent.transfer == Transfer::Changes);
                self.staged = Some(Staged { intent, skipped, objects: Map::default(), bytes: 0 });
                Outcome::Nothing
            }
        }
    }

    pub fn objects(&mut self, objects: Objects) -> Outcome {
        let Some(staged) = self.staged.as_mut().filter(|staged| !staged.skipped) else {
            return Outcome::Nothing;
        };
        for reference in objects.delete {
            staged.objects.insert(reference, None);
        }
        for object in objects.put {
            staged.bytes = staged.bytes.saturating_add(object.body.get().len());
            staged.objects.insert(object.reference(), Some(object));
        }
        if staged.bytes > self.limits.change_set_bytes || staged.objects.len() > self.limits.objects {
            self.staged = None;
            return Outcome::Unusable("the change set is larger than the client allows");
        }
        Outcome::Nothing
    }

    pub fn commit(&mut self, commit: Commit) -> Outcome {
        let Some(staged) = self.staged.take() else {
            let current = self.position.as_ref() == Some(&commit.to);
            return if current { Outcome::Nothing } else { Outcome::Resync("a commit came without its intent") };
        };
        if staged.intent.to != commit.to {
            return Outcome::Resync("intent and commit do not belong together");
        }
        if staged.skipped {
            return Outcome::UpToDate;
        }
        let transfer = staged.intent.transfer;
        if self.digest_after(&staged) != commit.to.digest {
            return match transfer {
                Transfer::Full => Outcome::Unusable("the digest of a full transfer does not match"),
                Transfer::None | Transfer::Changes => Outcome::Resync("the digest does not match"),
            };
        }
        if transfer == Transfer::Changes && self.misses_a_kill(&staged) {
            return Outcome::Resync("a killed flag is not in the change set that followed");
        }
        let cause = Cause::Commit { changed_at: commit.changed_at };
        Outcome::Applied(self.take(staged.objects, transfer, commit.to, cause))
    }

    /// The fast lane: applied at once, and remembered until a change set confirms it.
    pub fn kill(&mut self, kill: &Kill) -> Outcome {
        let known =
            self.position.as_ref().is_some_and(|held| held.epoch == kill.epoch && held.revision >= kill.revision);
        if known {
            return Outcome::Nothing;
        }
        if self.kills.epoch != kill.epoch {
            self.kills = Kills { epoch: Arc::clone(&kill.epoch), ..Kills::default() };
        }
        let mut flags = Vec::new();
        for key in &kill.flags {
            let Ok(flag) = FlagKey::new(key) else { continue };
            let revision = self.kills.flags.entry(key.as_str().into()).or_insert(0);
            if *revision == 0 {
                flags.push(flag);
            }
            *revision = kill.revision.max(*revision);
        }
        if self.kills.flags.len() > self.limits.objects {
            self.kills = Kills::default();
            return Outcome::Unusable("more flags are killed than the client can hold");
        }
        if flags.is_empty() {
            return Outcome::Nothing;
        }
        Outcome::Applied(Update {
            onto: Onto::Current,
            changes: flags.iter().cloned().map(Change::KillFlag).collect(),
            flags,
            segments: Vec::new(),
            cause: Cause::Kill { revision: kill.revision, changed_at: kill.changed_at },
        })
    }

    fn digest_after(&self, staged: &Staged) -> Digest {
        let mut digest = match (staged.intent.transfer, &self.position) {
            (Transfer::Changes, Some(held)) => held.digest,
            _ => Digest::default(),
        };
        for (reference, object) in &staged.objects {
            if staged.intent.transfer == Transfer::Changes
                && let Some(held) = self.objects.get(reference)
            {
                digest -= held.digest;
            }
            if let Some(object) = object {
                digest += Digest::from(object);
            }
        }
        digest
    }

    /// A flag was killed on the fast lane, and changes up to the kill and beyond do not hold it: one of both is wrong.
    fn misses_a_kill(&self, staged: &Staged) -> bool {
        let to = &staged.intent.to;
        self.kills.epoch == to.epoch
            && self.kills.flags.iter().any(|(key, revision)| {
                let flag = ObjectRef { kind: ObjectKind::Flag, key: Arc::clone(key) };
                *revision <= to.revision && self.objects.contains_key(&flag) && !staged.objects.contains_key(&flag)
            })
    }

    /// Makes a verified change set what is held, and says what that changes.
    fn take(
        &mut self,
        mut objects: Map<ObjectRef, Option<WireObject>>,
        transfer: Transfer,
        to: Position,
        cause: Cause,
    ) -> Update {
        let onto = if self.position.is_some() { Onto::Current } else { Onto::Nothing };
        if onto == Onto::Nothing {
            self.objects.clear();
        }
        if transfer == Transfer::Full {
            for reference in self.objects.keys() {
                objects.entry(reference.clone()).or_insert(None);
            }
        }

        let mut update = Update { onto, changes: Vec::new(), flags: Vec::new(), segments: Vec::new(), cause };
        let settled = self.settle_kills(&to);
        // What goes comes first: a flag may go as one kind of object, and come as another.
        let (coming, mut objects): (Vec<_>, Vec<_>) = objects.into_iter().partition(|(_, object)| object.is_some());
        objects.extend(coming);
        for (reference, object) in order::by_text(objects, |(reference, _)| &reference.key) {
            // A flag that was killed ahead of its change set differs from what is held, even where its bytes do not.
            let killed = reference.kind == ObjectKind::Flag && settled.contains_key(&reference.key);
            let same = match (&object, self.objects.get(&reference)) {
                (Some(object), Some(held)) => held.digest == Digest::from(object) && !killed,
                (None, None) => true,
                _ => false,
            };
            if !same {
                update.push(&reference, object.as_ref());
                self.hold(reference, object);
            }
        }
        // One that goes as a flag and comes as a value is one.
        update.flags.dedup();
        update.changes.extend(self.kills.flags.keys().filter_map(|key| FlagKey::new(key).ok()).map(Change::KillFlag));
        self.position = Some(to);
        update
    }

    /// Forgets the kills that `to` settles, one way or the other, and returns their flags.
    fn settle_kills(&mut self, to: &Position) -> Map<Arc<str>, u64> {
        let same_epoch = self.kills.epoch == to.epoch;
        let kills = mem::take(&mut self.kills.flags).into_iter();
        let (settled, open) = kills.partition(|(_, revision)| !same_epoch || *revision <= to.revision);
        self.kills.flags = open;
        settled
    }

    fn hold(&mut self, reference: ObjectRef, object: Option<WireObject>) {
        match object {
            None => {
                self.objects.remove(&reference);
            }
            Some(object) => {
                let digest = Digest::from(&object);
                let body = match self.retention {
                    Retention::Bodies => Some(object.body),
                    Retention::Digests => None,
                };
                self.objects.insert(reference, Held { digest, body });
            }
        }
    }
}

fn follows(held: Option<&Position>, intent: &Intent) -> bool {
    held.is_some_and(|held| held.epoch == intent.to.epoch && Some(held.revision) == intent.from)
}

impl Update {
    /// Objects of other kinds, and keys that are none, change nothing: they only count in the digest.
    fn push(&mut self, reference: &ObjectRef, object: Option<&WireObject>) {
        match reference.kind {
            ObjectKind::Flag | ObjectKind::Value => {
                let Ok(key) = FlagKey::new(&reference.key) else { return };
                let put = if reference.kind == ObjectKind::Flag { flag } else { value };
                self.changes.push(object.map_or_else(|| Change::DeleteFlag(key.clone()), |object| put(&key, object)));
                self.flags.push(key);
            }
            ObjectKind::Segment => {
                let Ok(key) = SegmentKey::new(&reference.key) else { return };
                let change = object.map_or_else(|| Change::DeleteSegment(key.clone()), |object| segment(&key, object));
                self.changes.push(change);
                self.segments.push(key);
            }
            ObjectKind::Other(_) => {}
        }
    }
}

const WRONG_KEY: &str = "the body has another key than the object";

/// A flag that cannot be read is that flag's problem only.
fn flag(key: &FlagKey, object: &WireObject) -> Change {
    match tree::parse::<FlagConfig>(object.body.get()) {
        Ok(config) if config.key == *key => Change::PutFlag(config),
        Ok(_) => Change::BrokenFlag { key: key.clone(), message: WRONG_KEY.to_owned() },
        Err(error) => Change::BrokenFlag { key: key.clone(), message: error.to_string() },
    }
}

fn value(key: &FlagKey, object: &WireObject) -> Change {
    match tree::parse::<ResolvedFlag>(object.body.get()) {
        Ok(resolved) if resolved.key == *key => Change::PutResolved(resolved),
        Ok(_) => Change::BrokenFlag { key: key.clone(), message: WRONG_KEY.to_owned() },
        Err(error) => Change::BrokenFlag { key: key.clone(), message: error.to_string() },
    }
}

fn segment(key: &SegmentKey, object: &WireObject) -> Change {
    match tree::parse::<SegmentConfig>(object.body.get()) {
        Ok(config) if config.key == *key => Change::PutSegment(config),
        Ok(_) => Change::BrokenSegment { key: key.clone(), message: WRONG_KEY.to_owned() },
        Err(error) => Change::BrokenSegment { key: key.clone(), message: error.to_string() },
    }
}

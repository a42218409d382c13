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
type Holdings = HashMap<ObjectRef, Held, FixedState>;

#[derive(Debug)]
pub(super) struct Replica {
    retention: Retention,
    limits: Limits,
    position: Option<Position>,
    objects: Holdings,
    staged: Option<Staged>,
    kills: Kills,
}

/// An object that is held or staged. The default is one that is deleted: it counts nothing in the digest.
#[derive(Debug, Default)]
struct Held {
    digest: Digest,
    /// Absent where a change set deletes the object, and of what is held under [`Retention::Digests`].
    body: Option<Body>,
}

#[derive(Debug)]
struct Staged {
    intent: Intent,
    /// To be ignored up to its commit: it leads back in time, or to where the client is.
    skipped: bool,
    /// By object, the last word on it.
    objects: Holdings,
    bytes: usize,
}

/// Kills that came ahead of the change set that will confirm them.
#[derive(Debug, Default)]
struct Kills {
    epoch: Arc<str>,
    /// The revision of each flag's kill, in the order of the flags.
    flags: Vec<(FlagKey, u64)>,
}

impl Replica {
    pub fn new(retention: Retention, limits: Limits) -> Self {
        Self { retention, limits, position: None, objects: Holdings::default(), staged: None, kills: Kills::default() }
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
        let mut objects = Vec::with_capacity(self.objects.len());
        for (reference, held) in &self.objects {
            let ObjectRef { kind, key } = reference.clone();
            objects.push(WireObject { kind, key, body: held.body.clone()? });
        }
        Some(Snapshot { position, objects })
    }

    /// Takes a stored snapshot for what is held.
    pub fn restore(&mut self, snapshot: Snapshot) -> Update {
        let mut objects = Holdings::default();
        for object in snapshot.objects {
            put(object, &mut objects);
        }
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
                self.staged = Some(Staged { intent, skipped, objects: Holdings::default(), bytes: 0 });
                Outcome::Nothing
            }
        }
    }

    pub fn objects(&mut self, objects: Objects) -> Outcome {
        let Some(staged) = self.staged.as_mut().filter(|staged| !staged.skipped) else {
            return Outcome::Nothing;
        };
        for reference in objects.delete {
            staged.objects.insert(reference, Held::default());
        }
        for object in objects.put {
            staged.bytes = staged.bytes.saturating_add(object.body.get().len());
            put(object, &mut staged.objects);
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
            match self.kills.find(key) {
                Ok(place) => {
                    if let Some((_, revision)) = self.kills.flags.get_mut(place) {
                        *revision = kill.revision.max(*revision);
                    }
                }
                Err(place) => {
                    self.kills.flags.insert(place, (flag.clone(), kill.revision));
                    flags.push(flag);
                }
            }
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
            digest += object.digest;
        }
        digest
    }

    /// A flag was killed on the fast lane, and changes up to the kill and beyond do not hold it: one of both is wrong.
    fn misses_a_kill(&self, staged: &Staged) -> bool {
        let to = &staged.intent.to;
        self.kills.epoch == to.epoch
            && self.kills.flags.iter().any(|(key, revision)| {
                let flag = ObjectRef { kind: ObjectKind::Flag, key: Arc::clone(key.shared()) };
                *revision <= to.revision && self.objects.contains_key(&flag) && !staged.objects.contains_key(&flag)
            })
    }

    /// Makes a verified change set what is held, and says what that changes.
    fn take(&mut self, mut objects: Holdings, transfer: Transfer, to: Position, cause: Cause) -> Update {
        let onto = if self.position.is_some() { Onto::Current } else { Onto::Nothing };
        if onto == Onto::Nothing {
            self.objects.clear();
        }
        if transfer == Transfer::Full {
            for reference in self.objects.keys() {
                objects.entry(reference.clone()).or_default();
            }
        }

        let mut update = Update { onto, changes: Vec::new(), flags: Vec::new(), segments: Vec::new(), cause };
        let settled = self.settle_kills(&to);
        // What goes comes first: a flag may go as one kind of object, and come as another.
        let (coming, mut objects): (Vec<_>, Vec<_>) =
            objects.into_iter().partition(|(_, object)| object.body.is_some());
        objects.extend(coming);
        for (reference, object) in order::by_text(objects, |(reference, _)| &reference.key) {
            // A flag that was killed ahead of its change set differs from what is held, even where its bytes do not.
            let killed = reference.kind == ObjectKind::Flag && settled.find(&reference.key).is_ok();
            let same = match (&object.body, self.objects.get(&reference)) {
                (Some(_), Some(held)) => held.digest == object.digest && !killed,
                (None, None) => true,
                _ => false,
            };
            if !same {
                update.push(&reference, object.body.as_ref());
                self.hold(reference, object);
            }
        }
        // One that goes as a flag and comes as a value is one.
        update.flags.dedup();
        update.changes.extend(self.kills.flags.iter().map(|(flag, _)| Change::KillFlag(flag.clone())));
        self.position = Some(to);
        update
    }

    /// Forgets the kills that `to` settles, one way or the other, and returns them.
    fn settle_kills(&mut self, to: &Position) -> Kills {
        let same_epoch = self.kills.epoch == to.epoch;
        let kills = mem::take(&mut self.kills.flags).into_iter();
        let (settled, open) = kills.partition(|(_, revision)| !same_epoch || *revision <= to.revision);
        self.kills.flags = open;
        Kills { epoch: Arc::clone(&self.kills.epoch), flags: settled }
    }

    fn hold(&mut self, reference: ObjectRef, object: Held) {
        if object.body.is_none() {
            self.objects.remove(&reference);
            return;
        }
        let body = object.body.filter(|_| self.retention == Retention::Bodies);
        self.objects.insert(reference, Held { body, ..object });
    }
}

impl Kills {
    /// The place of a flag, or where it would be.
    fn find(&self, flag: &str) -> Result<usize, usize> {
        self.flags.binary_search_by(|(known, _)| known.as_str().cmp(flag))
    }
}

fn put(object: WireObject, objects: &mut Holdings) {
    let digest = Digest::from(&object);
    let WireObject { kind, key, body } = object;
    objects.insert(ObjectRef { kind, key }, Held { digest, body: Some(body) });
}

fn follows(held: Option<&Position>, intent: &Intent) -> bool {
    held.is_some_and(|held| held.epoch == intent.to.epoch && Some(held.revision) == intent.from)
}

impl Update {
    /// Objects of other kinds, and keys that are none, change nothing: they only count in the digest.
    fn push(&mut self, reference: &ObjectRef, body: Option<&Body>) {
        match reference.kind {
            ObjectKind::Flag | ObjectKind::Value => {
                let Ok(key) = FlagKey::new(&reference.key) else { return };
                let read = if reference.kind == ObjectKind::Flag { flag } else { value };
                self.changes.push(body.map_or_else(|| Change::DeleteFlag(key.clone()), |body| read(&key, body)));
                self.flags.push(key);
            }
            ObjectKind::Segment => {
                let Ok(key) = SegmentKey::new(&reference.key) else { return };
                let change = body.map_or_else(|| Change::DeleteSegment(key.clone()), |body| segment(&key, body));
                self.changes.push(change);
                self.segments.push(key);
            }
            ObjectKind::Other(_) => {}
        }
    }
}

const WRONG_KEY: &str = "the body has another key than the object";

/// A flag that cannot be read is that flag's problem only.
fn flag(key: &FlagKey, body: &Body) -> Change {
    match tree::parse::<FlagConfig>(body.get()) {
        Ok(config) if config.key == *key => Change::PutFlag(config),
        Ok(_) => Change::BrokenFlag { key: key.clone(), message: WRONG_KEY.to_owned() },
        Err(error) => Change::BrokenFlag { key: key.clone(), message: error.to_string() },
    }
}

fn value(key: &FlagKey, body: &Body) -> Change {
    match tree::parse::<ResolvedFlag>(body.get()) {
        Ok(resolved) if resolved.key == *key => Change::PutResolved(resolved),
        Ok(_) => Change::BrokenFlag { key: key.clone(), message: WRONG_KEY.to_owned() },
        Err(error) => Change::BrokenFlag { key: key.clone(), message: error.to_string() },
    }
}

fn segment(key: &SegmentKey, body: &Body) -> Change {
    match tree::parse::<SegmentConfig>(body.get()) {
        Ok(config) if config.key == *key => Change::PutSegment(config),
        Ok(_) => Change::BrokenSegment { key: key.clone(), message: WRONG_KEY.to_owned() },
        Err(error) => Change::BrokenSegment { key: key.clone(), message: error.to_string() },
    }
}

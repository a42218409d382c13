//! What is counted of the rollouts that go on: the controller that holds the lease reads the event log, and looks at the sums.
//!
//! What is counted follows from the log alone, read in its order: whoever begins with a checkpoint and reads on has the same, to the bit.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tidegate_core::Timestamp;
use tidegate_rollout::{Observation, Spec, Tally, judge};

use super::{
    event_log::{self, Batch, Item, Step, Unreadable},
    recent::Recent,
    rollouts::Rollout,
};
use crate::ports::store::{EnvironmentId, LoggedEvents};

const HOUR_MS: i64 = 3_600_000;

/// The rollouts that this process counts for while it holds the lease.
#[derive(Debug, Default)]
pub struct Watches {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Up to where the log is counted.
    position: u64,
    /// The time of the newest entry; entries of a server whose clock is behind count as the ones before.
    at: Timestamp,
    /// How much of the log was read since the last checkpoint, and how long that is, in bytes.
    n_read: usize,
    n_checkpoint: usize,
    /// By scope.
    environments: BTreeMap<String, Environment>,
}

#[derive(Debug, Default)]
struct Environment {
    recent: Recent,
    /// By rollout.
    watches: BTreeMap<String, Watch>,
}

#[derive(Debug)]
struct Watch {
    spec: Spec,
    counted: Counted,
}

/// What is counted of one rollout.
#[derive(Debug, Serialize, Deserialize)]
struct Counted {
    step: Option<u64>,
    /// Whether a rule serves the variant to segments by now.
    has_segments: bool,
    tally: Tally,
    begun_at: Timestamp,
    n_hours: i64,
    heard_at: Option<Timestamp>,
    n_told: u64,
    n_dropped: u64,
}

/// What only the servers' streams know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// How many connected SDKs do not have the newest revision yet.
    pub n_behind: u64,
}

/// When somebody watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attention {
    /// Since when without interruption.
    pub since: Timestamp,
    /// From when to when somebody did before that, as far as is known.
    pub before: Option<(Timestamp, Timestamp)>,
}

/// A piece of a checkpoint.
#[derive(Serialize, Deserialize)]
enum Piece {
    /// The first: the time of the newest entry.
    Head {
        version: u32,
        at: Timestamp,
    },
    Recent {
        environment: String,
        recent: Recent,
    },
    Counted {
        environment: String,
        rollout: String,
        counted: Box<Counted>,
    },
}

/// The form of a checkpoint. One in another form, which another version of the server wrote, is not read.
const VERSION: u32 = 1;

/// A piece of a checkpoint to be written.
#[derive(Clone, Debug)]
pub struct PieceId {
    environment: String,
    /// `None`: what came lately.
    rollout: Option<String>,
}

impl Watches {
    /// All rollouts together keep about so many units.
    const MAX_UNITS: usize = 4 * Tally::CAPACITY;

    /// So many each rollout may keep, however many there are.
    const MIN_UNITS: usize = 10_000;

    /// A checkpoint is written after so much of the log at the earliest, in bytes.
    const MIN_READ: usize = 256 * 1024;

    /// Nothing that holds the lock can panic half-way.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts from that position of the log on, with nothing counted yet.
    pub fn begin(&self, position: u64) {
        *self.counts() = Counts { position, ..Counts::default() };
    }

    /// Up to where the log is counted.
    pub fn position(&self) -> u64 {
        self.counts().position
    }

    /// Counts for these rollouts of the environment, and no others.
    pub fn follow<'r>(&self, environment: &EnvironmentId, running: impl IntoIterator<Item = (&'r str, &'r Rollout)>) {
        let mut counts = self.counts();
        let scope = environment.scope();
        let mut before = counts.environments.remove(&scope).unwrap_or_default();
        let watches: BTreeMap<_, _> = running
            .into_iter()
            .map(|(id, rollout)| {
                let watch = before.watches.remove(id).unwrap_or_else(|| Watch::new(&rollout.spec));
                (id.to_owned(), watch)
            })
            .collect();
        if !watches.is_empty() {
            counts.environments.insert(scope, Environment { watches, ..before });
        }
    }

    /// Counts an entry of the log; entries come in their order.
    ///
    /// # Errors
    /// [`Unreadable`] where what comes after cannot be counted.
    pub fn apply(&self, entry: &LoggedEvents) -> Result<(), Unreadable> {
        let mut guard = self.counts();
        let counts = &mut *guard;
        counts.position = entry.position;
        counts.n_read += entry.body.len();
        counts.at = counts.at.max(entry.at);
        for item in event_log::read(&entry.body) {
            match item? {
                Item::Step(step) => {
                    let environment = counts.environments.get_mut(step.environment);
                    if let Some(watch) = environment.and_then(|found| found.watches.get_mut(step.rollout)) {
                        watch.begin(&step, counts.at);
                    }
                }
                Item::Batch(batch) => {
                    if let Some(environment) = counts.environments.get_mut(batch.environment) {
                        environment.take(&batch, counts.at);
                    }
                }
            }
        }
        Ok(())
    }

    /// The step that is counted for a rollout.
    pub fn step(&self, environment: &EnvironmentId, id: &str) -> Option<u64> {
        self.counts().environments.get(&environment.scope())?.watches.get(id)?.counted.step
    }

    /// How many units a rollout that begins now may keep.
    pub fn capacity(&self) -> u64 {
        let n_watches: usize = self.counts().environments.values().map(|environment| environment.watches.len()).sum();
        (Self::MAX_UNITS / n_watches.max(1)).clamp(Self::MIN_UNITS, Tally::CAPACITY) as u64
    }

    /// What was seen so far of a rollout that is [followed](Self::follow); `is_off`: whether the flag is killed or disabled.
    pub fn look(
        &self,
        environment: &EnvironmentId,
        id: &str,
        rollout: &Rollout,
        is_off: bool,
        reach: Reach,
        attention: Attention,
    ) -> Observation {
        let counts = self.counts();
        let environment = counts.environments.get(&environment.scope());
        let unwatched = Watch::new(&rollout.spec);
        let watch = environment.and_then(|found| found.watches.get(id)).unwrap_or(&unwatched);
        let Counted { tally, heard_at, .. } = &watch.counted;
        Observation {
            watched_since: attention.since,
            watched_before: attention.before,
            n_behind: reach.n_behind,
            is_off,
            heard_at: *heard_at,
            lost: watch.counted.lost(),
            entered: tally.entered(),
            seen: tally.seen(),
            judgements: judge(rollout.spec.gates(), tally),
            frozen_until: None,
            turn_of: None,
        }
    }

    /// What a checkpoint is to consist of, where one is due: when as much was read as writing it costs.
    pub fn checkpoint(&self) -> Option<Vec<PieceId>> {
        let counts = self.counts();
        if counts.n_read < counts.n_checkpoint.max(Self::MIN_READ) {
            return None;
        }
        let pieces = counts.environments.iter().flat_map(|(environment, Environment { watches, .. })| {
            let rollouts = watches.keys().map(|rollout| Some(rollout.clone()));
            [None].into_iter().chain(rollouts).map(|rollout| PieceId { environment: environment.clone(), rollout })
        });
        Some(pieces.collect())
    }

    /// The piece that each checkpoint begins with.
    pub fn head(&self) -> Vec<u8> {
        encode(&Piece::Head { version: VERSION, at: self.counts().at })
    }

    /// A piece of a checkpoint. O(units).
    pub fn piece(&self, PieceId { environment, rollout }: PieceId) -> Vec<u8> {
        let mut counts = self.counts();
        let Some(found) = counts.environments.get_mut(&environment) else { return Vec::new() };
        let Some(id) = rollout else {
            return encode(&Piece::Recent { environment, recent: found.recent.clone() });
        };
        let Some(watch) = found.watches.get_mut(&id) else { return Vec::new() };
        // Lent for as long as it takes: a copy would need as much room again.
        let counted = Box::new(std::mem::replace(&mut watch.counted, Counted::new(&watch.spec, 1)));
        let piece = Piece::Counted { environment, rollout: id, counted };
        let encoded = encode(&piece);
        if let Piece::Counted { counted, .. } = piece {
            watch.counted = *counted;
        }
        encoded
    }

    /// A checkpoint of so many bytes was written.
    pub fn checkpointed(&self, n_bytes: usize) {
        let mut counts = self.counts();
        counts.n_checkpoint = n_bytes;
        counts.n_read = 0;
    }

    /// Takes a part of a checkpoint, for rollouts that are [followed](Self::follow). `unread`: what is left of the part before, and of
    /// this one.
    ///
    /// # Errors
    /// [`Unreadable`]: count anew.
    pub fn restore(&self, unread: &mut Vec<u8>, part: &[u8]) -> Result<(), Unreadable> {
        unread.extend_from_slice(part);
        let mut counts = self.counts();
        counts.n_checkpoint += part.len();
        let mut n_done = 0;
        while let Some(encoded) = unread.get(n_done..).and_then(frame) {
            n_done += LENGTH_BYTES + encoded.len();
            counts.put(postcard::from_bytes(encoded).map_err(|_| Unreadable)?)?;
        }
        unread.drain(..n_done);
        Ok(())
    }
}

/// The length before each piece.
const LENGTH_BYTES: usize = 8;

fn encode(piece: &Piece) -> Vec<u8> {
    match postcard::to_extend(piece, vec![0; LENGTH_BYTES]) {
        Ok(mut bytes) => {
            let n_bytes = (bytes.len() - LENGTH_BYTES) as u64;
            bytes.iter_mut().zip(n_bytes.to_le_bytes()).for_each(|(byte, length)| *byte = length);
            bytes
        }
        Err(error) => unreachable!("pieces have sequences of known length only: {error}"),
    }
}

/// The first piece, where it is there whole.
fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    rest.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)
}

impl Counts {
    fn put(&mut self, piece: Piece) -> Result<(), Unreadable> {
        match piece {
            Piece::Head { version: VERSION, at } => self.at = at,
            Piece::Head { .. } => return Err(Unreadable),
            Piece::Recent { environment, recent } => {
                if let Some(found) = self.environments.get_mut(&environment) {
                    found.recent = recent;
                }
            }
            Piece::Counted { environment, rollout, counted } => {
                let found = self.environments.get_mut(&environment);
                if let Some(watch) = found.and_then(|found| found.watches.get_mut(&rollout)) {
                    watch.counted = *counted;
                }
            }
        }
        Ok(())
    }
}

impl Environment {
    fn take(&mut self, batch: &Batch<'_>, at: Timestamp) {
        if !self.recent.note(batch.id) {
            return;
        }
        for watch in self.watches.values_mut() {
            watch.counted.pass(at);
            watch.counted.n_dropped = watch.counted.n_dropped.saturating_add(batch.dropped);
        }
        for exposures in &batch.exposures {
            let Some(Watch { spec, counted }) = self.watches.get_mut(exposures.rollout) else { continue };
            counted.n_told = counted.n_told.saturating_add(exposures.told);
            counted.heard_at = Some(at);
            let step = counted.step.and_then(|step| usize::try_from(step).ok());
            let has_arms = step.is_some_and(|step| spec.compared_share(step) > 0);
            for exposed in &exposures.exposed {
                // Without segments, what has no bucket says nothing of an arm; nor does it where only segments have the variant, and it was
                // not served: nobody has a bucket then.
                let is_ruled = counted.has_segments && (exposed.treated || has_arms);
                if exposed.bucket.is_some() || is_ruled {
                    counted.tally.expose(*exposed, at);
                }
            }
        }
        for measurements in &batch.measurements {
            for Watch { counted, .. } in self.watches.values_mut() {
                for (unit, value) in &measurements.measured {
                    counted.tally.measure(*unit, measurements.metric, *value, at);
                }
            }
        }
    }
}

impl Watch {
    fn new(spec: &Spec) -> Self {
        Self { spec: spec.clone(), counted: Counted::new(spec, 1) }
    }

    /// Told twice, or late, it begins once.
    fn begin(&mut self, begun: &Step<'_>, at: Timestamp) {
        let Self { spec, counted } = self;
        let Ok(step) = usize::try_from(begun.step) else { return };
        if counted.step >= Some(begun.step) {
            return;
        }
        if counted.step.is_none() {
            let capacity = usize::try_from(begun.capacity).unwrap_or(usize::MAX).min(Tally::CAPACITY);
            *counted = Counted { begun_at: at, ..Counted::new(spec, capacity) };
        }
        counted.pass(at);
        counted.step = Some(begun.step);
        counted.has_segments = !spec.segments_at(step).is_empty();
        let share = spec.compared_share(step);
        if spec.is_a_a(step) {
            counted.tally.begin_a_a(share);
        } else {
            counted.tally.begin_step(share);
        }
    }
}

impl Counted {
    /// Nothing, at no step.
    fn new(spec: &Spec, capacity: usize) -> Self {
        Self {
            step: None,
            has_segments: false,
            tally: Tally::new(spec.gates(), capacity),
            begun_at: Timestamp(0),
            n_hours: 0,
            heard_at: None,
            n_told: 0,
            n_dropped: 0,
        }
    }

    /// Time passes: that of the log, or what is counted would depend on when somebody looked.
    fn pass(&mut self, now: Timestamp) {
        let n_hours = now.0.saturating_sub(self.begun_at.0) / HOUR_MS;
        if self.step.is_some() && n_hours > self.n_hours {
            self.n_hours = n_hours;
            self.tally.begin_hour();
        }
        self.tally.pass(now);
    }

    #[expect(clippy::cast_precision_loss, reason = "a share, for people")]
    fn lost(&self) -> f64 {
        let all = self.n_told.saturating_add(self.n_dropped);
        if all == 0 { 0.0 } else { self.n_dropped as f64 / all as f64 }
    }
}

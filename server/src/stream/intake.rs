//! What rollouts count of events, on its way to the event log: gathered, and written a few times a second.
//!
//! A batch is acknowledged when it is in the log, so that none is lost with this process; one that is repeated is counted once, whichever
//! server it comes to.

use std::{
    collections::HashSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tidegate_rollout::Exposed;
use tokio::sync::{Notify, oneshot};
use xxhash_rust::xxh3::xxh3_64;

use crate::app::{
    event_log::{Batch, Writer},
    recent::Recent,
};

/// An entry is about so long, in bytes.
const ENTRY_BYTES: usize = 256 * 1024;

/// So much waits to be written at most, in bytes; more is refused, and comes again.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Batches of all environments.
#[derive(Default)]
pub(super) struct Intake {
    pending: Mutex<Pending>,
    /// Something waits to be written.
    pub wanted: Notify,
}

#[derive(Default)]
struct Pending {
    full: Vec<Vec<u8>>,
    n_full_bytes: usize,
    open: Writer,
    waiting: Vec<Waiting>,
    is_closed: bool,
}

/// Somebody who waits until a batch is written.
struct Waiting {
    batch: u64,
    batches: Arc<Batches>,
    written: oneshot::Sender<Logged>,
}

/// The batch is in the log; it is not where this is dropped instead.
#[derive(Debug)]
pub struct Logged;

/// There is no room, or no time any more.
#[derive(Debug)]
pub(super) struct Refused;

/// What is to be written at once.
pub(super) struct Flush {
    pub entries: Vec<Vec<u8>>,
    waiting: Vec<Waiting>,
}

impl Intake {
    /// Takes a batch; what comes back resolves when it is in the log.
    pub fn take(&self, batch: &Batch<'_>, batches: &Arc<Batches>) -> Result<oneshot::Receiver<Logged>, Refused> {
        let (sender, receiver) = oneshot::channel();
        let mut pending = self.pending();
        if pending.is_closed || pending.n_full_bytes >= MAX_BYTES {
            return Err(Refused);
        }
        pending.open.batch(batch);
        if pending.open.len() >= ENTRY_BYTES {
            pending.close_entry();
        }
        pending.waiting.push(Waiting { batch: batch.id, batches: Arc::clone(batches), written: sender });
        drop(pending);
        self.wanted.notify_one();
        Ok(receiver)
    }

    /// Everything that waits; `None`: nothing does.
    pub fn flush(&self) -> Option<Flush> {
        let mut pending = self.pending();
        pending.close_entry();
        let Pending { full, n_full_bytes, waiting, .. } = &mut *pending;
        *n_full_bytes = 0;
        (!full.is_empty()).then(|| Flush { entries: mem::take(full), waiting: mem::take(waiting) })
    }

    /// Takes no more.
    pub fn close(&self) {
        self.pending().is_closed = true;
    }

    /// Nothing that holds the lock can panic half-way.
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
    fn close_entry(&mut self) {
        if !self.open.is_empty() {
            let entry = mem::take(&mut self.open).finish();
            self.n_full_bytes += entry.len();
            self.full.push(entry);
        }
    }
}

impl Flush {
    /// It is in the log.
    pub fn written(self) {
        for Waiting { batch, batches, written } in self.waiting {
            batches.state().taken.note(batch);
            // Whoever does not wait any more sends it again, and hears at once that it is known.
            let _ = written.send(Logged);
        }
    }

    /// It is not, or nobody knows: all of it comes again.
    pub fn lost(self) {
        for Waiting { batches, .. } in self.waiting {
            batches.state().exposed.clear();
        }
    }
}

/// What came lately to one environment.
#[derive(Debug, Default)]
pub(super) struct Batches(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Batches that came.
    came: Recent,
    /// Batches that were taken: they are in the log, or there was nothing in them for it.
    taken: Recent,
    /// Exposures that are in the log or on their way there: said again, they say nothing.
    exposed: HashSet<u64>,
}

/// How a batch stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It never came.
    New,
    /// It came, and may not be in the log yet.
    Came,
    /// It was taken.
    Taken,
}

impl Batches {
    /// So many exposures are remembered; then all are forgotten.
    const MAX_EXPOSED: usize = 500_000;

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A batch came.
    pub fn note(&self, batch: u64) -> Known {
        let mut state = self.state();
        if state.taken.has(batch) {
            Known::Taken
        } else if state.came.note(batch) {
            Known::New
        } else {
            Known::Came
        }
    }

    /// There was nothing to write of a batch.
    pub fn taken(&self, batch: u64) {
        self.state().taken.note(batch);
    }

    /// Whether an exposure at that version of the flag, in that stretch of time, was not kept yet. It is from now on.
    pub fn is_new(
        &self,
        rollout: &str,
        (version, stretch): (u64, u64),
        Exposed { unit, bucket, treated }: Exposed,
    ) -> bool {
        let mut bytes = [0; 34];
        let numbers = [xxh3_64(rollout.as_bytes()), version, stretch, unit].map(u64::to_le_bytes);
        let numbers = numbers.into_iter().flatten().chain([u8::from(treated), u8::from(bucket.is_some())]);
        bytes.iter_mut().zip(numbers).for_each(|(byte, number)| *byte = number);
        let mut state = self.state();
        if state.exposed.len() >= Self::MAX_EXPOSED {
            state.exposed.clear();
        }
        state.exposed.insert(xxh3_64(&bytes))
    }

    /// No rollout goes on any more.
    pub fn forget_exposures(&self) {
        self.state().exposed = HashSet::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::event_log;

    fn batch(id: u64) -> Batch<'static> {
        Batch { environment: "shop/test", id, ..Batch::default() }
    }

    #[tokio::test]
    async fn a_batch_is_taken_when_it_is_written() {
        let (intake, batches) = (Intake::default(), Arc::new(Batches::default()));
        assert!(intake.flush().is_none());
        assert_eq!(batches.note(1), Known::New);
        let first = intake.take(&batch(1), &batches).unwrap();
        let second = intake.take(&batch(2), &batches).unwrap();
        let flush = intake.flush().unwrap();
        let ids: Vec<_> = flush.entries.iter().flat_map(|entry| event_log::read(entry).map(Result::unwrap)).collect();
        assert_eq!(ids, [batch(1), batch(2)].map(event_log::Item::Batch));
        assert_eq!(batches.note(1), Known::Came, "it comes again before it is written");
        flush.written();
        assert_eq!(batches.note(1), Known::Taken);
        first.await.unwrap();
        second.await.unwrap();

        let lost = intake.take(&batch(3), &batches).unwrap();
        intake.flush().unwrap().lost();
        lost.await.unwrap_err();
        assert_eq!(batches.note(3), Known::New);
        intake.close();
        intake.take(&batch(4), &batches).unwrap_err();
    }

    #[test]
    fn what_does_not_fit_is_refused_until_there_is_room() {
        let (intake, batches) = (Intake::default(), Arc::new(Batches::default()));
        let exposed = vec![Exposed { unit: 1, bucket: Some(1), treated: true }; 500];
        let exposures = vec![event_log::Exposures { rollout: "r", told: 500, exposed }];
        let large = Batch { exposures, ..batch(1) };
        let n_taken = (0..10_000).take_while(|_| intake.take(&large, &batches).is_ok()).count();
        assert!((1_000..2_000).contains(&n_taken), "{n_taken}");
        assert!(intake.flush().unwrap().entries.len() > 30);
        intake.take(&large, &batches).unwrap();
    }

    #[test]
    fn an_exposure_is_kept_once_for_each_version_of_the_flag() {
        let batches = Batches::default();
        let exposed = Exposed { unit: 1, bucket: Some(5), treated: true };
        assert!(batches.is_new("r", (1, 1), exposed));
        assert!(!batches.is_new("r", (1, 1), exposed));
        assert!(batches.is_new("r", (2, 1), exposed));
        assert!(batches.is_new("r", (1, 1), Exposed { treated: false, ..exposed }));
        assert!(batches.is_new("s", (1, 1), exposed));
        assert!(batches.is_new("r", (1, 2), exposed), "once in each stretch of time");
        batches.forget_exposures();
        assert!(batches.is_new("r", (1, 1), exposed));
    }
}

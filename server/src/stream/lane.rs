//! Who is woken when: thousands of streams, a few at a time.
//!
//! Woken all at once, ten thousand streams would keep a core busy for a tenth of a second, and everything else there would
//! wait for the last of them: requests, commits, and a kill. So they are called lane by lane, [`BATCH`] at a time, and what
//! else there is to do is done in between. A call on an earlier lane overtakes one on a later lane that is still under way.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, task::yield_now};

/// Streams woken at once: writing to each takes about 10 µs.
const BATCH: usize = 32;

/// Streams that are woken by the same thing.
#[derive(Debug, Default)]
pub(super) struct Lane(Mutex<Seats>);

#[derive(Debug, Default)]
struct Seats {
    taken: BTreeMap<u64, Arc<Notify>>,
    next_id: u64,
    /// Where the last call has come to: the next one begins there, or those at the end would be called less often.
    at: u64,
    /// Who is still to be woken.
    called: [Range<u64>; 2],
}

/// Walks down the lanes when one is called: always on the first that has somebody left.
#[derive(Debug)]
pub(super) struct Pacer<const LANES: usize> {
    lanes: [Arc<Lane>; LANES],
    called: Notify,
}

/// A stream's place on a lane; dropping it gives it up.
#[derive(Debug)]
pub(super) struct Seat {
    lane: Arc<Lane>,
    id: u64,
    turn: Arc<Notify>,
}

impl Lane {
    pub fn take_seat(self: &Arc<Self>) -> Seat {
        let mut seats = self.seats();
        let id = seats.next_id;
        seats.next_id += 1;
        let turn = Arc::new(Notify::new());
        seats.taken.insert(id, Arc::clone(&turn));
        Seat { lane: Arc::clone(self), id, turn }
    }

    /// Everybody who has a seat is to be woken, from now on. Who is still to be woken by the call before is woken once.
    pub fn call(&self) {
        let mut seats = self.seats();
        seats.called = [seats.at..seats.next_id, 0..seats.at];
    }

    /// Wakes the next few; false: there was nobody left.
    fn wake(&self) -> bool {
        let mut seats = self.seats();
        let Seats { taken, at, called, .. } = &mut *seats;
        let mut left = BATCH;
        for range in called {
            for (id, turn) in taken.range(range.clone()).take(left) {
                turn.notify_one();
                range.start = id + 1;
                *at = id + 1;
                left -= 1;
            }
            if left > 0 {
                range.start = range.end;
            }
        }
        left < BATCH
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // Nothing above panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<const LANES: usize> Pacer<LANES> {
    /// `lanes` as they overtake each other.
    pub fn new(lanes: [&Arc<Lane>; LANES]) -> Self {
        Self { lanes: lanes.map(Arc::clone), called: Notify::new() }
    }

    /// Everybody who sits on `lane` is to be woken.
    pub fn call(&self, lane: &Lane) {
        lane.call();
        self.called.notify_one();
    }

    /// To be run once, in a task of its own.
    pub async fn run(&self) {
        loop {
            self.called.notified().await;
            while self.lanes.iter().any(|lane| lane.wake()) {
                yield_now().await;
            }
        }
    }
}

impl Seat {
    /// Waits for the next call. One that came meanwhile is not missed.
    pub async fn turn(&self) {
        self.turn.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lane.seats().taken.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn take_seats(lane: &Arc<Lane>, n_seats: usize) -> Vec<Seat> {
        (0..n_seats).map(|_| lane.take_seat()).collect()
    }

    /// The places of those who were woken since the last time.
    fn woken(seats: &[Seat]) -> Vec<usize> {
        (0..seats.len()).filter(|place| seats[*place].turn().now_or_never().is_some()).collect()
    }

    #[test]
    fn a_few_are_woken_at_a_time_and_everybody_once() {
        let lane = Arc::new(Lane::default());
        let seats = take_seats(&lane, BATCH + 2);
        assert!(!lane.wake());
        lane.call();
        let newcomer = lane.take_seat();
        assert!(lane.wake());
        assert_eq!(woken(&seats), (0..BATCH).collect::<Vec<_>>());
        assert!(lane.wake());
        assert_eq!(woken(&seats), [BATCH, BATCH + 1]);
        assert!(!lane.wake());
        assert!(newcomer.turn().now_or_never().is_none());
    }

    #[test]
    fn a_second_call_begins_where_the_first_has_come_to() {
        let lane = Arc::new(Lane::default());
        let mut seats = take_seats(&lane, 2 * BATCH);
        lane.call();
        lane.wake();
        assert_eq!(woken(&seats).len(), BATCH);
        seats.remove(BATCH);
        lane.call();
        lane.wake();
        // Those who had not been woken by the first, and one more: somebody has gone.
        assert_eq!(woken(&seats), [0].into_iter().chain(BATCH..2 * BATCH - 1).collect::<Vec<_>>());
        lane.wake();
        assert_eq!(woken(&seats), (1..BATCH).collect::<Vec<_>>());
        assert!(!lane.wake());
    }

    #[tokio::test]
    async fn an_earlier_lane_overtakes_a_later_one() {
        let (kills, changes) = (Arc::new(Lane::default()), Arc::new(Lane::default()));
        let pacer = Pacer::new([&kills, &changes]);
        let n_seats = 3 * BATCH;
        let (kill_seats, change_seats) = (take_seats(&kills, n_seats), take_seats(&changes, n_seats));
        pacer.call(&changes);
        let mut walk = Box::pin(pacer.run());
        assert!((&mut walk).now_or_never().is_none());
        assert_eq!(woken(&change_seats).len(), BATCH);
        pacer.call(&kills);
        for _ in 0..3 {
            assert!((&mut walk).now_or_never().is_none());
            assert_eq!((woken(&kill_seats).len(), woken(&change_seats).len()), (BATCH, 0));
        }
        for _ in 0..2 {
            assert!((&mut walk).now_or_never().is_none());
            assert_eq!((woken(&kill_seats).len(), woken(&change_seats).len()), (0, BATCH));
        }
    }
}

//! Who is told when: thousands of streams, a few at a time.
//!
//! Told all at once, ten thousand streams would keep a core busy for a tenth of a second, and everything else there would
//! wait for the last of them: requests, commits, and a kill. So they are told lane by lane, [`BATCH`] at a time, and what
//! else there is to do is done in between. A call on an earlier lane overtakes one on a later lane that is still under way.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{sync::Notify, task::yield_now};

use super::line::Line;

/// Streams told at once: writing to each takes about 10 µs.
const BATCH: usize = 32;

/// Streams that want to know of the same thing.
#[derive(Debug)]
pub(super) struct Lane {
    news: News,
    seats: Mutex<Seats>,
}

/// What a lane is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Kills, before the state that holds them is made. What is missed, that state still says.
    Kill,
    /// Newer states.
    Change,
    /// Newer fronts, for client keys.
    View,
}

#[derive(Debug, Default)]
struct Seats {
    taken: BTreeMap<u64, Arc<Listener>>,
    next_id: u64,
    /// Where the last call has come to: the next one begins there, or those at the end would be called less often.
    at: u64,
    /// Who is still to be told.
    called: [Range<u64>; 2],
}

#[derive(Debug)]
struct Listener {
    line: Arc<Line>,
    turn: Notify,
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
    listener: Arc<Listener>,
}

impl Lane {
    pub fn new(news: News) -> Arc<Self> {
        Arc::new(Self { news, seats: Mutex::default() })
    }

    /// A seat for the stream at the other end of `line`.
    pub fn take_seat(self: &Arc<Self>, line: &Arc<Line>) -> Seat {
        let mut seats = self.seats();
        let id = seats.next_id;
        seats.next_id += 1;
        let listener = Arc::new(Listener { line: Arc::clone(line), turn: Notify::new() });
        seats.taken.insert(id, Arc::clone(&listener));
        Seat { lane: Arc::clone(self), id, listener }
    }

    /// Everybody who has a seat is to be told, from now on. Who is still to be told by the call before is told once.
    pub fn call(&self) {
        let mut seats = self.seats();
        seats.called = [seats.at..seats.next_id, 0..seats.at];
    }

    /// The next few who are to be told.
    fn next(&self) -> Vec<Arc<Listener>> {
        let mut seats = self.seats();
        let Seats { taken, at, called, .. } = &mut *seats;
        let mut next = Vec::new();
        for range in called {
            for (id, listener) in taken.range(range.clone()).take(BATCH - next.len()) {
                next.push(Arc::clone(listener));
                range.start = id + 1;
                *at = id + 1;
            }
            if next.len() < BATCH {
                range.start = range.end;
            }
        }
        next
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // Nothing above panics half-way.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<const LANES: usize> Pacer<LANES> {
    /// `lanes` as they overtake each other.
    pub fn new(lanes: [&Arc<Lane>; LANES]) -> Self {
        Self { lanes: lanes.map(Arc::clone), called: Notify::new() }
    }

    /// Everybody who sits on `lane` is to be told.
    pub fn call(&self, lane: &Lane) {
        lane.call();
        self.called.notify_one();
    }

    /// Tells with `tell`, and wakes the streams where that says false. To be run in a task of its own; several share the work.
    pub async fn run(&self, tell: impl Fn(News, &Line) -> bool) {
        loop {
            self.called.notified().await;
            while let Some((news, next)) = self.next() {
                // Where there is more to do, another may help.
                self.called.notify_one();
                for listener in next {
                    if !tell(news, &listener.line) {
                        listener.turn.notify_one();
                    }
                }
                yield_now().await;
            }
        }
    }

    fn next(&self) -> Option<(News, Vec<Arc<Listener>>)> {
        let next = self.lanes.iter().map(|lane| (lane.news, lane.next()));
        next.into_iter().find(|(_, next)| !next.is_empty())
    }
}

impl Seat {
    /// Waits for the next call that nobody else could answer. One that came meanwhile is not missed.
    pub async fn turn(&self) {
        self.listener.turn.notified().await;
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
        (0..n_seats).map(|_| lane.take_seat(&Arc::default())).collect()
    }

    /// The places of those who were woken since the last time.
    fn woken(seats: &[Seat]) -> Vec<usize> {
        (0..seats.len()).filter(|place| seats[*place].turn().now_or_never().is_some()).collect()
    }

    fn wake_next(lane: &Lane) -> usize {
        let next = lane.next();
        for listener in &next {
            listener.turn.notify_one();
        }
        next.len()
    }

    #[test]
    fn a_few_are_told_at_a_time_and_everybody_once() {
        let lane = Lane::new(News::Change);
        let seats = take_seats(&lane, BATCH + 2);
        assert_eq!(wake_next(&lane), 0);
        lane.call();
        let newcomer = lane.take_seat(&Arc::default());
        assert_eq!(wake_next(&lane), BATCH);
        assert_eq!(woken(&seats), (0..BATCH).collect::<Vec<_>>());
        assert_eq!(wake_next(&lane), 2);
        assert_eq!(woken(&seats), [BATCH, BATCH + 1]);
        assert_eq!(wake_next(&lane), 0);
        assert!(newcomer.turn().now_or_never().is_none());
    }

    #[test]
    fn a_second_call_begins_where_the_first_has_come_to() {
        let lane = Lane::new(News::Change);
        let mut seats = take_seats(&lane, 2 * BATCH);
        lane.call();
        wake_next(&lane);
        assert_eq!(woken(&seats).len(), BATCH);
        seats.remove(BATCH);
        lane.call();
        wake_next(&lane);
        // Those who had not been told by the first, and one more: somebody has gone.
        assert_eq!(woken(&seats), [0].into_iter().chain(BATCH..2 * BATCH - 1).collect::<Vec<_>>());
        wake_next(&lane);
        assert_eq!(woken(&seats), (1..BATCH).collect::<Vec<_>>());
        assert_eq!(wake_next(&lane), 0);
    }

    #[tokio::test]
    async fn an_earlier_lane_overtakes_a_later_one() {
        let (kills, changes) = (Lane::new(News::Kill), Lane::new(News::Change));
        let pacer = Pacer::new([&kills, &changes]);
        let n_seats = 3 * BATCH;
        let (kill_seats, change_seats) = (take_seats(&kills, n_seats), take_seats(&changes, n_seats));
        pacer.call(&changes);
        let mut walk = Box::pin(pacer.run(|_, _| false));
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

    #[tokio::test]
    async fn who_was_told_is_not_woken() {
        let lane = Lane::new(News::View);
        let pacer = Pacer::new([&lane]);
        let seats = take_seats(&lane, 3);
        let told = Arc::default();
        let listener = lane.take_seat(&told);
        pacer.call(&lane);
        assert!(
            pacer
                .run(|news, line| news == News::View && std::ptr::eq(line, Arc::as_ptr(&told)))
                .now_or_never()
                .is_none()
        );
        assert_eq!(woken(&seats), [0, 1, 2]);
        assert!(listener.turn().now_or_never().is_none());
    }
}

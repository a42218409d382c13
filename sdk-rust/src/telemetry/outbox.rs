//! What was gathered, on its way to the server. Does no I/O and reads no clock.

use std::{collections::VecDeque, num::NonZeroU64};

use tidegate_protocol::{
    ClientMessage,
    events::{EventBatch, Exposure, MAX_ITEMS, Measurement},
    frame::{self, MAX_CLIENT_FRAME_BYTES},
    sync::Moment,
};
use tokio::sync::futures::Notified;

use super::{Drain, Gathered};

/// Batches that are on their way at once. One more is sent when one was received.
const WINDOW: usize = 4;

/// A batch that was not answered on the same connection within this time is sent again.
const REPEAT_MS: u64 = 30_000;

/// What a message has around its items, generously, in bytes.
const ENVELOPE_BYTES: usize = 512;

/// What an item has around its texts, generously, in bytes.
const ITEM_BYTES: usize = 160;

/// Batches until they are received. Nothing more is gathered before all are: meanwhile it is the table, which is bounded,
/// that counts on.
#[derive(Debug)]
pub(crate) struct Outbox {
    drain: Drain,
    batches: VecDeque<Batch>,
    interval_ms: NonZeroU64,
    /// When to gather.
    due: Moment,
    /// What the ids of the batches begin with: no other client has the same.
    id: String,
    n_batches: u64,
    /// How many dropped events batches have told of.
    dropped_told: u64,
}

#[derive(Debug)]
struct Batch {
    id: String,
    frame: String,
    /// On this connection.
    sent: Option<Moment>,
}

impl Outbox {
    /// Gathers every `interval_ms`, for the first time after one.
    pub fn new(drain: Drain, interval_ms: NonZeroU64, id: String) -> Self {
        let due = Moment(interval_ms.get());
        Self { drain, batches: VecDeque::new(), interval_ms, due, id, n_batches: 0, dropped_told: 0 }
    }

    /// Resolves where there is so much that it should be gathered at once; then [`hurry`](Self::hurry). Cancel safe.
    pub fn pressed(&self) -> Notified<'_> {
        self.drain.telemetry.pressed.notified()
    }

    /// The time to gather has come.
    pub fn hurry(&mut self, now: Moment) {
        self.due = self.due.min(now);
    }

    /// In step with the server: the frames to send now.
    pub fn turn(&mut self, now: Moment) -> Vec<String> {
        if self.batches.is_empty() && self.due <= now {
            self.due = Moment(now.0.saturating_add(self.interval_ms.get()));
            self.gather();
        }
        let to_send = self.batches.iter_mut().take(WINDOW).filter(|batch| batch.repeat_at() <= now);
        to_send
            .map(|batch| {
                batch.sent = Some(now);
                batch.frame.clone()
            })
            .collect()
    }

    /// When [`turn`](Self::turn) has something to do, where nothing is received before.
    pub fn wake_at(&self) -> Moment {
        let repeat = self.batches.iter().take(WINDOW).map(Batch::repeat_at).min();
        repeat.unwrap_or(self.due)
    }

    /// The connection is lost: what it carried is sent on the next one.
    pub fn lost(&mut self) {
        for batch in &mut self.batches {
            batch.sent = None;
        }
    }

    /// The server has this batch.
    pub fn received(&mut self, id: &str) {
        self.batches.retain(|batch| batch.id != id);
    }

    /// Takes all that there is to be sent, whatever the time. `false`: an evaluation still counts, so call again.
    pub fn gather(&mut self) -> bool {
        let Gathered { exposures, measurements } = self.drain.take();
        let mut parts = Parts::default();
        for exposure in exposures {
            parts.expose(exposure);
        }
        for measurement in measurements {
            parts.measure(measurement);
        }
        let dropped = self.drain.telemetry.dropped();
        let mut batches = parts.finish();
        if batches.is_empty() && dropped > self.dropped_told {
            batches.push(EventBatch::default());
        }
        for mut batch in batches {
            self.n_batches += 1;
            batch.id = format!("{}-{}", self.id, self.n_batches);
            batch.dropped = dropped - self.dropped_told;
            self.dropped_told = dropped;
            let id = batch.id.clone();
            let frame = frame::encode([&ClientMessage::Events(batch)]);
            self.batches.push_back(Batch { id, frame, sent: None });
        }
        self.drain.is_done()
    }

    /// Everything gathered was received.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }
}

impl Batch {
    /// At once where it was not sent yet.
    fn repeat_at(&self) -> Moment {
        self.sent.map_or(Moment(0), |sent| Moment(sent.0.saturating_add(REPEAT_MS)))
    }
}

/// Items in as many batches as their number and size ask for.
#[derive(Default)]
struct Parts {
    full: Vec<EventBatch>,
    current: EventBatch,
    bytes: usize,
}

impl Parts {
    fn expose(&mut self, exposure: Exposure) {
        let text = exposure.flag.len() + exposure.variant.as_ref().map_or(0, String::len);
        self.make_room(text + ITEM_BYTES);
        self.current.exposures.push(exposure);
    }

    fn measure(&mut self, measurement: Measurement) {
        // JSON writes a control character as six.
        self.make_room(measurement.metric.len() * 6 + ITEM_BYTES);
        self.current.measurements.push(measurement);
    }

    fn make_room(&mut self, bytes: usize) {
        let is_full = self.bytes + bytes > MAX_CLIENT_FRAME_BYTES - ENVELOPE_BYTES || self.len() == MAX_ITEMS;
        if is_full {
            self.full.push(std::mem::take(&mut self.current));
            self.bytes = 0;
        }
        self.bytes += bytes;
    }

    fn len(&self) -> usize {
        self.current.exposures.len() + self.current.measurements.len()
    }

    fn finish(mut self) -> Vec<EventBatch> {
        if self.len() > 0 {
            self.full.push(self.current);
        }
        self.full
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, sync::Arc};

    use tidegate_core::{Context, Timestamp};

    use super::*;
    use crate::telemetry::Telemetry;

    fn outbox(max_exposures: usize) -> (Arc<Telemetry>, Outbox) {
        let (telemetry, drain) = Telemetry::new(NonZeroUsize::new(max_exposures).unwrap());
        (telemetry, Outbox::new(drain, NonZeroU64::new(10_000).unwrap(), "c".to_owned()))
    }

    fn batches(frames: &[String]) -> Vec<EventBatch> {
        let parse = |frame: &String| match ClientMessage::parse(frame) {
            Ok(ClientMessage::Events(batch)) => batch,
            other => panic!("no events: {other:?}"),
        };
        frames.iter().map(parse).collect()
    }

    fn track(telemetry: &Telemetry, n: usize) {
        for _ in 0..n {
            telemetry.track(&Context::new("ada"), "paid", Some(1.0), Timestamp(0));
        }
    }

    #[test]
    fn a_batch_is_sent_when_due_and_repeated_until_received() {
        let (telemetry, mut outbox) = outbox(8);
        track(&telemetry, 1);
        assert!(outbox.turn(Moment(9_999)).is_empty());
        let first = outbox.turn(Moment(10_000));
        assert_eq!(batches(&first)[0].measurements.len(), 1);

        // Nothing more until it is answered, or too late to be.
        track(&telemetry, 1);
        assert!(outbox.turn(Moment(20_000)).is_empty());
        assert_eq!(outbox.wake_at(), Moment(40_000));
        assert_eq!(outbox.turn(Moment(40_000)), first);
        // Another connection, the same batch.
        outbox.lost();
        assert_eq!(outbox.turn(Moment(40_001)), first);
        outbox.received("another");
        assert!(!outbox.is_empty());
        outbox.received(&batches(&first)[0].id);
        let second = outbox.turn(Moment(40_002));
        assert_eq!(batches(&second).iter().map(|batch| batch.measurements.len()).collect::<Vec<_>>(), [1]);
        assert_ne!(batches(&second)[0].id, batches(&first)[0].id);
    }

    #[test]
    fn a_burst_is_sent_early_in_batches_that_a_server_takes() {
        let (telemetry, mut outbox) = outbox(8);
        let long = "\u{1}".repeat(tidegate_protocol::events::MAX_METRIC_BYTES);
        for _ in 0..1_000 {
            telemetry.track(&Context::new("ada"), &long, Some(1.0), Timestamp(0));
        }
        track(&telemetry, 4_500);
        outbox.hurry(Moment(1));
        let (mut n_measurements, mut n_batches) = (0, 0);
        loop {
            let frames = outbox.turn(Moment(1));
            if frames.is_empty() {
                break;
            }
            assert!(frames.len() <= WINDOW, "{}", frames.len());
            for (frame, batch) in frames.iter().zip(batches(&frames)) {
                assert!(frame.len() <= MAX_CLIENT_FRAME_BYTES && batch.measurements.len() <= MAX_ITEMS);
                n_measurements += batch.measurements.len();
                n_batches += 1;
                outbox.received(&batch.id);
            }
        }
        assert_eq!(n_measurements, 5_500);
        assert!((19..=30).contains(&n_batches), "{n_batches}");
    }

    #[test]
    fn what_was_dropped_is_told_once() {
        let (telemetry, mut outbox) = outbox(1);
        telemetry.track(&Context::anonymous(), "", None, Timestamp(0));
        let frames = outbox.turn(Moment(10_000));
        assert_eq!(batches(&frames)[0].dropped, 1);
        outbox.received(&batches(&frames)[0].id);
        assert!(outbox.turn(Moment(20_000)).is_empty());
    }
}

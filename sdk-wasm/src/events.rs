//! What was evaluated and measured, gathered until it is sent.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use tidegate_core::Evaluation;
use tidegate_protocol::{
    events::{EventBatch, Exposure, MAX_ITEMS, MAX_METRIC_BYTES, Measurement, UnitHash},
    frame::MAX_CLIENT_FRAME_BYTES,
};

/// Exposures and measurements that wait; what comes beyond is dropped, and counted.
const MAX_WAITING: usize = 10_000;

/// A batch must fit into a frame, with room for what surrounds its items.
const MAX_BATCH_BYTES: usize = MAX_CLIENT_FRAME_BYTES - 1_024;

/// The longest item without its texts: numbers, names of fields, punctuation.
const ITEM_BYTES: usize = 160;

/// What was served to whom: a flag's handle, a value's id, the rule's index, a unit.
pub(crate) type Served = (u32, u32, Option<usize>, Option<UnitHash>);

#[derive(Debug)]
struct Seen {
    variant: Option<Box<str>>,
    version: u64,
    rule: Option<Box<str>>,
    bucket: Option<u32>,
    count: u64,
    at: i64,
}

#[derive(Debug, Default)]
pub(crate) struct Events {
    /// Since the last change of the ruleset: handles and ids are of this one.
    current: HashMap<Served, Seen, FixedState>,
    exposures: Vec<Exposure>,
    measurements: Vec<Measurement>,
    dropped: u64,
}

impl Events {
    /// Counts one exposure.
    #[inline]
    pub fn expose(&mut self, served: Served, at: i64, variant: Option<&str>, evaluation: &Evaluation<'_>) {
        if let Some(seen) = self.current.get_mut(&served) {
            seen.count += 1;
        } else if self.waiting() < MAX_WAITING {
            let version = evaluation.flag_version;
            let (rule, bucket) = (evaluation.rule_id().map(Into::into), evaluation.cohort());
            self.current.insert(served, Seen { variant: variant.map(Into::into), version, rule, bucket, count: 1, at });
        } else {
            self.dropped += 1;
        }
    }

    /// Takes one measurement.
    pub fn measure(&mut self, measurement: Measurement) {
        let fits = !measurement.metric.is_empty() && measurement.metric.len() <= MAX_METRIC_BYTES;
        if fits && self.waiting() < MAX_WAITING {
            self.measurements.push(measurement);
        } else {
            self.dropped += 1;
        }
    }

    /// Events that were taken from here and got lost.
    pub fn lost(&mut self, count: u64) {
        self.dropped = self.dropped.saturating_add(count);
    }

    fn waiting(&self) -> usize {
        self.current.len() + self.exposures.len() + self.measurements.len()
    }

    /// Before the handles and ids of `current` lose their meaning: `flag` gives a handle's key.
    pub fn settle<'f>(&mut self, flag: impl Fn(u32) -> Option<&'f str>) {
        for ((handle, _, _, unit), Seen { variant, version, rule, bucket, count, at }) in self.current.drain() {
            if let Some(flag) = flag(handle) {
                let (flag, variant, rule) = (flag.to_owned(), variant.map(String::from), rule.map(String::from));
                self.exposures.push(Exposure { flag, variant, version, unit, bucket, rule, count, at });
            }
        }
    }

    /// The next batch of what was settled, with the count of what was dropped; `None` where there is nothing to say.
    pub fn take(&mut self, id: String) -> Option<EventBatch> {
        if self.exposures.is_empty() && self.measurements.is_empty() && self.dropped == 0 {
            return None;
        }
        let mut bytes = 0;
        let mut fitting = 0;
        let length = |text: &Option<String>| text.as_deref().map_or(0, str::len);
        let exposures = self.exposures.iter().map(|Exposure { flag, variant, rule, .. }| {
            // A rule's id is any text.
            flag.len() + length(variant) + 6 * length(rule)
        });
        let measurements = self.measurements.iter().map(|measurement| 6 * measurement.metric.len());
        for texts in exposures.chain(measurements).take(MAX_ITEMS) {
            bytes += texts + ITEM_BYTES;
            if bytes > MAX_BATCH_BYTES {
                break;
            }
            fitting += 1;
        }
        let n_exposures = self.exposures.len().min(fitting);
        let exposures = self.exposures.drain(..n_exposures).collect();
        let measurements = self.measurements.drain(..fitting - n_exposures).collect();
        Some(EventBatch { id, exposures, measurements, dropped: std::mem::take(&mut self.dropped) })
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::Reason;

    use super::*;

    fn measurement(metric: &str) -> Measurement {
        Measurement { metric: metric.to_owned(), unit: None, value: Some(f64::MIN_POSITIVE), at: i64::MIN }
    }

    fn evaluation(flag_version: u64) -> Evaluation<'static> {
        let reason = Reason::TargetingMatch;
        Evaluation { value: None, variant: None, reason, error: None, flag_version, rule: None, bucket: None }
    }

    #[test]
    fn equal_exposures_are_one_with_a_count() {
        let mut events = Events::default();
        for at in [5, 6, 7] {
            events.expose((1, 8, None, None), at, Some("on"), &evaluation(3));
        }
        events.expose((1, 8, None, Some(UnitHash(1))), 9, Some("on"), &evaluation(3));
        events.expose(
            (1, 8, Some(2), Some(UnitHash(2))),
            9,
            Some("on"),
            &Evaluation { rule: Some((2, "beta")), ..evaluation(3) },
        );
        events.settle(|_| Some("checkout"));
        let mut batch = events.take("b".to_owned()).unwrap();
        batch.exposures.sort_by_key(|exposure| exposure.unit);
        let counted: Vec<_> =
            batch.exposures.iter().map(|seen| (seen.count, seen.at, seen.version, seen.rule.as_deref())).collect();
        assert_eq!(counted, [(3, 5, 3, None), (1, 9, 3, None), (1, 9, 3, Some("beta"))]);
        assert!(events.take("c".to_owned()).is_none());
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted() {
        let mut events = Events::default();
        for unit in 0..MAX_WAITING as u64 {
            events.expose((1, 8, None, Some(UnitHash(unit))), 0, None, &evaluation(1));
        }
        events.expose((1, 8, None, None), 0, None, &evaluation(1));
        events.measure(measurement("paid"));
        // One that is known has room.
        events.expose((1, 8, None, Some(UnitHash(0))), 0, None, &evaluation(1));
        events.settle(|_| Some("checkout"));
        assert_eq!(events.take("b".to_owned()).unwrap().dropped, 2);
        assert_eq!(events.take("c".to_owned()).unwrap().dropped, 0);
    }

    #[test]
    fn metrics_without_a_fitting_name_are_dropped() {
        let mut events = Events::default();
        events.measure(measurement(""));
        events.measure(measurement(&"m".repeat(MAX_METRIC_BYTES + 1)));
        assert_eq!(events.take("b".to_owned()).unwrap().dropped, 2);
    }

    #[test]
    fn a_batch_fits_into_a_frame_whatever_is_in_it() {
        let mut events = Events::default();
        let id = "\u{1}".repeat(64);
        let longest = Evaluation { rule: Some((0, &id)), ..evaluation(u64::MAX) };
        for unit in 0..600 {
            events.expose((1, 8, None, Some(UnitHash(u64::MAX - unit))), i64::MIN, Some(&"v".repeat(64)), &longest);
        }
        for _ in 0..600 {
            // Escaped, each of these is six characters.
            events.measure(measurement(&"\u{1}".repeat(MAX_METRIC_BYTES)));
        }
        events.settle(|_| Some("checkout"));
        let mut items = 0;
        while let Some(batch) = events.take("b".repeat(64)) {
            let length = batch.exposures.len() + batch.measurements.len();
            assert!((1..=MAX_ITEMS).contains(&length));
            items += length;
            let frame = tidegate_protocol::frame::encode([&tidegate_protocol::ClientMessage::Events(batch)]);
            assert!(frame.len() < MAX_CLIENT_FRAME_BYTES, "{}", frame.len());
        }
        assert_eq!(items, 1_200);
    }
}

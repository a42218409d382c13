//! How many units ask for flags, and to how many of them things happen: what the preview of a rollout goes by.

use std::collections::HashMap;

use dashmap::DashMap;
use tidegate_core::Timestamp;
use tidegate_protocol::events::{EventBatch, Exposure, UnitHash};
use tidegate_rollout::traffic::{Recent, Units};

use crate::ports::store::EnvironmentId;

/// What this process heard of lately, by environment: samples of units, not units.
#[derive(Debug, Default)]
pub struct Traffic(DashMap<EnvironmentId, Heard>);

/// What was heard in one environment.
#[derive(Debug, Default)]
struct Heard {
    /// When the present stretch began, and the one before.
    begins: Option<(Timestamp, Timestamp)>,
    flags: HashMap<String, Recent>,
    metrics: HashMap<String, Recent>,
}

/// How many units asked for a flag lately.
#[derive(Clone, Debug)]
pub struct FlagTraffic {
    /// New ones in a minute, about.
    pub units_per_minute: f64,
    units: Units,
}

/// How long a stretch takes; two are looked at.
const STRETCH_MS: i64 = 10 * 60_000;

/// So many flags, and so many metrics, are sampled in an environment; more are not.
const MAX_NAMES: usize = 1_000;

/// From less, nothing is told: a minute's traffic says nothing of an hour's.
const MIN_MS: i64 = 30_000;

impl Traffic {
    /// What is in the batch was heard; of the exposures only those that `counts`.
    pub fn note(
        &self,
        environment: &EnvironmentId,
        batch: &EventBatch,
        counts: impl Fn(&Exposure) -> bool,
        now: Timestamp,
    ) {
        let mut heard = self.0.entry(environment.clone()).or_default();
        heard.turn(now);
        for exposure in batch.exposures.iter().filter(|exposure| counts(exposure)) {
            if let Some(UnitHash(unit)) = exposure.unit {
                note(&mut heard.flags, &exposure.flag, unit);
            }
        }
        for measurement in &batch.measurements {
            if let Some(UnitHash(unit)) = measurement.unit {
                note(&mut heard.metrics, &measurement.metric, unit);
            }
        }
    }

    /// Who asked for a flag lately; `None`: nobody, or not for long enough.
    pub fn of_flag(&self, environment: &EnvironmentId, flag: &str, now: Timestamp) -> Option<FlagTraffic> {
        let heard = self.0.get(environment)?;
        let (_, since) = heard.begins?;
        let ms = now.0.saturating_sub(since.0);
        let units = heard.flags.get(flag).filter(|recent| !recent.is_empty())?.units();
        #[expect(clippy::cast_precision_loss, reason = "minutes")]
        let minutes = ms as f64 / 60_000.0;
        (ms >= MIN_MS).then(|| FlagTraffic { units_per_minute: units.count() / minutes, units })
    }

    /// To what share of a flag's units a metric happened, about; `None`: it was not heard of.
    pub fn rate(&self, environment: &EnvironmentId, flag: &FlagTraffic, metric: &str) -> Option<f64> {
        let heard = self.0.get(environment)?;
        let met = heard.metrics.get(metric).filter(|recent| !recent.is_empty())?.units();
        let share = flag.units.shared(&met) / flag.units.count();
        share.is_finite().then(|| share.min(1.0))
    }
}

impl Heard {
    fn turn(&mut self, now: Timestamp) {
        let (present, _) = *self.begins.get_or_insert((now, now));
        let ms = now.0.saturating_sub(present.0);
        if ms < STRETCH_MS {
            return;
        }
        // After a silence, what was before says nothing of now.
        let n_turns = if ms < 2 * STRETCH_MS { 1 } else { 2 };
        for names in [&mut self.flags, &mut self.metrics] {
            for recent in names.values_mut() {
                (0..n_turns).for_each(|_| recent.turn());
            }
            names.retain(|_, recent| !recent.is_empty());
        }
        self.begins = Some((now, if n_turns == 1 { present } else { now }));
    }
}

fn note(names: &mut HashMap<String, Recent>, name: &str, unit: u64) {
    if let Some(recent) = names.get_mut(name) {
        recent.note(unit);
    } else if names.len() < MAX_NAMES {
        names.entry(name.to_owned()).or_default().note(unit);
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::events::Measurement;

    use super::*;

    fn batch(units: std::ops::Range<u64>) -> EventBatch {
        let unit = |n: u64| Some(UnitHash(tidegate_core::bucket::hash(&n.to_string())));
        let exposure = |n| Exposure {
            flag: "f".to_owned(),
            variant: None,
            version: 0,
            unit: unit(n),
            bucket: None,
            rule: None,
            count: 1,
            at: 0,
        };
        let errors = units.clone().filter(|n| n % 10 == 0);
        let error = |n| Measurement { metric: "errors".to_owned(), unit: unit(n), value: None, at: 0 };
        EventBatch {
            exposures: units.map(exposure).collect(),
            measurements: errors.map(error).collect(),
            ..EventBatch::default()
        }
    }

    #[test]
    fn traffic_is_what_was_heard_within_twenty_minutes() {
        let (traffic, id) =
            (Traffic::default(), EnvironmentId { project: "p".to_owned(), environment: "e".to_owned() });
        let at = |minutes: i64| Timestamp(minutes * 60_000);
        assert!(traffic.of_flag(&id, "f", at(0)).is_none());
        traffic.note(&id, &batch(0..500), |_| true, at(0));
        assert!(traffic.of_flag(&id, "f", Timestamp(1_000)).is_none(), "not for long enough");
        traffic.note(&id, &batch(250..750), |_| true, at(5));
        let seen = traffic.of_flag(&id, "f", at(5)).unwrap();
        assert!((seen.units_per_minute - 150.0).abs() < 1e-9, "{seen:?}");
        assert!((traffic.rate(&id, &seen, "errors").unwrap() - 0.1).abs() < 1e-9);
        assert!(traffic.rate(&id, &seen, "crashes").is_none() && traffic.of_flag(&id, "g", at(5)).is_none());

        traffic.note(&id, &batch(750..850), |_| true, at(12));
        assert!((traffic.of_flag(&id, "f", at(17)).unwrap().units_per_minute - 50.0).abs() < 1e-9);
        traffic.note(&id, &batch(0..100), |_| true, at(60));
        assert!((traffic.of_flag(&id, "f", at(61)).unwrap().units_per_minute - 100.0).abs() < 1e-9);
    }
}

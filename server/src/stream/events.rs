//! Events that clients send: checked, counted once, and shown as metrics.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tidegate_core::{Ruleset, bucket::BUCKETS};
use tidegate_protocol::events::{self, EventBatch, Exposure};
use xxhash_rust::xxh3::Xxh3;

use super::{Hub, Streams, streams::labels};
use crate::{
    app::{AppError, SdkKeyKind, SdkPrincipal},
    telemetry::{EnvironmentLabels, Metrics},
};

/// What is counted of events.
#[derive(Default)]
pub(super) struct EventCounters {
    exposures: Family<ExposureLabels, Counter>,
    measurements: Family<EnvironmentLabels, Counter>,
    repeated: Family<EnvironmentLabels, Counter>,
    dropped: Family<EnvironmentLabels, Counter>,
    unknown: Family<EnvironmentLabels, Counter>,
}

/// As many series as the flags that are used have variants: a flag or variant that is not there makes none.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ExposureLabels {
    project: String,
    environment: String,
    flag: String,
    /// Empty: the caller's default.
    variant: String,
}

/// The batches that came lately, by a hash of key and id: one that comes again counts no more.
#[derive(Debug, Default)]
pub(super) struct RecentBatches(Mutex<Recent>);

#[derive(Debug, Default)]
struct Recent {
    known: HashSet<u64>,
    in_order: VecDeque<u64>,
}

impl RecentBatches {
    /// A client repeats a batch within seconds: 10,000 clients with a batch every 10 s are remembered for a minute.
    const CAPACITY: usize = 65_536;

    /// Whether it is new.
    fn note(&self, key: &str, id: &str) -> bool {
        let mut hasher = Xxh3::new();
        hasher.update(key.as_bytes());
        hasher.update(&[0]);
        hasher.update(id.as_bytes());
        let batch = hasher.digest();
        // Nothing that holds the lock can panic half-way.
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !recent.known.insert(batch) {
            return false;
        }
        recent.in_order.push_back(batch);
        if recent.in_order.len() > Self::CAPACITY
            && let Some(oldest) = recent.in_order.pop_front()
        {
            recent.known.remove(&oldest);
        }
        true
    }
}

impl EventCounters {
    pub fn register(&self, metrics: &Metrics) {
        let told = "What SDKs told of evaluations, by flag and variant";
        metrics.register("exposures", told, self.exposures.clone());
        metrics.register("measurements", "What SDKs measured", self.measurements.clone());
        metrics.register("event_batches_repeated", "Batches that came again", self.repeated.clone());
        metrics.register("events_dropped", "Events that SDKs had no room for", self.dropped.clone());
        let unknown = "Exposures of flags or variants that the key does not open";
        metrics.register("exposures_unknown", unknown, self.unknown.clone());
    }
}

impl Streams {
    /// Takes a batch of events from a client of the hub's environment. One that came before counts no more.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where the batch is larger than allowed, or cannot be what an SDK sends.
    pub async fn take_events(&self, hub: &Hub, key: &SdkPrincipal, batch: &EventBatch) -> Result<(), AppError> {
        check(batch)?;
        let counters = &self.counters.events;
        let labels = labels(&hub.environment);
        if !hub.batches.note(&key.key, &batch.id) {
            counters.repeated.get_or_create(&labels).inc();
            return Ok(());
        }
        let front = hub.front().await;
        let ruleset = &front.compiled.ruleset;
        for exposure in &batch.exposures {
            if is_known(ruleset, key.kind, exposure) {
                let labels = ExposureLabels {
                    project: labels.project.clone(),
                    environment: labels.environment.clone(),
                    flag: exposure.flag.clone(),
                    variant: exposure.variant.clone().unwrap_or_default(),
                };
                counters.exposures.get_or_create(&labels).inc_by(exposure.count);
            } else {
                counters.unknown.get_or_create(&labels).inc_by(exposure.count);
            }
        }
        let counts = |exposure: &Exposure| is_known(ruleset, key.kind, exposure);
        self.app.watches.take(&hub.environment, batch, counts, self.app.clock.now());
        counters.measurements.get_or_create(&labels).inc_by(batch.measurements.len() as u64);
        counters.dropped.get_or_create(&labels).inc_by(batch.dropped);
        Ok(())
    }
}

/// Whether the flag has that variant, and the key may know of it.
fn is_known(ruleset: &Ruleset, kind: SdkKeyKind, exposure: &Exposure) -> bool {
    ruleset.outline(&exposure.flag).is_some_and(|flag| {
        let opened = kind == SdkKeyKind::Server || !flag.availability().is_private();
        let served = |variant: &str| flag.variants().any(|(key, _)| key == variant);
        opened && exposure.variant.as_deref().is_none_or(served)
    })
}

fn check(batch: &EventBatch) -> Result<(), AppError> {
    if !(1..=events::MAX_ID_BYTES).contains(&batch.id.len()) {
        let detail = format!("the id is 1 to {} bytes, another one for each batch", events::MAX_ID_BYTES);
        return Err(AppError::invalid("/id", detail));
    }
    let n_items = batch.exposures.len() + batch.measurements.len();
    if n_items > events::MAX_ITEMS {
        let detail = format!("a batch has at most {} exposures and measurements; send more batches", events::MAX_ITEMS);
        return Err(AppError::invalid("", detail));
    }
    for (index, exposure) in batch.exposures.iter().enumerate() {
        if exposure.count == 0 {
            return Err(AppError::invalid(format!("/exposures/{index}/count"), "the count is 1 or more"));
        }
        if exposure.bucket.is_some_and(|bucket| bucket >= BUCKETS) {
            return Err(AppError::invalid(format!("/exposures/{index}/bucket"), "a bucket is 0 to 99,999"));
        }
    }
    for (index, measurement) in batch.measurements.iter().enumerate() {
        if !(1..=events::MAX_METRIC_BYTES).contains(&measurement.metric.len()) {
            let detail = format!("the name of a metric is 1 to {} bytes", events::MAX_METRIC_BYTES);
            return Err(AppError::invalid(format!("/measurements/{index}/metric"), detail));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_new_once_for_each_key() {
        let batches = RecentBatches::default();
        assert!(batches.note("key", "a"));
        assert!(!batches.note("key", "a"));
        assert!(batches.note("other", "a"));
        assert!(batches.note("ke", "ya"));
        for id in 0..RecentBatches::CAPACITY {
            batches.note("many", &id.to_string());
        }
        assert_eq!(batches.0.lock().unwrap().known.len(), RecentBatches::CAPACITY);
        assert!(batches.note("key", "a"));
    }
}

//! Events that clients send: checked, counted once, shown as metrics, and, where rollouts go on, written to the event log.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tidegate_core::{Ruleset, bucket::BUCKETS, ruleset::Outline};
use tidegate_protocol::events::{self, EventBatch, Exposure};
use tidegate_rollout::tally::STRETCH_MS;
use tokio::{
    sync::oneshot,
    time::{Duration, sleep},
};

use super::{Hub, Logged, Streams, intake::Known, streams::labels};
use crate::{
    app::{AppError, SdkKeyKind, SdkPrincipal, recent::batch_hash, watching::Sender},
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
    refused: Family<EnvironmentLabels, Counter>,
    logged_bytes: Counter,
    unwritten: Counter,
}

/// How a batch was taken.
#[derive(Debug)]
pub enum Taken {
    /// It was counted.
    Now,
    /// It is, once it is written.
    Soon(oneshot::Receiver<Logged>),
    /// It is not, for want of room: it has to come again.
    Not,
}

impl Taken {
    /// Waits for it. `false`: the batch has to come again.
    pub async fn settled(self) -> bool {
        match self {
            Self::Now => true,
            Self::Soon(written) => written.await.is_ok(),
            Self::Not => false,
        }
    }
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

impl EventCounters {
    pub fn register(&self, metrics: &Metrics) {
        let told = "What SDKs told of evaluations, by flag and variant";
        metrics.register("exposures", told, self.exposures.clone());
        metrics.register("measurements", "What SDKs measured", self.measurements.clone());
        metrics.register("event_batches_repeated", "Batches that came again", self.repeated.clone());
        metrics.register("events_dropped", "Events that SDKs had no room for", self.dropped.clone());
        let unknown = "Exposures of flags or variants that the key does not open";
        metrics.register("exposures_unknown", unknown, self.unknown.clone());
        let refused = "Batches that there was no room for: their clients repeat them";
        metrics.register("event_batches_refused", refused, self.refused.clone());
        metrics.register("event_log_bytes", "What was written to the event log", self.logged_bytes.clone());
        let unwritten = "Times that the event log could not be written: clients repeat their batches";
        metrics.register("event_log_failures", unwritten, self.unwritten.clone());
    }
}

impl Streams {
    /// Takes a batch of events from a client of the hub's environment. One that came before counts no more. `whom`: the targeting key
    /// that the client evaluates for, where it does for one only.
    ///
    /// # Errors
    /// [`AppError::Invalid`] where the batch is larger than allowed, or cannot be what an SDK sends.
    pub async fn take_events(
        &self,
        hub: &Hub,
        key: &SdkPrincipal,
        whom: Option<&str>,
        batch: &EventBatch,
    ) -> Result<Taken, AppError> {
        check(batch)?;
        let labels = labels(&hub.environment);
        let hash = batch_hash(&key.key, &batch.id);
        let known = hub.batches.note(hash);
        if known != Known::New {
            self.counters.events.repeated.get_or_create(&labels).inc();
        }
        if known == Known::Taken {
            return Ok(Taken::Now);
        }
        let front = hub.front().await;
        let ruleset = &front.compiled.ruleset;
        let counts = |exposure: &Exposure| is_known(ruleset, key.kind, exposure);
        if known == Known::New {
            self.count(&labels, batch, counts);
            let now = self.app.clock.now();
            self.app.traffic.note(&hub.environment, batch, counts, now);
            self.app.insights.note(&hub.environment, batch, counts, |exposure| known_rule(ruleset, exposure), now);
        }
        let watching = hub.watching();
        if watching.is_empty() {
            hub.batches.taken(hash);
            return Ok(Taken::Now);
        }
        let scope = hub.environment.scope();
        let sender = Sender { environment: &scope, batch: hash, targeting_key: whom };
        let now = self.app.clock.now();
        let is_new = |flag: &str, rollout: &str, exposed| {
            // Each step is another version: what was kept before says nothing of it. Limits ask who was there lately.
            let version = ruleset.outline(flag).map_or(0, Outline::version);
            let stretch = now.0.div_euclid(STRETCH_MS).unsigned_abs();
            hub.batches.is_new(rollout, (version, stretch), exposed)
        };
        let kept = watching.reduce(sender, batch, |exposure| counts(exposure) && !is_late(ruleset, exposure), is_new);
        let Ok(written) = self.intake.take(&kept, &hub.batches) else {
            self.counters.events.refused.get_or_create(&labels).inc();
            // What it was thought to have kept, it has not.
            hub.batches.forget_exposures();
            return Ok(Taken::Not);
        };
        Ok(Taken::Soon(written))
    }

    /// For people.
    fn count(&self, labels: &EnvironmentLabels, batch: &EventBatch, counts: impl Fn(&Exposure) -> bool) {
        let counters = &self.counters.events;
        for exposure in &batch.exposures {
            if counts(exposure) {
                let labels = ExposureLabels {
                    project: labels.project.clone(),
                    environment: labels.environment.clone(),
                    flag: exposure.flag.clone(),
                    variant: exposure.variant.clone().unwrap_or_default(),
                };
                counters.exposures.get_or_create(&labels).inc_by(exposure.count);
            } else {
                counters.unknown.get_or_create(labels).inc_by(exposure.count);
            }
        }
        counters.measurements.get_or_create(labels).inc_by(batch.measurements.len() as u64);
        counters.dropped.get_or_create(labels).inc_by(batch.dropped);
    }

    /// Writes what was taken to the event log, until the end.
    pub(super) async fn write_events(self: Arc<Self>) {
        loop {
            let is_over = tokio::select! {
                biased;
                () = self.intake.wanted.notified() => false,
                () = self.shutdown.cancelled() => true,
            };
            if is_over {
                self.intake.close();
            }
            self.write_pending().await;
            if is_over {
                return;
            }
            // What comes meanwhile goes with the next.
            let pause = self.settings.write_events;
            if pause > Duration::ZERO {
                let _ = self.shutdown.run_until_cancelled(sleep(pause)).await;
            }
        }
    }

    async fn write_pending(&self) {
        let Some(flush) = self.intake.flush() else { return };
        let n_bytes: usize = flush.entries.iter().map(Vec::len).sum();
        match self.app.store.append_events(&flush.entries, self.app.clock.now()).await {
            Ok(()) => {
                self.counters.events.logged_bytes.inc_by(n_bytes as u64);
                flush.written();
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "events cannot be written");
                self.counters.events.unwritten.inc();
                flush.lost();
            }
        }
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

/// The rule that served, where the flag has it.
fn known_rule<'e>(ruleset: &Ruleset, exposure: &'e Exposure) -> Option<&'e str> {
    let rule = exposure.rule.as_deref()?;
    ruleset.outline(&exposure.flag)?.rule_ids().any(|id| id == rule).then_some(rule)
}

/// Whether something else than a draw decided, at a version that is not in force any more: the draw of the step that began may decide now.
fn is_late(ruleset: &Ruleset, exposure: &Exposure) -> bool {
    let version = ruleset.outline(&exposure.flag).map_or(0, Outline::version);
    exposure.bucket.is_none() && (1..version).contains(&exposure.version)
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

//! What is counted of the rollouts that go on: events come in as SDKs send them, and the controller looks at the sums.

use std::collections::HashMap;

use dashmap::DashMap;
use tidegate_core::{Timestamp, VariantKey, bucket::Seed};
use tidegate_protocol::events::{EventBatch, Exposure, UnitHash};
use tidegate_rollout::{Arms, Exposed, Judgement, Observation, Plan, Status, Tally, judge};

use super::rollouts::Rollout;
use crate::ports::store::EnvironmentId;

const HOUR_MS: i64 = 3_600_000;

/// The rollouts that this process watches, by environment and flag.
#[derive(Debug, Default)]
pub struct Watches(DashMap<EnvironmentId, HashMap<String, Watch>>);

/// What is counted of one rollout.
#[derive(Debug)]
struct Watch {
    /// The rollout's id.
    rollout: String,
    variant: VariantKey,
    seed: Seed,
    step: Option<usize>,
    /// Whether a rule serves the variant to segments by now.
    has_segments: bool,
    tally: Tally,
    /// Since when it is counted.
    since: Timestamp,
    n_hours: i64,
    heard_at: Option<Timestamp>,
    n_told: u64,
    n_dropped: u64,
    last: Option<Look>,
}

/// What the controller saw when it looked last.
#[derive(Clone, Debug)]
pub struct Look {
    /// When.
    pub at: Timestamp,
    /// What each gate says.
    pub judgements: Vec<Judgement>,
    /// The compared units seen at this step.
    pub seen: Arms,
    /// What it decided, and why.
    pub plan: Plan,
}

/// What only the servers' streams know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// How many connected SDKs do not have the newest revision yet.
    pub n_behind: u64,
    /// Whether SDKs may be connected to other servers, whose events are not counted here.
    pub elsewhere: bool,
}

impl Watches {
    /// Counts what is in the batch, of the exposures only those that `counts`. They come first, so that what is measured of the same
    /// units finds them.
    pub fn take(
        &self,
        environment: &EnvironmentId,
        batch: &EventBatch,
        counts: impl Fn(&Exposure) -> bool,
        now: Timestamp,
    ) {
        let Some(mut watches) = self.0.get_mut(environment) else { return };
        for exposure in &batch.exposures {
            let Some(watch) = watches.get_mut(&exposure.flag).filter(|_| counts(exposure)) else { continue };
            watch.n_told += exposure.count;
            watch.heard_at = Some(now);
            let Exposure { unit, bucket, .. } = *exposure;
            // Without segments, what has no bucket comes from clients that are served values, and says nothing of an arm.
            if let Some(UnitHash(unit)) = unit.filter(|_| bucket.is_some() || watch.has_segments) {
                let treated = exposure.variant.as_deref() == Some(watch.variant.as_str());
                watch.tally.expose(Exposed { unit, bucket, treated }, now);
            }
        }
        for watch in watches.values_mut() {
            watch.n_dropped += batch.dropped;
            for measurement in &batch.measurements {
                if let Some(UnitHash(unit)) = measurement.unit {
                    watch.tally.measure(unit, &measurement.metric, measurement.value, now);
                }
            }
        }
    }

    /// The bucket of a targeting key in the flag's rollout, where there is one.
    pub fn bucket(&self, environment: &EnvironmentId, flag: &str, targeting_key: &str) -> Option<u32> {
        self.0.get(environment)?.get(flag).map(|watch| watch.seed.bucket(targeting_key))
    }

    /// Counts for the rollout from now on, where it is not counted for yet, at the step where it is. Returns what was seen so far;
    /// `is_off`: whether the flag is killed or disabled.
    pub fn look(
        &self,
        environment: &EnvironmentId,
        id: &str,
        rollout: &Rollout,
        is_off: bool,
        reach: Reach,
        now: Timestamp,
    ) -> Observation {
        let mut watches = self.0.entry(environment.clone()).or_default();
        let known = watches.get(rollout.flag.as_str()).is_some_and(|watch| watch.rollout == id);
        if !known {
            watches.insert(rollout.flag.as_str().to_owned(), Watch::new(id, rollout, now));
        }
        let Some(watch) = watches.get_mut(rollout.flag.as_str()) else { unreachable!("it was just put there") };
        watch.follow(rollout, &rollout.status, now);
        watch.tally.pass(now);
        Observation {
            watched_since: watch.since,
            n_behind: reach.n_behind,
            elsewhere: reach.elsewhere,
            is_off,
            heard_at: watch.heard_at,
            lost: watch.lost(),
            entered: watch.tally.entered(),
            seen: watch.tally.seen(),
            judgements: judge(rollout.spec.gates(), &watch.tally),
            frozen_until: None,
            turn_of: None,
        }
    }

    /// Keeps what the controller saw and decided, for people to read.
    pub fn keep(&self, environment: &EnvironmentId, id: &str, rollout: &Rollout, look: Look) {
        let Some(mut watches) = self.0.get_mut(environment) else { return };
        let Some(watch) = watches.get_mut(rollout.flag.as_str()).filter(|watch| watch.rollout == id) else { return };
        watch.follow(rollout, &look.plan.status, look.at);
        watch.last = Some(look);
    }

    /// What the controller saw when it looked last; `None`: it has not looked in this process.
    pub fn last(&self, environment: &EnvironmentId, id: &str, rollout: &Rollout) -> Option<Look> {
        let watches = self.0.get(environment)?;
        watches.get(rollout.flag.as_str()).filter(|watch| watch.rollout == id)?.last.clone()
    }

    /// Forgets the environment's rollouts but these.
    pub fn retain(&self, environment: &EnvironmentId, ids: &[String]) {
        if let Some(mut watches) = self.0.get_mut(environment) {
            watches.retain(|_, watch| ids.contains(&watch.rollout));
        }
        self.0.remove_if(environment, |_, watches| watches.is_empty());
    }
}

impl Watch {
    fn new(id: &str, rollout: &Rollout, now: Timestamp) -> Self {
        Self {
            rollout: id.to_owned(),
            variant: rollout.variant.clone(),
            seed: Seed::new(&rollout.salt),
            step: None,
            has_segments: false,
            tally: Tally::new(rollout.spec.gates(), Tally::CAPACITY),
            since: now,
            n_hours: 0,
            heard_at: None,
            n_told: 0,
            n_dropped: 0,
            last: None,
        }
    }

    /// Goes to the step and hour where the rollout is.
    fn follow(&mut self, rollout: &Rollout, status: &Status, now: Timestamp) {
        if status.step != self.step
            && let Some(step) = status.step
        {
            self.step = status.step;
            self.has_segments = !rollout.spec.segments_at(step).is_empty();
            let share = rollout.spec.compared_share(step);
            if rollout.spec.is_a_a(step) {
                self.tally.begin_a_a(share);
            } else {
                self.tally.begin_step(share);
            }
        }
        let n_hours = now.0.saturating_sub(self.since.0) / HOUR_MS;
        if n_hours > self.n_hours {
            self.n_hours = n_hours;
            self.tally.begin_hour();
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a share, for people")]
    fn lost(&self) -> f64 {
        let all = self.n_told + self.n_dropped;
        if all == 0 { 0.0 } else { self.n_dropped as f64 / all as f64 }
    }
}

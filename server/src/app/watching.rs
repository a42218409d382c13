//! What each server has to know of the rollouts that go on in an environment, to keep what they count of its SDKs' events.

use std::collections::HashMap;

use tidegate_core::{
    VariantKey,
    bucket::Seed,
    config::{Distribution, Serve, Split},
};
use tidegate_protocol::events::{EventBatch, Exposure, Measurement, UnitHash};
use tidegate_rollout::Exposed;

use super::{
    App, documents,
    event_log::{Batch, Exposures, Measurements},
    model::FlagEnvironment,
    rollouts::{Rollout, rollout_id, rule_id},
};
use crate::ports::store::{Document, EnvironmentId, LiveObject, StoreError, TouchedKind};

/// The rollouts that go on in an environment, by flag.
#[derive(Clone, Debug, Default)]
pub struct Watching(HashMap<String, Watched>);

/// What is to be kept of a flag's exposures, and of measurements.
#[derive(Clone, Debug)]
struct Watched {
    under: Under,
    variant: VariantKey,
    seed: Seed,
    metrics: Vec<String>,
    /// Whether a rule serves the variant to segments, sooner or later.
    has_segments: bool,
}

/// The rollout that a flag is under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Under {
    /// Its id.
    rollout: String,
    /// Whether everybody has the variant, at the last step or for good: evaluations have no bucket any more.
    is_everybodys: bool,
    /// Whether the flag has prerequisites, targets or rules, which may decide before the rollout's draw does.
    has_others: bool,
}

/// Who sent a batch of events, and what is known of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sender<'s> {
    /// The environment's scope.
    pub environment: &'s str,
    /// Stands for the key and the batch's id.
    pub batch: u64,
    /// The targeting key of whom the client evaluates for, where there is one.
    pub targeting_key: Option<&'s str>,
}

impl Watching {
    /// Whether nothing is to be kept.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the rollout counts is to be kept, too.
    pub fn add(&mut self, under: Under, rollout: &Rollout) {
        let gates = rollout.spec.gates().iter();
        let metrics = gates.filter_map(|gate| Some(gate.events()?.metric.clone())).collect();
        let seed = Seed::new(&rollout.salt);
        let has_segments = rollout.spec.steps().iter().any(|step| !step.segments.is_empty());
        let watched = Watched { under, variant: rollout.variant.clone(), seed, metrics, has_segments };
        self.0.insert(rollout.flag.as_str().to_owned(), watched);
    }

    /// The bucket of a targeting key in the flag's rollout, where there is one and nothing else can have decided.
    pub fn bucket(&self, flag: &str, targeting_key: &str) -> Option<u32> {
        self.0.get(flag)?.bucket(targeting_key)
    }

    /// What is to be kept of a batch, of the exposures only those that `counts`; `is_new` is asked, by flag and
    /// rollout, whether an exposure says what was not kept yet.
    pub fn reduce<'b>(
        &'b self,
        sender: Sender<'b>,
        batch: &'b EventBatch,
        counts: impl Fn(&Exposure) -> bool,
        mut is_new: impl FnMut(&str, &str, Exposed) -> bool,
    ) -> Batch<'b> {
        let whom = sender.targeting_key.map(|key| (UnitHash::of(key), key));
        let mut exposures: Vec<Exposures<'b>> = Vec::new();
        for exposure in &batch.exposures {
            let Some(watched) = self.0.get(&exposure.flag).filter(|_| counts(exposure)) else { continue };
            let place = exposures.iter().position(|of| of.rollout == watched.under.rollout).unwrap_or_else(|| {
                exposures.push(Exposures { rollout: &watched.under.rollout, ..Exposures::default() });
                exposures.len() - 1
            });
            let Some(of_rollout) = exposures.get_mut(place) else { continue };
            of_rollout.told = of_rollout.told.saturating_add(exposure.count);
            // A client that is sent values knows of no buckets.
            let own = || whom.filter(|(unit, _)| exposure.unit == Some(*unit)).and_then(|(_, key)| watched.bucket(key));
            let treated = exposure.variant.as_deref() == Some(watched.variant.as_str());
            // Nobody is compared any more: any bucket says that the unit has the variant.
            let everybodys = (watched.under.is_everybodys && treated).then_some(0);
            let bucket = exposure.bucket.or_else(own).or(everybodys);
            if let Some(UnitHash(unit)) = exposure.unit.filter(|_| bucket.is_some() || watched.has_segments) {
                let exposed = Exposed { unit, bucket, treated };
                if is_new(&exposure.flag, &watched.under.rollout, exposed) {
                    of_rollout.exposed.push(exposed);
                }
            }
        }
        Batch {
            environment: sender.environment,
            id: sender.batch,
            dropped: batch.dropped,
            exposures,
            measurements: self.measurements(&batch.measurements),
        }
    }

    fn measurements<'b>(&self, all: &'b [Measurement]) -> Vec<Measurements<'b>> {
        let mut by_metric: Vec<Measurements<'b>> = Vec::new();
        for Measurement { metric, unit, value, .. } in all {
            let Some(UnitHash(unit)) = *unit else { continue };
            if let Some(of_metric) = by_metric.iter_mut().find(|of| of.metric == metric) {
                of_metric.measured.push((unit, *value));
            } else if self.0.values().any(|watched| watched.metrics.contains(metric)) {
                by_metric.push(Measurements { metric, measured: vec![(unit, *value)] });
            }
        }
        by_metric
    }
}

impl Watched {
    /// Where segments have the variant by a rule, or something of the flag may decide, nobody here knows what did: those for whom it did
    /// would be missed in one arm only.
    fn bucket(&self, targeting_key: &str) -> Option<u32> {
        let is_drawn = !self.has_segments && !self.under.has_others;
        is_drawn.then(|| self.seed.bucket(targeting_key))
    }
}

impl Under {
    /// Under a rollout that raises its share.
    pub fn rollout(id: &str) -> Self {
        Self { rollout: id.to_owned(), is_everybodys: false, has_others: false }
    }

    fn of(configuration: &Document) -> Option<Self> {
        // Most flags are under none: they are not worth parsing.
        let is_worth_it = ["\"rollout\"", "\"guard\""].iter().any(|field| configuration.body.contains(field));
        if configuration.archived || !is_worth_it {
            return None;
        }
        let FlagEnvironment { rollout, guard, prerequisites, targets, rules, default, .. } =
            documents::read(configuration).ok()?.body;
        let is_everybodys = rollout.is_none() || is_undivided(&default);
        let rollout = rollout.or(guard)?;
        let its_own = rule_id(&rollout);
        let has_others = !prerequisites.is_empty() || !targets.is_empty() || rules.iter().any(|it| it.id != its_own);
        Some(Self { rollout, is_everybodys, has_others })
    }
}

/// Whether it is one variant, drawn for everybody.
fn is_undivided(default: &Serve) -> bool {
    matches!(default, Serve::Distribution(Distribution { split: Split::Ranges(ranges), .. }) if ranges.len() == 1)
}

/// A flag that came under another rollout, or under none any more.
pub type Change = (String, Option<Under>);

impl Watching {
    /// Which of these objects came under another rollout, or under none.
    pub fn changes<'o>(
        &self,
        objects: impl IntoIterator<Item = (TouchedKind, &'o str, Option<&'o LiveObject>)>,
    ) -> Vec<Change> {
        let flags = objects.into_iter().filter(|(kind, ..)| *kind == TouchedKind::Flag);
        let moved = flags.map(|(_, flag, live)| {
            let configuration = live.and_then(|(_, configuration)| configuration.as_ref());
            (flag, configuration.and_then(Under::of))
        });
        let news = moved.filter(|(flag, under)| self.0.get(*flag).map(|known| &known.under) != under.as_ref());
        news.map(|(flag, under)| (flag.to_owned(), under)).collect()
    }
}

impl App {
    /// What is to be kept after these changes.
    pub async fn watching(
        &self,
        environment: &EnvironmentId,
        mut watching: Watching,
        changes: Vec<Change>,
    ) -> Result<Watching, StoreError> {
        for (flag, under) in changes {
            let document = match &under {
                Some(Under { rollout, .. }) => self.store.document(&rollout_id(environment, rollout)).await?,
                None => None,
            };
            // One that cannot be read counts nothing, and holds.
            let stored = document.and_then(|document| documents::read::<Rollout>(&document).ok());
            match (under, stored) {
                (Some(under), Some(stored)) => watching.add(under, &stored.body),
                _ => drop(watching.0.remove(&flag)),
            }
        }
        Ok(watching)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watching() -> Watching {
        let watched = Watched {
            under: Under::rollout("r1"),
            variant: VariantKey::new("on").unwrap(),
            seed: Seed::new("salt"),
            metrics: vec!["errors".to_owned()],
            has_segments: false,
        };
        Watching([("checkout".to_owned(), watched)].into())
    }

    fn exposure(flag: &str, variant: &str, key: &str, bucket: Option<u32>) -> Exposure {
        Exposure {
            flag: flag.to_owned(),
            variant: Some(variant.to_owned()),
            version: 1,
            unit: Some(UnitHash::of(key)),
            bucket,
            rule: None,
            count: 2,
            at: 0,
        }
    }

    #[test]
    fn what_rollouts_do_not_count_is_not_kept() {
        let watching = watching();
        let measurement = |metric: &str, unit| Measurement { metric: metric.to_owned(), unit, value: None, at: 0 };
        let batch = EventBatch {
            id: "b".to_owned(),
            exposures: vec![
                exposure("checkout", "on", "ada", Some(7)),
                exposure("checkout", "off", "bob", Some(99_000)),
                exposure("checkout", "off", "eve", None),
                exposure("other", "on", "ada", Some(7)),
            ],
            measurements: vec![
                measurement("errors", Some(UnitHash(5))),
                measurement("errors", None),
                measurement("other", Some(UnitHash(5))),
            ],
            dropped: 3,
        };
        let sender = Sender { environment: "shop/test", batch: 9, targeting_key: None };
        let kept = watching.reduce(sender, &batch, |_| true, |_, _, exposed| exposed.treated);
        let UnitHash(ada) = UnitHash::of("ada");
        let exposed = vec![Exposed { unit: ada, bucket: Some(7), treated: true }];
        let expected = Batch {
            environment: "shop/test",
            id: 9,
            dropped: 3,
            exposures: vec![Exposures { rollout: "r1", told: 6, exposed }],
            measurements: vec![Measurements { metric: "errors", measured: vec![(5, None)] }],
        };
        assert_eq!(kept, expected);
        assert!(watching.reduce(sender, &batch, |_| false, |_, _, _| true).exposures.is_empty());
    }

    #[test]
    fn the_bucket_of_whom_a_client_evaluates_for_is_known() {
        let watching = watching();
        let exposures = ["ada", "bob"].map(|key| exposure("checkout", "on", key, None)).to_vec();
        let batch = EventBatch { exposures, ..EventBatch::default() };
        let sender = Sender { targeting_key: Some("ada"), ..Sender::default() };
        let kept = watching.reduce(sender, &batch, |_| true, |_, _, _| true);
        let buckets: Vec<_> = kept.exposures[0].exposed.iter().filter_map(|exposed| exposed.bucket).collect();
        assert_eq!(buckets, [Seed::new("salt").bucket("ada")]);
        assert_eq!(watching.bucket("checkout", "ada"), Some(buckets[0]));
    }

    #[test]
    fn of_a_flag_that_is_only_watched_nobody_has_a_bucket() {
        let mut watching = watching();
        watching.0.get_mut("checkout").unwrap().under.is_everybodys = true;
        let exposures = ["on", "off"].map(|variant| exposure("checkout", variant, "ada", None)).to_vec();
        let batch = EventBatch { exposures, ..EventBatch::default() };
        let kept = watching.reduce(Sender::default(), &batch, |_| true, |_, _, _| true);
        let treated: Vec<_> = kept.exposures[0].exposed.iter().map(|exposed| exposed.treated).collect();
        assert_eq!((kept.exposures[0].told, treated), (4, vec![true]));
    }
}

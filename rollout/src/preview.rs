//! What a rollout will be able to see, before it starts.

use serde::Serialize;
use tidegate_core::bucket::BUCKETS;

use crate::{
    evidence::{
        BetaBinomial, Estimate, HOLD, Histogram, MeanDifference, QuantileShift, ROLL_BACK, ln_beta_inc, null_share,
    },
    gate::{self, ALPHA, ALPHA_PROOF, MIN_EFFECTIVE, MIN_UNITS, N_OPT, N_OPT_MEAN, N_OPT_QUANTILE},
    simulation::Baseline,
    spec::{Direction, EventGate, Spec, Step, Test},
    tally::Tally,
};

/// What is to be expected of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = StepPreview))]
#[serde(rename_all = "camelCase")]
pub struct StepPreview {
    /// Its share.
    pub share: u32,
    /// How long it takes where no gate is against it, in milliseconds: its bake, and what gates wait for. Absent: it never ends, as there is no
    /// traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// How many units have the new variant for the first time in it.
    pub units: f64,
    /// What its gates can find by its end; empty where nobody is compared.
    pub gates: Vec<GatePreview>,
}

/// What a gate can find by the end of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = GatePreview))]
#[serde(rename_all = "camelCase")]
pub struct GatePreview {
    /// Its key.
    pub gate: String,
    /// To how many units in both arms it will have happened since the rollout began, or how many will be counted, where nothing changes.
    pub events: f64,
    /// From how many times as much as in control on it finds harm in four of five rollouts by then; absent: it finds none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detectable: Option<f64>,
}

/// What is found in half of the rollouts by a look at the end of a step is found in about four of five by all looks until then. Found
/// by simulation, and held there by a test.
const AT_THE_END: f64 = 0.5;

/// What is to be expected of each step, with so many new units a minute, and what each gate watches as it is now, in the order of the
/// spec's gates.
pub fn preview(spec: &Spec, units_per_minute: f64, baselines: &[Baseline]) -> Vec<StepPreview> {
    let weights = gate::weights(spec.gates());
    let mut n_before = 0.0;
    let previews = spec.steps().iter().enumerate().map(|(step_idx, step)| {
        let share = spec.compared_share(step_idx);
        let compared = f64::from(share.min(BUCKETS.saturating_sub(share))) / f64::from(BUCKETS);
        let asked = spec.gates().iter().zip(baselines).filter(|(gate, _)| spec.asks(step_idx, &gate.key));
        let gates = asked.filter_map(|(gate, baseline)| {
            let events = gate.events()?;
            Some(Compared { key: &gate.key, gate: events, baseline: *baseline, part: events.weight / weights })
        });
        let gates: Vec<_> = gates.filter(|_| compared > 0.0).collect();
        let per_ms = units_per_minute * compared / 60_000.0;
        let is_a_a = spec.is_a_a(step_idx);
        let waits = gates.iter().map(|gate| gate.wait_ms(n_before, per_ms, is_a_a));
        let duration_ms = waits.fold(least_ms(step, per_ms, gates.is_empty()), f64::max);
        let by_end = |gate: &Compared| gate.preview(n_before, per_ms, duration_ms);
        let found = if is_a_a || duration_ms.is_infinite() { Vec::new() } else { gates.iter().map(by_end).collect() };
        if !is_a_a {
            n_before += per_ms * duration_ms;
        }
        // Of one that never ends, what its bake exposes.
        let told_ms = if duration_ms.is_finite() { duration_ms } else { ms(step.bake_ms) };
        StepPreview {
            share: step.share,
            duration_ms: duration_ms.is_finite().then(|| whole(duration_ms)),
            units: units_per_minute / 60_000.0 * f64::from(step.share) / f64::from(BUCKETS) * told_ms,
            gates: found,
        }
    });
    previews.collect()
}

/// The bake, and the units that it needs of each arm.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn least_ms(step: &Step, per_ms: f64, is_timed: bool) -> f64 {
    let bake_ms = step.bake_ms as f64;
    if is_timed { bake_ms } else { bake_ms.max(step.min_units.max(1) as f64 / per_ms) }
}

/// A gate on events, and what it watches.
#[derive(Clone, Copy)]
struct Compared<'a> {
    key: &'a str,
    gate: &'a EventGate,
    baseline: Baseline,
    /// Of the tolerated probability of an error.
    part: f64,
}

impl Compared<'_> {
    /// How long a step takes at least, with so many units in each arm before, and so many a millisecond in it.
    fn wait_ms(self, n_before: f64, per_ms: f64, is_a_a: bool) -> f64 {
        let Baseline { rate, .. } = self.baseline;
        match self.gate.test {
            Test::Happened { .. } => match self.gate.proof.filter(|_| !is_a_a) {
                Some(ratio) => ((events_of_proof(ratio) / (2.0 * rate) - n_before) / per_ms).max(0.0),
                None => 0.0,
            },
            Test::Mean { within_ms } | Test::Ratio { within_ms } => {
                let effective = MIN_EFFECTIVE / 2.0 * self.spread_of_values() / rate;
                ms(within_ms) + effective.max(float(MIN_UNITS)) / per_ms
            }
            Test::Quantile { .. } => float(MIN_UNITS) / rate / per_ms,
        }
    }

    fn preview(self, n_before: f64, per_ms: f64, duration_ms: f64) -> GatePreview {
        let observed_ms = match self.gate.test {
            Test::Mean { within_ms } | Test::Ratio { within_ms } => (duration_ms - ms(within_ms)).max(0.0),
            _ => duration_ms,
        };
        let n = n_before + per_ms * observed_ms;
        let events = match self.gate.test {
            Test::Mean { .. } | Test::Ratio { .. } => 2.0 * n,
            _ => 2.0 * n * self.baseline.rate,
        };
        GatePreview { gate: self.key.to_owned(), events, detectable: self.detectable(n) }
    }

    /// The effect nearest to none that is found, with so many units in each arm.
    fn detectable(self, n: f64) -> Option<f64> {
        // As its distance from the margin, in logarithms.
        let effect = |distance: f64| match self.gate.worse {
            Direction::Up => (1.0 + self.gate.margin) * distance.exp(),
            Direction::Down => (1.0 - self.gate.margin) * (-distance).exp(),
        };
        let is_found = |distance: f64| self.is_found(n, effect(distance));
        let (mut low, mut high) = (0.0, 5.0);
        if !is_found(high) {
            return None;
        }
        for _ in 0..30 {
            let middle = f64::midpoint(low, high);
            if is_found(middle) {
                high = middle;
            } else {
                low = middle;
            }
        }
        let effect = effect(high);
        let is_share = matches!(self.gate.test, Test::Happened { .. });
        (!is_share || effect * self.baseline.rate <= 1.0).then_some(effect)
    }

    fn is_found(self, n: f64, effect: f64) -> bool {
        // What the first window is given of the tolerated error.
        let needed = ROLL_BACK - self.part.ln() - Tally::FIRST.ln();
        let Baseline { rate, spread } = self.baseline;
        let allowed = match self.gate.worse {
            Direction::Up => 1.0 + self.gate.margin,
            Direction::Down => 1.0 - self.gate.margin,
        };
        match self.gate.test {
            Test::Happened { .. } => {
                let worse = if self.gate.worse == Direction::Up { effect } else { 1.0 / effect };
                let allowed = if self.gate.worse == Direction::Up { allowed } else { 1.0 / allowed };
                let process = BetaBinomial::new(null_share(allowed, 0.5), N_OPT, ALPHA);
                let n_events = whole(n * rate * (1.0 + effect));
                is_reached(&process, n_events, null_share(worse, 0.5), needed)
            }
            Test::Mean { .. } | Test::Ratio { .. } => {
                // A unit's total is nothing, or lognormal.
                let variance = self.spread_of_values() / rate - 1.0;
                let of = |mean: f64| Estimate { n, value: mean, variance: mean * mean * variance / n };
                let (treatment, control) = (of(effect), of(1.0).times(allowed));
                let worse = Estimate { value: control.value + (effect - allowed).abs(), ..treatment };
                n * rate >= MIN_EFFECTIVE / 2.0
                    && MeanDifference::new(&control, &worse).ln_evidence(N_OPT_MEAN, ALPHA) >= needed
            }
            Test::Quantile { quantile } => {
                let ratio = if self.gate.worse == Direction::Up { allowed } else { 1.0 / allowed };
                let shift = QuantileShift::new(quantile, ratio - 1.0, N_OPT_QUANTILE, ALPHA);
                let of = |median: f64| Histogram::lognormal(n * rate, median, spread);
                let (treatment, control) = (of(effect), of(1.0));
                let found = match self.gate.worse {
                    Direction::Up => shift.ln_evidence(&control, &treatment, f64::NEG_INFINITY),
                    Direction::Down => shift.ln_evidence(&treatment, &control, f64::NEG_INFINITY),
                };
                found >= needed
            }
        }
    }

    /// The mean of the squares of lognormal values, by the square of their mean.
    fn spread_of_values(self) -> f64 {
        (self.baseline.spread * self.baseline.spread).exp()
    }
}

/// Whether the evidence is reached in as many rollouts as are asked for, by `n` events of which each is worse with that chance.
fn is_reached(process: &BetaBinomial, n: u64, chance: f64, needed: f64) -> bool {
    let (mut below, mut least) = (0, n + 1);
    while below + 1 < least {
        let middle = u64::midpoint(below, least);
        if process.ln_evidence(middle, n) >= needed {
            least = middle;
        } else {
            below = middle;
        }
    }
    // As many or more of a binomial distribution are an incomplete beta function.
    least <= n && ln_beta_inc(float(least), float(n - least + 1), chance) >= AT_THE_END.ln()
}

/// Half of the releases that change nothing are proved to happen to less than `ratio` times as many units with so many events.
fn events_of_proof(ratio: f64) -> f64 {
    let process = BetaBinomial::new(null_share(1.0 / ratio, 0.5), N_OPT, ALPHA_PROOF);
    let (mut low, mut high) = (1, 10_000_000_u64);
    while low + 1 < high {
        let middle = u64::midpoint(low, high);
        if process.ln_evidence(middle / 2, middle) >= HOLD {
            high = middle;
        } else {
            low = middle;
        }
    }
    float(high)
}

fn ms(ms: u64) -> f64 {
    float(ms)
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and cut to what there is")]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Gate, OnHarm,
        simulation::{Metric, Release, World, simulate},
    };

    fn spec(gate: EventGate) -> Spec {
        let steps = [10_000, 25_000, 50_000, BUCKETS].map(|share| Step::new(share, 900_000));
        Spec::new(steps.to_vec(), vec![Gate::on_events("m", gate)], OnHarm::RollBack).unwrap()
    }

    const HAPPENED: Test = Test::Happened { above: None };
    const MEAN: Test = Test::Mean { within_ms: 60_000 };
    const P95: Test = Test::Quantile { quantile: 0.95 };

    /// What is said to be found by the end of the third step in four of five rollouts is found in about as many.
    #[track_caller]
    fn check(test: Test, worse: Direction, baseline: Baseline) {
        let spec = spec(EventGate { test, worse, ..EventGate::named("m") });
        let step = preview(&spec, 300.0, &[baseline]).remove(2);
        let effect = step.gates[0].detectable.unwrap();
        let metrics = vec![Metric { baseline, effect }];
        let release =
            Release { units_per_minute: 300.0, metrics, begins_ms: 0, ends_ms: None, world: World::default() };
        let found = simulate(&spec, &release, 60, 7).n_rolled_back;
        assert!((38..=56).contains(&found), "{test:?} {worse:?} {effect}: {found} of 60");
    }

    #[test]
    fn what_is_said_to_be_found_is_found() {
        let of = |rate, spread| Baseline { rate, spread };
        check(HAPPENED, Direction::Up, of(0.01, 0.0));
        check(HAPPENED, Direction::Down, of(0.05, 0.0));
        check(MEAN, Direction::Up, of(1.0, 1.0));
        check(MEAN, Direction::Down, of(0.1, 1.0));
        check(P95, Direction::Up, of(1.0, 0.5));
        check(P95, Direction::Up, of(0.5, 1.0));
    }

    #[test]
    fn a_step_takes_as_long_as_its_gates_need() {
        let minutes = |gate: EventGate, units_per_minute, rate| -> Vec<_> {
            let baseline = Baseline { rate, spread: 0.5 };
            preview(&spec(gate), units_per_minute, &[baseline])
                .iter()
                .map(|step| step.duration_ms.map(|ms| ms / 60_000))
                .collect()
        };
        let errors = EventGate::named("m");
        let bakes = vec![Some(15); 4];
        assert_eq!(minutes(errors.clone(), 600.0, 0.01), bakes);
        assert_eq!(minutes(errors.clone(), 0.0, 0.01), [None, None, None, Some(15)]);
        assert_eq!(minutes(errors.clone(), 0.1, 0.01), [Some(100), Some(40), Some(20), Some(15)]);
        // 100 units in each arm, and ten minutes to watch the last.
        let mean = EventGate { test: Test::Mean { within_ms: 600_000 }, ..errors.clone() };
        assert_eq!(minutes(mean, 60.0, 1.0), [Some(26), Some(16), Some(15), Some(15)]);
        assert_eq!(
            minutes(EventGate { test: P95, ..errors.clone() }, 60.0, 0.5),
            [Some(33), Some(15), Some(15), Some(15)]
        );
        // Some 60 events, at 1.2 a minute; then it is proved.
        let proof = minutes(EventGate { proof: Some(2.0), ..errors }, 600.0, 0.01);
        assert!(proof[0].is_some_and(|minutes| (40..70).contains(&minutes)) && proof[1..] == bakes[1..], "{proof:?}");
    }

    #[test]
    fn more_traffic_and_later_steps_find_less() {
        for (test, rate) in [(HAPPENED, 0.05), (MEAN, 0.5), (P95, 0.9)] {
            let gate = spec(EventGate { test, ..EventGate::named("m") });
            let of = |units_per_minute| {
                let steps = preview(&gate, units_per_minute, &[Baseline { rate, spread: 0.7 }]);
                let found = |step: &StepPreview| step.gates.first().and_then(|gate| gate.detectable);
                steps.iter().map(found).collect::<Vec<_>>()
            };
            let (some, more) = (of(600.0), of(6_000.0));
            assert!(some[0] > some[1] && some[1] > some[2] && some[3].is_none(), "{test:?} {some:?}");
            assert!((0..3).all(|step| more[step] < some[step] && more[step] > Some(1.1)), "{test:?} {more:?}");
        }
    }
}

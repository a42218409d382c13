//! What is counted of an attempt: who was exposed, and to whom things happened.

use std::collections::HashMap;

use serde::Serialize;
use tidegate_core::bucket::BUCKETS;

use crate::spec::{Gate, Test};

/// A count of each arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutArms))]
#[serde(rename_all = "camelCase")]
pub struct Arms {
    /// Of those who have the new variant.
    pub treatment: u64,
    /// Of those who are compared with them.
    pub control: u64,
}

/// What a unit was served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// A hash of its key.
    pub unit: u64,
    /// Its bucket under the rollout's salt, 0 to 99,999.
    pub bucket: u32,
    /// Whether it was served the new variant.
    pub treated: bool,
}

/// The units of an attempt, and what happened to them: each counts once, whatever it does often.
///
/// **Arms.** Compared are the units below `c` and those from `100,000 − c`, where `c` is the share, or what is left of everybody
/// where that is less. So the arms are of one size at every step, nobody is ever moved from one to the other, and the compared
/// share of treatment is ½ throughout. At 100 % nobody is left to compare with.
///
/// **Windows.** A clean past must not drown what begins late: what happens is counted from the start of each step, and from
/// each full hour, anew; in each of these windows a unit counts once.
///
/// **Bounds.** Of more units than there is room for, a sample is kept, by a hash: no arm is preferred. Per unit about 30 bytes, and
/// two for each gate.
#[derive(Clone, Debug)]
pub struct Tally {
    watched: Vec<Watched>,
    capacity: usize,
    /// Only units whose mixed hash ends in so many zeros are kept.
    n_zeros: u32,
    share: u32,
    /// Whether the arms both have the old variant.
    is_a_a: bool,
    step: u16,
    /// Steps that were not A/A bakes.
    n_steps: u16,
    index: HashMap<u64, u32>,
    units: Vec<Unit>,
    /// For each unit and gate: how many windows there were when it last happened.
    last: Vec<u16>,
    windows: Vec<Window>,
    n_hours: usize,
    /// Units by arm, each when it was first seen.
    entered: Arms,
    /// Units by arm that were seen at this step.
    seen: Arms,
    /// Units with the new variant that were seen at this step, compared or not.
    treated: u64,
    unexposed: u64,
}

/// What of a gate is counted.
#[derive(Clone, Debug)]
struct Watched {
    /// `None`: nothing is.
    metric: Option<String>,
    above: Option<f64>,
}

impl Watched {
    fn of(gate: &Gate) -> Self {
        let events = gate.events();
        let above = events.and_then(|gate| match gate.test {
            Test::Happened { above } => above,
            _ => None,
        });
        Self { metric: events.map(|gate| gate.metric.clone()), above }
    }
}

#[derive(Clone, Copy, Debug)]
struct Unit {
    bucket: u32,
    /// The last step that saw it, from 1.
    step: u16,
}

/// A time from which on each unit counts anew.
#[derive(Clone, Debug)]
struct Window {
    is_step: bool,
    weight: f64,
    /// By gate.
    met: Vec<Met>,
}

/// How many units something happened to, within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// Of those who are compared.
    pub compared: Arms,
    /// Of all who have the new variant.
    pub treated: u64,
}

/// What a gate has to go by, of one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counted {
    /// The window's part of the tolerated probability of an error; those of all windows add up to at most 1.
    pub weight: f64,
    /// How many units it happened to.
    pub met: Met,
}

impl Tally {
    /// How many units are kept at most, if nothing else is said.
    pub const CAPACITY: usize = 1_000_000;

    /// The weight of the first window: most harm begins with the rollout, and should be found as if nothing else were looked at.
    const FIRST: f64 = 0.8;

    /// The steps after the first share as much, and so do the hours of a week.
    const LATER: f64 = 0.1;

    /// A week of hours.
    const MAX_HOURS: usize = 168;

    const HOUR: f64 = Self::LATER / 168.0;

    /// Counts for these gates; nobody is exposed yet. Keeps at most `capacity` units.
    pub fn new(gates: &[Gate], capacity: usize) -> Self {
        let watched = gates.iter().map(Watched::of).collect();
        Self {
            watched,
            capacity: capacity.max(1),
            n_zeros: 0,
            share: 0,
            is_a_a: false,
            step: 0,
            n_steps: 0,
            index: HashMap::new(),
            units: Vec::new(),
            last: Vec::new(),
            windows: Vec::new(),
            n_hours: 0,
            entered: Arms::default(),
            seen: Arms::default(),
            treated: 0,
            unexposed: 0,
        }
    }

    /// A step with that share begins. What was counted in an A/A bake says nothing of the variant, and is forgotten; who was seen is not.
    pub fn begin_step(&mut self, share: u32) {
        if std::mem::take(&mut self.is_a_a) {
            self.windows.clear();
            self.last.fill(0);
        }
        let weight = match self.n_steps {
            0 => Self::FIRST,
            step => Self::LATER * 0.5_f64.powi(i32::from(step)),
        };
        self.n_steps += 1;
        self.begin(share, weight);
    }

    /// An A/A bake begins: both arms that the share will have are served the old variant.
    pub fn begin_a_a(&mut self, share: u32) {
        self.is_a_a = true;
        self.begin(share, Self::FIRST);
    }

    fn begin(&mut self, share: u32, weight: f64) {
        self.share = share;
        self.step += 1;
        self.seen = Arms::default();
        self.treated = 0;
        self.open(true, weight);
    }

    /// A full hour of the attempt begins. After a week of them, no more windows are opened for hours.
    pub fn begin_hour(&mut self) {
        if self.n_hours < Self::MAX_HOURS {
            self.n_hours += 1;
            self.open(false, Self::HOUR);
        }
    }

    fn open(&mut self, is_step: bool, weight: f64) {
        self.windows.push(Window { is_step, weight, met: vec![Met::default(); self.watched.len()] });
    }

    /// A unit was served. What was served under another share than the present one, and shows it, is not counted.
    pub fn expose(&mut self, exposed: Exposed) {
        let (treated, control) = (exposed.bucket < self.share, self.is_control(exposed.bucket));
        if exposed.treated != (treated && !self.is_a_a) || !(treated || control) || !self.is_kept(exposed.unit) {
            return;
        }
        let known = self.index.get(&exposed.unit).copied();
        let Some(place) = known.or_else(|| self.enter(exposed, treated)) else { return };
        let step = self.step;
        let compared = self.is_compared(exposed.bucket);
        let Some(unit) = self.units.get_mut(place as usize) else { return };
        if std::mem::replace(&mut unit.step, step) != step {
            self.treated += u64::from(treated);
            if compared {
                *arm(&mut self.seen, treated) += 1;
            }
        }
    }

    /// Something was measured of a unit. Of units that nobody exposed, nothing is counted but that.
    pub fn measure(&mut self, unit: u64, metric: &str, value: Option<f64>) {
        if !self.is_kept(unit) {
            return;
        }
        let Some(place) = self.index.get(&unit).map(|place| *place as usize) else {
            self.unexposed += 1;
            return;
        };
        let Some(bucket) = self.units.get(place).map(|unit| unit.bucket) else { return };
        let (treated, compared) = (bucket < self.share, self.is_compared(bucket));
        let n_gates = self.watched.len();
        let n_windows = self.windows.len();
        for (gate, watched) in self.watched.iter().enumerate() {
            if watched.metric.as_deref() != Some(metric)
                || watched.above.is_some_and(|above| !value.is_some_and(|value| value > above))
            {
                continue;
            }
            let Some(last) = self.last.get_mut(place * n_gates + gate) else { continue };
            // In each window that was opened since it last happened, it is the unit's first time.
            for window in self.windows.iter_mut().skip(usize::from(*last)) {
                let Some(met) = window.met.get_mut(gate) else { continue };
                met.treated += u64::from(treated);
                if compared {
                    *arm(&mut met.compared, treated) += 1;
                }
            }
            *last = u16::try_from(n_windows).unwrap_or(u16::MAX);
        }
    }

    /// What a gate has to go by: each window.
    pub fn counted(&self, gate: usize) -> impl Iterator<Item = Counted> {
        self.windows
            .iter()
            .filter_map(move |window| Some(Counted { weight: window.weight, met: *window.met.get(gate)? }))
    }

    /// What happened since this step began.
    pub fn at_this_step(&self, gate: usize) -> Met {
        let window = self.windows.iter().rev().find(|window| window.is_step);
        window.and_then(|window| window.met.get(gate)).copied().unwrap_or_default()
    }

    /// The compared units, each counted when it was first seen in this attempt.
    pub fn entered(&self) -> Arms {
        self.entered
    }

    /// The compared units that were seen at this step.
    pub fn seen(&self) -> Arms {
        self.seen
    }

    /// All units with the new variant that were seen at this step.
    pub fn treated(&self) -> u64 {
        self.treated
    }

    /// Whether there is a control to compare with.
    pub fn has_control(&self) -> bool {
        self.compared_share() > 0
    }

    /// How often something was measured of a unit that nobody had exposed.
    pub fn unexposed(&self) -> u64 {
        self.unexposed
    }

    /// Where a new unit is kept; `None`: the sample has become one that it does not belong to.
    fn enter(&mut self, exposed: Exposed, treated: bool) -> Option<u32> {
        while self.units.len() >= self.capacity {
            self.thin_out();
        }
        if !self.is_kept(exposed.unit) {
            return None;
        }
        if self.is_compared(exposed.bucket) {
            *arm(&mut self.entered, treated) += 1;
        }
        let place = u32::try_from(self.units.len()).ok()?;
        self.index.insert(exposed.unit, place);
        self.units.push(Unit { bucket: exposed.bucket, step: 0 });
        self.last.resize(self.last.len() + self.watched.len(), 0);
        Some(place)
    }

    /// Forgets half of the units. What they did stays counted: who goes does not depend on it.
    fn thin_out(&mut self) {
        self.n_zeros += 1;
        let n_gates = self.watched.len();
        let mut kept: Vec<(u64, u32)> =
            self.index.drain().filter(|(unit, _)| is_sampled(*unit, self.n_zeros)).collect();
        kept.sort_unstable_by_key(|(_, place)| *place);
        let (mut units, mut last) = (Vec::with_capacity(kept.len()), Vec::with_capacity(kept.len() * n_gates));
        for (place, (unit, before)) in (0..).zip(kept) {
            let before = before as usize;
            units.extend(self.units.get(before));
            last.extend_from_slice(self.last.get(before * n_gates..(before + 1) * n_gates).unwrap_or_default());
            self.index.insert(unit, place);
        }
        (self.units, self.last) = (units, last);
    }

    fn is_kept(&self, unit: u64) -> bool {
        is_sampled(unit, self.n_zeros)
    }

    fn compared_share(&self) -> u32 {
        self.share.min(BUCKETS.saturating_sub(self.share))
    }

    fn is_control(&self, bucket: u32) -> bool {
        bucket >= BUCKETS - self.compared_share()
    }

    fn is_compared(&self, bucket: u32) -> bool {
        bucket < self.compared_share() || self.is_control(bucket)
    }
}

fn arm(arms: &mut Arms, treated: bool) -> &mut u64 {
    if treated { &mut arms.treatment } else { &mut arms.control }
}

/// Mixed, as the unit's bucket may come from a like hash.
fn is_sampled(unit: u64, n_zeros: u32) -> bool {
    let mixed = unit.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9).leading_zeros() >= n_zeros
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::EventGate;

    fn errors() -> Tally {
        let mut tally = Tally::new(&[Gate::named("errors")], Tally::CAPACITY);
        tally.begin_step(10_000);
        tally
    }

    /// The unit with that bucket is served as the share says.
    fn expose(tally: &mut Tally, bucket: u32) {
        tally.expose(Exposed { unit: u64::from(bucket), bucket, treated: bucket < tally.share });
    }

    fn compared(tally: &Tally) -> Vec<(u64, u64)> {
        tally.counted(0).map(|counted| (counted.met.compared.treatment, counted.met.compared.control)).collect()
    }

    #[test]
    fn the_ends_of_the_buckets_are_compared() {
        let mut tally = errors();
        for bucket in [0, 9_999, 10_000, 89_999, 90_000, 99_999] {
            expose(&mut tally, bucket);
            tally.measure(u64::from(bucket), "errors", None);
        }
        assert_eq!(tally.entered(), Arms { treatment: 2, control: 2 });
        assert_eq!((compared(&tally), tally.unexposed()), (vec![(2, 2)], 2));

        tally.begin_step(75_000);
        // Who was in an arm and is beyond its edge now counts in neither; a quarter is left on each side.
        for bucket in [0, 9_999, 30_000, 74_999, 75_000, 89_999] {
            expose(&mut tally, bucket);
        }
        assert_eq!((tally.seen(), tally.treated()), (Arms { treatment: 2, control: 2 }, 4));
        tally.begin_step(100_000);
        expose(&mut tally, 0);
        assert_eq!((tally.seen(), tally.treated(), tally.has_control()), (Arms::default(), 1, false));
    }

    #[test]
    fn a_unit_counts_once_in_each_window() {
        let mut tally = errors();
        expose(&mut tally, 5);
        for _ in 0..3 {
            tally.measure(5, "errors", None);
        }
        tally.begin_hour();
        tally.measure(5, "errors", None);
        tally.begin_step(20_000);
        tally.measure(5, "errors", None);
        tally.measure(5, "errors", None);
        assert_eq!(compared(&tally), [(1, 0), (1, 0), (1, 0)]);
        expose(&mut tally, 99_000);
        tally.measure(99_000, "errors", None);
        assert_eq!(compared(&tally), [(1, 1), (1, 1), (1, 1)], "first in all that are open");
        assert_eq!(tally.at_this_step(0).treated, 1);
        let weights: f64 = tally.counted(0).map(|counted| counted.weight).sum();
        assert!(weights <= 1.0);
    }

    #[test]
    fn what_another_share_served_is_not_counted() {
        let mut tally = errors();
        tally.expose(Exposed { unit: 1, bucket: 5, treated: false });
        tally.expose(Exposed { unit: 2, bucket: 95_000, treated: true });
        assert_eq!(tally.entered(), Arms::default());
    }

    #[test]
    fn only_values_above_count_where_the_gate_says_so() {
        let mut tally = Tally::new(
            &[Gate::on_events(
                "ms",
                EventGate { test: Test::Happened { above: Some(300.0) }, ..EventGate::named("ms") },
            )],
            Tally::CAPACITY,
        );
        tally.begin_step(50_000);
        for (bucket, value) in [(1, Some(300.0)), (2, Some(300.1)), (3, None), (4, Some(f64::NAN))] {
            expose(&mut tally, bucket);
            tally.measure(u64::from(bucket), "ms", value);
        }
        assert_eq!(compared(&tally), [(1, 0)]);
    }

    #[test]
    fn of_too_many_units_a_sample_is_kept() {
        let mut tally = Tally::new(&[Gate::named("errors")], 1_000);
        tally.begin_step(50_000);
        for bucket in 0..100_000 {
            expose(&mut tally, bucket);
            tally.measure(u64::from(bucket), "errors", None);
        }
        assert!((500..=1_000).contains(&tally.units.len()), "{}", tally.units.len());
        let Arms { treatment, control } = tally.entered();
        assert_eq!(compared(&tally), [(treatment, control)]);
        // 1,000 until the first is forgotten, and half of the rest each time.
        let n = treatment + control;
        assert!((2_000..10_000).contains(&n), "{n}");
        let before = tally.entered();
        for bucket in 0..100_000 {
            expose(&mut tally, bucket);
        }
        assert_eq!(tally.entered(), before, "nobody comes back");
    }
}

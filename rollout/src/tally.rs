//! What is counted of an attempt: who was exposed, to whom things happened, and how much.

use std::{
    collections::VecDeque,
    hash::{BuildHasher, RandomState},
};

use hashbrown::HashTable;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tidegate_core::{Timestamp, bucket::BUCKETS};

use crate::{
    evidence::{Histogram, Totals},
    spec::{Gate, Test},
};

/// A count of each arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Its bucket under the rollout's salt, 0 to 99,999; absent: something else decided, a segment's rule say. The unit is in neither arm
    /// from then on, whatever it was served: or one arm would lose units of a kind that the other keeps.
    pub bucket: Option<u32>,
    /// Whether it was served the new variant.
    pub treated: bool,
}

/// The units of an attempt, and what happened to them: each counts once, whatever it does often.
///
/// **Arms.** Compared are the units below `c` and those from `100,000 − c`, where `c` is the share, or what is left of everybody
/// where that is less. So the arms are of one size at every step, nobody is ever moved from one to the other, and the compared
/// share of treatment is ½ throughout. At 100 % nobody is left to compare with. In an A/A bake, treatment is who will be treated at the
/// next step.
///
/// **Windows.** A clean past must not drown what begins late: what happens is counted from the start of each step, and from
/// each full hour, anew; in each of these windows a unit counts once.
///
/// **Totals** are counted when the time in which a unit is observed is over: it begins with the unit's first exposure in a window. A unit has
/// one such time at once, so that a window that begins meanwhile has the unit's next.
///
/// **Limits** go by the units of treatment that were exposed within the last five to ten minutes, too: what breaks after days without an error
/// must not wait until it is much compared with those days.
///
/// **Bounds.** Of more units than there is room for, a sample is kept, by a hash: no arm is preferred. Per unit about 25 bytes, 2
/// more for each gate, 4 for each with a limit, 20 for each of means and ratios.
///
/// Serialized, it is what a server keeps over a restart.
#[derive(Clone, Debug)]
pub struct Tally {
    counts: Counts,
    /// The places of units by their hash.
    index: HashTable<u32>,
    hasher: RandomState,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    watched: Vec<Watched>,
    capacity: usize,
    /// Only units whose mixed hash ends in so many zeros are kept.
    n_zeros: u32,
    share: u32,
    /// Whether the arms both have the old variant.
    is_a_a: bool,
    step: u16,
    /// Steps at which somebody had the variant by their bucket.
    n_steps: u16,
    /// When time began to pass.
    origin: Option<Timestamp>,
    units: Vec<Unit>,
    /// For each unit and gate that counts events: how many windows there were when it last happened.
    last: Vec<u16>,
    /// For each unit and gate with a limit: the stretch in which it last happened.
    limited: Vec<u16>,
    /// The stretch of time that goes on, counted from 1.
    stretch: u16,
    /// What happened in it, and in the one before.
    lately: [Lately; 2],
    /// For each unit and gate that sums up.
    observed: Vec<Observed>,
    /// For each gate that sums up: the units that are observed, in the order in which it ends.
    waiting: Vec<VecDeque<u32>>,
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
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Watched {
    metric: String,
    what: What,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum What {
    /// Nothing: others ask.
    Nothing,
    /// To whom it happened, in this place among the last times, and among the limits.
    Happened { place: usize, above: Option<f64>, limit: Option<usize> },
    /// Each unit's first value, in this place among the last times.
    First { place: usize },
    /// Each unit's total within so many ticks, in this place among the observations.
    Total { place: usize, within: u32 },
}

/// Serialized as a list: there may be a million.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(from = "(u64, u32, u16, u16)", into = "(u64, u32, u16, u16)")]
struct Unit {
    hash: u64,
    bucket: u32,
    /// The last step that saw it, from 1.
    step: u16,
    /// The last stretch of time that saw it, from 1.
    stretch: u16,
}

/// What happened in a stretch of time.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lately {
    /// Units with the new variant that were exposed.
    treated: u64,
    /// To how many of them it happened, by gate with a limit.
    met: Vec<u64>,
}

/// How long a stretch of time takes for which limits count anew, in milliseconds; two are looked at.
pub const STRETCH_MS: i64 = 5 * 60_000;

/// The bucket of who has the new variant, whatever their bucket.
const RULED: u32 = u32::MAX;

/// The bucket of who has the old one, whatever their bucket.
const LEFT_OUT: u32 = u32::MAX - 1;

/// A unit while its total grows. Serialized as a list.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(from = "(u32, f32, u32, u16, u16)", into = "(u32, f32, u32, u16, u16)")]
struct Observed {
    /// The tick at which it began; 0: it does not go on.
    since: u32,
    total: f32,
    n: u32,
    /// The windows that it counts in.
    from: u16,
    to: u16,
}

/// In milliseconds: what ends within a tick ends at once.
const TICK_MS: i64 = 100;

/// Greater values are mistakes, and would drown all others.
const MAX_VALUE: f64 = 1e12;

/// A time from which on each unit counts anew.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Window {
    is_step: bool,
    weight: f64,
    /// By gate.
    counted: Vec<Counted>,
}

/// What a gate has to go by, of one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Counted {
    /// Of a gate that does not go by events.
    Nothing,
    /// To how many units it happened.
    Happened(Met),
    /// The units' totals.
    Totals(Both<Totals>),
    /// The units' first values.
    Firsts(Both<Histogram>),
}

/// How many units something happened to, within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Met {
    /// Of those who are compared.
    pub compared: Arms,
    /// Of all who have the new variant.
    pub treated: u64,
}

/// Something of each arm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Both<T> {
    /// Of those who have the new variant.
    pub treatment: T,
    /// Of those who are compared with them.
    pub control: T,
}

impl Tally {
    /// How many units are kept at most, if nothing else is said.
    pub const CAPACITY: usize = 1_000_000;

    /// The weight of the first window: most harm begins with the rollout, and should be found as if nothing else were looked at.
    pub(crate) const FIRST: f64 = 0.9;

    /// The steps after the first share as much, and so do the hours of a week.
    const LATER: f64 = 0.05;

    /// A week of hours.
    const MAX_HOURS: usize = 168;

    const HOUR: f64 = Self::LATER / 168.0;

    /// Counts for these gates; nobody is exposed yet. Keeps at most `capacity` units.
    pub fn new(gates: &[Gate], capacity: usize) -> Self {
        let (mut n_last, mut n_observed, mut n_limits) = (0, 0, 0);
        let next = |n: &mut usize| std::mem::replace(n, *n + 1);
        let watch = |gate: &Gate| {
            let Some(gate) = gate.events() else { return Watched { metric: String::new(), what: What::Nothing } };
            let what = match gate.test {
                Test::Happened { above } => {
                    let limit = gate.limit.map(|_| next(&mut n_limits));
                    What::Happened { place: next(&mut n_last), above, limit }
                }
                Test::Quantile { .. } => What::First { place: next(&mut n_last) },
                Test::Mean { within_ms } | Test::Ratio { within_ms } => {
                    What::Total { place: next(&mut n_observed), within: ticks(within_ms) }
                }
            };
            Watched { metric: gate.metric.clone(), what }
        };
        Self::of(Counts {
            watched: gates.iter().map(watch).collect(),
            capacity: capacity.max(1),
            n_zeros: 0,
            share: 0,
            is_a_a: false,
            step: 0,
            n_steps: 0,
            origin: None,
            units: Vec::new(),
            last: Vec::new(),
            limited: Vec::new(),
            stretch: 0,
            lately: Default::default(),
            observed: Vec::new(),
            waiting: vec![VecDeque::new(); n_observed],
            windows: Vec::new(),
            n_hours: 0,
            entered: Arms::default(),
            seen: Arms::default(),
            treated: 0,
            unexposed: 0,
        })
    }

    fn of(counts: Counts) -> Self {
        let mut tally = Self { counts, index: HashTable::new(), hasher: RandomState::new() };
        tally.index_all();
        tally
    }

    /// A step with that share begins. What was counted before anybody was compared who has the variant, in an A/A bake or while only
    /// segments had it, is forgotten; who was seen is not.
    pub fn begin_step(&mut self, share: u32) {
        let counts = &mut self.counts;
        if counts.n_steps == 0 {
            counts.windows.clear();
            counts.last.fill(0);
            counts.observed.fill(Observed::default());
            counts.waiting.iter_mut().for_each(VecDeque::clear);
        }
        counts.is_a_a = false;
        let weight = match counts.n_steps {
            0 => Self::FIRST,
            step => Self::LATER * 0.5_f64.powi(i32::from(step)),
        };
        counts.n_steps = counts.n_steps.saturating_add(u16::from(share > 0));
        counts.begin(share, weight);
    }

    /// An A/A bake begins: both arms that the share will have are served the old variant.
    pub fn begin_a_a(&mut self, share: u32) {
        self.counts.is_a_a = true;
        self.counts.begin(share, Self::FIRST);
    }

    /// A full hour of the attempt begins. After a week of them, no more windows are opened for hours.
    pub fn begin_hour(&mut self) {
        if self.counts.n_hours < Self::MAX_HOURS {
            self.counts.n_hours += 1;
            self.counts.open(false, Self::HOUR);
        }
    }

    /// Time passes: who was observed for long enough by now counts. Called with the time of each look; times only grow.
    pub fn pass(&mut self, now: Timestamp) {
        self.counts.pass(now);
    }

    /// A unit was served. What was served under another share than the present one, and shows it, is not counted. `at`: when it was
    /// heard of, on the clock of [`pass`](Self::pass).
    pub fn expose(&mut self, exposed: Exposed, at: Timestamp) {
        let Exposed { unit, bucket, treated } = exposed;
        let bucket = match bucket {
            None if treated => RULED,
            None => LEFT_OUT,
            Some(bucket) if self.counts.is_in_force(bucket, treated) => bucket,
            Some(_) => return,
        };
        if !self.counts.is_kept(unit) {
            return;
        }
        self.counts.pass(at);
        let Some(place) = self.find(unit).or_else(|| self.enter(unit, bucket)) else { return };
        self.counts.see(place, bucket, at);
    }

    /// Something was measured of a unit. Of units that nobody exposed, nothing is counted but that. `at`: as of [`expose`](Self::expose).
    pub fn measure(&mut self, unit: u64, metric: &str, value: Option<f64>, at: Timestamp) {
        if !self.counts.is_kept(unit) {
            return;
        }
        let Some(place) = self.find(unit) else {
            self.counts.unexposed += 1;
            return;
        };
        self.counts.pass(at);
        self.counts.measure(place, metric, value, at);
    }

    /// What a gate has to go by: of each window its part of the tolerated probability of an error, and what was counted. Those parts add
    /// up to at most 1.
    pub fn counted(&self, gate: usize) -> impl Iterator<Item = (f64, &Counted)> {
        self.counts.windows.iter().filter_map(move |window| Some((window.weight, window.counted.get(gate)?)))
    }

    /// What was counted since this step began.
    pub fn at_this_step(&self, gate: usize) -> &Counted {
        let window = self.counts.windows.iter().rev().find(|window| window.is_step);
        window.and_then(|window| window.counted.get(gate)).unwrap_or(&Counted::Nothing)
    }

    /// Of the units with the new variant that were exposed within the last five to ten minutes: to how many it happened meanwhile, and how
    /// many there are. Who was there in both halves counts twice, in both numbers.
    pub fn lately(&self, gate: usize) -> (u64, u64) {
        let Some(Watched { what: What::Happened { limit: Some(limit), .. }, .. }) = self.counts.watched.get(gate)
        else {
            return (0, 0);
        };
        let met = self.counts.lately.iter().filter_map(|lately| lately.met.get(*limit)).sum();
        (met, self.counts.lately.iter().map(|lately| lately.treated).sum())
    }

    /// The compared units, each counted when it was first seen in this attempt.
    pub fn entered(&self) -> Arms {
        self.counts.entered
    }

    /// The compared units that were seen at this step.
    pub fn seen(&self) -> Arms {
        self.counts.seen
    }

    /// All units with the new variant that were seen at this step.
    pub fn treated(&self) -> u64 {
        self.counts.treated
    }

    /// Whether there is a control to compare with.
    pub fn has_control(&self) -> bool {
        self.counts.split().compared > 0
    }

    /// Whether both arms have the old variant.
    pub fn is_a_a(&self) -> bool {
        self.counts.is_a_a
    }

    /// How often something was measured of a unit that nobody had exposed.
    pub fn unexposed(&self) -> u64 {
        self.counts.unexposed
    }

    fn find(&self, unit: u64) -> Option<u32> {
        let units = &self.counts.units;
        let is_it = |place: &u32| units.get(*place as usize).is_some_and(|other| other.hash == unit);
        self.index.find(self.hasher.hash_one(unit), is_it).copied()
    }

    /// Where a new unit is kept; `None`: the sample has become one that it does not belong to.
    fn enter(&mut self, unit: u64, bucket: u32) -> Option<u32> {
        while self.counts.units.len() >= self.counts.capacity {
            self.counts.thin_out();
            self.index_all();
        }
        if !self.counts.is_kept(unit) {
            return None;
        }
        let place = u32::try_from(self.counts.units.len()).ok()?;
        self.counts.enter(Unit { hash: unit, bucket, step: 0, stretch: 0 });
        self.put(place);
        Some(place)
    }

    fn index_all(&mut self) {
        self.index = HashTable::with_capacity(self.counts.units.len());
        let n_units = u32::try_from(self.counts.units.len()).unwrap_or(u32::MAX);
        (0..n_units).for_each(|place| self.put(place));
    }

    fn put(&mut self, place: u32) {
        let (units, hasher) = (&self.counts.units, &self.hasher);
        let hash = |place: &u32| hasher.hash_one(units.get(*place as usize).map_or(0, |unit| unit.hash));
        self.index.insert_unique(hash(&place), place, hash);
    }
}

impl Serialize for Tally {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.counts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Tally {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Counts::deserialize(deserializer).map(Self::of)
    }
}

impl Counts {
    fn begin(&mut self, share: u32, weight: f64) {
        self.share = share;
        self.step = self.step.saturating_add(1);
        self.seen = Arms::default();
        self.treated = 0;
        self.open(true, weight);
    }

    fn open(&mut self, is_step: bool, weight: f64) {
        let counted = self.watched.iter().map(|watched| watched.what.nothing_yet()).collect();
        self.windows.push(Window { is_step, weight, counted });
    }

    /// A unit is kept from now on.
    fn enter(&mut self, unit: Unit) {
        let (split, n_last, n_limits, n_slots) = (self.split(), self.n_last(), self.n_limits(), self.waiting.len());
        if split.is_compared(unit.bucket) {
            *self.entered.of(split.is_treated(unit.bucket)) += 1;
        }
        push(&mut self.units, 1, unit);
        push(&mut self.last, n_last, 0);
        push(&mut self.limited, n_limits, 0);
        push(&mut self.observed, n_slots, Observed::default());
    }

    /// A unit was served what it is to be served at this step.
    fn see(&mut self, place: u32, bucket: u32, at: Timestamp) {
        let (split, step, now) = (self.split(), self.step, self.tick(at));
        let Some(unit) = self.units.get_mut(place as usize) else { return };
        if bucket >= BUCKETS {
            unit.bucket = bucket;
        }
        let (treated, compared) = (split.is_treated(unit.bucket), split.is_compared(unit.bucket));
        if treated && std::mem::replace(&mut unit.stretch, self.stretch) != self.stretch {
            let [lately, _] = &mut self.lately;
            lately.treated += 1;
        }
        if std::mem::replace(&mut unit.step, step) != step {
            self.treated += u64::from(treated);
            if compared {
                *self.seen.of(treated) += 1;
            }
        }
        if !compared {
            return;
        }
        let n_windows = u16::try_from(self.windows.len()).unwrap_or(u16::MAX);
        let n_slots = self.waiting.len();
        for (waiting, observed) in self.waiting.iter_mut().zip(self.observed.iter_mut().skip(place as usize * n_slots))
        {
            if observed.since == 0 && observed.to < n_windows {
                *observed = Observed { since: now, total: 0.0, n: 0, from: observed.to, to: n_windows };
                waiting.push_back(place);
            }
        }
    }

    fn measure(&mut self, place: u32, metric: &str, value: Option<f64>, at: Timestamp) {
        let (split, now, n_last, n_slots) = (self.split(), self.tick(at), self.n_last(), self.waiting.len());
        let Some(Unit { bucket, stretch, .. }) = self.units.get(place as usize).copied() else { return };
        let (treated, compared) = (split.is_treated(bucket), split.is_compared(bucket));
        let is_lately = treated && stretch > 0 && self.stretch.wrapping_sub(stretch) <= 1;
        let n_limits = self.n_limits();
        let usable = value.filter(|value| value.abs() <= MAX_VALUE);
        let n_windows = u16::try_from(self.windows.len()).unwrap_or(u16::MAX);
        for (gate, watched) in self.watched.iter().enumerate().filter(|(_, watched)| watched.metric == metric) {
            if let What::Happened { above, limit: Some(limit), .. } = watched.what
                && is_lately
                && above.is_none_or(|above| value.is_some_and(|value| value > above))
                && let Some(last) = self.limited.get_mut(place as usize * n_limits + limit)
                && std::mem::replace(last, self.stretch) != self.stretch
            {
                let [lately, _] = &mut self.lately;
                lately.met.resize(n_limits, 0);
                lately.met.iter_mut().skip(limit).take(1).for_each(|met| *met += 1);
            }
            let last = match watched.what {
                What::Nothing => continue,
                What::Happened { above: Some(above), .. } if !value.is_some_and(|value| value > above) => continue,
                What::First { .. } if usable.is_none() || !compared => continue,
                What::Happened { place: slot, .. } | What::First { place: slot } => {
                    self.last.get_mut(place as usize * n_last + slot)
                }
                What::Total { place: slot, within } => {
                    // That it happened is 1.
                    let value = if value.is_none() { Some(1.0) } else { usable };
                    if let Some(observed) = self.observed.get_mut(place as usize * n_slots + slot)
                        && let Some(value) = value
                        && observed.since > 0
                        && now < observed.since.saturating_add(within)
                    {
                        observed.total = sum(observed.total, value);
                        observed.n = observed.n.saturating_add(1);
                    }
                    continue;
                }
            };
            let Some(last) = last else { continue };
            // In each window that was opened since it last happened, it is the unit's first time.
            for window in self.windows.iter_mut().skip(usize::from(*last)) {
                match window.counted.get_mut(gate) {
                    Some(Counted::Happened(met)) => {
                        met.treated += u64::from(treated);
                        if compared {
                            *met.compared.of(treated) += 1;
                        }
                    }
                    Some(Counted::Firsts(firsts)) => {
                        if let Some(value) = usable {
                            firsts.of(treated).add(value);
                        }
                    }
                    _ => {}
                }
            }
            *last = n_windows;
        }
    }

    /// Counts the units that were observed for long enough.
    fn pass(&mut self, now: Timestamp) {
        self.turn(now);
        if self.waiting.iter().all(VecDeque::is_empty) {
            return;
        }
        let (split, now, n_slots) = (self.split(), self.tick(now), self.waiting.len());
        for (gate, watched) in self.watched.iter().enumerate() {
            let What::Total { place: slot, within } = watched.what else { continue };
            let Some(waiting) = self.waiting.get_mut(slot) else { continue };
            while let Some(place) = waiting.front().copied() {
                let Some(observed) = self.observed.get_mut(place as usize * n_slots + slot) else { break };
                if now < observed.since.saturating_add(within) {
                    break;
                }
                waiting.pop_front();
                observed.since = 0;
                let bucket = self.units.get(place as usize).map_or(RULED, |unit| unit.bucket);
                if !split.is_compared(bucket) {
                    continue;
                }
                let windows = usize::from(observed.from)..usize::from(observed.to);
                for window in self.windows.get_mut(windows).unwrap_or_default() {
                    if let Some(Counted::Totals(totals)) = window.counted.get_mut(gate) {
                        totals.of(split.is_treated(bucket)).add(f64::from(observed.total), observed.n);
                    }
                }
            }
        }
    }

    /// Goes to the stretch of time that goes on.
    fn turn(&mut self, now: Timestamp) {
        let stretch = i64::from(self.tick(now)) * TICK_MS / STRETCH_MS + 1;
        let stretch = u16::try_from(stretch).unwrap_or(u16::MAX);
        match stretch.saturating_sub(self.stretch) {
            0 => return,
            1 => self.lately.swap(0, 1),
            _ => self.lately = Default::default(),
        }
        let [lately, _] = &mut self.lately;
        *lately = Lately::default();
        self.stretch = stretch;
    }

    /// Forgets half of the units. What they did stays counted: who goes does not depend on it.
    fn thin_out(&mut self) {
        self.n_zeros += 1;
        let (n_last, n_limits, n_slots) = (self.n_last(), self.n_limits(), self.waiting.len());
        let mut limited = Vec::new();
        let mut places = vec![None; self.units.len()];
        let (mut units, mut last, mut observed) = (Vec::new(), Vec::new(), Vec::new());
        for ((before, unit), place) in self.units.iter().enumerate().zip(&mut places) {
            if is_sampled(unit.hash, self.n_zeros) {
                *place = u32::try_from(units.len()).ok();
                units.push(*unit);
                last.extend(self.last.iter().skip(before * n_last).take(n_last));
                limited.extend(self.limited.iter().skip(before * n_limits).take(n_limits));
                observed.extend(self.observed.iter().skip(before * n_slots).take(n_slots));
            }
        }
        for waiting in &mut self.waiting {
            let kept = waiting.iter().filter_map(|place| places.get(*place as usize).copied().flatten());
            *waiting = kept.collect();
        }
        (self.units, self.last, self.limited, self.observed) = (units, last, limited, observed);
    }

    /// Whether the present share serves so, to units that are counted.
    fn is_in_force(&self, bucket: u32, treated: bool) -> bool {
        let split = self.split();
        let is_in_share = split.is_treated(bucket);
        bucket < BUCKETS && (is_in_share || split.is_control(bucket)) && treated == (is_in_share && !self.is_a_a)
    }

    fn is_kept(&self, unit: u64) -> bool {
        is_sampled(unit, self.n_zeros)
    }

    /// How many gates remember when a unit was last counted.
    fn n_last(&self) -> usize {
        self.watched.iter().filter(|watched| matches!(watched.what, What::Happened { .. } | What::First { .. })).count()
    }

    /// How many gates have a limit.
    fn n_limits(&self) -> usize {
        self.watched.iter().filter(|watched| matches!(watched.what, What::Happened { limit: Some(_), .. })).count()
    }

    fn split(&self) -> Split {
        Split { share: self.share, compared: self.share.min(BUCKETS.saturating_sub(self.share)) }
    }

    /// Ticks since the first unit was seen, from 1.
    fn tick(&mut self, at: Timestamp) -> u32 {
        let origin = *self.origin.get_or_insert(at);
        u32::try_from(at.0.saturating_sub(origin.0).max(0) / TICK_MS + 1).unwrap_or(u32::MAX)
    }
}

impl What {
    fn nothing_yet(self) -> Counted {
        match self {
            Self::Nothing => Counted::Nothing,
            Self::Happened { .. } => Counted::Happened(Met::default()),
            Self::First { .. } => Counted::Firsts(Both::default()),
            Self::Total { .. } => Counted::Totals(Both::default()),
        }
    }
}

/// Which buckets are in which arm.
#[derive(Clone, Copy)]
struct Split {
    share: u32,
    compared: u32,
}

impl Split {
    fn is_treated(self, bucket: u32) -> bool {
        bucket < self.share || bucket == RULED
    }

    fn is_control(self, bucket: u32) -> bool {
        (BUCKETS - self.compared..BUCKETS).contains(&bucket)
    }

    fn is_compared(self, bucket: u32) -> bool {
        bucket < self.compared || self.is_control(bucket)
    }
}

impl Arms {
    fn of(&mut self, treated: bool) -> &mut u64 {
        if treated { &mut self.treatment } else { &mut self.control }
    }
}

impl<T> Both<T> {
    fn of(&mut self, treated: bool) -> &mut T {
        if treated { &mut self.treatment } else { &mut self.control }
    }
}

impl From<(u64, u32, u16, u16)> for Unit {
    fn from((hash, bucket, step, stretch): (u64, u32, u16, u16)) -> Self {
        Self { hash, bucket, step, stretch }
    }
}

impl From<Unit> for (u64, u32, u16, u16) {
    fn from(Unit { hash, bucket, step, stretch }: Unit) -> Self {
        (hash, bucket, step, stretch)
    }
}

impl From<(u32, f32, u32, u16, u16)> for Observed {
    fn from((since, total, n, from, to): (u32, f32, u32, u16, u16)) -> Self {
        Self { since, total, n, from, to }
    }
}

impl From<Observed> for (u32, f32, u32, u16, u16) {
    fn from(Observed { since, total, n, from, to }: Observed) -> Self {
        (since, total, n, from, to)
    }
}

/// In a million units, room that is reserved and not used is much: a quarter at most, not as much again.
fn push<T: Copy>(list: &mut Vec<T>, n: usize, value: T) {
    if list.len() + n > list.capacity() {
        list.reserve_exact(list.len() / 4 + 16 * n);
    }
    list.extend(std::iter::repeat_n(value, n));
}

#[expect(clippy::cast_possible_truncation, reason = "seven digits are enough of one unit's total")]
fn sum(total: f32, value: f64) -> f32 {
    (f64::from(total) + value) as f32
}

/// Rounded up.
fn ticks(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(TICK_MS.unsigned_abs())).unwrap_or(u32::MAX)
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

    const NOW: Timestamp = Timestamp(0);

    fn errors() -> Tally {
        let mut tally = Tally::new(&[Gate::named("errors")], Tally::CAPACITY);
        tally.begin_step(10_000);
        tally
    }

    /// The unit with that bucket is served as the share says.
    fn expose(tally: &mut Tally, bucket: u32) {
        let treated = bucket < tally.counts.share;
        tally.expose(Exposed { unit: u64::from(bucket), bucket: Some(bucket), treated }, NOW);
    }

    fn compared(tally: &Tally) -> Vec<(u64, u64)> {
        let met = |(_, counted): (f64, &Counted)| match counted {
            Counted::Happened(Met { compared: Arms { treatment, control }, .. }) => (*treatment, *control),
            _ => unreachable!("the gate counts to whom it happened"),
        };
        tally.counted(0).map(met).collect()
    }

    #[test]
    fn the_ends_of_the_buckets_are_compared() {
        let mut tally = errors();
        for bucket in [0, 9_999, 10_000, 89_999, 90_000, 99_999] {
            expose(&mut tally, bucket);
            tally.measure(u64::from(bucket), "errors", None, NOW);
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
            tally.measure(5, "errors", None, NOW);
        }
        tally.begin_hour();
        tally.measure(5, "errors", None, NOW);
        tally.begin_step(20_000);
        tally.measure(5, "errors", None, NOW);
        tally.measure(5, "errors", None, NOW);
        assert_eq!(compared(&tally), [(1, 0), (1, 0), (1, 0)]);
        expose(&mut tally, 99_000);
        tally.measure(99_000, "errors", None, NOW);
        assert_eq!(compared(&tally), [(1, 1), (1, 1), (1, 1)], "first in all that are open");
        assert!(matches!(tally.at_this_step(0), Counted::Happened(Met { treated: 1, .. })));
        let weights: f64 = tally.counted(0).map(|(weight, _)| weight).sum();
        assert!(weights <= 1.0);
    }

    #[test]
    fn what_another_share_served_is_not_counted() {
        let mut tally = errors();
        tally.expose(Exposed { unit: 1, bucket: Some(5), treated: false }, NOW);
        tally.expose(Exposed { unit: 2, bucket: Some(95_000), treated: true }, NOW);
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
            tally.measure(u64::from(bucket), "ms", value, NOW);
        }
        assert_eq!(compared(&tally), [(1, 0)]);
    }

    #[test]
    fn of_too_many_units_a_sample_is_kept() {
        let mut tally = Tally::new(&[Gate::named("errors")], 1_000);
        tally.begin_step(50_000);
        for bucket in 0..100_000 {
            expose(&mut tally, bucket);
            tally.measure(u64::from(bucket), "errors", None, NOW);
        }
        assert!((500..=1_000).contains(&tally.counts.units.len()), "{}", tally.counts.units.len());
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

    /// What is summed up of a unit within a second.
    fn amounts(capacity: usize) -> Tally {
        let test = Test::Mean { within_ms: 1_000 };
        let gate = Gate::on_events("amount", EventGate { test, ..EventGate::named("amount") });
        let mut tally = Tally::new(&[gate], capacity);
        tally.begin_step(10_000);
        tally
    }

    /// The units of treatment, by window, and the sum of their totals.
    fn totals(tally: &Tally) -> Vec<(u64, f64)> {
        let of = |(_, counted): (f64, &Counted)| match counted {
            Counted::Totals(Both { treatment, .. }) => {
                (treatment.n(), treatment.mean().map_or(0.0, |mean| mean.value * mean.n))
            }
            _ => unreachable!("the gate counts totals"),
        };
        tally.counted(0).map(of).collect()
    }

    fn expose_at(tally: &mut Tally, bucket: u32, ms: i64) {
        tally
            .expose(Exposed { unit: u64::from(bucket), bucket: Some(bucket), treated: bucket < 10_000 }, Timestamp(ms));
    }

    #[test]
    fn a_total_counts_when_its_time_is_over() {
        let mut tally = amounts(1_000);
        for bucket in [1, 2, 3] {
            expose_at(&mut tally, bucket, 0);
        }
        let mut measure = |unit, value, ms| tally.measure(unit, "amount", value, Timestamp(ms));
        measure(1, Some(5.0), 100);
        measure(1, Some(2.5), 900);
        measure(2, None, 500);
        measure(2, Some(f64::NAN), 500);
        measure(2, Some(1e300), 500);
        measure(1, Some(100.0), 1_000);
        assert_eq!(totals(&tally), [(3, 8.5)], "who was measured too late closed the others");
        tally.pass(Timestamp(60_000));
        // Seen again in the same window: once is enough.
        expose_at(&mut tally, 1, 60_000);
        tally.pass(Timestamp(120_000));
        assert_eq!(totals(&tally), [(3, 8.5)]);
    }

    #[test]
    fn a_total_counts_in_the_windows_that_were_open_when_it_began() {
        let mut tally = amounts(1_000);
        for bucket in [1, 2] {
            expose_at(&mut tally, bucket, 0);
        }
        tally.begin_hour();
        // Still the first time of 1, which does not count in the hour.
        expose_at(&mut tally, 1, 500);
        tally.measure(1, "amount", Some(4.0), Timestamp(500));
        expose_at(&mut tally, 3, 600);
        tally.pass(Timestamp(2_000));
        assert_eq!(totals(&tally), [(3, 4.0), (1, 0.0)]);
        expose_at(&mut tally, 1, 2_000);
        tally.measure(1, "amount", Some(8.0), Timestamp(2_100));
        tally.begin_step(20_000);
        tally.pass(Timestamp(4_000));
        assert_eq!(totals(&tally), [(3, 4.0), (2, 8.0), (0, 0.0)]);
    }

    #[test]
    fn an_a_a_bake_is_forgotten_but_for_who_was_seen() {
        let mut tally = Tally::new(&[Gate::named("errors")], Tally::CAPACITY);
        tally.begin_a_a(10_000);
        for bucket in [1, 2, 99_999] {
            tally.expose(Exposed { unit: u64::from(bucket), bucket: Some(bucket), treated: false }, NOW);
            tally.measure(u64::from(bucket), "errors", None, NOW);
        }
        tally.expose(Exposed { unit: 3, bucket: Some(3), treated: true }, NOW);
        assert_eq!((tally.entered(), tally.seen()), (Arms { treatment: 2, control: 1 }, tally.entered()));
        assert_eq!(compared(&tally), [(2, 1)]);
        tally.begin_hour();

        tally.begin_step(10_000);
        assert_eq!((compared(&tally), tally.seen()), (vec![(0, 0)], Arms::default()));
        assert!(tally.counted(0).all(|(weight, _)| weight >= Tally::FIRST), "as if nothing had been before");
        expose(&mut tally, 1);
        tally.measure(1, "errors", None, NOW);
        tally.measure(2, "errors", None, NOW);
        assert_eq!((compared(&tally), tally.entered()), (vec![(2, 0)], Arms { treatment: 2, control: 1 }));
    }

    #[test]
    fn who_is_served_by_a_rule_is_in_no_arm() {
        let mut tally = errors();
        for bucket in [1, 2, 99_998, 99_999] {
            expose(&mut tally, bucket);
        }
        // A member of a segment on each side, one who is new, and one whom something else serves the old variant.
        for (unit, treated) in [(1, true), (99_999, true), (500, true), (501, false)] {
            tally.expose(Exposed { unit, bucket: None, treated }, NOW);
            tally.measure(unit, "errors", None, NOW);
        }
        assert_eq!(compared(&tally), [(0, 0)]);
        assert!(matches!(tally.at_this_step(0), Counted::Happened(Met { treated: 3, .. })), "limits see them");
        tally.begin_step(20_000);
        for bucket in [1, 2, 99_998, 99_999, 501] {
            expose(&mut tally, bucket);
        }
        assert_eq!(tally.seen(), Arms { treatment: 1, control: 1 }, "for good");
    }

    #[test]
    fn what_is_stored_goes_on_as_it_was() {
        let gates = [
            Gate::named("errors"),
            Gate::on_events("sum", EventGate { test: Test::Ratio { within_ms: 700 }, ..EventGate::named("errors") }),
            Gate::on_events("p95", EventGate { test: Test::Quantile { quantile: 0.95 }, ..EventGate::named("errors") }),
        ];
        let mut tally = Tally::new(&gates, 300);
        tally.begin_step(30_000);
        let mut again = tally.clone();
        for n in 0..2_000_u32 {
            let (unit, at) = (u64::from(n * 7_919 % 997), Timestamp(i64::from(n)));
            let bucket = u32::try_from(unit * 100).unwrap();
            for tally in [&mut tally, &mut again] {
                tally.expose(Exposed { unit, bucket: Some(bucket), treated: bucket < 30_000 }, at);
                tally.measure(unit, "errors", Some(f64::from(n % 13)), at);
                if n % 500 == 0 {
                    tally.begin_hour();
                }
            }
            if n % 97 == 0 {
                again = serde_json::from_str(&serde_json::to_string(&again).unwrap()).unwrap();
            }
        }
        assert!(tally.counts.n_zeros > 0 && tally.counts.units.len() <= 300);
        assert_eq!(serde_json::to_string(&tally).unwrap(), serde_json::to_string(&again).unwrap());
    }

    /// Those who are forgotten do not count when their time is over, and the places of the others are still theirs.
    #[test]
    fn a_sample_keeps_its_own_totals() {
        let mut tally = amounts(64);
        let total = |unit: u32| f64::from(unit % 7);
        for unit in 0..500 {
            expose_at(&mut tally, unit, 0);
            tally.measure(u64::from(unit), "amount", Some(total(unit)), NOW);
        }
        let kept: Vec<u64> = tally.counts.units.iter().map(|unit| unit.hash).collect();
        assert!(!kept.is_empty() && kept.len() <= 64);
        tally.pass(Timestamp(10_000));
        let sum: f64 = kept.iter().map(|unit| total(u32::try_from(*unit).unwrap())).sum();
        let found = totals(&tally);
        assert!(
            found.len() == 1 && found[0].0 == kept.len() as u64 && (found[0].1 - sum).abs() < 1e-6,
            "{found:?} {sum}"
        );
    }

    #[test]
    fn limits_go_by_who_was_there_lately() {
        let limit = Some(crate::spec::Limit { share: 0.2, units: 1 });
        let gate = Gate::on_events("errors", EventGate { limit, ..EventGate::named("errors") });
        let mut tally = Tally::new(&[gate], Tally::CAPACITY);
        tally.begin_step(100_000);
        let at = |minute: i64| Timestamp(minute * 60_000);
        for bucket in 0..100 {
            expose_at(&mut tally, bucket, 0);
        }
        tally.measure(0, "errors", None, at(1));
        tally.measure(0, "errors", None, at(2));
        assert_eq!(tally.lately(0), (1, 100), "once, whatever it does often");
        for bucket in 0..10 {
            expose_at(&mut tally, bucket, 6 * 60_000);
            tally.measure(u64::from(bucket), "errors", None, at(7));
        }
        assert_eq!(tally.lately(0), (11, 110), "in both halves");
        tally.measure(50, "errors", None, at(9));
        assert_eq!(tally.lately(0), (12, 110), "exposed in the half before");
        tally.pass(at(11));
        assert_eq!(tally.lately(0), (11, 10));
        tally.measure(60, "errors", None, at(12));
        assert_eq!(tally.lately(0), (11, 10), "not there lately");
        let again: Tally = serde_json::from_str(&serde_json::to_string(&tally).unwrap()).unwrap();
        assert_eq!(again.lately(0), (11, 10));
        tally.pass(at(60));
        assert_eq!(tally.lately(0), (0, 0));
    }
}

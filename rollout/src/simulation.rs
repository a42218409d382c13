//! What would become of a rollout: units that are drawn, counted, judged and planned for as a server does it. Seeded, so that the same comes
//! out each time.

use std::{collections::VecDeque, num::NonZero, panic::resume_unwind, thread};

use serde::Serialize;
use tidegate_core::{Timestamp, bucket::BUCKETS};

use crate::{
    Decision, Exposed, Gate, Judgement, Observation, Spec, State, Status, Tally, Test, Verdict, Waiting,
    chances::{Chances, bucket, share_of, splitmix},
    judge, plan,
};

/// A release and its traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Release {
    /// How many units ask for the flag in a minute.
    pub units_per_minute: f64,
    /// What each gate of the spec watches, in its order. Gates that ask others pass.
    pub metrics: Vec<Metric>,
    /// From when on the release is as bad as it is, in milliseconds after the start.
    pub begins_ms: i64,
    /// When to stop looking, in milliseconds after the start; absent: when it has ended, or has waited for a day.
    pub ends_ms: Option<i64>,
    /// What else is special.
    pub world: World,
}

/// What one gate watches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// What it is like in control.
    pub baseline: Baseline,
    /// How many times as often it happens to units of treatment; for means, ratios and quantiles, how many times as much it is.
    pub effect: f64,
}

/// What a metric is like before anything is changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Baseline {
    /// The share of units that it happens to, or that have a value, 0 to 1.
    pub rate: f64,
    /// How far values are apart: the standard deviation of their logarithm. 0.5 is usual for times, 1 for amounts. Does not matter for
    /// [`Test::Happened`].
    pub spread: f64,
}

/// What makes an evidence look stronger than it is, if it is not honest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct World {
    /// Units come ten times each, and what happens to one is correlated by so much, 0 to 1; absent: each comes once.
    pub correlation: Option<f64>,
    /// What is measured goes up to five times and back within 45 minutes.
    pub diurnal: bool,
    /// The chance that all metrics of a unit have one luck.
    pub together: f64,
    /// How much later than it happens everything is heard of, in milliseconds.
    pub lag_ms: i64,
    /// Whether events come twice, and those of different units in another order.
    pub disturbed: bool,
}

/// What became of many such rollouts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = SimulationOutcome))]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// How many there were.
    pub n_runs: u64,
    /// How many were rolled back, killed, or paused for harm.
    pub n_rolled_back: u64,
    /// How many got through.
    pub n_completed: u64,
    /// How long the median of those that were rolled back took until then, in minutes; absent where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_minutes: Option<f64>,
    /// How many units had the new variant until the rollout ended, on average.
    pub mean_treated: f64,
}

/// What became of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Why it ended; `Running`: it did not, in the time that it had.
    pub state: State,
    /// When.
    pub ended: Timestamp,
    /// How many units had the new variant until then.
    pub treated: u64,
}

/// What the simulated controller sees.
#[derive(Debug)]
pub struct Look<'a> {
    /// When.
    pub at: Timestamp,
    /// What is counted.
    pub tally: &'a mut Tally,
    /// What each gate says of it.
    pub judgements: &'a [Judgement],
}

/// How often the simulated controller looks.
const TICK_MS: i64 = 5_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How often a unit comes, where it comes again.
const N_VISITS: u64 = 10;

/// What becomes of `n_runs` such rollouts. People approve at once, and windows are open.
pub fn simulate(spec: &Spec, release: &Release, n_runs: u64, seed: u64) -> Outcome {
    let runs = each(n_runs, |n| run(spec, release, seed.wrapping_add(n), |_| {}));
    let mut minutes: Vec<_> = runs.iter().filter(|run| is_harm(run.state)).map(|run| minutes(run.ended.0)).collect();
    minutes.sort_by(f64::total_cmp);
    let treated: u64 = runs.iter().map(|run| run.treated).sum();
    Outcome {
        n_runs,
        n_rolled_back: minutes.len() as u64,
        n_completed: runs.iter().filter(|run| run.state == State::Completed).count() as u64,
        median_minutes: minutes.get(minutes.len() / 2).copied(),
        mean_treated: float(treated) / float(n_runs.max(1)),
    }
}

/// What becomes of each of so many runs, in their order; on all cores.
pub fn each<T: Send>(n_runs: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let n_threads = thread::available_parallelism().map_or(1, NonZero::get) as u64;
    let (run, n_each) = (&run, n_runs.div_ceil(n_threads));
    let part = |part: u64| (part * n_each..n_runs.min((part + 1) * n_each)).map(run).collect::<Vec<_>>();
    thread::scope(|scope| {
        let parts: Vec<_> = (0..n_threads).map(|n| scope.spawn(move || part(n))).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

fn is_harm(state: State) -> bool {
    matches!(state, State::RolledBack | State::Killed | State::Paused)
}

/// One rollout. `look` is told of each look.
pub fn run(spec: &Spec, release: &Release, seed: u64, look: impl FnMut(Look<'_>)) -> Run {
    let bakes: u64 = spec.steps().iter().map(|step| step.bake_ms).sum();
    // Whoever waits for units or proofs waits for as long again, and for a day.
    let end = i64::try_from(bakes).unwrap_or(i64::MAX / 4).saturating_mul(2).saturating_add(24 * HOUR_MS);
    let end = release.ends_ms.map_or(end, |ends_ms| ends_ms.min(end));
    Play::new(spec, release, seed).run(end, look)
}

struct Play<'a> {
    spec: &'a Spec,
    release: &'a Release,
    seed: u64,
    tally: Tally,
    status: Status,
    chances: Chances,
    now: Timestamp,
    /// How many visits there were, and the part of one that is due.
    n_visits: u64,
    due: f64,
    /// Of units that come again and again.
    population: u64,
    treated: u64,
    /// What is on its way: when it is heard of.
    sent: VecDeque<(i64, Event)>,
}

/// What a unit tells.
#[derive(Clone, Copy)]
enum Event {
    Exposed(Exposed),
    Measured { unit: u64, gate: usize, value: f64 },
}

impl<'a> Play<'a> {
    fn new(spec: &'a Spec, release: &'a Release, seed: u64) -> Self {
        let bakes: u64 = spec.steps().iter().map(|step| step.bake_ms).sum();
        let n_visits = release.units_per_minute * float(bakes) / 60_000.0;
        Self {
            spec,
            release,
            seed,
            tally: Tally::new(spec.gates(), Tally::CAPACITY),
            status: Status::new(Timestamp(0)),
            chances: Chances::new(seed),
            now: Timestamp(0),
            n_visits: 0,
            due: 0.0,
            population: whole(n_visits / float(N_VISITS)).max(1),
            treated: 0,
            sent: VecDeque::new(),
        }
    }

    fn run(&mut self, end: i64, mut look: impl FnMut(Look<'_>)) -> Run {
        while self.now.0 < end && !self.look(&mut look) {
            self.serve();
            self.now.0 += TICK_MS;
            self.deliver();
            if self.now.0 % HOUR_MS == 0 {
                self.tally.begin_hour();
            }
        }
        Run { state: self.status.state, ended: self.now, treated: self.treated }
    }

    /// Whether it has ended.
    fn look(&mut self, look: &mut impl FnMut(Look<'_>)) -> bool {
        loop {
            self.tally.pass(self.now);
            let mut judgements = judge(self.spec.gates(), &self.tally);
            let asked = self.spec.gates().iter().zip(&mut judgements).filter(|(gate, _)| gate.events().is_none());
            asked.for_each(|(gate, judgement)| {
                *judgement = Judgement { verdict: Verdict::Pass, ..Judgement::nothing(&gate.key) };
            });
            look(Look { at: self.now, tally: &mut self.tally, judgements: &judgements });
            let seen = Observation {
                watched_since: Timestamp(0),
                n_behind: 0,
                watched_before: None,
                is_off: false,
                heard_at: Some(self.now),
                lost: 0.0,
                entered: self.tally.entered(),
                seen: self.tally.seen(),
                judgements,
                frozen_until: None,
                turn_of: None,
            };
            let plan = plan(self.spec, &self.status, &seen, self.now);
            self.status = plan.status;
            match plan.decision {
                Decision::Advance { step } => {
                    let share = self.spec.steps().get(step).map_or(0, |step| step.share);
                    if share == BUCKETS && !self.spec.gates().iter().any(Gate::is_absolute) {
                        // Nothing that is watched can find anything any more.
                        self.status.state = State::Completed;
                        return true;
                    }
                    let compared = self.spec.compared_share(step);
                    if self.spec.is_a_a(step) {
                        self.tally.begin_a_a(compared);
                    } else {
                        self.tally.begin_step(compared);
                    }
                }
                Decision::Guard | Decision::Complete => {
                    self.status.state = State::Completed;
                    return true;
                }
                Decision::RollBack | Decision::Kill | Decision::Pause => return true,
                Decision::Wait => {
                    let waiting = self.status.waiting;
                    if !matches!(waiting, Some(Waiting::Approval | Waiting::Window | Waiting::Scheduled)) {
                        return false;
                    }
                    // People are quick, and windows open.
                    match self.status.skipped() {
                        Ok(status) => self.status = status,
                        Err(_) => return false,
                    }
                }
            }
        }
    }

    /// Those who come within a tick.
    fn serve(&mut self) {
        let Some(step) = self.status.step else { return };
        let share = self.spec.steps().get(step).map_or(0, |step| step.share);
        self.due += self.release.units_per_minute * 5.0 / 60.0;
        while self.due >= 1.0 {
            self.due -= 1.0;
            self.n_visits += 1;
            let again = self.release.world.correlation.is_some();
            let number = if again { self.chances.below(self.population) } else { self.n_visits };
            let bucket = bucket(self.seed, number);
            let treated = bucket < share;
            self.treated += u64::from(treated && !again);
            let unit = splitmix(self.seed ^ splitmix(number));
            self.send(Event::Exposed(Exposed { unit, bucket: Some(bucket), treated }));
            self.measure(unit, treated);
        }
        if self.release.world.correlation.is_some() {
            self.treated = self.treated.max(self.tally.treated());
        }
    }

    /// What is measured of a unit on one visit.
    fn measure(&mut self, unit: u64, treated: bool) {
        let World { correlation, diurnal, together, .. } = self.release.world;
        let day =
            if diurnal { 1.0 + 4.0 * libm::sin(minutes(self.now.0) / 45.0 * std::f64::consts::PI).abs() } else { 1.0 };
        let is_bad = treated && self.now.0 >= self.release.begins_ms;
        let (common_luck, common_normal) = (self.chances.share(), self.chances.normal());
        let is_common = self.chances.share() < together;
        let alike = correlation.unwrap_or(0.0);
        let (spec, metrics) = (self.spec, &self.release.metrics);
        for (gate_idx, (gate, metric)) in spec.gates().iter().zip(metrics).enumerate() {
            let Some(events) = gate.events() else { continue };
            let Baseline { rate, spread } = metric.baseline;
            let effect = if is_bad { metric.effect } else { 1.0 };
            // Two kinds of units: those that it never happens to, and those that it often does.
            let often = alike * (1.0 - rate) + rate;
            let own = share_of(splitmix(unit ^ gate_idx as u64)) < rate / often;
            let rate = if alike == 0.0 { rate } else { f64::from(u8::from(own)) * often };
            let is_first = gate_idx == 0 || is_common;
            let luck = if is_first { common_luck } else { self.chances.share() };
            let Test::Happened { above } = events.test else {
                let normal = if is_first { common_normal } else { self.chances.normal() };
                if luck < rate {
                    let of_unit = Chances::new(unit ^ gate_idx as u64).normal();
                    let n_values =
                        if matches!(events.test, Test::Ratio { .. }) { 1 + self.chances.below(3) } else { 1 };
                    for n in 0..n_values {
                        let normal = if n == 0 { normal } else { self.chances.normal() };
                        let normal = libm::sqrt(alike) * of_unit + libm::sqrt(1.0 - alike) * normal;
                        let value = 100.0 * effect * day * libm::exp(spread * normal);
                        self.send(Event::Measured { unit, gate: gate_idx, value });
                    }
                }
                continue;
            };
            if luck < rate * day * effect {
                self.send(Event::Measured { unit, gate: gate_idx, value: above.unwrap_or(0.0) + 1.0 });
            }
        }
    }

    fn send(&mut self, event: Event) {
        if self.release.world.lag_ms == 0 && !self.release.world.disturbed {
            self.take(event, Timestamp(self.now.0 + TICK_MS));
        } else {
            self.sent.push_back((self.now.0 + TICK_MS + self.release.world.lag_ms, event));
        }
    }

    /// What is heard of by now.
    fn deliver(&mut self) {
        let n_heard = self.sent.iter().take_while(|(at, _)| *at <= self.now.0).count();
        let mut heard: Vec<_> = self.sent.drain(..n_heard).map(|(_, event)| event).collect();
        if self.release.world.disturbed {
            // What one unit tells stays in its order: one connection brings it.
            let of = |event: &Event| match event {
                Event::Exposed(Exposed { unit, .. }) | Event::Measured { unit, .. } => *unit,
            };
            heard.sort_by_key(|event| splitmix(of(event) ^ self.now.0.unsigned_abs()));
        }
        for event in heard {
            self.take(event, self.now);
            // Batches have ids, and a total is not counted twice; for all else it is the same whether it is.
            if self.release.world.disturbed && !self.is_summed(event) {
                self.take(event, self.now);
            }
        }
    }

    fn is_summed(&self, event: Event) -> bool {
        let Event::Measured { gate, .. } = event else { return false };
        let gate = self.spec.gates().get(gate).and_then(|gate| gate.events());
        gate.is_some_and(|gate| matches!(gate.test, Test::Mean { .. } | Test::Ratio { .. }))
    }

    fn take(&mut self, event: Event, at: Timestamp) {
        match event {
            Event::Exposed(exposed) => self.tally.expose(exposed, at),
            Event::Measured { unit, gate, value } => {
                let gate = self.spec.gates().get(gate).and_then(|gate| gate.events());
                let Some(gate) = gate else { return };
                self.tally.measure(unit, &gate.metric, Some(value), at);
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and cut to what there is")]
fn whole(number: f64) -> u64 {
    number as u64
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn minutes(ms: i64) -> f64 {
    ms as f64 / 60_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Direction, EventGate, OnHarm, Step, gate::MIN_UNITS};

    const HAPPENED: Test = Test::Happened { above: None };
    const MEAN: Test = Test::Mean { within_ms: 60_000 };
    const RATIO: Test = Test::Ratio { within_ms: 60_000 };
    const P95: Test = Test::Quantile { quantile: 0.95 };
    const ALL: [Test; 4] = [HAPPENED, MEAN, RATIO, P95];

    /// Three steps of ten minutes, and all.
    fn spec(gates: impl IntoIterator<Item = EventGate>) -> Spec {
        let steps = [10_000, 25_000, 50_000, BUCKETS].map(|share| Step::new(share, 600_000));
        let gates = (0..)
            .zip(gates)
            .map(|(n, gate): (u32, _)| Gate::on_events(n.to_string(), EventGate { metric: n.to_string(), ..gate }));
        Spec::new(steps.to_vec(), gates.collect(), OnHarm::RollBack).unwrap()
    }

    fn gate(test: Test, worse: Direction) -> EventGate {
        EventGate { test, worse, ..EventGate::named("m") }
    }

    /// All of the same traffic, what happens rarely and values that many units have.
    fn release(spec: &Spec, effect: f64, world: World) -> Release {
        let metrics = spec.gates().iter().map(|gate| {
            let is_share = gate.events().is_some_and(|gate| matches!(gate.test, Test::Happened { .. }));
            Metric { baseline: Baseline { rate: if is_share { 0.05 } else { 0.7 }, spread: 0.7 }, effect }
        });
        Release { units_per_minute: 300.0, metrics: metrics.collect(), begins_ms: 0, ends_ms: None, world }
    }

    /// Nothing changes, or no more than the margin allows, in whatever world: a wrong alarm in a hundred is allowed, and here are 40 each.
    #[test]
    fn healthy_releases_get_through() {
        let plain = World::default();
        let worlds = [
            (1.0, plain),
            (1.1, plain),
            (1.0, World { correlation: Some(0.5), ..plain }),
            (1.0, World { diurnal: true, ..plain }),
        ];
        for test in ALL {
            let spec = spec([gate(test, Direction::Up)]);
            for (seed, (effect, world)) in (1..).zip(worlds) {
                let mut release = release(&spec, effect, world);
                // Of those who come ten times there are a tenth as many.
                release.units_per_minute *= if world.correlation.is_some() { 3.0 } else { 1.0 };
                let outcome = simulate(&spec, &release, 10, seed * 1_000);
                assert_eq!((outcome.n_rolled_back, outcome.n_completed), (0, 10), "{test:?} {effect} {world:?}");
            }
        }
    }

    #[test]
    fn ten_gates_together_get_through() {
        for (seed, together) in [(1, 0.0), (1_000, 0.8)] {
            let spec = spec(
                (0..10)
                    .map(|n| gate(ALL[n % 4], Direction::Up))
                    .zip(0..)
                    .map(|(gate, n)| EventGate { metric: n.to_string(), ..gate }),
            );
            let outcome = simulate(&spec, &release(&spec, 1.0, World { together, ..World::default() }), 10, seed);
            assert_eq!(outcome.n_completed, 10, "{together} {outcome:?}");
        }
    }

    #[test]
    fn faulty_releases_are_rolled_back() {
        for test in ALL {
            for (worse, effect) in [(Direction::Up, 2.5), (Direction::Down, 0.3)] {
                let spec = spec([gate(test, worse)]);
                let outcome = simulate(&spec, &release(&spec, effect, World::default()), 10, 1);
                assert_eq!(outcome.n_rolled_back, 10, "{test:?} {worse:?} {outcome:?}");
                assert!(
                    outcome.median_minutes.unwrap() < 25.0 && outcome.mean_treated < 2_500.0,
                    "{test:?} {outcome:?}"
                );
            }
        }
    }

    /// Everything a minute late, twice, in another order, and another server every 30 seconds: what gates say is the same at each look.
    #[test]
    fn verdicts_do_not_depend_on_who_counts_and_in_which_order() {
        for (seed, effect) in [(1, 1.0), (2, 1.5)] {
            let spec = spec(ALL.map(|test| gate(test, Direction::Up)));
            let said = |disturbed| {
                let world = World { lag_ms: 60_000, disturbed, ..World::default() };
                let mut said = Vec::new();
                let run = run(&spec, &release(&spec, effect, world), seed, |look| {
                    let verdicts = look.judgements.iter().map(|judgement| (judgement.verdict, judgement.met));
                    said.push((look.at, verdicts.collect::<Vec<_>>()));
                    if disturbed && look.at.0 % 30_000 == 0 {
                        *look.tally = serde_json::from_str(&serde_json::to_string(look.tally).unwrap()).unwrap();
                    }
                });
                (said, run)
            };
            let (undisturbed, run) = said(false);
            assert!(said(true) == (undisturbed, run.clone()), "seed {seed}");
            assert_eq!(run.state == State::RolledBack, effect > 1.0);
        }
    }

    #[test]
    fn what_begins_later_is_found_later() {
        let spec = spec([gate(HAPPENED, Direction::Up)]);
        let mut release = release(&spec, 5.0, World::default());
        release.units_per_minute = 600.0;
        let at_once = run(&spec, &release, 5, |_| {});
        release.begins_ms = 15 * MINUTE_MS;
        let later = run(&spec, &release, 5, |_| {});
        assert_eq!((at_once.state, later.state), (State::RolledBack, State::RolledBack));
        assert!(at_once.ended.0 < 10 * MINUTE_MS && later.ended.0 > 15 * MINUTE_MS, "{at_once:?} {later:?}");
    }

    #[test]
    fn nobody_goes_on_without_the_units_that_a_gate_needs() {
        let spec = spec([gate(MEAN, Direction::Up)]);
        let few = Release { units_per_minute: 20.0, ..release(&spec, 1.0, World::default()) };
        let mut n_watched = Vec::new();
        let run = run(&spec, &few, 1, |look| n_watched.push(look.tally.seen().treatment));
        // 2 a minute, so that the first step takes an hour, not ten minutes.
        assert_eq!(run.state, State::Completed);
        assert!(run.ended.0 > 80 * MINUTE_MS && n_watched.iter().max() >= Some(&MIN_UNITS), "{run:?}");
    }
}

//! What gates do to healthy and to faulty releases, by simulation: how often a healthy one is rolled back, how soon a faulty one is, how
//! many units have it until then. And what gates cost: counting events, planning.
//!
//! Everything goes through the server's own parts: `Tally`, `judge`, `plan`. Seeded: the same figures each time, but for costs. Steps
//! 10 → 25 → 50 %, 15 minutes each, base rate 1 %, a look every 5 s, margin 0.1.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]
#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]

use std::{collections::HashSet, time::Instant};

use tidegate_benches::rig;
use tidegate_core::{Timestamp, VariantKey, bucket::BUCKETS};
use tidegate_protocol::events::{EventBatch, Exposure, MAX_ITEMS, Measurement, UnitHash};
use tidegate_rollout::{
    Decision, Exposed, Gate, Observation, OnHarm, Spec, Status, Step, Tally,
    evidence::{BetaBinomial, ROLL_BACK, SampleRatio, null_share},
    judge, plan,
};
use tidegate_server::{
    app::{
        event_log::{self, Writer},
        rollouts::Rollout,
        watches::{Attention, Reach, Watches},
        watching::{Sender, Under, Watching},
    },
    ports::store::{EnvironmentId, LoggedEvents},
};

const TICK_MS: i64 = 5_000;
const MINUTE_MS: i64 = 60_000;
const BASE: f64 = 0.01;

fn main() {
    if rig::named().iter().any(|name| name != "rollout") {
        return;
    }
    healthy();
    faulty();
    late();
    delay();
    arms();
    costs();
}

/// A release and its traffic.
#[derive(Clone, Copy)]
struct Release {
    units_per_minute: u32,
    /// How many times as often treatment has an error.
    risk: f64,
    /// Units that come ten times each, with an intra-class correlation; else each comes once.
    icc: Option<f64>,
    /// The base rate goes up to five times and back.
    diurnal: bool,
    gates: usize,
    /// The chance that all metrics of a unit have one luck.
    together: f64,
    minutes: i64,
    /// The risk begins in this minute.
    from_minute: i64,
    first_bake_ms: u64,
}

const RELEASE: Release = Release {
    units_per_minute: 600,
    risk: 1.0,
    icc: None,
    diurnal: false,
    gates: 1,
    together: 0.0,
    minutes: 45,
    from_minute: 0,
    first_bake_ms: 900_000,
};

struct Ended {
    /// When it was rolled back.
    minute: Option<f64>,
    /// Units that had the new variant.
    treated: u64,
}

impl Release {
    fn play(&self, seed: u64) -> Ended {
        let mut chances = Chances::new(seed);
        let gates: Vec<_> = (0..self.gates).map(|n| Gate::named(format!("m{n}"))).collect();
        let steps = [10_000, 25_000, 50_000, BUCKETS].map(|share| Step {
            share,
            bake_ms: if share == 10_000 { self.first_bake_ms } else { 900_000 },
            ..Step::default()
        });
        let Ok(spec) = Spec::new(steps.to_vec(), gates, OnHarm::RollBack) else { unreachable!("the steps are valid") };
        let mut tally = Tally::new(spec.gates(), Tally::CAPACITY);
        let mut status = Status::new(Timestamp(0));
        let (mut treated, mut n_units, mut now) = (0, 0, Timestamp(0));
        let per_tick = u64::from(self.units_per_minute) / 12;
        let population = per_tick * 12 * u64::try_from(self.minutes).unwrap_or(0) / 10;
        while now.0 < self.minutes * MINUTE_MS {
            let step = status.step;
            if let Some(share) = step.and_then(|step| spec.steps().get(step)).map(|step| step.share) {
                for _ in 0..per_tick {
                    n_units += 1;
                    let unit = if self.icc.is_some() { chances.below(population) } else { n_units };
                    let bucket = mixed(seed, unit);
                    let is_treated = bucket < share;
                    treated += u64::from(is_treated);
                    let id = splitmix(seed ^ splitmix(unit));
                    tally.expose(Exposed { unit: id, bucket: Some(bucket), treated: is_treated }, now);
                    self.measure(&mut tally, &mut chances, id, is_treated, now);
                }
            }
            now.0 += TICK_MS;
            if now.0 % (60 * MINUTE_MS) == 0 {
                tally.begin_hour();
            }
            let observed = Observation {
                watched_since: Timestamp(0),
                n_behind: 0,
                watched_before: None,
                is_off: false,
                heard_at: Some(now),
                lost: 0.0,
                entered: tally.entered(),
                seen: tally.seen(),
                judgements: judge(spec.gates(), &tally),
                frozen_until: None,
                turn_of: None,
            };
            let plan = plan(&spec, &status, &observed, now);
            if plan.decision == Decision::RollBack {
                return Ended { minute: Some(minutes(now.0)), treated };
            }
            if let Decision::Advance { step } = plan.decision
                && let Some(step) = spec.steps().get(step)
            {
                if step.share == BUCKETS {
                    break;
                }
                tally.begin_step(step.share);
            }
            status = plan.status;
        }
        Ended { minute: None, treated }
    }

    fn measure(&self, tally: &mut Tally, chances: &mut Chances, unit: u64, is_treated: bool, now: Timestamp) {
        let day = if self.diurnal { 1.0 + 4.0 * (minutes(now.0) / 45.0 * std::f64::consts::PI).sin() } else { 1.0 };
        let risk = if is_treated && now.0 >= self.from_minute * MINUTE_MS { self.risk } else { 1.0 };
        let base = match self.icc {
            // Two kinds of units: those that never have an error, and those that often do.
            Some(icc) if icc > 0.0 => {
                let often = icc * (1.0 - BASE) + BASE;
                if share_of(splitmix(unit)) < BASE / often { often } else { 0.0 }
            }
            _ => BASE,
        };
        let chance = (base * day * risk).min(1.0);
        let common = chances.share();
        let is_common = chances.share() < self.together;
        for gate in 0..self.gates {
            let luck = if gate == 0 || is_common { common } else { chances.share() };
            if luck < chance {
                tally.measure(unit, METRICS.get(gate).copied().unwrap_or_default(), None, now);
            }
        }
    }
}

const METRICS: [&str; 10] = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"];

fn healthy() {
    println!("| healthy releases | runs | rolled back | required |");
    println!("|---|--:|--:|--:|");
    let at_margin = Release { risk: 1.1, ..RELEASE };
    let visits = |icc| Release { icc: Some(icc), ..RELEASE };
    for (what, release, n_runs) in [
        ("60 units/min", Release { units_per_minute: 60, ..RELEASE }, 4_000),
        ("600 units/min", RELEASE, 4_000),
        ("6,000 units/min", Release { units_per_minute: 6_000, ..RELEASE }, 1_000),
        ("600 units/min, a tenth more errors (the margin)", at_margin, 4_000),
        ("6,000 units/min, a tenth more errors", Release { units_per_minute: 6_000, ..at_margin }, 1_000),
        ("ten visits a unit, correlation 0", visits(0.0), 4_000),
        ("ten visits a unit, correlation 0.2", visits(0.2), 4_000),
        ("ten visits a unit, correlation 0.5", visits(0.5), 4_000),
        ("base rate × 5 and back", Release { diurnal: true, ..RELEASE }, 4_000),
        ("10 metrics, apart", Release { gates: 10, ..RELEASE }, 2_000),
        ("10 metrics, together in 8 of 10", Release { gates: 10, together: 0.8, ..RELEASE }, 2_000),
    ] {
        let n = (0..n_runs).filter(|seed| release.play(*seed).minute.is_some()).count();
        println!("| {what} | {n_runs} | {:.2} % | ≤ 1 % |", percent(n, n_runs));
    }
    println!();
}

fn faulty() {
    println!("| faulty releases | runs | rolled back | median minutes | mean units with the new variant | required |");
    println!("|---|--:|--:|--:|--:|---|");
    let with = |units_per_minute, risk| Release { units_per_minute, risk, ..RELEASE };
    for (what, release, n_runs, required) in [
        ("60 units/min, 10 times the errors", with(60, 10.0), 1_000, ""),
        ("600 units/min, twice", with(600, 2.0), 1_000, "≤ 4,200 units"),
        ("600 units/min, 3 times", with(600, 3.0), 1_000, ""),
        ("6,000 units/min, 1.5 times", with(6_000, 1.5), 300, ""),
        ("6,000 units/min, 3 times", with(6_000, 3.0), 1_000, "≤ 1,400 units"),
        ("6,000 units/min, 10 times", with(6_000, 10.0), 1_000, ""),
    ] {
        let ended: Vec<_> = (0..n_runs).map(|seed| release.play(seed)).collect();
        let mut times: Vec<_> = ended.iter().filter_map(|it| it.minute).collect();
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
        let treated: u64 = ended.iter().map(|it| it.treated).sum();
        let treated = treated / n_runs;
        let share = percent(times.len(), n_runs);
        println!("| {what} | {n_runs} | {share:.1} % | {median:.1} | {treated} | {required} |");
    }
    println!();
}

fn late() {
    let release =
        Release { risk: 3.0, minutes: 25 * 60, from_minute: 24 * 60, first_bake_ms: 30 * 3_600_000, ..RELEASE };
    // At 25 %, as a quarter of the traffic at the first step's tenth would be.
    let release = Release { units_per_minute: 1_500, ..release };
    let mut times: Vec<_> = (0..40).filter_map(|seed| release.play(seed).minute).map(|at| at - 24.0 * 60.0).collect();
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    let n_before = times.iter().filter(|at| **at < 0.0).count();
    println!(
        "| errors triple after 24 clean hours, 600 units/min at 25 % | runs | found | before | median minutes | required |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    println!("| | 40 | {} | {n_before} | {median:.1} | ≤ 25 |\n", times.len());
}

/// A look after every event.
fn delay() {
    println!(
        "| a look at every event: units with an error until it is found | median, the gate | the process alone | fixed sample, 80 % power | gate / fixed | required |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    for (risk, fixed, required) in [(1.5, 427.0, 1.15), (2.0, 119.0, 1.15), (3.0, 46.0, 1.15), (5.0, 23.0, 1.5)] {
        let process = BetaBinomial::new(null_share(1.1, 0.5), 80.0, 0.01);
        let until = |evidence_needed: f64| {
            let mut needed: Vec<_> = (0..2_000)
                .map(|seed| {
                    let mut chances = Chances::new(seed);
                    let theta = null_share(risk, 0.5);
                    let mut n_worse = 0;
                    (1..20_000_u64)
                        .find(|n| {
                            n_worse += u64::from(chances.share() < theta);
                            process.ln_evidence(n_worse, *n) >= evidence_needed
                        })
                        .unwrap_or(20_000)
                })
                .collect();
            needed.sort_unstable();
            needed.get(needed.len() / 2).copied().unwrap_or_default()
        };
        // The first step's window has four fifths of the tolerated error.
        let (gate, alone) = (until(ROLL_BACK - 0.8_f64.ln()), until(ROLL_BACK));
        let ratio = float(gate) / fixed;
        println!("| {risk} times the errors | {gate} | {alone} | {fixed:.0} | {ratio:.2} | ≤ {required} |");
    }
    println!();
}

fn arms() {
    let needed = |share: f64, n_runs: u64, most: u64| -> Vec<u64> {
        let process = SampleRatio::new([0.5, 0.5]);
        let found = |seed: u64| {
            let mut chances = Chances::new(seed ^ 0x5eed);
            let mut units = [0, 0];
            (1..=most).find(|n| {
                let [treatment, control] = &mut units;
                *if chances.share() < share { treatment } else { control } += 1;
                n % 50 == 0 && process.ln_evidence(&units) >= SampleRatio::ALARM
            })
        };
        let mut found: Vec<_> = (0..n_runs).filter_map(found).collect();
        found.sort_unstable();
        found
    };
    let healthy = needed(0.5, 4_000, 27_000);
    let skewed = needed(0.52, 400, 100_000);
    let median = skewed.get(skewed.len() / 2).copied().unwrap_or_default();
    println!("| arms | | required |");
    println!("|---|--:|--:|");
    println!("| even: alarms in 4,000 runs of 27,000 units, a look every 50 | {} | ≤ 4 |", healthy.len());
    println!("| 52 to 48: median units until the alarm | {median} | ≤ 12,000 |\n");
}

fn costs() {
    const N_UNITS: u64 = 400_000;
    let environment = EnvironmentId { project: "bench".to_owned(), environment: "production".to_owned() };
    let gates = METRICS.iter().take(3).map(|name| Gate::named(*name)).collect();
    let Ok(spec) = Spec::new(Spec::default().steps().to_vec(), gates, OnHarm::RollBack) else {
        unreachable!("the spec is valid")
    };
    let (Ok(flag), Ok(variant), Ok(baseline)) = ("checkout".parse(), key("on"), key("off")) else {
        unreachable!("these are keys")
    };
    let mut status = Status::new(Timestamp(0));
    status.step = Some(2);
    let rollout = Rollout { flag, variant, baseline, salt: "salt".to_owned(), spec, status, evidence: None };
    let mut watching = Watching::default();
    watching.add(Under::rollout("r"), &rollout);
    let scope = environment.scope();
    let batches: Vec<_> = (0..N_UNITS).collect::<Vec<_>>().chunks(MAX_ITEMS / 2).map(batch).collect();
    let n_events: usize = batches.iter().map(|batch| batch.exposures.len() + batch.measurements.len()).sum();
    let began = Instant::now();
    let (mut entries, mut open, mut known) = (Vec::new(), Writer::default(), HashSet::new());
    for (batch, id) in batches.iter().zip(0..) {
        let sender = Sender { environment: &scope, batch: id, targeting_key: None };
        open.batch(&watching.reduce(sender, batch, |_| true, |_, _, exposed| known.insert(exposed.unit)));
        if open.len() > 256 * 1024 {
            entries.push(std::mem::take(&mut open).finish());
        }
    }
    entries.push(open.finish());
    let kept = began.elapsed().as_secs_f64();
    let n_bytes: usize = entries.iter().map(Vec::len).sum();

    let watches = Watches::default();
    watches.follow(&environment, [("r", &rollout)]);
    let mut steps = Writer::default();
    for step in 0..=2 {
        steps.step(&event_log::Step { environment: &scope, rollout: "r", step, capacity: watches.capacity() });
    }
    entries.insert(0, steps.finish());
    let began = Instant::now();
    for (body, position) in entries.into_iter().zip(1..) {
        let Ok(()) = watches.apply(&LoggedEvents { position, at: Timestamp(1), body }) else {
            unreachable!("it was just written")
        };
    }
    let counted = began.elapsed().as_secs_f64();
    let n_events = float(n_events as u64);
    println!("| costs, one core | | required |");
    println!("|---|--:|--:|");
    println!("| events kept for the log, new units each | {:.0} /s | |", n_events / kept);
    println!("| bytes of the log for each | {:.1} | |", float(n_bytes as u64) / n_events);
    println!("| events counted from the log | {:.0} /s | |", n_events / counted);
    println!("| both | {:.0} /s | ≥ 100,000 /s |", n_events / (kept + counted));
    let began = Instant::now();
    let pieces = watches.checkpoint().unwrap_or_default();
    let n_bytes: usize = pieces.into_iter().map(|piece| watches.piece(piece).len()).sum();
    let took_ms = began.elapsed().as_secs_f64() * 1e3;
    println!("| a checkpoint of {N_UNITS} units | {took_ms:.0} ms, {n_bytes} bytes | |");

    let n_looks = 2_000;
    let began = Instant::now();
    for n in 0..n_looks {
        let seen = watches.look(&environment, "r", &rollout, false, Reach::default(), Attention::default());
        let plan = plan(&rollout.spec, &rollout.status, &seen, Timestamp(2 + n));
        std::hint::black_box(plan);
    }
    let each = began.elapsed().as_secs_f64() / 2_000.0;
    let of_core = each * 1_000.0 / 5.0 * 100.0;
    println!("| a look with three gates: judged and planned | {:.1} µs | |", each * 1e6);
    println!("| 1,000 rollouts, a look every 5 s each: of the core | {of_core:.2} % | ≤ 5 % |");
}

fn key(text: &str) -> Result<VariantKey, ()> {
    text.parse().map_err(drop)
}

fn batch(units: &[u64]) -> EventBatch {
    let exposures = units.iter().map(|unit| {
        let bucket = mixed(7, *unit);
        let variant = if bucket < 50_000 { "on" } else { "off" };
        Exposure {
            flag: "checkout".to_owned(),
            variant: Some(variant.to_owned()),
            version: 1,
            unit: Some(UnitHash(splitmix(*unit))),
            bucket: Some(bucket),
            count: 1,
            at: 0,
        }
    });
    let measurements = units.iter().map(|unit| Measurement {
        metric: "m1".to_owned(),
        unit: Some(UnitHash(splitmix(*unit))),
        value: None,
        at: 0,
    });
    EventBatch { id: "b".to_owned(), exposures: exposures.collect(), measurements: measurements.collect(), dropped: 0 }
}

/// Numbers that look random and are the same every time.
struct Chances(u64);

impl Chances {
    fn new(seed: u64) -> Self {
        Self(splitmix(seed.wrapping_add(1)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        splitmix(self.0)
    }

    fn share(&mut self) -> f64 {
        share_of(self.next())
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// `SplitMix64`'s last step (Steele, Lea, Flood 2014).
fn splitmix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A unit's bucket in this run.
#[expect(clippy::cast_possible_truncation, reason = "below the number of buckets")]
fn mixed(seed: u64, unit: u64) -> u32 {
    ((u128::from(splitmix(splitmix(seed) ^ unit)) * u128::from(BUCKETS)) >> 64) as u32
}

fn share_of(number: u64) -> f64 {
    float(number >> 11) / float(1 << 53)
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn minutes(ms: i64) -> f64 {
    ms as f64 / 60_000.0
}

fn percent(n: usize, of: u64) -> f64 {
    float(n as u64) / float(of) * 100.0
}

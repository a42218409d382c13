//! What gates do to healthy and to faulty releases, by simulation: how often a healthy one is rolled back, how soon a faulty one is, how
//! many units have it until then. And what gates cost: counting events, memory, planning.
//!
//! Everything goes through the server's own parts: `Tally`, `judge`, `plan`, as `simulation` drives them. Seeded: the same figures each
//! time, but for costs. Steps 10 → 25 → 50 %, 15 minutes each, a look every 5 s.
//!
//! What events cost a whole server is measured with one: it runs on one core, with its database on the disk, and takes batches over HTTP that
//! the other core sends.
//!
//! `BENCH_RUNS=0.1` makes a tenth of the runs.

#![expect(clippy::print_stdout, reason = "the figures are what was asked for")]
#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock and at its environment")]

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use serde_json::json;
use tempfile::TempDir;
use tidegate_benches::{
    allocations::{Counting, live_bytes},
    rig::{self, ASKING_CORE, Actor, SERVING_CORE, tell},
    served,
    wire::answer,
};
use tidegate_core::{Timestamp, VariantKey, bucket::BUCKETS};
use tidegate_protocol::events::{EventBatch, Exposure, MAX_ITEMS, Measurement, UnitHash};
use tidegate_rollout::{
    Direction, EventGate, Exposed, Gate, OnHarm, Spec, State, Status, Step, Tally, Test, Verdict,
    chances::{Chances, bucket, splitmix},
    evidence::{BetaBinomial, ROLL_BACK, SampleRatio, null_share},
    judge, plan,
    simulation::{Baseline, Metric, Outcome, Release, World, each, run, simulate},
};
use tidegate_server::{
    app::{
        configurations::Mode,
        event_log::{self, Writer},
        rollouts::Rollout,
        watches::{Attention, Reach, Watches},
        watching::{Sender, Under, Watching},
    },
    ports::store::{EnvironmentId, LoggedEvents},
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> Result<()> {
    let named = rig::named();
    match rig::part().as_deref() {
        Some("server") => return rig::play(serve()),
        Some("send") => return rig::play(send(&named)),
        Some(part) => bail!("`{part}` is no part"),
        None if named.iter().any(|name| name != "rollout") => return Ok(()),
        None => {}
    }
    costs();
    taken()?;
    delay();
    delay_of_means();
    delay_of_quantiles();
    arms();
    late();
    same_verdicts();
    faulty();
    healthy();
    Ok(())
}

/// A gate, and what it watches.
#[derive(Clone, Copy)]
struct Kind {
    name: &'static str,
    test: Test,
    worse: Direction,
    margin: f64,
    baseline: Baseline,
}

const ERRORS: Kind = Kind {
    name: "errors, 1 % of units",
    test: Test::Happened { above: None },
    worse: Direction::Up,
    margin: 0.1,
    baseline: Baseline { rate: 0.01, spread: 0.0 },
};

/// A short time, so that it ends within the step.
const WITHIN_MS: u64 = 60_000;

const MEAN: Kind = Kind {
    name: "mean of what all units have",
    test: Test::Mean { within_ms: WITHIN_MS },
    margin: 0.05,
    baseline: Baseline { rate: 1.0, spread: 1.0 },
    ..ERRORS
};

const AMOUNT: Kind = Kind {
    name: "mean amount of 5 % of units, less is worse",
    worse: Direction::Down,
    margin: 0.1,
    baseline: Baseline { rate: 0.05, spread: 1.0 },
    ..MEAN
};

const RATIO: Kind = Kind { name: "mean of measurements", test: Test::Ratio { within_ms: WITHIN_MS }, ..MEAN };

const P95: Kind = Kind {
    name: "p95",
    test: Test::Quantile { quantile: 0.95 },
    margin: 0.05,
    baseline: Baseline { rate: 1.0, spread: 0.5 },
    ..ERRORS
};

const KINDS: [Kind; 5] = [ERRORS, MEAN, AMOUNT, RATIO, P95];

impl Kind {
    fn gate(self, key: &str) -> Gate {
        let Self { test, worse, margin, .. } = self;
        Gate::on_events(key, EventGate { test, worse, margin, ..EventGate::named(key) })
    }

    fn release(self, units_per_minute: f64, effect: f64, world: World) -> Release {
        let metrics = vec![Metric { baseline: self.baseline, effect }];
        Release { units_per_minute, metrics, begins_ms: 0, ends_ms: None, world }
    }

    /// What its margin still lets pass.
    fn at_margin(self) -> f64 {
        if self.worse == Direction::Up { 1.0 + self.margin } else { 1.0 - self.margin }
    }

    /// In the usual steps.
    fn play(self, release: &Release, n_runs: u64) -> Outcome {
        simulate(&usual(vec![self.gate("m")]), release, n_runs, 1)
    }
}

fn spec(steps: &[(u32, u64)], gates: Vec<Gate>) -> Spec {
    let steps = steps.iter().map(|(share, minutes)| Step::new(*share, minutes * 60_000));
    let Ok(spec) = Spec::new(steps.collect(), gates, OnHarm::RollBack) else { unreachable!("the steps are valid") };
    spec
}

fn usual(gates: Vec<Gate>) -> Spec {
    spec(&[(10_000, 15), (25_000, 15), (50_000, 15), (BUCKETS, 15)], gates)
}

/// So many runs, or the part of them that is asked for.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a number of runs")]
fn runs(n: u64) -> u64 {
    let part = std::env::var("BENCH_RUNS").ok().and_then(|text| text.parse::<f64>().ok()).unwrap_or(1.0);
    (float(n) * part).ceil() as u64
}

fn healthy() {
    println!("| healthy releases | world | runs | rolled back | of all, at most (95 %) | did not end | required |");
    println!("|---|---|--:|--:|--:|--:|--:|");
    let plain = World::default();
    let again = |correlation| World { correlation: Some(correlation), ..plain };
    for kind in KINDS {
        let margin = kind.at_margin();
        // Of those who come ten times there are a tenth as many, and of amounts that few have, enough are waited for.
        let (often, n_again) = if kind.name == AMOUNT.name { (6_000.0, 500) } else { (1_200.0, 4_000) };
        for (world, release, n_runs) in [
            ("60 units/min", kind.release(60.0, 1.0, plain), 4_000),
            ("600 units/min", kind.release(600.0, 1.0, plain), 4_000),
            ("600 units/min, at the margin", kind.release(600.0, margin, plain), 4_000),
            ("6,000 units/min, at the margin", kind.release(6_000.0, margin, plain), 4_000),
            ("ten visits a unit, correlation 0", kind.release(often, 1.0, again(0.0)), n_again),
            ("ten visits a unit, correlation 0.2", kind.release(often, 1.0, again(0.2)), n_again),
            ("ten visits a unit, correlation 0.5", kind.release(often, 1.0, again(0.5)), n_again),
            ("what is measured × 5 and back", kind.release(600.0, 1.0, World { diurnal: true, ..plain }), 4_000),
        ] {
            told(kind.name, world, &kind.play(&release, runs(n_runs)));
        }
    }
    for (world, together) in [("apart", 0.0), ("together in 8 of 10", 0.8)] {
        let kinds: Vec<_> = KINDS.iter().chain(&KINDS).collect();
        let gates = kinds.iter().enumerate().map(|(n, kind)| kind.gate(&n.to_string())).collect();
        let metrics = kinds.iter().map(|kind| Metric { baseline: kind.baseline, effect: 1.0 }).collect();
        let world_of = World { together, ..plain };
        let release = Release { units_per_minute: 600.0, metrics, begins_ms: 0, ends_ms: None, world: world_of };
        told("10 gates, two of each", world, &simulate(&usual(gates), &release, runs(500), 1));
    }
    println!();
}

fn told(what: &str, world: &str, outcome: &Outcome) {
    let Outcome { n_runs, n_rolled_back, n_completed, .. } = outcome;
    let (share, bound) = (percent(*n_rolled_back, *n_runs), upper_bound(*n_rolled_back, *n_runs) * 100.0);
    let n_others = n_runs - n_rolled_back - n_completed;
    println!("| {what} | {world} | {n_runs} | {share:.2} % | {bound:.2} % | {n_others} | ≤ 1 % |");
}

/// What a share is at most that was seen `n_yes` times in `n`, with a confidence of 95 %: exact (Clopper and Pearson, "The use of confidence or
/// fiducial limits", 1934).
fn upper_bound(n_yes: u64, n: u64) -> f64 {
    // Of no more than those, if the share is that.
    let chance = |share: f64| {
        let (mut term, mut sum) = (float(n) * (-share).ln_1p(), 0.0);
        for k in 0..=n_yes {
            sum += term.exp();
            term += (float(n - k) / float(k + 1) * share / (1.0 - share)).ln();
        }
        sum
    };
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        *if chance(middle) > 0.05 { &mut low } else { &mut high } = middle;
    }
    high
}

fn faulty() {
    println!("| faulty releases | runs | rolled back | median minutes | mean units with the new variant | required |");
    println!("|---|--:|--:|--:|--:|---|");
    let wide = Kind { baseline: Baseline { rate: 1.0, spread: 1.0 }, ..P95 };
    for (kind, what, units_per_minute, effect, n_runs, required) in [
        (ERRORS, "60 units/min, 10 times the errors", 60.0, 10.0, 1_000, ""),
        (ERRORS, "600 units/min, twice", 600.0, 2.0, 1_000, ""),
        (ERRORS, "600 units/min, twice, until minute 45", 600.0, 2.0, 1_000, "≤ 4,200 units"),
        (ERRORS, "600 units/min, 3 times", 600.0, 3.0, 1_000, ""),
        (ERRORS, "6,000 units/min, 1.5 times", 6_000.0, 1.5, 200, ""),
        (ERRORS, "6,000 units/min, 3 times", 6_000.0, 3.0, 1_000, "≤ 1,400 units"),
        (ERRORS, "6,000 units/min, 10 times", 6_000.0, 10.0, 1_000, ""),
        (MEAN, "600 units/min, mean + 20 %, σ 1", 600.0, 1.2, 500, ""),
        (MEAN, "600 units/min, mean + 50 %, σ 1", 600.0, 1.5, 500, ""),
        (AMOUNT, "600 units/min, amounts of 5 % of units halved, σ 1", 600.0, 0.5, 500, ""),
        (RATIO, "600 units/min, mean of measurements + 20 %, σ 1", 600.0, 1.2, 500, ""),
        (P95, "600 units/min, p95 + 20 %, σ 0.5", 600.0, 1.2, 300, ""),
        (P95, "600 units/min, p95 + 50 %, σ 0.5", 600.0, 1.5, 500, ""),
        (wide, "600 units/min, p95 + 50 %, σ 1", 600.0, 1.5, 300, ""),
    ] {
        // Whoever holds on a suspicion goes on looking; a bar is about the time of three steps.
        let ends_ms = what.ends_with("45").then_some(45 * 60_000);
        let release = Release { ends_ms, ..kind.release(units_per_minute, effect, World::default()) };
        let outcome = kind.play(&release, runs(n_runs));
        let Outcome { n_runs, n_rolled_back, median_minutes, mean_treated, .. } = outcome;
        let (share, median) = (percent(n_rolled_back, n_runs), median_minutes.unwrap_or(f64::NAN));
        println!("| {what} | {n_runs} | {share:.1} % | {median:.1} | {mean_treated:.0} | {required} |");
    }
    println!();
}

fn late() {
    println!("| after 24 clean hours, 600 units/min at 25 % | runs | found | before | median minutes | required |");
    println!("|---|--:|--:|--:|--:|--:|");
    for (kind, what, effect, n_runs, required) in [
        (ERRORS, "errors triple", 3.0, 40, "≤ 25"),
        (MEAN, "mean + 50 %, σ 1", 1.5, 10, ""),
        (P95, "p95 + 50 %, σ 0.5", 1.5, 10, ""),
    ] {
        let spec = spec(&[(25_000, 30 * 60), (BUCKETS, 15)], vec![kind.gate("m")]);
        let from = 24 * 60 * 60_000;
        let release = Release { begins_ms: from, ..kind.release(600.0, effect, World::default()) };
        let n_runs = runs(n_runs);
        let runs = each(n_runs, |seed| run(&spec, &release, seed, |_| {}));
        let found = runs.iter().filter(|run| run.state == State::RolledBack);
        let mut times: Vec<_> = found.map(|run| minutes(run.ended.0 - from)).collect();
        times.sort_by(f64::total_cmp);
        let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
        let n_before = times.iter().filter(|at| **at < 0.0).count();
        println!("| {what} | {n_runs} | {} | {n_before} | {median:.1} | {required} |", times.len());
    }
    println!();
}

/// Everything a minute late; once more with all events twice and in another order, and a server that takes over every 30 s.
fn same_verdicts() {
    let gates = KINDS.iter().enumerate().map(|(n, kind)| kind.gate(&n.to_string())).collect();
    let spec = usual(gates);
    let n_runs = runs(40);
    let same = each(n_runs, |seed| {
        let effect = if seed % 2 == 0 { 1.0 } else { 2.0 };
        let said = |disturbed| {
            let metrics = KINDS.iter().map(|kind| Metric { baseline: kind.baseline, effect }).collect();
            let world = World { lag_ms: 60_000, disturbed, ..World::default() };
            let mut said = Vec::new();
            let release = Release { units_per_minute: 600.0, metrics, begins_ms: 0, ends_ms: None, world };
            let run = run(&spec, &release, seed, |look| {
                said.push((look.at, look.judgements.iter().map(|it| (it.verdict, it.met)).collect::<Vec<_>>()));
                if disturbed && look.at.0 % 30_000 == 0 {
                    let stored = serde_json::to_string(look.tally);
                    if let Some(tally) = stored.ok().and_then(|text| serde_json::from_str(&text).ok()) {
                        *look.tally = tally;
                    }
                }
            });
            (said, run)
        };
        let undisturbed = said(false);
        (undisturbed.0.len(), said(true) == undisturbed)
    });
    let n_looks: usize = same.iter().map(|(n_looks, _)| n_looks).sum();
    let n_same = same.iter().filter(|(_, is_same)| *is_same).count();
    println!("| events late by 60 s, twice, in another order, another server every 30 s | | required |");
    println!("|---|--:|--:|");
    println!("| rollouts with the same verdicts at each of {n_looks} looks | {n_same} of {n_runs} | all |\n");
}

/// At half of everybody, a look after every few units: how many units of each arm until it is found, in the median and on average.
fn units_until_found(kind: Kind, effect: f64, n_runs: u64) -> (f64, f64) {
    let spec = spec(&[(50_000, 40_000), (BUCKETS, 15)], vec![kind.gate("m")]);
    let release = kind.release(24.0, effect, World::default());
    let found = |seed| {
        let mut units = f64::NAN;
        run(&spec, &release, seed, |look| {
            if look.judgements.iter().any(|judgement| judgement.verdict == Verdict::Harm) {
                let met =
                    look.judgements.first().map_or(0, |judgement| judgement.met.treatment + judgement.met.control);
                units = float(met) / 2.0;
            }
        });
        units
    };
    median_and_mean(each(n_runs, found))
}

fn median_and_mean(mut found: Vec<f64>) -> (f64, f64) {
    found.sort_by(f64::total_cmp);
    let median = found.get(found.len() / 2).copied().unwrap_or(f64::NAN);
    (median, found.iter().sum::<f64>() / float(found.len() as u64))
}

fn delay_of_means() {
    println!(
        "| means, a look every two units | median units of an arm | mean | fixed sample, 80 % power | ratios | required |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    let half = Kind { baseline: Baseline { rate: 1.0, spread: 0.5 }, ..MEAN };
    for (kind, what, effect) in [
        (half, "+ 20 %, σ 0.5", 1.2),
        (MEAN, "+ 20 %, σ 1", 1.2),
        (MEAN, "+ 50 %, σ 1", 1.5),
        (AMOUNT, "5 % of units, halved, σ 1", 0.5),
    ] {
        let kind = Kind { test: Test::Mean { within_ms: 1_000 }, ..kind };
        let (median, mean) = units_until_found(kind, effect, runs(300));
        let Baseline { rate, spread } = kind.baseline;
        let (allowed, variance) = (kind.at_margin(), (spread * spread).exp() / rate - 1.0);
        // One look at a sample of a size that is known beforehand: an error of 1 %, a power of 80 %.
        let deviations = 2.326_348 + 0.841_621;
        let fixed = f64::powi(deviations / (effect - allowed), 2) * variance * (effect * effect + allowed * allowed);
        let ratios = format!("{:.2}, {:.2}", median / fixed, mean / fixed);
        println!("| {what} | {median:.0} | {mean:.0} | {fixed:.0} | {ratios} | ≤ 1.15, 1.3 |");
    }
    println!();
}

fn delay_of_quantiles() {
    println!("| p95, a look every two units | median units of an arm | required |");
    println!("|---|--:|--:|");
    let wide = Kind { baseline: Baseline { rate: 1.0, spread: 1.0 }, ..P95 };
    for (kind, what, effect, n_runs, required) in [
        (P95, "+ 50 %, σ 0.5", 1.5, 300, "≤ 650"),
        (P95, "+ 20 %, σ 0.5", 1.2, 60, ""),
        (wide, "+ 50 %, σ 1", 1.5, 60, ""),
    ] {
        println!("| {what} | {:.0} | {required} |", units_until_found(kind, effect, runs(n_runs)).0);
    }
    println!();
}

/// A look after every event.
fn delay() {
    println!(
        "| a look at every event: units with an error until it is found | median, the gate | mean | the process alone | fixed sample, 80 % power | gate / fixed | required |"
    );
    println!("|---|--:|--:|--:|--:|--:|--:|");
    for (risk, fixed, required) in
        [(1.5, 427.0, "≤ 1.15, 1.3"), (2.0, 119.0, "≤ 1.15, 1.3"), (3.0, 46.0, "≤ 1.15, 1.3"), (5.0, 23.0, "≤ 1.5")]
    {
        let process = BetaBinomial::new(null_share(1.1, 0.5), 60.0, 0.01);
        let until = |evidence_needed: f64| {
            median_and_mean(each(2_000, |seed| {
                let (mut chances, mut n_worse) = (Chances::new(seed), 0);
                let found = (1..20_000_u64).find(|n| {
                    n_worse += u64::from(chances.share() < null_share(risk, 0.5));
                    process.ln_evidence(n_worse, *n) >= evidence_needed
                });
                float(found.unwrap_or(20_000))
            }))
        };
        // The first step's window has nine tenths of the tolerated error.
        let ((median, mean), (alone, _)) = (until(ROLL_BACK - 0.9_f64.ln()), until(ROLL_BACK));
        let ratios = format!("{:.2}, {:.2}", median / fixed, mean / fixed);
        println!("| {risk} times the errors | {median} | {mean:.0} | {alone} | {fixed} | {ratios} | {required} |");
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
        let mut found: Vec<_> = each(n_runs, found).into_iter().flatten().collect();
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
    let gates = ["m0", "m1", "m2"].map(Gate::named).to_vec();
    let Ok(spec) = Spec::new(Spec::default().steps().to_vec(), gates, OnHarm::RollBack) else {
        unreachable!("the spec is valid")
    };
    let (Ok(flag), Ok(variant), Ok(baseline)) = ("checkout".parse(), key("on"), key("off")) else {
        unreachable!("these are keys")
    };
    let mut status = Status::new(Timestamp(0));
    status.step = Some(2);
    let rollout = Rollout {
        flag,
        variant,
        baseline,
        salt: "salt".to_owned(),
        spec,
        status,
        evidence: None,
        reason: String::new(),
    };
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

    memory();

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
    looks_after_a_week();
}

const CONNECTIONS: u64 = 8;
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(5);

/// What a whole server takes on one core: read, reduced, stored and counted, for a rollout with three gates.
fn taken() -> Result<()> {
    let mut server = Actor::start("server", SERVING_CORE, &[])?;
    let place = server.line()?;
    let mut sending = Actor::start("send", ASKING_CORE, &[&place])?;
    sending.line().context("warming up")?;
    let before = server.usage()?.cpu;
    let n_events: f64 = sending.line()?.parse()?;
    let cpu = server.usage()?.cpu.saturating_sub(before).as_secs_f64();
    println!(
        "\n| events over HTTP, {MAX_ITEMS} a batch, a server on one core with its database on disk | | required |"
    );
    println!("|---|--:|--:|");
    let (per_s, each_us) = (n_events / MEASURED.as_secs_f64(), cpu / n_events * 1e6);
    println!(
        "| taken from {CONNECTIONS} connections, with JSON, the log and its commits, and counting | {per_s:.0} /s | |"
    );
    let a_core = 1e6 / each_us;
    println!(
        "| the server's CPU for each; so many keep its core busy | {each_us:.2} µs; {a_core:.0} /s | ≥ 100,000 /s |\n"
    );
    Ok(())
}

async fn serve() -> Result<()> {
    let folder = TempDir::new()?;
    let app = served::open(folder.path()).await?;
    let key = served::fill(&app).await?;
    let (request, environment) = (served::request(), served::environment());
    let flag = json!({ "key": "checkout", "name": "Checkout", "kind": "boolean" });
    app.create_flag(&request, &environment.project, serde_json::from_value(flag)?).await?;
    let patch = json!({ "enabled": true, "default": { "variant": "off" } });
    app.configure(&request, &environment, "checkout", 0, &patch, Mode::Commit).await?;
    let steps = json!([{ "share": 50_000, "bakeMs": 3_600_000 }, { "share": 100_000, "bakeMs": 3_600_000 }]);
    let gates = ["m0", "m1", "m2"].map(|key| json!({ "key": key, "metric": key }));
    let start = json!({ "flag": "checkout", "variant": "on", "spec": { "steps": steps, "gates": gates } });
    app.start_rollout(&request, &environment, serde_json::from_value(start)?).await?;
    let server = served::bind(app, folder.path(), 0).await?;
    tell(&format!("{} {key}", server.address()))?;
    server.run(rig::until_alone()).await
}

/// Sends batches of new units for a while, and tells how many events were taken.
async fn send(arguments: &[String]) -> Result<()> {
    let [place] = arguments else { bail!("say where") };
    let (address, key) = place.split_once(' ').context("an address and a key")?;
    let begin = Instant::now() + WARM_UP;
    let connections: Vec<_> = (0..CONNECTIONS)
        .map(|number| tokio::spawn(connection(address.to_owned(), key.to_owned(), number, begin)))
        .collect();
    tokio::time::sleep_until(begin.into()).await;
    tell("warm")?;
    let mut n_taken = 0;
    for connection in connections {
        n_taken += connection.await??;
    }
    tell(&n_taken.to_string())
}

/// One batch after the other; how many of their events were taken in time.
async fn connection(address: String, key: String, number: u64, begin: Instant) -> Result<usize> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut buffer, mut n_taken) = (vec![0; 64 * 1024], 0);
    for n in 0.. {
        let first = (number * 1_000_000 + n) * MAX_ITEMS as u64 / 2;
        let units: Vec<_> = (first..first + MAX_ITEMS as u64 / 2).collect();
        let EventBatch { exposures, measurements, .. } = batch(&units);
        let n_items = exposures.len() + measurements.len();
        let text = |unit: Option<UnitHash>| unit.map(|UnitHash(hash)| format!("{hash:016x}"));
        let exposures = exposures.into_iter().map(|Exposure { flag, variant, version, unit, bucket, .. }| {
            json!({ "flag": flag, "variant": variant, "version": version, "unit": text(unit), "bucket": bucket })
        });
        let measurements = measurements.into_iter().map(|it| json!({ "metric": it.metric, "unit": text(it.unit) }));
        let id = format!("{number}-{n}");
        let body = json!({
            "id": id, "exposures": exposures.collect::<Vec<_>>(), "measurements": measurements.collect::<Vec<_>>(),
        });
        let body = body.to_string();
        let head = format!(
            "POST /api/v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\ncontent-type: \
             application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let started = Instant::now();
        if started >= begin + MEASURED {
            break;
        }
        stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await?;
        answer(&mut stream, &mut buffer).await?;
        if started >= begin && Instant::now() < begin + MEASURED {
            n_taken += n_items;
        }
    }
    Ok(n_taken)
}

/// One gate of each kind, with all windows of hours open, and values as far apart as times and as amounts are.
fn looks_after_a_week() {
    for spread in [0.5, 1.5] {
        let tests = [ERRORS.test, MEAN.test, RATIO.test, P95.test];
        let event_gate = |test| EventGate { test, margin: 0.05, ..EventGate::named("m") };
        let gates: Vec<_> =
            (0..).zip(tests).map(|(n, test): (u32, _)| Gate::on_events(n.to_string(), event_gate(test))).collect();
        let mut tally = Tally::new(&gates, Tally::CAPACITY);
        for share in [10_000, 25_000, 50_000] {
            tally.begin_step(share);
        }
        let mut chances = Chances::new(1);
        let mut now = Timestamp(0);
        for _ in 0..168 {
            for n in 0..600 {
                now.0 += 6_000;
                // Half of them come for the first time.
                let number = if n % 2 == 0 { chances.number() } else { chances.below(20_000) };
                let (unit, bucket) = (splitmix(number), bucket(7, number));
                tally.expose(Exposed { unit, bucket: Some(bucket), treated: bucket < 50_000 }, now);
                tally.measure(unit, "m", Some(100.0 * (spread * chances.normal()).exp()), now);
            }
            tally.begin_hour();
        }
        let began = Instant::now();
        for _ in 0..2_000 {
            std::hint::black_box(judge(&gates, &tally));
        }
        let each = began.elapsed().as_secs_f64() / 2_000.0;
        let of_core = each * 1_000.0 / 5.0 * 100.0;
        println!("| one gate of each kind, after a week of hours, σ {spread} | {:.1} µs | |", each * 1e6);
        println!("| … 1,000 rollouts, a look every 5 s each: of the core | {of_core:.2} % | ≤ 5 % |");
    }
}

/// Of as many units as there may be, all of them compared, with a mean that still grows.
fn memory() {
    for (what, gates) in [
        ("three gates on what happened", vec![ERRORS.gate("a"), ERRORS.gate("b"), ERRORS.gate("c")]),
        ("one of each: happened, mean, p95", vec![ERRORS.gate("a"), MEAN.gate("b"), P95.gate("c")]),
    ] {
        let before = live_bytes();
        let mut tally = Tally::new(&gates, Tally::CAPACITY);
        tally.begin_step(50_000);
        let (mut most, mut at_most) = (0.0_f64, 0.0);
        for unit in 0..Tally::CAPACITY as u64 {
            let bucket = bucket(7, unit);
            tally
                .expose(Exposed { unit: splitmix(unit), bucket: Some(bucket), treated: bucket < 50_000 }, Timestamp(0));
            tally.measure(splitmix(unit), "c", Some(float(unit % 1_000)), Timestamp(0));
            if unit % 1_000 == 999 {
                at_most = float(live_bytes() - before) / float(unit + 1);
                most = if unit > 100_000 { most.max(at_most) } else { most };
            }
        }
        let size = serde_json::to_string(&tally).map_or(0, |text| text.len());
        println!("| memory of a unit, {what}: of a million | {at_most:.0} bytes | ≤ 64 |");
        println!("| … and at worst, while it grows above 100,000 | {most:.0} bytes | ≤ 64 |");
        println!("| … stored as JSON | {:.0} bytes | |", float(size as u64) / float(Tally::CAPACITY as u64));
    }
}

fn key(text: &str) -> Result<VariantKey, ()> {
    text.parse().map_err(drop)
}

fn batch(units: &[u64]) -> EventBatch {
    let exposures = units.iter().map(|unit| {
        let bucket = bucket(7, *unit);
        let variant = if bucket < 50_000 { "on" } else { "off" };
        Exposure {
            flag: "checkout".to_owned(),
            variant: Some(variant.to_owned()),
            version: 1,
            unit: Some(UnitHash(splitmix(*unit))),
            bucket: Some(bucket),
            rule: None,
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

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "below 2^53")]
fn minutes(ms: i64) -> f64 {
    ms as f64 / 60_000.0
}

fn percent(n: u64, of: u64) -> f64 {
    float(n) / float(of) * 100.0
}

//! Runs the scripts of `spec/rollouts`, which say what a rollout does, in a form that a person can read. See its README.
//!
//! `UPDATE_SCENARIOS=1 cargo test -p tidegate-rollout` writes what comes out into the scripts; read the difference.

mod asked;

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use tidegate_core::{
    Timestamp,
    bucket::{BUCKETS, Seed},
};

use crate::{
    Arms, Decision, Direction, EventGate, Exposed, Gate, Judgement, Limit, Observation, OnHarm, Plan, Severity, Spec,
    State, Status, Step, Tally, Test, Watched, Window,
    chances::{Chances, share_of},
    judge, plan,
    window::{self, WindowText},
};

/// When the scripts begin: 2026-11-02, a Monday, at 0:00 UTC.
const BEGIN: Timestamp = Timestamp(1_793_577_600_000);

/// How often the script's controller looks, in milliseconds.
const TICK_MS: i64 = 5_000;
const HOUR_MS: i64 = 3_600_000;

struct Play {
    spec: Spec,
    status: Status,
    tally: Tally,
    now: Timestamp,
    watched_since: Timestamp,
    watched_before: Option<(Timestamp, Timestamp)>,
    heard_at: Option<Timestamp>,
    n_behind: u64,
    is_off: bool,
    lost: f64,
    freezes: Vec<Window>,
    turn_of: Option<String>,
    /// What share of units is in a segment.
    segments: BTreeMap<String, f64>,
    /// Whether units in an A/A bake are treated as if they had the new variant.
    leaks: bool,
    /// The share of treatment's units that telemetry loses.
    skew: f64,
    per_minute: u32,
    /// Units that come again and again, in turn; 0: each unit is new.
    population: u64,
    /// What share of units a metric happens to: treatment, control.
    rates: BTreeMap<String, (f64, f64)>,
    values: BTreeMap<String, Values>,
    n_units: u64,
    asked: asked::Asked,
    told: String,
    said: Vec<String>,
}

/// What a metric measures, of some units.
struct Values {
    treatment: f64,
    control: f64,
    /// The standard deviation of the logarithm.
    spread: f64,
    /// The share of units that have one.
    of: f64,
}

impl Play {
    fn new(spec: Spec) -> Self {
        let zero = BEGIN;
        Self {
            tally: Tally::new(spec.gates(), Tally::CAPACITY),
            spec,
            status: Status::new(zero),
            now: zero,
            watched_since: zero,
            heard_at: None,
            n_behind: 0,
            watched_before: None,
            is_off: false,
            lost: 0.0,
            freezes: Vec::new(),
            turn_of: None,
            segments: BTreeMap::new(),
            leaks: false,
            skew: 0.0,
            per_minute: 0,
            population: 0,
            rates: BTreeMap::new(),
            values: BTreeMap::new(),
            n_units: 0,
            asked: asked::Asked::default(),
            told: String::new(),
            said: Vec::new(),
        }
    }

    fn look(&mut self) {
        loop {
            let seen = Observation {
                watched_since: self.watched_since,
                n_behind: self.n_behind,
                watched_before: self.watched_before,
                is_off: self.is_off,
                heard_at: self.heard_at,
                lost: self.lost,
                entered: self.tally.entered(),
                seen: self.tally.seen(),
                judgements: self.judgements(),
                frozen_until: window::open_until(&self.freezes, self.now),
                turn_of: self.turn_of.clone(),
            };
            let Plan { decision, reason, status, next_look } = plan(&self.spec, &self.status, &seen, self.now);
            assert_eq!(next_look.is_none(), status.is_ended());
            assert!(status.generation - self.status.generation <= 1);
            if decision == Decision::Wait && status.is_ended() {
                return;
            }
            let code = format!("{decision:?} {:?} {:?}", reason.waiting(), status.state);
            if let Decision::Advance { step } = decision {
                self.begin(step);
            }
            let what = decision.told(&self.spec);
            if code != self.told {
                self.say(&format!("{what}: {reason}"));
                self.told = code;
            }
            self.status = status;
            self.asked.follow(&self.status);
            if decision == Decision::Wait {
                return;
            }
        }
    }

    fn judgements(&self) -> Vec<Judgement> {
        self.asked.judge(&self.spec, self.now, judge(self.spec.gates(), &self.tally))
    }

    fn begin(&mut self, step: usize) {
        let share = self.spec.compared_share(step);
        if self.spec.is_a_a(step) {
            self.tally.begin_a_a(share);
        } else {
            self.tally.begin_step(share);
        }
    }

    fn elapsed_ms(&self) -> i64 {
        self.now.0 - BEGIN.0
    }

    fn say(&mut self, text: &str) {
        let s = self.elapsed_ms() / 1_000;
        self.said.push(format!("> {}:{:02}:{:02} {text}", s / 3_600, s / 60 % 60, s % 60));
    }

    /// Time passes, with traffic; `watched`: somebody looks.
    fn pass(&mut self, ms: i64, watched: bool) {
        let end = self.elapsed_ms() + ms;
        while self.elapsed_ms() < end {
            let before = self.elapsed_ms();
            let after = (before + TICK_MS).min(end);
            self.now.0 = BEGIN.0 + after;
            if self.status.step.is_some() && after / HOUR_MS > before / HOUR_MS {
                self.tally.begin_hour();
            }
            let up_to = |ms: i64| u64::from(self.per_minute) * u64::try_from(ms).unwrap() / 60_000;
            for number in up_to(before)..up_to(after) {
                self.serve(if self.population == 0 { number } else { number % self.population });
            }
            if watched {
                self.asked.ask(&self.spec, &self.status, self.now);
                self.look();
            }
        }
    }

    /// One unit asks, and what happens to it happens.
    fn serve(&mut self, number: u64) {
        self.n_units += 1;
        let key = format!("unit-{number}");
        let Some(step) = self.status.step.filter(|_| !self.status.is_ended()) else { return };
        let is_in = |segment: &str| chance(segment, &key) < *self.segments.get(segment).unwrap_or(&0.0);
        if self.spec.segments_at(step).into_iter().any(is_in) {
            self.heard_at = Some(self.now);
            return;
        }
        let bucket = Seed::new("scenario").bucket(&key);
        let treated = bucket < self.spec.steps()[step].share;
        let in_treatment = bucket < self.spec.compared_share(step);
        if in_treatment && chance("skew", &key) < self.skew {
            return;
        }
        self.heard_at = Some(self.now);
        let unit = tidegate_core::bucket::hash(&key);
        self.tally.expose(Exposed { unit, bucket: Some(bucket), treated }, self.now);
        let has_it = treated || in_treatment && self.leaks;
        for (metric, (treatment, control)) in &self.rates {
            // A unit that comes again tries its luck again.
            if chance(&format!("{metric} {}", self.n_units), &key) < if has_it { *treatment } else { *control } {
                self.tally.measure(unit, metric, None, self.now);
            }
        }
        for (metric, Values { treatment, control, spread, of }) in &self.values {
            let mut chances = Chances::new(Seed::new(&format!("{metric} {}", self.n_units)).hash(&key));
            if chances.share() < *of {
                let median = if has_it { treatment } else { control };
                let value = median * libm::exp(spread * chances.normal());
                self.tally.measure(unit, metric, Some(value), self.now);
            }
        }
    }

    fn run(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["traffic", "none"] => self.per_minute = 0,
            ["traffic", rate] => self.per_minute = rate.strip_suffix("/min").unwrap().parse().unwrap(),
            ["population", units] => self.population = units.parse().unwrap(),
            ["rate", metric, treatment, control] => {
                self.rates.insert(metric.to_owned(), (percent(treatment), percent(control)));
            }
            ["value", metric, treatment, control, "spread", spread, "of", share] => {
                let [treatment, control, spread] = [treatment, control, spread].map(|text| text.parse().unwrap());
                let values = Values { treatment, control, spread, of: percent(share) };
                self.values.insert(metric.to_owned(), values);
            }
            ["reading", ref rest @ ..] => self.asked.hear(rest),
            ["flag", how] => self.is_off = how == "off",
            ["behind", n] => self.n_behind = n.parse().unwrap(),
            ["lost", share] => self.lost = percent(share),
            ["skew", share] => self.skew = percent(share),
            ["leak"] => self.leaks = true,
            ["segment", key, share] => drop(self.segments.insert(key.to_owned(), percent(share))),
            ["freeze", ref rest @ ..] => self.freezes.push(window(rest)),
            ["turn", "of", flag] => self.turn_of = (flag != "nobody").then(|| flag.to_owned()),
            ["wait", time] => self.pass(duration(time), true),
            ["away", time] => {
                self.watched_before = Some((self.watched_since, self.now));
                self.pass(duration(time), false);
                self.watched_since = self.now;
                self.look();
            }
            ["pause"] => self.person(self.status.paused(self.now), "paused"),
            ["resume"] => self.person(self.status.resumed(self.now), "resumed"),
            ["approve"] => self.person(self.status.approved(), "approved"),
            ["skip"] => self.person(self.status.skipped(), "skipped"),
            ["override", gate] => self.person(self.status.overriding(gate), &format!("`{gate}` overridden")),
            ["heed", gate] => self.person(self.status.heeding(gate), &format!("`{gate}` heeded again")),
            ["complete"] => self.person(self.status.completed(self.now), "completed"),
            ["roll", "back"] => self.person(self.status.rolled_back(self.now), "rolled back"),
            ["show"] => {
                for judgement in self.judgements() {
                    self.say(&format!("{:?}: {judgement}", judgement.verdict));
                }
                let (Arms { treatment, control }, Arms { treatment: t, control: c }) =
                    (self.tally.entered(), self.tally.seen());
                self.say(&format!("units {treatment} and {control}, at this step {t} and {c}"));
            }
            _ => panic!("what is `{line}`?"),
        }
    }

    fn person(&mut self, done: Result<Status, crate::Refusal>, what: &str) {
        match done {
            Ok(status) => {
                assert_eq!(status.generation, self.status.generation + 1);
                self.status = status;
                self.say(&format!("{what} by a person"));
                self.look();
            }
            Err(refusal) => self.say(&format!("refused: {refusal}")),
        }
    }
}

/// A number in [0, 1) that looks random.
fn chance(salt: &str, key: &str) -> f64 {
    share_of(Seed::new(salt).hash(key))
}

fn percent(text: &str) -> f64 {
    text.strip_suffix('%').unwrap_or_else(|| panic!("`{text}` is no percentage")).parse::<f64>().unwrap() / 100.0
}

fn duration(text: &str) -> i64 {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => HOUR_MS,
        _ => panic!("`{text}` is no time"),
    };
    number.parse::<i64>().unwrap() * unit
}

/// `steps 0% 5m segments internal, 10% 15m gates errors, 50% 15m 500 units approval, 100% 15m`, `gate errors down margin 0.2 signal limit 20%
/// 20`, `gate ms quantile 95% weight 3`, `gate basket mean 10m`, `on harm kill`, `start at 2h`, `window 2026-11-02T09:00 Europe/Berlin 8h FREQ=DAILY`, `guard 1h`.
fn spec(lines: &[&str]) -> Spec {
    let (mut steps, mut gates, mut on_harm) = (Spec::default().steps().to_vec(), Vec::new(), OnHarm::RollBack);
    let (mut windows, mut guard_ms, mut start_at) = (Vec::new(), None, None);
    for line in lines {
        if let Some(list) = line.strip_prefix("steps ") {
            steps = list.split(',').map(step).collect();
        } else if let Some(rest) = line.strip_prefix("gate ") {
            gates.push(gate(rest));
        } else if let Some(rest) = line.strip_prefix("window ") {
            windows.push(window(&rest.split_whitespace().collect::<Vec<_>>()));
        } else if let Some(time) = line.strip_prefix("guard ") {
            guard_ms = Some(duration(time).unsigned_abs());
        } else if let Some(time) = line.strip_prefix("start at ") {
            start_at = Some(Timestamp(BEGIN.0 + duration(time)));
        } else if let Some(how) = line.strip_prefix("on harm ") {
            on_harm = match how {
                "roll back" => OnHarm::RollBack,
                "kill" => OnHarm::Kill,
                "hold" => OnHarm::Hold,
                _ => panic!("what is `{line}`?"),
            };
        } else {
            panic!("what is `{line}`?");
        }
    }
    let spec = Spec::new(steps, gates, on_harm).unwrap().within(windows).unwrap();
    let spec = start_at.map_or(spec.clone(), |at| spec.starting_at(at));
    guard_ms.map_or(spec.clone(), |ms| spec.guarded(ms).unwrap())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share")]
fn step(text: &str) -> Step {
    let words: Vec<&str> = text.split_whitespace().collect();
    let share = (percent(words[0]) * f64::from(BUCKETS)).round() as u32;
    let min_units = words.iter().position(|word| *word == "units").map_or(0, |at| words[at - 1].parse().unwrap());
    let bake_ms = duration(words[1]).unsigned_abs();
    let list = |name| {
        let at = words.iter().position(|word| *word == name)?;
        let is_key = |word: &&&str| !["segments", "gates", "approval"].contains(*word);
        Some(words[at + 1..].iter().take_while(is_key).map(|key| (*key).to_owned()).collect::<Vec<_>>())
    };
    Step {
        share,
        bake_ms,
        min_units,
        approval: words.contains(&"approval"),
        segments: list("segments").unwrap_or_default(),
        gates: list("gates"),
    }
}

fn gate(text: &str) -> Gate {
    if text.contains(" query ") {
        return asked::gate(text);
    }
    let mut words = text.split_whitespace();
    let key = words.next().unwrap();
    let mut gate = EventGate::named(key);
    let mut severity = Severity::Harm;
    while let Some(word) = words.next() {
        match word {
            "signal" => severity = Severity::Signal,
            "down" => gate.worse = Direction::Down,
            "margin" => gate.margin = words.next().unwrap().parse().unwrap(),
            "proof" => gate.proof = Some(words.next().unwrap().parse().unwrap()),
            "weight" => gate.weight = words.next().unwrap().parse().unwrap(),
            "mean" => gate.test = Test::Mean { within_ms: duration(words.next().unwrap()).unsigned_abs() },
            "ratio" => gate.test = Test::Ratio { within_ms: duration(words.next().unwrap()).unsigned_abs() },
            "quantile" => gate.test = Test::Quantile { quantile: percent(words.next().unwrap()) },
            "limit" => {
                let (share, units) = (percent(words.next().unwrap()), words.next().unwrap().parse().unwrap());
                gate.limit = Some(Limit { share, units });
            }
            _ => panic!("what is `{word}`?"),
        }
    }
    Gate { key: key.to_owned(), severity, watches: Watched::Events(gate) }
}

/// `2026-11-02T09:00 Europe/Berlin 8h FREQ=DAILY`, the last absent for once.
fn window(words: &[&str]) -> Window {
    let (start, zone, rrule) = (words[0].to_owned(), words[1].to_owned(), words.get(3).map(|rule| (*rule).to_owned()));
    Window::new(WindowText { start, zone, rrule, duration_ms: duration(words[2]).unsigned_abs() }).unwrap()
}

/// The script with what came out.
fn played(script: &str) -> String {
    let lines: Vec<&str> = script.lines().filter(|line| !line.starts_with('>')).collect();
    let is_setting = |line: &str| {
        ["steps ", "gate ", "on harm ", "window ", "guard ", "start at "].iter().any(|word| line.starts_with(word))
    };
    let settings: Vec<&str> = lines.iter().copied().filter(|line| is_setting(line)).collect();
    let mut play = Play::new(spec(&settings));
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{line}").unwrap();
        if line.is_empty() || line.starts_with('#') || is_setting(line) {
            continue;
        }
        if line == "start" {
            play.look();
        } else {
            play.run(line);
        }
        for said in play.said.drain(..) {
            writeln!(text, "{said}").unwrap();
        }
        assert!(play.status.state != State::Completed || play.status.step == Some(play.spec.steps().len() - 1));
    }
    text
}

#[test]
fn rollouts_do_what_the_scripts_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/rollouts");
    let update = std::env::var_os("UPDATE_SCENARIOS").is_some();
    let mut wrong = Vec::new();
    let mut n_scripts = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        n_scripts += 1;
        let script = fs::read_to_string(&path).unwrap();
        let found = played(&script);
        if update {
            fs::write(&path, found).unwrap();
        } else if found != script {
            wrong.push(format!("{}:\n{found}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(n_scripts >= 60, "{n_scripts}");
}

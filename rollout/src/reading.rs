//! What metric sources answer, and what a gate that asks one says of it.
//!
//! A source is another system: it may be down, slow, wrong, or know nothing. So only one finite and fresh number counts (one for each
//! arm, where arms are compared), measured after the step began; everything else is a [`Problem`], with which nothing rises and nothing is
//! rolled back. A bound acts when the numbers were beyond it for as long as the gate says, without a gap.

use std::{collections::VecDeque, fmt};

use serde::{Deserialize, Serialize};
use tidegate_core::Timestamp;

use crate::{
    gate::{Judgement, Verdict},
    plan::Time,
    spec::{Bound, Direction, QueryGate},
};

/// A number that a source gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The number, as it came: perhaps none.
    pub value: f64,
    /// When it was measured, by the source's clock.
    pub at: Timestamp,
}

/// Why there is no number that can be believed. Goes on after the name of a gate, as in "`p95` has no data".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Problem {
    /// The project has no such source any more.
    NoSource,
    /// The answer is empty.
    NoData,
    /// The answer is not a number, or not finite.
    NotFinite,
    /// There are several numbers.
    Several {
        /// How many.
        n: usize,
    },
    /// Nothing that the query is about was measured lately: the number comes from nowhere.
    Unmeasured,
    /// The source warns that data may be missing.
    Partial,
    /// The number was measured long ago.
    Stale {
        /// How long, in milliseconds.
        age_ms: u64,
    },
    /// The number was measured in the future: clocks differ.
    Ahead {
        /// How far, in milliseconds.
        by_ms: u64,
    },
    /// The source did not answer in time.
    Timeout,
    /// The source cannot be asked.
    Unreachable {
        /// Why, in words of ours.
        why: String,
    },
    /// The source answers with an error.
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The source does not understand the query.
    Refused {
        /// Why.
        why: String,
    },
    /// What came is nothing that such a source answers.
    Malformed,
}

/// What a gate's source answered when it was asked once.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// When it was asked, by our clock.
    pub asked_at: Timestamp,
    /// What it says of the release.
    pub treatment: Result<Sample, Problem>,
    /// What it says of control, where that is asked.
    pub control: Option<Result<Sample, Problem>>,
}

/// What is kept of a gate's readings at a step. Serialized, it is what another process goes on with.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Readings {
    /// What was measured before says nothing of the step.
    counts_from: Timestamp,
    /// The newest.
    last: Option<(Timestamp, Result<Measured, Problem>)>,
    /// The newest problem.
    problem: Option<Problem>,
    /// Which of the newest could be believed.
    recent: VecDeque<bool>,
    beyond: Option<Run>,
}

/// A reading that can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Measured {
    value: f64,
    control: Option<f64>,
    at: Timestamp,
}

/// Numbers beyond the bound, from the first to the last, without a gap and with none within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    from: Timestamp,
    to: Timestamp,
}

/// Of so many readings, at least three quarters must be good, or nothing is known.
const RECENT: usize = 8;

/// A number may be so old, whatever the gate's interval: many systems measure once a minute.
pub const FRESH_MS: u64 = 90_000;

/// Clocks may differ by so much.
const AHEAD_MS: u64 = 60_000;

impl QueryGate {
    /// What is measured up to so long after the step began is still of the time before: twice the interval, in milliseconds.
    pub fn lag_ms(&self) -> u64 {
        2 * self.every_ms
    }

    /// How old a number may be, and how far apart two may be without a gap between them, in milliseconds.
    pub fn fresh_ms(&self) -> u64 {
        FRESH_MS.max(3 * self.every_ms)
    }

    fn is_beyond(&self, measured: Measured) -> bool {
        let Measured { value, control, .. } = measured;
        match &self.bound {
            Bound::Absolute { min, max } => max.is_some_and(|max| value > max) || min.is_some_and(|min| value < min),
            Bound::Control { worse, margin, .. } => control.is_some_and(|control| match worse {
                Direction::Up => value > control * (1.0 + margin),
                Direction::Down => value < control * (1.0 - margin),
            }),
        }
    }
}

impl Sample {
    /// The number and its time, where both can be believed by whoever asked at `asked_at`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn checked(self, fresh_ms: u64, asked_at: Timestamp) -> Result<Self, Problem> {
        if !self.value.is_finite() {
            return Err(Problem::NotFinite);
        }
        let age = asked_at.0.saturating_sub(self.at.0);
        match u64::try_from(age) {
            Ok(age_ms) if age_ms > fresh_ms => Err(Problem::Stale { age_ms }),
            Err(_) if age.unsigned_abs() > AHEAD_MS => Err(Problem::Ahead { by_ms: age.unsigned_abs() }),
            _ => Ok(self),
        }
    }
}

impl Reading {
    fn measured(&self, gate: &QueryGate) -> Result<Measured, Problem> {
        let checked = |sample: &Result<Sample, Problem>| {
            sample.clone().and_then(|sample| sample.checked(gate.fresh_ms(), self.asked_at))
        };
        let treatment = checked(&self.treatment)?;
        let control = self.control.as_ref().map(checked).transpose()?;
        let at = control.map_or(treatment.at, |control| treatment.at.min(control.at));
        match (&gate.bound, control) {
            (Bound::Control { .. }, None) => Err(Problem::NoData),
            _ => Ok(Measured { value: treatment.value, control: control.map(|control| control.value), at }),
        }
    }
}

impl Readings {
    /// Those of a step that began at `since`.
    pub fn at_step(gate: &QueryGate, since: Timestamp) -> Self {
        Self { counts_from: after(since, gate.lag_ms()), ..Self::default() }
    }

    /// The gate's source answered.
    pub fn take(&mut self, gate: &QueryGate, reading: &Reading) {
        if self.last.as_ref().is_some_and(|(asked_at, _)| *asked_at > reading.asked_at) {
            return;
        }
        let measured = reading.measured(gate);
        if measured.as_ref().is_ok_and(|measured| measured.at < self.counts_from) {
            return;
        }
        match &measured {
            Err(problem) => self.problem = Some(problem.clone()),
            Ok(measured) if gate.is_beyond(*measured) => {
                let at = measured.at;
                let goes_on = self.beyond.filter(|run| at <= after(run.to, gate.fresh_ms()));
                let from = goes_on.map_or(at, |run| run.from);
                self.beyond = Some(Run { from, to: goes_on.map_or(at, |run| run.to.max(at)) });
            }
            Ok(_) => self.beyond = None,
        }
        self.recent.push_back(measured.is_ok());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        self.last = Some((reading.asked_at, measured));
    }

    /// What the gate `key` says at `now`.
    pub fn judge(&self, key: &str, gate: &QueryGate, now: Timestamp) -> Judgement {
        let (asked_at, measured) = match &self.last {
            None => return Judgement::inconclusive(key, "has no number yet that was measured at this step"),
            Some((_, Err(problem))) => return Judgement::inconclusive(key, problem.to_string()),
            Some((asked_at, Ok(measured))) => (*asked_at, *measured),
        };
        let silent_ms = u64::try_from(now.0.saturating_sub(asked_at.0)).unwrap_or(0);
        if silent_ms > gate.fresh_ms() {
            return Judgement::inconclusive(key, format!("was not asked for {}", Time(silent_ms)));
        }
        let n_good = self.recent.iter().filter(|good| **good).count();
        if (self.recent.len() - n_good) * 4 > self.recent.len() {
            let last = self.problem.as_ref().map(|problem| format!(": it {problem}")).unwrap_or_default();
            let told = format!("could be read {n_good} of the last {} times only{last}", self.recent.len());
            return Judgement { value: Some(measured.value), ..Judgement::inconclusive(key, told) };
        }
        let held_ms = self.beyond.map(|run| u64::try_from(run.to.0.saturating_sub(run.from.0)).unwrap_or(0));
        let verdict = match (held_ms, &gate.bound) {
            (None, _) => Verdict::Pass,
            (Some(held_ms), _) if held_ms < gate.for_ms => Verdict::Suspect,
            (Some(_), Bound::Absolute { .. }) => Verdict::Limit,
            (Some(_), Bound::Control { .. }) => Verdict::Harm,
        };
        let ratio = measured.control.filter(|control| *control > 0.0).map(|control| measured.value / control);
        let problem = Some(told(gate, measured, held_ms));
        Judgement { verdict, value: Some(measured.value), ratio, problem, ..Judgement::nothing(key) }
    }
}

/// What was measured, beside what may be, for how long.
fn told(gate: &QueryGate, measured: Measured, held_ms: Option<u64>) -> String {
    let Measured { value, control, .. } = measured;
    let value = Number(value);
    let what = match (&gate.bound, control) {
        (Bound::Absolute { max: Some(max), .. }, _) if value.0 > *max => {
            format!("is {value}, above {}", Number(*max))
        }
        (Bound::Absolute { min: Some(min), .. }, _) if value.0 < *min => {
            format!("is {value}, below {}", Number(*min))
        }
        (Bound::Control { margin, .. }, Some(control)) => {
            let control = Number(control);
            format!(
                "is {value}, {control} for control (margin {margin}; requests are compared, so it is not calibrated)"
            )
        }
        _ => format!("is {value}"),
    };
    match held_ms {
        Some(held_ms) if gate.for_ms > 0 => {
            format!("{what}, for {} of {}", Time(held_ms.min(gate.for_ms)), Time(gate.for_ms))
        }
        _ => what,
    }
}

/// A number with as many digits as people look at.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.abs();
        if size != 0.0 && !(1e-4..1e9).contains(&size) {
            return write!(f, "{:.2e}", self.0);
        }
        let text = match size {
            _ if size >= 1_000.0 => format!("{:.0}", self.0),
            _ if size >= 1.0 => format!("{:.2}", self.0),
            _ => format!("{:.4}", self.0),
        };
        f.write_str(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSource => f.write_str("has no source any more: the project has none of that key"),
            Self::NoData => f.write_str("has no data: the answer to its query is empty"),
            Self::NotFinite => f.write_str("has no number: the answer to its query is not one, or is not finite"),
            Self::Several { n } => write!(f, "has {n} series where its query has to answer one: aggregate them"),
            Self::Unmeasured => {
                f.write_str("has no fresh number: none of the series that its query names was measured lately")
            }
            Self::Partial => f.write_str("has an answer with a warning of its source: data may be missing"),
            Self::Stale { age_ms } => write!(f, "has no fresh number: the newest is {} old", Time(*age_ms)),
            Self::Ahead { by_ms } => {
                write!(f, "has a number from {} ahead: its source's clock and ours differ", Time(*by_ms))
            }
            Self::Timeout => f.write_str("has no answer: its source took too long"),
            Self::Unreachable { why } => write!(f, "has no answer from its source: {why}"),
            Self::Status { status } => write!(f, "has no answer: its source says status {status}"),
            Self::Refused { why } => write!(f, "is not understood by its source: {why}"),
            Self::Malformed => f.write_str("has no answer: what came is nothing that such a source says"),
        }
    }
}

fn after(at: Timestamp, ms: u64) -> Timestamp {
    Timestamp(at.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(for_s: u64) -> QueryGate {
        QueryGate {
            source: "prometheus".to_owned(),
            query: "p95".to_owned(),
            bound: Bound::Absolute { min: None, max: Some(1.0) },
            for_ms: for_s * 1_000,
            every_ms: 15_000,
        }
    }

    fn compared() -> QueryGate {
        let bound = Bound::Control { query: "p95 of control".to_owned(), worse: Direction::Up, margin: 0.1 };
        QueryGate { bound, ..gate(0) }
    }

    #[expect(clippy::unnecessary_wraps, reason = "as sources answer")]
    fn sample(s: i64, value: f64) -> Result<Sample, Problem> {
        Ok(Sample { value, at: Timestamp(s * 1_000) })
    }

    /// Read at these seconds after the step began; the verdict after each.
    fn verdicts(gate: &QueryGate, readings: &[(i64, Result<f64, Problem>)]) -> Vec<Verdict> {
        let mut kept = Readings::at_step(gate, Timestamp(0));
        let verdict = |(s, value): &(i64, Result<f64, Problem>)| {
            let treatment = value.clone().and_then(|value| sample(*s, value));
            kept.take(gate, &Reading { asked_at: Timestamp(s * 1_000), treatment, control: None });
            kept.judge("p95", gate, Timestamp(s * 1_000)).verdict
        };
        readings.iter().map(verdict).collect()
    }

    #[test]
    fn a_bound_acts_when_it_was_passed_for_long_enough() {
        use Verdict::{Limit, Pass, Suspect};
        let readings = [(30, Ok(0.5)), (45, Ok(1.5)), (60, Ok(1.5)), (75, Ok(1.5)), (90, Ok(1.0)), (105, Ok(1.5))];
        assert_eq!(verdicts(&gate(30), &readings), [Pass, Suspect, Suspect, Limit, Pass, Suspect]);
        assert_eq!(verdicts(&gate(0), &readings), [Pass, Limit, Limit, Limit, Pass, Limit]);
    }

    #[test]
    fn a_gap_interrupts_and_a_missed_answer_does_not() {
        use Verdict::{Inconclusive, Limit, Pass, Suspect};
        let good = |s| (s, Ok(0.5));
        let begin = [good(30), good(45), good(60), good(75)];
        let missed = [(90, Ok(2.0)), (105, Err(Problem::Timeout)), (120, Ok(2.0))];
        let all = [&begin[..], &missed].concat();
        assert_eq!(verdicts(&gate(30), &all)[4..], [Suspect, Inconclusive, Limit]);
        let apart = [&begin[..], &[(90, Ok(2.0)), (190, Ok(2.0)), (220, Ok(2.0))]].concat();
        assert_eq!(verdicts(&gate(30), &apart)[3..], [Pass, Suspect, Suspect, Limit]);
    }

    #[test]
    fn with_half_of_the_answers_nothing_is_known() {
        let readings: Vec<_> = (2..40)
            .map(|n| (15 * n, if n % 2 == 0 { Ok(2.0) } else { Err(Problem::Status { status: 503 }) }))
            .collect();
        let verdicts = verdicts(&gate(0), &readings);
        assert!(verdicts[1..].iter().all(|verdict| *verdict == Verdict::Inconclusive), "{verdicts:?}");
    }

    #[test]
    fn what_was_measured_before_the_step_does_not_count() {
        let gate = gate(0);
        let mut kept = Readings::at_step(&gate, Timestamp(100_000));
        let mut read = |asked: i64, at: i64| {
            let treatment = sample(at, 2.0);
            kept.take(&gate, &Reading { asked_at: Timestamp(asked * 1_000), treatment, control: None });
            kept.judge("p95", &gate, Timestamp(asked * 1_000)).verdict
        };
        assert_eq!(read(105, 99), Verdict::Inconclusive);
        assert_eq!(read(135, 129), Verdict::Inconclusive);
        assert_eq!(read(140, 130), Verdict::Limit);
    }

    #[track_caller]
    fn check_problem(
        gate: &QueryGate,
        treatment: Result<Sample, Problem>,
        control: Option<Result<Sample, Problem>>,
        told: &str,
    ) {
        let mut kept = Readings::at_step(gate, Timestamp(0));
        kept.take(gate, &Reading { asked_at: Timestamp(600_000), treatment, control });
        let judgement = kept.judge("p95", gate, Timestamp(600_000));
        assert_eq!(judgement.verdict, Verdict::Inconclusive);
        assert_eq!(judgement.problem.as_deref(), Some(told));
    }

    #[test]
    fn only_one_finite_fresh_number_counts() {
        let none = "has no number: the answer to its query is not one, or is not finite";
        check_problem(&gate(0), sample(600, f64::NAN), None, none);
        check_problem(&gate(0), sample(600, f64::INFINITY), None, none);
        check_problem(&gate(0), sample(509, 1.0), None, "has no fresh number: the newest is 1 min 31 s old");
        let ahead = "has a number from 1 min 1 s ahead: its source's clock and ours differ";
        check_problem(&gate(0), sample(661, 1.0), None, ahead);
        let two = "has 2 series where its query has to answer one: aggregate them";
        check_problem(&gate(0), Err(Problem::Several { n: 2 }), None, two);
        let empty = "has no data: the answer to its query is empty";
        check_problem(&compared(), sample(600, 1.0), None, empty);
        check_problem(&compared(), sample(600, 1.0), Some(Err(Problem::NoData)), empty);
        check_problem(&compared(), sample(600, 1.0), Some(sample(600, f64::NAN)), none);
    }

    #[test]
    fn nobody_asked_is_nothing_known() {
        let gate = gate(0);
        let mut kept = Readings::at_step(&gate, Timestamp(0));
        assert_eq!(kept.judge("p95", &gate, Timestamp(0)).verdict, Verdict::Inconclusive);
        kept.take(&gate, &Reading { asked_at: Timestamp(60_000), treatment: sample(60, 0.5), control: None });
        assert_eq!(kept.judge("p95", &gate, Timestamp(150_000)).verdict, Verdict::Pass);
        let late = kept.judge("p95", &gate, Timestamp(150_001));
        assert_eq!(
            (late.verdict, late.problem.unwrap()),
            (Verdict::Inconclusive, "was not asked for 1 min 31 s".into())
        );
    }

    #[test]
    fn arms_are_compared_with_a_margin() {
        let check = |gate: &QueryGate, treatment, control, expected: Verdict, told: &str| {
            let mut kept = Readings::at_step(gate, Timestamp(0));
            let (treatment, control) = (sample(60, treatment), Some(sample(60, control)));
            kept.take(gate, &Reading { asked_at: Timestamp(60_000), treatment, control });
            let judgement = kept.judge("p95", gate, Timestamp(60_000));
            assert_eq!((judgement.verdict, judgement.problem.as_deref()), (expected, Some(told)));
        };
        let note = "(margin 0.1; requests are compared, so it is not calibrated)";
        check(&compared(), 0.5, 0.5, Verdict::Pass, &format!("is 0.5, 0.5 for control {note}"));
        check(&compared(), 0.6, 0.5, Verdict::Harm, &format!("is 0.6, 0.5 for control {note}"));
        check(&compared(), 0.0, 0.0, Verdict::Pass, &format!("is 0, 0 for control {note}"));
        check(&compared(), 0.01, 0.0, Verdict::Harm, &format!("is 0.01, 0 for control {note}"));
        let bound = Bound::Control { query: String::new(), worse: Direction::Down, margin: 0.1 };
        let fewer = QueryGate { bound, ..gate(0) };
        check(&fewer, 0.6, 0.5, Verdict::Pass, &format!("is 0.6, 0.5 for control {note}"));
        check(&fewer, 0.4, 0.5, Verdict::Harm, &format!("is 0.4, 0.5 for control {note}"));
    }

    #[test]
    fn numbers_have_the_digits_that_people_look_at() {
        let check = |number: f64, expected: &str| assert_eq!(Number(number).to_string(), expected);
        check(0.0, "0");
        check(0.12345, "0.1235");
        check(-0.5, "-0.5");
        check(12.5, "12.5");
        check(100.0, "100");
        check(1_234_567.0, "1234567");
        check(0.000_001_234, "1.23e-6");
        check(1.5e12, "1.50e12");
    }
}

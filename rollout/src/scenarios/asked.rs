//! Gates that ask metric sources, in scripts.

use std::collections::BTreeMap;

use tidegate_core::Timestamp;

use super::duration;
use crate::{
    Bound, Direction, Gate, Judgement, QueryGate, Severity, Spec, Status, Watched,
    reading::{Problem, Reading, Readings, Sample},
};

/// What is asked in a script, and what comes back.
#[derive(Default)]
pub(super) struct Asked {
    answers: BTreeMap<String, Answer>,
    /// By gate: what is kept, when it is asked next, how often it was.
    gates: BTreeMap<String, (Readings, Timestamp, u64)>,
    step: Option<usize>,
}

#[derive(Clone)]
enum Answer {
    Number {
        treatment: f64,
        /// Every second time.
        then: Option<Result<f64, Problem>>,
        control: Option<f64>,
        age_ms: i64,
    },
    Problem(Problem),
    NobodyAsks,
}

impl Asked {
    /// Where another step began, all is asked anew.
    pub fn follow(&mut self, status: &Status) {
        if status.step != self.step {
            (self.step, self.gates) = (status.step, BTreeMap::new());
        }
    }

    /// What is due is asked.
    pub fn ask(&mut self, spec: &Spec, status: &Status, now: Timestamp) {
        for (key, query) in spec.gates().iter().filter_map(|gate| gate.query().map(|query| (&gate.key, query))) {
            let begin = || (Readings::at_step(query, status.since), now, 0);
            let (readings, due, n_asked) = self.gates.entry(key.clone()).or_insert_with(begin);
            if *due > now || self.step.is_none() {
                continue;
            }
            *due = Timestamp(now.0 + i64::try_from(query.every_ms).unwrap());
            *n_asked += 1;
            let answer = self.answers.get(key).cloned().unwrap_or(Answer::Problem(Problem::NoData));
            let (treatment, control) = match answer {
                Answer::NobodyAsks => continue,
                Answer::Problem(problem) => (Err(problem), None),
                Answer::Number { treatment, then, control, age_ms } => {
                    let sample = |value| Sample { value, at: Timestamp(now.0 - age_ms) };
                    let treatment = match then {
                        Some(then) if n_asked.is_multiple_of(2) => then,
                        _ => Ok(treatment),
                    };
                    (treatment.map(sample), control.map(|control| Ok(sample(control))))
                }
            };
            readings.take(query, &Reading { asked_at: now, treatment, control });
        }
    }

    /// Puts what the gates with a query say into the judgements.
    pub fn judge(&self, spec: &Spec, now: Timestamp, mut judgements: Vec<Judgement>) -> Vec<Judgement> {
        for (gate, judgement) in spec.gates().iter().zip(&mut judgements) {
            if let (Some(query), Some((readings, ..))) = (gate.query(), self.gates.get(&gate.key)) {
                *judgement = readings.judge(&gate.key, query, now);
            }
        }
        judgements
    }

    /// `p95 0.4`, `p95 0.6 control 0.4`, `p95 0.6 then 0.4`, `p95 0.6 then down`, `p95 0.4 age 5m`, `p95 two series`.
    pub fn hear(&mut self, words: &[&str]) {
        let Ok(treatment) = words[1].parse() else {
            let answer = if words[1..] == ["nobody", "asks"] {
                Answer::NobodyAsks
            } else {
                Answer::Problem(problem(&words[1..]))
            };
            self.answers.insert(words[0].to_owned(), answer);
            return;
        };
        let after = |word| words.iter().position(|found| *found == word).map(|at| &words[at + 1..]);
        let then = after("then").map(|then| then[0].parse().map_err(|_| problem(then)));
        let control = after("control").map(|control| control[0].parse().unwrap());
        let age_ms = after("age").map_or(0, |age| duration(age[0]));
        self.answers.insert(words[0].to_owned(), Answer::Number { treatment, then, control, age_ms });
    }
}

fn problem(words: &[&str]) -> Problem {
    match words {
        ["down"] => Problem::Unreachable { why: "the host accepts no connection".to_owned() },
        ["timeout"] => Problem::Timeout,
        ["status", status] => Problem::Status { status: status.parse().unwrap() },
        ["no", "data"] => Problem::NoData,
        ["two", "series"] => Problem::Several { n: 2 },
        ["unmeasured"] => Problem::Unmeasured,
        ["warning"] => Problem::Partial,
        ["archived"] => Problem::NoSource,
        _ => panic!("what is `{}`?", words.join(" ")),
    }
}

/// `p95 query max 0.5 for 5m every 15s`, `errors query control down margin 0.2 signal`.
pub(super) fn gate(text: &str) -> Gate {
    let mut words = text.split_whitespace();
    let key = words.next().unwrap();
    assert_eq!(words.next(), Some("query"));
    let (mut severity, mut for_ms, mut every_ms) = (Severity::Harm, 0, 15_000);
    let (mut min, mut max, mut is_compared, mut worse, mut margin) = (None, None, false, Direction::Up, 0.1);
    while let Some(word) = words.next() {
        let mut next = || words.next().unwrap();
        match word {
            "signal" => severity = Severity::Signal,
            "control" => is_compared = true,
            "down" => worse = Direction::Down,
            "min" => min = Some(next().parse().unwrap()),
            "max" => max = Some(next().parse().unwrap()),
            "margin" => margin = next().parse().unwrap(),
            "for" => for_ms = duration(next()).unsigned_abs(),
            "every" => every_ms = duration(next()).unsigned_abs(),
            _ => panic!("what is `{word}`?"),
        }
    }
    let bound = if is_compared {
        Bound::Control { query: "control".to_owned(), worse, margin }
    } else {
        Bound::Absolute { min, max }
    };
    let query = QueryGate { source: "metrics".to_owned(), query: key.to_owned(), bound, for_ms, every_ms };
    Gate { key: key.to_owned(), severity, watches: Watched::Query(query) }
}

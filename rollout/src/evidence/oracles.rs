//! What other people's implementations say of the same numbers: `rollout/oracles/*.json`, written by `benches/oracles/evidence.py`.

use serde_json::Value;

use super::{BetaBinomial, Estimate, Histogram, MeanDifference, QuantileShift, SampleRatio, Totals};

const CONFSEQ: &str = include_str!("../../oracles/confseq.json");
const GBSTATS: &str = include_str!("../../oracles/gbstats.json");
const SAVVI: &str = include_str!("../../oracles/savvi.json");

fn rows(text: &str, table: &str) -> Vec<Vec<Value>> {
    let mut all: Value = serde_json::from_str(text).unwrap();
    let rows: Vec<Vec<Value>> = serde_json::from_value(all[table].take()).unwrap();
    assert!(rows.len() >= 50, "{table}");
    rows
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn units(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[track_caller]
fn check(found: f64, expected: f64, row: &[Value]) {
    assert!((found - expected).abs() <= 1e-7 * expected.abs().max(1.0), "{found} is not {expected}: {row:?}");
}

#[test]
fn how_often() {
    for row in rows(CONFSEQ, "beta_binomial") {
        let [theta, n_opt, alpha] = [0, 1, 2].map(|at| number(&row[at]));
        let found = BetaBinomial::new(theta, n_opt, alpha).ln_evidence(units(&row[3]), units(&row[4]));
        check(found, number(&row[5]), &row);
    }
}

/// At every event of a rollout, not only at its end.
#[test]
fn how_often_event_by_event() {
    let process = BetaBinomial::new(11.0 / 21.0, 80.0, 0.01);
    let mut n_worse = 0;
    for (n, row) in (1..).zip(rows(CONFSEQ, "stream")) {
        n_worse += units(&row[0]);
        check(process.ln_evidence(n_worse, n), number(&row[1]), &row);
    }
}

/// The sequence of means is the normal mixture over what is known of the variance.
#[test]
fn how_far_a_sum_strays() {
    // One of confseq's unit tests, whose target is an independent implementation in R.
    let known = |variance, v_opt, alpha| MeanDifference::of_sum(variance).interval(v_opt / variance, alpha).1;
    check(known(100.0, 100.0, 0.05), 30.352_09, &[]);
    for row in rows(CONFSEQ, "normal") {
        let [variance, v_opt, alpha, expected] = [0, 1, 2, 3].map(|at| number(&row[at]));
        check(known(variance, v_opt, alpha), expected, &row);
    }
}

#[test]
fn how_slow_the_slowest_are() {
    for row in rows(CONFSEQ, "quantile") {
        let test = QuantileShift::new(number(&row[0]), number(&row[1]), 500.0, 0.01);
        let [control, treatment] = [2, 3].map(|at| {
            let mut histogram = Histogram::default();
            // In the middle of a step.
            for step in numbers(&row[at]) {
                histogram.add(1.05_f64.powf((step + 0.5) / 4.0));
            }
            histogram
        });
        let found = test.ln_evidence(&control, &treatment, f64::NEG_INFINITY);
        check(found, number(&row[4]), &row[..2]);
        assert!(found <= number(&row[5]) + 1e-9, "buckets never add evidence: {found} {row:?}");
    }
}

/// (treatment − control) / control by the delta method.
fn relative(control: &Estimate, treatment: &Estimate) -> MeanDifference {
    let ratio = treatment.value / control.value;
    let variance = control.variance * (ratio / control.value).powi(2);
    MeanDifference::new(&Estimate { value: 1.0, variance, ..*control }, &treatment.times(1.0 / control.value))
}

/// As the row has it: relative or not, tuned for so many units and this probability of an error.
#[track_caller]
fn check_interval([control, treatment]: [Estimate; 2], row: &[Value], at: usize) -> MeanDifference {
    let difference = if row[at] == Value::Bool(true) { relative } else { MeanDifference::new };
    let difference = difference(&control, &treatment);
    let (lower, upper) = difference.interval(number(&row[at + 1]), number(&row[at + 2]));
    for (n, found) in (3..).zip([difference.estimate, lower, upper]) {
        check(found, number(&row[at + n]), row);
    }
    difference
}

#[test]
fn how_much() {
    for row in rows(GBSTATS, "means") {
        let arms = [0, 1].map(|arm| {
            let [total, total_total] = [1, 2].map(|at| number(&row[at][arm]));
            Totals { n: units(&row[0][arm]), total, total_total, ..Totals::default() }.mean().unwrap()
        });
        let difference = check_interval(arms, &row, 3);
        let [n_opt, alpha, margin] = [4, 5, 9].map(|at| number(&row[at]));
        let beyond = MeanDifference { estimate: difference.estimate - margin, ..difference };
        check(beyond.ln_evidence(n_opt, alpha), number(&row[10]), &row);
    }
}

#[test]
fn how_much_of_each_measurement() {
    for row in rows(GBSTATS, "ratios") {
        let arms = [0, 1].map(|arm| {
            let [total, count, total_total, total_count, count_count] = [1, 2, 3, 4, 5].map(|at| number(&row[arm][at]));
            Totals { n: units(&row[arm][0]), total, count, total_total, total_count, count_count }.ratio().unwrap()
        });
        check_interval(arms, &row, 2);
    }
}

/// At every look of a rollout, not only at its end.
#[test]
fn how_much_look_by_look() {
    let mut arms = [Totals::default(); 2];
    for (n, row) in rows(GBSTATS, "stream").iter().enumerate() {
        arms[n % 2].add(number(&row[0]), 1);
        if let [_, estimate, lower, upper] = row.as_slice() {
            let difference = relative(&arms[0].mean().unwrap(), &arms[1].mean().unwrap());
            check(difference.estimate, number(estimate), row);
            let found = difference.interval(2_000.0, 0.01);
            check(found.0, number(lower), row);
            check(found.1, number(upper), row);
        }
    }
}

#[test]
fn how_many_units() {
    for row in rows(SAVVI, "sample_ratio") {
        let counts: Vec<u64> = row[1].as_array().unwrap().iter().map(units).collect();
        check(SampleRatio::new(numbers(&row[0])).ln_evidence(&counts), number(&row[2]), &row);
    }
}

//! What a gate says of what was counted.

use serde::Serialize;

use crate::{
    evidence::{BetaBinomial, HOLD, ROLL_BACK, null_share},
    spec::{Direction, EventGate, Gate},
    tally::{Arms, Counted, Tally},
};

/// What a gate says, and the numbers that it says it on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = GateJudgement))]
#[serde(rename_all = "camelCase")]
pub struct Judgement {
    /// The gate's key.
    pub gate: String,
    /// What it says.
    pub verdict: Verdict,
    /// How strong the evidence of harm is, corrected for all gates and windows: "so many to one against the release". 20 holds, 100 acts.
    /// At most 10^12.
    pub evidence: f64,
    /// How many units it happened to: since the rollout began, or, where there is evidence of harm, in the window with the strongest.
    pub met: Arms,
    /// How many times as often it happened to treatment as to control; absent where it did not happen to control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// What was measured, where that is one number: what a source answered, a relative difference of means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What else there is to say of it, in words: why it is inconclusive, say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = GateVerdict))]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// There is no evidence of harm beyond the margin.
    Pass,
    /// There is evidence of 20 to 1: nobody should go on.
    Suspect,
    /// There is evidence of 100 to 1.
    Harm,
    /// The absolute limit is passed.
    Limit,
    /// Units of both arms have not been seen since the step began, so that nothing can be said.
    Pending,
    /// There is nobody to compare with, as everybody or nobody but segments has the new variant: only limits are watched.
    Unopposed,
    /// There is no evidence of harm, and not yet the proof that was asked for.
    Unproved,
    /// Nothing is known: the source gives no number, or none that can be believed.
    Inconclusive,
}

/// The number of units with an event at which the evidence is tightest: harm that shows earlier or later is found a little later than
/// it could be.
const N_OPT: f64 = 80.0;

/// Of a wrong alarm, for which the evidence is tuned.
const ALPHA: f64 = 0.01;

/// What each gate says.
pub fn judge(gates: &[Gate], tally: &Tally) -> Vec<Judgement> {
    let judge = |(index, gate): (usize, &Gate)| match gate.events() {
        Some(events) => judge_events(&gate.key, events, index, gates.len(), tally),
        None => Judgement::inconclusive(&gate.key, "has not been asked yet"),
    };
    gates.iter().enumerate().map(judge).collect()
}

impl Judgement {
    /// That nothing is known of a gate, and nothing against it.
    pub fn nothing(gate: &str) -> Self {
        Self {
            gate: gate.to_owned(),
            verdict: Verdict::Pending,
            evidence: 0.0,
            met: Arms::default(),
            ratio: None,
            value: None,
            problem: None,
        }
    }

    /// That a gate cannot say anything, and why.
    pub fn inconclusive(gate: &str, problem: impl Into<String>) -> Self {
        Self { verdict: Verdict::Inconclusive, problem: Some(problem.into()), ..Self::nothing(gate) }
    }
}

fn judge_events(key: &str, gate: &EventGate, index: usize, n_gates: usize, tally: &Tally) -> Judgement {
    let process = process(gate);
    let ln_share = -count(n_gates as u64).ln();
    let of_window = |counted: Counted| {
        let Arms { treatment, control } = counted.met.compared;
        let worse = if gate.worse == Direction::Up { treatment } else { control };
        (process.ln_evidence(worse, treatment + control) + counted.weight.ln() + ln_share, counted.met.compared)
    };
    let strongest = tally.counted(index).map(of_window).max_by(|(a, _), (b, _)| a.total_cmp(b));
    let (ln_evidence, of_strongest) = strongest.unwrap_or((f64::NEG_INFINITY, Arms::default()));
    let whole = tally.counted(index).next().map_or_else(Arms::default, |counted| counted.met.compared);
    let met = if ln_evidence >= HOLD { of_strongest } else { whole };
    let Arms { treatment, control } = tally.seen();
    let verdict = if is_beyond_limit(gate, index, tally) {
        Verdict::Limit
    } else if ln_evidence >= ROLL_BACK {
        Verdict::Harm
    } else if !tally.has_control() {
        Verdict::Unopposed
    } else if treatment == 0 || control == 0 {
        Verdict::Pending
    } else if ln_evidence >= HOLD {
        Verdict::Suspect
    } else {
        Verdict::Pass
    };
    // The arms are of one size.
    let ratio = (met.control > 0).then(|| count(met.treatment) / count(met.control));
    Judgement { verdict, evidence: ln_evidence.exp().min(1e12), met, ratio, ..Judgement::nothing(key) }
}

/// Evidence that units with an event come from the worse arm more often than the margin allows.
fn process(gate: &EventGate) -> BetaBinomial {
    let ratio = match gate.worse {
        Direction::Up => 1.0 + gate.margin,
        Direction::Down => 1.0 / (1.0 - gate.margin),
    };
    BetaBinomial::new(null_share(ratio, 0.5), N_OPT, ALPHA)
}

fn is_beyond_limit(gate: &EventGate, index: usize, tally: &Tally) -> bool {
    gate.limit.is_some_and(|limit| {
        let n = tally.at_this_step(index).treated;
        n >= limit.units && count(n) > limit.share * count(tally.treated())
    })
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 units")]
fn count(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        spec::{Limit, Severity},
        tally::Exposed,
    };

    /// 1,000 units in each arm, of which so many have an error.
    fn after(gates: &[Gate], share: u32, treatment: u64, control: u64) -> Vec<Judgement> {
        let mut tally = Tally::new(gates, Tally::CAPACITY);
        tally.begin_step(share);
        for n in 0..1_000_u32 {
            for (bucket, n_errors, treated) in [(n, treatment, true), (99_999 - n, control, share > 99_000)] {
                tally.expose(Exposed { unit: u64::from(bucket), bucket, treated });
                if u64::from(n) < n_errors {
                    tally.measure(u64::from(bucket), "errors", None);
                }
            }
        }
        judge(gates, &tally)
    }

    #[track_caller]
    fn check(gate: &EventGate, treatment: u64, control: u64, expected: Verdict) {
        let judgement = after(&[Gate::on_events("errors", gate.clone())], 10_000, treatment, control).remove(0);
        assert_eq!(judgement.verdict, expected, "{judgement:?}");
        assert_eq!(judgement.met, Arms { treatment, control });
    }

    #[test]
    fn more_errors_are_harm() {
        let errors = EventGate::named("errors");
        check(&errors, 0, 0, Verdict::Pass);
        check(&errors, 40, 40, Verdict::Pass);
        check(&errors, 10, 100, Verdict::Pass);
        check(&errors, 50, 21, Verdict::Suspect);
        check(&errors, 60, 20, Verdict::Harm);
        check(&EventGate { margin: 3.0, ..errors }, 60, 20, Verdict::Pass);
    }

    #[test]
    fn fewer_purchases_are_harm() {
        let purchases = EventGate { worse: Direction::Down, ..EventGate::named("errors") };
        check(&purchases, 60, 20, Verdict::Pass);
        check(&purchases, 20, 60, Verdict::Harm);
    }

    #[test]
    fn a_limit_acts_whatever_control_does() {
        let limited = EventGate { limit: Some(Limit { share: 0.2, units: 20 }), ..EventGate::named("errors") };
        check(&limited, 200, 300, Verdict::Pass);
        check(&limited, 201, 300, Verdict::Limit);
        let all = after(&[Gate::on_events("errors", limited)], 100_000, 300, 300);
        assert_eq!(all[0].verdict, Verdict::Limit);
        assert_eq!(after(&[Gate::named("errors")], 100_000, 300, 0)[0].verdict, Verdict::Unopposed);
    }

    #[test]
    fn each_gate_makes_all_slower_to_act() {
        let one = after(&[Gate::named("errors")], 10_000, 60, 20).remove(0).evidence;
        let two = [Gate::named("errors"), Gate { severity: Severity::Signal, ..Gate::named("others") }];
        let both = after(&two, 10_000, 60, 20);
        assert!((one / both[0].evidence - 2.0).abs() < 1e-9);
        assert_eq!(both[1].verdict, Verdict::Pass);
    }
}

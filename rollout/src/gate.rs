//! What a gate says of what was counted.

use serde::{Deserialize, Serialize};

use crate::{
    evidence::{BetaBinomial, Estimate, HOLD, Histogram, MeanDifference, QuantileShift, ROLL_BACK, Totals, null_share},
    spec::{Direction, EventGate, Gate, Test},
    tally::{Arms, Both, Counted, Met, Tally},
};

/// What a gate says, and the numbers that it says it on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// How many units it happened to, or were counted for a mean or a quantile: since the rollout began, or, where there is evidence of harm,
    /// in the window with the strongest.
    pub met: Arms,
    /// How many times as often it happened to treatment as to control; absent where it did not happen to control.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// What was measured, where that is one number: what a source answered; of means and quantiles, how much more treatment has than control,
    /// 0.1 for a tenth.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// What else there is to say of it, in words: why it is inconclusive, say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Units of both arms have not been seen since the step began, for means and quantiles not enough of them, so that nothing can be said.
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
pub(crate) const N_OPT: f64 = 60.0;

/// The same for means: units of both arms.
pub(crate) const N_OPT_MEAN: f64 = 2_000.0;

/// The same for quantiles: units of one arm.
pub(crate) const N_OPT_QUANTILE: f64 = 1_000.0;

/// Windows of which none has evidence of more than 0.1 to 1 are not told apart.
const NOTHING: f64 = -std::f64::consts::LN_10;

/// Of a wrong alarm, for which the evidence is tuned.
pub(crate) const ALPHA: f64 = 0.01;

/// Of a wrong proof: what is asked for is evidence of 20 to 1.
pub(crate) const ALPHA_PROOF: f64 = 0.05;

/// Units of each arm that a mean or a quantile needs: of fewer, a mean is not normal, and a quantile is not seen.
pub const MIN_UNITS: u64 = 100;

/// And so many effective ones of both together, see [`Totals::n_effective`].
pub(crate) const MIN_EFFECTIVE: f64 = 60.0;

/// What each gate says. Those that ask others say that they were not asked.
pub fn judge(gates: &[Gate], tally: &Tally) -> Vec<Judgement> {
    let weights = weights(gates);
    let judge = |(index, gate): (usize, &Gate)| match gate.events() {
        Some(events) => {
            Compared { key: &gate.key, gate: events, index, ln_share: (events.weight / weights).ln(), tally }.judge()
        }
        None => Judgement::inconclusive(&gate.key, "has not been asked yet"),
    };
    gates.iter().enumerate().map(judge).collect()
}

/// The weights of the gates on events together, among which the tolerated probability of an error is divided.
pub(crate) fn weights(gates: &[Gate]) -> f64 {
    gates.iter().filter_map(Gate::events).map(|gate| gate.weight).sum()
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

/// A gate on events, with what was counted for it.
#[derive(Clone, Copy)]
struct Compared<'a> {
    key: &'a str,
    gate: &'a EventGate,
    index: usize,
    /// Of its part of the tolerated probability of an error, the logarithm.
    ln_share: f64,
    tally: &'a Tally,
}

/// One arm of both.
type ArmOf = for<'h> fn(&'h Both<Histogram>) -> &'h Histogram;

/// The window with the strongest evidence of harm, corrected for all gates and windows.
struct Strongest<T> {
    ln_evidence: f64,
    counted: Option<T>,
}

impl<'a> Compared<'a> {
    fn judge(self) -> Judgement {
        match self.gate.test {
            Test::Happened { .. } => self.happened(),
            Test::Mean { .. } => self.totals(Totals::mean),
            Test::Ratio { .. } => self.totals(Totals::ratio),
            Test::Quantile { quantile } => self.quantile(quantile),
        }
    }

    fn happened(self) -> Judgement {
        let process = BetaBinomial::new(null_share(self.ratio(), 0.5), N_OPT, ALPHA);
        let ln_evidence = |met: &Met, floor| {
            let Arms { treatment, control } = met.compared;
            let worse = if self.gate.worse == Direction::Up { treatment } else { control };
            // Most hours of a week have nothing to say.
            let may_count = process.ln_at_most(worse, treatment + control) > floor;
            may_count.then(|| process.ln_evidence(worse, treatment + control))
        };
        let met_of = |counted: &'a Counted| match counted {
            Counted::Happened(met) => Some(met),
            _ => None,
        };
        let strongest = self.strongest(met_of, ln_evidence);
        let met = self.shown(met_of, &strongest).map_or_else(Arms::default, |met| met.compared);
        let Arms { treatment, control } = self.tally.seen();
        let verdict = match self.verdict(strongest.ln_evidence, treatment > 0 && control > 0) {
            _ if self.is_beyond_limit() => Verdict::Limit,
            verdict => verdict,
        };
        // The arms are of one size.
        let ratio = (met.control > 0).then(|| count(met.treatment) / count(met.control));
        let judgement = self.judgement(verdict, strongest.ln_evidence, met);
        self.proved(Judgement { ratio, ..judgement })
    }

    fn totals(self, of: fn(&Totals) -> Option<Estimate>) -> Judgement {
        let estimates = |totals: &Both<Totals>| {
            let Both { treatment, control } = totals;
            // Not of each arm: a release after which nobody buys anything has none.
            let n_effective = treatment.n_effective() + control.n_effective();
            let is_enough = treatment.n().min(control.n()) >= MIN_UNITS && n_effective >= MIN_EFFECTIVE;
            is_enough.then_some((of(treatment)?, of(control)?))
        };
        // Worse than the margin allows, without dividing by what is not known exactly: treatment − (1 + margin) · control.
        let ln_evidence = |totals: &Both<Totals>, _| {
            let (treatment, control) = estimates(totals)?;
            let allowed = control.times(self.allowed());
            let difference = match self.gate.worse {
                Direction::Up => MeanDifference::new(&allowed, &treatment),
                Direction::Down => MeanDifference::new(&treatment, &allowed),
            };
            Some(difference.ln_evidence(N_OPT_MEAN, ALPHA))
        };
        let totals_of = |counted: &'a Counted| match counted {
            Counted::Totals(totals) => Some(totals),
            _ => None,
        };
        let strongest = self.strongest(totals_of, ln_evidence);
        let shown = self.shown(totals_of, &strongest);
        let met = shown.map_or_else(Arms::default, |it| Arms { treatment: it.treatment.n(), control: it.control.n() });
        let shown = shown.and_then(estimates).filter(|(_, control)| control.value > 0.0);
        let value = shown.map(|(treatment, control)| treatment.value / control.value - 1.0);
        let is_enough =
            totals_of(self.tally.at_this_step(self.index)).is_some_and(|totals| estimates(totals).is_some());
        let verdict = self.verdict(strongest.ln_evidence, is_enough);
        let judgement = self.judgement(verdict, strongest.ln_evidence, met);
        let why = "has too few units at this step that were watched to the end: 100 of each arm, and enough that differ from nothing";
        let problem = (verdict == Verdict::Pending).then(|| why.to_owned());
        Judgement { value, problem, ..judgement }
    }

    fn quantile(self, quantile: f64) -> Judgement {
        let shift = QuantileShift::new(quantile, self.ratio() - 1.0, N_OPT_QUANTILE, ALPHA);
        let firsts_of = |counted: &'a Counted| match counted {
            Counted::Firsts(firsts) => Some(firsts),
            _ => None,
        };
        let (better_of, worse_of): (ArmOf, ArmOf) = match self.gate.worse {
            Direction::Up => (|firsts| &firsts.control, |firsts| &firsts.treatment),
            Direction::Down => (|firsts| &firsts.treatment, |firsts| &firsts.control),
        };
        // That of the whole rollout does for most windows.
        let likely = self.whole().and_then(firsts_of).map(|firsts| shift.likely(better_of(firsts)));
        let ln_evidence = |firsts: &Both<Histogram>, floor: f64| {
            let (better, worse) = (better_of(firsts), worse_of(firsts));
            let may_count = shift.ln_at_most(better, worse, likely?) > floor
                && shift.ln_at_most(better, worse, shift.likely(better)) > floor;
            may_count.then(|| shift.ln_evidence(better, worse, floor))
        };
        let strongest = self.strongest(firsts_of, ln_evidence);
        let shown = self.shown(firsts_of, &strongest);
        let n_of = |it: &Both<Histogram>| Arms { treatment: it.treatment.n(), control: it.control.n() };
        let met = shown.map_or_else(Arms::default, n_of);
        let change = |it: &Both<Histogram>| {
            let (treatment, control) = (it.treatment.quantile(quantile)?, it.control.quantile(quantile)?);
            Some(treatment / control - 1.0)
        };
        let value = shown.and_then(change);
        let at_this_step = firsts_of(self.tally.at_this_step(self.index)).map_or_else(Arms::default, n_of);
        let is_enough = at_this_step.treatment.min(at_this_step.control) >= MIN_UNITS;
        let verdict = self.verdict(strongest.ln_evidence, is_enough);
        let judgement = self.judgement(verdict, strongest.ln_evidence, met);
        let why = "has too few units with a value at this step: 100 of each arm";
        let problem = (verdict == Verdict::Pending).then(|| why.to_owned());
        Judgement { value, problem, ..judgement }
    }

    /// How many times as much of the worse arm is no harm.
    fn ratio(self) -> f64 {
        match self.gate.worse {
            Direction::Up => 1.0 + self.gate.margin,
            Direction::Down => 1.0 / (1.0 - self.gate.margin),
        }
    }

    /// How many times control treatment may be.
    fn allowed(self) -> f64 {
        match self.gate.worse {
            Direction::Up => 1.0 + self.gate.margin,
            Direction::Down => 1.0 - self.gate.margin,
        }
    }

    /// `ln_evidence`: of one window, `None` where it has too little; what is not above the number that it is given does not count.
    fn strongest<T: Copy>(
        self,
        of: impl Fn(&'a Counted) -> Option<T>,
        ln_evidence: impl Fn(T, f64) -> Option<f64>,
    ) -> Strongest<T> {
        let mut strongest = Strongest { ln_evidence: f64::NEG_INFINITY, counted: None };
        for (weight, counted) in self.tally.counted(self.index) {
            let Some(counted) = of(counted) else { continue };
            let ln_part = weight.ln() + self.ln_share;
            let floor =
                if strongest.counted.is_some() { strongest.ln_evidence.max(NOTHING) } else { f64::NEG_INFINITY };
            let Some(found) = ln_evidence(counted, floor - ln_part) else { continue };
            if found + ln_part > strongest.ln_evidence {
                strongest = Strongest { ln_evidence: found + ln_part, counted: Some(counted) };
            }
        }
        strongest
    }

    /// The window that people see the numbers of: the whole rollout, or the one with evidence of harm.
    fn shown<T: Copy>(self, of: impl Fn(&'a Counted) -> Option<T>, strongest: &Strongest<T>) -> Option<T> {
        if strongest.ln_evidence >= HOLD { strongest.counted } else { self.whole().and_then(of) }
    }

    /// What was counted since the first step began.
    fn whole(self) -> Option<&'a Counted> {
        self.tally.counted(self.index).next().map(|(_, counted)| counted)
    }

    /// `is_enough`: whether enough was seen since the step began.
    fn verdict(self, ln_evidence: f64, is_enough: bool) -> Verdict {
        if ln_evidence >= ROLL_BACK {
            Verdict::Harm
        } else if !self.tally.has_control() {
            Verdict::Unopposed
        } else if !is_enough {
            Verdict::Pending
        } else if ln_evidence >= HOLD {
            Verdict::Suspect
        } else {
            Verdict::Pass
        }
    }

    fn judgement(self, verdict: Verdict, ln_evidence: f64, met: Arms) -> Judgement {
        Judgement { verdict, evidence: ln_evidence.exp().min(1e12), met, ..Judgement::nothing(self.key) }
    }

    /// Where a proof is asked for, and is not there, a gate that has nothing against going on says so. Proofs need no correction for
    /// others: all of them must be there.
    fn proved(self, judgement: Judgement) -> Judgement {
        let Some(ratio) = self.gate.proof.filter(|_| judgement.verdict == Verdict::Pass && !self.tally.is_a_a()) else {
            return judgement;
        };
        let Some(Counted::Happened(Met { compared: Arms { treatment, control }, .. })) = self.whole() else {
            return judgement;
        };
        // That so many are in control as there would be if it happened to treatment less often than that.
        let process = BetaBinomial::new(null_share(1.0 / ratio, 0.5), N_OPT, ALPHA_PROOF);
        let ln_evidence = process.ln_evidence(*control, treatment + control);
        if ln_evidence >= HOLD {
            return judgement;
        }
        let evidence = ln_evidence.exp();
        let problem = format!(
            "is not proved to happen to less than {ratio} times as many units as in control: for {treatment} in treatment, {control} in \
             control, {evidence:.1} to 1 of 20"
        );
        Judgement { verdict: Verdict::Unproved, problem: Some(problem), ..judgement }
    }

    fn is_beyond_limit(self) -> bool {
        let Counted::Happened(met) = self.tally.at_this_step(self.index) else { return false };
        let Some(limit) = self.gate.limit else { return false };
        let at_this_step = (met.treated, self.tally.treated());
        [at_this_step, self.tally.lately(self.index)]
            .into_iter()
            .any(|(met, all)| met >= limit.units && count(met) > limit.share * count(all))
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 units")]
fn count(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use tidegate_core::Timestamp;

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
                tally.expose(Exposed { unit: u64::from(bucket), bucket: Some(bucket), treated }, Timestamp(0));
                if u64::from(n) < n_errors {
                    tally.measure(u64::from(bucket), "errors", None, Timestamp(0));
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

    /// In each arm 1,000 units with values of which this is the median, and after an hour.
    fn with_values(gate: EventGate, treatment: f64, control: f64) -> Judgement {
        let gates = [Gate::on_events("errors", gate)];
        let mut tally = Tally::new(&gates, Tally::CAPACITY);
        tally.begin_step(10_000);
        for n in 0..1_000_u32 {
            for (bucket, median, treated) in [(n, treatment, true), (99_999 - n, control, false)] {
                let unit = u64::from(bucket);
                tally.expose(Exposed { unit, bucket: Some(bucket), treated }, Timestamp(0));
                let value = median * (f64::from(n * 7_919 % 1_000) / 500.0 - 1.0).exp();
                // For a ratio: some are measured twice.
                for _ in 0..=n % 2 {
                    tally.measure(unit, "errors", Some(value), Timestamp(0));
                }
            }
        }
        tally.pass(Timestamp(3_600_000));
        judge(&gates, &tally).remove(0)
    }

    #[track_caller]
    fn check_values(test: Test, worse: Direction, treatment: f64, expected: Verdict) {
        let gate = EventGate { test, worse, margin: 0.05, ..EventGate::named("errors") };
        let judgement = with_values(gate, treatment, 100.0);
        assert_eq!(judgement.verdict, expected, "{test:?} {judgement:?}");
        assert_eq!(judgement.met, Arms { treatment: 1_000, control: 1_000 });
        let change = judgement.value.unwrap();
        assert!((change - (treatment / 100.0 - 1.0)).abs() < 0.03, "{test:?} {change}");
    }

    #[test]
    fn more_and_less_are_found() {
        for test in [
            Test::Mean { within_ms: 600_000 },
            Test::Ratio { within_ms: 600_000 },
            Test::Quantile { quantile: 0.5 },
            Test::Quantile { quantile: 0.9 },
        ] {
            check_values(test, Direction::Up, 100.0, Verdict::Pass);
            check_values(test, Direction::Up, 104.0, Verdict::Pass);
            check_values(test, Direction::Up, 50.0, Verdict::Pass);
            check_values(test, Direction::Up, 150.0, Verdict::Harm);
            check_values(test, Direction::Down, 96.0, Verdict::Pass);
            check_values(test, Direction::Down, 150.0, Verdict::Pass);
            check_values(test, Direction::Down, 65.0, Verdict::Harm);
        }
    }

    #[test]
    fn no_purchases_at_all_are_less() {
        let gate = EventGate {
            test: Test::Mean { within_ms: 600_000 },
            worse: Direction::Down,
            margin: 0.1,
            ..EventGate::named("errors")
        };
        let judgement = with_values(gate, 0.0, 100.0);
        assert_eq!((judgement.verdict, judgement.value), (Verdict::Harm, Some(-1.0)));
    }

    #[test]
    fn few_units_say_nothing_of_means_and_quantiles() {
        for (n_units, expected) in [(99, Verdict::Pending), (100, Verdict::Pass)] {
            for test in [Test::Mean { within_ms: 1_000 }, Test::Quantile { quantile: 0.5 }] {
                let gates = [Gate::on_events("errors", EventGate { test, ..EventGate::named("errors") })];
                let mut tally = Tally::new(&gates, Tally::CAPACITY);
                tally.begin_step(50_000);
                for n in 0..n_units {
                    for (bucket, treated) in [(n, true), (99_999 - n, false)] {
                        let unit = u64::from(bucket);
                        tally.expose(Exposed { unit, bucket: Some(bucket), treated }, Timestamp(0));
                        tally.measure(unit, "errors", Some(f64::from(n % 5) + 1.0), Timestamp(0));
                    }
                }
                assert_eq!(
                    judge(&gates, &tally).remove(0).verdict == expected,
                    matches!(test, Test::Quantile { .. }) || n_units < 100
                );
                tally.pass(Timestamp(1_000));
                let judgement = judge(&gates, &tally).remove(0);
                assert_eq!((judgement.verdict, judgement.problem.is_some()), (expected, expected == Verdict::Pending));
            }
        }
    }

    #[test]
    fn a_proof_is_waited_for() {
        let twice = EventGate { proof: Some(2.0), ..EventGate::named("errors") };
        check(&twice, 5, 5, Verdict::Unproved);
        check(&twice, 40, 40, Verdict::Pass);
        check(&twice, 60, 20, Verdict::Harm);
        check(&EventGate { proof: Some(1.25), ..twice.clone() }, 40, 40, Verdict::Unproved);
        let judgement = after(&[Gate::on_events("errors", twice)], 10_000, 5, 5).remove(0);
        let told = "`errors` is not proved to happen to less than 2 times as many units as in control: for 5 in treatment, 5 in control, \
                    1.5 to 1 of 20";
        assert_eq!(judgement.to_string(), told);
    }
}

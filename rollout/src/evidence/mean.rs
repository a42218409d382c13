//! How much on average.

use serde::{Deserialize, Serialize};

use super::beta_binomial::count;

/// The values of the units of one arm. Each unit counts once, when the time in which it is observed is over: totals that still
/// change would be believed too early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// How many units.
    pub(super) n: u64,
    /// The sums of their totals, of their counts, and of the products.
    pub(super) total: f64,
    pub(super) count: f64,
    pub(super) total_total: f64,
    pub(super) total_count: f64,
    pub(super) count_count: f64,
}

impl Totals {
    /// Takes one more unit in: the total of what was measured of it, and how often it was.
    pub fn add(&mut self, total: f64, n_measured: u32) {
        let count = f64::from(n_measured);
        self.n += 1;
        self.total += total;
        self.count += count;
        self.total_total += total * total;
        self.total_count += total * count;
        self.count_count += count * count;
    }

    /// How many units there are.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// As many units as this would have the same spread if each had either nothing or one and the same: of values that few units have, or
    /// of which few are huge, a sum is not normal before there are some dozens.
    pub fn n_effective(&self) -> f64 {
        if self.total_total > 0.0 { self.total * self.total / self.total_total } else { 0.0 }
    }

    /// The mean of the units' totals; absent with fewer than two units.
    pub fn mean(&self) -> Option<Estimate> {
        let n = count(self.n);
        let spread = self.total_total - self.total * self.total / n;
        (self.n >= 2).then(|| Estimate { n, value: self.total / n, variance: spread.max(0.0) / (n - 1.0) / n })
    }

    /// The mean of what was measured: all totals by all counts. Its variance is that of units, as what is measured of one is alike: by the delta
    /// method (Deng, Knoblich, Lu, "Applying the delta method in metric analytics", 2018). Absent with fewer than two units, and where
    /// nothing was measured.
    pub fn ratio(&self) -> Option<Estimate> {
        let n = count(self.n);
        if self.n < 2 || self.count <= 0.0 {
            return None;
        }
        let (value, mean_count) = (self.total / self.count, self.count / n);
        // The totals less what their counts would make them, which is 0 on average.
        let spread = self.total_total - 2.0 * value * self.total_count + value * value * self.count_count;
        let variance = spread.max(0.0) / (n - 1.0) / n / (mean_count * mean_count);
        Some(Estimate { n, value, variance })
    }
}

/// A mean, and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Units.
    pub n: f64,
    /// The mean.
    pub value: f64,
    /// Of the mean.
    pub variance: f64,
}

impl Estimate {
    /// So many times it.
    #[must_use]
    pub fn times(self, factor: f64) -> Self {
        Self { value: self.value * factor, variance: self.variance * factor * factor, ..self }
    }
}

/// How far apart the means of two arms are: an asymptotic confidence sequence, which holds at every look once there are some hundred units
/// in each arm, and arms of about the same size.
///
/// Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
/// 2023, equation (15), and its one-sided form, as in GrowthBook's `gbstats`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanDifference {
    /// The one over the other.
    pub estimate: f64,
    /// Of the estimate.
    pub(super) variance: f64,
    pub(super) n: f64,
}

impl MeanDifference {
    /// `worse` − `better`.
    pub fn new(better: &Estimate, worse: &Estimate) -> Self {
        let (estimate, variance) = (worse.value - better.value, better.variance + worse.variance);
        Self { estimate, variance, n: better.n + worse.n }
    }

    /// Of a sum of that variance, which is 0 so far, as if it were of one unit.
    #[cfg(test)]
    pub(super) fn of_sum(variance: f64) -> Self {
        Self { estimate: 0.0, variance, n: 1.0 }
    }

    /// Where the difference is, with a probability of `1 − alpha` at every look. Tightest at `n_opt` units.
    #[cfg(test)]
    pub(super) fn interval(&self, n_opt: f64, alpha: f64) -> (f64, f64) {
        let mixture = self.mixture(n_opt, alpha);
        let half = (self.scale(mixture) * (mixture.sqrt() / alpha).ln()).sqrt();
        (self.estimate - half, self.estimate + half)
    }

    /// What the difference is at least, with a probability of `1 − alpha` at every look. Tightest at `n_opt` units.
    #[cfg(test)]
    fn lower_bound(&self, n_opt: f64, alpha: f64) -> f64 {
        let mixture = self.mixture(n_opt, 2.0 * alpha);
        self.estimate - (self.scale(mixture) * (mixture.sqrt() / (2.0 * alpha)).ln_1p()).sqrt()
    }

    /// The evidence that the difference is above 0, as a natural logarithm: `1/α` where the lower bound for that `α` would be 0, with the
    /// mixture of `alpha`; 0 where there is none.
    pub fn ln_evidence(&self, n_opt: f64, alpha: f64) -> f64 {
        let mixture = self.mixture(n_opt, 2.0 * alpha);
        let exponent = self.estimate * self.estimate / self.scale(mixture);
        if self.estimate <= 0.0 || exponent.is_nan() {
            return 0.0;
        }
        // ln(2 (eˣ − 1) / √mixture)
        let ln_growth = exponent + (-(-exponent).exp_m1()).ln();
        (std::f64::consts::LN_2 + ln_growth - 0.5 * mixture.ln()).max(0.0)
    }

    /// `nρ² + 1`.
    fn mixture(&self, n_opt: f64, alpha: f64) -> f64 {
        let twice = -2.0 * alpha.ln();
        self.n * (twice + twice.ln_1p()) / n_opt + 1.0
    }

    /// What the square of a half width is divided by its logarithm: `s² · 2(nρ² + 1) / (nρ)²`, with `s² = n · variance`.
    fn scale(&self, mixture: f64) -> f64 {
        self.variance * 2.0 * mixture / (mixture - 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(n: u64, total: f64, total_total: f64) -> Totals {
        Totals { n, total, total_total, ..Totals::default() }
    }

    fn control() -> Estimate {
        totals(3_000, 1_396.87, 52_377.976_7).mean().unwrap()
    }

    fn treatment() -> Estimate {
        totals(3_461, 2_422.7, 134_698.29).mean().unwrap()
    }

    #[track_caller]
    fn check(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }

    /// (treatment − control) / control by the delta method, as `gbstats` has it.
    fn relative(control: &Estimate, treatment: &Estimate) -> MeanDifference {
        let ratio = treatment.value / control.value;
        let one = Estimate { value: 1.0, variance: control.variance * (ratio / control.value).powi(2), n: control.n };
        MeanDifference::new(&one, &treatment.times(1.0 / control.value))
    }

    /// The figures are those of the unit tests of `gbstats`.
    #[test]
    fn it_is_the_sequence_of_gbstats() {
        let difference = relative(&control(), &treatment());
        check(difference.estimate, 0.503_36);
        let (lower, upper) = difference.interval(1_000.0, 0.05);
        check(lower, -0.558_44);
        check(upper, 1.565_16);
        check(difference.lower_bound(5_000.0, 0.05), -0.423_564_5);
        let absolute = MeanDifference::new(&control(), &treatment());
        check(absolute.lower_bound(5_000.0, 0.05), -0.126_568_4);

        let proportion = |n, yes| totals(n, yes, yes).mean().unwrap();
        let proportions = relative(&proportion(3_000, 1_396.0), &proportion(3_461, 2_422.0));
        check(proportions.estimate, 0.503_86);
        let (lower, upper) = proportions.interval(5_000.0, 0.05);
        assert!((lower - 0.400_98).abs() < 1e-4 && (upper - 0.606_75).abs() < 1e-4, "{lower} {upper}");
    }

    #[test]
    fn evidence_is_where_the_bound_reaches_nothing() {
        let difference = MeanDifference::new(&control(), &treatment());
        for alpha in [0.05, 0.01] {
            let lower_bound = difference.lower_bound(5_000.0, alpha);
            let less = MeanDifference { estimate: difference.estimate - lower_bound, ..difference };
            check(less.ln_evidence(5_000.0, alpha), (1.0 / alpha).ln());
        }
        check(MeanDifference::new(&treatment(), &control()).ln_evidence(5_000.0, 0.05), 0.0);
    }

    #[test]
    fn what_cannot_be_compared_is_nothing() {
        assert_eq!((totals(1, 1.0, 1.0).mean(), totals(5, 1.0, 1.0).ratio()), (None, None));
        let nothing = totals(10, 0.0, 0.0).mean().unwrap();
        check(MeanDifference::new(&nothing, &nothing).ln_evidence(100.0, 0.05), 0.0);
    }

    /// Where each unit is measured once, a mean of measurements is one of units; where it is measured twice with the same, too.
    #[test]
    fn a_ratio_is_a_mean_over_units() {
        let mut all = [Totals::default(); 3];
        for unit in 0..500_u32 {
            let value = f64::from(unit * 7_919 % 101);
            all[0].add(value, 1);
            all[1].add(2.0 * value, 2);
            // Half of the units have nothing to say.
            all[2].add(if unit % 2 == 0 { value } else { 0.0 }, u32::from(unit % 2 == 0));
        }
        let (mean, ratio, twice) = (all[0].mean().unwrap(), all[0].ratio().unwrap(), all[1].ratio().unwrap());
        for found in [ratio, twice] {
            check(found.value, mean.value);
            check(found.variance, mean.variance);
        }
        let half = all[2].ratio().unwrap();
        assert!((half.variance / mean.variance - 2.0).abs() < 0.1 && (half.value - mean.value).abs() < 2.0, "{half:?}");
    }

    #[test]
    fn few_huge_values_are_few_units() {
        let mut sales = Totals::default();
        (0..1_000).for_each(|unit| sales.add(if unit % 100 == 0 { 50.0 } else { 0.0 }, 1));
        check(sales.n_effective(), 10.0);
        sales.add(10_000.0, 1);
        assert!(sales.n_effective() < 1.2);
        check(Totals::default().n_effective(), 0.0);
    }
}

//! How much on average.

use super::beta_binomial::count;

/// The values of the units of one arm. Each unit counts once, when the time in which it is observed is over: totals that still
/// change would be believed too early.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// How many units.
    pub n: u64,
    /// The sum of their values.
    pub sum: f64,
    /// The sum of the squares of their values.
    pub sum_of_squares: f64,
}

impl Sample {
    /// Takes one more unit in.
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        self.sum += value;
        self.sum_of_squares += value * value;
    }

    fn mean(&self) -> f64 {
        self.sum / count(self.n)
    }

    /// The estimated variance of the mean.
    fn variance(&self) -> f64 {
        let n = count(self.n);
        let spread = self.sum_of_squares - self.sum * self.sum / n;
        spread.max(0.0) / (n - 1.0) / n
    }
}

/// How far apart the means of two arms are: an asymptotic confidence sequence, which holds at every look once there are some hundred units
/// in each arm, and arms of about the same size.
///
/// Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences",
/// 2023, equation (15), and its one-sided form, as in GrowthBook's `gbstats`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanDifference {
    /// Treatment over control.
    pub estimate: f64,
    /// Of the estimate.
    variance: f64,
    n: f64,
}

impl MeanDifference {
    /// Treatment − control; nothing where an arm has fewer than two units.
    pub fn absolute(control: &Sample, treatment: &Sample) -> Option<Self> {
        let n = units(control, treatment)?;
        let variance = control.variance() + treatment.variance();
        Some(Self { estimate: treatment.mean() - control.mean(), variance, n })
    }

    /// (Treatment − control) / control, by the delta method; nothing where an arm has fewer than two units, or the mean of
    /// control is not above 0.
    pub fn relative(control: &Sample, treatment: &Sample) -> Option<Self> {
        let n = units(control, treatment)?;
        let (from, to) = (control.mean(), treatment.mean());
        if from <= 0.0 {
            return None;
        }
        let variance = treatment.variance() / (from * from) + control.variance() * (to * to) / from.powi(4);
        Some(Self { estimate: (to - from) / from, variance, n })
    }

    /// Of a sum of that variance, which is 0 so far, as if it were of one unit.
    #[cfg(test)]
    pub(super) fn of_sum(variance: f64) -> Self {
        Self { estimate: 0.0, variance, n: 1.0 }
    }

    /// Where the difference is, with a probability of `1 − alpha` at every look. Tightest at `n_opt` units.
    pub fn interval(&self, n_opt: f64, alpha: f64) -> (f64, f64) {
        let mixture = self.mixture(n_opt, alpha);
        let half = (self.scale(mixture) * (mixture.sqrt() / alpha).ln()).sqrt();
        (self.estimate - half, self.estimate + half)
    }

    /// What the difference is at least, with a probability of `1 − alpha` at every look. Tightest at `n_opt` units.
    pub fn lower_bound(&self, n_opt: f64, alpha: f64) -> f64 {
        let mixture = self.mixture(n_opt, 2.0 * alpha);
        self.estimate - (self.scale(mixture) * (mixture.sqrt() / (2.0 * alpha)).ln_1p()).sqrt()
    }

    /// The evidence that the difference is above `margin`, as a natural logarithm: `1/α` where [`lower_bound`](Self::lower_bound)
    /// for that `α` would reach the margin, with the mixture of `alpha`; 0 where there is none.
    pub fn ln_evidence(&self, margin: f64, n_opt: f64, alpha: f64) -> f64 {
        let beyond = self.estimate - margin;
        let mixture = self.mixture(n_opt, 2.0 * alpha);
        let exponent = beyond * beyond / self.scale(mixture);
        if beyond <= 0.0 || exponent.is_nan() {
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

fn units(control: &Sample, treatment: &Sample) -> Option<f64> {
    (control.n >= 2 && treatment.n >= 2).then(|| count(control.n) + count(treatment.n))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTROL: Sample = Sample { n: 3_000, sum: 1_396.87, sum_of_squares: 52_377.976_7 };
    const TREATMENT: Sample = Sample { n: 3_461, sum: 2_422.7, sum_of_squares: 134_698.29 };

    #[track_caller]
    fn check(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }

    /// The figures are those of the unit tests of `gbstats`.
    #[test]
    fn it_is_the_sequence_of_gbstats() {
        let relative = MeanDifference::relative(&CONTROL, &TREATMENT).unwrap();
        check(relative.estimate, 0.503_36);
        let (lower, upper) = relative.interval(1_000.0, 0.05);
        check(lower, -0.558_44);
        check(upper, 1.565_16);
        check(relative.lower_bound(5_000.0, 0.05), -0.423_564_5);
        let absolute = MeanDifference::absolute(&CONTROL, &TREATMENT).unwrap();
        check(absolute.lower_bound(5_000.0, 0.05), -0.126_568_4);

        let proportion = |n, yes| Sample { n, sum: yes, sum_of_squares: yes };
        let proportions = MeanDifference::relative(&proportion(3_000, 1_396.0), &proportion(3_461, 2_422.0)).unwrap();
        check(proportions.estimate, 0.503_86);
        let (lower, upper) = proportions.interval(5_000.0, 0.05);
        assert!((lower - 0.400_98).abs() < 1e-4 && (upper - 0.606_75).abs() < 1e-4, "{lower} {upper}");
    }

    #[test]
    fn evidence_is_where_the_bound_reaches_the_margin() {
        let difference = MeanDifference::absolute(&CONTROL, &TREATMENT).unwrap();
        for alpha in [0.05, 0.01] {
            let margin = difference.lower_bound(5_000.0, alpha);
            check(difference.ln_evidence(margin, 5_000.0, alpha), (1.0 / alpha).ln());
        }
        check(difference.ln_evidence(difference.estimate, 5_000.0, 0.05), 0.0);
    }

    #[test]
    fn what_cannot_be_compared_is_nothing() {
        let one = Sample { n: 1, sum: 1.0, sum_of_squares: 1.0 };
        assert_eq!(MeanDifference::absolute(&one, &TREATMENT), None);
        let nothing = Sample { n: 10, sum: 0.0, sum_of_squares: 0.0 };
        assert_eq!(MeanDifference::relative(&nothing, &TREATMENT), None);
        let same = MeanDifference::absolute(&nothing, &nothing).unwrap();
        check(same.ln_evidence(0.0, 100.0, 0.05), 0.0);
    }
}

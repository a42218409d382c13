//! Whether the arms have the units that they should have.

use super::beta_binomial::count;

/// Evidence that units are not split as they should be: a symptom of lost telemetry or broken assignment, after which no
/// comparison of the arms means anything. Each unit counts once, at its first exposure.
///
/// The multinomial mixture of Lindon and Malek, "Anytime-valid inference for multinomial count data", 2022, with the prior
/// Dirichlet(kρ).
#[derive(Clone, Debug, PartialEq)]
pub struct SampleRatio {
    shares: Box<[f64]>,
    concentration: f64,
}

impl SampleRatio {
    /// Evidence of 1,000 to 1, as a natural logarithm: then it is believed.
    pub const ALARM: f64 = 6.907_755_278_982_137;

    /// Evidence of 100 to 1: what was believed is believed until it is below, or it would go back and forth.
    pub const RELEASE: f64 = 4.605_170_185_988_091;

    /// How sure the prior is of the shares, in units: it finds small deviations of large rollouts.
    pub const CONCENTRATION: f64 = 100.0;

    /// `shares`: of each arm among all units, positive, together 1.
    pub fn new(shares: impl Into<Box<[f64]>>) -> Self {
        Self { shares: shares.into(), concentration: Self::CONCENTRATION }
    }

    /// The evidence of so many units in each arm, as a natural logarithm. Of strata with other shares, the sum counts.
    pub fn ln_evidence(&self, units: &[u64]) -> f64 {
        let (mut ln_evidence, mut n) = (0.0, 0.0);
        for (share, units) in self.shares.iter().zip(units) {
            let (prior, units) = (self.concentration * share, count(*units));
            ln_evidence += libm::lgamma(prior + units) - libm::lgamma(prior) - units * share.ln();
            n += units;
        }
        ln_evidence + libm::lgamma(self.concentration) - libm::lgamma(self.concentration + n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `savvi` 0.3.1.
    #[track_caller]
    fn check(shares: &[f64], concentration: f64, units: &[u64], expected: f64) {
        let found = SampleRatio { shares: shares.into(), concentration }.ln_evidence(units);
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    #[test]
    fn it_is_the_mixture_of_lindon_and_malek() {
        check(&[0.5, 0.5], 100.0, &[450, 550], 3.354_667_9);
        check(&[0.5, 0.5], 2.0, &[600, 400], 16.886_280_7);
        check(&[0.3, 0.3, 0.4], 100.0, &[300, 275, 306], 2.831_518_1);
        check(&[0.1, 0.9], 100.0, &[1_000, 9_300], -1.832_560_5);
        // Microsoft's published example: "Diagnosing Sample Ratio Mismatch in Online Controlled Experiments", 2019.
        check(&[0.5, 0.5], 10_000.0, &[821_588, 815_482], 8.765_972_3);
    }

    #[test]
    fn nothing_is_no_evidence() {
        assert!(SampleRatio::new([0.1, 0.9]).ln_evidence(&[0, 0]).abs() < 1e-12);
        assert!(SampleRatio::new([0.5, 0.5]).ln_evidence(&[5_200, 4_800]) > SampleRatio::ALARM / 2.0);
    }
}

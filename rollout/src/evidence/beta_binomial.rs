//! How often something happens.

use super::{
    special::{ln_beta, ln_beta_inc},
    tuning,
};

/// Evidence that something happens with a probability above `θ₀`, from units of which each says yes or no once, in any order
/// that does not look at the answer.
///
/// The one-sided beta-binomial mixture of Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform Chernoff bounds via nonnegative
/// supermartingales", 2020, with the prior Beta(κθ₀, κ(1−θ₀)) on (θ₀, 1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BetaBinomial {
    theta: f64,
    a: f64,
    b: f64,
    /// Of the prior on its half.
    ln_prior: f64,
}

/// The share of treatment among the units that had it happen, where it happens `ratio` times as often as in control; `split`:
/// the share of treatment among all. With [`BetaBinomial`] about that share, "the risk is more than `ratio` times control's" needs no
/// count of those who had nothing happen, and base rates may change as they like (Lindon and Malek, "Anytime-valid inference
/// for multinomial count data", 2022). Both are positive, `split` is below 1.
pub fn null_share(ratio: f64, split: f64) -> f64 {
    split * ratio / (split * ratio + 1.0 - split)
}

impl BetaBinomial {
    /// The null hypothesis is a probability of at most `theta`, in (0, 1). Tightest after about `n_opt` units for a probability
    /// of an error of `alpha`, in (0, ½); it holds after any number.
    pub fn new(theta: f64, n_opt: f64, alpha: f64) -> Self {
        // Below it the prior would have no weight at all.
        let kappa = (n_opt / tuning(alpha) - 1.0).max(1e-3);
        let (a, b) = (kappa * theta, kappa * (1.0 - theta));
        Self { theta, a, b, ln_prior: ln_beta(a, b) + ln_beta_inc(b, a, 1.0 - theta) }
    }

    /// What the evidence is at most, as a natural logarithm: that for the probability that explains what was seen best. A twentieth of the work.
    pub fn ln_at_most(&self, n_yes: u64, n: u64) -> f64 {
        let (yes, no) = (count(n_yes), count(n.saturating_sub(n_yes)));
        let share = yes / (yes + no);
        if share.is_nan() || share <= self.theta {
            return 0.0;
        }
        let of_no = if no > 0.0 { no * ((1.0 - share) / (1.0 - self.theta)).ln() } else { 0.0 };
        yes * (share / self.theta).ln() + of_no
    }

    /// The evidence of `n_yes` units of `n`, as a natural logarithm.
    pub fn ln_evidence(&self, n_yes: u64, n: u64) -> f64 {
        let (yes, no) = (count(n_yes), count(n.saturating_sub(n_yes)));
        let ln_posterior =
            ln_beta(self.a + yes, self.b + no) + ln_beta_inc(self.b + no, self.a + yes, 1.0 - self.theta);
        ln_posterior - self.ln_prior - yes * self.theta.ln() - no * (-self.theta).ln_1p()
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 units")]
pub(super) fn count(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    /// Made by `confseq` 0.0.11, `beta_binomial_log_mixture(S − θ₀n, θ₀(1−θ₀)n, v_opt, θ₀, 1−θ₀)`.
    #[test]
    fn it_is_the_mixture_of_howard_and_others() {
        let half = BetaBinomial::new(0.5, 100.0, 0.05);
        check(half.ln_evidence(60, 100), 1.390_121_2);
        check(half.ln_evidence(70, 100), 6.836_156_8);
        check(half.ln_evidence(550, 1_000), 3.501_753_4);
        let theta = null_share(1.1, 0.5);
        check(theta, 11.0 / 21.0);
        let more = BetaBinomial::new(theta, 25.0 / (theta * (1.0 - theta)), 0.05);
        check(more.ln_evidence(70, 100), 5.279_024_1);
        check(more.ln_evidence(600, 1_000), 10.141_781_8);
        // From confseq's unit tests, whose target is an independent implementation in R: s = 10, v = 100, g = 0.2, h = 0.8.
        check(BetaBinomial::new(0.2, 625.0, 0.05).ln_evidence(135, 625), -0.071_340_19);
    }

    #[test]
    fn nothing_is_no_evidence_and_extremes_are_numbers() {
        for theta in [1e-6, 0.3, 0.999] {
            let process = BetaBinomial::new(theta, 1_000.0, 0.01);
            check(process.ln_evidence(0, 0), 0.0);
            for (yes, n) in [(0, 1_000_000), (1_000_000, 1_000_000), (1, 3), (5_000_000, 10_000_000)] {
                assert!(process.ln_evidence(yes, n).is_finite(), "{theta} {yes} {n}");
            }
        }
    }

    #[test]
    fn it_is_at_most_what_the_best_explanation_makes_it() {
        for theta in [0.05, 0.5, 0.95] {
            let process = BetaBinomial::new(theta, 60.0, 0.01);
            for (yes, n) in [(0, 0), (0, 10), (5, 10), (10, 10), (530, 1_000), (999, 1_000), (1_000_000, 1_900_000)] {
                let (found, at_most) = (process.ln_evidence(yes, n), process.ln_at_most(yes, n));
                assert!(found <= at_most + 1e-9 && at_most.is_finite(), "{theta} {yes} {n}: {found} {at_most}");
            }
        }
    }

    /// What makes it an e-value: over all outcomes, its mean is 1 where the probability is `θ₀`, and less below.
    #[test]
    fn it_is_not_expected_to_grow_while_the_null_holds() {
        let process = BetaBinomial::new(0.3, 40.0, 0.05);
        for n in [1, 7, 60] {
            for (probability, most) in [(0.3_f64, 1.0 + 1e-9), (0.25, 1.0), (0.1, 1.0), (0.01, 1.0)] {
                let mean: f64 = (0..=n)
                    .map(|yes| {
                        let (k, rest) = (count(yes), count(n - yes));
                        let ln_choose = -ln_beta(k + 1.0, rest + 1.0) - (count(n) + 1.0).ln();
                        (ln_choose
                            + k * probability.ln()
                            + rest * (1.0 - probability).ln()
                            + process.ln_evidence(yes, n))
                        .exp()
                    })
                    .sum();
                assert!(mean <= most, "{n} {probability}: {mean}");
                assert!(probability < 0.3 || mean > 1.0 - 1e-9, "{n}: {mean}");
            }
        }
    }

    /// Numbers that look random and are the same every time: Marsaglia's xorshift.
    fn chances(mut state: u64) -> impl FnMut() -> f64 {
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            count(state >> 11) / count(1 << 53)
        }
    }

    /// In how many of `n_runs` the evidence reached 100 to 1 at one of 100 looks, where errors come from treatment with this chance.
    fn n_alarms(n_runs: u64, theta: f64, chance: f64) -> usize {
        let process = BetaBinomial::new(theta, 200.0, 0.01);
        let alarm = |run: &u64| {
            let mut draw = chances(0x9E37_79B9_7F4A_7C15 ^ (run + 1).wrapping_mul(0xD134_2543_DE82_EF95));
            let mut n_yes = 0;
            (1..=1_000_u64).any(|n| {
                n_yes += u64::from(draw() < chance);
                n % 10 == 0 && process.ln_evidence(n_yes, n) >= crate::evidence::ROLL_BACK
            })
        };
        (0..n_runs).filter(alarm).count()
    }

    #[test]
    fn looking_often_is_no_harm() {
        assert!(n_alarms(1_000, 0.5, 0.5) <= 10, "one in a hundred is allowed");
        assert!(n_alarms(1_000, null_share(1.1, 0.5), 0.5) <= 3, "and of less than the margin, fewer");
        // Twice as many errors as in control.
        assert_eq!(n_alarms(100, null_share(1.1, 0.5), null_share(2.0, 0.5)), 100);
    }
}

//! Evidence against a release, which may be looked at whenever somebody likes.
//!
//! Each number here is the logarithm of an e-value: of a process that starts at 1 and, as long as the null hypothesis holds, is
//! not expected to grow. So it ever reaches `1/α` with a probability of at most `α` (Ville's inequality), however often it
//! is looked at: evidence of 100 says "100 to 1 against". What compares two arms takes units that a hash has sent there.
//!
//! - [`BetaBinomial`]: how often something happens. Errors, conversions, requests that are too slow.
//! - [`MeanDifference`]: how much on average.
//! - [`QuantileShift`]: how slow the slowest are.
//! - [`SampleRatio`]: whether the arms have the units that they should have, before anything else is believed.
//!
//! **Held to what others compute.** Each has its published vectors in its tests, and random cases of `confseq`, `gbstats` and `savvi`
//! in `oracles`, event by event and look by look.
//!
//! **What is not here, on purpose.** Tests of one look or of few planned ones (Welch, group-sequential bounds): a rollout looks every
//! few seconds at traffic that nobody knows beforehand. Rank tests and thresholds of effect sizes, as in Kayenta: they pass arms whose
//! standard deviations differ by 14 times, and find harm too often when repeated. The χ² test of the sample ratio: repeated, it
//! gives 22 times as many false alarms as it says. Mixtures for counts (gamma-Poisson, gamma-exponential): what one
//! unit does many times is correlated, so that it is a mean here. Stitched bounds and intervals of a share: no gate shows
//! one. Two-sided tests, mSPRT among them (which is the normal mixture of [`MeanDifference`]): better is no harm.

mod beta_binomial;
mod mean;
mod quantile;
mod sample_ratio;
mod special;

#[cfg(test)]
mod oracles;

pub use self::{
    beta_binomial::{BetaBinomial, null_share},
    mean::{Estimate, MeanDifference, Totals},
    quantile::{Histogram, QuantileShift},
    sample_ratio::SampleRatio,
};

pub(crate) use self::special::ln_beta_inc;

/// Evidence of 20 to 1 holds a rollout, as a natural logarithm.
pub const HOLD: f64 = 2.995_732_273_553_991;

/// Evidence of 100 to 1 rolls back, as a natural logarithm.
pub const ROLL_BACK: f64 = 4.605_170_185_988_092;

/// What a mixture is divided by to be tightest at a given time, one-sided: `2 ln(1/2α) + ln(1 + 2 ln(1/2α))`. `alpha` is the
/// probability of an error that it is tuned for, in (0, ½).
///
/// Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", 2021, section 3.5.
fn tuning(alpha: f64) -> f64 {
    let twice = 2.0 * (1.0 / (2.0 * alpha)).ln();
    twice + twice.ln_1p()
}

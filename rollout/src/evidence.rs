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

mod beta_binomial;
mod mean;
mod quantile;
mod sample_ratio;
mod special;

pub use self::{
    beta_binomial::{BetaBinomial, null_share},
    mean::{MeanDifference, Sample},
    quantile::{Histogram, QuantileShift},
    sample_ratio::SampleRatio,
};

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

//! Distributions: bucket ranges, and the least movement between two of them.

use crate::config::{BucketRange, VariantWeight};

/// The ranges of `weights`, moving the fewest buckets away from `previous`: their total variation distance.
///
/// `previous` is empty for a new distribution. Weights add up to 100,000 (compile refuses anything else). A variant
/// that grows takes the buckets next to its own from those that come after it, so the first variant of a ramp owns
/// `0..weight`, and gives the last it took back first.
pub fn reweight(_previous: &[BucketRange], _weights: &[VariantWeight]) -> Vec<BucketRange> {
    todo!()
}

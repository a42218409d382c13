//! Distributions: bucket ranges, and the least movement between two of them.

use crate::{
    bucket::BUCKETS,
    config::{BucketRange, VariantWeight},
    key::VariantKey,
    order,
};

/// The ranges of `weights`, moving the fewest buckets away from `previous`: their total variation distance.
///
/// `previous` is empty for a new distribution, which is laid out from bucket 0 in the order of the weights; so is one
/// whose `previous` covers the buckets with a gap or overlap. Weights add up to 100,000; others come back laid out as
/// they are, for [`compile`](crate::compile) to refuse.
///
/// A variant that grows takes its buckets from those that shrink, in the order of the weights: one that shrinks gives
/// its lowest buckets to those before it and its highest to those after it. So the first variant of a ramp owns
/// `0..weight`, and gives the last that it took back first. Variants that `weights` does not name count as the last.
pub fn reweight(previous: &[BucketRange], weights: &[VariantWeight]) -> Vec<BucketRange> {
    let sum: u64 = weights.iter().map(|weight| u64::from(weight.weight)).sum();
    match partition(previous) {
        Some(previous) if sum == u64::from(BUCKETS) => Table::new(&previous, weights).reweighted(weights),
        _ => lay_out(weights),
    }
}

/// `ranges` in order, empty ones left out; `None` where they do not cover every bucket exactly once.
pub(crate) fn partition(ranges: &[BucketRange]) -> Option<Vec<BucketRange>> {
    let sorted = ranges.iter().filter(|range| range.start != range.end).cloned().collect();
    let sorted = order::by_number(sorted, |range: &BucketRange| i64::from(range.start));
    let end = sorted.iter().try_fold(0, |end, range| (range.start == end && range.end > end).then_some(range.end));
    (end == Some(BUCKETS)).then_some(sorted)
}

/// The ranges of `weights`, from bucket 0 in their order.
pub(crate) fn lay_out(weights: &[VariantWeight]) -> Vec<BucketRange> {
    let mut start = 0_u32;
    let ranges = weights.iter().map(|weight| {
        let end = start.saturating_add(weight.weight);
        BucketRange { start: std::mem::replace(&mut start, end), end, variant: weight.variant.clone() }
    });
    ranges.filter(|range| range.start != range.end).collect()
}

/// A partition of the buckets among variants, which are counted in their order.
struct Table {
    variants: Vec<VariantKey>,
    /// Start, end, variant; in order.
    ranges: Vec<(u32, u32, usize)>,
}

/// `n_buckets` that one variant gives to another.
struct Transfer {
    from: usize,
    to: usize,
    n_buckets: u32,
}

impl Table {
    fn new(previous: &[BucketRange], weights: &[VariantWeight]) -> Self {
        let mut variants: Vec<_> = weights.iter().map(|weight| weight.variant.clone()).collect();
        let mut ranges = Vec::with_capacity(previous.len());
        for range in previous {
            let known = variants.iter().position(|variant| *variant == range.variant);
            let variant = known.unwrap_or_else(|| {
                variants.push(range.variant.clone());
                variants.len() - 1
            });
            ranges.push((range.start, range.end, variant));
        }
        Self { variants, ranges }
    }

    fn reweighted(mut self, weights: &[VariantWeight]) -> Vec<BucketRange> {
        let transfers = self.transfers(weights);
        // The one that grows first takes the lowest; of those after the giver, the last takes the highest.
        for transfer in transfers.iter().filter(|transfer| transfer.to < transfer.from) {
            self.give_lowest(transfer);
        }
        for transfer in transfers.iter().rev().filter(|transfer| transfer.to > transfer.from) {
            self.give_highest(transfer);
        }
        self.merged()
    }

    /// Who gives how much to whom, both in their order. What shrinks only gives and what grows only takes, so that no
    /// bucket moves twice, and none moves that need not.
    fn transfers(&self, weights: &[VariantWeight]) -> Vec<Transfer> {
        let mut givers = Vec::new();
        let mut takers = Vec::new();
        for variant in 0..self.variants.len() {
            let owned: u32 =
                self.ranges.iter().filter(|(.., owner)| *owner == variant).map(|(start, end, _)| end - start).sum();
            let wanted = weights.get(variant).map_or(0, |weight| weight.weight);
            if owned > wanted {
                givers.push((variant, owned - wanted));
            } else {
                takers.push((variant, wanted - owned));
            }
        }

        let mut transfers = Vec::new();
        let mut givers = givers.into_iter();
        let mut giver = givers.next();
        for (to, mut needed) in takers {
            while let Some((from, surplus)) = giver.filter(|_| needed > 0) {
                let n_buckets = surplus.min(needed);
                transfers.push(Transfer { from, to, n_buckets });
                needed -= n_buckets;
                giver = if surplus == n_buckets { givers.next() } else { Some((from, surplus - n_buckets)) };
            }
        }
        transfers
    }

    fn give_lowest(&mut self, transfer: &Transfer) {
        let mut missing = transfer.n_buckets;
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        for &(start, end, owner) in &self.ranges {
            let given = if owner == transfer.from { missing.min(end - start) } else { 0 };
            missing -= given;
            ranges.push((start, start + given, transfer.to));
            ranges.push((start + given, end, owner));
        }
        self.ranges = without_empty(ranges);
    }

    fn give_highest(&mut self, transfer: &Transfer) {
        let mut missing = transfer.n_buckets;
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        for &(start, end, owner) in self.ranges.iter().rev() {
            let given = if owner == transfer.from { missing.min(end - start) } else { 0 };
            missing -= given;
            ranges.push((end - given, end, transfer.to));
            ranges.push((start, end - given, owner));
        }
        ranges.reverse();
        self.ranges = without_empty(ranges);
    }

    /// The ranges, neighbors of the same variant as one.
    fn merged(self) -> Vec<BucketRange> {
        let mut merged: Vec<BucketRange> = Vec::with_capacity(self.ranges.len());
        for (start, end, owner) in self.ranges {
            let Some(variant) = self.variants.get(owner) else { continue };
            match merged.last_mut() {
                Some(last) if last.variant == *variant => last.end = end,
                _ => merged.push(BucketRange { start, end, variant: variant.clone() }),
            }
        }
        merged
    }
}

fn without_empty(mut ranges: Vec<(u32, u32, usize)>) -> Vec<(u32, u32, usize)> {
    ranges.retain(|(start, end, _)| start != end);
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weights(shares: &[(&str, u32)]) -> Vec<VariantWeight> {
        let weight =
            |&(variant, weight): &(&str, u32)| VariantWeight { variant: VariantKey::new(variant).unwrap(), weight };
        shares.iter().map(weight).collect()
    }

    /// Re-weights step by step from nothing and compares the ranges, written like `0 on 25000 off 100000`.
    #[track_caller]
    fn check(steps: &[&[(&str, u32)]], expected: &str) {
        let ranges = steps.iter().fold(Vec::new(), |ranges, step| reweight(&ranges, &weights(step)));
        let text: Vec<_> = ranges.iter().map(|range| format!("{} {}", range.variant, range.end)).collect();
        assert_eq!(format!("0 {}", text.join(" ")), expected);
    }

    #[test]
    fn a_ramp_owns_the_lowest_buckets() {
        check(&[&[("on", 10_000), ("off", 90_000)]], "0 on 10000 off 100000");
        check(&[&[("on", 10_000), ("off", 90_000)], &[("on", 25_000), ("off", 75_000)]], "0 on 25000 off 100000");
        check(&[&[("on", 50_000), ("off", 50_000)], &[("on", 25_000), ("off", 75_000)]], "0 on 25000 off 100000");
        check(&[&[("on", 50_000), ("off", 50_000)], &[("on", 0), ("off", 100_000)]], "0 off 100000");
        check(&[&[("off", 100_000)], &[("on", 5_000), ("off", 95_000)]], "0 on 5000 off 100000");
        // The other way round: the last variant grows downwards from the top.
        check(&[&[("off", 90_000), ("on", 10_000)], &[("off", 75_000), ("on", 25_000)]], "0 off 75000 on 100000");
    }

    #[test]
    fn one_that_shrinks_gives_its_lowest_to_those_before_and_its_highest_to_those_after() {
        let thirds: &[_] = &[("a", 30_000), ("b", 40_000), ("c", 30_000)];
        check(&[thirds, &[("a", 35_000), ("b", 30_000), ("c", 35_000)]], "0 a 35000 b 65000 c 100000");
        check(&[thirds, &[("a", 20_000), ("b", 45_000), ("c", 35_000)]], "0 a 20000 b 25000 c 30000 b 70000 c 100000");
    }

    #[test]
    fn variants_without_a_weight_give_everything() {
        check(&[&[("a", 50_000), ("b", 50_000)], &[("b", 50_000), ("c", 50_000)]], "0 c 50000 b 100000");
    }

    #[test]
    fn what_is_no_partition_is_laid_out_anew() {
        let on = VariantKey::new("on").unwrap();
        let gap = [BucketRange { start: 5, end: BUCKETS, variant: on }];
        let ramp = weights(&[("on", 1_000), ("off", 99_000)]);
        assert_eq!(reweight(&gap, &ramp), reweight(&[], &ramp));
        // Whatever the weights, there is an answer.
        reweight(&[], &weights(&[("on", u32::MAX), ("off", u32::MAX)]));
    }

    /// Weights that add up to 100,000; some are 0.
    fn any_weights() -> impl Strategy<Value = Vec<VariantWeight>> {
        let cuts = prop::collection::vec(prop_oneof![Just(0), Just(BUCKETS), 0..=BUCKETS], 0..5);
        (cuts, Just(["a", "b", "c", "d", "e", "f"]).prop_shuffle()).prop_map(|(mut cuts, names)| {
            cuts.sort_unstable();
            cuts.push(BUCKETS);
            let mut start = 0;
            let shares = cuts.iter().map(|cut| cut - std::mem::replace(&mut start, *cut));
            weights(&names.into_iter().zip(shares).collect::<Vec<_>>())
        })
    }

    fn share_of(weights: &[VariantWeight], variant: &str) -> u32 {
        weights.iter().find(|weight| weight.variant.as_str() == variant).map_or(0, |weight| weight.weight)
    }

    fn owner(ranges: &[BucketRange], bucket: u32) -> &str {
        ranges.iter().find(|range| (range.start..range.end).contains(&bucket)).unwrap().variant.as_str()
    }

    /// How many buckets change their variant.
    fn moved(before: &[BucketRange], after: &[BucketRange]) -> u32 {
        let mut edges: Vec<u32> = before.iter().chain(after).map(|range| range.start).collect();
        edges.sort_unstable();
        edges.dedup();
        edges.push(BUCKETS);
        let changed = |edge: u32| owner(before, edge) != owner(after, edge);
        edges.windows(2).filter(|pair| changed(pair[0])).map(|pair| pair[1] - pair[0]).sum()
    }

    proptest! {
        #[test]
        fn moves_the_total_variation_distance_and_no_more(
            history in prop::collection::vec(any_weights(), 1..6), after in any_weights(),
        ) {
            let previous = history.iter().fold(Vec::new(), |ranges, step| reweight(&ranges, step));
            let ranges = reweight(&previous, &after);

            let sorted = partition(&ranges);
            prop_assert_eq!(sorted.as_ref(), Some(&ranges), "a partition, in order");
            for weight in &after {
                let owned: u32 =
                    ranges.iter().filter(|range| range.variant == weight.variant).map(|range| range.end - range.start).sum();
                prop_assert_eq!(owned, weight.weight);
            }
            let before = history.last().unwrap();
            let distance: u32 =
                ["a", "b", "c", "d", "e", "f"].iter().map(|key| share_of(before, key).abs_diff(share_of(&after, key))).sum();
            prop_assert_eq!(moved(&previous, &ranges), distance / 2);
        }

        #[test]
        fn a_ramp_up_and_down_keeps_one_cohort(shares in prop::collection::vec(0..=BUCKETS, 1..8)) {
            let mut ranges = Vec::new();
            for share in shares {
                ranges = reweight(&ranges, &weights(&[("on", share), ("off", BUCKETS - share)]));
                for bucket in [0, share.saturating_sub(1), share, BUCKETS - 1] {
                    if bucket < BUCKETS {
                        prop_assert_eq!(owner(&ranges, bucket) == "on", bucket < share);
                    }
                }
            }
        }
    }
}

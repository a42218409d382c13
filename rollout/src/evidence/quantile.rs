//! How slow the slowest are.

use serde::{Deserialize, Serialize};

use super::{BetaBinomial, beta_binomial::count};

/// How many units have a value in each bucket, of one arm. Each unit counts once, with its first value.
///
/// Buckets are of one width in logarithms, four to 5 %, so that the usual margins are whole numbers of them: from 0.0007 to 10¹²; the
/// lowest has all that is less, the highest all that is more. Only the range that has values takes room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// The bucket of the first count.
    first: i16,
    counts: Vec<u32>,
    n: u64,
}

/// The width of a bucket, as a natural logarithm: that of 1.05, by four.
const WIDTH: f64 = 0.012_197_541_042_358_008;

const LOWEST: i16 = -600;
const HIGHEST: i16 = 2_300;

impl Histogram {
    /// Takes one more unit in. The value is a number.
    pub fn add(&mut self, value: f64) {
        let bucket = bucket(value);
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let n_more = usize::from(self.first.abs_diff(bucket));
            self.counts.splice(0..0, std::iter::repeat_n(0, n_more));
            self.first = bucket;
        }
        let place = usize::from(bucket.abs_diff(self.first));
        if place >= self.counts.len() {
            self.counts.resize(place + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
            self.n += 1;
        }
    }

    /// As it would be of so many values of a lognormal distribution with this median, and this standard deviation of the logarithm.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "of positive numbers, cut to what there is"
    )]
    pub(crate) fn lognormal(n: f64, median: f64, spread: f64) -> Self {
        let spread = spread.max(1e-6);
        let up_to = |edge: i16| {
            let deviations = (f64::from(edge) * WIDTH - median.ln()) / spread;
            (n * 0.5 * libm::erfc(-deviations / std::f64::consts::SQRT_2)).round() as u32
        };
        let (first, last) = (bucket(median * (-8.0 * spread).exp()), bucket(median * (8.0 * spread).exp()));
        let counts: Vec<_> = (first..=last).map(|edge| up_to(edge) - up_to(edge.saturating_sub(1))).collect();
        let n = counts.iter().map(|n| u64::from(*n)).sum();
        Self { first, counts, n }
    }

    /// How many units there are.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The upper edge of the bucket that has the quantile; absent without units.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        self.at(quantile).map(|bucket| (f64::from(bucket) * WIDTH).exp())
    }

    /// The bucket that has the quantile.
    fn at(&self, quantile: f64) -> Option<i16> {
        let needed = quantile * count(self.n);
        let mut below = 0;
        let buckets = (self.first..).zip(&self.counts);
        let found = buckets.filter(|(_, n)| **n > 0).find(|(_, n)| {
            below += u64::from(**n);
            count(below) >= needed
        });
        found.map(|(bucket, _)| bucket)
    }

    /// How many are in buckets up to this one.
    fn up_to(&self, bucket: i16) -> u64 {
        let n_buckets = usize::try_from(i32::from(bucket) - i32::from(self.first) + 1).unwrap_or(0);
        let sum = |counts: &[u32]| counts.iter().map(|n| u64::from(*n)).sum::<u64>();
        // Whichever is less to add up.
        match self.counts.split_at_checked(n_buckets) {
            None => self.n,
            Some((below, above)) if below.len() > above.len() => self.n.saturating_sub(sum(above)),
            Some((below, _)) => sum(below),
        }
    }

    fn last(&self) -> i16 {
        let n_more = i16::try_from(self.counts.len().saturating_sub(1)).unwrap_or(i16::MAX);
        self.first.saturating_add(n_more)
    }
}

/// The bucket of values up to `1.05^(bucket/4)`, and above that of the one before.
#[expect(clippy::cast_possible_truncation, reason = "cut to what a bucket can be, and what is not a number is 0")]
fn bucket(value: f64) -> i16 {
    if value <= 0.0 {
        return LOWEST;
    }
    (value.ln() / WIDTH).ceil().clamp(f64::from(LOWEST), f64::from(HIGHEST)) as i16
}

/// Evidence that a quantile of treatment is more than `1 + margin` times that of control.
///
/// At a point between the two quantiles, too many of treatment are above it, or too many of control below. Whichever point that
/// is, the product of the evidence of both there is an e-value: so the least of the products over all points is, too. The
/// one-sided form of the A/B test of Howard and Ramdas, "Sequential estimation of quantiles with applications to A/B testing and best-arm
/// identification", 2022, section 5. Within a bucket, treatment is counted above its upper edge and control below its lower one,
/// which makes the evidence less, never more.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantileShift {
    quantile: f64,
    /// `1 + margin` in buckets, rounded up.
    n_margin: i16,
    above: BetaBinomial,
    below: BetaBinomial,
}

impl QuantileShift {
    /// `quantile`: in (0, 1), like 0.95. `margin`: what is no harm, 0 or more. `n_opt`, `alpha`: as of [`BetaBinomial::new`], units of one
    /// arm.
    #[expect(clippy::cast_possible_truncation, reason = "cut to what a bucket can be")]
    pub fn new(quantile: f64, margin: f64, n_opt: f64, alpha: f64) -> Self {
        // A margin of exactly so many buckets is one of so many.
        let n_margin = (margin.ln_1p() / WIDTH - 1e-9).ceil();
        Self {
            quantile,
            n_margin: n_margin.clamp(0.0, f64::from(HIGHEST)) as i16,
            above: BetaBinomial::new(1.0 - quantile, n_opt, alpha),
            below: BetaBinomial::new(quantile, n_opt, alpha),
        }
    }

    /// The point where most differences from these units of control would show.
    pub fn likely(&self, control: &Histogram) -> Point {
        Point(control.at(self.quantile).unwrap_or(0).saturating_add(self.n_margin))
    }

    /// What the evidence is at most, as a natural logarithm, going by one point, whichever that is. A hundredth of the work.
    pub fn ln_at_most(&self, control: &Histogram, treatment: &Histogram, Point(bucket): Point) -> f64 {
        self.above.ln_at_most(treatment.n.saturating_sub(treatment.up_to(bucket)), treatment.n)
            + self.below.ln_at_most(control.up_to(bucket.saturating_sub(1 + self.n_margin)), control.n)
    }

    /// The evidence, as a natural logarithm. Where it is not above `floor`, some number that is not either.
    ///
    /// A product at one point costs a microsecond, and there may be 2,900. But towards higher points one factor only falls, and the other
    /// only rises: between two points no product is less than the lesser of each. So most need not be looked at.
    pub fn ln_evidence(&self, control: &Histogram, treatment: &Histogram, floor: f64) -> f64 {
        if control.n == 0 || treatment.n == 0 {
            return 0.0;
        }
        // At the edge of a bucket; control is counted up to the edge before.
        let from = treatment.first.min(control.first.saturating_add(self.n_margin)).saturating_sub(1);
        let to = treatment.last().max(control.last().saturating_add(self.n_margin)).saturating_add(2);
        let at = |bucket: i16| Factors {
            above: self.above.ln_evidence(treatment.n.saturating_sub(treatment.up_to(bucket)), treatment.n),
            below: self.below.ln_evidence(control.up_to(bucket.saturating_sub(1 + self.n_margin)), control.n),
        };
        let (low, high) = (at(from), at(to));
        let mut lowest = low.product().min(high.product());
        let mut between = vec![((from, low), (to, high))];
        while let Some(((from, low), (to, high))) = between.pop() {
            if lowest <= floor {
                break;
            }
            if to - from < 2 || high.above + low.below >= lowest {
                continue;
            }
            let point = i16::midpoint(from, to);
            let middle = at(point);
            lowest = lowest.min(middle.product());
            between.extend([((from, low), (point, middle)), ((point, middle), (to, high))]);
        }
        lowest
    }
}

/// Where both arms are looked at: the upper edge of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point(i16);

/// At one point.
#[derive(Clone, Copy)]
struct Factors {
    above: f64,
    below: f64,
}

impl Factors {
    fn product(self) -> f64 {
        self.above + self.below
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::ROLL_BACK;

    const NO_FLOOR: f64 = f64::NEG_INFINITY;

    fn shift(margin: f64) -> QuantileShift {
        QuantileShift::new(0.95, margin, 1_000.0, 0.01)
    }

    /// Of `n` values, evenly spread over the quantiles of an exponential distribution with this mean.
    fn exponential(n: u32, mean: f64) -> Histogram {
        let mut histogram = Histogram::default();
        for index in 0..n {
            histogram.add(-mean * (1.0 - (f64::from(index) + 0.5) / f64::from(n)).ln());
        }
        histogram
    }

    #[test]
    fn slower_is_evidence_and_as_slow_is_none() {
        let test = shift(0.05);
        let control = exponential(4_000, 20.0);
        assert!(test.ln_evidence(&control, &control, NO_FLOOR) < 0.0);
        assert!(test.ln_evidence(&control, &exponential(4_000, 20.5), NO_FLOOR) < 0.0, "within the margin");
        assert!(test.ln_evidence(&control, &exponential(4_000, 30.0), NO_FLOOR) > ROLL_BACK);
        assert!(test.ln_evidence(&exponential(4_000, 30.0), &control, NO_FLOOR) < 0.0, "faster is no harm");
    }

    #[test]
    fn a_margin_takes_evidence_away() {
        let evidence =
            |margin| shift(margin).ln_evidence(&exponential(2_000, 20.0), &exponential(2_000, 30.0), NO_FLOOR);
        assert!(evidence(0.0) > evidence(0.1) && evidence(0.1) > evidence(0.3) && evidence(0.6) < 0.0);
    }

    #[test]
    fn nothing_is_no_evidence() {
        let (nothing, some) = (Histogram::default(), exponential(50, 20.0));
        for (control, treatment) in [(&nothing, &nothing), (&some, &nothing), (&nothing, &some)] {
            assert!(shift(0.05).ln_evidence(control, treatment, NO_FLOOR).abs() < 1e-12);
        }
        assert_eq!(nothing.quantile(0.95), None);
    }

    /// Above the floor it is the lowest of all, whatever was passed over; below, it says no more than that.
    #[test]
    fn a_floor_saves_work_and_changes_nothing_above_it() {
        let test = shift(0.05);
        let (control, treatment) = (exponential(1_000, 20.0), exponential(1_000, 26.0));
        let exact = test.ln_evidence(&control, &treatment, NO_FLOOR);
        for floor in [-10.0, exact - 0.1, exact + 0.1, 50.0] {
            let found = test.ln_evidence(&control, &treatment, floor);
            assert!(
                found.to_bits() == exact.to_bits() || (found <= floor && exact <= found),
                "{floor}: {found} {exact}"
            );
        }
    }

    #[test]
    fn values_are_kept_to_a_percent() {
        let mut histogram = Histogram::default();
        for value in [300.0, 5.0, 0.0, -7.0, 1e300, 301.0] {
            histogram.add(value);
        }
        assert_eq!(histogram.n(), 6);
        let close = |found: Option<f64>, to: f64| {
            let found = found.unwrap();
            assert!(found >= to && found < to * 1.0123, "{found} {to}");
        };
        close(histogram.quantile(0.5), 5.0);
        close(histogram.quantile(0.6), 300.0);
        assert!(histogram.quantile(1.0) > Some(1e12) && histogram.quantile(0.1) < Some(0.001));
        assert_eq!((bucket(1.0), bucket(1.04), bucket(1.06), bucket(1.001)), (0, 4, 5, 1));
        assert_eq!((bucket(f64::INFINITY), bucket(f64::MIN_POSITIVE)), (HIGHEST, LOWEST));
    }
}

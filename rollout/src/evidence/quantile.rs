//! How slow the slowest are.

use super::BetaBinomial;

/// How many units have a value in each bucket, of one arm. Each unit counts once, with its first request or one drawn at random.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// For each bucket of [`QuantileShift`], how many values are in it; one more for what is above the last.
    pub counts: Vec<u64>,
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
    edges: Box<[f64]>,
    /// For each edge of treatment, how many edges are at most that of control: `edge / (1 + margin)`.
    n_below: Box<[usize]>,
    above: BetaBinomial,
    below: BetaBinomial,
}

impl QuantileShift {
    /// `edges`: the upper edges of the buckets, rising, positive. `quantile`: in (0, 1), like 0.95. `margin`: what is no harm, 0 or
    /// more. `n_opt`, `alpha`: as of [`BetaBinomial::new`], units of one arm.
    pub fn new(edges: impl Into<Box<[f64]>>, quantile: f64, margin: f64, n_opt: f64, alpha: f64) -> Self {
        let edges = edges.into();
        let n_below = edges.iter().map(|edge| edges.partition_point(|other| *other <= edge / (1.0 + margin))).collect();
        let above = BetaBinomial::new(1.0 - quantile, n_opt, alpha);
        let below = BetaBinomial::new(quantile, n_opt, alpha);
        Self { edges, n_below, above, below }
    }

    /// The upper edges of the buckets.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// The evidence, as a natural logarithm.
    pub fn ln_evidence(&self, control: &Histogram, treatment: &Histogram) -> f64 {
        let n_control = control.counts.iter().sum();
        let n_treatment: u64 = treatment.counts.iter().sum();
        let mut control_up_to = vec![0];
        control_up_to.extend(control.counts.iter().scan(0, |sum, n| {
            *sum += n;
            Some(*sum)
        }));
        let mut least = f64::INFINITY;
        let mut treatment_up_to = 0;
        // Before the first edge there is nothing of control.
        let mut below = 0;
        for (bucket, n) in treatment.counts.iter().enumerate() {
            treatment_up_to += n;
            let ln_evidence = self.above.ln_evidence(n_treatment - treatment_up_to, n_treatment)
                + self.below.ln_evidence(below, n_control);
            least = least.min(ln_evidence);
            below = self.n_below.get(bucket).and_then(|n| control_up_to.get(*n)).copied().unwrap_or_default();
        }
        if least.is_finite() { least } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::ROLL_BACK;

    fn shift(margin: f64) -> QuantileShift {
        // As of a log-bucket histogram, a tenth apart.
        let edges: Vec<f64> = (0..80).map(|bucket| 1.1_f64.powi(bucket)).collect();
        QuantileShift::new(edges, 0.95, margin, 1_000.0, 0.01)
    }

    /// Of `n` values, evenly spread over the quantiles of an exponential distribution with this mean.
    fn exponential(shift: &QuantileShift, n: u32, mean: f64) -> Histogram {
        let mut counts = vec![0; shift.edges().len() + 1];
        for index in 0..n {
            let value = -mean * (1.0 - (f64::from(index) + 0.5) / f64::from(n)).ln();
            counts[shift.edges().partition_point(|edge| *edge < value)] += 1;
        }
        Histogram { counts }
    }

    #[test]
    fn slower_is_evidence_and_as_slow_is_none() {
        let test = shift(0.05);
        let control = exponential(&test, 4_000, 20.0);
        assert!(test.ln_evidence(&control, &control) < 0.0);
        assert!(test.ln_evidence(&control, &exponential(&test, 4_000, 20.5)) < 0.0, "within the margin");
        assert!(test.ln_evidence(&control, &exponential(&test, 4_000, 30.0)) > ROLL_BACK);
        assert!(test.ln_evidence(&exponential(&test, 4_000, 30.0), &control) < 0.0, "faster is no harm");
    }

    #[test]
    fn a_margin_takes_evidence_away() {
        let evidence = |margin| {
            let test = shift(margin);
            test.ln_evidence(&exponential(&test, 2_000, 20.0), &exponential(&test, 2_000, 30.0))
        };
        assert!(evidence(0.0) > evidence(0.1) && evidence(0.1) > evidence(0.3) && evidence(0.6) < 0.0);
    }

    #[test]
    fn nothing_is_no_evidence() {
        let test = shift(0.05);
        assert!(test.ln_evidence(&Histogram::default(), &Histogram::default()).abs() < 1e-12);
        let nothing = Histogram { counts: vec![0; 81] };
        assert!(test.ln_evidence(&nothing, &nothing).abs() < 1e-12);
    }
}

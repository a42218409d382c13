//! Special functions, in logarithms: their values leave the range of numbers long before evidence is extreme.

/// `ln B(a, b)`, for positive numbers.
pub(super) fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

/// `ln I_x(a, b)`, the regularised incomplete beta function: how probable a value of at most `x` is under Beta(a, b). `a` and `b`
/// are positive, `x` in [0, 1].
///
/// The continued fraction <https://dlmf.nist.gov/8.17#v>, by Lentz's algorithm; on the side where it converges in
/// O(√max(a, b)) terms.
pub(crate) fn ln_beta_inc(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return f64::NEG_INFINITY;
    }
    if x >= 1.0 {
        return 0.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return ln_1m_exp(ln_front(b, a, 1.0 - x) + fraction(b, a, 1.0 - x).ln());
    }
    ln_front(a, b, x) + fraction(a, b, x).ln()
}

fn ln_front(a: f64, b: f64, x: f64) -> f64 {
    a * x.ln() + b * (-x).ln_1p() - a.ln() - ln_beta(a, b)
}

/// `ln(1 − eˣ)` of a number below 0.
fn ln_1m_exp(x: f64) -> f64 {
    if x > -std::f64::consts::LN_2 { (-x.exp_m1()).ln() } else { (-x.exp()).ln_1p() }
}

/// The continued fraction `1/(1+ d₁/(1+ d₂/(1+ …)))`.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let away_from_zero = |number: f64| if number.abs() < TINY { TINY } else { number };
    let (mut above, mut below) = (1.0, 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0)));
    let mut product = below;
    // Far more than a million units need.
    for step in 1..100_000_u32 {
        let step = f64::from(step);
        let twice = a + 2.0 * step;
        for term in [
            step * (b - step) * x / ((twice - 1.0) * twice),
            -(a + step) * (a + b + step) * x / (twice * (twice + 1.0)),
        ] {
            below = 1.0 / away_from_zero(1.0 + term * below);
            above = away_from_zero(1.0 + term / above);
            product *= above * below;
        }
        if (above * below - 1.0).abs() < 1e-15 {
            break;
        }
    }
    product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{found} is not {expected}");
    }

    #[test]
    fn small_ones_are_known_in_closed_form() {
        check(ln_beta(1.0, 1.0), 0.0);
        check(ln_beta(2.0, 3.0), (1.0_f64 / 12.0).ln());
        // I_x(1, b) = 1 − (1 − x)^b and I_x(a, 1) = x^a.
        for x in [1e-9, 0.1, 0.5, 0.9, 1.0 - 1e-9] {
            check(ln_beta_inc(1.0, 3.0, x), (-(3.0 * (-x).ln_1p()).exp_m1()).ln());
            check(ln_beta_inc(4.0, 1.0, x), 4.0 * x.ln());
        }
        assert!(ln_beta_inc(2.0, 3.0, 0.0).is_infinite());
        check(ln_beta_inc(2.0, 3.0, 1.0), 0.0);
    }

    #[test]
    fn both_sides_add_up_to_one() {
        for (a, b) in [(0.5, 0.5), (0.01, 40.0), (30.0, 700.0), (1e4, 1e6), (3e6, 3e6)] {
            for x in [0.001, 0.01, 0.3, 0.5, 0.97] {
                let sum = ln_beta_inc(a, b, x).exp() + ln_beta_inc(b, a, 1.0 - x).exp();
                // What is left of numbers of 10^7 that nearly cancel out.
                assert!((sum - 1.0).abs() < 1e-7, "{a} {b} {x}: {sum}");
            }
        }
    }

    #[test]
    fn a_tail_that_is_no_number_any_more_has_a_logarithm() {
        // I_x(a, 1) = x^a.
        check(ln_beta_inc(1e5, 1.0, 0.1), 1e5 * 0.1_f64.ln());
    }
}

//! Numbers as text, exactly: what is read is the double nearest to the text, what is written is the shortest text that reads
//! back to the bit.
//!
//! The standard library does so, too, and fast, with some 20 KB of tables and code. Here, what a multiplication does not
//! settle goes the way of the textbooks, with integers of any size: a few microseconds for each of a few numbers.

use std::{cmp::Ordering, fmt::Write as _};

use serde_json::Number;

/// More digits than decide between two doubles (767): of those that follow, it only matters whether all are zero.
const DIGITS: usize = 800;

/// Powers of ten up to this one are doubles, and integers of so many digits are.
const EXACT_POWER: i64 = 22;
const EXACT_DIGITS: usize = 15;

/// Reads a number (RFC 8259 §6): an integer, where it is written as one and has 64 bits, else a double. `None` where the text
/// is no number, or beyond the largest double.
pub(super) fn read(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let is_negative = unsigned.len() < text.len();
    let (mantissa, exponent) = split_at(unsigned, |byte| byte | 0x20 == b'e');
    let (integer, fraction) = split_at(mantissa, |byte| byte == b'.');
    let has_leading_zero = integer.len() > 1 && integer.starts_with('0');
    if has_leading_zero || !are_digits(integer) || !fraction.is_none_or(are_digits) {
        return None;
    }
    if fraction.is_none()
        && exponent.is_none()
        && let Some(number) = read_integer(integer, is_negative)
    {
        return Some(number);
    }
    let number = read_double(integer, fraction.unwrap_or_default(), exponent.map_or(Some(0), read_exponent)?)?;
    Number::from_f64(if is_negative { -number } else { number })
}

/// What comes before the first such byte, and what comes after it.
fn split_at(text: &str, is_border: impl Fn(u8) -> bool) -> (&str, Option<&str>) {
    let border = text.bytes().position(is_border).and_then(|border| text.split_at_checked(border));
    border.map_or((text, None), |(before, after)| (before, after.get(1..)))
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn read_integer(digits: &str, is_negative: bool) -> Option<Number> {
    let number: u64 = digits.parse().ok()?;
    match (is_negative, number) {
        (false, _) => Some(number.into()),
        // Only a double tells −0 from 0.
        (true, 0) => None,
        (true, _) => 0_i64.checked_sub_unsigned(number).map(Number::from),
    }
}

/// Saturates where one exponent is as good as another.
fn read_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let size = digits.bytes().fold(0_i64, |size, digit| (size * 10 + i64::from(digit & 15)).min(1 << 40));
    are_digits(digits).then_some(if text.starts_with('-') { -size } else { size })
}

/// `integer.fraction × 10^exponent`; `None` beyond the largest double.
fn read_double(integer: &str, fraction: &str, exponent: i64) -> Option<f64> {
    let mut exponent = exponent.checked_sub_unsigned(fraction.len() as u64)?;
    let digits = integer.bytes().chain(fraction.bytes()).map(|digit| u32::from(digit & 15));
    let mut digits: Vec<_> = digits.skip_while(|digit| *digit == 0).collect();
    if digits.len() > DIGITS {
        let is_more = digits.iter().skip(DIGITS).any(|digit| *digit > 0);
        exponent = exponent.checked_add_unsigned((digits.len() - DIGITS - 1) as u64)?;
        digits.truncate(DIGITS);
        digits.push(u32::from(is_more));
    }
    // The number has so many digits before its point.
    let magnitude = exponent.checked_add_unsigned(digits.len() as u64)?;
    if digits.is_empty() || magnitude < -330 {
        return Some(0.0);
    }
    if magnitude > 310 {
        return None;
    }
    if digits.len() <= EXACT_DIGITS && exponent.abs() <= EXACT_POWER {
        let number = digits.iter().fold(0.0, |number, digit| number * 10.0 + f64::from(*digit));
        let power = (0..exponent.abs()).fold(1.0, |power, _| power * 10.0);
        return Some(if exponent < 0 { number / power } else { number * power });
    }
    let (mut above, mut below) = (Natural::new(0), Natural::new(1));
    for digit in digits {
        above.multiply_add(10, digit);
    }
    let scaled = if exponent < 0 { &mut below } else { &mut above };
    let mut tens = exponent.unsigned_abs();
    while tens > 0 {
        // 10^9 is the largest power of ten in 32 bits.
        let step = tens.min(9);
        scaled.multiply_add((0..step).fold(1, |power, _| power * 10), 0);
        tens -= step;
    }
    nearest(above, below)
}

/// The double nearest to `above / below`, neither of which is zero; of two that are as near, the even one.
fn nearest(mut above: Natural, mut below: Natural) -> Option<f64> {
    let mut exponent = above.n_bits() - below.n_bits();
    below.shift(exponent);
    above.shift(-exponent);
    if above < below {
        above.multiply_add(2, 0);
        exponent -= 1;
    }
    // Now the number is 2^exponent times a quotient from 1 to below 2, whose first bits are the double's.
    let normal = exponent.max(-1022);
    let n_bits = 53 - (normal - exponent);
    if exponent > 1023 || n_bits < 0 {
        return (n_bits < 0).then_some(0.0);
    }
    let mut bits = 0_u64;
    for _ in 0..n_bits {
        bits <<= 1;
        if above >= below {
            above.subtract(&below);
            bits |= 1;
        }
        above.multiply_add(2, 0);
    }
    // What is left is twice the part of a last bit.
    bits += match above.cmp(&below) {
        Ordering::Less => 0,
        Ordering::Equal => bits & 1,
        Ordering::Greater => 1,
    };
    // The first bit, which doubles do not store, adds one to the exponent; and where rounding carries, so does that.
    let exponent = u64::try_from(normal + 1022).unwrap_or_default();
    Some(f64::from_bits((exponent << 52) + bits))
}

/// Writes a finite number as JavaScript does (ECMA-262, `Number::toString`), but for −0.
pub(super) fn write(number: f64, out: &mut String) {
    if number.is_sign_negative() {
        out.push('-');
    }
    if number == 0.0 {
        out.push('0');
        return;
    }
    let (digits, point) = shortest(number);
    let zeros = |n_zeros: i64| std::iter::repeat_n('0', usize::try_from(n_zeros).unwrap_or_default());
    let split =
        |place: i64| digits.split_at_checked(usize::try_from(place).unwrap_or_default()).unwrap_or((&digits, ""));
    let (before, after) = split(point);
    match point {
        1..=21 => {
            out.push_str(before);
            out.extend(zeros(point.saturating_sub_unsigned(digits.len() as u64)));
            out.push_str(if after.is_empty() { "" } else { "." });
            out.push_str(after);
        }
        -5..=0 => {
            out.push_str("0.");
            out.extend(zeros(-point));
            out.push_str(after);
        }
        _ => {
            let (first, rest) = split(1);
            let point_sign = if rest.is_empty() { "" } else { "." };
            // Writing to a string cannot fail.
            let _ = write!(out, "{first}{point_sign}{rest}e{}{}", if point > 0 { "+" } else { "" }, point - 1);
        }
    }
}

/// The fewest digits that tell a positive number from all others, and the place of the point among them: Burger and Dybvig,
/// "Printing Floating-Point Numbers Quickly and Accurately", 1996, figure 1.
fn shortest(number: f64) -> (String, i64) {
    let bits = number.to_bits();
    let (fraction, exponent) = (bits & ((1 << 52) - 1), i64::from((bits >> 52) as u32 & 0x7ff));
    let is_even = fraction % 2 == 0;
    // The number is above / below; numbers down to (above - low) / below and up to (above + high) / below are read as it.
    let hidden = u64::from(exponent > 0) << 52;
    let exponent = exponent.max(1) - 1075;
    let mut above = Natural::new((fraction | hidden) * 4);
    let mut below = Natural::new(4);
    let mut high = Natural::new(2);
    // Below a power of two, doubles are twice as dense.
    let mut low = Natural::new(if fraction == 0 && exponent > -1074 { 1 } else { 2 });
    for number in [&mut above, &mut high, &mut low] {
        number.shift(exponent);
    }
    below.shift(-exponent);

    let mut point = 0;
    let reaches = |above: &Natural, high: &Natural, below: &Natural| match above.plus(high).cmp(below) {
        Ordering::Less => false,
        Ordering::Equal => is_even,
        Ordering::Greater => true,
    };
    while reaches(&above, &high, &below) {
        below.multiply_add(10, 0);
        point += 1;
    }
    let mut digits = String::new();
    loop {
        for number in [&mut above, &mut high, &mut low] {
            number.multiply_add(10, 0);
        }
        let mut digit = 0;
        while above >= below {
            above.subtract(&below);
            digit += 1;
        }
        let is_low = above < low || is_even && above == low;
        let is_high = reaches(&above, &high, &below);
        let rounds_up = is_high && (!is_low || above.plus(&above) >= below);
        if digit + u8::from(rounds_up) == 0 && digits.is_empty() {
            point -= 1;
        } else {
            digits.push(char::from(b'0' + digit + u8::from(rounds_up)));
        }
        if is_low || is_high {
            return (digits, point);
        }
    }
}

/// An integer of any size: its 32 bits each, the lowest first, without zeros at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Natural(Vec<u32>);

#[expect(clippy::cast_possible_truncation, reason = "each half of a product is taken by itself")]
impl Natural {
    fn new(number: u64) -> Self {
        let mut natural = Self(vec![number as u32, (number >> 32) as u32]);
        natural.trim();
        natural
    }

    fn trim(&mut self) {
        while self.0.pop_if(|part| *part == 0).is_some() {}
    }

    fn n_bits(&self) -> i64 {
        let unused = self.0.last().map_or(0, |last| i64::from(last.leading_zeros()));
        i64::try_from(self.0.len()).unwrap_or(i64::MAX) * 32 - unused
    }

    fn multiply_add(&mut self, factor: u32, summand: u32) {
        let mut carry = u64::from(summand);
        for part in &mut self.0 {
            carry += u64::from(*part) * u64::from(factor);
            *part = carry as u32;
            carry >>= 32;
        }
        self.0.extend((carry > 0).then_some(carry as u32));
    }

    /// Times 2^`n_bits`; nothing, where that is negative.
    fn shift(&mut self, n_bits: i64) {
        let n_bits = usize::try_from(n_bits).unwrap_or_default();
        self.0.splice(..0, std::iter::repeat_n(0, n_bits / 32));
        self.multiply_add(1 << (n_bits % 32), 0);
    }

    fn plus(&self, other: &Self) -> Self {
        let mut sum = Vec::with_capacity(self.0.len() + 1);
        let mut carry = 0;
        for place in 0..self.0.len().max(other.0.len()) {
            carry += [self, other]
                .into_iter()
                .filter_map(|natural| natural.0.get(place))
                .copied()
                .map(u64::from)
                .sum::<u64>();
            sum.push(carry as u32);
            carry >>= 32;
        }
        sum.extend((carry > 0).then_some(carry as u32));
        Self(sum)
    }

    /// Takes away what is not greater.
    fn subtract(&mut self, other: &Self) {
        let mut borrows = false;
        for (place, part) in self.0.iter_mut().enumerate() {
            let subtrahend = other.0.get(place).copied().unwrap_or_default();
            let (rest, borrows_first) = part.overflowing_sub(subtrahend);
            let (rest, borrows_second) = rest.overflowing_sub(u32::from(borrows));
            (*part, borrows) = (rest, borrows_first || borrows_second);
        }
        self.trim();
    }
}

impl Ord for Natural {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.len().cmp(&other.0.len()).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_read(text: &str) {
        let expected = text.parse::<f64>().ok().filter(|number| number.is_finite()).map(f64::to_bits);
        assert_eq!(read(text).and_then(|number| number.as_f64()).map(f64::to_bits), expected, "{text}");
    }

    #[test]
    fn the_nearest_double_is_read() {
        for text in [
            "0.1",
            "-0",
            "-0.0e9",
            "1e22",
            "1e23",
            "9007199254740993",
            "9007199254740993.0",
            "9007199254740993.00000000000000000000000000000001",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "1.7976931348623159e308",
            "-1e309",
            "1e99999999999999999999999",
            "1e-99999999999999999999999",
            "0e99999999999999999999999",
            "5e-324",
            "2.4703282292062327e-324",
            "2.4703282292062328e-324",
            "2.2250738585072011e-308",
            "2.2250738585072014e-308",
            "123456789012345678901234567890",
        ] {
            check_read(text);
        }
    }

    /// Between two doubles lies their middle, whose digits end; any further digit decides.
    #[test]
    fn digits_count_however_many_there_are() {
        let middle = format!("{}5", format!("{:.1074}", f64::from_bits(1)).replace("0.", "0.0").get(..1077).unwrap());
        for end in ["", "0", "1", &"0".repeat(1_000), &("0".repeat(1_000) + "1")] {
            check_read(&format!("{middle}{end}"));
            check_read(&format!("9007199254740993.{end}0"));
        }
    }

    #[test]
    fn numbers_are_written_as_javascript_writes_them() {
        for (number, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-9.5, "-9.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123_456_789.125, "123456789.125"),
            (1e21, "1e+21"),
            (123e18, "123000000000000000000"),
            (0.000_001, "0.000001"),
            (0.000_000_15, "1.5e-7"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (9_007_199_254_740_992.0, "9007199254740992"),
        ] {
            let mut out = String::new();
            write(number, &mut out);
            assert_eq!(out, expected);
        }
    }

    proptest! {
        #[test]
        fn texts_are_read_as_the_standard_library_reads_them(text in "-?(0|[1-9][0-9]{0,30})\\.[0-9]{1,30}([eE][+-]?[0-9]{1,3})?") {
            check_read(&text);
        }

        #[test]
        fn what_is_written_is_shortest_and_reads_back(number in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL) {
            let mut out = String::new();
            write(number, &mut out);
            prop_assert_eq!(out.parse::<f64>().map(f64::to_bits), Ok(number.to_bits()));
            prop_assert_eq!(read(&out).and_then(|number| number.as_f64()).map(f64::to_bits), Some(number.to_bits()));
            let digits = |text: &str| {
                let mantissa = text.split('e').next().unwrap_or_default().replace(['-', '.'], "");
                mantissa.trim_matches('0').to_owned()
            };
            prop_assert_eq!(digits(&out), digits(&format!("{number:e}")));
        }
    }
}

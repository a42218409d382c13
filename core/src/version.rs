//! Semantic versions, compared without allocating.
//!
//! Read leniently, because people write them so: a leading `v` is skipped, and a missing minor or patch is 0.

use std::{cmp::Ordering, fmt};

/// A version that borrows its pre-release part from the text it was read from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Version<'a> {
    /// Major, minor, patch.
    core: [u64; 3],
    /// Dot-separated identifiers; empty: a release.
    pre: &'a str,
}

/// A [`Version`] that owns its text: an operand.
#[derive(Clone, Debug)]
pub(crate) struct OwnedVersion {
    core: [u64; 3],
    pre: Box<str>,
}

impl<'a> Version<'a> {
    /// Reads `major[.minor[.patch]][-pre][+build]`; `None` for anything else. Build metadata is checked and dropped.
    #[inline]
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let mut core = [0; 3];
        let mut places = core.iter_mut();
        let mut place: &mut u64 = places.next()?;
        let mut n_digits = 0_usize;
        for (index, byte) in text.bytes().enumerate() {
            match byte {
                b'0'..=b'9' if n_digits == 0 || *place > 0 => {
                    *place = place.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
                    n_digits += 1;
                }
                b'.' if n_digits > 0 => {
                    place = places.next()?;
                    n_digits = 0;
                }
                b'-' | b'+' if n_digits > 0 => return Some(Self { core, pre: suffix(text.get(index..)?)? }),
                // Among others, a digit after a leading zero.
                _ => return None,
            }
        }
        (n_digits > 0).then_some(Self { core, pre: "" })
    }

    /// Semantic Versioning 2.0.0 §11.
    #[inline]
    pub(crate) fn precedence(self, other: Self) -> Ordering {
        self.core.cmp(&other.core).then_with(|| match (self.pre, other.pre) {
            ("", "") => Ordering::Equal,
            ("", _) => Ordering::Greater,
            (_, "") => Ordering::Less,
            (own, other) => own.split('.').map(Identifier::new).cmp(other.split('.').map(Identifier::new)),
        })
    }

    pub(crate) fn to_owned(self) -> OwnedVersion {
        OwnedVersion { core: self.core, pre: self.pre.into() }
    }
}

impl OwnedVersion {
    #[inline]
    pub(crate) fn borrow(&self) -> Version<'_> {
        Version { core: self.core, pre: &self.pre }
    }
}

impl fmt::Display for OwnedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.core;
        write!(f, "{major}.{minor}.{patch}")?;
        if self.pre.is_empty() { Ok(()) } else { write!(f, "-{}", self.pre) }
    }
}

/// Checks `[-pre][+build]` and returns the pre-release part.
fn suffix(text: &str) -> Option<&str> {
    let (pre, build) = text.split_once('+').map_or((text, None), |(pre, build)| (pre, Some(build)));
    let pre = match pre {
        "" => "",
        pre => {
            pre.strip_prefix('-').filter(|pre| pre.split('.').all(|id| is_identifier(id) && !has_leading_zero(id)))?
        }
    };
    build.is_none_or(|build| build.split('.').all(is_identifier)).then_some(pre)
}

fn is_identifier(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn has_leading_zero(id: &str) -> bool {
    id.len() > 1 && id.starts_with('0') && is_numeric(id)
}

fn is_numeric(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_digit())
}

/// A pre-release identifier. The order of the variants is theirs: numbers come before words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Identifier<'a> {
    /// Without leading zeros, the number with more digits is the greater one, whatever its length.
    Number(usize, &'a str),
    Word(&'a str),
}

impl<'a> Identifier<'a> {
    fn new(id: &'a str) -> Self {
        if is_numeric(id) { Self::Number(id.len(), id) } else { Self::Word(id) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn precedence(left: &str, right: &str) -> Option<Ordering> {
        Some(Version::parse(left)?.precedence(Version::parse(right)?))
    }

    #[test]
    fn versions_are_read_leniently() {
        for (lenient, strict) in [("v1.2.3", "1.2.3"), ("1.2", "1.2.0"), ("V7", "7.0.0"), ("2-rc.1", "2.0.0-rc.1")] {
            assert_eq!(precedence(lenient, strict), Some(Ordering::Equal), "{lenient}");
        }
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for bad in [
            "",
            "v",
            "x",
            ".",
            "1.",
            "1..2",
            ".1",
            "1.2.3.4",
            "01.2.3",
            "1.02",
            "1.2.3-",
            "1.2.3+",
            "1.2.3-a..b",
            "1.2.3-01",
            "1.2.3-é",
            "1 .2",
            " 1.2.3",
            "1.2.3 ",
            "-1",
            "+1",
            "vv1",
            "1.2.x",
            "18446744073709551616",
            "1_0",
        ] {
            assert!(Version::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn the_example_of_the_specification_is_in_order() {
        let order = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
        ];
        for pair in order.windows(2) {
            assert_eq!(precedence(pair[0], pair[1]), Some(Ordering::Less), "{pair:?}");
        }
        assert_eq!(precedence("1.0.0+a", "1.0.0+b"), Some(Ordering::Equal));
    }

    proptest! {
        #[test]
        fn precedence_is_that_of_the_semver_crate(
            left in r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9](-[0-9a-c-]{1,3}(\.[0-9a-c-]{1,3}){0,2})?(\+[a-z0-9.]{0,4})?",
            right in r"[0-9]{1,2}\.[0-9]{1,2}\.[0-9](-[0-9a-c-]{1,3}(\.[0-9a-c-]{1,3}){0,2})?",
        ) {
            let oracle = |text: &str| semver::Version::parse(text).ok();
            prop_assert_eq!(Version::parse(&left).is_some(), oracle(&left).is_some());
            let expected = oracle(&left).zip(oracle(&right)).map(|(left, right)| left.cmp_precedence(&right));
            prop_assert_eq!(precedence(&left, &right), expected);
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = Version::parse(&text);
        }
    }
}

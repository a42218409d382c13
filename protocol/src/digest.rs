//! The digest of an environment: the same for the same objects, in whatever order they came.

use std::ops::{Add, AddAssign, Sub, SubAssign};

use tidegate_core::tree::{Read, ReadError, Tree, Write};
use xxhash_rust::xxh3::xxh3_128;

use crate::message::{ObjectKind, WireObject};

/// The sum, modulo 2^128, of `xxh3_128(kind ‖ 0 ‖ key ‖ 0 ‖ body)` over all objects; written as 32 hex digits.
///
/// A sum, so that a change costs what changed: subtract the old object's digest, add the new one's. It finds lost and
/// torn changes; it is no protection against forgery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Digest(pub u128);

impl Digest {
    /// The digest of one object. O(bytes).
    pub fn of(kind: &ObjectKind, key: &str, body: &str) -> Self {
        let kind = kind.as_str();
        let mut text = String::with_capacity(kind.len() + key.len() + body.len() + 2);
        text.push_str(kind);
        text.push('\0');
        text.push_str(key);
        text.push('\0');
        text.push_str(body);
        Self(xxh3_128(text.as_bytes()))
    }
}

impl From<&WireObject> for Digest {
    fn from(object: &WireObject) -> Self {
        Self::of(&object.kind, &object.key, object.body.get())
    }
}

impl Add for Digest {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl Sub for Digest {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.wrapping_sub(other.0))
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Digest {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl std::iter::Sum for Digest {
    fn sum<I: Iterator<Item = Self>>(digests: I) -> Self {
        digests.fold(Self::default(), Add::add)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        format!("{:032x}", digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u128::from_str_radix(&text, 16).map(Self)
    }
}

impl Write for Digest {
    fn write(&self, out: &mut String) {
        String::from(*self).write(out);
    }
}

impl Read for Digest {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        u128::from_str_radix(tree.text()?, 16).map(Self).map_err(|error| ReadError::new(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::tree::{parse, text};

    use super::*;

    #[test]
    fn the_digest_of_an_object_is_the_hash_of_kind_key_and_body() {
        let digest = Digest::of(&ObjectKind::Flag, "checkout", "{}");
        assert_eq!(digest.0, xxhash_rust::xxh3::xxh3_128(b"flag\0checkout\0{}"));
    }

    #[test]
    fn what_is_added_and_taken_away_leaves_no_trace() {
        let one = Digest::of(&ObjectKind::Flag, "a", "1");
        let other = Digest::of(&ObjectKind::Segment, "b", "2");
        assert_eq!(one + other, other + one);
        assert_eq!(one + other - one, other);
        assert_eq!([one, other].into_iter().sum::<Digest>(), one + other);
    }

    #[test]
    fn it_is_written_as_32_hex_digits() {
        assert_eq!(text(&Digest(0xab)), "\"000000000000000000000000000000ab\"");
        assert!(parse::<Digest>("\"xyz\"").is_err());
    }
}

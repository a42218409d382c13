//! The digest of an environment: the same for the same objects, in whatever order they came.

use serde::{Deserialize, Serialize};

/// The sum, modulo 2^128, of `xxh3_128(kind ‖ 0 ‖ key ‖ 0 ‖ body)` over all objects; written as 32 hex digits.
///
/// A sum, so that a change costs what changed. It finds lost and torn changes; it is no protection against forgery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub u128);

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

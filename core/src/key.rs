//! Identifiers, validated where they are made.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::tree::{Read, ReadError, Tree, Write};

/// Why a text is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The text is empty.
    Empty,
    /// The text has more than [`MAX_KEY_BYTES`] bytes.
    TooLong,
    /// A character outside `A–Z a–z 0–9 . _ -`, or a first character that is no letter or digit.
    InvalidCharacter(char),
}

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 128;

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a key must not be empty"),
            Self::TooLong => write!(f, "a key has at most {MAX_KEY_BYTES} characters"),
            Self::InvalidCharacter(character) => {
                f.write_str(
                    "a key has only letters, digits, `.`, `_` and `-`, and starts with a letter or digit; found ",
                )?;
                match character {
                    ' ' => f.write_str("a space"),
                    _ if character.is_control() => write!(f, "U+{:04X}", u32::from(*character)),
                    _ => write!(f, "`{character}`"),
                }
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// Whether `text` may be a key.
///
/// # Errors
/// [`KeyError`] says which rule of keys the text breaks.
pub fn check(text: &str) -> Result<(), KeyError> {
    let first = text.chars().next().ok_or(KeyError::Empty)?;
    if text.len() > MAX_KEY_BYTES {
        return Err(KeyError::TooLong);
    }
    if !first.is_ascii_alphanumeric() {
        return Err(KeyError::InvalidCharacter(first));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))) {
        Some(character) => Err(KeyError::InvalidCharacter(character)),
        None => Ok(()),
    }
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String, pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"))]
        pub struct $name(Arc<str>);

        impl $name {
            /// Validates `text`.
            ///
            /// # Errors
            /// [`KeyError`] says which rule of keys the text breaks.
            pub fn new(text: &str) -> Result<Self, KeyError> {
                check(text).map(|()| Self(Arc::from(text)))
            }

            /// The key as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The key as text to be kept without a copy.
            pub fn shared(&self) -> &Arc<str> {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = KeyError;

            fn try_from(text: String) -> Result<Self, KeyError> {
                Self::new(&text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = KeyError;

            fn from_str(text: &str) -> Result<Self, KeyError> {
                Self::new(text)
            }
        }

        impl Read for $name {
            fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
                Self::new(tree.text()?).map_err(|error| ReadError::new(error.to_string()))
            }
        }

        impl Write for $name {
            fn write(&self, out: &mut String) {
                self.as_str().write(out);
            }
        }

        impl From<$name> for String {
            fn from(key: $name) -> Self {
                key.0.as_ref().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

key!(
    /// Names a flag within its project; never used again once the flag is archived.
    FlagKey
);
key!(
    /// Names a variant within its flag.
    VariantKey
);
key!(
    /// Names a segment within its environment.
    SegmentKey
);
key!(
    /// Names a metric source within its project.
    SourceKey
);
key!(
    /// Names a project.
    ProjectKey
);
key!(
    /// Names an environment within its project.
    EnvironmentKey
);

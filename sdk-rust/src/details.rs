//! What an evaluation gives.

use std::{fmt, ops::Deref, sync::Arc};

use tidegate_core::{ErrorCode, Evaluation, Reason};

/// A value, and how it came about: OpenFeature's evaluation details.
///
/// ```
/// use tidegate::{Context, ErrorCode, Reason, testing::TestClient};
///
/// let flags = TestClient::new();
/// flags.set("button-color", "green");
/// let details = flags.client().string_details("button-color", "gray", &Context::anonymous());
/// assert_eq!((&*details.value, details.reason, details.error), ("green", Reason::Static, None));
/// let details = flags.client().bool_details("button-color", false, &Context::anonymous());
/// assert_eq!((details.reason, details.error), (Reason::Error, Some(ErrorCode::TypeMismatch)));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Details<T> {
    /// The flag's value, or the caller's default.
    pub value: T,
    /// The key of the variant; absent where the value is the caller's default.
    pub variant: Option<String>,
    /// Why this value. [`Reason::Stale`] where the server has been away for longer than the grace period.
    pub reason: Reason,
    /// Why the value is the caller's default; absent where the flag served it, or serves none
    /// ([`Reason::Disabled`] without an off variant).
    pub error: Option<ErrorCode>,
    /// The flag's version; 0 where it is not known.
    pub flag_version: u64,
    /// The index of the rule that served.
    pub rule: Option<usize>,
    /// The bucket that decided, 0 to 99,999.
    pub bucket: Option<u32>,
}

impl<T> Details<T> {
    /// The caller's default, because of `error`.
    pub(crate) fn failed(default: T, error: ErrorCode) -> Self {
        Self {
            value: default,
            variant: None,
            reason: Reason::Error,
            error: Some(error),
            flag_version: 0,
            rule: None,
            bucket: None,
        }
    }

    /// `value` as `evaluation` tells.
    pub(crate) fn of(evaluation: &Evaluation<'_>, value: T) -> Self {
        Self {
            value,
            variant: evaluation.variant.map(str::to_owned),
            reason: evaluation.reason,
            error: evaluation.error,
            flag_version: evaluation.flag_version,
            rule: evaluation.rule.map(|(index, _)| index),
            bucket: evaluation.bucket,
        }
    }
}

/// The value of a string flag: shared with the client's memory, or the caller's default. Never a copy.
#[derive(Clone)]
pub enum Text<'d> {
    /// What the flag serves.
    Served(Arc<str>),
    /// What the caller gave.
    Default(&'d str),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Served(text) => text,
            Self::Default(text) => text,
        }
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl PartialEq<str> for Text<'_> {
    fn eq(&self, other: &str) -> bool {
        **self == *other
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl From<Text<'_>> for String {
    fn from(text: Text<'_>) -> Self {
        text.as_ref().to_owned()
    }
}

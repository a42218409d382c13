//! The answer of an evaluation.

use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value as Json;

use crate::tree::Write;

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// A compiled value: as typed as its flag. Text and JSON are shared, so that an SDK hands them out without a copy.
#[derive(Clone, Debug, PartialEq)]
pub enum FlagValue {
    /// A boolean flag's value.
    Boolean(bool),
    /// A string flag's value.
    String(Arc<str>),
    /// A number flag's value: finite.
    Number(f64),
    /// A JSON flag's value.
    Json(Arc<Json>),
}

/// The JSON that the value is. An integral number is written without a fraction, as JavaScript writes it.
impl Serialize for FlagValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Every integral double up to here is the integer that it looks like.
        const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;
        match self {
            Self::Boolean(value) => serializer.serialize_bool(*value),
            Self::String(value) => serializer.serialize_str(value),
            #[expect(clippy::cast_possible_truncation, reason = "integral and within ±(2^53 − 1)")]
            Self::Number(value) if value.fract() == 0.0 && value.abs() <= MAX_SAFE_INTEGER => {
                serializer.serialize_i64(*value as i64)
            }
            Self::Number(value) => serializer.serialize_f64(*value),
            Self::Json(value) => value.serialize(serializer),
        }
    }
}

impl Write for FlagValue {
    fn write(&self, out: &mut String) {
        match self {
            Self::Boolean(value) => value.write(out),
            Self::String(value) => value.write(out),
            Self::Number(value) => value.write(out),
            Self::Json(value) => value.write(out),
        }
    }
}

/// What one evaluation says, borrowed from the [`Ruleset`](crate::Ruleset).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation<'r> {
    /// The value; absent: use the caller's default.
    pub value: Option<&'r FlagValue>,
    /// The variant's key; absent where `value` is.
    pub variant: Option<&'r str>,
    /// Why this value.
    pub reason: Reason,
    /// Why there is no value; present exactly where `reason` is [`Reason::Error`].
    pub error: Option<ErrorCode>,
    /// The flag's version; 0 where the flag is unknown.
    pub flag_version: u64,
    /// The index of the rule that served, and its id (may be empty).
    pub rule: Option<(usize, &'r str)>,
    /// The unit's bucket in the split that chose the variant, 0 to 99,999; where a rollout has only one variant, in the
    /// rollout. Present exactly where `reason` is [`Reason::Split`].
    pub bucket: Option<u32>,
}

/// How the id of a rule begins that a rollout has for itself, to serve a segment or to compare the old variant with itself.
pub const ROLLOUT_RULE: &str = "rollout-";

impl<'r> Evaluation<'r> {
    /// The id of the rule that served; none for a rule without an id.
    #[inline]
    pub fn rule_id(&self) -> Option<&'r str> {
        self.rule.map(|(_, id)| id).filter(|id| !id.is_empty())
    }

    /// The bucket that a rollout of the flag compares by: that of its default, or of a rollout's own rule. The draw of another rule says nothing
    /// of a rollout.
    #[inline]
    pub fn cohort(&self) -> Option<u32> {
        self.bucket.filter(|_| self.rule.is_none_or(|(_, id)| id.starts_with(ROLLOUT_RULE)))
    }
}

/// Why an evaluation has its value: OpenFeature's reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// The flag serves one variant to everybody.
    Static,
    /// No target or rule matched.
    Default,
    /// A target, or a rule with one variant, matched.
    TargetingMatch,
    /// A bucket decided.
    Split,
    /// From a cache.
    Cached,
    /// The flag is disabled or killed, or a prerequisite does not hold.
    Disabled,
    /// From a snapshot that may be out of date.
    Stale,
    /// Not known.
    Unknown,
    /// See the error code.
    Error,
}

impl Reason {
    /// As OpenFeature writes it, and as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::Default => "DEFAULT",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Cached => "CACHED",
            Self::Disabled => "DISABLED",
            Self::Stale => "STALE",
            Self::Unknown => "UNKNOWN",
            Self::Error => "ERROR",
        }
    }
}

/// Why an evaluation has no value: OpenFeature's error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// There is no snapshot yet.
    ProviderNotReady,
    /// The environment has no such flag.
    FlagNotFound,
    /// The flag does not compile.
    ParseError,
    /// The caller asked for another kind of value.
    TypeMismatch,
    /// A bucket is needed, and the unit is absent.
    TargetingKeyMissing,
    /// The unit is neither a string nor an integral number.
    InvalidContext,
    /// The provider will not recover.
    ProviderFatal,
    /// Anything else.
    General,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tree::text;

    #[test]
    fn reasons_are_serialized_as_they_are_written() {
        use Reason::{Cached, Default, Disabled, Error, Split, Stale, Static, TargetingMatch, Unknown};
        for reason in [Static, Default, TargetingMatch, Split, Cached, Disabled, Stale, Unknown, Error] {
            assert_eq!(json!(reason), reason.as_str());
        }
    }

    #[test]
    fn values_are_written_as_javascript_writes_them() {
        let check = |value: FlagValue, expected: &str| {
            assert_eq!(serde_json::to_string(&value).unwrap(), expected);
            assert_eq!(text(&value), expected);
        };
        check(FlagValue::Boolean(true), "true");
        check(FlagValue::String("a\"b".into()), r#""a\"b""#);
        check(FlagValue::Number(49.0), "49");
        check(FlagValue::Number(-0.5), "-0.5");
        check(FlagValue::Number(1e300), "1e+300");
        check(FlagValue::Json(Arc::new(json!({"a": [1, 2.5]}))), r#"{"a":[1,2.5]}"#);
    }
}

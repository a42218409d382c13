//! What the UI is told, as the API writes it.

use tidegate_core::{
    CompileIssue, ErrorCode, Evaluation,
    config::BucketRange,
    explain::Step,
    tree::{Members, Write},
};

/// `Answer` of the API.
pub(crate) struct Answer<'a> {
    pub flag: &'a str,
    pub evaluation: Evaluation<'a>,
}

/// `Explained` of the API.
pub(crate) struct Explained<'a> {
    pub answer: Answer<'a>,
    pub steps: &'a [Step],
}

/// A compile issue, perhaps with a better place than the compiler had.
pub(crate) struct Issue {
    pub path: String,
    pub issue: CompileIssue,
}

/// A range of buckets, as the API writes it.
pub(crate) struct Range(pub BucketRange);

impl Write for Range {
    fn write(&self, out: &mut String) {
        let BucketRange { start, end, variant } = &self.0;
        Members::of(out).with("start", start).with("end", end).with("variant", variant).end();
    }
}

/// What is absent is null, as in the API.
struct OrNull<T>(Option<T>);

impl<T: Write> Write for OrNull<T> {
    fn write(&self, out: &mut String) {
        match &self.0 {
            Some(value) => value.write(out),
            None => out.push_str("null"),
        }
    }
}

struct Trace<'a>(&'a Step);

impl Write for Trace<'_> {
    fn write(&self, out: &mut String) {
        let Step { path, held, detail } = self.0;
        Members::of(out).with("path", path).with("held", held).with("detail", detail).end();
    }
}

/// As it is serialized.
fn name(error: ErrorCode) -> String {
    let name = match error {
        ErrorCode::ProviderNotReady => "PROVIDER_NOT_READY",
        ErrorCode::FlagNotFound => "FLAG_NOT_FOUND",
        ErrorCode::ParseError => "PARSE_ERROR",
        ErrorCode::TypeMismatch => "TYPE_MISMATCH",
        ErrorCode::TargetingKeyMissing => "TARGETING_KEY_MISSING",
        ErrorCode::InvalidContext => "INVALID_CONTEXT",
        ErrorCode::ProviderFatal => "PROVIDER_FATAL",
        ErrorCode::General => "GENERAL",
    };
    name.to_owned()
}

impl Answer<'_> {
    fn members<'o>(&self, out: &'o mut String) -> Members<'o> {
        let Evaluation { value, variant, reason, error, flag_version, rule, bucket } = self.evaluation;
        Members::of(out)
            .with("flag", &self.flag)
            .with("value", &OrNull(value.cloned()))
            .with("variant", &OrNull(variant.map(String::from)))
            .with("reason", &reason.as_str())
            .with("errorCode", &OrNull(error.map(name)))
            .with("bucket", &OrNull(bucket))
            .with("rule", &OrNull(rule.map(|(_, id)| id.to_owned())))
            .with("version", &flag_version)
    }
}

impl Write for Answer<'_> {
    fn write(&self, out: &mut String) {
        self.members(out).end();
    }
}

impl Write for Explained<'_> {
    fn write(&self, out: &mut String) {
        let steps: Vec<_> = self.steps.iter().map(Trace).collect();
        self.answer.members(out).with("steps", &steps.as_slice()).end();
    }
}

impl Write for Issue {
    fn write(&self, out: &mut String) {
        CompileIssue { path: self.path.clone(), ..self.issue.clone() }.write(out);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_are_named_as_they_are_serialized() {
        use ErrorCode::{
            FlagNotFound, General, InvalidContext, ParseError, ProviderFatal, ProviderNotReady, TargetingKeyMissing,
            TypeMismatch,
        };
        let provider = [ProviderNotReady, ProviderFatal, General];
        for error in
            [FlagNotFound, ParseError, TypeMismatch, TargetingKeyMissing, InvalidContext].into_iter().chain(provider)
        {
            assert_eq!(json!(error), name(error));
        }
    }
}

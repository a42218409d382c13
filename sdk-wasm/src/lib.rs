//! `core` for JavaScript: the same evaluator, the same answers to the bit.
//!
//! First form: an [`Evaluator`] of a flag file. The streaming client and the npm package come around it.
//!
//! ```js
//! const evaluator = new Evaluator(JSON.stringify(flagFile));
//! const { value, reason } = JSON.parse(
//!   evaluator.evaluate("new-checkout", JSON.stringify({ targetingKey: "ada", plan: "pro" }), Date.now()),
//! );
//! ```

#![deny(missing_docs)]

use serde::Serialize;
use tidegate_core::{
    CompileIssue, Context, ErrorCode, Evaluation, FlagFile, Reason, Ruleset, Timestamp, compile, evaluate,
    evaluation::FlagValue,
};
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// Evaluates the flags of one flag file.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Evaluator {
    ruleset: Ruleset,
    issues: Vec<CompileIssue>,
}

/// The answer to one question, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    flag: &'a str,
    /// Null: use your default.
    value: Option<&'a FlagValue>,
    variant: Option<&'a str>,
    reason: Reason,
    error_code: Option<ErrorCode>,
    bucket: Option<u32>,
    version: u64,
}

#[wasm_bindgen]
impl Evaluator {
    /// Compiles a flag file, given as JSON text.
    ///
    /// # Errors
    /// Throws where the text is no flag file. A file with broken flags is one: see [`issues`](Self::issues).
    #[wasm_bindgen(constructor)]
    pub fn new(flag_file: &str) -> Result<Evaluator, JsError> {
        Self::compile(flag_file).map_err(|error| JsError::new(&format!("this is no flag file: {error}")))
    }

    /// Evaluates `flag` for a context, given as JSON text: an object with `targetingKey` and attributes. `now_ms` is
    /// the time in milliseconds since 1970, like `Date.now()`.
    ///
    /// Never throws. The answer is JSON text: `flag`, `value` (null: use your default), `variant`, `reason`,
    /// `errorCode`, `bucket`, `version`.
    pub fn evaluate(&self, flag: &str, context: &str, now_ms: f64) -> String {
        // Not-a-number becomes 0, and what no clock shows the nearest that one could.
        #[expect(clippy::cast_possible_truncation, reason = "saturates")]
        let now = Timestamp(now_ms as i64);
        let answer = match serde_json::from_str::<Context>(context) {
            Ok(context) => Answer::of(flag, &evaluate(&self.ruleset, flag, &context, now)),
            Err(_) => Answer::failed(flag, ErrorCode::InvalidContext),
        };
        json(&answer)
    }

    /// What is wrong with the file: JSON text, an array of issues with `severity`, `code`, `collection`, `key`, `path`
    /// and `message`.
    pub fn issues(&self) -> String {
        json(&self.issues)
    }
}

impl Evaluator {
    fn compile(flag_file: &str) -> Result<Self, serde_json::Error> {
        let file: FlagFile = serde_json::from_str(flag_file)?;
        let (ruleset, issues) = compile(&file);
        Ok(Self { ruleset, issues })
    }
}

impl<'a> Answer<'a> {
    fn of(flag: &'a str, evaluation: &Evaluation<'a>) -> Self {
        Self {
            flag,
            value: evaluation.value,
            variant: evaluation.variant,
            reason: evaluation.reason,
            error_code: evaluation.error,
            bucket: evaluation.bucket,
            version: evaluation.flag_version,
        }
    }

    fn failed(flag: &'a str, error: ErrorCode) -> Self {
        Self {
            flag,
            value: None,
            variant: None,
            reason: Reason::Error,
            error_code: Some(error),
            bucket: None,
            version: 0,
        }
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| unreachable!("answers have string keys only: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{ "flags": [
        { "key": "checkout", "kind": "boolean", "version": 4, "enabled": true,
          "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }],
          "rules": [{ "conditions": [{ "attribute": "plan", "operator": "in", "values": ["pro"] }],
                      "serve": { "variant": "on" } }],
          "default": { "variant": "off" } },
        { "key": "broken", "kind": "boolean", "variants": [], "default": { "variant": "on" } }
    ] }"#;

    #[track_caller]
    fn check(flag: &str, context: &str, expected: &str) {
        let evaluator = Evaluator::compile(FILE).unwrap();
        assert_eq!(evaluator.evaluate(flag, context, 0.0), expected);
    }

    #[test]
    fn questions_have_answers() {
        check(
            "checkout",
            r#"{"targetingKey":"ada","plan":"pro"}"#,
            r#"{"flag":"checkout","value":true,"variant":"on","reason":"TARGETING_MATCH","errorCode":null,"bucket":null,"version":4}"#,
        );
        check(
            "checkout",
            "{}",
            r#"{"flag":"checkout","value":false,"variant":"off","reason":"DEFAULT","errorCode":null,"bucket":null,"version":4}"#,
        );
    }

    #[test]
    fn trouble_is_an_answer_too() {
        for (flag, context, code) in [
            ("nothing", "{}", "FLAG_NOT_FOUND"),
            ("broken", "{}", "PARSE_ERROR"),
            ("checkout", "[]", "INVALID_CONTEXT"),
            ("checkout", "{", "INVALID_CONTEXT"),
        ] {
            let answer = Evaluator::compile(FILE).unwrap().evaluate(flag, context, f64::NAN);
            assert!(
                answer.contains(&format!(r#""value":null,"variant":null,"reason":"ERROR","errorCode":"{code}""#)),
                "{answer}"
            );
        }
    }

    #[test]
    fn issues_are_told() {
        let issues = Evaluator::compile(FILE).unwrap().issues();
        assert!(issues.contains(r#""key":"broken""#), "{issues}");
        assert!(Evaluator::compile("{}").unwrap().issues() == "[]");
        assert!(Evaluator::compile("[1]").is_err());
    }
}

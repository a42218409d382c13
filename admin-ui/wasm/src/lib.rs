//! The evaluator for the admin UI: the server's own, compiled to WebAssembly, so that what the playground and the rule
//! editor say is what an evaluation does.
//!
//! Everything crosses as JSON text. An [`Evaluator`] never changes: a draft makes another one, which shares what it
//! leaves as it is.

#![deny(missing_docs)]

mod answer;

use tidegate_core::{
    Change, CompileIssue, Context, FlagKey, Ruleset, SegmentKey, Timestamp,
    bucket::Seed,
    compile,
    config::{BucketRange, VariantWeight},
    distribution, evaluate_all, explain, flag_file,
    tree::{self, ReadError, Tree, text},
};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::answer::{Answer, Explained, Issue, Range};

/// An environment, compiled.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Evaluator {
    ruleset: Ruleset,
    /// What is wrong with a draft that cannot be read, where the ruleset knows only that it is broken.
    unreadable: Option<Unreadable>,
}

#[derive(Debug)]
struct Unreadable {
    collection: &'static str,
    key: String,
    error: ReadError,
}

#[wasm_bindgen]
impl Evaluator {
    /// Compiles a flag file. A flag or segment that cannot be read is that one's problem.
    ///
    /// # Errors
    /// What is wrong, where the text is no flag file at all.
    pub fn load(file: &str) -> Result<Evaluator, String> {
        let (file, broken) = flag_file::read(file).map_err(|error| error.to_string())?;
        let (ruleset, _) = compile(&file);
        let ruleset = if broken.is_empty() { ruleset } else { ruleset.update(broken).0 };
        Ok(Self { ruleset, unreadable: None })
    }

    /// The same with one flag of the file added or replaced. One that cannot be read is broken, and its issue says where.
    ///
    /// # Errors
    /// What is wrong, where the text is no object with a key.
    #[wasm_bindgen(js_name = withFlag)]
    pub fn with_flag(&self, flag: &str) -> Result<Evaluator, String> {
        self.with(flag, "flags", Change::PutFlag, |key: FlagKey, message| Change::BrokenFlag { key, message })
    }

    /// The same with one segment added or replaced, as [`with_flag`](Self::with_flag) does it.
    ///
    /// # Errors
    /// As there.
    #[wasm_bindgen(js_name = withSegment)]
    pub fn with_segment(&self, segment: &str) -> Result<Evaluator, String> {
        let broken = |key: SegmentKey, message| Change::BrokenSegment { key, message };
        self.with(segment, "segments", Change::PutSegment, broken)
    }

    /// Everything that compiling finds wrong: a list of `CompileIssue`.
    pub fn issues(&self) -> String {
        let placed = |issue: &CompileIssue| match &self.unreadable {
            Some(Unreadable { collection, key, error })
                if issue.collection == *collection && issue.key == *key && issue.path.is_empty() =>
            {
                Issue { path: error.pointer().to_owned(), issue: issue.clone() }
            }
            _ => Issue { path: issue.path.clone(), issue: issue.clone() },
        };
        text(&self.ruleset.issues().map(placed).collect::<Vec<_>>().as_slice())
    }

    /// What `POST …/explain` answers: `Explained`. `context` is an object with `targetingKey` and attributes.
    ///
    /// # Errors
    /// What is wrong with the context.
    pub fn explain(&self, flag: &str, context: &str, now_ms: f64) -> Result<String, String> {
        let explanation = explain(&self.ruleset, flag, &read_context(context)?, moment(now_ms));
        Ok(text(&Explained { answer: Answer { flag, evaluation: explanation.evaluation }, steps: &explanation.steps }))
    }

    /// What every flag says, in the order of the keys: a list of `Answer`.
    ///
    /// # Errors
    /// What is wrong with the context.
    #[wasm_bindgen(js_name = evaluateAll)]
    pub fn evaluate_all(&self, context: &str, now_ms: f64) -> Result<String, String> {
        let context = read_context(context)?;
        let answers = evaluate_all(&self.ruleset, &context, moment(now_ms));
        let answers: Vec<_> = answers.map(|(flag, evaluation)| Answer { flag, evaluation }).collect();
        Ok(text(&answers.as_slice()))
    }
}

impl Evaluator {
    /// With an object of a collection put, or broken where it cannot be read.
    fn with<K: tree::Read + ToString, C: tree::Read>(
        &self,
        object: &str,
        collection: &'static str,
        put: impl FnOnce(C) -> Change,
        broken: impl FnOnce(K, String) -> Change,
    ) -> Result<Self, String> {
        let tree = Tree::parse(object).map_err(|error| error.to_string())?;
        let key = tree.fields().and_then(|fields| fields.required::<K>("key"));
        let key = key.map_err(|error| error.to_string())?;
        let (change, unreadable) = match C::read(&tree) {
            Ok(config) => (put(config), None),
            Err(error) => {
                let unreadable = Unreadable { collection, key: key.to_string(), error };
                (broken(key, unreadable.error.message().to_owned()), Some(unreadable))
            }
        };
        Ok(Self { ruleset: self.ruleset.update(vec![change]).0, unreadable })
    }
}

/// The bucket of `unit` under `salt`, 0 to 99,999.
#[wasm_bindgen]
pub fn bucket(salt: &str, unit: &str) -> u32 {
    Seed::new(salt).bucket(unit)
}

/// The ranges that weights become when they are saved, moving the fewest buckets away from `previous`: lists of
/// `VariantWeight` and `BucketRange`.
///
/// # Errors
/// What is wrong, where a list cannot be read.
#[wasm_bindgen]
pub fn reweight(previous: &str, weights: &str) -> Result<String, String> {
    let previous: Vec<BucketRange> = tree::parse(previous).map_err(|error| error.to_string())?;
    let weights: Vec<VariantWeight> = tree::parse(weights).map_err(|error| error.to_string())?;
    let ranges: Vec<_> = distribution::reweight(&previous, &weights).into_iter().map(Range).collect();
    Ok(text(&ranges.as_slice()))
}

fn read_context(json: &str) -> Result<Context, String> {
    tree::parse(json).map_err(|error: ReadError| error.to_string())
}

#[expect(clippy::cast_possible_truncation, reason = "milliseconds, whose fraction does not count")]
fn moment(now_ms: f64) -> Timestamp {
    Timestamp(now_ms as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const FLAG: &str = r#"{"key": "checkout", "kind": "boolean", "version": 7, "enabled": true, "salt": "s",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "rules": [{"id": "dutch", "conditions": [{"attribute": "country", "operator": "in", "values": ["NL"]}],
            "serve": {"variant": "on"}}],
        "default": {"distribution": {"weights": [
            {"variant": "on", "weight": 25000}, {"variant": "off", "weight": 75000}]}}}"#;

    fn evaluator() -> Evaluator {
        Evaluator::load(&format!(r#"{{"flags": [{FLAG}], "broken": []}}"#)).unwrap()
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn explains_as_the_server_does() {
        let said = evaluator().explain("checkout", r#"{"targetingKey": "u", "country": "NL"}"#, 0.0).unwrap();
        assert_eq!(
            parsed(&said),
            json!({
                "flag": "checkout", "value": true, "variant": "on", "reason": "TARGETING_MATCH", "errorCode": null,
                "bucket": null, "rule": "dutch", "version": 7,
                "steps": [
                    {"path": "/rules/0/conditions/0", "held": true, "detail": "`country` is \"NL\"; asked is `in 1 value`"},
                    {"path": "/rules/0", "held": true, "detail": "serves `on`"},
                ],
            })
        );
    }

    #[test]
    fn evaluates_every_flag_and_tells_the_bucket() {
        let all = parsed(&evaluator().evaluate_all(r#"{"targetingKey": "user-7"}"#, 0.0).unwrap());
        assert_eq!(all[0]["reason"], "SPLIT");
        assert_eq!(all[0]["bucket"], bucket("s", "user-7"));
    }

    #[test]
    fn weights_become_the_ranges_that_the_server_would_store() {
        let previous =
            r#"[{"start": 0, "end": 10000, "variant": "b"}, {"start": 10000, "end": 100000, "variant": "a"}]"#;
        let weights = r#"[{"variant": "a", "weight": 80000}, {"variant": "b", "weight": 20000}]"#;
        let ranges = parsed(&reweight(previous, weights).unwrap());
        let moved: Vec<_> = ranges.as_array().unwrap().iter().filter(|range| range["variant"] == "b").collect();
        assert_eq!(moved[0]["start"], 0);
        assert_eq!(
            moved.iter().map(|it| it["end"].as_u64().unwrap() - it["start"].as_u64().unwrap()).sum::<u64>(),
            20_000
        );
        assert!(reweight("{}", weights).is_err());
    }

    #[test]
    fn a_draft_is_compiled_and_the_evaluator_stays_as_it_is() {
        let stored = evaluator();
        let draft = stored.with_flag(&FLAG.replace("\"in\"", "\"about\"")).unwrap();
        let issues = parsed(&draft.issues());
        assert_eq!(issues[0]["path"], "/rules/0/conditions/0/operator");
        assert_eq!(issues[0]["severity"], "ruleSkipped");
        assert_eq!(stored.issues(), "[]");
    }

    #[test]
    fn a_draft_that_cannot_be_read_says_where() {
        let draft = evaluator().with_flag(&FLAG.replace("25000", "\"many\"")).unwrap();
        let issues = parsed(&draft.issues());
        assert_eq!(issues[0]["path"], "/default/distribution/weights/0/weight");
        assert_eq!(issues[0]["severity"], "flagBroken");
    }

    const ASKS: &str = r#"{
        "key": "asks", "kind": "boolean", "enabled": true, "salt": "s", "default": {"variant": "out"},
        "variants": [{"key": "in", "value": true}, {"key": "out", "value": false}],
        "rules": [{"conditions": [{"operator": "segment", "values": ["staff"]}], "serve": {"variant": "in"}}]
    }"#;

    #[test]
    fn a_segment_is_a_draft_too() {
        let stored = evaluator();
        let wrong = r#"{"key": "staff", "rules": [{"conditions": [{"attribute": "email", "operator": "about", "values": ["x"]}]}]}"#;
        let issues = parsed(&stored.with_segment(wrong).unwrap().issues());
        assert_eq!(issues[0]["collection"], "segments");
        assert_eq!(issues[0]["path"], "/rules/0/conditions/0/operator");
        let issues =
            parsed(&stored.with_segment(r#"{"key": "staff", "rules": [{"conditions": 7}]}"#).unwrap().issues());
        assert_eq!(issues[0]["path"], "/rules/0/conditions");
        let known = stored.with_segment(r#"{"key": "staff", "included": ["ada"]}"#).unwrap().with_flag(ASKS).unwrap();
        let variant = |unit: &str| {
            let explained = known.explain("asks", &format!(r#"{{"targetingKey": "{unit}"}}"#), 0.0).unwrap();
            parsed(&explained)["variant"].clone()
        };
        assert_eq!((variant("ada"), variant("bob")), ("in".into(), "out".into()));
    }

    #[test]
    fn one_unreadable_flag_leaves_the_others() {
        let file = format!(r#"{{"flags": [{FLAG}, {{"key": "odd", "kind": "colour"}}]}}"#);
        let loaded = Evaluator::load(&file).unwrap();
        let all = parsed(&loaded.evaluate_all("{}", 0.0).unwrap());
        assert_eq!(all.as_array().unwrap().len(), 2);
        assert_eq!(all[1]["errorCode"], "PARSE_ERROR");
        assert!(Evaluator::load("[]").is_err());
        assert!(loaded.explain("checkout", "7", 0.0).is_err());
    }
}

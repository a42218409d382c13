//! A first line as a regular expression, the rest as a text: what `regex-lite` understands is understood, and finds the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use regex_lite::RegexBuilder;
use serde::Deserialize;
use serde_json::json;
use tidegate_core::{Context, FlagConfig, FlagFile, Timestamp, compile, evaluate};

fuzz_target!(|input: (&str, bool)| {
    let (input, ignore_case) = input;
    let Some((pattern, text)) = input.split_once('\n') else { return };
    if pattern.len() > 1_024 || text.len() > 4_096 {
        return;
    }
    let flag = json!({
        "key": "f", "kind": "boolean", "enabled": true, "offVariant": "off", "default": { "variant": "off" },
        "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }],
        "rules": [{
            "conditions": [{ "attribute": "x", "operator": "matches", "values": [pattern], "ignoreCase": ignore_case }],
            "serve": { "variant": "on" }
        }]
    });
    let file = FlagFile { flags: vec![FlagConfig::deserialize(&flag).unwrap()], segments: Vec::new() };
    let (ruleset, issues) = compile(&file);
    let evaluation = evaluate(&ruleset, "f", &Context::anonymous().with("x", text), Timestamp::default());
    let found = issues.is_empty().then(|| evaluation.variant.is_some_and(|variant| variant == "on"));

    let expected = RegexBuilder::new(pattern).case_insensitive(ignore_case).size_limit(64 * 1024).build();
    let case_of_ranges = (ignore_case || pattern.contains("(?")) && pattern.contains('[');
    match (expected, found) {
        // It looks at one end of a range that has letters of both cases.
        (Ok(_), Some(_)) if case_of_ranges => {}
        (Ok(expected), Some(found)) => assert_eq!(found, expected.is_match(text)),
        // The limits are counted otherwise.
        (Ok(_), None) => assert!(issues.iter().any(|issue| issue.message.contains("too large")), "{issues:?}"),
        (Err(error), Some(_)) => {
            let error = error.to_string();
            let is_other = ["nesting", "size limit", "ranges must start and end with a single character", "invalid group name", "decimal"];
            assert!(is_other.iter().any(|other| error.contains(other)), "{error}");
        }
        (Err(_), None) => {}
    }
});

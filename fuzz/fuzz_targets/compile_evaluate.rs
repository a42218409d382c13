//! Any bytes: whatever configuration and context they spell, compiling and evaluating them gives answers, not panics.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value as Json;
use tidegate_core::{
    Change, Context, FlagConfig, FlagFile, FlagKey, Ruleset, SegmentConfig, SegmentKey, Timestamp, compile, evaluate,
    evaluate_all, explain,
};

#[derive(Deserialize)]
struct Input {
    #[serde(default)]
    flags: Vec<Json>,
    #[serde(default)]
    segments: Vec<Json>,
    #[serde(default)]
    context: Context,
    #[serde(default)]
    now: Timestamp,
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(input) = serde_json::from_slice::<Input>(bytes) else { return };

    // As an SDK takes it: object by object, those that cannot be read among them.
    let flags = input.flags.iter().filter_map(flag_change);
    let segments = input.segments.iter().filter_map(segment_change);
    let (updated, _) = Ruleset::default().update(segments.chain(flags).collect());
    check(&updated, &input);

    // As a file, in which a key may come twice.
    let file = FlagFile { flags: readable(&input.flags), segments: readable(&input.segments) };
    let (compiled, issues) = compile(&file);
    assert!(compiled.issues().eq(&issues));
    check(&compiled, &input);
});

fn check(ruleset: &Ruleset, input: &Input) {
    for (key, evaluation) in evaluate_all(ruleset, &input.context, input.now) {
        assert_eq!(evaluate(ruleset, key, &input.context, input.now), evaluation);
        assert_eq!(explain(ruleset, key, &input.context, input.now).evaluation, evaluation);
        assert_eq!(evaluation.value.is_some(), evaluation.variant.is_some());
    }
}

fn flag_change(json: &Json) -> Option<Change> {
    FlagConfig::deserialize(json).map(Change::PutFlag).ok().or_else(|| {
        let key = FlagKey::new(json.get("key")?.as_str()?).ok()?;
        Some(Change::BrokenFlag { key, message: String::new() })
    })
}

fn segment_change(json: &Json) -> Option<Change> {
    SegmentConfig::deserialize(json).map(Change::PutSegment).ok().or_else(|| {
        let key = SegmentKey::new(json.get("key")?.as_str()?).ok()?;
        Some(Change::BrokenSegment { key, message: String::new() })
    })
}

fn readable<T: DeserializeOwned>(objects: &[Json]) -> Vec<T> {
    objects.iter().filter_map(|json| T::deserialize(json).ok()).collect()
}

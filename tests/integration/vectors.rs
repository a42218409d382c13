//! The language-neutral vectors of `spec/`, run through the evaluator.

use std::path::{Path, PathBuf};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value as Json, json};
use tidegate_core::{
    Change, Context, Evaluation, FlagFile, FlagKey, Ruleset, SegmentKey, Timestamp, bucket::Seed, compile, evaluate,
    explain,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

fn spec(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec").join(path)
}

fn read(path: &Path) -> Json {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[derive(Deserialize)]
struct Bucketing {
    algorithm: String,
    rows: Vec<BucketingRow>,
}

#[derive(Deserialize)]
struct BucketingRow {
    salt: String,
    unit: String,
    seed: String,
    hash: String,
    bucket: u32,
}

#[test]
fn bucketing_version_1_stays_frozen() {
    let vectors: Bucketing = serde_json::from_value(read(&spec("vectors/bucketing-v1.json"))).unwrap();
    assert_eq!(vectors.algorithm, tidegate_core::config::Distribution::XXH3_V1);
    assert!(vectors.rows.len() >= 200, "vectors are append-only");

    for BucketingRow { salt, unit, seed, hash, bucket } in vectors.rows {
        let found = Seed::new(&salt);
        assert_eq!(format!("{:016x}", found.value()), seed, "seed of salt {salt:?}");
        assert_eq!(format!("{:016x}", found.hash(&unit)), hash, "hash of unit {unit:?} under salt {salt:?}");
        assert_eq!(found.bucket(&unit), bucket, "bucket of unit {unit:?} under salt {salt:?}");
    }
}

/// The time of cases that do not say theirs.
const DEFAULT_NOW: &str = "2026-01-01T00:00:00Z";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "description")]
    _description: String,
    flags: Vec<Json>,
    segments: Vec<Json>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    flag: String,
    context: Json,
    now: Option<String>,
    expected: Json,
}

/// What can be read of `objects`, and the keys of what cannot.
fn readable<T: DeserializeOwned>(objects: &[Json]) -> (Vec<T>, Vec<&str>) {
    let (mut read, mut broken) = (Vec::new(), Vec::new());
    for object in objects {
        match T::deserialize(object) {
            Ok(object) => read.push(object),
            Err(_) => broken.push(object["key"].as_str().expect("a vector's flags and segments have keys")),
        }
    }
    (read, broken)
}

/// The ruleset that an SDK would make of the vectors: what cannot be read is only its own problem.
fn ruleset(vectors: &Vectors) -> Ruleset {
    let (flags, broken_flags) = readable(&vectors.flags);
    let (segments, broken_segments) = readable(&vectors.segments);
    let (ruleset, _) = compile(&FlagFile { flags, segments });

    let message = || "cannot be read".to_owned();
    let flags = broken_flags.into_iter().map(|key| FlagKey::new(key).unwrap());
    let segments = broken_segments.into_iter().map(|key| SegmentKey::new(key).unwrap());
    let flags = flags.map(|key| Change::BrokenFlag { key, message: message() });
    let segments = segments.map(|key| Change::BrokenSegment { key, message: message() });
    ruleset.update(flags.chain(segments).collect()).0
}

fn milliseconds(rfc3339: &str) -> Timestamp {
    let time = OffsetDateTime::parse(rfc3339, &Rfc3339).unwrap_or_else(|error| panic!("{rfc3339}: {error}"));
    Timestamp(i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap())
}

/// An answer in the form of a case's `expected`: what is absent is left out.
fn answer(evaluation: Evaluation<'_>) -> Json {
    let Evaluation { value, variant, reason, error, flag_version: _, rule, bucket } = evaluation;
    let mut answer = json!({
        "value": value,
        "variant": variant,
        "reason": reason,
        "errorCode": error,
        "rule": rule.map(|(index, _)| index),
        "bucket": bucket,
    });
    answer.as_object_mut().unwrap().retain(|_, member| !member.is_null());
    answer
}

/// With every number a double, as a number flag's value is.
fn doubles(json: &Json) -> Json {
    match json {
        Json::Number(number) => json!(number.as_f64()),
        Json::Array(elements) => elements.iter().map(doubles).collect(),
        Json::Object(members) => members.iter().map(|(name, member)| (name.clone(), doubles(member))).collect(),
        other => other.clone(),
    }
}

/// What is wrong with the answers to `case`, if anything is.
fn complaint(ruleset: &Ruleset, Case { name, flag, context, now, expected }: &Case) -> Option<String> {
    let Ok(context) = Context::from_json(context) else {
        let refused = json!({"reason": "ERROR", "errorCode": "INVALID_CONTEXT"});
        return (*expected != refused).then(|| format!("{name}: the context cannot be read, expected {expected}"));
    };
    let now = milliseconds(now.as_deref().unwrap_or(DEFAULT_NOW));
    let evaluated = evaluate(ruleset, flag, &context, now);
    let explained = explain(ruleset, flag, &context, now);
    let (found, told) = (answer(evaluated), answer(explained.evaluation));
    if doubles(&found) != doubles(expected) {
        return Some(format!("{name}\n    expected {expected}\n    found    {found}\n    {:#?}", explained.steps));
    }
    (evaluated != explained.evaluation).then(|| format!("{name}\n    evaluate {found}\n    explain  {told}"))
}

#[test]
fn evaluation_agrees_with_every_vector() {
    let mut files: Vec<_> = std::fs::read_dir(spec("vectors")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_string_lossy().starts_with("evaluation-"));
    files.sort();

    let (mut n_cases, mut complaints) = (0, Vec::new());
    for path in files {
        let vectors: Vectors =
            serde_json::from_value(read(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let ruleset = ruleset(&vectors);
        n_cases += vectors.cases.len();
        let file = path.file_name().unwrap().to_string_lossy();
        complaints.extend(
            vectors.cases.iter().filter_map(|case| complaint(&ruleset, case)).map(|said| format!("{file}: {said}")),
        );
    }
    assert!(complaints.is_empty(), "{} of {n_cases} cases fail\n{}", complaints.len(), complaints.join("\n"));
    assert!(n_cases >= 1_261, "vectors are append-only: only {n_cases} cases are left");
}

//! The language-neutral vectors of `spec/`, run through the evaluator.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value as Json;
use tidegate_core::bucket::Seed;

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

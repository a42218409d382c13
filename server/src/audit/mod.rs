//! The audit log: one row per change, in the change's own transaction, each chained to the one before.

mod verify;

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use tidegate_core::Timestamp;

pub use verify::{Broken, Verified, Verifier, VerifyError, verify};

/// What a change says of itself, before the store gives it its place in the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who: `user:<id>`, `token:<id>`, `cli:<os user>`, `controller`, `system`.
    pub actor: String,
    /// The actor's name at that time, for people.
    pub actor_name: String,
    /// What was done: `flag.create`, `flag.update`, `flag.kill`, …
    pub action: String,
    /// The project, where there is one.
    pub project: Option<String>,
    /// The environment, where there is one.
    pub environment: Option<String>,
    /// The resource, like `flag/checkout`.
    pub resource: String,
    /// The state before; null where there was none.
    pub before: Json,
    /// The state after; null where there is none.
    pub after: Json,
    /// Why, in the actor's words; may be empty where no reason is required.
    pub reason: String,
    /// The request that caused it.
    pub request_id: String,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditRow {
    /// 1 for the first row, +1 each.
    pub sequence: u64,
    /// What happened.
    #[serde(flatten)]
    pub entry: AuditEntry,
    /// The version of the leaf's byte form.
    pub leaf_version: u32,
    /// The `hash` of the row before, 64 hex digits; zeros for the first row.
    pub previous_hash: String,
    /// SHA-256 of the leaf, 64 hex digits.
    pub hash: String,
}

/// The byte form hashed today.
pub const LEAF_VERSION: u32 = 1;

/// The `previous_hash` of the first row.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Puts `entry` at `sequence` after a row with `previous_hash`.
///
/// The leaf is the canonical JSON (RFC 8785) of the row without `hash`; its SHA-256 is the row's hash. RFC 8785 knows
/// only doubles: an integer beyond ±2^53 in `before` or `after` counts as the double nearest to it.
pub fn chain(entry: AuditEntry, sequence: u64, previous_hash: &str) -> AuditRow {
    let mut row = AuditRow {
        sequence,
        entry,
        leaf_version: LEAF_VERSION,
        previous_hash: previous_hash.to_owned(),
        hash: String::new(),
    };
    row.hash = leaf_hash(&row);
    row
}

/// The canonical JSON of a part of a row: what the stores keep, so that the leaf can be built again from it.
pub fn canonical(json: &impl Serialize) -> String {
    serde_json_canonicalizer::to_string(json)
        .unwrap_or_else(|error| unreachable!("text, integers and `Value`s always serialise: {error}"))
}

/// The row without `hash`, in the order of [`AuditRow`]; canonical JSON sorts the fields anyway.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hashed<'a> {
    sequence: u64,
    #[serde(flatten)]
    entry: &'a AuditEntry,
    leaf_version: u32,
    previous_hash: &'a str,
}

fn leaf_hash(row: &AuditRow) -> String {
    let AuditRow { sequence, entry, leaf_version, previous_hash, hash: _ } = row;
    let leaf = Hashed { sequence: *sequence, entry, leaf_version: *leaf_version, previous_hash };
    hex(&Sha256::digest(canonical(&leaf)))
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry() -> AuditEntry {
        AuditEntry {
            at: Timestamp(1_700_000_000_000),
            actor: "user:01".to_owned(),
            actor_name: "Ada".to_owned(),
            action: "flag.update".to_owned(),
            project: Some("shop".to_owned()),
            environment: None,
            resource: "flag/checkout".to_owned(),
            before: Json::Null,
            after: json!({"b": 1.0, "a": [0.1, 1e21, "é\u{2028}"]}),
            reason: String::new(),
            request_id: "r-1".to_owned(),
        }
    }

    /// The leaf's bytes are frozen: a change of this text is a new [`LEAF_VERSION`].
    #[test]
    fn leaf_is_frozen() {
        let row = chain(entry(), 7, GENESIS);
        let leaf = Hashed { sequence: 7, entry: &row.entry, leaf_version: 1, previous_hash: GENESIS };
        let expected = format!(
            "{{\"action\":\"flag.update\",\"actor\":\"user:01\",\"actorName\":\"Ada\",\
             \"after\":{{\"a\":[0.1,1e+21,\"é\u{2028}\"],\"b\":1}},\"at\":1700000000000,\"before\":null,\
             \"environment\":null,\"leafVersion\":1,\"previousHash\":\"{GENESIS}\",\"project\":\"shop\",\
             \"reason\":\"\",\"requestId\":\"r-1\",\"resource\":\"flag/checkout\",\"sequence\":7}}"
        );
        assert_eq!(canonical(&leaf), expected);
        assert_eq!(row.hash, hex(&Sha256::digest(expected)));
    }

    /// Whatever passes through text and back hashes to the same: the doubles here are hard to read exactly.
    #[test]
    fn rows_hash_the_same_after_a_round_trip() {
        let hard = json!([
            5e-324,
            2.225_073_858_507_201e-308,
            9_007_199_254_740_993_u64,
            0.3,
            -0.0,
            1.797_693_134_862_315_7e308
        ]);
        let row = chain(AuditEntry { before: hard, ..entry() }, 1, GENESIS);
        let read: AuditRow = serde_json::from_str(&canonical(&row)).unwrap();
        assert_eq!(chain(read.entry, 1, GENESIS).hash, row.hash);
    }
}

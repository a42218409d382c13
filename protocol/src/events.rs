//! Events: what was evaluated, and what was measured.
//!
//! A client gathers them, and sends them in batches: over its stream ([`ClientMessage::Events`], answered by
//! [`ServerMessage::Received`]) or over HTTP. A batch that was not answered is sent again under its id; one that comes twice
//! counts once. What a client has no room for it drops, and says how much.
//!
//! A targeting key never travels: a [`UnitHash`] stands for it.
//!
//! [`ClientMessage::Events`]: crate::ClientMessage::Events
//! [`ServerMessage::Received`]: crate::ServerMessage::Received

use serde::Deserialize;
use tidegate_core::{
    bucket,
    tree::{Members, Write},
};

use crate::message::write::{not_empty, not_zero};

/// Exposures and measurements of one batch, together, at most.
pub const MAX_ITEMS: usize = 500;

/// The longest id of a batch, in bytes.
pub const MAX_ID_BYTES: usize = 64;

/// The longest name of a metric, in bytes.
pub const MAX_METRIC_BYTES: usize = 128;

/// Events that a client sends at once.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventBatch {
    /// Chosen by the client at random, another one for each batch; at most [`MAX_ID_BYTES`].
    pub id: String,
    /// What was served to whom.
    #[serde(default)]
    pub exposures: Vec<Exposure>,
    /// What was measured.
    #[serde(default)]
    pub measurements: Vec<Measurement>,
    /// How many events the client had no room for since its last batch.
    #[serde(default)]
    pub dropped: u64,
}

/// A unit was served a variant, once or more.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exposure {
    /// The flag's key.
    pub flag: String,
    /// The variant's key; absent: the caller's default.
    #[serde(default)]
    pub variant: Option<String>,
    /// The flag's version in the snapshot.
    #[serde(default)]
    pub version: u64,
    /// To whom; absent: the context had no targeting key.
    #[serde(default)]
    pub unit: Option<UnitHash>,
    /// Its bucket in the draw that decided, 0 to 99,999, as [`Evaluation::cohort`](tidegate_core::Evaluation::cohort) has it; absent: none of
    /// those decided.
    #[serde(default)]
    pub bucket: Option<u32>,
    /// The id of the rule that served; absent: none did, or it has none.
    #[serde(default)]
    pub rule: Option<String>,
    /// How often, at least once.
    #[serde(default = "once")]
    pub count: u64,
    /// When first: milliseconds since 1970 on the client's clock.
    pub at: i64,
}

/// Something was measured.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// What: at most [`MAX_METRIC_BYTES`].
    pub metric: String,
    /// Of whom; absent: of nobody in particular.
    #[serde(default)]
    pub unit: Option<UnitHash>,
    /// How much; absent: it happened.
    #[serde(default)]
    pub value: Option<f64>,
    /// When: milliseconds since 1970 on the client's clock.
    pub at: i64,
}

/// Stands for a targeting key: `xxh3_64` of its UTF-8, written as 16 hex digits.
///
/// The same in every SDK, so that what one service serves and another measures comes together. It is no secret to
/// somebody who can guess the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct UnitHash(pub u64);

impl UnitHash {
    /// Of a targeting key. O(bytes).
    pub fn of(targeting_key: &str) -> Self {
        Self(bucket::hash(targeting_key))
    }
}

/// The text is no hash of a unit.
#[derive(Debug, thiserror::Error)]
#[error("a unit is 16 lower-case hex digits: xxh3_64 of the targeting key's UTF-8")]
pub struct NoUnitHash;

impl TryFrom<String> for UnitHash {
    type Error = NoUnitHash;

    fn try_from(text: String) -> Result<Self, NoUnitHash> {
        let digits = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u64::from_str_radix(&text, 16).ok().filter(|_| digits).map(Self).ok_or(NoUnitHash)
    }
}

impl From<UnitHash> for String {
    fn from(UnitHash(hash): UnitHash) -> Self {
        format!("{hash:016x}")
    }
}

impl Write for EventBatch {
    fn write(&self, out: &mut String) {
        self.members(Members::of(out)).end();
    }
}

impl EventBatch {
    pub(crate) fn members<'o>(&self, members: Members<'o>) -> Members<'o> {
        let members = members.with("id", &self.id);
        members
            .with_some("exposures", not_empty(&self.exposures))
            .with_some("measurements", not_empty(&self.measurements))
            .with_some("dropped", not_zero(&self.dropped))
    }
}

impl Write for Exposure {
    fn write(&self, out: &mut String) {
        Members::of(out)
            .with("flag", &self.flag)
            .with_some("variant", self.variant.as_ref())
            .with("version", &self.version)
            .with_some("unit", self.unit.as_ref())
            .with_some("bucket", self.bucket.as_ref())
            .with_some("rule", self.rule.as_ref())
            .with("count", &self.count)
            .with("at", &self.at)
            .end();
    }
}

impl Write for Measurement {
    fn write(&self, out: &mut String) {
        Members::of(out)
            .with("metric", &self.metric)
            .with_some("unit", self.unit.as_ref())
            .with_some("value", self.value.as_ref())
            .with("at", &self.at)
            .end();
    }
}

impl Write for UnitHash {
    fn write(&self, out: &mut String) {
        String::from(*self).write(out);
    }
}

fn once() -> u64 {
    1
}

#[cfg(test)]
mod tests {
    use tidegate_core::tree::text;

    use super::*;

    #[test]
    fn batches_have_this_form() {
        let batch = EventBatch {
            id: "b1".to_owned(),
            exposures: vec![Exposure {
                flag: "checkout".to_owned(),
                variant: Some("on".to_owned()),
                version: 4,
                unit: Some(UnitHash::of("ada")),
                bucket: Some(70_001),
                rule: Some("testers".to_owned()),
                count: 2,
                at: 17,
            }],
            measurements: vec![Measurement { metric: "paid".to_owned(), unit: None, value: Some(9.5), at: 18 }],
            dropped: 3,
        };
        let json = r#"{"id":"b1","exposures":[{"flag":"checkout","variant":"on","version":4,"unit":"691d4463952c802f","bucket":70001,"rule":"testers","count":2,"at":17}],"measurements":[{"metric":"paid","value":9.5,"at":18}],"dropped":3}"#;
        assert_eq!(text(&batch), json);
        assert_eq!(serde_json::from_str::<EventBatch>(json).unwrap(), batch);
        let least = r#"{"id":"b2","exposures":[{"flag":"checkout","at":1}]}"#;
        assert_eq!(serde_json::from_str::<EventBatch>(least).unwrap().exposures[0].count, 1);
    }

    #[test]
    fn units_are_hex() {
        assert_eq!(String::from(UnitHash(0x0a)), "000000000000000a");
        for wrong in ["", "a", "000000000000000A", "+00000000000000a", "000000000000000g", "0000000000000000a"] {
            assert!(UnitHash::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }
}

//! Flags and segments as plain data: what a flag file holds, the store keeps and the wire carries.
//!
//! These types accept what a newer server may send: unknown fields are ignored, unknown operators and shapes are kept
//! as they are, and [`compile`](crate::compile) reports them. Whoever takes input from people refuses them instead.

mod read;

use serde::Serialize;
use serde_json::Value as Json;

use crate::{
    bucket::BUCKETS,
    evaluation::{ErrorCode, Reason},
    key::{FlagKey, SegmentKey, VariantKey},
};

/// The flags and segments of one environment: the flag file.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct FlagFile {
    /// Every flag, in any order; keys are unique.
    #[serde(default)]
    pub flags: Vec<FlagConfig>,
    /// Every segment, in any order; keys are unique.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<SegmentConfig>,
}

/// One flag as one environment evaluates it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct FlagConfig {
    /// The flag's key.
    pub key: FlagKey,
    /// What kind of value every variant has.
    pub kind: FlagKind,
    /// Grows by one with each change of the flag in this environment; 0 in hand-written files.
    #[serde(default)]
    pub version: u64,
    /// A disabled flag serves its off variant to everybody.
    #[serde(default)]
    pub enabled: bool,
    /// The kill state: overrides everything else with the off variant until it is lifted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub killed: bool,
    /// At least one; keys are unique.
    pub variants: Vec<Variant>,
    /// What a disabled or killed flag serves; absent: the caller's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub off_variant: Option<VariantKey>,
    /// Decides which bucket a unit falls into. Required where anything is distributed; never change it on a live flag.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub salt: String,
    /// All must hold, else the off variant is served.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prerequisites: Vec<Prerequisite>,
    /// Individual targeting keys, before any rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<Target>,
    /// Tried in order; the first whose conditions all hold (and whose rollout has the unit) serves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// What is served where no target and no rule matched.
    pub default: Serve,
    /// What client keys may see of the flag.
    #[serde(default, skip_serializing_if = "Availability::is_private")]
    pub availability: Availability,
}

/// The kind of a flag's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum FlagKind {
    /// `true` or `false`.
    Boolean,
    /// UTF-8 text.
    String,
    /// A finite double.
    Number,
    /// Any JSON object or array.
    Json,
}

/// A named value of a flag.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Variant {
    /// The variant's key.
    pub key: VariantKey,
    /// A value of the flag's kind.
    pub value: Json,
}

/// Another flag that must serve one of `variants` to the same context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Prerequisite {
    /// The other flag's key.
    pub flag: FlagKey,
    /// The accepted variants of the other flag; at least one.
    pub variants: Vec<VariantKey>,
}

/// Targeting keys that get one variant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The variant served.
    pub variant: VariantKey,
    /// Targeting keys.
    pub values: Vec<String>,
}

/// Conditions, and what is served where they all hold.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Names the rule in evaluations and the audit log; unique within the flag, may be empty in hand-written files.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// AND-ed; none: the rule holds for everybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// What is served.
    pub serve: Serve,
}

/// One variant for all, or a distribution over buckets.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum Serve {
    /// The same variant for everybody.
    Variant(VariantKey),
    /// A variant by the unit's bucket.
    Distribution(Distribution),
}

impl Serve {
    /// The variant that every unit gets; none where there are several, or where some units are not served.
    pub fn variant_for_all(&self) -> Option<&VariantKey> {
        match self {
            Self::Variant(variant) => Some(variant),
            Self::Distribution(Distribution { rollout: Some(rollout), .. }) if rollout.share < BUCKETS => None,
            Self::Distribution(Distribution { split: Split::Weights(weights), .. }) => {
                only(weights.iter().filter(|part| part.weight > 0).map(|part| &part.variant))
            }
            Self::Distribution(Distribution { split: Split::Ranges(ranges), .. }) => {
                only(ranges.iter().filter(|range| range.start < range.end).map(|range| &range.variant))
            }
        }
    }
}

/// What all of them are.
fn only<'v>(mut variants: impl Iterator<Item = &'v VariantKey>) -> Option<&'v VariantKey> {
    let first = variants.next()?;
    variants.all(|variant| variant == first).then_some(first)
}

/// Who is in (`rollout`), and which variant those get (`split`): two independent draws of the same unit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// The attribute whose value is the unit; absent: the targeting key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket_by: Option<String>,
    /// The bucketing algorithm: `xxh3-v1` is the only one yet.
    #[serde(default, skip_serializing_if = "Distribution::is_default_algorithm")]
    pub algorithm: String,
    /// Decides *whether* a unit is served here. One that is not goes on to the next rule, or, after the default, to
    /// the off variant. Absent: every unit is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// The salt of the split, *which* variant; absent: the flag's salt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Which bucket gets which variant.
    #[serde(flatten)]
    pub split: Split,
}

/// The share of units that a distribution serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// The salt of the draw; absent: the flag's salt followed by `/rollout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// Units with a bucket below it are in: 0 (nobody) to 100,000 (everybody).
    pub share: u32,
}

/// A table of buckets, as ranges (stored, sent) or as weights (written by people).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum Split {
    /// Weights that add up to 100,000; laid out from bucket 0 in this order. The server turns them into ranges when a
    /// change is saved, moving the fewest buckets that the new weights allow.
    Weights(Vec<VariantWeight>),
    /// Half-open ranges that cover 0..100,000 without gap or overlap.
    Ranges(Vec<BucketRange>),
}

/// A variant's share of the buckets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct VariantWeight {
    /// The variant.
    pub variant: VariantKey,
    /// 0 to 100,000.
    pub weight: u32,
}

/// The buckets `start..end` get `variant`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct BucketRange {
    /// The first bucket, 0 to 99,999.
    pub start: u32,
    /// One past the last bucket, 1 to 100,000.
    pub end: u32,
    /// The variant.
    pub variant: VariantKey,
}

/// A test of the context, or a group of conditions.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Condition {
    /// Holds where at least one of `any` holds.
    Any {
        /// The members.
        any: Vec<Condition>,
    },
    /// Holds where all of `all` hold.
    All {
        /// The members.
        all: Vec<Condition>,
    },
    /// Holds where none of `none` holds.
    None {
        /// The members.
        none: Vec<Condition>,
    },
    /// A test of one attribute.
    Test(Test),
    /// A shape that this version does not know: never holds. Not part of the schema, which says what people may write.
    Unknown(Json),
}

/// Compares one attribute of the context with fixed values.
///
/// A test of an absent or null attribute, or of one whose type the operator cannot use, never holds, negated or not; a
/// list holds where one of its elements does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Test {
    /// `name`, or, starting with `/`, the JSON Pointer (RFC 6901) of a nested value. `targetingKey` is the targeting
    /// key and `$now` the time of the evaluation. Not used by `segment`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub attribute: String,
    /// The operator's name; one that this version does not know never holds.
    pub operator: String,
    /// The operator's operands; a test holds where it holds for one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Json>,
    /// Turns a decided answer round.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub negate: bool,
    /// For texts under `in`, and for the text operators, `matches` included: compares lower-cased characters.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_case: bool,
}

/// A named set of contexts.
///
/// One rule that cannot be used (an operator that this version does not know, say) makes the whole segment unusable, its
/// members included, and rules that use it never hold: left out, it would widen a rule that negates the segment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SegmentConfig {
    /// The segment's key.
    pub key: SegmentKey,
    /// Grows by one with each change; 0 in hand-written files.
    #[serde(default)]
    pub version: u64,
    /// Targeting keys that are in, whatever the rules say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included: Vec<String>,
    /// Targeting keys that are out, before anything else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded: Vec<String>,
    /// A context is in where one rule holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<SegmentRule>,
}

/// Conditions that put a context into a segment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct SegmentRule {
    /// AND-ed; at least one.
    pub conditions: Vec<Condition>,
}

/// A flag that the server evaluated for one context: what a client key gets of a flag whose rules it may not see.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolvedFlag {
    /// The flag's key.
    pub key: FlagKey,
    /// As in [`FlagConfig`].
    #[serde(default)]
    pub version: u64,
    /// The variant's key; absent: the caller's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<VariantKey>,
    /// The variant's value, which tells the flag's kind; counts only beside a `variant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Json>,
    /// Why this value.
    pub reason: Reason,
    /// Why there is no value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<ErrorCode>,
}

/// What client keys may see of a flag. Server keys see everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub enum Availability {
    /// Nothing.
    #[default]
    Private,
    /// The value that the server evaluated for one context.
    Values,
    /// The rules, to evaluate them locally.
    Rules,
}

impl Availability {
    /// Whether client keys see nothing of the flag.
    pub fn is_private(&self) -> bool {
        *self == Self::Private
    }
}

impl Distribution {
    /// The name of bucketing version 1.
    pub const XXH3_V1: &str = "xxh3-v1";

    fn is_default_algorithm(name: &str) -> bool {
        name == Self::XXH3_V1
    }
}

#[cfg(feature = "schema")]
mod schema {
    use std::borrow::Cow;

    use utoipa::{
        PartialSchema, ToSchema,
        openapi::{
            ArrayBuilder, ObjectBuilder, Ref, RefOr,
            schema::{AdditionalProperties, OneOfBuilder, Schema},
        },
    };

    use super::{Condition, Test};

    /// By hand, because a derived one would have [`Condition::Unknown`], which is valid for everything, so that nothing
    /// would be valid for exactly one.
    impl PartialSchema for Condition {
        fn schema() -> RefOr<Schema> {
            let group = |name, description| {
                let members = ArrayBuilder::new().items(Ref::from_schema_name(Self::name()));
                ObjectBuilder::new()
                    .description(Some(description))
                    .property(name, members)
                    .required(name)
                    .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)))
            };
            OneOfBuilder::new()
                .description(Some("A test of the context, or a group of conditions."))
                .item(group("any", "Holds where at least one of `any` holds."))
                .item(group("all", "Holds where all of `all` hold."))
                .item(group("none", "Holds where none of `none` holds."))
                .item(Ref::from_schema_name(Test::name()))
                .into()
        }
    }

    impl ToSchema for Condition {
        fn name() -> Cow<'static, str> {
            Cow::Borrowed("Condition")
        }

        fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
            schemas.push((Test::name().into_owned(), Test::schema()));
            Test::schemas(schemas);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_serve_that_gives_everybody_one_variant_names_it() {
        let check = |serve: Json, expected: Option<&str>| {
            let read: Serve = serde_json::from_value(serve.clone()).unwrap();
            assert_eq!(read.variant_for_all().map(VariantKey::as_str), expected, "{serve}");
        };
        check(json!({"variant": "on"}), Some("on"));
        let weights = |on: u32| json!([{"variant": "on", "weight": on}, {"variant": "off", "weight": BUCKETS - on}]);
        check(json!({"distribution": {"weights": weights(0)}}), Some("off"));
        check(json!({"distribution": {"weights": weights(1)}}), None);
        let ranges = json!([{"start": 0, "end": 7, "variant": "on"}, {"start": 7, "end": 100_000, "variant": "on"}]);
        check(json!({"distribution": {"ranges": ranges}}), Some("on"));
        check(json!({"distribution": {"ranges": ranges, "rollout": {"share": 99_999}}}), None);
        check(json!({"distribution": {"ranges": ranges, "rollout": {"share": 100_000}}}), Some("on"));
    }
}

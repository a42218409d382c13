//! How configurations are read: what is required, and what an absent member means.

use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use super::{
    Availability, BucketRange, Condition, Distribution, FlagConfig, FlagFile, FlagKind, Prerequisite, ResolvedFlag,
    Rollout, Rule, SegmentConfig, SegmentRule, Serve, Split, Target, Test, Variant, VariantWeight,
};
use crate::{
    evaluation::{ErrorCode, Reason},
    tree::{Fields, Read, ReadError, Tree, deserialize, within},
};

impl Read for FlagFile {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self { flags: fields.or_default("flags")?, segments: fields.or_default("segments")? })
    }
}

impl Read for FlagConfig {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            key: fields.required("key")?,
            kind: fields.required("kind")?,
            version: fields.or_default("version")?,
            enabled: fields.or_default("enabled")?,
            killed: fields.or_default("killed")?,
            variants: fields.required("variants")?,
            off_variant: fields.optional("offVariant")?,
            salt: fields.or_default("salt")?,
            prerequisites: fields.or_default("prerequisites")?,
            targets: fields.or_default("targets")?,
            rules: fields.or_default("rules")?,
            default: fields.required("default")?,
            availability: fields.or_default("availability")?,
        })
    }
}

impl Read for FlagKind {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        tree.one_of(&[
            ("boolean", Self::Boolean),
            ("string", Self::String),
            ("number", Self::Number),
            ("json", Self::Json),
        ])
    }
}

impl Read for Variant {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self { key: fields.required("key")?, value: fields.required("value")? })
    }
}

impl Read for Prerequisite {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self { flag: fields.required("flag")?, variants: fields.required("variants")? })
    }
}

impl Read for Target {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self { variant: fields.required("variant")?, values: fields.required("values")? })
    }
}

impl Read for Rule {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            id: fields.or_default("id")?,
            conditions: fields.or_default("conditions")?,
            serve: fields.required("serve")?,
        })
    }
}

impl Read for Serve {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        match tree.fields()?.only() {
            Some((name @ "variant", tree)) => within(name, tree).map(Self::Variant),
            Some((name @ "distribution", tree)) => within(name, tree).map(Self::Distribution),
            _ => Err(ReadError::new("must have one member, `variant` or `distribution`")),
        }
    }
}

impl Read for Distribution {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            bucket_by: fields.optional("bucketBy")?,
            algorithm: match fields.get("algorithm")? {
                Some(tree) => within("algorithm", tree)?,
                None => Self::XXH3_V1.to_owned(),
            },
            rollout: fields.optional("rollout")?,
            salt: fields.optional("salt")?,
            split: match fields.first_of(&["weights", "ranges"]) {
                Some((name @ "weights", tree)) => within(name, tree).map(Split::Weights)?,
                Some((name, tree)) => within(name, tree).map(Split::Ranges)?,
                None => return Err(ReadError::new("must have `weights` or `ranges`")),
            },
        })
    }
}

impl Read for Rollout {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self { salt: fields.optional("salt")?, share: fields.required("share")? })
    }
}

impl Read for Split {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        match tree.fields()?.only() {
            Some((name @ "weights", tree)) => within(name, tree).map(Self::Weights),
            Some((name @ "ranges", tree)) => within(name, tree).map(Self::Ranges),
            _ => Err(ReadError::new("must have one member, `weights` or `ranges`")),
        }
    }
}

impl Read for VariantWeight {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self { variant: fields.required("variant")?, weight: fields.required("weight")? })
    }
}

impl Read for BucketRange {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            start: fields.required("start")?,
            end: fields.required("end")?,
            variant: fields.required("variant")?,
        })
    }
}

impl Read for Condition {
    /// Never fails: what is neither a group nor a test is [`Condition::Unknown`]. A group has no other member, so that one
    /// with a member that this version does not know is unknown as a whole.
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let only = tree.fields().ok().and_then(Fields::only);
        match only {
            Some(("any", members @ Tree::List(_))) => Ok(Self::Any { any: Vec::read(members)? }),
            Some(("all", members @ Tree::List(_))) => Ok(Self::All { all: Vec::read(members)? }),
            Some(("none", members @ Tree::List(_))) => Ok(Self::None { none: Vec::read(members)? }),
            _ => Test::read(tree).map(Self::Test).or_else(|_| Json::read(tree).map(Self::Unknown)),
        }
    }
}

impl Read for Test {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            attribute: fields.or_default("attribute")?,
            operator: fields.required("operator")?,
            values: fields.or_default("values")?,
            negate: fields.or_default("negate")?,
            ignore_case: fields.or_default("ignoreCase")?,
        })
    }
}

impl Read for SegmentConfig {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            key: fields.required("key")?,
            version: fields.or_default("version")?,
            included: fields.or_default("included")?,
            excluded: fields.or_default("excluded")?,
            rules: fields.or_default("rules")?,
        })
    }
}

impl Read for SegmentRule {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        Ok(Self { conditions: tree.fields()?.required("conditions")? })
    }
}

impl Read for ResolvedFlag {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            key: fields.required("key")?,
            version: fields.or_default("version")?,
            variant: fields.optional("variant")?,
            value: fields.optional("value")?,
            reason: fields.required("reason")?,
            error_code: fields.optional("errorCode")?,
        })
    }
}

impl Read for Availability {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        tree.one_of(&[("private", Self::Private), ("values", Self::Values), ("rules", Self::Rules)])
    }
}

impl Read for Reason {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        tree.one_of(&[
            ("STATIC", Self::Static),
            ("DEFAULT", Self::Default),
            ("TARGETING_MATCH", Self::TargetingMatch),
            ("SPLIT", Self::Split),
            ("CACHED", Self::Cached),
            ("DISABLED", Self::Disabled),
            ("STALE", Self::Stale),
            ("UNKNOWN", Self::Unknown),
            ("ERROR", Self::Error),
        ])
    }
}

impl Read for ErrorCode {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        tree.one_of(&[
            ("PROVIDER_NOT_READY", Self::ProviderNotReady),
            ("FLAG_NOT_FOUND", Self::FlagNotFound),
            ("PARSE_ERROR", Self::ParseError),
            ("TYPE_MISMATCH", Self::TypeMismatch),
            ("TARGETING_KEY_MISSING", Self::TargetingKeyMissing),
            ("INVALID_CONTEXT", Self::InvalidContext),
            ("PROVIDER_FATAL", Self::ProviderFatal),
            ("GENERAL", Self::General),
        ])
    }
}

macro_rules! deserialize {
    ($($name:ident)*) => {
        $(impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserialize(deserializer)
            }
        })*
    };
}

deserialize! {
    FlagFile FlagConfig FlagKind Variant Prerequisite Target Rule Serve Distribution Rollout Split VariantWeight BucketRange
    Condition Test SegmentConfig SegmentRule ResolvedFlag Availability Reason ErrorCode
}

#[cfg(test)]
mod tests {
    use serde::{Serialize, de::DeserializeOwned};
    use serde_json::json;

    use super::*;
    use crate::tree::parse;

    /// Every object of this, and of the next, has every field that there is.
    fn whole_flag() -> Json {
        json!({
            "key": "checkout", "kind": "json", "version": 7, "enabled": true, "killed": true, "offVariant": "off", "salt": "s",
            "variants": [{ "key": "on", "value": { "deep": [1, 2.5, null, "x"] } }, { "key": "off", "value": [] }],
            "prerequisites": [{ "flag": "other", "variants": ["on"] }],
            "targets": [{ "variant": "on", "values": ["ada"] }],
            "rules": [
                { "id": "r", "serve": { "variant": "on" }, "conditions": [
                    { "attribute": "plan", "operator": "in", "values": ["pro", 7], "negate": true, "ignoreCase": true },
                    { "any": [{ "all": [{ "none": [{ "operator": "segment", "values": ["beta"] }] }] }] },
                    { "newer": 1 },
                ] },
                { "id": "s", "serve": { "distribution": {
                    "bucketBy": "org", "algorithm": "newer", "rollout": { "salt": "r", "share": 5 }, "salt": "d",
                    "ranges": [{ "start": 0, "end": 100_000, "variant": "on" }],
                } } },
            ],
            "default": { "distribution": { "weights": [{ "variant": "on", "weight": 100_000 }] } },
            "availability": "rules",
        })
    }

    fn whole_segment() -> Json {
        json!({ "key": "beta", "version": 3, "included": ["ada"], "excluded": ["bob"],
            "rules": [{ "conditions": [{ "attribute": "plan", "operator": "in", "values": ["pro"] }] }] })
    }

    fn reads<T: DeserializeOwned + Read + PartialEq + std::fmt::Debug>(json: &Json) -> T {
        let read = T::deserialize(json).unwrap();
        assert_eq!(parse::<T>(&json.to_string()).unwrap(), read);
        read
    }

    #[track_caller]
    fn check_ignored<T: DeserializeOwned + Read + PartialEq + std::fmt::Debug>(whole: &Json, pointers: &[&str]) {
        let read: T = reads(whole);
        for pointer in pointers {
            let mut more = whole.clone();
            more.pointer_mut(pointer).unwrap()["aNewerField"] = json!({ "key": [] });
            assert_eq!(reads::<T>(&more), read, "{pointer}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(serde_json::to_value(reads::<FlagConfig>(&whole_flag())).unwrap(), whole_flag());
        assert_eq!(serde_json::to_value(reads::<SegmentConfig>(&whole_segment())).unwrap(), whole_segment());
        let file = json!({ "flags": [whole_flag()], "segments": [whole_segment()] });
        assert_eq!(serde_json::to_value(reads::<FlagFile>(&file)).unwrap(), file);
    }

    #[test]
    fn unknown_fields_are_ignored_everywhere() {
        let places = [
            "",
            "/variants/0",
            "/prerequisites/0",
            "/targets/0",
            "/rules/0",
            "/rules/0/conditions/0",
            "/rules/0/conditions/1/any/0/all/0/none/0",
            "/rules/1/serve/distribution",
            "/rules/1/serve/distribution/rollout",
            "/rules/1/serve/distribution/ranges/0",
            "/default/distribution/weights/0",
        ];
        check_ignored::<FlagConfig>(&whole_flag(), &places);
        check_ignored::<SegmentConfig>(&whole_segment(), &["", "/rules/0", "/rules/0/conditions/0"]);
        let file = json!({ "flags": [whole_flag()], "segments": [whole_segment()] });
        check_ignored::<FlagFile>(&file, &["", "/flags/0", "/segments/0"]);
        let resolved = json!({ "key": "checkout", "version": 7, "variant": "on", "value": 1, "reason": "SPLIT" });
        check_ignored::<ResolvedFlag>(&resolved, &[""]);
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let flag = json!({ "key": "a", "kind": "boolean", "variants": [], "default": { "variant": "on" } });
        let expected = json!({ "key": "a", "kind": "boolean", "version": 0, "enabled": false, "variants": [],
            "default": { "variant": "on" } });
        assert_eq!(serde_json::to_value(reads::<FlagConfig>(&flag)).unwrap(), expected);
        assert_eq!(reads::<FlagConfig>(&flag).availability, Availability::Private);
        let segment = SegmentConfig {
            rules: Vec::new(),
            included: Vec::new(),
            excluded: Vec::new(),
            ..reads(&json!({ "key": "a" }))
        };
        assert_eq!((reads::<SegmentConfig>(&json!({ "key": "a" })), segment.version), (segment, 0));
        let distribution: Distribution =
            reads(&json!({ "weights": [], "salt": null, "rollout": null, "bucketBy": null }));
        let Distribution { bucket_by, algorithm, rollout, salt, split } = distribution;
        assert_eq!((bucket_by, algorithm.as_str(), rollout, salt), (None, "xxh3-v1", None, None));
        assert_eq!(split, Split::Weights(Vec::new()));
        assert_eq!(reads::<FlagFile>(&json!({})), FlagFile::default());
    }

    #[test]
    fn conditions_of_other_forms_are_kept_as_they_are() {
        for other in [
            json!(null),
            json!(7),
            json!([]),
            json!({}),
            json!({ "any": 1 }),
            json!({ "any": [], "all": [] }),
            json!({ "operator": 1 }),
            json!({ "operator": "in", "values": {} }),
        ] {
            assert_eq!(reads::<Condition>(&other), Condition::Unknown(other));
        }
    }

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut Json), pointer: &str, message: &str) {
        let mut flag = whole_flag();
        change(&mut flag);
        let error = parse::<FlagConfig>(&flag.to_string()).unwrap_err();
        assert_eq!((error.pointer(), error.message()), (pointer, message));
        assert_eq!(ReadError::told(&FlagConfig::deserialize(&flag).unwrap_err().to_string()), error);
        assert_eq!(ReadError::told(&error.to_string()), error);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        check_refused(|flag| *flag = json!([]), "", "must be an object, not a list");
        check_refused(|flag| drop(flag.as_object_mut().unwrap().remove("kind")), "", "missing field `kind`");
        check_refused(|flag| flag["enabled"] = json!("yes"), "/enabled", "must be `true` or `false`, not a string");
        check_refused(|flag| flag["salt"] = json!(null), "/salt", "must be a string, not null");
        check_refused(
            |flag| flag["version"] = json!(-1),
            "/version",
            "must be a whole number from 0 to 2^64 - 1, not -1",
        );
        let kinds = "there is no `enum` here; there are `boolean`, `string`, `number`, `json`";
        check_refused(|flag| flag["kind"] = json!("enum"), "/kind", kinds);
        check_refused(|flag| flag["variants"][1]["key"] = json!(""), "/variants/1/key", "a key must not be empty");
        check_refused(|flag| flag["targets"] = json!({}), "/targets", "must be a list, not an object");
        let serve = "must have one member, `variant` or `distribution`";
        check_refused(|flag| flag["rules"][0]["serve"]["more"] = json!(1), "/rules/0/serve", serve);
        check_refused(
            |flag| flag["default"] = json!({ "distribution": {} }),
            "/default/distribution",
            "must have `weights` or `ranges`",
        );
        check_refused(
            |flag| flag["default"]["distribution"]["weights"][0]["weight"] = json!(4_294_967_296_u64),
            "/default/distribution/weights/0/weight",
            "must be a whole number from 0 to 2^32 - 1, not 4294967296",
        );
    }

    #[test]
    fn a_field_that_comes_twice_is_refused() {
        let error = parse::<SegmentConfig>(r#"{"key":"a","version":1,"version":2,"x":1,"x":2}"#).unwrap_err();
        assert_eq!(error.to_string(), "/version: is there twice");
        assert!(parse::<SegmentConfig>(r#"{"key":"a","x":1,"x":2}"#).is_ok());
    }

    #[test]
    fn names_are_those_that_are_written() {
        fn check<T: Serialize + Read + PartialEq + std::fmt::Debug>(all: &[T]) {
            for one in all {
                assert_eq!(parse::<T>(&serde_json::to_string(one).unwrap()).unwrap(), *one);
            }
        }
        use {ErrorCode as E, Reason as R};
        check(&[
            R::Static,
            R::Default,
            R::TargetingMatch,
            R::Split,
            R::Cached,
            R::Disabled,
            R::Stale,
            R::Unknown,
            R::Error,
        ]);
        check(&[E::ProviderNotReady, E::FlagNotFound, E::ParseError, E::TypeMismatch, E::TargetingKeyMissing]);
        check(&[E::InvalidContext, E::ProviderFatal, E::General]);
    }
}

//! What people send, read strictly: a wrong or unknown field is refused by its JSON Pointer.
//!
//! The configuration types are tolerant, as SDKs must survive newer servers. People's typing errors must not survive,
//! so a body is parsed, written again, and what did not come back is named.

use serde::{Deserializer, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value as Json};
use serde_path_to_error::Segment;
use tidegate_core::tree::ReadError;

use super::AppError;

/// Reads a body.
///
/// # Errors
/// [`AppError::Invalid`] with the pointer of the field that has the wrong form or that nobody knows.
pub fn parse<T: Serialize + DeserializeOwned>(input: &Json) -> Result<T, AppError> {
    parse_at("", input)
}

/// Reads a part of a body that lies at `pointer`.
///
/// # Errors
/// As [`parse`].
pub fn parse_at<T: Serialize + DeserializeOwned>(pointer: &str, input: &Json) -> Result<T, AppError> {
    let value: T = read_at(pointer, input)?;
    let known = serde_json::to_value(&value).map_err(|error| AppError::invalid(pointer, error.to_string()))?;
    match unknown_field(input, &known) {
        None => Ok(value),
        Some(unknown) => Err(AppError::invalid(format!("{pointer}{unknown}"), "there is no such field here")),
    }
}

/// As [`parse_at`], of what refuses unknown fields by itself.
///
/// # Errors
/// As [`parse`].
pub fn read_at<'de, T: DeserializeOwned>(
    pointer: &str,
    input: impl Deserializer<'de, Error = serde_json::Error>,
) -> Result<T, AppError> {
    serde_path_to_error::deserialize(input).map_err(|error| {
        // What checks itself as a whole tells the rest of the way in its error.
        let told = ReadError::told(&error.inner().to_string());
        // What is missing has a place, too.
        let missing = told.message().strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
        let missing = missing.map(|(name, _)| format!("/{}", escape(name))).unwrap_or_default();
        let place = format!("{pointer}{}{}{missing}", pointer_of(error.path()), told.pointer());
        AppError::invalid(place, told.message())
    })
}

/// Which fields a patch may name.
pub struct Patchable {
    /// Fields that a patch replaces.
    pub fields: &'static [&'static str],
    /// Fields that it may not replace, each with the way out.
    pub fixed: &'static [(&'static str, &'static str)],
}

/// `before` with the fields of `patch` replaced; `null` takes a field back to its default.
///
/// A JSON merge patch (RFC 7396) of the top level. Deeper it would mix the two forms of a union (a variant for all, a
/// distribution), so a field is replaced as a whole.
///
/// # Errors
/// [`AppError::Invalid`] with the pointer of the field.
pub fn patch<T: Serialize + DeserializeOwned>(before: &T, patch: &Json, patchable: &Patchable) -> Result<T, AppError> {
    let Json::Object(patch) = patch else {
        return Err(AppError::invalid("", "a patch is a JSON object"));
    };
    let mut merged = match serde_json::to_value(before) {
        Ok(Json::Object(fields)) => fields,
        Ok(_) => Map::new(),
        Err(error) => return Err(AppError::invalid("", error.to_string())),
    };
    for (name, value) in patch {
        check_patchable(name, patchable)?;
        match value {
            Json::Null => merged.remove(name),
            value => merged.insert(name.clone(), value.clone()),
        };
    }
    parse(&Json::Object(merged))
}

fn check_patchable(name: &str, patchable: &Patchable) -> Result<(), AppError> {
    if patchable.fields.contains(&name) {
        return Ok(());
    }
    let detail = match patchable.fixed.iter().find(|(fixed, _)| *fixed == name) {
        Some((_, way_out)) => (*way_out).to_owned(),
        None => format!("there is no such field here; there are {}", patchable.fields.join(", ")),
    };
    Err(AppError::invalid(format!("/{}", escape(name)), detail))
}

/// The pointer of the first field of `input` that did not make it into `known`.
fn unknown_field(input: &Json, known: &Json) -> Option<String> {
    match (input, known) {
        (Json::Object(input), Json::Object(known)) => input.iter().find_map(|(name, value)| {
            let step = || format!("/{}", escape(name));
            match known.get(name) {
                Some(known) => unknown_field(value, known).map(|rest| step() + &rest),
                None if is_left_out(name, value) => None,
                None => Some(step()),
            }
        }),
        (Json::Array(input), Json::Array(known)) => input
            .iter()
            .zip(known)
            .enumerate()
            .find_map(|(index, (input, known))| unknown_field(input, known).map(|rest| format!("/{index}{rest}"))),
        _ => None,
    }
}

/// Whether the field is one that is not written where it has its default, and has it.
fn is_left_out(name: &str, value: &Json) -> bool {
    match value {
        Json::Null => OPTIONAL.contains(&name),
        Json::Bool(false) => ["killed", "negate", "ignoreCase"].contains(&name),
        Json::String(text) if text.is_empty() => ["salt", "id", "attribute", "description"].contains(&name),
        Json::String(text) => {
            (name == "availability" && text == "private") || (name == "algorithm" && text == "xxh3-v1")
        }
        Json::Array(items) => items.is_empty() && LISTS.contains(&name),
        _ => false,
    }
}

const OPTIONAL: [&str; 12] = [
    "offVariant",
    "bucketBy",
    "rollout",
    "salt",
    "name",
    "color",
    "reason",
    "defaultVariant",
    "flag",
    "tag",
    "credential",
    "url",
];

const LISTS: [&str; 11] = [
    "prerequisites",
    "targets",
    "rules",
    "conditions",
    "values",
    "included",
    "excluded",
    "segments",
    "tags",
    "flags",
    "variants",
];

fn pointer_of(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        let step = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => escape(key),
            Segment::Enum { variant } => escape(variant),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&step);
    }
    pointer
}

/// A reference token of a JSON Pointer (RFC 6901 §3).
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;
    use tidegate_core::FlagConfig;

    use super::*;
    use crate::app::model::FlagEnvironment;

    #[track_caller]
    fn check(change: impl FnOnce(&mut Json), field: Option<&str>) {
        let mut flag = json!({
            "key": "checkout", "kind": "boolean", "enabled": true, "killed": false, "salt": "", "offVariant": null,
            "variants": [{"key": "on", "value": {"free": {"form": []}}}],
            "rules": [{"id": "r", "serve": {"distribution": {"weights": [{"variant": "on", "weight": 100_000}]}},
                "conditions": [{"any": [{"attribute": "plan", "operator": "in", "values": ["pro"], "negate": false}]}]}],
            "default": {"variant": "on"},
        });
        change(&mut flag);
        let refused = match parse::<FlagConfig>(&flag) {
            Ok(_) => None,
            Err(AppError::Invalid { field, .. }) => Some(field),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(refused.as_deref(), field);
    }

    #[test]
    fn a_wrong_or_unknown_field_is_named() {
        check(|_| {}, None);
        check(|flag| drop(flag["default"].as_object_mut().unwrap().remove("variant")), Some("/default"));
        check(|flag| drop(flag["variants"][0].as_object_mut().unwrap().remove("key")), Some("/variants/0/key"));
        check(|flag| flag["enbled"] = json!(false), Some("/enbled"));
        check(|flag| flag["enabled"] = json!("yes"), Some("/enabled"));
        check(|flag| flag["a/b~c"] = json!(1), Some("/a~1b~0c"));
        check(|flag| flag["variants"][0]["key"] = json!("on off"), Some("/variants/0/key"));
        check(|flag| flag["variants"][0]["title"] = json!("On"), Some("/variants/0/title"));
        check(
            |flag| flag["rules"][0]["serve"]["distribution"]["share"] = json!(5),
            Some("/rules/0/serve/distribution/share"),
        );
        check(
            |flag| flag["rules"][0]["conditions"][0]["any"][0]["vals"] = json!([1]),
            Some("/rules/0/conditions/0/any/0/vals"),
        );
    }

    #[test]
    fn what_is_read_at_a_place_is_named_from_there() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Inner {
            #[expect(dead_code, reason = "only read")]
            number: u32,
        }
        #[derive(Debug, Deserialize)]
        struct Outer {
            #[expect(dead_code, reason = "only read")]
            #[serde(rename = "a/b")]
            list: Vec<Inner>,
        }
        let check = |inner: Json, expected: &str| {
            let json = json!({ "a/b": [{ "number": 1 }, inner] });
            let Err(AppError::Invalid { field, .. }) = read_at::<Outer>("/in", &json) else { panic!("{json}") };
            assert_eq!(field, expected);
        };
        check(json!({ "number": "one" }), "/in/a~1b/1/number");
        check(json!({ "number": 1, "x": 1 }), "/in/a~1b/1/x");
        check(json!({}), "/in/a~1b/1/number");
        check(json!(7), "/in/a~1b/1");
    }

    const PATCHABLE: Patchable =
        Patchable { fields: &["enabled", "default", "offVariant"], fixed: &[("salt", "make a new flag")] };

    #[track_caller]
    fn check_patch(patch_json: &Json, expected: Result<Json, (&str, &str)>) {
        let before: FlagEnvironment = serde_json::from_value(json!({
            "enabled": true, "offVariant": "off", "salt": "s",
            "default": {"distribution": {"ranges": [{"start": 0, "end": 100_000, "variant": "on"}]}},
        }))
        .unwrap();
        match (patch(&before, patch_json, &PATCHABLE), expected) {
            (Ok(after), Ok(expected)) => assert_eq!(serde_json::to_value(after).unwrap(), expected),
            (Err(AppError::Invalid { field, detail }), Err(expected)) => {
                assert_eq!((field.as_str(), detail.as_str()), expected);
            }
            (got, _) => panic!("{got:?}"),
        }
    }

    #[test]
    fn a_patch_replaces_whole_fields() {
        check_patch(
            &json!({"default": {"variant": "on"}, "offVariant": null}),
            Ok(json!({"enabled": true, "salt": "s", "default": {"variant": "on"}})),
        );
        check_patch(
            &json!({"enabled": null, "default": {"variant": "x"}}),
            Ok(json!({
            "enabled": false, "offVariant": "off", "salt": "s", "default": {"variant": "x"}})),
        );
        check_patch(&json!({"salt": "t"}), Err(("/salt", "make a new flag")));
        check_patch(
            &json!({"enable": true}),
            Err(("/enable", "there is no such field here; there are enabled, default, offVariant")),
        );
        check_patch(&json!([]), Err(("", "a patch is a JSON object")));
    }
}

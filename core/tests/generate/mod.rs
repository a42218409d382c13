//! Strategies for configurations and contexts: mostly well-formed, so that evaluation gets somewhere, often not.

use proptest::{prelude::*, sample::select};
use serde_json::{Value as Json, json};

const OPERATORS: [&str; 20] = [
    "in",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "lessThan",
    "lessOrEqual",
    "greaterThan",
    "greaterOrEqual",
    "semverEqual",
    "semverLess",
    "semverLessOrEqual",
    "semverGreater",
    "semverGreaterOrEqual",
    "before",
    "after",
    "inCidr",
    "exists",
    "segment",
    "sounds-like",
];

const ATTRIBUTES: [&str; 10] =
    ["plan", "age", "version", "ip", "since", "/org/id", "/tags/0", "targetingKey", "$now", "/bad~"];

const TEXTS: [&str; 24] = [
    "",
    "a",
    "pro",
    "PRO",
    "free",
    "İ",
    "user-1",
    "1.2.3",
    "v2",
    "2.0.0-rc.1+b",
    "10.1.2.3",
    "10.0.0.0/8",
    "::1",
    "fe80::/10",
    "2026-03-01T00:00:00Z",
    "2027-01-01T00:00:00+01:00",
    "^p.o$",
    "(",
    r"\p{L}",
    "a{500}{500}",
    "s0",
    "s1",
    "s2",
    "nowhere",
];

/// A value that an operator, an attribute or nobody can use.
fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        8 => select(&TEXTS).prop_map(|text| json!(text)),
        3 => select(&[-1.5, 0.0, -0.0, 1.0, 17.0, 18.0, 65.0, 1e300, 9_007_199_254_740_993.0, 1_772_319_600_000.0])
            .prop_map(|number| json!(number)),
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => any::<bool>().prop_map(|value| json!(value)),
        1 => Just(Json::Null),
        1 => ".{0,8}".prop_map(|text| json!(text)),
    ]
}

fn value() -> impl Strategy<Value = Json> {
    scalar().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::hash_map(
                select(&["id", "0", "x", "any", "operator"]).prop_map(str::to_owned),
                inner,
                0..3
            )
            .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// An evaluation context, at times without a targeting key, at times with one that is refused.
pub fn context() -> impl Strategy<Value = Json> {
    let names = select(&["plan", "age", "version", "ip", "since", "org", "tags", "targetingKey", "odd"]);
    prop::collection::hash_map(names.prop_map(str::to_owned), value(), 0..8)
        .prop_map(|members| Json::Object(members.into_iter().collect()))
}

fn test() -> impl Strategy<Value = Json> {
    let values = prop::collection::vec(scalar(), 0..12);
    (select(&ATTRIBUTES), select(&OPERATORS), values, any::<bool>(), any::<bool>()).prop_map(
        |(attribute, operator, values, negate, ignore_case)| {
            let values = match operator {
                // Mostly usable operands, as one bad one spoils the rule.
                "segment" => vec![json!(format!("s{}", values.len() % 4))],
                "exists" if values.len() > 2 => vec![],
                _ => values,
            };
            json!({
                "attribute": attribute, "operator": operator, "values": values, "negate": negate, "ignoreCase": ignore_case,
            })
        },
    )
}

fn usable_test() -> impl Strategy<Value = Json> {
    let usable = select(&[
        ("plan", "in", "pro"),
        ("plan", "contains", "r"),
        ("plan", "matches", "^p"),
        ("version", "semverGreater", "1.0"),
        ("since", "before", "2026-06-01T00:00:00Z"),
        ("$now", "after", "2026-06-01T00:00:00Z"),
        ("ip", "inCidr", "10.0.0.0/8"),
        ("/org/id", "in", "a"),
        ("", "segment", "s0"),
    ]);
    (usable, any::<bool>()).prop_map(|((attribute, operator, value), negate)| {
        json!({"attribute": attribute, "operator": operator, "values": [value], "negate": negate})
    })
}

fn condition() -> impl Strategy<Value = Json> {
    prop_oneof![4 => usable_test(), 4 => test(), 1 => value()].prop_recursive(4, 16, 3, |inner| {
        let group = select(&["any", "all", "none"]);
        (group, prop::collection::vec(inner, 0..3)).prop_map(|(group, members)| json!({group: members}))
    })
}

fn conditions() -> impl Strategy<Value = Vec<Json>> {
    prop::collection::vec(condition(), 0..3)
}

fn variant_key() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => select(&["on", "off"]), 1 => Just("gone")]
}

fn distribution() -> impl Strategy<Value = Json> {
    let cut = prop_oneof![Just(0_u32), Just(100_000), 0..=100_000_u32];
    let split = (cut.clone(), variant_key(), variant_key(), 0..12_u32).prop_map(|(cut, first, second, shape)| match shape {
        0 => json!({"weights": [{"variant": first, "weight": cut}]}),
        1 => json!({"ranges": [{"start": 0, "end": cut, "variant": first}, {"start": 5, "end": 100_000, "variant": second}]}),
        2..=6 => json!({"weights": [{"variant": first, "weight": cut}, {"variant": second, "weight": 100_000 - cut}]}),
        _ => json!({"ranges": [{"start": cut, "end": 100_000, "variant": second}, {"start": 0, "end": cut, "variant": first}]}),
    });
    let unit = select(&[None, None, None, Some("plan"), Some("/org/id"), Some("$now"), Some("")]);
    let share = prop::option::of(prop_oneof![9 => cut, 1 => Just(100_001)]);
    (split, unit, share, 0..20_u32).prop_map(|(mut distribution, unit, share, algorithm)| {
        let members = distribution.as_object_mut().unwrap();
        members.extend(unit.map(|unit| ("bucketBy".to_owned(), json!(unit))));
        members.extend(share.map(|share| ("rollout".to_owned(), json!({"share": share}))));
        members.extend((algorithm == 0).then(|| ("algorithm".to_owned(), json!("murmur"))));
        distribution
    })
}

fn serve() -> impl Strategy<Value = Json> {
    prop_oneof![
        variant_key().prop_map(|key| json!({"variant": key})),
        distribution().prop_map(|distribution| json!({"distribution": distribution})),
    ]
}

/// A flag; its prerequisites and segments are among those of [`flag_file`].
pub fn flag(key: &'static str) -> impl Strategy<Value = Json> {
    let rule =
        (conditions(), serve()).prop_map(|(conditions, serve)| json!({"conditions": conditions, "serve": serve}));
    let prerequisite = (select(&["f0", "f1", "f2", "f3", "f9"]), variant_key())
        .prop_map(|(flag, variant)| json!({"flag": flag, "variants": [variant]}));
    let target = (variant_key(), prop::collection::vec(select(&TEXTS), 0..3))
        .prop_map(|(variant, values)| json!({"variant": variant, "values": values}));
    let lists = (
        prop::collection::vec(rule, 0..4),
        prop::collection::vec(prerequisite, 0..2),
        prop::collection::vec(target, 0..2),
    );
    (lists, serve(), prop::option::of(variant_key()), 0..8_u32, 0..12_u32).prop_map(
        move |((rules, prerequisites, targets), default, off, state, oddity)| {
            let mut flag = json!({
                "key": key, "kind": "boolean", "version": 3, "enabled": state != 0, "killed": state == 1,
                "salt": if oddity == 0 { "" } else { "salt" },
                "variants": [{"key": "on", "value": true}, {"key": "off", "value": if oddity == 1 { json!("no") } else { json!(false) }}],
                "prerequisites": prerequisites, "targets": targets, "rules": rules, "default": default,
            });
            if let Some(off) = off {
                flag["offVariant"] = json!(off);
            }
            flag
        },
    )
}

fn segment(key: &'static str) -> impl Strategy<Value = Json> {
    let keys = || prop::collection::vec(select(&TEXTS), 0..12);
    (keys(), keys(), prop::collection::vec(conditions(), 0..2)).prop_map(move |(included, excluded, rules)| {
        let rules: Vec<_> = rules.into_iter().map(|conditions| json!({"conditions": conditions})).collect();
        json!({"key": key, "included": included, "excluded": excluded, "rules": rules})
    })
}

/// Up to five flags and three segments, at times two of one key.
pub fn flag_file() -> impl Strategy<Value = Json> {
    let flags = prop::collection::vec(select(&["f0", "f1", "f2", "f3"]).prop_flat_map(flag), 0..5);
    let segments = prop::collection::vec(select(&["s0", "s1", "s2"]).prop_flat_map(segment), 0..4);
    (flags, segments).prop_map(|(flags, segments)| json!({"flags": flags, "segments": segments}))
}

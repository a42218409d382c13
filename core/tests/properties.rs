//! What holds for every configuration and every context.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that panics has failed, as it should")]

mod generate;

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::json;
use tidegate_core::{
    Change, CompileIssue, Context, Evaluation, FlagConfig, FlagFile, Reason, Ruleset, SegmentConfig, Timestamp,
    bucket::{BUCKETS, Seed},
    compile,
    config::{BucketRange, VariantWeight},
    distribution::reweight,
    evaluate, evaluate_all, explain, tree,
};

const NOW: Timestamp = Timestamp(1_772_319_600_000);

fn flag_file(json: &serde_json::Value) -> FlagFile {
    serde_json::from_value(json.clone()).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn check_consistency(evaluation: &Evaluation<'_>) {
    assert_eq!(evaluation.value.is_some(), evaluation.variant.is_some(), "{evaluation:?}");
    assert_eq!(evaluation.error.is_some(), evaluation.reason == Reason::Error, "{evaluation:?}");
    assert!(evaluation.error.is_none() || evaluation.value.is_none(), "{evaluation:?}");
    assert_eq!(evaluation.bucket.is_some(), evaluation.reason == Reason::Split, "{evaluation:?}");
    assert!(evaluation.bucket.is_none_or(|bucket| bucket < BUCKETS), "{evaluation:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Any configuration, any context: no panic, always an answer, and the explanation is of that answer.
    #[test]
    fn every_flag_has_an_answer(file in generate::flag_file(), context in generate::context()) {
        let (ruleset, issues) = compile(&flag_file(&file));
        prop_assert_eq!(issues.iter().collect::<Vec<_>>(), ruleset.issues().collect::<Vec<_>>());
        let ctx = Context::from_json(&context).unwrap_or_default();
        let mut n_flags = 0;
        for (key, evaluation) in evaluate_all(&ruleset, &ctx, NOW) {
            check_consistency(&evaluation);
            prop_assert_eq!(evaluate(&ruleset, key, &ctx, NOW), evaluation);
            let explanation = explain(&ruleset, key, &ctx, NOW);
            prop_assert_eq!(explanation.evaluation, evaluation);
            prop_assert!(!explanation.steps.is_empty());
            n_flags += 1;
        }
        prop_assert_eq!(ruleset.flag_keys().count(), n_flags);
        prop_assert_eq!(evaluate(&ruleset, "no-such-flag", &ctx, NOW), explain(&ruleset, "no-such-flag", &ctx, NOW).evaluation);
    }

    /// What is wrong with one flag does not change the answer of another that does not refer to it.
    #[test]
    fn a_flag_is_not_affected_by_others(
        alone in generate::flag("alone"), others in generate::flag_file(), context in generate::context(),
    ) {
        let mut alone = alone;
        alone["prerequisites"] = json!([]);
        let segments = others["segments"].clone();
        let mut together = others;
        together["flags"].as_array_mut().unwrap().push(alone.clone());

        let ctx = Context::from_json(&context).unwrap_or_default();
        let (single, _) = compile(&flag_file(&json!({"flags": [alone], "segments": segments})));
        let (all, _) = compile(&flag_file(&together));
        prop_assert_eq!(evaluate(&single, "alone", &ctx, NOW), evaluate(&all, "alone", &ctx, NOW));
    }

    #[test]
    fn configuration_survives_json(file in generate::flag_file()) {
        let file = flag_file(&file);
        let written = serde_json::to_string(&file).unwrap();
        prop_assert_eq!(&tree::parse::<FlagFile>(&written).unwrap(), &file);
        prop_assert_eq!(&serde_json::from_str::<FlagFile>(&written).unwrap(), &file);
        prop_assert_eq!(&serde_json::from_value::<FlagFile>(serde_json::to_value(&file).unwrap()).unwrap(), &file);
    }

    /// Changes one after the other end where compiling the result at once ends, issues included.
    #[test]
    fn updating_is_compiling(
        before in generate::flag_file(), after in generate::flag_file(), n_first in 0_usize..8,
        contexts in prop::collection::vec(generate::context(), 1..4),
    ) {
        let (before, after) = (without_duplicates(flag_file(&before)), without_duplicates(flag_file(&after)));
        let mut first = changes(&before, &after);
        let second = first.split_off(n_first.min(first.len()));

        let (start, _) = compile(&before);
        let (middle, _) = start.update(first);
        let (updated, reported) = middle.update(second);
        let (compiled, issues) = compile(&after);

        prop_assert_eq!(updated.issues().collect::<Vec<_>>(), issues.iter().collect::<Vec<_>>());
        for context in &contexts {
            let ctx = Context::from_json(context).unwrap_or_default();
            let answers = |ruleset| evaluate_all(ruleset, &ctx, NOW).map(|(key, answer)| (key.to_owned(), format!("{answer:?}"))).collect::<Vec<_>>();
            prop_assert_eq!(answers(&updated), answers(&compiled));
        }
        // An update reports what is new in it, and nothing that is not there.
        let known: HashSet<CompileIssue> = middle.issues().cloned().collect();
        let now: HashSet<&CompileIssue> = issues.iter().collect();
        prop_assert!(reported.iter().all(|issue| now.contains(issue)));
        prop_assert!(issues.iter().all(|issue| known.contains(issue) || reported.contains(issue)));
    }

    /// The first rule whose conditions hold serves; a model that knows which do says which.
    #[test]
    fn the_first_rule_that_holds_serves(rules in prop::collection::vec(prop::collection::vec(any::<bool>(), 0..4), 0..6)) {
        let test = |holds: bool| json!({"attribute": "yes", "operator": "in", "values": [holds]});
        let conditions = |tests: &[bool]| tests.iter().map(|holds| test(*holds)).collect::<Vec<_>>();
        let rules_json: Vec<_> = rules.iter().map(|tests| json!({"conditions": conditions(tests), "serve": {"variant": "on"}})).collect();
        let (ruleset, _) = compile(&flag_file(&json!({"flags": [{
            "key": "f", "kind": "boolean", "enabled": true, "rules": rules_json, "default": {"variant": "off"},
            "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        }]})));
        let expected = rules.iter().position(|tests| tests.iter().all(|holds| *holds));
        let evaluation = evaluate(&ruleset, "f", &Context::anonymous().with("yes", true), NOW);
        prop_assert_eq!(evaluation.rule.map(|(index, _)| index), expected);
        prop_assert_eq!(evaluation.variant, Some(if expected.is_some() { "on" } else { "off" }));
    }

    /// Raising a share only adds units, and lowering it takes away those added last, whichever way it is written.
    #[test]
    fn ramps_are_monotone(low in 0..=BUCKETS, high in 0..=BUCKETS, units in prop::collection::vec("[a-z0-9-]{0,12}", 1..50)) {
        let (low, high) = (low.min(high), low.max(high));
        let up = [low, high];
        let down = [high, low];
        for shares in [up, down] {
            let mut ranges = Vec::new();
            let rulesets = shares.map(|share| {
                ranges = reweight(&ranges, &weights(share));
                (share, ramp(&json!({"ranges": ranges})), ramp(&json!({"weights": [{"variant": "on", "weight": BUCKETS}], "rollout": {"share": share}})))
            });
            for unit in &units {
                let ctx = Context::new(unit.as_str());
                let is_on = |ruleset| evaluate(ruleset, "f", &ctx, NOW).variant == Some("on");
                for (share, split, rollout) in &rulesets {
                    prop_assert_eq!(is_on(split), Seed::new("salt").bucket(unit) < *share);
                    prop_assert_eq!(is_on(rollout), Seed::new("salt/rollout").bucket(unit) < *share);
                }
            }
        }
    }
}

fn weights(share: u32) -> Vec<VariantWeight> {
    let weight = |key: &str, weight| VariantWeight { variant: key.parse().unwrap(), weight };
    vec![weight("on", share), weight("off", BUCKETS - share)]
}

fn ramp(distribution: &serde_json::Value) -> Ruleset {
    let (ruleset, issues) = compile(&flag_file(&json!({"flags": [{
        "key": "f", "kind": "boolean", "enabled": true, "salt": "salt", "offVariant": "off",
        "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
        "default": {"distribution": distribution},
    }]})));
    assert_eq!(issues, []);
    ruleset
}

fn without_duplicates(mut file: FlagFile) -> FlagFile {
    let (mut flags, mut segments) = (HashSet::new(), HashSet::new());
    file.flags.retain(|flag| flags.insert(flag.key.clone()));
    file.segments.retain(|segment| segments.insert(segment.key.clone()));
    file
}

/// What leads from `before` to `after`.
fn changes(before: &FlagFile, after: &FlagFile) -> Vec<Change> {
    let gone = |flag: &&FlagConfig| !after.flags.iter().any(|kept| kept.key == flag.key);
    let gone_segment = |segment: &&SegmentConfig| !after.segments.iter().any(|kept| kept.key == segment.key);
    let deletes = before.flags.iter().filter(gone).map(|flag| Change::DeleteFlag(flag.key.clone()));
    let segment_deletes =
        before.segments.iter().filter(gone_segment).map(|segment| Change::DeleteSegment(segment.key.clone()));
    let puts = after.flags.iter().filter(|flag| !before.flags.contains(flag)).cloned().map(Change::PutFlag);
    let segment_puts =
        after.segments.iter().filter(|segment| !before.segments.contains(segment)).cloned().map(Change::PutSegment);
    deletes.chain(segment_puts).chain(puts).chain(segment_deletes).collect()
}

/// *Whether* and *which* are independent draws: in a 10 × 10 table of 100,000 units, chi-squared stays below its 99.9 %
/// quantile for 81 degrees of freedom, 126.1. The units are fixed, so that this passes or fails for good.
#[test]
fn the_two_salts_of_a_distribution_are_independent() {
    for salt in ["salt", "checkout-2026", "", "01J9Z3T5W8KXQ4N7V2B6M0C1DE"] {
        let (which, whether) = (Seed::new(salt), Seed::new(&format!("{salt}/rollout")));
        let mut counts = [[0_u32; 10]; 10];
        for unit in 0..100_000 {
            let unit = format!("user-{unit}");
            counts[(which.bucket(&unit) / 10_000) as usize][(whether.bucket(&unit) / 10_000) as usize] += 1;
        }
        let row = |index: usize| f64::from(counts[index].iter().sum::<u32>());
        let column = |index: usize| f64::from(counts.iter().map(|row| row[index]).sum::<u32>());
        let cells = (0..10).flat_map(|i| (0..10).map(move |j| (i, j)));
        let chi_squared: f64 = cells
            .map(|(i, j)| {
                let expected = row(i) * column(j) / 100_000.0;
                (f64::from(counts[i][j]) - expected).powi(2) / expected
            })
            .sum();
        assert!(chi_squared < 126.1, "salt {salt:?}: {chi_squared}");
    }
}

/// Buckets are even: 10,000 units per tenth, within what chance allows.
#[test]
fn ranges_get_their_share() {
    let ranges = [
        BucketRange { start: 0, end: 25_000, variant: "on".parse().unwrap() },
        BucketRange { start: 25_000, end: BUCKETS, variant: "off".parse().unwrap() },
    ];
    let ruleset = ramp(&json!({"ranges": ranges}));
    let n_units = 100_000;
    let is_on = |unit: u32| evaluate(&ruleset, "f", &Context::new(format!("user-{unit}")), NOW).variant == Some("on");
    let n_on = u32::try_from((0..n_units).filter(|unit| is_on(*unit)).count()).unwrap();
    // Four standard deviations of a binomial: sqrt(100,000 × ¼ × ¾) = 137.
    assert!(n_on.abs_diff(n_units / 4) < 548, "{n_on}");
}

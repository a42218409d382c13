//! How much of everything there may be. One place, so that the documentation and the checks agree.

use super::{
    AppError,
    metric_sources::MetricSource,
    model::{Environment, Flag, FlagEnvironment, Project, Segment},
};
use tidegate_core::config::{Condition, Rule, Serve, Split};

/// The longest name, in characters.
pub const MAX_NAME: usize = 200;
/// The longest description, in characters.
pub const MAX_DESCRIPTION: usize = 10_000;
/// The longest reason, in characters.
pub const MAX_REASON: usize = 1_000;
/// Projects of an instance.
pub const MAX_PROJECTS: usize = 1_000;
/// Environments of a project.
pub const MAX_ENVIRONMENTS: usize = 50;
/// Metric sources of a project.
pub const MAX_METRIC_SOURCES: u32 = 50;
/// The longest address of another system, in bytes.
pub const MAX_URL: usize = 2_000;
/// Tags of a flag.
pub const MAX_TAGS: usize = 50;
/// The longest tag, in characters.
pub const MAX_TAG: usize = 100;
/// Variants of a flag.
pub const MAX_VARIANTS: usize = 100;
/// The longest value of a variant, in bytes of JSON.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;
/// Prerequisites of a flag.
pub const MAX_PREREQUISITES: usize = 50;
/// Individual targeting keys of a flag, over all variants; more belong into a segment.
pub const MAX_TARGETS: usize = 10_000;
/// Rules of a flag or segment.
pub const MAX_RULES: usize = 200;
/// Conditions of a rule, those in groups included.
pub const MAX_CONDITIONS: usize = 200;
/// Groups within groups.
pub const MAX_CONDITION_DEPTH: usize = 10;
/// Values of all conditions of a rule together; more belong into a segment.
pub const MAX_CONDITION_VALUES: usize = 10_000;
/// Weights of a distribution. Ranges may be more: least movement splits them.
pub const MAX_WEIGHTS: usize = MAX_VARIANTS;
/// Ranges of a distribution.
pub const MAX_RANGES: usize = 10_000;
/// Members of a segment, included and excluded together.
pub const MAX_SEGMENT_MEMBERS: usize = 500_000;
/// The longest targeting key or condition text, in bytes.
pub const MAX_TEXT_BYTES: usize = 2_048;
/// Flags of a flag file.
pub const MAX_FILE_FLAGS: usize = 50_000;
/// Segments of a flag file.
pub const MAX_FILE_SEGMENTS: usize = 10_000;

/// Refuses a project that is too big.
pub fn check_project(project: &Project) -> Result<(), AppError> {
    check_name("/name", &project.name)
}

/// Refuses an environment that is too big, or whose color is none.
pub fn check_environment(environment: &Environment) -> Result<(), AppError> {
    check_name("/name", &environment.name)?;
    check_length("/freezes", environment.freezes.len(), tidegate_rollout::window::MAX_WINDOWS, "freezes")?;
    let is_color = |color: &str| {
        color.strip_prefix('#').is_some_and(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    match environment.color.as_deref() {
        Some(color) if !is_color(color) => Err(AppError::invalid("/color", "a color looks like `#d92d20`")),
        _ => Ok(()),
    }
}

/// Refuses a metric source that is too big.
pub fn check_metric_source(source: &MetricSource) -> Result<(), AppError> {
    check_name("/name", &source.name)?;
    check_length("/description", source.description.chars().count(), MAX_DESCRIPTION, "characters")?;
    check_length("/url", source.url.len(), MAX_URL, "bytes")?;
    check_length("/credential", source.credential.as_deref().unwrap_or_default().len(), MAX_NAME, "bytes")
}

/// Refuses a flag that is too big.
pub fn check_flag(flag: &Flag) -> Result<(), AppError> {
    check_name("/name", &flag.name)?;
    check_length("/description", flag.description.chars().count(), MAX_DESCRIPTION, "characters")?;
    check_length("/tags", flag.tags.len(), MAX_TAGS, "tags")?;
    for (index, tag) in flag.tags.iter().enumerate() {
        let field = format!("/tags/{index}");
        check_length(&field, tag.chars().count(), MAX_TAG, "characters")?;
        if tag.is_empty() || tag.chars().any(char::is_control) {
            return Err(AppError::invalid(field, "a tag has at least one character, and no control characters"));
        }
    }
    check_length("/variants", flag.variants.len(), MAX_VARIANTS, "variants")?;
    for (index, variant) in flag.variants.iter().enumerate() {
        let field = format!("/variants/{index}");
        check_length(&format!("{field}/value"), variant.value.to_string().len(), MAX_VALUE_BYTES, "bytes of JSON")?;
        if let Some(name) = &variant.name {
            check_name(&format!("{field}/name"), name)?;
        }
    }
    Ok(())
}

/// Refuses a configuration that is too big.
pub fn check_configuration(configuration: &FlagEnvironment) -> Result<(), AppError> {
    check_length("/prerequisites", configuration.prerequisites.len(), MAX_PREREQUISITES, "prerequisites")?;
    for (index, prerequisite) in configuration.prerequisites.iter().enumerate() {
        let field = format!("/prerequisites/{index}/variants");
        check_length(&field, prerequisite.variants.len(), MAX_VARIANTS, "variants")?;
    }
    check_length("/targets", configuration.targets.len(), MAX_VARIANTS, "targets")?;
    let mut n_targets = 0;
    for (index, target) in configuration.targets.iter().enumerate() {
        let field = format!("/targets/{index}/values");
        n_targets += target.values.len();
        check_length(&field, n_targets, MAX_TARGETS, "targeting keys in all targets; use a segment")?;
        check_texts(&field, &target.values)?;
    }
    check_length("/rules", configuration.rules.len(), MAX_RULES, "rules")?;
    for (index, rule) in configuration.rules.iter().enumerate() {
        let Rule { id, conditions, serve } = rule;
        check_length(&format!("/rules/{index}/id"), id.len(), tidegate_core::key::MAX_KEY_BYTES, "bytes")?;
        check_conditions(&format!("/rules/{index}/conditions"), conditions)?;
        check_serve(&format!("/rules/{index}/serve"), serve)?;
    }
    check_serve("/default", &configuration.default)
}

/// Refuses a segment that is too big.
pub fn check_segment(segment: &Segment) -> Result<(), AppError> {
    check_name("/name", &segment.name)?;
    check_length("/description", segment.description.chars().count(), MAX_DESCRIPTION, "characters")?;
    check_length("/included", segment.included.len(), MAX_SEGMENT_MEMBERS, "members")?;
    check_length(
        "/excluded",
        segment.included.len() + segment.excluded.len(),
        MAX_SEGMENT_MEMBERS,
        "members, included and excluded together",
    )?;
    check_texts("/included", &segment.included)?;
    check_texts("/excluded", &segment.excluded)?;
    check_length("/rules", segment.rules.len(), MAX_RULES, "rules")?;
    for (index, rule) in segment.rules.iter().enumerate() {
        check_conditions(&format!("/rules/{index}/conditions"), &rule.conditions)?;
    }
    Ok(())
}

/// Refuses a reason that is too long, or none where one is needed.
pub fn check_reason(reason: &str) -> Result<(), AppError> {
    // No database keeps it in a text.
    if reason.contains('\0') {
        return Err(AppError::invalid("/reason", "a reason has no NUL character"));
    }
    check_length("/reason", reason.chars().count(), MAX_REASON, "characters")
}

/// Refuses a name that is empty or too long.
pub fn check_name(field: &str, name: &str) -> Result<(), AppError> {
    if name.trim().is_empty() {
        return Err(AppError::invalid(field, "a name has at least one character"));
    }
    if name.chars().any(char::is_control) {
        return Err(AppError::invalid(field, "a name has no control characters"));
    }
    check_length(field, name.chars().count(), MAX_NAME, "characters")
}

fn check_serve(field: &str, serve: &Serve) -> Result<(), AppError> {
    let Serve::Distribution(distribution) = serve else { return Ok(()) };
    let field = format!("{field}/distribution");
    match &distribution.split {
        Split::Weights(weights) => check_length(&format!("{field}/weights"), weights.len(), MAX_WEIGHTS, "weights"),
        Split::Ranges(ranges) => check_length(&format!("{field}/ranges"), ranges.len(), MAX_RANGES, "ranges"),
    }
}

fn check_conditions(field: &str, conditions: &[Condition]) -> Result<(), AppError> {
    let mut count = ConditionCount::default();
    count.add_all(conditions, 1);
    check_length(field, count.n_conditions, MAX_CONDITIONS, "conditions")?;
    check_length(field, count.depth, MAX_CONDITION_DEPTH, "groups within groups")?;
    check_length(field, count.n_values, MAX_CONDITION_VALUES, "values; use a segment")?;
    check_length(field, count.longest_text, MAX_TEXT_BYTES, "bytes in a text")
}

#[derive(Default)]
struct ConditionCount {
    n_conditions: usize,
    depth: usize,
    n_values: usize,
    longest_text: usize,
}

impl ConditionCount {
    /// Recursion is bounded: `serde_json` refuses more than 128 levels.
    fn add_all(&mut self, conditions: &[Condition], depth: usize) {
        self.depth = self.depth.max(depth);
        self.n_conditions += conditions.len();
        for condition in conditions {
            match condition {
                Condition::Any { any: members }
                | Condition::All { all: members }
                | Condition::None { none: members } => {
                    self.add_all(members, depth + 1);
                }
                Condition::Test(test) => {
                    self.n_values += test.values.len();
                    let texts = test.values.iter().filter_map(|value| value.as_str()).chain([test.attribute.as_str()]);
                    self.longest_text = texts.map(str::len).fold(self.longest_text, usize::max);
                }
                Condition::Unknown(_) => {}
            }
        }
    }
}

fn check_texts(field: &str, texts: &[String]) -> Result<(), AppError> {
    match texts.iter().position(|text| text.is_empty() || text.len() > MAX_TEXT_BYTES) {
        None => Ok(()),
        Some(index) => Err(AppError::invalid(
            format!("{field}/{index}"),
            format!("a targeting key has 1 to {MAX_TEXT_BYTES} bytes"),
        )),
    }
}

/// Refuses more than `max`.
pub fn check_length(field: &str, length: usize, max: usize, of_what: &str) -> Result<(), AppError> {
    if length <= max {
        return Ok(());
    }
    Err(AppError::invalid(field, format!("{length} is too many: at most {max} {of_what}")))
}

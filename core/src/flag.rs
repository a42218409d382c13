//! Flags, compiled one by one. What they refer to is found by [linking](crate::link).

use std::sync::Arc;

use serde_json::Value as Json;

use crate::{
    attribute::Attribute,
    bucket::{BUCKETS, Seed},
    condition::{Condition, ConditionCompiler, SegmentUse},
    config::{self, Availability, BucketRange, FlagConfig, FlagKind, ResolvedFlag, Serve, Split},
    distribution,
    evaluate::Why,
    evaluation::FlagValue,
    issue::{CompileIssue, Issues, Path, Severity},
    key::{FlagKey, VariantKey},
    limits,
    ordinal::Ordinal,
    text::{TextMap, TextSet},
};

/// A compiled flag.
#[derive(Debug)]
pub(crate) struct Flag {
    pub(crate) key: FlagKey,
    pub(crate) version: u64,
    pub(crate) availability: Availability,
    pub(crate) state: State,
    pub(crate) variants: Box<[Variant]>,
    /// The off variant.
    pub(crate) off: Option<Ordinal>,
    pub(crate) prerequisites: Box<[config::Prerequisite]>,
    /// The variants of individual targeting keys.
    pub(crate) targets: TextMap<Ordinal>,
    pub(crate) rules: Box<[Rule]>,
    pub(crate) default: Outlet,
    pub(crate) uses: Box<[SegmentUse]>,
    pub(crate) cost: u32,
    pub(crate) issues: Box<[CompileIssue]>,
}

/// What decides before prerequisites, targets and rules do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The variants or the off variant cannot be used: not even killing helps.
    Unreadable,
    Killed,
    Disabled,
    /// Something that would have to be looked at cannot be used.
    Broken,
    Live,
    /// The server looked at everything, for one context: its only variant, if there is one, is the answer.
    Resolved(Why),
}

/// A variant with its parsed value.
#[derive(Debug)]
pub(crate) struct Variant {
    pub(crate) key: VariantKey,
    pub(crate) value: FlagValue,
}

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: Box<str>,
    /// `None`: a condition cannot be used, and the rule never holds.
    pub(crate) conditions: Option<Box<[Condition]>>,
    pub(crate) serve: Outlet,
}

/// What a rule, or the default, serves.
#[derive(Debug)]
pub(crate) enum Outlet {
    /// One variant to everybody.
    Variant(Ordinal),
    /// Nothing to anybody: a rollout with a share of 0.
    Nobody,
    /// By bucket.
    Draw(Box<Draw>),
}

/// A compiled distribution that needs a bucket.
#[derive(Debug)]
pub(crate) struct Draw {
    /// Where the unit comes from.
    pub(crate) unit: Attribute,
    /// Whether: the seed, and the first bucket that is out. `None`: everybody is in.
    pub(crate) rollout: Option<(Seed, u32)>,
    /// Which.
    pub(crate) split: Which,
}

/// Which variant those get who are in.
#[derive(Debug)]
pub(crate) enum Which {
    One(Ordinal),
    /// Each range's end and variant, in order, covering all buckets.
    Table(Seed, Box<[(u32, Ordinal)]>),
}

impl Flag {
    pub(crate) fn compile(config: &FlagConfig) -> Self {
        let mut issues = Issues::of_flag(&config.key);
        let variants = variants(config, &mut issues);
        let readable = variants.is_some();
        let variants = variants.unwrap_or_default();
        let mut parts = Parts { config, variants: &variants, issues: &mut issues };

        let off_path = Path::Root.field("offVariant");
        let off = config.off_variant.as_ref().map(|off| parts.variant(off, &off_path));
        // Without variants, everything below would be reported to name unknown ones.
        let readable = readable && off != Some(None);
        let off = off.flatten();
        if !readable {
            let unreadable = Self::unreadable(config.key.clone(), issues.finish());
            return Self { version: config.version, availability: config.availability, ..unreadable };
        }

        let targets = parts.targets();
        let default = parts.outlet(&config.default, &Path::Root.field("default"));
        let mut serves = Vec::with_capacity(config.rules.len());
        for (index, rule) in config.rules.iter().enumerate() {
            serves.push(parts.outlet(&rule.serve, &Path::Root.field("rules").index(index).field("serve")));
        }
        parts.check_rules(&serves);
        parts.check_prerequisites();

        let mut compiler = ConditionCompiler::new(&mut issues);
        let mut rules = Vec::with_capacity(config.rules.len());
        for (index, (rule, serve)) in config.rules.iter().zip(serves).enumerate() {
            compiler.rule = index;
            let conditions =
                compiler.conditions(&rule.conditions, &Path::Root.field("rules").index(index).field("conditions"), 0);
            rules.push(Rule { id: rule.id.as_str().into(), conditions, serve: serve.unwrap_or(Outlet::Nobody) });
        }
        let ConditionCompiler { uses, cost, .. } = compiler;

        let state = match issues.worst() {
            _ if config.killed => State::Killed,
            _ if !config.enabled => State::Disabled,
            Some(Severity::FlagBroken) => State::Broken,
            _ => State::Live,
        };
        Self {
            key: config.key.clone(),
            version: config.version,
            availability: config.availability,
            state,
            variants,
            off,
            prerequisites: config.prerequisites.as_slice().into(),
            targets: targets.unwrap_or_default(),
            rules: rules.into(),
            default: default.unwrap_or(Outlet::Nobody),
            uses: uses.into(),
            cost: cost.saturating_add(u32::try_from(config.rules.len()).unwrap_or(u32::MAX)),
            issues: issues.finish(),
        }
    }

    /// A flag that answers what the server says, whatever the context.
    pub(crate) fn resolved(resolved: ResolvedFlag) -> Self {
        let ResolvedFlag { key, version, variant, value: json, reason, error_code } = resolved;
        let mut issues = Issues::of_flag(&key);
        let variants = match (variant, json.as_ref().and_then(|json| value(kind_of(json)?, json))) {
            (Some(key), Some(value)) => Box::new([Variant { key, value }]) as Box<[_]>,
            (Some(_), None) => {
                let message = "a variant needs a value of one of the four kinds".to_owned();
                issues.report(Severity::FlagBroken, "wrong_value_kind", Path::Root.field("value"), message);
                let issues = issues.finish();
                return Self { version, ..Self::unreadable(key, issues) };
            }
            (None, _) => Box::default(),
        };
        let issues = issues.finish();
        let state = State::Resolved(Why::told(reason, error_code));
        Self { version, state, variants, ..Self::unreadable(key, issues) }
    }

    /// A flag whose configuration cannot be used at all.
    pub(crate) fn broken(key: FlagKey, code: &'static str, message: String) -> Self {
        let mut issues = Issues::of_flag(&key);
        issues.report(Severity::FlagBroken, code, Path::Root, message);
        let issues = issues.finish();
        Self::unreadable(key, issues)
    }

    fn unreadable(key: FlagKey, issues: Box<[CompileIssue]>) -> Self {
        Self {
            key,
            version: 0,
            availability: Availability::Private,
            state: State::Unreadable,
            variants: Box::default(),
            off: None,
            prerequisites: Box::default(),
            targets: TextMap::default(),
            rules: Box::default(),
            default: Outlet::Nobody,
            uses: Box::default(),
            cost: 0,
            issues,
        }
    }
}

/// The variants; `None` where one cannot be used.
fn variants(config: &FlagConfig, issues: &mut Issues<'_>) -> Option<Box<[Variant]>> {
    let path = Path::Root.field("variants");
    if config.variants.is_empty() {
        issues.report(Severity::FlagBroken, "no_variants", path, "a flag needs a variant");
        return None;
    }
    let mut keys = TextSet::default();
    let mut compiled = Vec::with_capacity(config.variants.len());
    for (index, variant) in config.variants.iter().enumerate() {
        let path = path.index(index);
        let unique = keys.insert(variant.key.as_str());
        if !unique {
            let message = format!("another variant has the key `{}`", variant.key);
            issues.report(Severity::FlagBroken, "duplicate_variant", path.field("key"), message);
        }
        let value = value(config.kind, &variant.value);
        if value.is_none() {
            let message = format!("the value must be {}, as the flag's kind says", expected(config.kind));
            issues.report(Severity::FlagBroken, "wrong_value_kind", path.field("value"), message);
        }
        compiled.extend(value.filter(|_| unique).map(|value| Variant { key: variant.key.clone(), value }));
    }
    (compiled.len() == config.variants.len()).then(|| compiled.into())
}

fn value(kind: FlagKind, json: &Json) -> Option<FlagValue> {
    match (kind, json) {
        (FlagKind::Boolean, Json::Bool(value)) => Some(FlagValue::Boolean(*value)),
        (FlagKind::String, Json::String(value)) => Some(FlagValue::String(Arc::from(value.as_str()))),
        (FlagKind::Number, Json::Number(value)) => {
            value.as_f64().filter(|value| value.is_finite()).map(FlagValue::Number)
        }
        (FlagKind::Json, Json::Object(_) | Json::Array(_)) => Some(FlagValue::Json(Arc::new(json.clone()))),
        _ => None,
    }
}

fn kind_of(json: &Json) -> Option<FlagKind> {
    match json {
        Json::Bool(_) => Some(FlagKind::Boolean),
        Json::String(_) => Some(FlagKind::String),
        Json::Number(_) => Some(FlagKind::Number),
        Json::Object(_) | Json::Array(_) => Some(FlagKind::Json),
        Json::Null => None,
    }
}

fn expected(kind: FlagKind) -> &'static str {
    match kind {
        FlagKind::Boolean => "`true` or `false`",
        FlagKind::String => "a string",
        FlagKind::Number => "a number",
        FlagKind::Json => "a JSON object or array",
    }
}

/// Compiles what names the variants of a flag.
struct Parts<'a, 'k> {
    config: &'a FlagConfig,
    variants: &'a [Variant],
    issues: &'a mut Issues<'k>,
}

impl Parts<'_, '_> {
    fn variant(&mut self, key: &VariantKey, path: &Path<'_>) -> Option<Ordinal> {
        let found = self.known_variant(key);
        if found.is_none() {
            self.broken::<()>("unknown_variant", path, format!("the flag has no variant `{key}`"));
        }
        found
    }

    fn targets(&mut self) -> Option<TextMap<Ordinal>> {
        let path = Path::Root.field("targets");
        let mut keys: Vec<(&str, Ordinal)> = Vec::new();
        let mut known = TextSet::default();
        for (index, target) in self.config.targets.iter().enumerate() {
            let path = path.index(index);
            let variant = self.variant(&target.variant, &path.field("variant"));
            let values = path.field("values");
            for (index, value) in target.values.iter().enumerate() {
                if value.len() > limits::TEXT_BYTES {
                    let message = format!("a targeting key has at most {} bytes", limits::TEXT_BYTES);
                    self.broken::<()>("too_long", &values.index(index), message);
                } else if !known.insert(value) {
                    let message = format!("the targeting key `{value}` is listed before; the first entry counts");
                    self.warn("duplicate_target", &values.index(index), message);
                } else {
                    keys.extend(variant.map(|variant| (value.as_str(), variant)));
                }
            }
        }
        if keys.len() > limits::MEMBERS {
            let message = format!("targets list at most {} keys; use a segment", limits::MEMBERS);
            return self.broken("too_many", &path, message);
        }
        Some(TextMap::new(&keys))
    }

    fn outlet(&mut self, serve: &Serve, path: &Path<'_>) -> Option<Outlet> {
        match serve {
            Serve::Variant(key) => self.variant(key, &path.field("variant")).map(Outlet::Variant),
            Serve::Distribution(distribution) => self.draw(distribution, &path.field("distribution")),
        }
    }

    fn draw(&mut self, distribution: &config::Distribution, path: &Path<'_>) -> Option<Outlet> {
        if distribution.algorithm != config::Distribution::XXH3_V1 {
            let message = format!(
                "this version does not know the bucketing algorithm `{}`; it knows `{}`",
                distribution.algorithm,
                config::Distribution::XXH3_V1
            );
            return self.broken("unknown_algorithm", &path.field("algorithm"), message);
        }
        let unit = match distribution.bucket_by.as_deref().map_or(Ok(Attribute::TargetingKey), Attribute::parse) {
            Ok(Attribute::Now) => {
                self.broken("bad_attribute", &path.field("bucketBy"), "the time is no unit: its bucket changes")
            }
            Ok(attribute) => Some(attribute),
            Err(message) => self.broken("bad_attribute", &path.field("bucketBy"), message),
        };
        let rollout = match &distribution.rollout {
            None => Some(None),
            Some(rollout) => self.rollout(rollout, &path.field("rollout")).map(Some),
        };
        let split = self.split(distribution, path);
        match (unit?, rollout?, split?) {
            (_, Some(Share::Nobody), _) => Some(Outlet::Nobody),
            (_, None | Some(Share::Everybody), Which::One(variant)) => Some(Outlet::Variant(variant)),
            (unit, None | Some(Share::Everybody), split) => {
                Some(Outlet::Draw(Box::new(Draw { unit, rollout: None, split })))
            }
            (unit, Some(Share::Below(seed, share)), split) => {
                Some(Outlet::Draw(Box::new(Draw { unit, rollout: Some((seed, share)), split })))
            }
        }
    }

    fn rollout(&mut self, rollout: &config::Rollout, path: &Path<'_>) -> Option<Share> {
        match rollout.share {
            0 => Some(Share::Nobody),
            BUCKETS => Some(Share::Everybody),
            share if share < BUCKETS => {
                let salt = match &rollout.salt {
                    Some(salt) => salt.clone(),
                    None => format!("{}/rollout", self.flag_salt(path)?),
                };
                Some(Share::Below(Seed::new(&salt), share))
            }
            share => {
                let message = format!("a share is 0 to {BUCKETS}, and {share} is more");
                self.broken("share_out_of_range", &path.field("share"), message)
            }
        }
    }

    fn split(&mut self, distribution: &config::Distribution, path: &Path<'_>) -> Option<Which> {
        let table = match &distribution.split {
            Split::Weights(weights) => self.weights(weights, &path.field("weights")),
            Split::Ranges(ranges) => self.ranges(ranges, &path.field("ranges")),
        }?;
        let (_, first) = *table.first()?;
        if table.iter().all(|(_, variant)| *variant == first) {
            return Some(Which::One(first));
        }
        let salt = match &distribution.salt {
            Some(salt) => salt.as_str(),
            None => self.flag_salt(path)?,
        };
        Some(Which::Table(Seed::new(salt), table.into()))
    }

    fn flag_salt(&mut self, path: &Path<'_>) -> Option<&str> {
        let config = self.config;
        if config.salt.is_empty() {
            return self.broken("missing_salt", path, "a distribution needs the flag's `salt`, or one of its own");
        }
        Some(&config.salt)
    }

    fn weights(&mut self, weights: &[config::VariantWeight], path: &Path<'_>) -> Option<Vec<(u32, Ordinal)>> {
        let mut known = TextSet::default();
        for (index, weight) in weights.iter().enumerate() {
            let path = path.index(index);
            self.variant(&weight.variant, &path.field("variant"));
            if !known.insert(weight.variant.as_str()) {
                let message = format!("the variant `{}` has a weight already", weight.variant);
                self.broken::<()>("duplicate_variant", &path.field("variant"), message);
            }
        }
        let sum: u64 = weights.iter().map(|weight| u64::from(weight.weight)).sum();
        if sum != u64::from(BUCKETS) {
            let message = format!("the weights must add up to {BUCKETS}, and these make {sum}");
            return self.broken("weights_sum", path, message);
        }
        let ranges = distribution::lay_out(weights);
        ranges.iter().map(|range| Some((range.end, self.known_variant(&range.variant)?))).collect()
    }

    fn ranges(&mut self, ranges: &[BucketRange], path: &Path<'_>) -> Option<Vec<(u32, Ordinal)>> {
        for (index, range) in ranges.iter().enumerate() {
            self.variant(&range.variant, &path.index(index).field("variant"));
        }
        let Some(sorted) = distribution::partition(ranges) else {
            let message = format!("the ranges must cover 0 to {BUCKETS} without gap or overlap");
            return self.broken("ranges_partition", path, message);
        };
        sorted.iter().map(|range| Some((range.end, self.known_variant(&range.variant)?))).collect()
    }

    fn known_variant(&self, key: &VariantKey) -> Option<Ordinal> {
        self.variants.iter().position(|variant| variant.key == *key).and_then(Ordinal::new)
    }

    /// Finds rules that no evaluation reaches, and ids that name two rules.
    fn check_rules(&mut self, serves: &[Option<Outlet>]) {
        let path = Path::Root.field("rules");
        let mut ids = TextSet::default();
        let mut catch_all = None;
        for (index, (rule, serve)) in self.config.rules.iter().zip(serves).enumerate() {
            let path = path.index(index);
            if !rule.id.is_empty() && !ids.insert(&rule.id) {
                self.warn("duplicate_rule_id", &path.field("id"), format!("another rule has the id `{}`", rule.id));
            }
            if let Some(catch_all) = catch_all {
                let message = format!("nobody gets here: rule {catch_all} has no condition and serves everybody");
                self.warn("dead_rule", &path, message);
            } else if rule.conditions.is_empty() && serve.as_ref().is_some_and(Outlet::serves_everybody) {
                catch_all = Some(index);
            }
        }
    }

    fn check_prerequisites(&mut self) {
        let path = Path::Root.field("prerequisites");
        for (index, prerequisite) in self.config.prerequisites.iter().enumerate() {
            if prerequisite.variants.is_empty() {
                let message = "a prerequisite needs a variant to accept";
                self.broken::<()>("missing_operand", &path.index(index).field("variants"), message);
            }
        }
    }

    /// Reports what breaks the flag.
    fn broken<V>(&mut self, code: &'static str, path: &Path<'_>, message: impl Into<String>) -> Option<V> {
        self.issues.report(Severity::FlagBroken, code, path, message);
        None
    }

    fn warn(&mut self, code: &'static str, path: &Path<'_>, message: impl Into<String>) {
        self.issues.report(Severity::Warning, code, path, message);
    }
}

/// A compiled rollout.
enum Share {
    Nobody,
    Everybody,
    Below(Seed, u32),
}

impl Outlet {
    /// Whether no unit is left out.
    fn serves_everybody(&self) -> bool {
        match self {
            Self::Variant(_) => true,
            Self::Nobody => false,
            Self::Draw(draw) => draw.rollout.is_none(),
        }
    }
}

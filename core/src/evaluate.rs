//! Evaluate: one flag, one context, one answer.
//!
//! [`evaluate`] and [`explain`](crate::explain()) are one walk; what differs is the `Trace` that it writes.

use std::ops::Range;

use crate::{
    attribute::Attribute,
    condition::all_hold,
    context::{Context, Value},
    evaluation::{ErrorCode, Evaluation, Reason, Timestamp},
    flag::{Draw, Flag, Outlet, Rule, Which},
    link::{Answer, FlagNode, PrerequisiteLink, SegmentNode},
    ordinal::Ordinal,
    ruleset::Ruleset,
    table::Table,
};

/// Evaluates `flag` for `ctx` at `now`. Never fails: the [`Evaluation`] says what went wrong.
///
/// ```
/// use tidegate_core::{Context, FlagFile, Reason, Timestamp, compile, evaluate};
///
/// let file: FlagFile = serde_json::from_str(r#"{"flags": [{
///     "key": "new-checkout", "kind": "boolean", "enabled": true, "salt": "7d1c",
///     "variants": [{"key": "on", "value": true}, {"key": "off", "value": false}],
///     "rules": [{"conditions": [{"attribute": "country", "operator": "in", "values": ["NL"]}], "serve": {"variant": "on"}}],
///     "default": {"distribution": {"weights": [
///         {"variant": "on", "weight": 25000}, {"variant": "off", "weight": 75000}]}}
/// }]}"#)?;
/// let (ruleset, issues) = compile(&file);
/// assert!(issues.is_empty());
///
/// let dutch = evaluate(&ruleset, "new-checkout", &Context::new("user-7").with("country", "NL"), Timestamp(0));
/// assert_eq!((dutch.variant, dutch.reason), (Some("on"), Reason::TargetingMatch));
/// let other = evaluate(&ruleset, "new-checkout", &Context::new("user-7"), Timestamp(0));
/// assert_eq!((other.reason, other.bucket.is_some()), (Reason::Split, true));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[inline]
pub fn evaluate<'r>(ruleset: &'r Ruleset, flag: &str, ctx: &Context, now: Timestamp) -> Evaluation<'r> {
    match ruleset.find(flag) {
        Some(node) => evaluate_node(ruleset, node, ctx, now, &mut Silent),
        None => NOT_FOUND,
    }
}

/// Evaluates every flag for `ctx`, in the order of the keys, in one pass.
pub fn evaluate_all<'r>(
    ruleset: &'r Ruleset,
    ctx: &Context,
    now: Timestamp,
) -> impl Iterator<Item = (&'r str, Evaluation<'r>)> {
    let nodes = ruleset.flags.iter();
    nodes.map(move |node| (node.flag.key.as_str(), evaluate_node(ruleset, node, ctx, now, &mut Silent)))
}

/// As [`evaluate_all`], of the flags that client keys see something of: those that are not
/// [private](crate::config::Availability).
pub fn evaluate_public<'r>(
    ruleset: &'r Ruleset,
    ctx: &Context,
    now: Timestamp,
) -> impl Iterator<Item = (&'r str, Evaluation<'r>)> {
    let nodes = ruleset.flags.iter().filter(|node| !node.flag.availability.is_private());
    nodes.map(move |node| (node.flag.key.as_str(), evaluate_node(ruleset, node, ctx, now, &mut Silent)))
}

/// The answer about a flag that is not there.
pub(crate) const NOT_FOUND: Evaluation<'static> = Evaluation {
    value: None,
    variant: None,
    reason: Reason::Error,
    error: Some(ErrorCode::FlagNotFound),
    flag_version: 0,
    rule: None,
    bucket: None,
};

/// Hears what the evaluator does. [`Silent`] compiles to nothing.
pub(crate) trait Trace {
    /// What was found at the present place.
    fn note(&mut self, held: bool, detail: impl FnOnce() -> String);

    /// Runs `step` one place further in.
    fn within<R>(
        &mut self,
        name: &'static str,
        index: impl Into<Option<usize>>,
        step: impl FnOnce(&mut Self) -> R,
    ) -> R;
}

pub(crate) struct Silent;

impl Trace for Silent {
    #[inline]
    fn note(&mut self, _: bool, _: impl FnOnce() -> String) {}

    #[inline]
    fn within<R>(&mut self, _: &'static str, _: impl Into<Option<usize>>, step: impl FnOnce(&mut Self) -> R) -> R {
        step(self)
    }
}

/// What conditions see.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) ctx: &'a Context,
    pub(crate) now: Timestamp,
    /// All segments.
    pub(crate) segments: &'a Table<SegmentNode>,
    /// For each time that the flag or segment names a segment, that segment's place.
    pub(crate) links: &'a [usize],
}

impl<'a> Scope<'a> {
    /// The segments named at `uses`.
    #[inline]
    pub(crate) fn segments_at(&self, uses: Range<usize>) -> impl Iterator<Item = &'a SegmentNode> {
        let links = self.links.get(uses).unwrap_or_default();
        links.iter().filter_map(|link| self.segments.get(*link))
    }
}

/// An [`Evaluation`] as indexes into its flag: four words of four bytes, which travel in two registers. Smaller fields
/// would go through memory, byte by byte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Outcome {
    variant: Option<Ordinal>,
    rule: Option<Ordinal>,
    bucket: Option<Ordinal>,
    why: Why,
}

const LEFT_OUT: Outcome = Outcome { variant: None, rule: None, bucket: None, why: Why::LeftOut };

/// The reason of an outcome, or its error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Why {
    Static,
    Default,
    TargetingMatch,
    Split,
    Disabled,
    /// The unit is not in the rollout: whoever asked goes on. Never an answer.
    LeftOut,
    ParseError,
    TargetingKeyMissing,
    InvalidContext,
    /// An evaluator that knows more than this one said something else.
    Unknown,
    General,
}

impl Why {
    /// As the server told it. Of what only a client can say, it says nothing.
    pub(crate) fn told(reason: Reason, error: Option<ErrorCode>) -> Self {
        match (error, reason) {
            (Some(ErrorCode::ParseError), _) => Self::ParseError,
            (Some(ErrorCode::TargetingKeyMissing), _) => Self::TargetingKeyMissing,
            (Some(ErrorCode::InvalidContext), _) => Self::InvalidContext,
            (Some(_), _) | (None, Reason::Error) => Self::General,
            (None, Reason::Static) => Self::Static,
            (None, Reason::Default) => Self::Default,
            (None, Reason::TargetingMatch) => Self::TargetingMatch,
            (None, Reason::Split) => Self::Split,
            (None, Reason::Disabled) => Self::Disabled,
            (None, Reason::Cached | Reason::Stale | Reason::Unknown) => Self::Unknown,
        }
    }

    #[inline]
    fn reason(self) -> Reason {
        match self {
            Self::Static => Reason::Static,
            Self::Default | Self::LeftOut => Reason::Default,
            Self::TargetingMatch => Reason::TargetingMatch,
            Self::Split => Reason::Split,
            Self::Disabled => Reason::Disabled,
            Self::Unknown => Reason::Unknown,
            Self::ParseError | Self::TargetingKeyMissing | Self::InvalidContext | Self::General => Reason::Error,
        }
    }

    #[inline]
    fn error(self) -> Option<ErrorCode> {
        match self {
            Self::Static
            | Self::Default
            | Self::TargetingMatch
            | Self::Split
            | Self::Disabled
            | Self::LeftOut
            | Self::Unknown => None,
            Self::ParseError => Some(ErrorCode::ParseError),
            Self::TargetingKeyMissing => Some(ErrorCode::TargetingKeyMissing),
            Self::InvalidContext => Some(ErrorCode::InvalidContext),
            Self::General => Some(ErrorCode::General),
        }
    }
}

impl Outcome {
    #[inline]
    pub(crate) fn of(variant: Option<Ordinal>, why: Why) -> Self {
        Self { variant, rule: None, bucket: None, why }
    }

    #[inline]
    fn split(variant: Ordinal, bucket: u32) -> Self {
        Self { bucket: Ordinal::of(bucket), ..Self::of(Some(variant), Why::Split) }
    }

    #[inline]
    pub(crate) fn is_error(&self) -> bool {
        self.why.error().is_some()
    }

    #[inline]
    fn is_left_out(&self) -> bool {
        matches!(self.why, Why::LeftOut)
    }

    #[inline(always)]
    #[expect(clippy::inline_always, reason = "see `evaluate_node`")]
    fn resolve(self, flag: &Flag) -> Evaluation<'_> {
        let variant = self.variant.and_then(|variant| flag.variants.get(variant.index()));
        let rule = self.rule.and_then(|rule| Some((rule.index(), &*flag.rules.get(rule.index())?.id)));
        Evaluation {
            value: variant.map(|variant| &variant.value),
            variant: variant.map(|variant| variant.key.as_str()),
            reason: self.why.reason(),
            error: self.why.error(),
            flag_version: flag.version,
            rule,
            bucket: self.bucket.map(Ordinal::get),
        }
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "callers want a value, mostly: the rest of the answer is then never made")]
pub(crate) fn evaluate_node<'r, T: Trace>(
    ruleset: &'r Ruleset,
    node: &'r FlagNode,
    ctx: &Context,
    now: Timestamp,
    trace: &mut T,
) -> Evaluation<'r> {
    let outcome = match node.answer {
        Answer::Fixed(outcome) => {
            trace.note(!outcome.is_error(), || node.tell_fixed());
            outcome
        }
        Answer::Draw => serve_default(&node.flag, ctx, Draw::serve, trace),
        Answer::Walk => walk(ruleset, node, ctx, now, trace),
    };
    outcome.resolve(&node.flag)
}

#[inline]
fn serve_default<T: Trace>(
    flag: &Flag,
    ctx: &Context,
    draw: impl FnOnce(&Draw, &Context) -> Outcome,
    trace: &mut T,
) -> Outcome {
    let served = trace.within("default", None, |trace| serve(flag, &flag.default, Why::Default, ctx, draw, trace));
    if served.is_left_out() { Outcome::of(flag.off, Why::Default) } else { served }
}

/// Prerequisites → targets → rules → default.
fn walk<T: Trace>(ruleset: &Ruleset, node: &FlagNode, ctx: &Context, now: Timestamp, trace: &mut T) -> Outcome {
    let flag = &*node.flag;
    for (index, prerequisite) in node.prerequisites.iter().enumerate() {
        if !trace.within("prerequisites", index, |trace| prerequisite.is_met(ruleset, ctx, now, trace)) {
            return Outcome::of(flag.off, Why::Disabled);
        }
    }
    if !flag.targets.is_empty()
        && let Some(variant) = trace.within("targets", None, |trace| target(flag, ctx, trace))
    {
        return Outcome::of(Some(variant), Why::TargetingMatch);
    }
    let scope = Scope { ctx, now, segments: &ruleset.segments, links: &node.segments };
    for (index, rule) in flag.rules.iter().enumerate() {
        let served = trace.within("rules", index, |trace| {
            let matched = rule_matches(rule, node.skips_rule(index), &scope, trace);
            if matched {
                serve(flag, &rule.serve, Why::TargetingMatch, ctx, Draw::serve_apart, trace)
            } else {
                LEFT_OUT
            }
        });
        if served.is_error() {
            return served;
        }
        if !served.is_left_out() {
            return Outcome { rule: Ordinal::new(index), ..served };
        }
    }
    serve_default(flag, ctx, Draw::serve_apart, trace)
}

impl PrerequisiteLink {
    /// Recurses at most [`limits::CHAIN`](crate::limits::CHAIN) deep: linking breaks flags whose chain is longer.
    fn is_met<T: Trace>(&self, ruleset: &Ruleset, ctx: &Context, now: Timestamp, trace: &mut T) -> bool {
        let Some(node) = ruleset.flags.get(self.flag) else {
            trace.note(false, || "there is no such flag".to_owned());
            return false;
        };
        let outcome = match node.answer {
            Answer::Fixed(outcome) => outcome,
            Answer::Draw | Answer::Walk => walk(ruleset, node, ctx, now, trace),
        };
        let met = outcome.variant.is_some_and(|variant| self.accepted.contains(&variant));
        trace.note(met, || {
            let key = &node.flag.key;
            match outcome.resolve(&node.flag).variant {
                Some(variant) if met => format!("the flag `{key}` serves `{variant}`"),
                Some(variant) => format!("the flag `{key}` serves `{variant}`, which is not accepted"),
                None => format!("the flag `{key}` serves no variant"),
            }
        });
        met
    }
}

impl SegmentNode {
    /// Excluded → included → rules.
    #[inline]
    pub(crate) fn contains(&self, scope: &Scope<'_>) -> bool {
        let segment = &*self.segment;
        match scope.ctx.targeting_key() {
            Some(key) if segment.excluded.get(key).is_some() => false,
            Some(key) if segment.included.get(key).is_some() => true,
            _ => !segment.rules.is_empty() && self.a_rule_holds(scope),
        }
    }

    /// Recurses along segments, and apart, so that their member lists need no call.
    #[inline(never)]
    fn a_rule_holds(&self, scope: &Scope<'_>) -> bool {
        let scope = Scope { links: &self.links, ..*scope };
        self.segment.rules.iter().any(|conditions| all_hold("conditions", conditions, &scope, &mut Silent))
    }
}

fn target<T: Trace>(flag: &Flag, ctx: &Context, trace: &mut T) -> Option<Ordinal> {
    let variant = ctx.targeting_key().and_then(|key| flag.targets.get(key));
    trace.note(variant.is_some(), || match variant {
        Some(_) => "the targeting key is listed".to_owned(),
        None => "the targeting key is not listed".to_owned(),
    });
    variant
}

#[inline]
fn rule_matches<T: Trace>(rule: &Rule, skipped: bool, scope: &Scope<'_>, trace: &mut T) -> bool {
    match &rule.conditions {
        Some(conditions) if !skipped => all_hold("conditions", conditions, scope, trace),
        _ => {
            trace.note(false, || "a condition of the rule cannot be used, so that it never holds".to_owned());
            false
        }
    }
}

/// What `outlet` serves, for the reason `plain` where no bucket decides; `None`: the unit is not in the rollout.
#[inline]
fn serve<T: Trace>(
    flag: &Flag,
    outlet: &Outlet,
    plain: Why,
    ctx: &Context,
    draw: impl FnOnce(&Draw, &Context) -> Outcome,
    trace: &mut T,
) -> Outcome {
    let served = match outlet {
        Outlet::Variant(variant) => Outcome::of(Some(*variant), plain),
        Outlet::Nobody => LEFT_OUT,
        Outlet::Draw(drawn) => draw(drawn, ctx),
    };
    trace.note(!served.is_error() && !served.is_left_out(), || tell_served(flag, outlet, served, ctx));
    served
}

impl Draw {
    #[inline]
    fn serve(&self, ctx: &Context) -> Outcome {
        match (&self.unit, ctx.targeting_key()) {
            (Attribute::TargetingKey, Some(key)) => self.serve_unit(key),
            _ => self.serve_attribute(ctx),
        }
    }

    /// Apart, so that rules that need no bucket need no call and few registers.
    #[inline(never)]
    fn serve_apart(&self, ctx: &Context) -> Outcome {
        self.serve(ctx)
    }

    /// Apart, as it needs room for digits.
    #[inline(never)]
    fn serve_attribute(&self, ctx: &Context) -> Outcome {
        let mut digits = Digits::default();
        match self.unit(ctx, &mut digits) {
            Ok(unit) => self.serve_unit(unit),
            Err(why) => Outcome::of(None, why),
        }
    }

    #[inline]
    fn serve_unit(&self, unit: &str) -> Outcome {
        let mut bucket = 0;
        if let Some((seed, share)) = self.rollout {
            bucket = seed.bucket(unit);
            if bucket >= share {
                return LEFT_OUT;
            }
        }
        match &self.split {
            Which::One(variant) => Outcome::split(*variant, bucket),
            Which::Table(seed, table) => {
                let bucket = seed.bucket(unit);
                let range = table.get(table.partition_point(|(end, _)| *end <= bucket));
                range.map_or(LEFT_OUT, |(_, variant)| Outcome::split(*variant, bucket))
            }
        }
    }

    #[inline]
    fn unit<'a>(&self, ctx: &'a Context, digits: &'a mut Digits) -> Result<&'a str, Why> {
        match self.unit.resolve(ctx) {
            Some(Value::String(text)) => Ok(text),
            Some(Value::Number(number)) => digits.write(*number).ok_or(Why::InvalidContext),
            Some(_) => Err(Why::InvalidContext),
            None => Err(Why::TargetingKeyMissing),
        }
    }
}

/// Room for the decimal text of an integral number.
#[derive(Default)]
struct Digits {
    /// A sign and the 16 digits of 2^53.
    bytes: [u8; 17],
    start: usize,
}

impl Digits {
    /// The largest number that has no neighbor of the same double: JavaScript's `MAX_SAFE_INTEGER`.
    const MAX: f64 = 9_007_199_254_740_991.0;

    /// The number as decimal text; `None` where it is not integral or so large that its integer is not certain.
    #[expect(clippy::cast_possible_truncation, reason = "integral and at most 2^53")]
    fn write(&mut self, number: f64) -> Option<&str> {
        if number.fract() != 0.0 || number.abs() > Self::MAX {
            return None;
        }
        let number = number as i64;
        let mut rest = number.unsigned_abs();
        let mut places = self.bytes.iter_mut().enumerate().rev();
        loop {
            let (start, place) = places.next()?;
            self.start = start;
            *place = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        if number < 0 {
            let (start, place) = places.next()?;
            self.start = start;
            *place = b'-';
        }
        std::str::from_utf8(self.bytes.get(self.start..)?).ok()
    }
}

/// A sentence for explanations.
fn tell_served(flag: &Flag, outlet: &Outlet, served: Outcome, ctx: &Context) -> String {
    if served.is_left_out() {
        return tell_left_out(outlet, ctx);
    }
    let Evaluation { variant, bucket, error, .. } = served.resolve(flag);
    match (error, outlet) {
        (None, _) => {
            let variant = variant.unwrap_or_default();
            bucket.map_or_else(|| format!("serves `{variant}`"), |bucket| format!("bucket {bucket} gets `{variant}`"))
        }
        (Some(ErrorCode::TargetingKeyMissing), Outlet::Draw(draw)) => match &draw.unit {
            Attribute::TargetingKey => "a bucket is needed, and the context has no targeting key".to_owned(),
            unit => format!("a bucket is needed, and `{unit}`, which is the unit, is absent"),
        },
        (Some(_), _) => "the unit is neither a string nor an integral number".to_owned(),
    }
}

fn tell_left_out(outlet: &Outlet, ctx: &Context) -> String {
    let Outlet::Draw(draw) = outlet else { return "the rollout's share is 0".to_owned() };
    let mut digits = Digits::default();
    match draw.rollout.zip(draw.unit(ctx, &mut digits).ok()) {
        Some(((seed, share), unit)) => {
            format!("bucket {} is not in the rollout, which ends before {share}", seed.bucket(unit))
        }
        None => "the unit is not in the rollout".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::Digits;

    #[test]
    fn integral_numbers_have_decimal_text() {
        for (number, expected) in [
            (0.0, Some("0")),
            (-0.0, Some("0")),
            (7.0, Some("7")),
            (-42.0, Some("-42")),
            (9_007_199_254_740_991.0, Some("9007199254740991")),
            (-9_007_199_254_740_991.0, Some("-9007199254740991")),
            (9_007_199_254_740_992.0, None),
            (0.5, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(Digits::default().write(number), expected, "{number}");
        }
    }
}

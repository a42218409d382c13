//! Conditions: operators, their operands parsed once, and their truth tables.
//!
//! A test has three outcomes. It is *decided* true or false, and then negation turns it round; or it cannot be decided,
//! because the attribute is absent, null or of a type that the operator does not use, and then it does not hold, negated
//! or not. `exists` is always decided, and so is every operator on a list.

use std::{cmp::Ordering, fmt, net::IpAddr, ops::Range};

use ipnet::{IpNet, Ipv4Net};
use serde_json::Value as Json;

use crate::{
    attribute::Attribute,
    config,
    context::{Context, Value},
    date,
    evaluate::{Scope, Trace},
    evaluation::Timestamp,
    issue::{Issues, Path, Severity},
    key::SegmentKey,
    limits, order,
    pattern::Pattern,
    text::{Case, FoldedSet, TextMap},
    version::{OwnedVersion, Version},
};

/// A compiled condition.
#[derive(Debug)]
pub(crate) enum Condition {
    Any(Box<[Condition]>),
    All(Box<[Condition]>),
    None(Box<[Condition]>),
    Test(Test),
    Segments(SegmentTest),
}

/// A test of one attribute.
#[derive(Debug)]
pub(crate) struct Test {
    attribute: Attribute,
    operator: Operator,
    negate: bool,
}

/// A test of the whole context: whether it is in one of some segments.
#[derive(Debug)]
pub(crate) struct SegmentTest {
    /// Where in the [`SegmentUse`]s of the flag or segment its operands are.
    uses: Range<usize>,
    negate: bool,
}

/// Where a flag or segment names a segment; linking finds the segment.
#[derive(Debug)]
pub(crate) struct SegmentUse {
    pub(crate) segment: SegmentKey,
    /// The rule that names it.
    pub(crate) rule: usize,
    /// Where it stands: a JSON Pointer.
    pub(crate) path: String,
}

#[derive(Debug)]
enum Operator {
    In(Set),
    Text(TextRelation, Case, Box<[Box<str>]>),
    Matches(Box<[Pattern]>),
    /// The loosest of the operands: a test holds where it holds for one of them.
    Number(Comparison, f64),
    VersionEqual(Box<[OwnedVersion]>),
    Version(Comparison, OwnedVersion),
    /// Unix milliseconds.
    Date(Comparison, f64),
    InCidr(Box<[IpNet]>),
    Exists,
}

#[derive(Debug)]
struct Set {
    texts: Texts,
    numbers: Box<[f64]>,
    has_true: bool,
    has_false: bool,
}

#[derive(Debug)]
enum Texts {
    Exact(TextMap<()>),
    Folded(FoldedSet),
}

#[derive(Clone, Copy, Debug)]
enum TextRelation {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Clone, Copy, Debug)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Condition {
    #[inline]
    pub(crate) fn holds<T: Trace>(&self, scope: &Scope<'_>, trace: &mut T) -> bool {
        match self {
            Self::Test(test) => test.holds(scope, trace),
            Self::Segments(test) => test.holds(scope, trace),
            group => group.group_holds(scope, trace),
        }
    }

    /// Apart, so that tests, of which there are many more, are inlined where they are used.
    #[inline(never)]
    fn group_holds<T: Trace>(&self, scope: &Scope<'_>, trace: &mut T) -> bool {
        match self {
            Self::Any(members) => any_holds("any", members, scope, trace),
            Self::All(members) => all_hold("all", members, scope, trace),
            Self::None(members) => !any_holds("none", members, scope, trace),
            Self::Test(_) | Self::Segments(_) => self.holds(scope, trace),
        }
    }
}

/// Whether all `conditions` hold; `name` is the field that they stand in.
#[inline]
pub(crate) fn all_hold<T: Trace>(
    name: &'static str,
    conditions: &[Condition],
    scope: &Scope<'_>,
    trace: &mut T,
) -> bool {
    conditions.iter().enumerate().all(|(index, member)| trace.within(name, index, |trace| member.holds(scope, trace)))
}

#[inline]
fn any_holds<T: Trace>(name: &'static str, conditions: &[Condition], scope: &Scope<'_>, trace: &mut T) -> bool {
    conditions.iter().enumerate().any(|(index, member)| trace.within(name, index, |trace| member.holds(scope, trace)))
}

impl Test {
    #[inline]
    fn holds<T: Trace>(&self, scope: &Scope<'_>, trace: &mut T) -> bool {
        let decided = self.decide(scope.ctx, scope.now);
        let held = decided.is_some_and(|decided| decided != self.negate);
        trace.note(held, || self.explain(scope, decided));
        held
    }

    /// `None`: cannot be decided.
    #[inline]
    fn decide(&self, ctx: &Context, now: Timestamp) -> Option<bool> {
        if let Attribute::Now = self.attribute {
            return self.operator.decide(&now_value(now));
        }
        match self.attribute.resolve(ctx) {
            Some(value) => self.operator.decide(value),
            None => matches!(self.operator, Operator::Exists).then_some(false),
        }
    }

    fn explain(&self, scope: &Scope<'_>, decided: Option<bool>) -> String {
        let value = match self.attribute {
            Attribute::Now => Some(now_value(scope.now)),
            _ => self.attribute.resolve(scope.ctx).cloned(),
        };
        let Self { attribute, operator, negate } = self;
        let not = if *negate { "not " } else { "" };
        match (value, decided) {
            (None, None) => format!("`{attribute}` is absent, so that `{not}{operator}` does not hold"),
            (None, Some(_)) => format!("`{attribute}` is absent; asked is `{not}{operator}`"),
            (Some(value), None) => {
                format!("`{attribute}` is {value}, which cannot be decided, so that `{not}{operator}` does not hold")
            }
            (Some(value), Some(_)) => format!("`{attribute}` is {value}; asked is `{not}{operator}`"),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact for dates within 285,000 years of the epoch")]
fn now_value(now: Timestamp) -> Value {
    Value::Number(now.0 as f64)
}

impl SegmentTest {
    fn holds<T: Trace>(&self, scope: &Scope<'_>, trace: &mut T) -> bool {
        let found = scope.segments_at(self.uses.clone()).find(|segment| segment.contains(scope));
        let held = found.is_some() != self.negate;
        trace.note(held, || match found {
            Some(segment) => format!("the context is in the segment `{}`", segment.segment.key),
            None => "the context is in none of the segments".to_owned(),
        });
        held
    }
}

impl Operator {
    /// Decides a value that is not null.
    #[inline]
    fn decide(&self, value: &Value) -> Option<bool> {
        match value {
            Value::List(items) => Some(self.decide_list(items)),
            value => self.decide_one(value),
        }
    }

    #[inline(never)]
    fn decide_list(&self, items: &[Value]) -> bool {
        matches!(self, Self::Exists) || items.iter().any(|item| self.decide_one(item) == Some(true))
    }

    /// The operators that flags mostly use.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "a test is a few instructions, and a call as many again")]
    fn decide_one(&self, value: &Value) -> Option<bool> {
        match (self, value) {
            (Self::In(set), value) => set.contains(value),
            (Self::Number(comparison, limit), Value::Number(number)) => comparison.decide(*number, *limit),
            (Self::Text(relation, case, parts), Value::String(text)) => {
                Some(parts.iter().any(|part| relation.holds(*case, text, part)))
            }
            (Self::Version(comparison, limit), Value::String(text)) => {
                Version::parse(text).map(|version| comparison.accepts(version.precedence(limit.borrow())))
            }
            _ => self.decide_other(value),
        }
    }

    #[inline(never)]
    fn decide_other(&self, value: &Value) -> Option<bool> {
        match (self, value) {
            (_, Value::Null) => None,
            (Self::Exists, _) => Some(true),
            (Self::VersionEqual(versions), Value::String(text)) => Version::parse(text)
                .map(|version| versions.iter().any(|candidate| version.precedence(candidate.borrow()).is_eq())),
            (Self::Matches(patterns), Value::String(text)) => {
                (text.len() <= limits::MATCHED_BYTES).then(|| patterns.iter().any(|pattern| pattern.is_match(text)))
            }
            (Self::Date(comparison, limit), value) => comparison.decide(unix_ms(value)?, *limit),
            (Self::InCidr(networks), Value::String(text)) => {
                let address = text.parse::<IpAddr>().ok()?.to_canonical();
                Some(networks.iter().any(|network| network.contains(&address)))
            }
            _ => None,
        }
    }

    /// What a test costs in the worst case, in the units of [`limits::COST`].
    fn cost(&self) -> u32 {
        let cost = match self {
            Self::Text(_, _, parts) => parts.len(),
            Self::Matches(patterns) => patterns.len() * limits::REGEX_COST as usize,
            Self::VersionEqual(versions) => versions.len(),
            Self::InCidr(networks) => networks.len(),
            Self::In(_) | Self::Number(..) | Self::Version(..) | Self::Date(..) | Self::Exists => 1,
        };
        u32::try_from(cost).unwrap_or(u32::MAX)
    }
}

/// A date attribute or operand: RFC 3339 text or unix milliseconds.
#[expect(clippy::cast_precision_loss, reason = "exact: RFC 3339 ends with the year 9999")]
fn unix_ms(value: &Value) -> Option<f64> {
    match value {
        Value::Number(unix_ms) => Some(*unix_ms),
        Value::String(text) => date::parse(text).map(|unix_ms| unix_ms as f64),
        _ => None,
    }
}

impl Set {
    /// A value of another type is decided, and not in the set; not-a-number cannot be decided.
    #[inline]
    fn contains(&self, value: &Value) -> Option<bool> {
        match value {
            Value::String(text) => Some(match &self.texts {
                Texts::Exact(texts) => texts.get(text).is_some(),
                Texts::Folded(texts) => texts.contains(text),
            }),
            Value::Number(number) if number.is_nan() => None,
            Value::Number(number) => {
                Some(self.numbers.binary_search_by(|known| known.total_cmp(&without_sign_of_zero(*number))).is_ok())
            }
            Value::Bool(true) => Some(self.has_true),
            Value::Bool(false) => Some(self.has_false),
            Value::Null => None,
            Value::List(_) | Value::Object(_) => Some(false),
        }
    }
}

/// 0 and −0 are equal, but not in the total order by which numbers are searched.
fn without_sign_of_zero(number: f64) -> f64 {
    number + 0.0
}

impl TextRelation {
    #[inline]
    fn holds(self, case: Case, text: &str, part: &str) -> bool {
        match self {
            Self::Contains => case.contains(text, part),
            Self::StartsWith => case.starts_with(text, part),
            Self::EndsWith => case.ends_with(text, part),
        }
    }
}

impl Comparison {
    #[inline]
    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }

    /// `None` for not-a-number.
    #[inline]
    fn decide(self, value: f64, limit: f64) -> Option<bool> {
        value.partial_cmp(&limit).map(|ordering| self.accepts(ordering))
    }

    /// Of two limits, the one that accepts more: a test holds where it holds for one of its operands.
    fn is_looser(self, candidate: Ordering) -> bool {
        match self {
            Self::Less | Self::LessOrEqual => candidate.is_gt(),
            Self::Greater | Self::GreaterOrEqual => candidate.is_lt(),
        }
    }

    fn loosest<T>(self, limits: Vec<T>, compare: impl Fn(&T, &T) -> Ordering) -> Option<T> {
        limits.into_iter().reduce(|kept, next| if self.is_looser(compare(&next, &kept)) { next } else { kept })
    }
}

/// Compiles the conditions of one flag or segment.
#[derive(Debug)]
pub(crate) struct ConditionCompiler<'i, 'k> {
    pub(crate) issues: &'i mut Issues<'k>,
    /// Every segment named so far.
    pub(crate) uses: Vec<SegmentUse>,
    /// The rule being compiled.
    pub(crate) rule: usize,
    /// What everything compiled so far costs at most.
    pub(crate) cost: u32,
}

impl<'i, 'k> ConditionCompiler<'i, 'k> {
    pub(crate) fn new(issues: &'i mut Issues<'k>) -> Self {
        Self { issues, uses: Vec::new(), rule: 0, cost: 0 }
    }

    /// Compiles all of `conditions`; `None` where one cannot be used, and then the rule that they stand in never holds.
    /// A single unusable one is enough, wherever it stands: left out of a group, it would widen the rule.
    pub(crate) fn conditions(
        &mut self,
        conditions: &[config::Condition],
        path: &Path<'_>,
        depth: usize,
    ) -> Option<Box<[Condition]>> {
        if depth > limits::NESTING {
            return self.refuse("nesting_too_deep", path, format!("groups nest at most {} deep", limits::NESTING));
        }
        let mut compiled = Vec::with_capacity(conditions.len());
        for (index, condition) in conditions.iter().enumerate() {
            compiled.extend(self.condition(condition, &path.index(index), depth));
        }
        (compiled.len() == conditions.len()).then(|| compiled.into())
    }

    fn condition(&mut self, condition: &config::Condition, path: &Path<'_>, depth: usize) -> Option<Condition> {
        match condition {
            config::Condition::Any { any } => self.group(any, &path.field("any"), depth).map(Condition::Any),
            config::Condition::All { all } => self.group(all, &path.field("all"), depth).map(Condition::All),
            config::Condition::None { none } => self.group(none, &path.field("none"), depth).map(Condition::None),
            config::Condition::Test(test) if test.operator == "segment" => {
                self.segment_test(test, path).map(Condition::Segments)
            }
            config::Condition::Test(test) => self.test(test, path).map(Condition::Test),
            config::Condition::Unknown(_) => self.refuse(
                "unknown_condition",
                path,
                "a condition is a test with an `operator`, or a group: `any`, `all` or `none`",
            ),
        }
    }

    fn group(&mut self, members: &[config::Condition], path: &Path<'_>, depth: usize) -> Option<Box<[Condition]>> {
        if members.is_empty() {
            return self.refuse("empty_group", path, "a group needs a condition; leave it out to hold for everybody");
        }
        self.conditions(members, path, depth + 1)
    }

    fn segment_test(&mut self, test: &config::Test, path: &Path<'_>) -> Option<SegmentTest> {
        let mut segments = Vec::new();
        self.operands(test, path, "a segment's key", &mut |value| {
            value.as_str().and_then(|key| SegmentKey::new(key).ok()).map(|key| segments.push(key)).is_some()
        })?;
        let values = path.field("values");
        let first = self.uses.len();
        for (index, segment) in segments.into_iter().enumerate() {
            self.uses.push(SegmentUse { segment, rule: self.rule, path: values.index(index).to_string() });
        }
        Some(SegmentTest { uses: first..self.uses.len(), negate: test.negate })
    }

    fn test(&mut self, test: &config::Test, path: &Path<'_>) -> Option<Test> {
        let attribute = match Attribute::parse(&test.attribute) {
            Ok(attribute) => Some(attribute),
            Err(message) => self.refuse("bad_attribute", &path.field("attribute"), message),
        };
        let operator = self.operator(test, path);
        let (attribute, operator) = attribute.zip(operator)?;
        self.cost = self.cost.saturating_add(operator.cost());
        Some(Test { attribute, operator, negate: test.negate })
    }

    fn operator(&mut self, test: &config::Test, path: &Path<'_>) -> Option<Operator> {
        match test.operator.as_str() {
            "in" => self.set(test, path),
            "contains" => self.text(TextRelation::Contains, test, path),
            "startsWith" => self.text(TextRelation::StartsWith, test, path),
            "endsWith" => self.text(TextRelation::EndsWith, test, path),
            "matches" => self.matches(test, path),
            "lessThan" => self.number(Comparison::Less, test, path),
            "lessOrEqual" => self.number(Comparison::LessOrEqual, test, path),
            "greaterThan" => self.number(Comparison::Greater, test, path),
            "greaterOrEqual" => self.number(Comparison::GreaterOrEqual, test, path),
            "semverEqual" => self.versions(test, path).map(|versions| Operator::VersionEqual(versions.into())),
            "semverLess" => self.version(Comparison::Less, test, path),
            "semverLessOrEqual" => self.version(Comparison::LessOrEqual, test, path),
            "semverGreater" => self.version(Comparison::Greater, test, path),
            "semverGreaterOrEqual" => self.version(Comparison::GreaterOrEqual, test, path),
            "before" => self.date(Comparison::Less, test, path),
            "after" => self.date(Comparison::Greater, test, path),
            "inCidr" => {
                let mut networks = Vec::new();
                self.operands(test, path, "an address or a CIDR block like `10.0.0.0/8`", &mut |value| {
                    network(value).map(|network| networks.push(network)).is_some()
                })?;
                Some(Operator::InCidr(networks.into()))
            }
            "exists" if test.values.is_empty() => Some(Operator::Exists),
            "exists" => self.refuse("bad_operand", &path.field("values"), "`exists` has no values"),
            unknown => {
                let message = format!("this version does not know the operator `{unknown}`; the rule never holds");
                self.refuse("unknown_operator", &path.field("operator"), message)
            }
        }
    }

    fn set(&mut self, test: &config::Test, path: &Path<'_>) -> Option<Operator> {
        let (mut texts, mut numbers, mut has_true, mut has_false) = (Vec::new(), Vec::new(), false, false);
        self.operands(test, path, "a string, a number or a boolean", &mut |value| {
            match value {
                Json::Bool(true) => has_true = true,
                Json::Bool(false) => has_false = true,
                Json::Number(number) => numbers.extend(number.as_f64().map(without_sign_of_zero)),
                Json::String(value) if value.len() <= limits::TEXT_BYTES => texts.push((value.as_str(), ())),
                _ => return false,
            }
            true
        })?;
        Some(Operator::In(Set {
            texts: match case(test) {
                Case::Sensitive => Texts::Exact(TextMap::new(&texts)),
                Case::Ignored => Texts::Folded(FoldedSet::new(texts.into_iter().map(|(text, ())| text))),
            },
            numbers: order::by_number(numbers, |number| order::total(*number)).into(),
            has_true,
            has_false,
        }))
    }

    fn text(&mut self, relation: TextRelation, test: &config::Test, path: &Path<'_>) -> Option<Operator> {
        let expected = format!("a text of at most {} bytes", limits::TEXT_BYTES);
        let mut parts = Vec::new();
        self.operands(test, path, &expected, &mut |value| {
            let part = value.as_str().filter(|text| text.len() <= limits::TEXT_BYTES);
            part.map(|part| parts.push(part.into())).is_some()
        })?;
        Some(Operator::Text(relation, case(test), parts.into()))
    }

    fn matches(&mut self, test: &config::Test, path: &Path<'_>) -> Option<Operator> {
        let expected = format!("a regular expression of at most {} bytes", limits::PATTERN_BYTES);
        let mut patterns = Vec::new();
        self.operands(test, path, &expected, &mut |value| {
            let pattern = value.as_str().filter(|pattern| pattern.len() <= limits::PATTERN_BYTES);
            pattern.map(|pattern| patterns.push(pattern)).is_some()
        })?;
        let values = path.field("values");
        let mut compiled = Vec::with_capacity(patterns.len());
        for (index, pattern) in patterns.iter().enumerate() {
            match Pattern::new(pattern, case(test)) {
                Ok(pattern) => compiled.push(pattern),
                Err(refusal) => self.refuse("bad_regex", &values.index(index), refusal.to_string()).unwrap_or_default(),
            }
        }
        (compiled.len() == patterns.len()).then(|| Operator::Matches(compiled.into()))
    }

    fn number(&mut self, comparison: Comparison, test: &config::Test, path: &Path<'_>) -> Option<Operator> {
        let limit = self.limit(comparison, test, path, "a number", Json::as_f64)?;
        Some(Operator::Number(comparison, limit))
    }

    fn versions(&mut self, test: &config::Test, path: &Path<'_>) -> Option<Vec<OwnedVersion>> {
        let mut versions = Vec::new();
        self.operands(test, path, "a version like `1.2.3` or `2.0.0-rc.1`", &mut |value| {
            let version = value.as_str().filter(|text| text.len() <= limits::TEXT_BYTES).and_then(Version::parse);
            version.map(|version| versions.push(version.to_owned())).is_some()
        })?;
        Some(versions)
    }

    fn version(&mut self, comparison: Comparison, test: &config::Test, path: &Path<'_>) -> Option<Operator> {
        let limits = self.versions(test, path)?;
        let loosest = comparison.loosest(limits, |left, right| left.borrow().precedence(right.borrow()));
        loosest.map(|limit| Operator::Version(comparison, limit))
    }

    fn date(&mut self, comparison: Comparison, test: &config::Test, path: &Path<'_>) -> Option<Operator> {
        let expected = "a date and time like `2026-03-01T00:00:00Z`, or unix milliseconds";
        let limit = self.limit(comparison, test, path, expected, |value| unix_ms(&Value::from(value)))?;
        Some(Operator::Date(comparison, limit))
    }

    /// The loosest of a test's values.
    fn limit(
        &mut self,
        comparison: Comparison,
        test: &config::Test,
        path: &Path<'_>,
        expected: &str,
        parse: fn(&Json) -> Option<f64>,
    ) -> Option<f64> {
        let mut limits = Vec::new();
        self.operands(test, path, expected, &mut |value| parse(value).map(|limit| limits.push(limit)).is_some())?;
        comparison.loosest(limits, f64::total_cmp)
    }

    /// Gives the values of a test to `take`, which says whether it can use them: there is at least one, and it can use all.
    fn operands<'t>(
        &mut self,
        test: &'t config::Test,
        path: &Path<'_>,
        expected: &str,
        take: &mut dyn FnMut(&'t Json) -> bool,
    ) -> Option<()> {
        let values = path.field("values");
        if test.values.is_empty() {
            return self.refuse("missing_operand", &values, format!("`{}` needs {expected}", test.operator));
        }
        let mut usable = Some(());
        for (index, value) in test.values.iter().enumerate() {
            if !take(value) {
                usable =
                    self.refuse("bad_operand", &values.index(index), format!("`{}` needs {expected}", test.operator));
            }
        }
        usable
    }

    /// Reports what makes the rule unusable.
    fn refuse<V>(&mut self, code: &'static str, path: &Path<'_>, message: impl Into<String>) -> Option<V> {
        self.issues.report(Severity::RuleSkipped, code, path, message);
        None
    }
}

fn case(test: &config::Test) -> Case {
    if test.ignore_case { Case::Ignored } else { Case::Sensitive }
}

/// A CIDR block, or an address as the block of itself. IPv4 addresses written as IPv6 are IPv4.
fn network(value: &Json) -> Option<IpNet> {
    let text = value.as_str()?;
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    match network {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => Ipv4Net::new(v4, v6.prefix_len() - 96).ok().map(IpNet::V4),
            None => Some(network),
        },
        _ => Some(network),
    }
}

impl fmt::Display for Operator {
    /// For explanations: what was asked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::In(set) => set.fmt(f),
            Self::Text(relation, _, parts) => {
                let name = match relation {
                    TextRelation::Contains => "contains",
                    TextRelation::StartsWith => "starts with",
                    TextRelation::EndsWith => "ends with",
                };
                list(f, name, parts.iter().map(|part| format!("{part:?}")))
            }
            Self::Matches(patterns) => list(f, "matches", patterns.iter().map(|pattern| format!("{pattern:?}"))),
            Self::Number(comparison, limit) => write!(f, "{comparison} {limit}"),
            Self::VersionEqual(versions) => list(f, "version =", versions.iter().map(ToString::to_string)),
            Self::Version(comparison, limit) => write!(f, "version {comparison} {limit}"),
            Self::Date(comparison, limit) => write!(f, "time {comparison} {limit}"),
            Self::InCidr(networks) => list(f, "in", networks.iter().map(ToString::to_string)),
            Self::Exists => f.write_str("exists"),
        }
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_texts = match &self.texts {
            Texts::Exact(texts) => texts.len(),
            Texts::Folded(texts) => texts.len(),
        };
        let n_values = n_texts + self.numbers.len() + usize::from(self.has_true) + usize::from(self.has_false);
        let plural = if n_values == 1 { "" } else { "s" };
        write!(f, "in {n_values} value{plural}")
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::LessOrEqual => "≤",
            Self::Greater => ">",
            Self::GreaterOrEqual => "≥",
        })
    }
}

fn list(f: &mut fmt::Formatter<'_>, name: &str, mut items: impl ExactSizeIterator<Item = String>) -> fmt::Result {
    match (items.len(), items.next()) {
        (1, Some(only)) => write!(f, "{name} {only}"),
        (n_items, _) => write!(f, "{name} one of {n_items}"),
    }
}

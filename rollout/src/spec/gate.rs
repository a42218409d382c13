//! Gates: what is watched while a rollout goes on.

use serde::{Deserialize, Serialize};

use super::{SpecError, is_default};

/// A metric that is watched, from the first step to the last.
///
/// In JSON it is one object, with the fields of [`EventGate`] or of [`QueryGate`] beside `key` and `severity`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "GateText", into = "GateText")]
pub struct Gate {
    /// Names the gate in judgements and the audit log; unique among the gates.
    pub key: String,
    /// What is done where the metric gets worse.
    pub severity: Severity,
    /// What is watched.
    pub watches: Watched,
}

/// What a gate watches.
#[derive(Clone, Debug, PartialEq)]
pub enum Watched {
    /// What applications `track`: units are compared, and the evidence is calibrated.
    Events(EventGate),
    /// What another system says when it is asked.
    Query(QueryGate),
}

/// Compares what happened to units of treatment with what happened to units of control.
#[derive(Clone, Debug, PartialEq)]
pub struct EventGate {
    /// The name of the metric: what applications `track`.
    pub metric: String,
    /// What of it is compared.
    pub test: Test,
    /// Which way is worse.
    pub worse: Direction,
    /// How much worse is no harm yet, relative to control: with 0.1, up to 1.1 times as many units with an error are let pass. Above 0, as
    /// nothing is ever exactly as before; at most 10, and below 1 where less is worse.
    pub margin: f64,
    /// The absolute limit, whatever control does. Only for [`Test::Happened`] where more is worse.
    pub limit: Option<Limit>,
    /// The step ends only when it is proved that it happens to less than so many times as many units of treatment as of control; above 1 + margin, at
    /// most 100. Only for [`Test::Happened`] where more is worse.
    pub proof: Option<f64>,
    /// Its part of the tolerated probability of a wrong alarm, beside those of the rollout's other gates on events: with 3 beside one of
    /// 1, three quarters. The more, the sooner harm is found. From 0.01 to 100.
    pub weight: f64,
}

/// What of a metric is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Test {
    /// How many units it happened to.
    Happened {
        /// Only measurements above this count: requests that took longer than so many milliseconds, say. Absent: all.
        above: Option<f64>,
    },
    /// The mean over units of the unit's total.
    Mean {
        /// What is measured of a unit within so long after its first exposure, in milliseconds.
        within_ms: u64,
    },
    /// The mean over measurements, where a unit's measurements depend on each other.
    Ratio {
        /// As of [`Mean`](Self::Mean).
        within_ms: u64,
    },
    /// A quantile of each unit's first value.
    Quantile {
        /// Between 0 and 1: 0.95 for the slowest twentieth.
        quantile: f64,
    },
}

/// Asks a metric source again and again.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryGate {
    /// The key of a metric source of the project.
    pub source: String,
    /// What is asked: `PromQL`, or the path of an HTTP source. Answers one number.
    pub query: String,
    /// What to do with the answer.
    pub bound: Bound,
    /// It acts when the answers were beyond the bound for so long, without a gap, in milliseconds; 0: at once.
    pub for_ms: u64,
    /// How often it is asked, in milliseconds.
    pub every_ms: u64,
}

/// Which answers are harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// Those outside of a range, whatever was before. At least one of both.
    Absolute {
        /// The least that is no harm.
        min: Option<f64>,
        /// The most that is no harm.
        max: Option<f64>,
    },
    /// Those that are worse than what the same source says of control. Requests are compared, not units, so that nobody knows how often
    /// such a gate is wrong.
    Control {
        /// What is asked of control.
        query: String,
        /// Which way is worse.
        worse: Direction,
        /// As of [`EventGate::margin`].
        margin: f64,
    },
}

/// Acts at once, without statistics: for what nobody wants to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = GateLimit))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limit {
    /// The share of treatment's units that may have it happen, 0 to 1.
    pub share: f64,
    /// How many units must have had it happen, so that the first one does not decide alone; at least 1.
    #[serde(default = "default_limit_units")]
    pub units: u64,
}

/// What is done where a gate finds harm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = GateSeverity))]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The rollout ends as its [`OnHarm`](super::OnHarm) says.
    #[default]
    Harm,
    /// The rollout holds, and goes on by itself when the evidence is gone.
    Signal,
}

/// Which way a metric gets worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = GateDirection))]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// More is worse: errors, slow requests.
    #[default]
    Up,
    /// Less is worse: purchases.
    Down,
}

/// The longest key of a gate, and name of a metric, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// The longest query of a gate, in bytes.
pub const MAX_QUERY_BYTES: usize = 4_096;

/// How long a unit is watched for its mean, if nothing else is said: 10 minutes.
pub const DEFAULT_WITHIN_MS: u64 = 600_000;

/// The weight of a gate, if nothing else is said.
pub const DEFAULT_WEIGHT: f64 = 1.0;

/// How often a source is asked, if nothing else is said.
pub const DEFAULT_EVERY_MS: u64 = 15_000;

/// The longest time of a unit's observation, and the longest that answers must be beyond their bound: a day.
const MAX_MS: u64 = 24 * 3_600_000;

impl Gate {
    /// A gate of that key on how many units the metric of the same name happened to, with everything else as it is by default.
    pub fn named(key: impl Into<String>) -> Self {
        let key = key.into();
        let watches = Watched::Events(EventGate::named(key.clone()));
        Self { key, severity: Severity::default(), watches }
    }

    /// That event gate, under that key.
    pub fn on_events(key: impl Into<String>, gate: EventGate) -> Self {
        Self { key: key.into(), severity: Severity::default(), watches: Watched::Events(gate) }
    }

    /// What it compares of events; `None`: it asks another system.
    pub fn events(&self) -> Option<&EventGate> {
        match &self.watches {
            Watched::Events(gate) => Some(gate),
            Watched::Query(_) => None,
        }
    }

    /// What it asks another system; `None`: it compares events.
    pub fn query(&self) -> Option<&QueryGate> {
        match &self.watches {
            Watched::Query(gate) => Some(gate),
            Watched::Events(_) => None,
        }
    }

    /// Whether it can find harm where nobody is left to compare with.
    pub fn is_absolute(&self) -> bool {
        match &self.watches {
            Watched::Events(gate) => gate.limit.is_some(),
            Watched::Query(gate) => matches!(gate.bound, Bound::Absolute { .. }),
        }
    }

    pub(super) fn check(&self, pointer: &str) -> Result<(), SpecError> {
        let wrong = |name: &str, message: &str| Err(SpecError::at(format!("{pointer}/{name}"), message));
        if !(1..=MAX_NAME_BYTES).contains(&self.key.len()) {
            return wrong("key", "a gate's key has 1 to 128 bytes");
        }
        match &self.watches {
            Watched::Events(gate) => gate.check(&wrong),
            Watched::Query(gate) => gate.check(&wrong),
        }
    }
}

impl EventGate {
    /// A gate on how many units the metric happened to, with everything else as it is by default.
    pub fn named(metric: impl Into<String>) -> Self {
        Self {
            metric: metric.into(),
            test: Test::Happened { above: None },
            worse: Direction::default(),
            margin: default_margin(),
            limit: None,
            proof: None,
            weight: DEFAULT_WEIGHT,
        }
    }

    fn check(&self, wrong: &dyn Fn(&str, &str) -> Result<(), SpecError>) -> Result<(), SpecError> {
        if !(1..=MAX_NAME_BYTES).contains(&self.metric.len()) {
            return wrong("metric", "a metric's name has 1 to 128 bytes");
        }
        match self.test {
            Test::Happened { above: Some(above) } if !above.is_finite() => return wrong("above", "a finite number"),
            Test::Mean { within_ms } | Test::Ratio { within_ms } if !(1_000..=MAX_MS).contains(&within_ms) => {
                return wrong("withinMs", "a unit is watched for 1000 ms to a day");
            }
            Test::Quantile { quantile } if !(0.01..=0.999).contains(&quantile) => {
                return wrong("quantile", "from 0.01 to 0.999, like 0.95");
            }
            _ => {}
        }
        check_margin(self.margin, self.worse, wrong)?;
        if !(0.01..=100.0).contains(&self.weight) {
            return wrong("weight", "from 0.01 to 100: 1 is as much as the others");
        }
        let counts = matches!(self.test, Test::Happened { .. }) && self.worse == Direction::Up;
        if let Some(limit) = self.limit {
            if !counts {
                return wrong(
                    "limit",
                    "a limit is for what must not happen to too many units: not for means, quantiles, or where less is worse",
                );
            }
            if !(limit.share > 0.0 && limit.share < 1.0) {
                return wrong("limit/share", "a share of units between 0 and 1, like 0.2 for a fifth");
            }
            if limit.units == 0 {
                return wrong("limit/units", "at least 1 unit");
            }
        }
        if let Some(proof) = self.proof {
            if !counts {
                return wrong(
                    "proof",
                    "a proof is for what must not happen to more units: not for means, quantiles, or where less is worse",
                );
            }
            if !(proof > 1.0 + self.margin && proof <= 100.0) {
                return wrong("proof", "above 1 + margin, at most 100: 2 for `it happens to less than twice as many`");
            }
        }
        Ok(())
    }
}

impl QueryGate {
    fn check(&self, wrong: &dyn Fn(&str, &str) -> Result<(), SpecError>) -> Result<(), SpecError> {
        if !(1..=MAX_NAME_BYTES).contains(&self.source.len()) {
            return wrong("source", "the key of a metric source of the project");
        }
        let is_query = |query: &str| (1..=MAX_QUERY_BYTES).contains(&query.len());
        if !is_query(&self.query) {
            return wrong("query", "a query has 1 to 4096 bytes");
        }
        if self.for_ms > MAX_MS {
            return wrong("forMs", "at most a day");
        }
        if !(1_000..=600_000).contains(&self.every_ms) {
            return wrong("everyMs", "a source is asked every 1000 ms to 10 minutes");
        }
        match &self.bound {
            Bound::Absolute { min: None, max: None } => {
                wrong("max", "say which answers are harm: above `max`, below `min`, or worse than `controlQuery`")
            }
            Bound::Absolute { min, max } => {
                let finite = |bound: &Option<f64>| bound.is_none_or(f64::is_finite);
                if !finite(min) || !finite(max) || matches!((min, max), (Some(min), Some(max)) if min >= max) {
                    return wrong("max", "`min` and `max` are finite, and `min` is less");
                }
                Ok(())
            }
            Bound::Control { query, .. } if !is_query(query) => wrong("controlQuery", "a query has 1 to 4096 bytes"),
            Bound::Control { margin, worse, .. } => check_margin(*margin, *worse, wrong),
        }
    }
}

fn check_margin(
    margin: f64,
    worse: Direction,
    wrong: &dyn Fn(&str, &str) -> Result<(), SpecError>,
) -> Result<(), SpecError> {
    let most = if worse == Direction::Up { 10.0 } else { 0.99 };
    if (0.001..=most).contains(&margin) {
        return Ok(());
    }
    wrong("margin", "from 0.001 up to 10, or to 0.99 where less is worse: nothing is ever exactly as before")
}

fn default_margin() -> f64 {
    0.1
}

fn default_limit_units() -> u64 {
    20
}

/// What a gate compares of a metric's events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = GateTest))]
#[serde(rename_all = "camelCase")]
pub enum TestName {
    /// How many units it happened to.
    #[default]
    Happened,
    /// The mean over units of each unit's total.
    Mean,
    /// The mean over measurements.
    Ratio,
    /// A quantile of each unit's first value.
    Quantile,
}

/// A gate: a metric that is watched, from the first step to the last. It has a `metric`, which applications `track`, or a `source` and
/// a `query`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = RolloutGate))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GateText {
    /// Names the gate in judgements and the audit log; unique among the gates.
    #[cfg_attr(feature = "schema", schema(required = true))]
    key: String,
    /// What is done where the metric gets worse.
    severity: Severity,
    /// The name of the metric: what applications `track`.
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<String>,
    /// What of the metric is compared.
    #[serde(skip_serializing_if = "is_default")]
    test: TestName,
    /// For `happened`: only measurements above this count. Absent: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    above: Option<f64>,
    /// For `mean` and `ratio`: what is measured of a unit within so long after its first exposure, in milliseconds; absent: 10 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    within_ms: Option<u64>,
    /// For `quantile`: between 0 and 1, like 0.95.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantile: Option<f64>,
    /// Which way is worse.
    #[serde(skip_serializing_if = "is_default")]
    worse: Direction,
    /// How much worse is no harm yet, relative to control: above 0, at most 10, and below 1 where less is worse; absent: 0.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    margin: Option<f64>,
    /// The absolute limit, whatever control does.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<Limit>,
    /// The step ends only when it is proved that it happens to less than so many times as many units of treatment as of control.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<f64>,
    /// Its part of the tolerated probability of a wrong alarm, beside those of the other gates with a `metric`; 0.01 to 100, absent: 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<f64>,
    /// The key of a metric source of the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    /// What is asked: `PromQL`, or the path of an HTTP source.
    #[serde(skip_serializing_if = "Option::is_none")]
    query: Option<String>,
    /// What is asked of control, to compare `query` with; absent: `min` and `max` are absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    control_query: Option<String>,
    /// The least answer that is no harm.
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    /// The most that is no harm.
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    /// It acts when the answers were beyond for so long, without a gap, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    for_ms: Option<u64>,
    /// How often the source is asked, in milliseconds; absent: 15,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    every_ms: Option<u64>,
}

impl GateText {
    /// The fields that are there and belong to gates on queries only.
    fn of_queries(&self) -> Option<&'static str> {
        [
            (self.source.is_some(), "source"),
            (self.query.is_some(), "query"),
            (self.control_query.is_some(), "controlQuery"),
            (self.min.is_some(), "min"),
            (self.max.is_some(), "max"),
            (self.for_ms.is_some(), "forMs"),
            (self.every_ms.is_some(), "everyMs"),
        ]
        .into_iter()
        .find_map(|(is_there, name)| is_there.then_some(name))
    }

    /// The same of gates on events.
    fn of_events(&self) -> Option<&'static str> {
        [
            (self.metric.is_some(), "metric"),
            (self.test != TestName::Happened, "test"),
            (self.above.is_some(), "above"),
            (self.within_ms.is_some(), "withinMs"),
            (self.quantile.is_some(), "quantile"),
            (self.limit.is_some(), "limit"),
            (self.proof.is_some(), "proof"),
            (self.weight.is_some(), "weight"),
        ]
        .into_iter()
        .find_map(|(is_there, name)| is_there.then_some(name))
    }

    fn events(self, metric: String) -> Result<EventGate, SpecError> {
        if let Some(name) = self.of_queries() {
            return Err(SpecError::at(
                format!("/{name}"),
                "this is for a gate with a `source`, not for one with a `metric`",
            ));
        }
        let only = |is_there: bool, name: &str, tests: &str| {
            let wrong = || SpecError::at(format!("/{name}"), format!("this is for the test {tests}"));
            if is_there { Err(wrong()) } else { Ok(()) }
        };
        let is_mean = matches!(self.test, TestName::Mean | TestName::Ratio);
        only(self.above.is_some() && self.test != TestName::Happened, "above", "`happened`")?;
        only(self.within_ms.is_some() && !is_mean, "withinMs", "`mean` or `ratio`")?;
        only(self.quantile.is_some() && self.test != TestName::Quantile, "quantile", "`quantile`")?;
        let within_ms = self.within_ms.unwrap_or(DEFAULT_WITHIN_MS);
        let test = match (self.test, self.quantile) {
            (TestName::Happened, _) => Test::Happened { above: self.above },
            (TestName::Mean, _) => Test::Mean { within_ms },
            (TestName::Ratio, _) => Test::Ratio { within_ms },
            (TestName::Quantile, Some(quantile)) => Test::Quantile { quantile },
            (TestName::Quantile, None) => return Err(SpecError::at("/quantile", "which quantile: 0.95, say")),
        };
        let Self { worse, limit, proof, .. } = self;
        let (margin, weight) = (self.margin.unwrap_or_else(default_margin), self.weight.unwrap_or(DEFAULT_WEIGHT));
        Ok(EventGate { metric, test, worse, margin, limit, proof, weight })
    }

    fn query(self, source: String) -> Result<QueryGate, SpecError> {
        if let Some(name) = self.of_events() {
            return Err(SpecError::at(
                format!("/{name}"),
                "this is for a gate with a `metric`, not for one with a `source`",
            ));
        }
        let query = self.query.ok_or_else(|| SpecError::at("/query", "what is the source asked?"))?;
        let bound = match self.control_query {
            Some(_) if self.min.is_some() || self.max.is_some() => {
                return Err(SpecError::at(
                    "/controlQuery",
                    "either a comparison with control, or `min` and `max`: make it two gates",
                ));
            }
            Some(query) => {
                Bound::Control { query, worse: self.worse, margin: self.margin.unwrap_or_else(default_margin) }
            }
            None if self.margin.is_some() => {
                return Err(SpecError::at("/margin", "a margin is for a comparison: with `controlQuery`"));
            }
            None => Bound::Absolute { min: self.min, max: self.max },
        };
        let (for_ms, every_ms) = (self.for_ms.unwrap_or(0), self.every_ms.unwrap_or(DEFAULT_EVERY_MS));
        Ok(QueryGate { source, query, bound, for_ms, every_ms })
    }
}

impl TryFrom<GateText> for Gate {
    type Error = SpecError;

    fn try_from(mut text: GateText) -> Result<Self, SpecError> {
        let (key, severity) = (std::mem::take(&mut text.key), text.severity);
        let watches = match (text.metric.clone(), text.source.clone()) {
            (Some(metric), _) => Watched::Events(text.events(metric)?),
            (None, Some(source)) => Watched::Query(text.query(source)?),
            (None, None) => {
                return Err(SpecError::at("/metric", "a gate watches a `metric`, or asks a `source` with a `query`"));
            }
        };
        Ok(Self { key, severity, watches })
    }
}

impl From<Gate> for GateText {
    fn from(Gate { key, severity, watches }: Gate) -> Self {
        let text = Self { key, severity, ..Self::default() };
        match watches {
            Watched::Events(EventGate { metric, test, worse, margin, limit, proof, weight }) => {
                let weight = (weight != DEFAULT_WEIGHT).then_some(weight);
                let text = Self { metric: Some(metric), worse, margin: Some(margin), limit, proof, weight, ..text };
                match test {
                    Test::Happened { above } => Self { above, ..text },
                    Test::Mean { within_ms } => Self { test: TestName::Mean, within_ms: Some(within_ms), ..text },
                    Test::Ratio { within_ms } => Self { test: TestName::Ratio, within_ms: Some(within_ms), ..text },
                    Test::Quantile { quantile } => Self { test: TestName::Quantile, quantile: Some(quantile), ..text },
                }
            }
            Watched::Query(QueryGate { source, query, bound, for_ms, every_ms }) => {
                let (source, query) = (Some(source), Some(query));
                let text = Self { source, query, for_ms: Some(for_ms), every_ms: Some(every_ms), ..text };
                match bound {
                    Bound::Absolute { min, max } => Self { min, max, ..text },
                    Bound::Control { query, worse, margin } => {
                        Self { control_query: Some(query), worse, margin: Some(margin), ..text }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, wrong: Option<&str>) {
        let gate = serde_json::from_str::<Gate>(json);
        match (gate, wrong) {
            (Ok(gate), None) => {
                gate.check("").unwrap();
                let text = serde_json::to_string(&gate).unwrap();
                assert_eq!(serde_json::from_str::<Gate>(&text).unwrap(), gate, "{text}");
            }
            (Ok(gate), Some(wrong)) => assert_eq!(gate.check("").unwrap_err().field, wrong),
            (Err(error), Some(wrong)) => assert!(error.to_string().starts_with(&format!("{wrong}: ")), "{error}"),
            (Err(error), None) => panic!("{error}"),
        }
    }

    #[test]
    fn gates_are_read_and_written() {
        check(r#"{"key": "a", "metric": "errors"}"#, None);
        check(r#"{"key": "a", "metric": "ms", "above": 300, "severity": "signal", "limit": {"share": 0.1}}"#, None);
        check(r#"{"key": "a", "metric": "ms", "test": "quantile", "quantile": 0.95, "margin": 0.05}"#, None);
        check(r#"{"key": "a", "metric": "basket", "test": "mean", "worse": "down", "withinMs": 60000}"#, None);
        check(r#"{"key": "a", "metric": "ms", "test": "ratio"}"#, None);
        check(r#"{"key": "a", "metric": "errors", "proof": 2}"#, None);
        check(r#"{"key": "a", "metric": "errors", "weight": 3}"#, None);
        check(r#"{"key": "a", "source": "prom", "query": "up", "min": 1, "forMs": 300000}"#, None);
        check(r#"{"key": "a", "source": "prom", "query": "t", "controlQuery": "c", "margin": 0.2}"#, None);
    }

    #[test]
    fn what_does_not_belong_to_a_gate_is_named() {
        check(r#"{"key": "a"}"#, Some("/metric"));
        check(r#"{"key": "a", "metric": "m", "query": "up"}"#, Some("/query"));
        check(r#"{"key": "a", "source": "s", "query": "up", "max": 1, "limit": {"share": 0.1}}"#, Some("/limit"));
        check(r#"{"key": "a", "source": "s", "query": "up", "test": "mean"}"#, Some("/test"));
        check(r#"{"key": "a", "source": "s"}"#, Some("/query"));
        check(r#"{"key": "a", "source": "s", "query": "up"}"#, Some("/max"));
        check(r#"{"key": "a", "source": "s", "query": "up", "max": 1, "min": 2}"#, Some("/max"));
        check(r#"{"key": "a", "source": "s", "query": "up", "max": 1, "margin": 0.1}"#, Some("/margin"));
        check(r#"{"key": "a", "source": "s", "query": "t", "controlQuery": "c", "max": 1}"#, Some("/controlQuery"));
        check(r#"{"key": "a", "source": "s", "query": "up", "max": 1, "everyMs": 10}"#, Some("/everyMs"));
        check(r#"{"key": "a", "metric": "m", "quantile": 0.5}"#, Some("/quantile"));
        check(r#"{"key": "a", "metric": "m", "test": "quantile"}"#, Some("/quantile"));
        check(r#"{"key": "a", "metric": "m", "test": "quantile", "quantile": 95}"#, Some("/quantile"));
        check(r#"{"key": "a", "metric": "m", "withinMs": 5000}"#, Some("/withinMs"));
        check(r#"{"key": "a", "metric": "m", "test": "mean", "withinMs": 5}"#, Some("/withinMs"));
        check(r#"{"key": "a", "metric": "m", "test": "mean", "limit": {"share": 0.1}}"#, Some("/limit"));
        check(r#"{"key": "a", "metric": "m", "proof": 1.05}"#, Some("/proof"));
        check(r#"{"key": "a", "metric": "m", "weight": 0}"#, Some("/weight"));
        check(r#"{"key": "a", "source": "s", "query": "up", "max": 1, "weight": 2}"#, Some("/weight"));
        check(r#"{"key": "a", "metric": "m", "worse": "down", "proof": 2}"#, Some("/proof"));
    }

    #[test]
    fn numbers_have_their_range() {
        let check = |gate: EventGate, wrong: Option<&str>| {
            let found = Gate::on_events("a", gate).check("").err().map(|error| error.field);
            assert_eq!(found.as_deref(), wrong);
        };
        let errors = || EventGate::named("errors");
        check(errors(), None);
        check(EventGate { metric: String::new(), ..errors() }, Some("/metric"));
        check(EventGate { margin: 0.0, ..errors() }, Some("/margin"));
        check(EventGate { margin: f64::NAN, ..errors() }, Some("/margin"));
        check(EventGate { margin: 1.0, worse: Direction::Down, ..errors() }, Some("/margin"));
        check(EventGate { test: Test::Happened { above: Some(f64::INFINITY) }, ..errors() }, Some("/above"));
        let limit = |share, units| EventGate { limit: Some(Limit { share, units }), ..errors() };
        check(limit(0.2, 20), None);
        check(limit(1.0, 20), Some("/limit/share"));
        check(limit(0.2, 0), Some("/limit/units"));
        check(EventGate { worse: Direction::Down, ..limit(0.2, 20) }, Some("/limit"));
    }
}

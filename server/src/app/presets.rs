//! Presets of gates: what most services watch, for metrics of the usual names. A preset becomes gates that are written like others.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_rollout::{Bound, Gate, QueryGate, Severity, Watched, spec::GateText};
use utoipa::ToSchema;

use super::AppError;

/// A preset: gates with some words left open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct GatePreset {
    /// Names it.
    pub key: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// When it acts.
    pub description: &'static str,
    /// The words that are left open.
    pub parameters: Vec<PresetParameter>,
}

/// A word that a preset leaves open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PresetParameter {
    /// Names it.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// What it is if nothing else is said; absent: it must be said; empty: nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<&'static str>,
}

/// What a preset becomes, and for which source.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpandPreset {
    /// The key of a metric source of kind `prometheus`.
    pub source: String,
    /// The words that the preset leaves open, by name.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
}

/// Gates for a rollout's spec.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExpandedPreset {
    /// One or two.
    #[schema(value_type = Vec<GateText>)]
    pub gates: Vec<Gate>,
}

const MINUTE_MS: u64 = 60_000;

/// Every preset: key, name, description, the parameters by name, and what they become.
type Row =
    (&'static str, &'static str, &'static str, &'static [&'static str], fn(&Words) -> Vec<(&'static str, Draft)>);

const PRESETS: [Row; 7] = [
    (
        "error-rate",
        "Error rate",
        "More than 10 % of requests fail, for 5 minutes.",
        &["requests", "job", "failureLabel", "failures", "window"],
        |words| vec![("error-rate", above(words.failing(&words.get("window")), 0.1, 5))],
    ),
    (
        "slow-p95",
        "Slow requests",
        "One request in twenty takes more than 5 seconds, for 5 minutes.",
        &["durations", "job", "window"],
        |words| vec![("slow-p95", above(words.p95(), 5.0, 5))],
    ),
    (
        "critical-endpoint",
        "Critical endpoint",
        "More than 1 % of the requests to one endpoint fail, for 5 minutes.",
        &["endpoint", "endpointLabel", "requests", "job", "failureLabel", "failures", "window"],
        |words| vec![("critical-endpoint", above(words.failing(&words.get("window")), 0.01, 5))],
    ),
    (
        "connection-pool",
        "Connection pool",
        "A pool of connections is exhausted, for 1 minute.",
        &["poolUsed", "poolSize", "job"],
        |words| {
            let matchers = words.matchers(&[]);
            let query = format!("max({}{matchers} / {}{matchers})", words.get("poolUsed"), words.get("poolSize"));
            vec![("connection-pool", above(query, 0.99, 1))]
        },
    ),
    (
        "slo-success",
        "SLO: success",
        "Less than 99.9 % of requests succeed, for 5 minutes.",
        &["requests", "job", "failureLabel", "failures", "window"],
        |words| {
            let query = format!("1 - {}", words.failing(&words.get("window")));
            vec![("slo-success", Draft { query, bound: Bound::Absolute { min: Some(0.999), max: None }, for_min: 5 })]
        },
    ),
    (
        "slo-latency",
        "SLO: latency",
        "One request in twenty takes more than 300 milliseconds, for 5 minutes.",
        &["durations", "job", "window"],
        |words| vec![("slo-latency", above(words.p95(), 0.3, 5))],
    ),
    (
        "slo-burn",
        "SLO: error budget",
        "The budget of errors burns 14.4 times as fast as it may, over 5 minutes and over 1 hour; or 6 times, over 30 minutes and over 6 hours.",
        &["objective", "requests", "job", "failureLabel", "failures"],
        |words| {
            vec![
                ("slo-burn-fast", above(words.burning("5m", "1h"), 14.4, 0)),
                ("slo-burn-slow", above(words.burning("30m", "6h"), 6.0, 0)),
            ]
        },
    ),
];

const PARAMETERS: [(&str, &str, Option<&str>, Form); 11] = [
    ("requests", "the counter of requests", Some("http_requests_total"), Form::Metric),
    (
        "durations",
        "the histogram of durations, in seconds, without `_bucket`",
        Some("http_request_duration_seconds"),
        Form::Metric,
    ),
    ("job", "the job that is rolled out; empty: all", Some(""), Form::Text),
    ("failureLabel", "the label that tells requests that failed", Some("code"), Form::Label),
    ("failures", "which values of that label are failures, as a regular expression", Some("5.."), Form::Text),
    ("endpoint", "the endpoint", None, Form::Text),
    ("endpointLabel", "the label that names the endpoint", Some("handler"), Form::Label),
    ("window", "over which time rates are taken: at least four scrapes", Some("1m"), Form::Time),
    ("poolUsed", "the gauge of connections in use", None, Form::Metric),
    ("poolSize", "the gauge of connections that there may be", None, Form::Metric),
    ("objective", "the share of requests that are to succeed", Some("0.999"), Form::Share),
];

/// What a parameter may look like.
#[derive(Clone, Copy)]
enum Form {
    Metric,
    Label,
    Text,
    Time,
    Share,
}

/// A gate's query and bound.
struct Draft {
    query: String,
    bound: Bound,
    for_min: u64,
}

/// The words of one preset.
struct Words(BTreeMap<&'static str, String>);

/// The presets that there are.
pub fn presets() -> Vec<GatePreset> {
    let preset = |(key, name, description, parameters, _): &Row| {
        let parameters = parameters.iter().filter_map(|name| parameter(name)).collect();
        GatePreset { key, name, description, parameters }
    };
    PRESETS.iter().map(preset).collect()
}

fn parameter(wanted: &str) -> Option<PresetParameter> {
    let (name, description, default, _) = *PARAMETERS.iter().find(|(name, ..)| *name == wanted)?;
    Some(PresetParameter { name, description, default })
}

/// The gates of a preset.
///
/// # Errors
/// [`AppError::NotFound`]; [`AppError::Invalid`] names the parameter.
pub fn expand(preset: &str, command: &ExpandPreset) -> Result<ExpandedPreset, AppError> {
    let found = PRESETS.iter().find(|(key, ..)| *key == preset);
    let Some((.., names, become_gates)) = found else {
        return Err(AppError::NotFound { what: format!("gate preset `{preset}`") });
    };
    if let Some(unknown) = command.parameters.keys().find(|name| !names.contains(&name.as_str())) {
        let detail = format!("there is no such parameter here; there are {}", names.join(", "));
        return Err(AppError::invalid(format!("/parameters/{unknown}"), detail));
    }
    let mut words = BTreeMap::new();
    for (name, _, default, form) in PARAMETERS.iter().filter(|(name, ..)| names.contains(name)) {
        let pointer = || format!("/parameters/{name}");
        let text = command.parameters.get(*name).map(String::as_str).or(*default);
        let text = text.ok_or_else(|| AppError::invalid(pointer(), "this must be said"))?;
        form.check(text).map_err(|detail| AppError::invalid(pointer(), detail))?;
        words.insert(*name, text.to_owned());
    }
    let gate = |(key, Draft { query, bound, for_min }): (&str, Draft)| {
        let every_ms = tidegate_rollout::spec::DEFAULT_EVERY_MS;
        let query = QueryGate { source: command.source.clone(), query, bound, for_ms: for_min * MINUTE_MS, every_ms };
        Gate { key: key.to_owned(), severity: Severity::Harm, watches: Watched::Query(query) }
    };
    Ok(ExpandedPreset { gates: become_gates(&Words(words)).into_iter().map(gate).collect() })
}

fn above(query: String, max: f64, for_min: u64) -> Draft {
    Draft { query, bound: Bound::Absolute { min: None, max: Some(max) }, for_min }
}

impl Form {
    fn check(self, text: &str) -> Result<(), &'static str> {
        let is_name = |more: &str| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
            text.chars().all(is_plain) && !text.starts_with(|c: char| c.is_ascii_digit()) && !text.is_empty()
        };
        let (is_right, form) = match self {
            Self::Metric => (is_name("_:"), "a name of a metric, like `http_requests_total`"),
            Self::Label => (is_name("_"), "a name of a label, like `code`"),
            Self::Text => (text.len() <= 200, "at most 200 bytes"),
            Self::Time => {
                let number = text.strip_suffix(['s', 'm', 'h']).and_then(|number| number.parse::<u16>().ok());
                (number.is_some_and(|number| number > 0), "a time, like `30s`, `1m` or `1h`")
            }
            Self::Share => {
                let share = text.parse::<f64>().ok();
                (share.is_some_and(|share| share > 0.0 && share < 1.0), "a share between 0 and 1, like `0.999`")
            }
        };
        if is_right { Ok(()) } else { Err(form) }
    }
}

impl Words {
    fn get(&self, name: &str) -> String {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// `{job="…"}` and more; nothing where there is nothing to match.
    fn matchers(&self, more: &[String]) -> String {
        let mut matchers = Vec::new();
        for (label, word) in [("job".to_owned(), "job"), (self.get("endpointLabel"), "endpoint")] {
            let value = self.get(word);
            if !value.is_empty() {
                matchers.push(format!("{label}={}", quoted(&value)));
            }
        }
        matchers.extend_from_slice(more);
        if matchers.is_empty() { String::new() } else { format!("{{{}}}", matchers.join(",")) }
    }

    /// The share of requests that fail: 0 where no failure was ever counted, and no number where there are no requests.
    fn failing(&self, window: &str) -> String {
        let (requests, all) = (self.get("requests"), self.matchers(&[]));
        let failed = self.matchers(&[format!("{}=~{}", self.get("failureLabel"), quoted(&self.get("failures")))]);
        format!("(sum(rate({requests}{failed}[{window}])) or vector(0)) / sum(rate({requests}{all}[{window}]))")
    }

    /// How fast the budget burns: the less of two windows, so that it is both much and now.
    fn burning(&self, short: &str, long: &str) -> String {
        let burning = |window| format!("({} / (1 - {}))", self.failing(window), self.get("objective"));
        let (short, long) = (burning(short), burning(long));
        format!("{short} < {long} or {long}")
    }

    fn p95(&self) -> String {
        let (durations, matchers, window) = (self.get("durations"), self.matchers(&[]), self.get("window"));
        format!("histogram_quantile(0.95, sum by (le) (rate({durations}_bucket{matchers}[{window}])))")
    }
}

/// A text as it stands in a matcher of PromQL.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(parameters: &[(&str, &str)]) -> ExpandPreset {
        let parameters = parameters.iter().map(|(name, word)| ((*name).to_owned(), (*word).to_owned())).collect();
        ExpandPreset { source: "prometheus".to_owned(), parameters }
    }

    #[track_caller]
    fn query(preset: &str, parameters: &[(&str, &str)]) -> String {
        let gates = expand(preset, &words(parameters)).unwrap().gates;
        gates[0].query().unwrap().query.clone()
    }

    #[test]
    fn a_preset_becomes_gates_of_a_spec() {
        let needed = [("endpoint", "/pay"), ("poolUsed", "db_in_use"), ("poolSize", "db_max")];
        for preset in presets() {
            let needed = needed.iter().filter(|(name, _)| preset.parameters.iter().any(|known| known.name == *name));
            let gates = expand(preset.key, &words(&needed.copied().collect::<Vec<_>>())).unwrap().gates;
            let spec = json!({ "steps": [{ "share": 100_000, "bakeMs": 60_000 }], "gates": gates });
            serde_json::from_value::<tidegate_rollout::Spec>(spec)
                .unwrap_or_else(|error| panic!("{preset:?}: {error}"));
            assert!(preset.parameters.iter().all(|parameter| !parameter.description.is_empty()), "{preset:?}");
        }
    }

    #[test]
    fn words_come_into_the_query_as_they_are_meant() {
        assert_eq!(
            query("error-rate", &[("job", "shop"), ("window", "2m")]),
            "(sum(rate(http_requests_total{job=\"shop\",code=~\"5..\"}[2m])) or vector(0)) / \
             sum(rate(http_requests_total{job=\"shop\"}[2m]))"
        );
        assert_eq!(
            query("slow-p95", &[("durations", "latency")]),
            "histogram_quantile(0.95, sum by (le) (rate(latency_bucket[1m])))"
        );
        let endpoint = query("critical-endpoint", &[("endpoint", "/a\"} or vector(0) #\\\n")]);
        assert!(endpoint.contains(r#"{handler="/a\"} or vector(0) #\\\n"}"#), "{endpoint}");
        let burn = query("slo-burn", &[("objective", "0.99")]);
        assert!(burn.contains("[5m]") && burn.contains("[1h]") && burn.contains("/ (1 - 0.99)"), "{burn}");
    }

    #[test]
    fn a_word_of_the_wrong_form_is_refused_where_it_is() {
        let check = |preset: &str, parameters: &[(&str, &str)], field: &str| match expand(preset, &words(parameters)) {
            Err(AppError::Invalid { field: found, .. }) => assert_eq!(found, field),
            other => panic!("{other:?}"),
        };
        check("error-rate", &[("requests", "a b")], "/parameters/requests");
        check("error-rate", &[("requests", "1a")], "/parameters/requests");
        check("error-rate", &[("failureLabel", "co:de")], "/parameters/failureLabel");
        check("error-rate", &[("window", "5")], "/parameters/window");
        check("error-rate", &[("window", "0m")], "/parameters/window");
        check("error-rate", &[("endpoint", "/pay")], "/parameters/endpoint");
        check("critical-endpoint", &[], "/parameters/endpoint");
        check("slo-burn", &[("objective", "99.9")], "/parameters/objective");
        assert!(matches!(expand("none", &words(&[])), Err(AppError::NotFound { .. })));
    }
}

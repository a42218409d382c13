//! What the server says of itself: log lines and metrics. Neither ever holds a token, a context attribute or a targeting
//! key.

use std::{
    io::IsTerminal as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Metric, Registry},
};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One line for people each.
    #[default]
    Text,
    /// One JSON object each.
    Json,
}

/// Sends log lines to standard error from now on. `filter` is a directive like `info,tidegate_server=debug`; one that
/// cannot be read counts as `info`. Calls after the first do nothing.
pub fn log(format: LogFormat, filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second call (in tests) finds the first one's subscriber in place: it does as well.
    let _ = match format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
}

/// Every metric of the process. Cheap to share; counting never waits.
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Requests answered.
    pub requests: Family<RequestLabels, Counter>,
    /// How long they took until the answer began, in seconds.
    pub request_seconds: Family<RouteLabels, Histogram>,
    /// Sign-ins by how they ended.
    pub sign_ins: Family<OutcomeLabels, Counter>,
    /// Requests turned away because too many were being worked on.
    pub overloads: Counter,
    /// Documents that cannot be read and are left out, by environment.
    pub broken_documents: Family<EnvironmentLabels, Gauge>,
    /// Compile issues, by environment.
    pub compile_issues: Family<EnvironmentLabels, Gauge>,
    /// Open streams, by environment.
    pub streams: Family<EnvironmentLabels, Gauge>,
}

/// What is said of an answered request.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RequestLabels {
    /// The route's template, like `/api/v1/projects/{project}`; `other` where none matched: never the path itself, or
    /// anybody could make as many series as they like.
    pub route: Arc<str>,
    /// `GET`, `POST`, …; `other` for what is no method of HTTP.
    pub method: &'static str,
    /// The status code.
    pub status: u16,
}

/// What is said of a request's duration.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RouteLabels {
    /// As in [`RequestLabels`].
    pub route: Arc<str>,
    /// As in [`RequestLabels`].
    pub method: &'static str,
}

/// How something ended.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OutcomeLabels {
    /// `accepted`, `refused`, `throttled` or `failed` (the server's fault).
    pub outcome: &'static str,
}

/// An environment.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct EnvironmentLabels {
    /// The project's key.
    pub project: String,
    /// The environment's key.
    pub environment: String,
}

/// Upper bounds of the latency buckets, in seconds: reads take fractions of a millisecond, a durable write some.
const LATENCY_BUCKETS_S: [f64; 11] = [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0];

impl Metrics {
    /// A registry with the metrics above and the build's version.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("tidegate");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running build", build);
        let mut metrics = Self {
            registry: Mutex::default(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS_S)),
            sign_ins: Family::default(),
            overloads: Counter::default(),
            broken_documents: Family::default(),
            compile_issues: Family::default(),
            streams: Family::default(),
        };
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        registry.register("http_request_seconds", "Time until the answer began", metrics.request_seconds.clone());
        registry.register("sign_ins", "Sign-ins by outcome", metrics.sign_ins.clone());
        registry.register("http_overloads", "Requests turned away as too many at once", metrics.overloads.clone());
        registry.register(
            "broken_documents",
            "Documents that cannot be read and are left out",
            metrics.broken_documents.clone(),
        );
        registry.register("compile_issues", "Issues of the compiled configuration", metrics.compile_issues.clone());
        registry.register("streams", "Open streams", metrics.streams.clone());
        metrics.registry = Mutex::new(registry);
        metrics
    }

    /// Adds a metric of another part of the server; the name gets the prefix `tidegate_`.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).register(name, help, metric);
    }

    /// Everything, in the `OpenMetrics` text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        match text::encode(&mut text, &registry) {
            Ok(()) => text,
            Err(error) => unreachable!("writing to a string does not fail: {error}"),
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Measures how long something takes, for people to look at. Nothing is ever decided by it, so it need not be a port.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts now.
    #[expect(clippy::disallowed_methods, reason = "the clock port has milliseconds; this measures microseconds")]
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }

    /// The time since then.
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_render_as_open_metrics_text() {
        let metrics = Metrics::new();
        let labels = RequestLabels { route: "/livez".into(), method: "GET", status: 200 };
        metrics.requests.get_or_create(&labels).inc();
        metrics.register("ice_creams", "For the test", Gauge::<i64>::default());
        let text = metrics.render();
        assert!(text.contains(r#"tidegate_http_requests_total{route="/livez",method="GET",status="200"} 1"#), "{text}");
        assert!(text.contains("tidegate_ice_creams 0"), "{text}");
        assert!(text.contains("tidegate_build_info{"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");
    }
}

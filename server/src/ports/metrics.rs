//! Metrics of other systems: what gates with queries ask.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_rollout::reading::{Problem, Sample};
use utoipa::ToSchema;

use super::outgoing::{Offline, OutgoingError};

/// What a metric source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum SourceKind {
    /// Prometheus, or what answers as it does (Thanos, Mimir, `VictoriaMetrics`): queries are `PromQL`.
    Prometheus,
    /// Any service that answers `GET` with a number in JSON: queries are paths.
    Http,
}

/// Where a query goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// What answers.
    pub kind: SourceKind,
    /// Where, as its configuration says.
    pub url: String,
    /// The operator's credential that is sent along.
    pub credential: Option<String>,
}

/// Asks metric sources.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// The one number that the query says now. What may be another answer the next time is asked for again, within that time.
    async fn ask(&self, place: &Place, query: &str, within: Duration) -> Result<Sample, Problem>;
}

#[async_trait]
impl Metrics for Offline {
    async fn ask(&self, _place: &Place, _query: &str, _within: Duration) -> Result<Sample, Problem> {
        Err(Problem::Unreachable { why: OutgoingError::Forbidden.to_string() })
    }
}

//! Metric sources: the systems that a project's gates ask. What opens them, the operator keeps; a source names it.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tidegate_core::SourceKey;
use tidegate_rollout::{
    Bound, Gate, Spec,
    reading::{FRESH_MS, Problem, Sample},
};
use utoipa::ToSchema;

use super::{
    App, AppError, Principal, Request,
    access::{Action, authorize},
    documents::{Body, Stored, id_of},
    input::Patchable,
    limits,
    moment::Moment,
    of_project::OfProject,
    resource::Resource,
};
use crate::ports::{
    metrics::{Place, SourceKind},
    outgoing::OutgoingError,
    store::{DocumentId, DocumentKind},
};

/// A system that gates ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricSource {
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What answers; never changes.
    pub kind: SourceKind,
    /// Where: `https` or `http`, without a query and without anything secret.
    pub url: String,
    /// The name of a credential that the operator has for that address; absent: none is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

impl Body for MetricSource {
    const KIND: DocumentKind = DocumentKind::MetricSource;
}

/// Makes a metric source.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateMetricSource {
    /// Names it within the project for ever.
    #[schema(value_type = String)]
    pub key: SourceKey,
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What answers.
    pub kind: SourceKind,
    /// Where: `https` or `http`, without a query and without anything secret. Private addresses are asked where the operator allows
    /// it.
    pub url: String,
    /// The name of a credential that the operator has for that address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// What a query would say.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestMetricSource {
    /// What is asked: `PromQL`, or the path of an HTTP source.
    pub query: String,
}

/// What a query says now: a number or a problem.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TestedMetricSource {
    /// The number; absent where there is none that a gate would believe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// When it was measured, by the source's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Moment>,
    /// What is wrong, as a gate would say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl OfProject for MetricSource {
    type Shown = Resource<Self>;

    const READ: Action = Action::Read;
    const WRITE: Action = Action::Administer;
    const MAX: u32 = limits::MAX_METRIC_SOURCES;
    const COUNTED: &'static str = "metric sources in a project";
    const PATCHABLE: Patchable = Patchable {
        fields: &["name", "description", "url", "credential"],
        fixed: &[
            ("key", "a metric source's key never changes: create another one"),
            ("kind", "a metric source's kind never changes: create another one"),
        ],
    };

    async fn checked(self, _: Option<&Self>, app: &App, _: &str) -> Result<Self, AppError> {
        limits::check_metric_source(&self)?;
        if self.url.contains(['?', '#']) {
            return Err(AppError::invalid("/url", "an address ends with its path: what is asked, each gate says"));
        }
        app.outgoing.check(&self.url, self.credential.as_deref()).map_err(|error| {
            let field = match error {
                OutgoingError::UnknownCredential { .. }
                | OutgoingError::CredentialElsewhere { .. }
                | OutgoingError::CredentialKind { .. } => "/credential",
                _ => "/url",
            };
            AppError::invalid(field, error.to_string())
        })?;
        Ok(self)
    }

    async fn check_unused(app: &App, project: &str, key: &str) -> Result<(), AppError> {
        let users = app.rollouts_that_ask(project, key).await?;
        if users.is_empty() {
            return Ok(());
        }
        let detail = format!("metric source `{key}` is asked by {}: let them end first", users.join(", "));
        Err(AppError::InUse { detail })
    }
}

impl App {
    /// Makes a metric source.
    pub async fn create_metric_source(
        &self,
        request: &Request,
        project: &str,
        command: CreateMetricSource,
    ) -> Result<Resource<MetricSource>, AppError> {
        let CreateMetricSource { key, name, description, kind, url, credential } = command;
        let source = MetricSource { name, description, kind, url, credential };
        self.create(request, project, key.as_str(), source).await
    }

    /// Asks a metric source once, as a gate would.
    pub async fn test_metric_source(
        &self,
        principal: &Principal,
        project: &str,
        key: &str,
        test: &TestMetricSource,
    ) -> Result<TestedMetricSource, AppError> {
        authorize(principal, Action::Edit, Some(project))?;
        if test.query.is_empty() || test.query.len() > tidegate_rollout::spec::MAX_QUERY_BYTES {
            return Err(AppError::invalid("/query", "a query has 1 to 4096 bytes"));
        }
        let source: Stored<MetricSource> = self.live(&source_id(project, key)).await?;
        let answer = self.ask_once(&source.body.place(), &test.query).await;
        Ok(match answer {
            Ok(Sample { value, at }) => TestedMetricSource { value: Some(value), at: Some(Moment(at)), problem: None },
            Err(problem) => TestedMetricSource { value: None, at: None, problem: Some(problem.to_string()) },
        })
    }

    /// Where a source's queries go now.
    ///
    /// # Errors
    /// As a gate says it.
    pub async fn source_place(&self, project: &str, key: &str) -> Result<Place, Problem> {
        match self.live::<MetricSource>(&source_id(project, key)).await {
            Ok(stored) => Ok(stored.body.place()),
            Err(AppError::NotFound { .. } | AppError::Broken(_)) => Err(Problem::NoSource),
            Err(_) => Err(Problem::Unreachable { why: "our own database does not answer".to_owned() }),
        }
    }

    /// Refuses a spec with a gate whose source is not there, or does not understand the query; unless `allow_no_data`, also one whose
    /// query has no number now.
    pub(super) async fn check_queries(&self, project: &str, spec: &Spec, allow_no_data: bool) -> Result<(), AppError> {
        let check = async |(index, gate): (usize, &Gate)| {
            let Some(query) = gate.query() else { return Ok(()) };
            let pointer = format!("/spec/gates/{index}");
            let place = self.source_place(project, &query.source).await.map_err(|problem| match problem {
                Problem::NoSource => {
                    let detail = format!("the project has no metric source `{}`", query.source);
                    AppError::invalid(format!("{pointer}/source"), detail)
                }
                problem => AppError::invalid(format!("{pointer}/source"), format!("`{}` {problem}", gate.key)),
            })?;
            let control = match &query.bound {
                Bound::Absolute { .. } => None,
                Bound::Control { query, .. } => Some(("controlQuery", query)),
            };
            for (name, text) in [("query", &query.query)].into_iter().chain(control) {
                let problem = match self.ask_once(&place, text).await {
                    Ok(_) => continue,
                    Err(problem @ Problem::Refused { .. }) => format!("`{}` {problem}", gate.key),
                    Err(_) if allow_no_data => continue,
                    Err(problem) => {
                        format!("`{}` {problem}. `allowNoData` starts the rollout all the same, and it holds", gate.key)
                    }
                };
                return Err(AppError::invalid(format!("{pointer}/{name}"), problem));
            }
            Ok(())
        };
        try_join_all(spec.gates().iter().enumerate().map(check)).await.map(drop)
    }

    /// Asks once, and believes what a gate would believe.
    pub(super) async fn ask_once(&self, place: &Place, query: &str) -> Result<Sample, Problem> {
        let sample = self.metrics.ask(place, query, ASK_TIMEOUT).await?;
        sample.checked(FRESH_MS, self.clock.now())
    }

    /// The rollouts of a project that go on and ask a source, as people read them.
    async fn rollouts_that_ask(&self, project: &str, key: &str) -> Result<Vec<String>, AppError> {
        let mut users = Vec::new();
        for environment in self.environments_of(project).await? {
            for (stored, _) in self.running_rollouts(&environment).await? {
                let mut queries = stored.body.spec.gates().iter().filter_map(|gate| gate.query());
                if queries.any(|query| query.source == key) {
                    let flag = stored.body.flag.as_str();
                    users.push(format!("the rollout of `{flag}` in `{}`", environment.environment));
                }
            }
        }
        Ok(users)
    }
}

impl MetricSource {
    /// Where its queries go.
    pub fn place(&self) -> Place {
        Place { kind: self.kind, url: self.url.clone(), credential: self.credential.clone() }
    }
}

/// How long a person waits for the answer of a source.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// The address of a metric source.
pub(super) fn source_id(project: &str, key: &str) -> DocumentId {
    id_of::<MetricSource>(project, key)
}

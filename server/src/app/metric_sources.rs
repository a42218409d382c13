//! Metric sources: the systems that a project's gates ask. What opens them, the operator keeps; a source names it.

use std::time::Duration;

use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_core::SourceKey;
use tidegate_rollout::{
    Bound, Gate, Spec,
    reading::{FRESH_MS, Problem, Sample},
};
use utoipa::ToSchema;

use super::{
    App, AppError, Page, PageRequest, Principal, Request,
    access::{Action, authorize},
    documents::{self, Body, Stored, id_of},
    draft::Draft,
    input::{self, Patchable},
    limits,
    moment::Moment,
    projects::{project_id, require_project},
    resource::{Listed, Resource},
};
use crate::ports::{
    metrics::{Place, SourceKind},
    outgoing::OutgoingError,
    store::{Document, DocumentId, DocumentKind, DocumentQuery},
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

const PATCHABLE: Patchable = Patchable {
    fields: &["name", "description", "url", "credential"],
    fixed: &[
        ("key", "a metric source's key never changes: create another one"),
        ("kind", "a metric source's kind never changes: create another one"),
    ],
};

impl App {
    /// The metric sources of a project.
    pub async fn list_metric_sources(
        &self,
        principal: &Principal,
        project: &str,
        page: &PageRequest,
    ) -> Result<Page<Listed<Resource<MetricSource>>>, AppError> {
        authorize(principal, Action::Read, Some(project))?;
        self.live_project(project).await?;
        let documents = self.source_documents(project, page.after.clone(), page.limit + 1).await?;
        let page = Page::cut(documents, page.limit, |document| document.id.key.clone());
        Ok(page.map(|document| documents::read(&document).into()))
    }

    /// One metric source.
    pub async fn metric_source(
        &self,
        principal: &Principal,
        project: &str,
        key: &str,
    ) -> Result<Resource<MetricSource>, AppError> {
        authorize(principal, Action::Read, Some(project))?;
        Ok(self.live::<MetricSource>(&source_id(project, key)).await?.into())
    }

    /// Makes a metric source.
    pub async fn create_metric_source(
        &self,
        request: &Request,
        project: &str,
        command: CreateMetricSource,
    ) -> Result<Resource<MetricSource>, AppError> {
        authorize(&request.principal, Action::Administer, Some(project))?;
        self.begin(request).await?;
        limits::check_reason(&request.reason)?;
        let CreateMetricSource { key, name, description, kind, url, credential } = command;
        let source = MetricSource { name, description, kind, url, credential };
        self.check_metric_source(&source)?;
        self.live_project(project).await?;
        let n_sources = self.source_documents(project, None, u32::MAX).await?.len();
        limits::check_length("", n_sources + 1, limits::MAX_METRIC_SOURCES, "metric sources in a project")?;
        let id = source_id(project, key.as_str());
        self.check_free(&id).await?;

        let mut draft = Draft::new(self, request);
        require_project(&mut draft, project);
        let created = draft.create(id, source, "metricSource.create").into();
        self.commit(request, draft.into_creation(&created)).await?;
        Ok(created)
    }

    /// Changes a metric source; gates that ask it ask the changed one.
    pub async fn update_metric_source(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        expected: u64,
        patch: &Json,
    ) -> Result<Resource<MetricSource>, AppError> {
        authorize(&request.principal, Action::Administer, Some(project))?;
        limits::check_reason(&request.reason)?;
        let before: Stored<MetricSource> = self.live(&source_id(project, key)).await?;
        before.check_version(expected)?;
        let after = input::patch(&before.body, patch, &PATCHABLE)?;
        self.check_metric_source(&after)?;
        if after == before.body {
            return Ok(before.into());
        }

        let mut draft = Draft::new(self, request);
        let updated = draft.update(&before, after, "metricSource.update");
        self.commit(request, draft.into_commit()).await?;
        Ok(updated.into())
    }

    /// Archives a metric source that no rollout asks: its key is never used again.
    pub async fn archive_metric_source(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        expected: u64,
    ) -> Result<(), AppError> {
        authorize(&request.principal, Action::Administer, Some(project))?;
        limits::check_reason(&request.reason)?;
        let id = source_id(project, key);
        let document = self.store.document(&id).await?.filter(|document| !document.archived);
        let document = document.ok_or_else(|| AppError::not_found(&id))?;
        documents::check_version(&document, expected)?;
        let users = self.rollouts_that_ask(project, key).await?;
        if !users.is_empty() {
            let detail = format!("metric source `{key}` is asked by {}: let them end first", users.join(", "));
            return Err(AppError::InUse { detail });
        }

        let mut draft = Draft::new(self, request);
        draft.archive_document(&document, "metricSource.archive");
        self.commit(request, draft.into_commit()).await?;
        Ok(())
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

    fn check_metric_source(&self, source: &MetricSource) -> Result<(), AppError> {
        limits::check_metric_source(source)?;
        if source.url.contains(['?', '#']) {
            return Err(AppError::invalid("/url", "an address ends with its path: what is asked, each gate says"));
        }
        self.outgoing.check(&source.url, source.credential.as_deref()).map_err(|error| {
            let field = match error {
                OutgoingError::UnknownCredential { .. }
                | OutgoingError::CredentialElsewhere { .. }
                | OutgoingError::CredentialKind { .. } => "/credential",
                _ => "/url",
            };
            AppError::invalid(field, error.to_string())
        })
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

    async fn live_project(&self, project: &str) -> Result<(), AppError> {
        self.live::<super::model::Project>(&project_id(project)).await.map(drop)
    }

    async fn source_documents(
        &self,
        project: &str,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Document>, AppError> {
        let kind = DocumentKind::MetricSource;
        let query = DocumentQuery { kind, scope: project.to_owned(), after, limit, include_archived: false };
        Ok(self.store.documents(&query).await?)
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

//! What every write does alike: its audit entry, its commit, and the answer kept for a repetition.

use serde::Serialize;
use serde_json::Value as Json;
use tidegate_core::Timestamp;

use super::{
    App, AppError, Page, PageRequest, Request,
    documents::{self, Body, Stored},
};
use crate::{
    audit::AuditEntry,
    ports::store::{
        Commit, Committed, Document, DocumentId, DocumentKind, DocumentQuery, IdempotencyRecord, StoreError,
    },
};

impl Request {
    /// Who, when, why and by which request `action` happened to `resource`; the caller fills in the rest.
    pub fn audit(&self, at: Timestamp, action: &str, resource: String) -> AuditEntry {
        AuditEntry {
            at,
            actor: self.principal.actor.id.clone(),
            actor_name: self.principal.actor.name.clone(),
            action: action.to_owned(),
            project: None,
            environment: None,
            resource,
            before: Json::Null,
            after: Json::Null,
            reason: self.reason.clone(),
            request_id: self.request_id.clone(),
        }
    }

    /// The record of this answer for a repetition, where the client asked for it. `body` must hold no secret: it stays
    /// in the database for a day.
    pub fn answer(&self, status: u16, body: &impl Serialize) -> Option<IdempotencyRecord> {
        let idempotency = self.idempotency.as_ref()?;
        let body = match serde_json::to_string(body) {
            Ok(body) => body,
            Err(error) => unreachable!("an answer has string keys only: {error}"),
        };
        Some(IdempotencyRecord { key: idempotency.key.clone(), request: idempotency.request.clone(), status, body })
    }
}

/// How often a change is judged before it is given up: each time, somebody else was faster.
const MAX_JUDGEMENTS: u32 = 10;

/// Judges and commits a change, again where the environment that it was judged by has changed meanwhile.
///
/// # Errors
/// Those of `change`.
pub(super) async fn judged<T, F>(mut change: impl FnMut() -> F) -> Result<T, AppError>
where
    F: Future<Output = Result<T, AppError>>,
{
    let mut n_judgements = 1;
    loop {
        match change().await {
            Err(AppError::Store(StoreError::Outdated { .. })) if n_judgements < MAX_JUDGEMENTS => n_judgements += 1,
            outcome => return outcome,
        }
    }
}

impl App {
    /// Begins a write that the client may have asked for before.
    ///
    /// # Errors
    /// [`AppError::Replayed`] with the answer given then; [`AppError::IdempotencyMismatch`] where the key was used for
    /// something else.
    pub async fn begin(&self, request: &Request) -> Result<(), AppError> {
        let Some(idempotency) = &request.idempotency else { return Ok(()) };
        match self.store.idempotency_record(&idempotency.key).await? {
            None => Ok(()),
            Some(record) if record.request == idempotency.request => {
                Err(AppError::Replayed { status: record.status, body: record.body })
            }
            Some(_) => Err(AppError::IdempotencyMismatch),
        }
    }

    /// Commits, and hints at the environments touched.
    ///
    /// # Errors
    /// As [`From<StoreError>`](AppError); and as [`begin`](App::begin) where the same request was carried out at the
    /// same time.
    pub async fn commit(&self, request: &Request, commit: Commit) -> Result<Committed, AppError> {
        let opens = |kind| matches!(kind, DocumentKind::Project | DocumentKind::Environment | DocumentKind::SdkKey);
        let touches_keys = commit.writes.iter().any(|write| opens(write.id.kind));
        match self.store.commit(commit).await {
            Ok(committed) => {
                if touches_keys {
                    self.keys.forget();
                }
                for (environment, revision) in &committed.revisions {
                    let mut head = self.heads.entry(environment.clone()).or_default();
                    *head = (*head).max(*revision);
                    drop(head);
                    // Nobody listens: nobody needs the hint.
                    let _ = self.changes.send(environment.clone());
                }
                Ok(committed)
            }
            Err(StoreError::DuplicateRequest) => {
                self.begin(request).await?;
                Err(StoreError::DuplicateRequest.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The live document at `id`.
    ///
    /// # Errors
    /// [`AppError::NotFound`] where there is none or it is archived; [`AppError::Store`] where its body is damaged.
    pub async fn live<T: Body>(&self, id: &DocumentId) -> Result<Stored<T>, AppError> {
        Ok(documents::read(&self.live_document(id).await?)?)
    }

    /// The live document at `id`, whether its body can be read or not.
    ///
    /// # Errors
    /// [`AppError::NotFound`] where there is none or it is archived.
    pub async fn live_document(&self, id: &DocumentId) -> Result<Document, AppError> {
        let document = self.store.document(id).await?.filter(|document| !document.archived);
        document.ok_or_else(|| AppError::not_found(id))
    }

    /// Live documents of a scope, in the order of their keys: at most `limit` of those after a key.
    pub(super) async fn documents_of<T: Body>(
        &self,
        scope: &str,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<Document>, StoreError> {
        let query = DocumentQuery { kind: T::KIND, scope: scope.to_owned(), after, limit, include_archived: false };
        self.store.documents(&query).await
    }

    /// A page of the live documents of a scope.
    pub(super) async fn page_of<T: Body>(&self, scope: &str, page: &PageRequest) -> Result<Page<Document>, StoreError> {
        let documents = self.documents_of::<T>(scope, page.after.clone(), page.limit + 1).await?;
        Ok(Page::cut(documents, page.limit, |document| document.id.key.clone()))
    }
}

impl<T> Stored<T> {
    /// The caller read this version.
    ///
    /// # Errors
    /// [`AppError::Stale`] where they did not.
    pub fn check_version(&self, expected: u64) -> Result<(), AppError> {
        documents::check_version(&self.id, self.version, expected)
    }
}

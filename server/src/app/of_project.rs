//! What a project has some of, each by its key: shown, made, changed and archived in one way.

use serde::Serialize;
use serde_json::Value as Json;

use super::{
    App, AppError, BrokenDocument, Page, PageRequest, Principal, Request,
    access::{Action, authorize},
    documents::{self, Body, Stored, id_of},
    draft::Draft,
    input::{self, Patchable},
    limits,
    model::Project,
    projects::{project_id, require_project},
    resource::{Broken, Listed},
};
use crate::ports::store::Document;

/// A kind of document that a project has some of.
pub trait OfProject: Body + PartialEq + Send + Sync {
    /// How people are shown one.
    type Shown: From<Stored<Self>> + Serialize;

    /// Who may see them.
    const READ: Action;
    /// Who may make, change and archive them.
    const WRITE: Action;
    /// How many a project may have.
    const MAX: u32;
    /// What that counts, like `templates in a project`.
    const COUNTED: &'static str;
    /// What a patch may name.
    const PATCHABLE: Patchable;

    /// The body as it is stored, where it may be; `before` is the one that it replaces.
    fn checked(
        self,
        before: Option<&Self>,
        app: &App,
        project: &str,
    ) -> impl Future<Output = Result<Self, AppError>> + Send;

    /// Refuses a key that none may have.
    fn check_key(key: &str) -> Result<(), AppError> {
        tidegate_core::key::check(key).map_err(|error| AppError::invalid("/key", error.to_string()))
    }

    /// Refuses to change or archive what is the same in every project.
    fn check_own(_key: &str) -> Result<(), AppError> {
        Ok(())
    }

    /// Refuses to archive what something else needs.
    fn check_unused(_app: &App, _project: &str, _key: &str) -> impl Future<Output = Result<(), AppError>> + Send {
        async { Ok(()) }
    }

    /// What stays of an archived document, and what the audit log shows of it, whether its body can be read or not.
    fn remains(document: &Document) -> (String, Json) {
        (document.body.clone(), documents::audit_document(document))
    }

    /// How people are shown one that cannot be read.
    fn broken(broken: BrokenDocument) -> Broken {
        broken.into()
    }
}

impl App {
    /// Those of a project.
    pub async fn list<T: OfProject>(
        &self,
        principal: &Principal,
        project: &str,
        page: &PageRequest,
    ) -> Result<Page<Listed<T::Shown>>, AppError> {
        authorize(principal, T::READ, Some(project))?;
        self.live::<Project>(&project_id(project)).await?;
        let page = self.page_of::<T>(project, page).await?;
        Ok(page.map(|document| match documents::read::<T>(&document) {
            Ok(stored) => Listed::Whole(stored.into()),
            Err(broken) => Listed::Broken(T::broken(broken)),
        }))
    }

    /// One.
    pub async fn one<T: OfProject>(
        &self,
        principal: &Principal,
        project: &str,
        key: &str,
    ) -> Result<T::Shown, AppError> {
        authorize(principal, T::READ, Some(project))?;
        Ok(self.live::<T>(&id_of::<T>(project, key)).await?.into())
    }

    /// Makes one.
    pub async fn create<T: OfProject>(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        body: T,
    ) -> Result<T::Shown, AppError> {
        authorize(&request.principal, T::WRITE, Some(project))?;
        self.begin(request).await?;
        limits::check_reason(&request.reason)?;
        T::check_key(key)?;
        let body = body.checked(None, self, project).await?;
        let id = id_of::<T>(project, key);
        self.check_free(&id).await?;
        let n_documents = self.documents_of::<T>(project, None, T::MAX).await?.len();
        limits::check_length("", n_documents + 1, T::MAX as usize, T::COUNTED)?;

        let mut draft = Draft::new(self, request);
        require_project(&mut draft, project);
        let created = draft.create(id, body, &action::<T>("create")).into();
        self.commit(request, draft.into_creation(&created)).await?;
        Ok(created)
    }

    /// Changes one.
    pub async fn update<T: OfProject>(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        expected: u64,
        patch: &Json,
    ) -> Result<T::Shown, AppError> {
        authorize(&request.principal, T::WRITE, Some(project))?;
        limits::check_reason(&request.reason)?;
        T::check_own(key)?;
        let before: Stored<T> = self.live(&id_of::<T>(project, key)).await?;
        before.check_version(expected)?;
        let after = input::patch(&before.body, patch, &T::PATCHABLE)?;
        let after = after.checked(Some(&before.body), self, project).await?;
        if after == before.body {
            return Ok(before.into());
        }

        let mut draft = Draft::new(self, request);
        let updated = draft.update(&before, after, &action::<T>("update"));
        self.commit(request, draft.into_commit()).await?;
        Ok(updated.into())
    }

    /// Archives one that nothing needs: its key is never used again.
    pub async fn archive<T: OfProject>(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        expected: u64,
    ) -> Result<(), AppError> {
        authorize(&request.principal, T::WRITE, Some(project))?;
        limits::check_reason(&request.reason)?;
        T::check_own(key)?;
        let document = self.live_document(&id_of::<T>(project, key)).await?;
        documents::check_version(&document.id, document.version, expected)?;
        T::check_unused(self, project, key).await?;

        let mut draft = Draft::new(self, request);
        draft.archive_as(&document, T::remains(&document), &action::<T>("archive"));
        self.commit(request, draft.into_commit()).await?;
        Ok(())
    }
}

/// In the audit log, like `metricSource.create`.
fn action<T: OfProject>(done: &str) -> String {
    format!("{}.{done}", T::KIND.as_str())
}

//! Environments: where a project's flags are configured and served.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_core::EnvironmentKey;
use tidegate_rollout::{Window, window::WindowText};
use utoipa::ToSchema;

use super::{
    App, AppError, Page, PageRequest, Principal, Request,
    access::{Action, authorize},
    documents::{self, Stored},
    draft::Draft,
    input::{self, Patchable},
    limits,
    model::{Environment, Project},
    projects::{environment_id, project_id, require_project},
    resource::{Listed, Resource},
};
use crate::ports::store::{Document, EnvironmentId, StoreError};

/// Makes an environment. It has all flags of the project at once, each disabled.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateEnvironment {
    /// Names it within the project for ever.
    pub key: EnvironmentKey,
    /// What people call it.
    pub name: String,
    /// Changes here reach customers: the UI asks before each one.
    #[serde(default)]
    pub production: bool,
    /// A color for the UI, like `#d92d20`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub color: Option<String>,
    /// When no rollout may raise a share here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<WindowText>)]
    pub freezes: Vec<Window>,
}

/// An environment and where its snapshot stands.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentState {
    /// Its name, and whether it is production.
    #[serde(flatten)]
    pub environment: Resource<Environment>,
    /// Grows by one with each change of what the environment serves.
    pub revision: u64,
    /// The database's timeline: revisions of different epochs do not compare.
    pub epoch: String,
}

const PATCHABLE: Patchable = Patchable {
    fields: &["name", "production", "color", "freezes"],
    fixed: &[("key", "an environment's key never changes: create another environment")],
};

impl App {
    /// The environments of a project.
    pub async fn list_environments(
        &self,
        principal: &Principal,
        project: &str,
        page: &PageRequest,
    ) -> Result<Page<Listed<EnvironmentState>>, AppError> {
        authorize(principal, Action::Read, Some(project))?;
        self.live::<Project>(&project_id(project)).await?;
        let page = self.page_of::<Environment>(project, page).await?;
        let epoch = self.store.epoch().await?;
        let revisions: HashMap<EnvironmentId, u64> = self.store.revisions().await?.into_iter().collect();
        Ok(page.map(|document| match documents::read::<Environment>(&document) {
            Err(broken) => Listed::Broken(broken.into()),
            Ok(stored) => {
                let id = EnvironmentId { project: project.to_owned(), environment: stored.id.key.clone() };
                let revision = revisions.get(&id).copied().unwrap_or_default();
                Listed::Whole(EnvironmentState { environment: stored.into(), revision, epoch: epoch.clone() })
            }
        }))
    }

    /// One environment.
    pub async fn environment(&self, principal: &Principal, id: &EnvironmentId) -> Result<EnvironmentState, AppError> {
        authorize(principal, Action::Read, Some(&id.project))?;
        let stored = self.live_environment(id).await?;
        self.environment_state(id, stored).await
    }

    /// Makes an environment.
    pub async fn create_environment(
        &self,
        request: &Request,
        project: &str,
        command: CreateEnvironment,
    ) -> Result<EnvironmentState, AppError> {
        authorize(&request.principal, Action::Administer, Some(project))?;
        self.begin(request).await?;
        limits::check_reason(&request.reason)?;
        let CreateEnvironment { key, name, production, color, freezes } = command;
        let environment = Environment { name, production, color, freezes };
        limits::check_environment(&environment)?;
        self.live::<Project>(&project_id(project)).await?;
        let id = environment_id(project, key.as_str());
        self.check_free(&id).await?;
        let n_environments = self.environments_of(project).await?.len();
        limits::check_length("", n_environments + 1, limits::MAX_ENVIRONMENTS, "environments in a project")?;

        let mut draft = Draft::new(self, request);
        require_project(&mut draft, project);
        let created = Resource::from(draft.create(id, environment, "environment.create"));
        let state = EnvironmentState { environment: created, revision: 1, epoch: self.store.epoch().await? };
        // The first revision is 1: whoever has revision 0 has nothing.
        draft.begin_environment(EnvironmentId { project: project.to_owned(), environment: key.into() });
        self.commit(request, draft.into_creation(&state)).await?;
        Ok(state)
    }

    /// Changes an environment's name, color, freezes, or whether it is production.
    pub async fn update_environment(
        &self,
        request: &Request,
        id: &EnvironmentId,
        expected: u64,
        patch: &Json,
    ) -> Result<EnvironmentState, AppError> {
        authorize(&request.principal, Action::Administer, Some(&id.project))?;
        limits::check_reason(&request.reason)?;
        let before = self.live_environment(id).await?;
        before.check_version(expected)?;
        let after = input::patch(&before.body, patch, &PATCHABLE)?;
        limits::check_environment(&after)?;
        if after == before.body {
            return self.environment_state(id, before).await;
        }

        let mut draft = Draft::new(self, request);
        let updated = draft.update(&before, after, "environment.update");
        self.commit(request, draft.into_commit()).await?;
        self.environment_state(id, updated).await
    }

    /// Archives an environment: it serves nobody any more, and its SDK keys open nothing.
    pub async fn archive_environment(
        &self,
        request: &Request,
        id: &EnvironmentId,
        expected: u64,
    ) -> Result<(), AppError> {
        authorize(&request.principal, Action::Administer, Some(&id.project))?;
        limits::check_reason(&request.reason)?;
        let before = self.live_environment(id).await?;
        before.check_version(expected)?;
        let running = self.running_rollouts(id).await?;
        if !running.is_empty() {
            let flags: Vec<_> = running.iter().map(|(stored, _)| format!("`{}`", stored.body.flag.as_str())).collect();
            let detail = format!("rollouts go on in the environment, of {}: end them first", flags.join(", "));
            return Err(AppError::InUse { detail });
        }

        let mut draft = Draft::new(self, request);
        draft.archive(&before, "environment.archive");
        self.commit(request, draft.into_commit()).await?;
        // Its streams look at their keys again, and end. Nobody listens: there are none.
        let _ = self.changes.send(id.clone());
        Ok(())
    }

    async fn environment_state(
        &self,
        id: &EnvironmentId,
        stored: Stored<Environment>,
    ) -> Result<EnvironmentState, AppError> {
        let revision = self.revision(id).await?;
        Ok(EnvironmentState { environment: stored.into(), revision, epoch: self.store.epoch().await? })
    }

    /// The environment's revision; 0 before its first change.
    pub(super) async fn revision(&self, id: &EnvironmentId) -> Result<u64, AppError> {
        let revisions = self.store.revisions().await?;
        Ok(revisions.into_iter().find(|(environment, _)| environment == id).map_or(0, |(_, revision)| revision))
    }

    /// The environment's document, if it lives.
    pub(super) async fn live_environment(&self, id: &EnvironmentId) -> Result<Stored<Environment>, AppError> {
        self.live(&environment_id(&id.project, &id.environment)).await
    }

    /// Whether there is such an environment, not archived.
    ///
    /// # Errors
    /// [`StoreError`] where the database does not answer.
    pub async fn environment_lives(&self, id: &EnvironmentId) -> Result<bool, StoreError> {
        let document = self.store.document(&environment_id(&id.project, &id.environment)).await?;
        Ok(document.is_some_and(|document| !document.archived))
    }

    /// The live environments of a project.
    pub(super) async fn environments_of(&self, project: &str) -> Result<Vec<EnvironmentId>, AppError> {
        // A little above the limit: two requests may have passed it at the same time.
        let limit = u32::try_from(2 * limits::MAX_ENVIRONMENTS).unwrap_or(u32::MAX);
        let documents = self.documents_of::<Environment>(project, None, limit).await?;
        let environment =
            |document: Document| EnvironmentId { project: project.to_owned(), environment: document.id.key };
        Ok(documents.into_iter().map(environment).collect())
    }
}

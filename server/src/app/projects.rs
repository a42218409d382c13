//! Projects: made and archived by instance administrators, renamed by the project's own.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_core::ProjectKey;
use utoipa::ToSchema;

use super::{
    App, AppError, Page, PageRequest, Principal, Request,
    access::{Action, authorize},
    documents::{self, Stored, id_of},
    draft::Draft,
    input::{self, Patchable},
    limits,
    model::{Environment, Project},
    resource::{Listed, Resource},
};
use crate::ports::store::{Document, DocumentId, Expected};

/// Makes a project.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateProject {
    /// Names it for ever.
    pub key: ProjectKey,
    /// What people call it.
    pub name: String,
    /// Whether only one rollout at a time goes on in the production environments; the others wait for their turn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_rollout_at_a_time: bool,
}

const PATCHABLE: Patchable = Patchable {
    fields: &["name", "oneRolloutAtATime"],
    fixed: &[("key", "a project's key never changes: create another project")],
};

impl App {
    /// The projects that the principal may read.
    pub async fn list_projects(
        &self,
        principal: &Principal,
        page: &PageRequest,
    ) -> Result<Page<Listed<Resource<Project>>>, AppError> {
        let documents = if principal.instance_admin {
            self.documents_of::<Project>("", page.after.clone(), page.limit + 1).await?
        } else {
            self.projects_of(principal, page).await?
        };
        let page = Page::cut(documents, page.limit, |document| document.id.key.clone());
        Ok(page.map(|document| documents::read(&document).into()))
    }

    async fn projects_of(&self, principal: &Principal, page: &PageRequest) -> Result<Vec<Document>, AppError> {
        let after = page.after.as_deref().unwrap_or_default();
        let mut projects = Vec::new();
        for key in principal.roles.keys().filter(|key| key.as_str() > after) {
            if projects.len() > page.limit as usize {
                break;
            }
            projects.extend(self.store.document(&project_id(key)).await?.filter(|document| !document.archived));
        }
        Ok(projects)
    }

    /// One project.
    pub async fn project(&self, principal: &Principal, key: &str) -> Result<Resource<Project>, AppError> {
        authorize(principal, Action::Read, Some(key))?;
        Ok(self.live::<Project>(&project_id(key)).await?.into())
    }

    /// Makes a project.
    pub async fn create_project(
        &self,
        request: &Request,
        command: CreateProject,
    ) -> Result<Resource<Project>, AppError> {
        authorize(&request.principal, Action::AdministerInstance, None)?;
        self.begin(request).await?;
        limits::check_reason(&request.reason)?;
        let CreateProject { key, name, one_rollout_at_a_time } = command;
        let project = Project { name, one_rollout_at_a_time };
        limits::check_project(&project)?;
        let id = project_id(key.as_str());
        self.check_free(&id).await?;

        let mut draft = Draft::new(self, request);
        let created = draft.create(id, project, "project.create").into();
        self.commit(request, draft.into_creation(&created)).await?;
        Ok(created)
    }

    /// Changes a project's name, or how many rollouts go on at a time.
    pub async fn update_project(
        &self,
        request: &Request,
        key: &str,
        expected: u64,
        patch: &Json,
    ) -> Result<Resource<Project>, AppError> {
        authorize(&request.principal, Action::Administer, Some(key))?;
        limits::check_reason(&request.reason)?;
        let before: Stored<Project> = self.live(&project_id(key)).await?;
        before.check_version(expected)?;
        let after = input::patch(&before.body, patch, &PATCHABLE)?;
        limits::check_project(&after)?;
        if after == before.body {
            return Ok(before.into());
        }

        let mut draft = Draft::new(self, request);
        let updated = draft.update(&before, after, "project.update");
        self.commit(request, draft.into_commit()).await?;
        Ok(updated.into())
    }

    /// Archives a project that has no environments any more.
    pub async fn archive_project(&self, request: &Request, key: &str, expected: u64) -> Result<(), AppError> {
        authorize(&request.principal, Action::AdministerInstance, Some(key))?;
        limits::check_reason(&request.reason)?;
        let before: Stored<Project> = self.live(&project_id(key)).await?;
        before.check_version(expected)?;
        let environments = self.environments_of(key).await?;
        if !environments.is_empty() {
            let names: Vec<String> = environments.iter().map(|id| format!("`{}`", id.environment)).collect();
            let detail = format!("the project has environments: archive {} first", names.join(", "));
            return Err(AppError::InUse { detail });
        }

        let mut draft = Draft::new(self, request);
        draft.archive(&before, "project.archive");
        self.commit(request, draft.into_commit()).await?;
        Ok(())
    }

    /// Refuses a key that is taken or a tombstone.
    pub(super) async fn check_free(&self, id: &DocumentId) -> Result<(), AppError> {
        match self.store.document(id).await? {
            None => Ok(()),
            Some(document) => Err(AppError::key_taken(id, document.archived)),
        }
    }
}

/// The address of a project.
pub(super) fn project_id(key: &str) -> DocumentId {
    id_of::<Project>("", key)
}

/// What a document needs to be made in a project: that the project is there.
pub(super) fn require_project(draft: &mut Draft<'_>, project: &str) {
    draft.require(project_id(project), Expected::Live);
}

/// The address of an environment.
pub(super) fn environment_id(project: &str, key: &str) -> DocumentId {
    id_of::<Environment>(project, key)
}

//! Templates of rollouts: specs with a name, those of the project beside those that are always there.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use tidegate_core::bucket::BUCKETS;
use tidegate_rollout::{OnHarm, Spec, Step, spec::DEFAULT_BAKE_MS};
use utoipa::ToSchema;

use super::{
    App, AppError, Page, PageRequest, Principal, Request,
    access::{Action, authorize},
    documents::{self, Body, Stored, id_of},
    draft::Draft,
    input::{self, Patchable},
    limits,
    projects::require_project,
    resource::Listed,
};
use crate::ports::store::{DocumentId, DocumentKind, DocumentQuery};

/// A spec with a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What a rollout is to do.
    pub spec: Spec,
}

impl Body for Template {
    const KIND: DocumentKind = DocumentKind::RolloutTemplate;
}

/// Makes a template.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateTemplate {
    /// Names it within the project for ever: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub key: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// What a rollout is to do.
    pub spec: Spec,
}

/// A template, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateView {
    /// Names it.
    pub key: String,
    /// Send it as `If-Match` with a change; 0 of what is always there and cannot be changed.
    pub version: u64,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What a rollout is to do.
    pub spec: Spec,
}

/// The template of rollouts that name none.
pub const DEFAULT: &str = "default";

/// Templates of a project.
const MAX_TEMPLATES: usize = 100;

const PATCHABLE: Patchable = Patchable {
    fields: &["name", "description", "spec"],
    fixed: &[("key", "a template's key never changes: create another template and archive this one")],
};

/// Those that every project has.
fn always_there() -> Vec<TemplateView> {
    let template = |key: &str, name: &str, description: &str, spec: Spec| TemplateView {
        key: key.to_owned(),
        version: 0,
        name: name.to_owned(),
        description: description.to_owned(),
        spec,
    };
    let steps = |steps: &[(u32, u64)]| {
        let steps = steps.iter().map(|(share, minutes)| Step::new(*share, minutes * 60_000)).collect();
        let Ok(spec) = Spec::new(steps, Vec::new(), OnHarm::RollBack) else {
            unreachable!("a test reads every template")
        };
        spec
    };
    let quarter = DEFAULT_BAKE_MS / 60_000;
    let careful = [(0, 10), (1_000, 30), (5_000, 30), (10_000, 60), (25_000, 60), (50_000, 60), (95_000, 120)];
    vec![
        template(
            "careful",
            "Careful",
            "Ten minutes of both arms with the old variant, then 1, 5, 10, 25 and 50 %; 5 % are held back for the last comparison",
            steps(&[careful.as_slice(), &[(BUCKETS, 10)]].concat()),
        ),
        template(DEFAULT, "Default", "10, 25, 50 and 100 %, a quarter of an hour each", Spec::default()),
        template(
            "fast",
            "Fast",
            "25, 50 and 100 %, five minutes each: for much traffic",
            steps(&[(25_000, 5), (50_000, 5), (BUCKETS, quarter)]),
        ),
    ]
}

impl App {
    /// The templates of a project; first those that are always there.
    pub async fn list_templates(
        &self,
        principal: &Principal,
        project: &str,
        page: &PageRequest,
    ) -> Result<Page<Listed<TemplateView>>, AppError> {
        authorize(principal, Action::Read, Some(project))?;
        let query = DocumentQuery {
            kind: DocumentKind::RolloutTemplate,
            scope: project.to_owned(),
            after: page.after.clone(),
            limit: page.limit + 1,
            include_archived: false,
        };
        let page = Page::cut(self.store.documents(&query).await?, page.limit, |document| document.id.key.clone());
        let mut page = page.map(|document| match documents::read::<Template>(&document) {
            Ok(stored) => Listed::Whole(TemplateView::from(stored)),
            Err(broken) => Listed::Broken(broken.into()),
        });
        if query.after.is_none() {
            page.items.splice(0..0, always_there().into_iter().map(Listed::Whole));
        }
        Ok(page)
    }

    /// One template.
    pub async fn template(&self, principal: &Principal, project: &str, key: &str) -> Result<TemplateView, AppError> {
        authorize(principal, Action::Read, Some(project))?;
        if let Some(found) = always_there().into_iter().find(|template| template.key == key) {
            return Ok(found);
        }
        Ok(self.live::<Template>(&template_id(project, key)).await?.into())
    }

    /// Makes a template.
    pub async fn create_template(
        &self,
        request: &Request,
        project: &str,
        command: CreateTemplate,
    ) -> Result<TemplateView, AppError> {
        authorize(&request.principal, Action::Edit, Some(project))?;
        self.begin(request).await?;
        limits::check_reason(&request.reason)?;
        let CreateTemplate { key, name, description, spec } = command;
        tidegate_core::SegmentKey::new(&key).map_err(|error| AppError::invalid("/key", error.to_string()))?;
        if always_there().iter().any(|template| template.key == key) {
            return Err(AppError::invalid("/key", "every project has a template of this key already"));
        }
        let template = Template { name, description, spec };
        check(&template)?;
        let id = template_id(project, &key);
        self.check_free(&id).await?;
        let n_templates = self.count_templates(project).await?;
        limits::check_length("", n_templates + 1, MAX_TEMPLATES, "templates in a project")?;

        let mut draft = Draft::new(self, request);
        require_project(&mut draft, project);
        let created = TemplateView::from(draft.create(id, template, "rolloutTemplate.create"));
        self.commit(request, draft.into_creation(&created)).await?;
        Ok(created)
    }

    /// Changes a template; rollouts that were started with it stay as they are.
    pub async fn update_template(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        expected: u64,
        patch: &Json,
    ) -> Result<TemplateView, AppError> {
        authorize(&request.principal, Action::Edit, Some(project))?;
        limits::check_reason(&request.reason)?;
        let before = self.own_template(project, key).await?;
        before.check_version(expected)?;
        let after = input::patch(&before.body, patch, &PATCHABLE)?;
        check(&after)?;
        if after == before.body {
            return Ok(before.into());
        }
        let mut draft = Draft::new(self, request);
        let updated = draft.update(&before, after, "rolloutTemplate.update");
        self.commit(request, draft.into_commit()).await?;
        Ok(updated.into())
    }

    /// Archives a template: its key is never used again.
    pub async fn archive_template(
        &self,
        request: &Request,
        project: &str,
        key: &str,
        expected: u64,
    ) -> Result<(), AppError> {
        authorize(&request.principal, Action::Edit, Some(project))?;
        limits::check_reason(&request.reason)?;
        let before = self.own_template(project, key).await?;
        before.check_version(expected)?;
        let mut draft = Draft::new(self, request);
        draft.archive(&before, "rolloutTemplate.archive");
        self.commit(request, draft.into_commit()).await?;
        Ok(())
    }

    /// What the template says a rollout is to do.
    pub(super) async fn template_spec(&self, project: &str, key: &str) -> Result<Spec, AppError> {
        if let Some(found) = always_there().into_iter().find(|template| template.key == key) {
            return Ok(found.spec);
        }
        match self.live::<Template>(&template_id(project, key)).await {
            Ok(stored) => Ok(stored.body.spec),
            Err(AppError::NotFound { .. }) => {
                Err(AppError::invalid("/template", format!("the project has no template `{key}`")))
            }
            Err(error) => Err(error),
        }
    }

    async fn own_template(&self, project: &str, key: &str) -> Result<Stored<Template>, AppError> {
        if always_there().iter().any(|template| template.key == key) {
            let detail = format!("template `{key}` is the same in every project: create another one");
            return Err(AppError::InUse { detail });
        }
        self.live(&template_id(project, key)).await
    }

    async fn count_templates(&self, project: &str) -> Result<usize, AppError> {
        let limit = u32::try_from(2 * MAX_TEMPLATES).unwrap_or(u32::MAX);
        let (kind, scope) = (DocumentKind::RolloutTemplate, project.to_owned());
        let query = DocumentQuery { kind, scope, after: None, limit, include_archived: false };
        Ok(self.store.documents(&query).await?.len())
    }
}

impl From<Stored<Template>> for TemplateView {
    fn from(stored: Stored<Template>) -> Self {
        let Template { name, description, spec } = stored.body;
        Self { key: stored.id.key, version: stored.version, name, description, spec }
    }
}

fn check(template: &Template) -> Result<(), AppError> {
    limits::check_name("/name", &template.name)?;
    let n_characters = template.description.chars().count();
    limits::check_length("/description", n_characters, limits::MAX_DESCRIPTION, "characters")
}

fn template_id(project: &str, key: &str) -> DocumentId {
    id_of::<Template>(project, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_always_there_can_be_read() {
        let keys: Vec<_> = always_there().into_iter().map(|template| template.key).collect();
        assert_eq!(keys, ["careful", "default", "fast"]);
    }
}

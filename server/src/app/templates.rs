//! Templates of rollouts: specs with a name, those of the project beside those that are always there.

use serde::{Deserialize, Serialize};
use tidegate_core::{bucket::BUCKETS, key};
use tidegate_rollout::{OnHarm, Spec, Step, spec::DEFAULT_BAKE_MS};
use utoipa::ToSchema;

use super::{
    App, AppError, Page, PageRequest, Principal, Request,
    access::{Action, authorize},
    documents::{Body, Stored, id_of},
    input::Patchable,
    limits,
    of_project::OfProject,
    resource::Listed,
};
use crate::ports::store::DocumentKind;

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

impl OfProject for Template {
    type Shown = TemplateView;

    const READ: Action = Action::Read;
    const WRITE: Action = Action::Edit;
    const MAX: u32 = 100;
    const COUNTED: &'static str = "templates in a project";
    const PATCHABLE: Patchable = Patchable {
        fields: &["name", "description", "spec"],
        fixed: &[("key", "a template's key never changes: create another template and archive this one")],
    };

    async fn checked(self, _: Option<&Self>, _: &App, _: &str) -> Result<Self, AppError> {
        limits::check_name("/name", &self.name)?;
        let n_characters = self.description.chars().count();
        limits::check_length("/description", n_characters, limits::MAX_DESCRIPTION, "characters")?;
        Ok(self)
    }

    fn check_key(key: &str) -> Result<(), AppError> {
        key::check(key).map_err(|error| AppError::invalid("/key", error.to_string()))?;
        if built_in(key).is_some() {
            return Err(AppError::invalid("/key", "every project has a template of this key already"));
        }
        Ok(())
    }

    fn check_own(key: &str) -> Result<(), AppError> {
        if built_in(key).is_some() {
            let detail = format!("template `{key}` is the same in every project: create another one");
            return Err(AppError::InUse { detail });
        }
        Ok(())
    }
}

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

/// The one of that key that every project has.
fn built_in(key: &str) -> Option<TemplateView> {
    always_there().into_iter().find(|template| template.key == key)
}

impl App {
    /// The templates of a project; first those that are always there.
    pub async fn list_templates(
        &self,
        principal: &Principal,
        project: &str,
        page: &PageRequest,
    ) -> Result<Page<Listed<TemplateView>>, AppError> {
        let mut listed = self.list::<Template>(principal, project, page).await?;
        if page.after.is_none() {
            listed.items.splice(0..0, always_there().into_iter().map(Listed::Whole));
        }
        Ok(listed)
    }

    /// One template.
    pub async fn template(&self, principal: &Principal, project: &str, key: &str) -> Result<TemplateView, AppError> {
        authorize(principal, Action::Read, Some(project))?;
        match built_in(key) {
            Some(found) => Ok(found),
            None => self.one::<Template>(principal, project, key).await,
        }
    }

    /// Makes a template.
    pub async fn create_template(
        &self,
        request: &Request,
        project: &str,
        command: CreateTemplate,
    ) -> Result<TemplateView, AppError> {
        let CreateTemplate { key, name, description, spec } = command;
        self.create(request, project, &key, Template { name, description, spec }).await
    }

    /// What the template says a rollout is to do.
    pub(super) async fn template_spec(&self, project: &str, key: &str) -> Result<Spec, AppError> {
        if let Some(found) = built_in(key) {
            return Ok(found.spec);
        }
        match self.live::<Template>(&id_of::<Template>(project, key)).await {
            Ok(stored) => Ok(stored.body.spec),
            Err(AppError::NotFound { .. }) => {
                Err(AppError::invalid("/template", format!("the project has no template `{key}`")))
            }
            Err(error) => Err(error),
        }
    }
}

impl From<Stored<Template>> for TemplateView {
    fn from(stored: Stored<Template>) -> Self {
        let Template { name, description, spec } = stored.body;
        Self { key: stored.id.key, version: stored.version, name, description, spec }
    }
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

//! Kill and restore: the emergency brake. One call, one commit, nothing in its way but the role and a reason.

use serde::{Deserialize, Serialize};
use tidegate_core::{FlagKey, Timestamp};
use utoipa::ToSchema;

use super::{
    App, AppError, PageRequest, Request,
    access::{Action, authorize},
    configurations::configuration_id,
    documents,
    draft::Draft,
    flags::{FlagFilter, flag_id},
    limits,
    model::{Flag, FlagEnvironment, Kill},
    projects::environment_id,
};
use crate::ports::store::{Document, EnvironmentId, Expected};

/// Which flags are killed or restored: give one of the two.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KillTarget {
    /// This flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flag: Option<FlagKey>,
    /// All flags with this tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// What was killed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Killed {
    /// The flags, those killed before included.
    pub killed: Vec<KilledFlag>,
    /// The environment's revision from which on they are killed.
    pub revision: u64,
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// The flags, those that were not killed included.
    pub restored: Vec<KilledFlag>,
    /// The environment's revision from which on they are restored.
    pub revision: u64,
}

/// A flag that was killed or restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct KilledFlag {
    /// The flag's key.
    pub flag: String,
    /// The version of its configuration now.
    pub version: u64,
}

/// Someone else may change a flag between our reading and our writing; a kill then reads again. So often in a row is no
/// coincidence any more.
const MAX_ATTEMPTS: u32 = 10;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Brake {
    On,
    Off,
}

impl App {
    /// Kills a flag, or all flags with a tag: everybody gets the off variant at once, whatever the rules say.
    ///
    /// Works on a flag whose configuration cannot be read: the flag's first configuration takes its place, killed, and
    /// the audit log keeps the old text. Doing it again changes nothing.
    pub async fn kill(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        target: &KillTarget,
    ) -> Result<Killed, AppError> {
        let (killed, revision) = self.brake(request, environment, target, Brake::On).await?;
        Ok(Killed { killed, revision })
    }

    /// Lifts the kill of a flag, or of all flags with a tag: they serve again what they are configured to.
    pub async fn restore(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        target: &KillTarget,
    ) -> Result<Restored, AppError> {
        let (restored, revision) = self.brake(request, environment, target, Brake::Off).await?;
        Ok(Restored { restored, revision })
    }

    async fn brake(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        target: &KillTarget,
        brake: Brake,
    ) -> Result<(Vec<KilledFlag>, u64), AppError> {
        authorize(&request.principal, Action::Operate, Some(&environment.project))?;
        if request.reason.is_empty() {
            return Err(AppError::invalid("/reason", "say why: this stops or starts a feature for everybody"));
        }
        limits::check_reason(&request.reason)?;
        let mut n_attempts = 1;
        loop {
            match self.try_brake(request, environment, target, brake).await {
                Err(AppError::Stale { .. }) if n_attempts < MAX_ATTEMPTS => n_attempts += 1,
                outcome => return outcome,
            }
        }
    }

    async fn try_brake(
        &self,
        request: &Request,
        environment: &EnvironmentId,
        target: &KillTarget,
        brake: Brake,
    ) -> Result<(Vec<KilledFlag>, u64), AppError> {
        self.live_environment(environment).await?;
        let flags = self.targeted(environment, target).await?;
        let mut draft = Draft::new(self, request);
        draft.require(environment_id(&environment.project, &environment.environment), Expected::Live);
        let mut braked = Vec::new();
        for (flag, document) in &flags {
            let key = &flag.id.key;
            let mut version = document.as_ref().map_or(0, |document| document.version);
            let before = present_configuration(environment, flag, document.as_ref())?;
            let (after, action) = match brake {
                Brake::On => (killed(&before, Kill::by(request, draft.at())), "flag.kill"),
                Brake::Off => (restored(&before), "flag.restore"),
            };
            if let Some(after) = after {
                version = draft.configure(environment, key, (document.as_ref(), &before), &after, action).version;
            }
            braked.push(KilledFlag { flag: key.clone(), version });
        }
        if draft.is_empty() {
            return Ok((braked, self.revision(environment).await?));
        }
        let committed = self.commit(request, draft.into_commit()).await?;
        let revision = committed.revisions.first().map_or(0, |(_, revision)| *revision);
        Ok((braked, revision))
    }

    /// The targeted flags with their configurations.
    async fn targeted(
        &self,
        environment: &EnvironmentId,
        target: &KillTarget,
    ) -> Result<Vec<(Document, Option<Document>)>, AppError> {
        match (&target.flag, &target.tag) {
            (Some(flag), None) => {
                let id = flag_id(&environment.project, flag.as_str());
                let document = self.live_document(&id).await?;
                let configuration = self.store.document(&configuration_id(environment, flag.as_str())).await?;
                Ok(vec![(document, configuration)])
            }
            (None, Some(tag)) => {
                let filter = FlagFilter { tag: Some(tag.clone()), ..FlagFilter::default() };
                let all = PageRequest { after: None, limit: u32::MAX };
                let mut flags = Vec::new();
                for flag in self.matching_flags(&environment.project, &filter, &all).await? {
                    let configuration = self.store.document(&configuration_id(environment, &flag.id.key)).await?;
                    flags.push((flag, configuration));
                }
                if flags.is_empty() {
                    return Err(AppError::NotFound { what: format!("flag with the tag `{tag}`") });
                }
                Ok(flags)
            }
            _ => Err(AppError::invalid("", "give either `flag` or `tag`")),
        }
    }
}

impl Kill {
    fn by(request: &Request, at: Timestamp) -> Self {
        Self { reason: request.reason.clone(), actor_name: request.principal.actor.name.clone(), at }
    }
}

/// The stored configuration, or, where there is none or it cannot be read, the flag's first one.
fn present_configuration(
    environment: &EnvironmentId,
    flag: &Document,
    configuration: Option<&Document>,
) -> Result<FlagEnvironment, AppError> {
    if let Some(Ok(stored)) = configuration.map(documents::read::<FlagEnvironment>) {
        return Ok(stored.body);
    }
    match documents::read::<Flag>(flag) {
        Ok(flag) => Ok(flag.body.initial_configuration(&environment.environment)),
        Err(broken) => {
            Err(AppError::invalid("/flag", format!("everybody gets the caller's default already, as {broken}")))
        }
    }
}

/// The configuration killed; `None` where it is already.
fn killed(configuration: &FlagEnvironment, kill: Kill) -> Option<FlagEnvironment> {
    configuration.kill.is_none().then(|| FlagEnvironment { kill: Some(kill), ..configuration.clone() })
}

/// The configuration with its kill lifted; `None` where there is nothing to lift.
fn restored(configuration: &FlagEnvironment) -> Option<FlagEnvironment> {
    configuration.kill.is_some().then(|| FlagEnvironment { kill: None, ..configuration.clone() })
}

//! SDK keys: what applications present, each for one environment.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    App, AppError, Page, PageRequest, Principal, Request, SdkKeyKind, SdkPrincipal,
    access::{Action, authorize},
    documents::{self, Body, Stored},
    moment::Moment,
    secret::{CredentialKind, NewCredential, Presented},
    users::checked_name,
};
use crate::ports::store::{Commit, DocumentId, DocumentKind, EnvironmentId, Expected, Write};

/// An SDK key, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SdkKeyRecord {
    /// What people call it.
    pub name: String,
    /// What it opens.
    pub kind: SdkKeyKind,
    /// The project's key.
    pub project: String,
    /// The environment's key.
    pub environment: String,
    /// SHA-256 of the secret part, hex.
    pub secret_hash: String,
}

impl Body for SdkKeyRecord {
    const KIND: DocumentKind = DocumentKind::SdkKey;
}

/// An SDK key, as shown: nothing of the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SdkKey {
    /// The public part of the key: what follows `tgs_` or `tgc_`.
    pub id: String,
    /// Always 1: a key never changes.
    pub version: u64,
    /// What people call it.
    pub name: String,
    /// What it opens.
    pub kind: SdkKeyKind,
    /// The project's key.
    pub project: String,
    /// The environment's key.
    pub environment: String,
    /// When it was made.
    pub created_at: Moment,
}

impl From<Stored<SdkKeyRecord>> for SdkKey {
    fn from(stored: Stored<SdkKeyRecord>) -> Self {
        let Stored { id, version, created_at, body: SdkKeyRecord { name, kind, project, environment, .. }, .. } =
            stored;
        Self { id: id.key, version, name, kind, project, environment, created_at: Moment(created_at) }
    }
}

/// An SDK key to make.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewSdkKey {
    /// What people call it, 1 to 100 characters.
    pub name: String,
    /// What it opens.
    pub kind: SdkKeyKind,
}

/// An SDK key just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedSdkKey {
    /// The key as it will be shown from now on.
    #[serde(flatten)]
    pub details: SdkKey,
    /// The key itself: shown this once. A repetition of the request with the same idempotency key lacks it.
    pub key: String,
}

/// The keys of an environment.
///
/// # Errors
/// Those of [`authorize`].
pub async fn list(
    app: &App,
    principal: &Principal,
    environment: &EnvironmentId,
    page: &PageRequest,
) -> Result<Page<SdkKey>, AppError> {
    authorize(principal, Action::Read, Some(&environment.project))?;
    app.scan(page, |key| Some(key).filter(|key| is_of(key, environment)).map(SdkKey::from)).await
}

/// Makes a key for an environment.
///
/// # Errors
/// [`AppError::Invalid`]; [`AppError::NotFound`] where there is no such environment; those of [`authorize`].
pub async fn create(
    app: &App,
    request: &Request,
    environment: &EnvironmentId,
    new: NewSdkKey,
) -> Result<CreatedSdkKey, AppError> {
    authorize(&request.principal, Action::Administer, Some(&environment.project))?;
    app.begin(request).await?;
    let at = app.clock.now();
    let credential = NewCredential::mint(new.kind.credential(), app.ids.as_ref());
    let record = SdkKeyRecord {
        name: checked_name(&new.name)?,
        kind: new.kind,
        project: environment.project.clone(),
        environment: environment.environment.clone(),
        secret_hash: credential.secret_hash,
    };
    let id = id_of(&credential.id);
    let write = Write { id: id.clone(), body: documents::write(&record), archived: false };
    let details = SdkKey::from(Stored {
        id: id.clone(),
        version: 1,
        archived: false,
        created_at: at,
        updated_at: at,
        body: record,
    });
    let mut entry = request.audit(at, "sdkKey.create", format!("sdkKey/{}", details.id));
    entry.project = Some(details.project.clone());
    entry.environment = Some(details.environment.clone());
    entry.after = serde_json::json!(details);
    let [project_id, environment_id] = documents_of(environment);
    let commit = Commit {
        at,
        expected: vec![(project_id, Expected::Live), (environment_id, Expected::Live), (id, Expected::Absent)],
        writes: vec![write],
        audit: vec![entry],
        idempotency: request.answer(201, &details),
        ..Commit::default()
    };
    app.commit(request, commit).await?;
    Ok(CreatedSdkKey { details, key: credential.text })
}

/// Revokes a key: streams that it opened end within seconds. Needs no version, as it only takes away.
///
/// # Errors
/// [`AppError::NotFound`], also where the key is another environment's; those of [`authorize`].
pub async fn revoke(app: &App, request: &Request, environment: &EnvironmentId, id: &str) -> Result<(), AppError> {
    authorize(&request.principal, Action::Administer, Some(&environment.project))?;
    let key = app.live::<SdkKeyRecord>(&id_of(id)).await?;
    if !is_of(&key, environment) {
        return Err(AppError::not_found(&key.id));
    }
    let at = app.clock.now();
    let mut entry = request.audit(at, "sdkKey.revoke", format!("sdkKey/{id}"));
    entry.project = Some(environment.project.clone());
    entry.environment = Some(environment.environment.clone());
    entry.before = serde_json::json!(SdkKey::from(key.clone()));
    let commit = Commit {
        at,
        expected: vec![(key.id.clone(), Expected::Live)],
        writes: vec![Write { id: key.id, body: documents::write(&key.body), archived: true }],
        audit: vec![entry],
        ..Commit::default()
    };
    app.commit(request, commit).await?;
    // The environment's streams look at their keys again. Nobody listens: there are none.
    let _ = app.changes.send(environment.clone());
    Ok(())
}

/// What the presented SDK key opens.
///
/// # Errors
/// [`AppError::Unauthenticated`] where it is malformed, unknown, wrong or revoked: never says which.
pub async fn authenticate_sdk(app: &App, presented: &str) -> Result<SdkPrincipal, AppError> {
    let refused = || AppError::Unauthenticated { detail: "the SDK key is not valid".to_owned() };
    let presented = Presented::parse(presented).ok_or_else(refused)?;
    let Some(key) = opening(app, presented.id).await? else { return Err(refused()) };
    if presented.kind != key.kind.credential() || !presented.matches(&key.secret_hash) {
        return Err(refused());
    }
    let SdkKeyRecord { project, environment, kind, .. } = key;
    Ok(SdkPrincipal { key: presented.id.to_owned(), project, environment, kind })
}

/// Whether a key that was accepted before still holds: an open stream asks every few seconds, and when the environment
/// is hinted at.
///
/// # Errors
/// [`AppError::Store`] where the database does not answer: no reason to close the stream.
pub async fn still_valid(app: &App, principal: &SdkPrincipal) -> Result<bool, AppError> {
    Ok(opening(app, &principal.key).await?.is_some())
}

/// The key, where it is not revoked and its environment lives.
async fn opening(app: &App, key: &str) -> Result<Option<SdkKeyRecord>, AppError> {
    let key = match app.live::<SdkKeyRecord>(&id_of(key)).await {
        Err(AppError::NotFound { .. }) => return Ok(None),
        other => other?.body,
    };
    let environment = EnvironmentId { project: key.project.clone(), environment: key.environment.clone() };
    let [_, environment] = documents_of(&environment);
    let lives = app.store.document(&environment).await?.is_some_and(|environment| !environment.archived);
    Ok(lives.then_some(key))
}

impl SdkKeyKind {
    fn credential(self) -> CredentialKind {
        match self {
            Self::Server => CredentialKind::ServerKey,
            Self::Client => CredentialKind::ClientKey,
        }
    }
}

fn is_of(key: &Stored<SdkKeyRecord>, environment: &EnvironmentId) -> bool {
    key.body.project == environment.project && key.body.environment == environment.environment
}

fn id_of(key: &str) -> DocumentId {
    DocumentId { kind: DocumentKind::SdkKey, scope: String::new(), key: key.to_owned() }
}

/// The documents of the environment and its project.
fn documents_of(EnvironmentId { project, environment }: &EnvironmentId) -> [DocumentId; 2] {
    [
        DocumentId { kind: DocumentKind::Project, scope: String::new(), key: project.clone() },
        DocumentId { kind: DocumentKind::Environment, scope: project.clone(), key: environment.clone() },
    ]
}

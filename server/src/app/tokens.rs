//! API tokens: for machines that configure, within one project or the whole instance.
//!
//! When a token was last used is not kept: it would cost a write per request, or a cache that lies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Actor, App, AppError, Page, PageRequest, Principal, Request, Role,
    access::{Action, authorize},
    documents::{self, Body, Stored},
    moment::Moment,
    secret::{CredentialKind, NewCredential, Presented},
    users::checked_name,
};
use crate::ports::store::{Commit, DocumentId, DocumentKind, Expected, Write};

/// An API token, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenRecord {
    /// What people call it.
    pub name: String,
    /// SHA-256 of the secret part, hex.
    pub secret_hash: String,
    /// What it may do.
    pub scope: TokenScope,
    /// When it stops working; absent: when it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Moment>,
}

/// What a token may do: never more than its maker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TokenScope {
    /// Everything.
    Instance,
    /// A role in one project.
    Project {
        /// The project's key.
        project: String,
        /// The role there.
        role: Role,
    },
}

impl Body for TokenRecord {
    const KIND: DocumentKind = DocumentKind::Token;
}

/// An API token, as shown: nothing of the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// The public part of the token: what follows `tgp_`.
    pub id: String,
    /// Always 1: a token never changes.
    pub version: u64,
    /// What people call it.
    pub name: String,
    /// The project it is for; absent: an instance token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Its role in the project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// May do everything.
    pub instance_admin: bool,
    /// When it stops working; absent: when it is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Moment>,
    /// When it was made.
    pub created_at: Moment,
    /// When it was used last, on any server, to the minute; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Moment>,
}

impl From<Stored<TokenRecord>> for Token {
    fn from(stored: Stored<TokenRecord>) -> Self {
        let Stored { id, version, created_at, body: TokenRecord { name, scope, expires_at, .. }, .. } = stored;
        let (project, role) = match scope {
            TokenScope::Instance => (None, None),
            TokenScope::Project { project, role } => (Some(project), Some(role)),
        };
        let instance_admin = project.is_none();
        let created_at = Moment(created_at);
        Self { id: id.key, version, name, project, role, instance_admin, expires_at, created_at, last_used_at: None }
    }
}

/// A token to make: `project` and `role`, or `instanceAdmin`.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewToken {
    /// What people call it, 1 to 100 characters.
    pub name: String,
    /// The project it is for.
    pub project: Option<String>,
    /// Its role in the project.
    pub role: Option<Role>,
    /// May do everything.
    #[serde(default)]
    pub instance_admin: bool,
    /// When it stops working; absent: when it is revoked.
    pub expires_at: Option<Moment>,
}

/// A token just made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedToken {
    /// The token as it will be shown from now on.
    #[serde(flatten)]
    pub details: Token,
    /// The token itself: shown this once. A repetition of the request with the same idempotency key lacks it.
    pub token: String,
}

/// Tokens: all of them for instance administrators, for others those of the projects that they administer.
///
/// # Errors
/// [`AppError::Forbidden`] for those who administer nothing.
pub async fn list(app: &App, principal: &Principal, page: &PageRequest) -> Result<Page<Token>, AppError> {
    let administers = |role: &Role| *role == Role::Admin;
    if !principal.instance_admin && !principal.roles.values().any(administers) {
        return Err(AppError::Forbidden { needed: "admin, in any project".to_owned() });
    }
    let uses = app.last_uses("token/").await?;
    let shown = |token| {
        let token = Token::from(token);
        Token { last_used_at: uses.get(&resource(&token.id)).copied(), ..token }
    };
    app.scan(page, |token| Some(token).filter(|token| authorize_on(principal, token).is_ok()).map(shown)).await
}

/// Makes a token: for a project by those who administer it, for the instance by its administrators.
///
/// # Errors
/// [`AppError::Invalid`]; those of [`authorize`].
pub async fn create(app: &App, request: &Request, new: NewToken) -> Result<CreatedToken, AppError> {
    let NewToken { name, project, role, instance_admin, expires_at } = new;
    let scope = match (project, role, instance_admin) {
        (None, None, true) => TokenScope::Instance,
        (Some(project), Some(role), false) => TokenScope::Project { project, role },
        (Some(_), None, false) => {
            return Err(AppError::invalid("/role", "say which role the token has in the project"));
        }
        _ => {
            let detail = "a token has either `project` and `role`, or `instanceAdmin: true`";
            return Err(AppError::invalid("/project", detail));
        }
    };
    authorize_scope(&request.principal, &scope)?;
    app.begin(request).await?;
    let at = app.clock.now();
    if expires_at.is_some_and(|expires_at| expires_at.0 <= at) {
        return Err(AppError::invalid("/expiresAt", "this time is past already"));
    }

    let credential = NewCredential::mint(CredentialKind::Token, app.ids.as_ref());
    let record = TokenRecord { name: checked_name(&name)?, secret_hash: credential.secret_hash, scope, expires_at };
    let id = id_of(&credential.id);
    let mut commit = Commit { at, expected: vec![(id.clone(), Expected::Absent)], ..Commit::default() };
    if let TokenScope::Project { project, .. } = &record.scope {
        let project = DocumentId { kind: DocumentKind::Project, scope: String::new(), key: project.clone() };
        commit.expected.push((project, Expected::Live));
    }
    commit.writes.push(Write { id: id.clone(), body: documents::write(&record), archived: false });
    let stored = Stored { id, version: 1, archived: false, created_at: at, updated_at: at, body: record };
    let details = Token::from(stored);
    let mut entry = request.audit(at, "token.create", resource(&details.id));
    entry.project.clone_from(&details.project);
    entry.after = serde_json::json!(details);
    commit.audit.push(entry);
    commit.idempotency = request.answer(201, &details);
    app.commit(request, commit).await?;
    Ok(CreatedToken { details, token: credential.text })
}

/// Revokes a token: the next request with it is refused. Needs no version, as it only takes away.
///
/// # Errors
/// [`AppError::NotFound`], also for those who may not revoke it.
pub async fn revoke(app: &App, request: &Request, id: &str) -> Result<(), AppError> {
    let token = app.live::<TokenRecord>(&id_of(id)).await?;
    if authorize_on(&request.principal, &token).is_err() {
        return Err(AppError::not_found(&token.id));
    }
    let at = app.clock.now();
    let details = Token::from(token.clone());
    let mut entry = request.audit(at, "token.revoke", resource(id));
    entry.project.clone_from(&details.project);
    entry.before = serde_json::json!(details);
    let commit = Commit {
        at,
        expected: vec![(token.id.clone(), Expected::Live)],
        writes: vec![Write { id: token.id, body: documents::write(&token.body), archived: true }],
        audit: vec![entry],
        ..Commit::default()
    };
    app.commit(request, commit).await?;
    Ok(())
}

/// Whose token it is that was presented.
///
/// # Errors
/// [`AppError::Unauthenticated`] where it is malformed, unknown, wrong, expired or revoked: never says which.
pub async fn authenticate(app: &App, presented: &str) -> Result<Principal, AppError> {
    let refused = || AppError::Unauthenticated { detail: "the API token is not valid".to_owned() };
    let presented = Presented::parse(presented).filter(|it| it.kind == CredentialKind::Token).ok_or_else(refused)?;
    let token = match app.live::<TokenRecord>(&id_of(presented.id)).await {
        Err(AppError::NotFound { .. }) => return Err(refused()),
        other => other?.body,
    };
    let expired = token.expires_at.is_some_and(|at| at.0 <= app.clock.now());
    if !presented.matches(&token.secret_hash) || expired {
        return Err(refused());
    }
    app.note_use(&resource(presented.id)).await;
    let (instance_admin, roles) = match token.scope {
        TokenScope::Instance => (true, BTreeMap::new()),
        TokenScope::Project { project, role } => (false, BTreeMap::from([(project, role)])),
    };
    let actor = Actor { id: format!("token:{}", presented.id), name: token.name };
    Ok(Principal { actor, instance_admin, roles })
}

/// What the audit log calls a token.
fn resource(id: &str) -> String {
    format!("token/{id}")
}

fn authorize_on(principal: &Principal, token: &Stored<TokenRecord>) -> Result<(), AppError> {
    authorize_scope(principal, &token.body.scope)
}

fn authorize_scope(principal: &Principal, scope: &TokenScope) -> Result<(), AppError> {
    match scope {
        TokenScope::Instance => authorize(principal, Action::AdministerInstance, None),
        TokenScope::Project { project, .. } => authorize(principal, Action::Administer, Some(project)),
    }
}

fn id_of(token: &str) -> DocumentId {
    DocumentId { kind: DocumentKind::Token, scope: String::new(), key: token.to_owned() }
}

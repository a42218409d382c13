//! SDK keys: what applications present, each for one environment.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tidegate_core::Timestamp;
use utoipa::ToSchema;

use super::{
    App, AppError, Page, PageRequest, Principal, Request, SdkKeyKind, SdkPrincipal,
    access::{Action, authorize},
    documents::{self, Body, Stored},
    moment::Moment,
    secret::{CredentialKind, NewCredential, Presented, SigningSecret, random_secret},
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
    /// The sites whose pages may use a client key; `*`: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<String>,
    /// In secure mode: what signs targeting keys. Not hashed, as the server has to sign too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<SigningSecret>,
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
    /// The origins whose pages may use it; `*`: any. Empty for a server key: no page may.
    pub allowed_origins: Vec<String>,
    /// Whether a client must show that the server of its application knows the targeting key.
    pub secure_mode: bool,
    /// When it was made.
    pub created_at: Moment,
    /// When it was used last, on any server, to the minute; absent: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Moment>,
}

impl From<Stored<SdkKeyRecord>> for SdkKey {
    fn from(stored: Stored<SdkKeyRecord>) -> Self {
        let Stored { id, version, created_at, body, .. } = stored;
        let SdkKeyRecord { name, kind, project, environment, allowed_origins, signing_secret, .. } = body;
        let (secure_mode, created_at) = (signing_secret.is_some(), Moment(created_at));
        Self {
            id: id.key,
            version,
            name,
            kind,
            project,
            environment,
            allowed_origins,
            secure_mode,
            created_at,
            last_used_at: None,
        }
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
    /// For a client key: the origins whose pages may use it, like `https://shop.example.org`, at most 50. Absent: any,
    /// which is also `*`.
    #[serde(default)]
    pub allowed_origins: Option<Vec<String>>,
    /// For a client key: whether a client must send, beside its context, the HMAC-SHA256 of the targeting key under the
    /// `signingSecret` of the answer, so that nobody asks for somebody else's flags.
    #[serde(default)]
    pub secure_mode: bool,
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
    /// In secure mode, the secret for the server of the application: shown this once, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_secret: Option<String>,
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
    let uses = app.last_uses("sdkKey/").await?;
    let shown = |key| {
        let key = SdkKey::from(key);
        SdkKey { last_used_at: uses.get(&resource(&key.id)).copied(), ..key }
    };
    app.scan(page, |key| Some(key).filter(|key| is_of(key, environment)).map(shown)).await
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
        allowed_origins: checked_origins(&new)?,
        signing_secret: checked_secure_mode(&new)?.then(|| SigningSecret(random_secret(app.ids.as_ref()))),
    };
    let signing_secret = record.signing_secret.clone().map(|SigningSecret(secret)| secret);
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
    let mut entry = request.audit(at, "sdkKey.create", resource(&details.id));
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
    Ok(CreatedSdkKey { details, key: credential.text, signing_secret })
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
    let mut entry = request.audit(at, "sdkKey.revoke", resource(id));
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

/// What the presented SDK key opens. A key that was accepted is believed for [`KeyCache::TTL_MS`], or until this process
/// changes one.
///
/// # Errors
/// [`AppError::Unauthenticated`] where it is malformed, unknown, wrong or revoked: never says which.
pub async fn authenticate_sdk(app: &App, presented: &str) -> Result<Arc<SdkPrincipal>, AppError> {
    let refused = || AppError::Unauthenticated { detail: "the SDK key is not valid".to_owned() };
    let fingerprint = Sha256::digest(presented).into();
    if let Some(principal) = app.keys.get(&fingerprint, app.clock.now()) {
        return Ok(principal);
    }
    let presented = Presented::parse(presented).ok_or_else(refused)?;
    let generation = app.keys.generation();
    let Some(key) = opening(app, presented.id).await? else { return Err(refused()) };
    if presented.kind != key.kind.credential() || !presented.matches(&key.secret_hash) {
        return Err(refused());
    }
    let principal = Arc::new(principal(presented.id, key));
    app.keys.put(fingerprint, generation, &principal, app.clock.now());
    app.note_use(&resource(&principal.key)).await;
    Ok(principal)
}

/// What the SDK key with that id opens: for a token that it signed.
///
/// # Errors
/// [`AppError::Unauthenticated`] where it is unknown or revoked.
pub async fn sdk_principal(app: &App, id: &str) -> Result<SdkPrincipal, AppError> {
    let refused = || AppError::Unauthenticated { detail: "the SDK key is not valid any more".to_owned() };
    Ok(principal(id, opening(app, id).await?.ok_or_else(refused)?))
}

fn principal(id: &str, key: SdkKeyRecord) -> SdkPrincipal {
    let SdkKeyRecord { project, environment, kind, secret_hash, allowed_origins, signing_secret, .. } = key;
    SdkPrincipal {
        key: id.to_owned(),
        environment: EnvironmentId { project, environment },
        kind,
        allowed_origins,
        signing_secret,
        // Every server on the database knows it, and whoever revokes the key ends its tokens.
        token_secret: SigningSecret(secret_hash),
    }
}

/// The keys that were accepted lately, by the SHA-256 of what was presented: a client that asks over HTTP presents its
/// key each time, and the database need not be asked each time.
#[derive(Debug, Default)]
pub struct KeyCache {
    /// Grows when this process changes what a key may open.
    generation: AtomicU64,
    accepted: DashMap<[u8; 32], Accepted>,
}

#[derive(Debug)]
struct Accepted {
    principal: Arc<SdkPrincipal>,
    generation: u64,
    at: Timestamp,
}

impl KeyCache {
    /// How long a key is believed without a look into the database: what a revocation by another process may take.
    pub const TTL_MS: i64 = 2_000;

    /// Keys kept at most. Only valid ones are, so that nobody can fill it.
    const CAPACITY: usize = 10_000;

    /// What was accepted before is not believed any more.
    pub fn forget(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    fn get(&self, fingerprint: &[u8; 32], now: Timestamp) -> Option<Arc<SdkPrincipal>> {
        let accepted = self.accepted.get(fingerprint)?;
        let age = now.0.saturating_sub(accepted.at.0);
        let fresh = (0..Self::TTL_MS).contains(&age) && accepted.generation == self.generation();
        fresh.then(|| Arc::clone(&accepted.principal))
    }

    /// `generation`: as it was before the database was asked.
    fn put(&self, fingerprint: [u8; 32], generation: u64, principal: &Arc<SdkPrincipal>, at: Timestamp) {
        if self.accepted.len() >= Self::CAPACITY {
            self.accepted.clear();
        }
        self.accepted.insert(fingerprint, Accepted { principal: Arc::clone(principal), generation, at });
    }
}

/// The origins of a new key, as browsers write them.
fn checked_origins(new: &NewSdkKey) -> Result<Vec<String>, AppError> {
    const MAX_ORIGINS: usize = 50;
    let Some(origins) = &new.allowed_origins else {
        return Ok(if new.kind == SdkKeyKind::Client { vec!["*".to_owned()] } else { Vec::new() });
    };
    if new.kind == SdkKeyKind::Server {
        let detail = "a server key is secret, and no page may have it: make a client key";
        return Err(AppError::invalid("/allowedOrigins", detail));
    }
    if !(1..=MAX_ORIGINS).contains(&origins.len()) {
        let detail = format!("name 1 to {MAX_ORIGINS} origins, or leave it out: any page may use the key then");
        return Err(AppError::invalid("/allowedOrigins", detail));
    }
    let checked = origins.iter().enumerate().map(|(index, origin)| {
        checked_origin(origin).ok_or_else(|| {
            let detail = "an origin is `*`, or a scheme, a host and a port that is not the scheme's, without a path: \
                          like `https://shop.example.org` or `http://localhost:3000`";
            AppError::invalid(format!("/allowedOrigins/{index}"), detail)
        })
    });
    checked.collect()
}

/// RFC 6454 §6.2: scheme, host and port, the scheme's own left out.
fn checked_origin(origin: &str) -> Option<String> {
    if origin == "*" {
        return Some(origin.to_owned());
    }
    let origin = origin.to_ascii_lowercase();
    let (scheme, authority) = origin.split_once("://")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port.parse::<u16>().ok()?)),
        _ => (authority, None),
    };
    let named = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let whole =
        address.map_or(!host.is_empty() && host.bytes().all(named), |ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    let own_port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let port = port.filter(|port| *port != own_port).map(|port| format!(":{port}")).unwrap_or_default();
    whole.then(|| format!("{scheme}://{host}{port}"))
}

fn checked_secure_mode(new: &NewSdkKey) -> Result<bool, AppError> {
    if new.secure_mode && new.kind == SdkKeyKind::Server {
        let detail = "secure mode is for client keys: who has a server key may see every flag";
        return Err(AppError::invalid("/secureMode", detail));
    }
    Ok(new.secure_mode)
}

/// Whether a key that was accepted before still holds: an open stream asks every few seconds, and when the environment
/// is hinted at.
///
/// # Errors
/// [`AppError::Store`] where the database does not answer: no reason to close the stream.
pub async fn still_valid(app: &App, principal: &SdkPrincipal) -> Result<bool, AppError> {
    let is_valid = opening(app, &principal.key).await?.is_some();
    if is_valid {
        app.note_use(&resource(&principal.key)).await;
    }
    Ok(is_valid)
}

/// What the audit log calls a key.
fn resource(id: &str) -> String {
    format!("sdkKey/{id}")
}

/// The key, where it is not revoked and its environment lives.
async fn opening(app: &App, key: &str) -> Result<Option<SdkKeyRecord>, AppError> {
    let key = match app.live::<SdkKeyRecord>(&id_of(key)).await {
        Err(AppError::NotFound { .. }) => return Ok(None),
        other => other?.body,
    };
    let environment = EnvironmentId { project: key.project.clone(), environment: key.environment.clone() };
    Ok(app.environment_lives(&environment).await?.then_some(key))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_write_them() {
        for (given, read) in [
            ("*", Some("*")),
            ("https://Shop.Example.org", Some("https://shop.example.org")),
            ("https://shop.example.org:443", Some("https://shop.example.org")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("http://[::1]:3000", Some("http://[::1]:3000")),
            ("http://[::1]", Some("http://[::1]")),
            ("https://shop.example.org/", None),
            ("https://shop.example.org/a", None),
            ("https://*.example.org", None),
            ("https://a:b@c", None),
            ("https://", None),
            ("https://:3000", None),
            ("shop.example.org", None),
            ("ftp://shop.example.org", None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(checked_origin(given).as_deref(), read, "{given}");
        }
    }

    #[test]
    fn an_accepted_key_is_believed_until_it_is_old_or_a_key_changes() {
        let cache = KeyCache::default();
        let record = SdkKeyRecord {
            name: String::new(),
            kind: SdkKeyKind::Server,
            project: "shop".to_owned(),
            environment: "test".to_owned(),
            secret_hash: String::new(),
            allowed_origins: Vec::new(),
            signing_secret: None,
        };
        let principal = Arc::new(principal("id", record));
        cache.put([1; 32], cache.generation(), &principal, Timestamp(1_000));
        for (fingerprint, now, known) in [
            ([1; 32], 1_000, true),
            ([1; 32], 2_999, true),
            ([1; 32], 3_000, false),
            ([1; 32], 999, false),
            ([2; 32], 1_000, false),
        ] {
            assert_eq!(cache.get(&fingerprint, Timestamp(now)).is_some(), known, "{now}");
        }
        cache.forget();
        assert!(cache.get(&[1; 32], Timestamp(1_000)).is_none());
    }
}

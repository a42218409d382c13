//! The first run: a one-time link makes the first instance administrator.

use serde::Deserialize;
use tidegate_core::Timestamp;
use utoipa::ToSchema;

use super::{
    Actor, App, AppError, Page, PageRequest, Principal, Request,
    documents::Stored,
    password, secret,
    sessions::{self, NewSession},
    users::{self, LINK_MS, SignInLink, UserRecord},
};
use crate::{app::moment::Moment, ports::store::OneTimeLink};

/// The first instance administrator.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Setup {
    /// Of the set-up link.
    pub secret: String,
    /// What people call them.
    pub name: String,
    /// What they sign in with.
    pub email: String,
    /// 12 to 256 characters.
    pub password: String,
}

/// Whether nobody can administer the instance yet.
///
/// # Errors
/// [`AppError::Store`].
pub async fn needed(app: &App) -> Result<bool, AppError> {
    let one = PageRequest { after: None, limit: 1 };
    let administrators: Page<()> =
        app.scan(&one, |user: Stored<UserRecord>| user.body.instance_admin.then_some(())).await?;
    Ok(administrators.items.is_empty())
}

/// Makes a set-up link where set-up is needed: the server shows it to whoever started it.
///
/// # Errors
/// [`AppError::Store`].
pub async fn offer(app: &App) -> Result<Option<SignInLink>, AppError> {
    if !needed(app).await? {
        return Ok(None);
    }
    let expires_at = Timestamp(app.clock.now().0.saturating_add(LINK_MS));
    let secret = secret::random_secret(app.ids.as_ref());
    app.store.put_link(&OneTimeLink { secret_hash: setup_hash(&secret), user: None, expires_at }).await?;
    Ok(Some(SignInLink { secret, expires_at: Moment(expires_at) }))
}

/// Makes the first instance administrator, and signs them in.
///
/// # Errors
/// [`AppError::NotFound`] where there is an administrator; [`AppError::Unauthenticated`] where the link was used, has
/// expired or never was; [`AppError::Invalid`].
pub async fn complete(app: &App, request_id: &str, setup: Setup) -> Result<NewSession, AppError> {
    if !needed(app).await? {
        return Err(AppError::NotFound { what: "set-up to do: this server has an administrator".to_owned() });
    }
    // All that can be wrong with the form is found before the link is used up.
    let mut record = UserRecord {
        name: users::checked_name(&setup.name)?,
        email: users::checked_email(&setup.email)?,
        password_hash: None,
        password_set_at: Timestamp::default(),
        instance_admin: true,
        roles: std::collections::BTreeMap::new(),
    };
    password::check_new(&setup.password, "/password")?;
    let link = app.store.take_link(&setup_hash(&setup.secret), app.clock.now()).await?;
    let link = link.ok_or_else(|| AppError::Unauthenticated {
        detail: "the set-up link was used or has expired: restart the server for a new one".to_owned(),
    })?;
    match create(app, request_id, &mut record, &setup.password).await {
        Ok(session) => Ok(session),
        Err(error) => {
            app.store.put_link(&link).await?;
            Err(error)
        }
    }
}

async fn create(app: &App, request_id: &str, record: &mut UserRecord, password: &str) -> Result<NewSession, AppError> {
    users::set_password(app, record, Some(password)).await?;
    let id = app.ids.ulid(app.clock.now());
    let request = Request {
        principal: Principal {
            actor: Actor { id: format!("user:{id}"), name: record.name.clone() },
            instance_admin: true,
            roles: std::collections::BTreeMap::new(),
        },
        reason: "first-run set-up".to_owned(),
        request_id: request_id.to_owned(),
        idempotency: None,
    };
    let (_, commit) = users::creation(app, &request, &id, record.clone()).await?;
    app.commit(&request, commit).await?;
    let user = app.live::<UserRecord>(&users::id_of(&id)).await?;
    sessions::open(app, &user, app.clock.now(), request_id).await
}

fn setup_hash(secret: &str) -> String {
    secret::hash(&format!("set-up {secret}"))
}

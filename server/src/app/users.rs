//! People: who they are, and what they may do where.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_core::Timestamp;
use utoipa::ToSchema;

use super::{
    Actor, App, AppError, Page, PageRequest, Principal, Request, Role,
    access::{Action, authorize},
    documents::{self, Body, Stored},
    moment::Moment,
    password, secret,
};
use crate::ports::store::{Commit, Document, DocumentId, DocumentKind, Expected, OneTimeLink, Write};

/// A person, as stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserRecord {
    /// What people call them.
    pub name: String,
    /// What they sign in with, as they wrote it.
    pub email: String,
    /// The argon2id hash as a PHC string; absent: they sign in by link only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
    /// When the password was set. Sessions from before are void.
    #[serde(default)]
    pub password_set_at: Timestamp,
    /// May do everything.
    #[serde(default)]
    pub instance_admin: bool,
    /// The role in each project.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
}

impl Body for UserRecord {
    const KIND: DocumentKind = DocumentKind::User;
}

/// Who has an address: makes it unique, and finds the person at sign-in. The document's key is the folded address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct EmailClaim {
    /// The user's id; null once they have let go of it.
    user: Option<String>,
}

impl Body for EmailClaim {
    const KIND: DocumentKind = DocumentKind::User;
}

/// A person, as shown: nothing of the password but whether there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Names the person for ever.
    pub id: String,
    /// Send it as `If-Match` with a change.
    pub version: u64,
    /// What people call them.
    pub name: String,
    /// What they sign in with.
    pub email: String,
    /// Whether they can sign in with a password; if not, by link only.
    pub has_password: bool,
    /// May do everything.
    pub instance_admin: bool,
    /// The role in each project.
    pub roles: BTreeMap<String, Role>,
    /// When they were added.
    pub created_at: Moment,
    /// When they last changed.
    pub updated_at: Moment,
}

impl From<Stored<UserRecord>> for User {
    fn from(stored: Stored<UserRecord>) -> Self {
        let Stored { id, version, created_at, updated_at, body, .. } = stored;
        Self {
            id: id.key,
            version,
            name: body.name,
            email: body.email,
            has_password: body.password_hash.is_some(),
            instance_admin: body.instance_admin,
            roles: body.roles,
            created_at: Moment(created_at),
            updated_at: Moment(updated_at),
        }
    }
}

/// A person to add.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewUser {
    /// What people call them, 1 to 100 characters.
    pub name: String,
    /// What they sign in with.
    pub email: String,
    /// 12 to 256 characters; absent: they sign in by link.
    pub password: Option<String>,
    /// May do everything.
    #[serde(default)]
    pub instance_admin: bool,
    /// The role in each project.
    #[serde(default)]
    pub roles: BTreeMap<String, Role>,
}

/// What changes of a person; what is absent stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UserPatch {
    /// What people call them.
    pub name: Option<String>,
    /// What they sign in with.
    pub email: Option<String>,
    /// The new password. Ends all their sessions.
    pub password: Option<String>,
    /// The password until now: needed of those who change their own.
    pub current_password: Option<String>,
    /// May do everything.
    pub instance_admin: Option<bool>,
    /// All roles, replacing those until now.
    pub roles: Option<BTreeMap<String, Role>>,
}

/// A person with a role in a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The person's id.
    pub id: String,
    /// The person's version: send it as `If-Match` with a change.
    pub version: u64,
    /// What people call them.
    pub name: String,
    /// What they sign in with.
    pub email: String,
    /// Their role in the project.
    pub role: Role,
}

/// A secret that signs in once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInLink {
    /// What the link carries.
    pub secret: String,
    /// When it stops working.
    pub expires_at: Moment,
}

/// How long one-time links work, in milliseconds: a day.
pub(super) const LINK_MS: i64 = 24 * 3_600_000;

/// People, for those who may give somebody a role: an instance administrator sees everything, the administrator of a
/// project sees the roles in the projects that they administer.
///
/// # Errors
/// [`AppError::Forbidden`] for all others.
pub async fn list(app: &App, principal: &Principal, page: &PageRequest) -> Result<Page<User>, AppError> {
    let administers = |project: &String| principal.instance_admin || principal.roles.get(project) == Some(&Role::Admin);
    if !principal.instance_admin && !principal.roles.keys().any(administers) {
        return Err(AppError::Forbidden { needed: "admin, in any project".to_owned() });
    }
    app.scan(page, |user: Stored<UserRecord>| {
        let mut user = User::from(user);
        user.roles.retain(|project, _| administers(project));
        Some(user)
    })
    .await
}

/// One person: for instance administrators, and for themselves.
///
/// # Errors
/// [`AppError::Forbidden`] for all others; [`AppError::NotFound`].
pub async fn get(app: &App, principal: &Principal, id: &str) -> Result<User, AppError> {
    authorize_on(principal, id)?;
    Ok(app.live::<UserRecord>(&id_of(id)).await?.into())
}

/// Adds a person. For instance administrators.
///
/// # Errors
/// [`AppError::Invalid`]; [`AppError::KeyTaken`] where somebody has the address; [`AppError::NotFound`] where there is no
/// such project.
pub async fn create(app: &App, request: &Request, new: NewUser) -> Result<User, AppError> {
    authorize(&request.principal, Action::AdministerInstance, None)?;
    app.begin(request).await?;
    let NewUser { name, email, password, instance_admin, roles } = new;
    let mut record = UserRecord {
        name: checked_name(&name)?,
        email: checked_email(&email)?,
        password_hash: None,
        password_set_at: Timestamp::default(),
        instance_admin,
        roles,
    };
    set_password(app, &mut record, password.as_deref()).await?;
    let id = app.ids.ulid(app.clock.now());
    let (user, commit) = creation(app, request, &id, record).await?;
    app.commit(request, commit).await?;
    Ok(user)
}

/// The commit that adds a person with that id, and what they will be.
pub(super) async fn creation(
    app: &App,
    request: &Request,
    id: &str,
    record: UserRecord,
) -> Result<(User, Commit), AppError> {
    let mut change = Change::new(app, request);
    change.claim(&record.email, id).await?;
    change.require_projects(record.roles.keys());
    let (id, at) = (id_of(id), change.commit.at);
    let user = User::from(Stored {
        id: id.clone(),
        version: 1,
        archived: false,
        created_at: at,
        updated_at: at,
        body: record.clone(),
    });
    change.write(id, Expected::Absent, &record);
    change.audit("user.create", &user.id, None, Some(&user));
    change.commit.idempotency = request.answer(201, &user);
    Ok((user, change.commit))
}

/// Changes a person: everything for instance administrators, name and password for themselves.
///
/// # Errors
/// [`AppError::Stale`]; [`AppError::Invalid`]; [`AppError::KeyTaken`]; [`AppError::Forbidden`];
/// [`AppError::InUse`] where the last instance administrator would be none any more.
pub async fn update(app: &App, request: &Request, id: &str, version: u64, patch: UserPatch) -> Result<User, AppError> {
    authorize_on(&request.principal, id)?;
    let before = app.live::<UserRecord>(&id_of(id)).await?;
    before.check_version(version)?;
    let UserPatch { name, email, password, current_password, instance_admin, roles } = patch;
    if email.is_some() || instance_admin.is_some() || roles.is_some() {
        authorize(&request.principal, Action::AdministerInstance, None)?;
    }
    let is_self = request.principal.actor.id == actor_id(id);
    if password.is_some() && is_self && before.body.password_hash.is_some() {
        let current = current_password.unwrap_or_default();
        if !password::verify(&current, before.body.password_hash.as_deref()).await? {
            return Err(AppError::invalid("/currentPassword", "this is not the password until now"));
        }
    }

    let mut change = Change::new(app, request);
    let mut after = before.body.clone();
    if let Some(name) = name {
        after.name = checked_name(&name)?;
    }
    if let Some(email) = email {
        after.email = checked_email(&email)?;
        if folded(&after.email) != folded(&before.body.email) {
            change.claim(&after.email, id).await?;
            change.release(&before.body.email, id).await?;
        }
    }
    if let Some(instance_admin) = instance_admin {
        after.instance_admin = instance_admin;
        if before.body.instance_admin && !instance_admin {
            change.keep_an_administrator(id).await?;
        }
    }
    if let Some(roles) = roles {
        change.require_projects(roles.keys().filter(|project| !before.body.roles.contains_key(*project)));
        after.roles = roles;
    }
    let new_password = password.is_some();
    set_password(app, &mut after, password.as_deref()).await?;
    let user = change.update(&before, after, "user.update");
    app.commit(request, change.commit).await?;
    if new_password {
        // They are void already; this only tidies up.
        app.store.delete_user_sessions(id).await?;
    }
    Ok(user)
}

/// Archives a person: their sessions and links end, their address is free again. For instance administrators.
///
/// # Errors
/// [`AppError::Stale`]; [`AppError::NotFound`]; [`AppError::InUse`] for the last instance administrator.
pub async fn archive(app: &App, request: &Request, id: &str, version: u64) -> Result<(), AppError> {
    authorize(&request.principal, Action::AdministerInstance, None)?;
    let before = app.live::<UserRecord>(&id_of(id)).await?;
    before.check_version(version)?;
    let mut change = Change::new(app, request);
    if before.body.instance_admin {
        change.keep_an_administrator(id).await?;
    }
    change.release(&before.body.email, id).await?;
    // What is no longer needed of a secret should not stay.
    let record = UserRecord { password_hash: None, ..before.body.clone() };
    change.commit.expected.push((before.id.clone(), Expected::Version(before.version)));
    change.commit.writes.push(Write { id: before.id.clone(), body: documents::write(&record), archived: true });
    change.audit("user.archive", id, Some(&User::from(before)), None);
    app.commit(request, change.commit).await?;
    app.store.delete_user_sessions(id).await?;
    Ok(())
}

/// Makes a link that signs this person in once. For instance administrators.
///
/// # Errors
/// [`AppError::NotFound`].
pub async fn make_link(app: &App, request: &Request, id: &str) -> Result<SignInLink, AppError> {
    authorize(&request.principal, Action::AdministerInstance, None)?;
    let user = User::from(app.live::<UserRecord>(&id_of(id)).await?);
    let mut change = Change::new(app, request);
    change.audit("user.link", id, None, None);
    let expires_at = Timestamp(change.commit.at.0.saturating_add(LINK_MS));
    let secret = secret::random_secret(app.ids.as_ref());
    let link = OneTimeLink { secret_hash: sign_in_hash(&secret), user: Some(user.id), expires_at };
    app.commit(request, change.commit).await?;
    app.store.put_link(&link).await?;
    Ok(SignInLink { secret, expires_at: Moment(expires_at) })
}

/// Under what a sign-in link is stored. Set-up links have another, so that neither opens the other's door.
pub(super) fn sign_in_hash(secret: &str) -> String {
    secret::hash(&format!("sign-in {secret}"))
}

/// Who has a role in the project.
///
/// # Errors
/// Those of [`authorize`].
pub async fn members(
    app: &App,
    principal: &Principal,
    project: &str,
    page: &PageRequest,
) -> Result<Page<Member>, AppError> {
    authorize(principal, Action::Read, Some(project))?;
    app.scan(page, |user| member(user, project)).await
}

fn member(user: Stored<UserRecord>, project: &str) -> Option<Member> {
    let role = *user.body.roles.get(project)?;
    let Stored { id, version, body: UserRecord { name, email, .. }, .. } = user;
    Some(Member { id: id.key, version, name, email, role })
}

/// Gives a person a role in the project. `version` is the person's, needed where they have a role already.
///
/// # Errors
/// [`AppError::VersionRequired`]; [`AppError::Stale`]; [`AppError::NotFound`].
pub async fn set_role(
    app: &App,
    request: &Request,
    project: &str,
    user: &str,
    version: Option<u64>,
    role: Role,
) -> Result<Member, AppError> {
    authorize(&request.principal, Action::Administer, Some(project))?;
    let before = app.live::<UserRecord>(&id_of(user)).await?;
    match version {
        Some(version) => before.check_version(version)?,
        None if before.body.roles.contains_key(project) => return Err(AppError::VersionRequired),
        None => {}
    }
    let mut after = before.clone();
    after.body.roles.insert(project.to_owned(), role);
    commit_role(app, request, project, &before, &after.body, "member.set").await?;
    after.version += 1;
    member(after, project).ok_or_else(|| AppError::NotFound { what: format!("member `{user}`") })
}

/// Takes a person's role in the project away.
///
/// # Errors
/// [`AppError::Stale`]; [`AppError::NotFound`].
pub async fn remove_role(
    app: &App,
    request: &Request,
    project: &str,
    user: &str,
    version: u64,
) -> Result<(), AppError> {
    authorize(&request.principal, Action::Administer, Some(project))?;
    let before = app.live::<UserRecord>(&id_of(user)).await?;
    let mut after = before.body.clone();
    if after.roles.remove(project).is_none() {
        return Err(AppError::NotFound { what: format!("member `{user}`") });
    }
    before.check_version(version)?;
    commit_role(app, request, project, &before, &after, "member.remove").await
}

async fn commit_role(
    app: &App,
    request: &Request,
    project: &str,
    before: &Stored<UserRecord>,
    after: &UserRecord,
    action: &str,
) -> Result<(), AppError> {
    let role =
        |user: &UserRecord| serde_json::json!(user.roles.get(project).map(|role| BTreeMap::from([("role", role)])));
    let mut change = Change::new(app, request);
    change.require_projects([project.to_owned()].iter());
    change.write(before.id.clone(), Expected::Version(before.version), after);
    let mut entry = request.audit(change.commit.at, action, format!("member/{}", before.id.key));
    entry.project = Some(project.to_owned());
    entry.before = role(&before.body);
    entry.after = role(after);
    change.commit.audit.push(entry);
    app.commit(request, change.commit).await?;
    Ok(())
}

/// The person with that address, where there is one.
pub(super) async fn by_email(app: &App, email: &str) -> Result<Option<Stored<UserRecord>>, AppError> {
    let Some(document) = app.store.document(&claim_id(email)).await? else { return Ok(None) };
    let Some(id) = claim(&document).user else { return Ok(None) };
    live(app, &id).await
}

/// The person with that id, where they are not archived.
pub(super) async fn live(app: &App, id: &str) -> Result<Option<Stored<UserRecord>>, AppError> {
    match app.live(&id_of(id)).await {
        Ok(user) => Ok(Some(user)),
        Err(AppError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The principal that a person is.
pub(super) fn principal(user: &Stored<UserRecord>) -> Principal {
    Principal {
        actor: Actor { id: actor_id(&user.id.key), name: user.body.name.clone() },
        instance_admin: user.body.instance_admin,
        roles: user.body.roles.clone(),
    }
}

/// Sets the password of a record, where there is a new one.
pub(super) async fn set_password(app: &App, record: &mut UserRecord, password: Option<&str>) -> Result<(), AppError> {
    let Some(password) = password else { return Ok(()) };
    password::check_new(password, "/password")?;
    record.password_hash = Some(password::hash(password, app.ids.as_ref()).await?);
    record.password_set_at = app.clock.now();
    Ok(())
}

pub(super) fn checked_name(name: &str) -> Result<String, AppError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.chars().any(char::is_control) {
        return Err(AppError::invalid("/name", "a name has 1 to 100 characters"));
    }
    Ok(name.to_owned())
}

/// Only what is certainly no address is refused: whether one works, only a letter sent there would tell.
pub(super) fn checked_email(email: &str) -> Result<String, AppError> {
    let email = email.trim();
    let parts = email.split_once('@');
    let plausible = email.len() <= 254
        && parts.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
        && !email.chars().any(|c| c.is_whitespace() || c.is_control());
    if !plausible {
        return Err(AppError::invalid("/email", "this is no e-mail address"));
    }
    Ok(email.to_owned())
}

/// The form in which addresses are compared.
fn folded(email: &str) -> String {
    email.trim().to_lowercase()
}

fn claim_id(email: &str) -> DocumentId {
    DocumentId { kind: DocumentKind::User, scope: "email".to_owned(), key: folded(email) }
}

/// Who has the address; a damaged claim is nobody's.
fn claim(document: &Document) -> EmailClaim {
    documents::read(document).map_or(EmailClaim { user: None }, |claim| claim.body)
}

/// The address of a user's document.
pub(super) fn id_of(user: &str) -> DocumentId {
    DocumentId { kind: DocumentKind::User, scope: String::new(), key: user.to_owned() }
}

fn actor_id(user: &str) -> String {
    format!("user:{user}")
}

/// Instance administrators, and people themselves.
fn authorize_on(principal: &Principal, user: &str) -> Result<(), AppError> {
    if principal.actor.id == actor_id(user) {
        return Ok(());
    }
    authorize(principal, Action::AdministerInstance, None)
}

/// A commit about people in the making. Unlike a [`Draft`](super::draft::Draft) it never shows a record to the audit
/// log, only the [`User`] that everybody may see.
struct Change<'a> {
    app: &'a App,
    request: &'a Request,
    commit: Commit,
}

impl<'a> Change<'a> {
    fn new(app: &'a App, request: &'a Request) -> Self {
        Self { app, request, commit: Commit { at: app.clock.now(), ..Commit::default() } }
    }

    fn write<T: Body>(&mut self, id: DocumentId, expected: Expected, body: &T) {
        self.commit.expected.push((id.clone(), expected));
        self.commit.writes.push(Write { id, body: documents::write(body), archived: false });
    }

    /// Writes and audits the next version of a person.
    fn update(&mut self, before: &Stored<UserRecord>, after: UserRecord, action: &str) -> User {
        self.write(before.id.clone(), Expected::Version(before.version), &after);
        let (version, updated_at) = (before.version + 1, self.commit.at);
        let user = User::from(Stored { version, updated_at, body: after, ..before.clone() });
        self.audit(action, &user.id, Some(&User::from(before.clone())), Some(&user));
        user
    }

    fn audit(&mut self, action: &str, user: &str, before: Option<&User>, after: Option<&User>) {
        let mut entry = self.request.audit(self.commit.at, action, format!("user/{user}"));
        entry.before = serde_json::json!(before);
        entry.after = serde_json::json!(after);
        self.commit.audit.push(entry);
    }

    /// From now on the address is this person's.
    async fn claim(&mut self, email: &str, user: &str) -> Result<(), AppError> {
        let id = claim_id(email);
        let expected = match self.app.store.document(&id).await? {
            None => Expected::Absent,
            Some(document) if claim(&document).user.is_none() => Expected::Version(document.version),
            Some(_) => {
                return Err(AppError::KeyTaken { detail: "somebody has this e-mail address already".to_owned() });
            }
        };
        self.write(id, expected, &EmailClaim { user: Some(user.to_owned()) });
        Ok(())
    }

    /// From now on the address is nobody's.
    async fn release(&mut self, email: &str, user: &str) -> Result<(), AppError> {
        let id = claim_id(email);
        let Some(document) = self.app.store.document(&id).await? else { return Ok(()) };
        if claim(&document).user.as_deref() == Some(user) {
            self.write(id, Expected::Version(document.version), &EmailClaim { user: None });
        }
        Ok(())
    }

    /// The projects must be there.
    fn require_projects<'p>(&mut self, projects: impl Iterator<Item = &'p String>) {
        let id = |key: &String| DocumentId { kind: DocumentKind::Project, scope: String::new(), key: key.clone() };
        self.commit.expected.extend(projects.map(|project| (id(project), Expected::Live)));
    }

    /// Somebody else than `user` is instance administrator, and still is when the commit goes through: two who demote
    /// each other at the same time must not both succeed.
    async fn keep_an_administrator(&mut self, user: &str) -> Result<(), AppError> {
        let one = PageRequest { after: None, limit: 1 };
        let others = self.app.scan(&one, |other: Stored<UserRecord>| {
            (other.body.instance_admin && other.id.key != user).then_some((other.id, Expected::Version(other.version)))
        });
        match others.await?.items.pop() {
            Some(other) => {
                self.commit.expected.push(other);
                Ok(())
            }
            None => Err(AppError::InUse {
                detail: "this is the last instance administrator: make somebody else one first".to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_certainly_no_address_is_refused() {
        for (email, accepted) in [
            ("ada@example.org", true),
            (" ada@example.org ", true),
            ("ada+flags@münchen.example", true),
            ("", false),
            ("ada", false),
            ("@example.org", false),
            ("ada@", false),
            ("a@b@c", false),
            ("a da@example.org", false),
            ("a\nb@example.org", false),
        ] {
            assert_eq!(checked_email(email).is_ok(), accepted, "{email:?}");
        }
        assert!(checked_email(&format!("{}@example.org", "a".repeat(250))).is_err());
    }
}

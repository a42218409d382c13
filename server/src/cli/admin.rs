//! The commands that work on the configured database: people, tokens, SDK keys, flag files, the audit log.
//!
//! They go through the same use cases as the API, as an instance administrator with the actor `cli:<os user>`: whoever
//! can open the database can do everything anyway, and the audit log says that they did.

use std::{
    collections::BTreeMap,
    env,
    future::Future,
    io::{self, BufRead as _, Write},
    path::PathBuf,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, Subcommand};
use serde_json::Value as Json;
use tidegate_core::Timestamp;

use super::{diff, flag_file};
use crate::{
    app::{
        Actor, App, AppError, Page, PageRequest, Principal, Request, Role, SdkKeyKind,
        configurations::Mode,
        flag_file::ApplyFile,
        keys::{self, NewSdkKey},
        moment::Moment,
        tokens::{self, NewToken},
        users::{self, NewUser, User, UserPatch},
    },
    audit::{VerifyError, verify},
    ports::store::EnvironmentId,
};

/// People who sign in
#[derive(Subcommand)]
pub enum UserCommand {
    /// Add a person; print a link that signs them in once
    Add {
        /// What people call them
        #[arg(long)]
        name: String,
        /// What they sign in with
        #[arg(long)]
        email: String,
        /// May do everything
        #[arg(long)]
        instance_admin: bool,
        /// A role in a project, like shop=editor; viewer, editor, operator or admin. May be repeated
        #[arg(long = "role", value_name = "PROJECT=ROLE", value_parser = parse_project_role)]
        roles: Vec<(String, Role)>,
    },
    /// Everybody, with their roles
    List,
    /// Print a link that signs a person in once, within a day
    Link {
        /// Their email address or id
        person: String,
    },
    /// Set a person's password, read from standard input; ends their sessions
    Password {
        /// Their email address or id
        person: String,
    },
    /// Archive a person: their sessions and links end
    Archive {
        /// Their email address or id
        person: String,
    },
}

/// API tokens, for machines that configure
#[derive(Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it: it is shown this once
    Create {
        /// What people call it
        #[arg(long)]
        name: String,
        /// What it may do: a role in a project, like shop=editor
        #[arg(long, value_name = "PROJECT=ROLE", value_parser = parse_project_role, required_unless_present = "instance_admin")]
        role: Option<(String, Role)>,
        /// It may do everything
        #[arg(long, conflicts_with = "role")]
        instance_admin: bool,
        /// When it stops working; left out: when it is revoked
        #[arg(long, value_name = "RFC3339", value_parser = super::parse_time)]
        expires: Option<Timestamp>,
    },
    /// Every token, without its secret
    List,
    /// Revoke a token: the next request with it is refused
    Revoke {
        /// Its id, as `list` shows it
        id: String,
    },
}

/// SDK keys, for applications
#[derive(Subcommand)]
pub enum KeyCommand {
    /// Make a key and print it: it is shown this once
    Create {
        #[command(flatten)]
        environment: EnvironmentArgs,
        /// What people call it
        #[arg(long)]
        name: String,
        /// It is a client key, public: opens only what flags make available to clients
        #[arg(long)]
        client: bool,
        /// The origin of a site whose pages may use the client key, like https://shop.example.org; any number of times. None: any
        /// site
        #[arg(long = "origin", value_name = "ORIGIN", requires = "client")]
        origins: Vec<String>,
        /// Clients must show a signature of their targeting key; prints the secret that signs, too
        #[arg(long, requires = "client")]
        secure_mode: bool,
    },
    /// Every key of an environment, without its secret
    List {
        #[command(flatten)]
        environment: EnvironmentArgs,
    },
    /// Revoke a key: streams that it opened end within seconds
    Revoke {
        #[command(flatten)]
        environment: EnvironmentArgs,
        /// Its id, as `list` shows it
        id: String,
    },
}

/// How to apply a flag file.
#[derive(Args)]
pub struct ApplyArgs {
    #[command(flatten)]
    environment: EnvironmentArgs,
    /// The flag file
    file: PathBuf,
    /// Change nothing; show what would change
    #[arg(long)]
    dry_run: bool,
    /// Archive the flags (in the whole project) and segments that the file does not name
    #[arg(long)]
    prune: bool,
    /// Why, for the audit log
    #[arg(long, default_value = "")]
    reason: String,
}

/// An environment of a project.
#[derive(Args)]
pub struct EnvironmentArgs {
    /// The project's key
    #[arg(long)]
    pub project: String,
    /// The environment's key
    #[arg(long)]
    pub environment: String,
}

impl From<EnvironmentArgs> for EnvironmentId {
    fn from(EnvironmentArgs { project, environment }: EnvironmentArgs) -> Self {
        Self { project, environment }
    }
}

fn parse_project_role(text: &str) -> Result<(String, Role), String> {
    let (project, role) = text.split_once('=').ok_or("not of the form PROJECT=ROLE")?;
    let role = serde_json::from_value(Json::from(role)).map_err(|_| "a role is viewer, editor, operator or admin")?;
    Ok((project.to_owned(), role))
}

/// What every command works with.
pub struct Session<'o> {
    /// The application on the configured database.
    pub app: App,
    /// Where people reach the server, for links.
    pub public_url: String,
    /// Standard output.
    pub out: &'o mut dyn Write,
}

impl Session<'_> {
    fn request(&self, reason: &str) -> Request {
        request(&self.app, reason)
    }

    /// `tidegate user …`
    pub async fn user(self, command: UserCommand) -> Result<()> {
        let (app, public_url) = (&self.app, &self.public_url);
        let request = self.request("");
        match command {
            UserCommand::Add { name, email, instance_admin, roles } => {
                let roles = BTreeMap::from_iter(roles);
                let new = NewUser { name, email, password: None, instance_admin, roles };
                let user = users::create(app, &request, new).await?;
                let link = users::make_link(app, &request, &user.id).await?;
                writeln!(self.out, "{public_url}/#/link/{}", link.secret)?;
            }
            UserCommand::List => {
                let people = every(|page| async move { users::list(app, &operator(), &page).await }).await?;
                for User { id, name, email, instance_admin, roles, .. } in people {
                    let mut rights: Vec<_> =
                        roles.iter().map(|(project, role)| format!("{project}={}", word(role))).collect();
                    rights.extend(instance_admin.then(|| "instance-admin".to_owned()));
                    writeln!(self.out, "{id}  {email}  {name}  {}", rights.join(" "))?;
                }
            }
            UserCommand::Link { person } => {
                let user = find(app, &person).await?;
                let link = users::make_link(app, &request, &user.id).await?;
                writeln!(self.out, "{public_url}/#/link/{}", link.secret)?;
            }
            UserCommand::Password { person } => {
                let user = find(app, &person).await?;
                let mut password = String::new();
                io::stdin().lock().read_line(&mut password).context("cannot read the password")?;
                let password = password.trim_end_matches(['\r', '\n']).to_owned();
                let patch = UserPatch { password: Some(password), ..UserPatch::default() };
                users::update(app, &request, &user.id, user.version, patch).await?;
                writeln!(self.out, "{} has a new password", user.email)?;
            }
            UserCommand::Archive { person } => {
                let user = find(app, &person).await?;
                users::archive(app, &request, &user.id, user.version).await?;
                writeln!(self.out, "{} is archived", user.email)?;
            }
        }
        Ok(())
    }

    /// `tidegate token …`
    pub async fn token(self, command: TokenCommand) -> Result<()> {
        let app = &self.app;
        let request = self.request("");
        match command {
            TokenCommand::Create { name, role, instance_admin, expires } => {
                let (project, role) = role.unzip();
                let new = NewToken { name, project, role, instance_admin, expires_at: expires.map(Moment) };
                writeln!(self.out, "{}", tokens::create(app, &request, new).await?.token)?;
            }
            TokenCommand::List => {
                let tokens = every(|page| async move { tokens::list(app, &operator(), &page).await }).await?;
                for token in tokens {
                    let scope = match (&token.project, &token.role) {
                        (Some(project), Some(role)) => format!("{project}={}", word(role)),
                        _ => "instance-admin".to_owned(),
                    };
                    let expires = token.expires_at.map_or_else(|| "-".to_owned(), |at| at.to_string());
                    writeln!(self.out, "{}  {scope}  {expires}  {}", token.id, token.name)?;
                }
            }
            TokenCommand::Revoke { id } => {
                tokens::revoke(app, &request, &id).await?;
                writeln!(self.out, "{id} is revoked")?;
            }
        }
        Ok(())
    }

    /// `tidegate key …`
    pub async fn key(self, command: KeyCommand) -> Result<()> {
        let app = &self.app;
        let request = self.request("");
        match command {
            KeyCommand::Create { environment, name, client, origins, secure_mode } => {
                let kind = if client { SdkKeyKind::Client } else { SdkKeyKind::Server };
                let allowed_origins = (!origins.is_empty()).then_some(origins);
                let new = NewSdkKey { name, kind, allowed_origins, secure_mode };
                let created = keys::create(app, &request, &environment.into(), new).await?;
                writeln!(self.out, "{}", created.key)?;
                if let Some(secret) = created.signing_secret {
                    writeln!(self.out, "{secret}")?;
                }
            }
            KeyCommand::List { environment } => {
                let environment = &EnvironmentId::from(environment);
                let keys = every(|page| async move { keys::list(app, &operator(), environment, &page).await }).await?;
                for key in keys {
                    writeln!(self.out, "{}  {}  {}  {}", key.id, word(&key.kind), key.created_at, key.name)?;
                }
            }
            KeyCommand::Revoke { environment, id } => {
                keys::revoke(app, &request, &environment.into(), &id).await?;
                writeln!(self.out, "{id} is revoked")?;
            }
        }
        Ok(())
    }

    /// `tidegate flags export`
    pub async fn export(self, environment: EnvironmentId) -> Result<()> {
        let exported = self.app.flag_file(&self.request("").principal, &environment).await?;
        for broken in &exported.broken {
            writeln!(io::stderr(), "tidegate: left out: `{}` is broken: {}", broken.key, broken.broken)?;
        }
        Ok(writeln!(self.out, "{}", serde_json::to_string_pretty(&exported.file)?)?)
    }

    /// `tidegate flags apply`
    pub async fn apply(self, args: ApplyArgs) -> Result<()> {
        let ApplyArgs { environment, file, dry_run, prune, reason } = args;
        let command = ApplyFile { file: flag_file::parse_strictly(&flag_file::read(&file)?)?, prune };
        let mode = if dry_run { Mode::DryRun } else { Mode::Commit };
        let applied = self.app.apply_file(&self.request(&reason), &environment.into(), &command, mode).await?;
        for change in &applied.changes {
            write!(self.out, "{}", diff::render(change))?;
        }
        match (applied.changes.len(), applied.revision) {
            (0, _) => writeln!(self.out, "nothing to change")?,
            (n, None) => writeln!(self.out, "changes: {n}; nothing was written")?,
            (n, Some(revision)) => writeln!(self.out, "changes: {n}; revision {revision}")?,
        }
        Ok(())
    }

    /// `tidegate audit verify`
    pub async fn verify(self) -> Result<()> {
        match verify(self.app.store.as_ref()).await {
            Ok(verified) => Ok(writeln!(self.out, "{} rows, unbroken; head {}", verified.rows, verified.head)?),
            Err(VerifyError::Broken(broken)) => bail!("the audit log is damaged: {broken}"),
            Err(error) => Err(error.into()),
        }
    }
}

/// A request of whoever runs this program.
pub fn request(app: &App, reason: &str) -> Request {
    Request {
        principal: operator(),
        reason: reason.trim().to_owned(),
        request_id: format!("cli-{}", app.ids.ulid(app.clock.now())),
        idempotency: None,
    }
}

/// Whoever runs this program.
fn operator() -> Principal {
    let name = ["USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok());
    let name = name.unwrap_or_else(|| "unknown".to_owned());
    Principal { actor: Actor { id: format!("cli:{name}"), name }, instance_admin: true, roles: BTreeMap::new() }
}

/// Every item of a list, page by page.
async fn every<T, F: Future<Output = Result<Page<T>, AppError>>>(list: impl Fn(PageRequest) -> F) -> Result<Vec<T>> {
    let mut items = Vec::new();
    let mut after = None;
    loop {
        let page = list(PageRequest { after, limit: PageRequest::MAX_LIMIT }).await?;
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(items);
        }
    }
}

async fn find(app: &App, person: &str) -> Result<User> {
    let people = every(|page| async move { users::list(app, &operator(), &page).await }).await?;
    let found = people.into_iter().find(|user| user.id == person || user.email.eq_ignore_ascii_case(person));
    found.ok_or_else(|| anyhow!("there is nobody with the address or id `{person}`"))
}

/// A value's name, as the API writes it.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Json::String(word)) => word,
        other => unreachable!("roles and kinds are written as words: {other:?}"),
    }
}

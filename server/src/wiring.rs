//! Puts the adapters behind the ports and runs the whole: the one place that knows them all.

use std::{
    fs::{self, DirBuilder},
    future::Future,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use tokio::{
    net::TcpListener,
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::{App, AppError, sessions, watches::Reach},
    config::Config,
    controller::{Asker, Controller, Receipts},
    http::{self, AppState, HttpConfig, MetricsAccess},
    notify::{Mailer, Notifier, Senders, notifier},
    outgoing::{self, Credentials, SystemResolver},
    ports::{
        Clock as _, IdSource as _, Outgoing, Store,
        store::{EnvironmentId, StoreError},
    },
    sources::Sources,
    store::{Location, SqlStore},
    stream::{self, Streams},
    system::{self, SystemClock, SystemIds},
    telemetry::Metrics,
};

/// How long a server that was told to stop goes on answering, so that its callers hear of it by an answer: a connection
/// that is closed while the next request is on its way loses that request.
const LINGER: Duration = Duration::from_millis(250);

/// Open files that no stream may take, where there are twice as many.
const FILES_KEPT: u64 = 500;

/// How often what has ended is forgotten.
const PRUNE_EVERY: Duration = Duration::from_hours(1);

/// How many revisions of each environment stay in the change log: a client that is further behind gets everything.
const KEEP_REVISIONS: u64 = 10_000;

/// The application on the database at `location`, which is made or brought up to date where needed.
///
/// # Errors
/// Where the database cannot be opened; the message never holds its password.
pub async fn open(location: &Location) -> Result<App> {
    if let Location::Sqlite(path) = location
        && let Some(folder) = path.parent()
    {
        make_private_folder(folder)?;
    }
    let store: Arc<dyn Store> = Arc::new(SqlStore::open(location, &new_epoch()).await?);
    Ok(App::new(store, Arc::new(SystemClock), Arc::new(SystemIds)))
}

/// Writes a copy of the database at `location` to `file`.
///
/// # Errors
/// Where the database cannot be opened or the file cannot be written.
pub async fn back_up(location: &Location, file: &Path) -> Result<()> {
    let store = SqlStore::open(location, &new_epoch()).await?;
    Ok(store.back_up(file, &new_epoch()).await?)
}

/// Makes the database at `location`, or brings it up to date. One that `is_restored` begins another timeline.
///
/// # Errors
/// Where it cannot be opened or written.
pub async fn migrate(location: &Location, is_restored: bool) -> Result<()> {
    open(location).await?;
    if is_restored {
        SqlStore::open(location, &new_epoch()).await?.begin_timeline(&new_epoch()).await?;
    }
    Ok(())
}

fn new_epoch() -> String {
    SystemIds.ulid(SystemClock.now())
}

/// A folder for this user only: it holds password hashes.
fn make_private_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("cannot make the folder `{}`", folder.display()))
}

/// The way to other systems, as the operator has it.
fn outgoing(config: &Config) -> Result<Arc<dyn Outgoing>> {
    let authorities = config.outgoing_ca.as_deref().map(read).transpose()?;
    let file = config.credentials.as_deref().map(read).transpose()?;
    let credentials = Credentials::read(file.as_deref(), &config.credential_variables)?;
    let settings = outgoing::Settings { allow: config.outgoing_allow.clone(), authorities, credentials };
    let client = outgoing::Client::new(settings, Arc::new(SystemResolver)).context("`outgoing_ca`")?;
    Ok(Arc::new(client))
}

/// The operator's mail server, where there is one.
fn mailer(config: &Config) -> Result<Option<Mailer>> {
    let Some(url) = &config.smtp_url else { return Ok(None) };
    let from = config.smtp_from.as_deref().context("`smtp_url` is set and `smtp_from` is not: whom is mail from?")?;
    let authorities = config.outgoing_ca.as_deref().map(read).transpose()?;
    Ok(Some(Mailer::new(url.reveal(), from, authorities.as_deref())?))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

/// A server that has its address and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    state: AppState,
    shutdown_deadline: Duration,
}

impl Server {
    /// Takes the configured address.
    ///
    /// # Errors
    /// Where somebody else has it, or a file that the configuration names cannot be read.
    pub async fn bind(app: App, config: &Config) -> Result<Self> {
        let outgoing = outgoing(config)?;
        let listen = config.listen;
        let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
        let address = listener.local_addr()?;
        let http_config = HttpConfig {
            public_url: config.public_url.clone().unwrap_or_else(|| format!("http://{address}")),
            trusted_proxies: config.trusted_proxies.clone(),
            streams: stream::Settings { max_streams: max_streams(system::open_files()), ..Default::default() },
            metrics: if config.public_metrics { MetricsAccess::Everyone } else { MetricsAccess::Loopback },
            ..HttpConfig::default()
        };
        let messenger = Senders::new(Arc::clone(&outgoing), mailer(config)?, &http_config.public_url);
        let metrics = Arc::new(Sources::new(Arc::clone(&outgoing), Arc::clone(&app.clock)));
        let app = App { outgoing, messenger: Arc::new(messenger), metrics, ..app };
        let state = AppState::new(app, http_config, Arc::new(Metrics::new()));
        Ok(Self { listener, address, state, shutdown_deadline: config.shutdown_deadline })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How it appears to the outside.
    pub fn http_config(&self) -> &HttpConfig {
        &self.state.config
    }

    /// Serves until `stop` is ready. Then, in this order: the server is not ready any more, and closes each connection with
    /// its next answer; streams get their goodbye; requests in flight end. What takes longer than the deadline is cut off.
    ///
    /// # Errors
    /// Those of the listener.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<()> {
        let Self { listener, state, shutdown_deadline, .. } = self;
        let router = http::router(state.clone());
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(prune(state.clone(), shutdown.clone()));
        let receipts = StreamReceipts { streams: Arc::clone(&state.streams) };
        let asker = Asker::new(state.app.clone());
        let questions = "Questions to metric sources for gates, by how they ended";
        state.metrics.register("metric_questions", questions, asker.counted.asked.clone());
        let seconds = "Time until metric sources answered, or did not";
        state.metrics.register("metric_question_seconds", seconds, asker.counted.seconds.clone());
        tasks.spawn(asker.run(shutdown.clone()));
        let controller = Controller::new(state.app.clone(), Arc::new(receipts));
        let late = "By how much the look at rollouts that was due first came too late, in milliseconds";
        state.metrics.register("rollouts_late_ms", late, controller.gauges.late_ms.clone());
        let looked = "When rollouts were last looked at here, in milliseconds since 1970";
        state.metrics.register("rollouts_looked_at_ms", looked, controller.gauges.looked_at_ms.clone());
        tasks.spawn(controller.run(shutdown.clone()));
        tasks.spawn(Notifier::new(state.app.clone(), &state.metrics).run(shutdown.clone()));
        // The streams' goodbyes have had their time when this one begins to count: half each.
        let half = shutdown_deadline / 2;
        let mut serving = tokio::spawn(http::serve(listener, router, shutdown.clone(), half));

        tokio::select! {
            () = stop => {}
            // It does not end by itself: something is wrong with the listener.
            ended = &mut serving => return Ok(ended??),
        }
        tracing::info!("stopping");
        state.stopping.cancel();
        let (goodbyes, ()) = tokio::join!(timeout(half, state.streams.shutdown()), sleep(half.min(LINGER)));
        if goodbyes.is_err() {
            tracing::warn!("streams still open were cut off");
        }
        shutdown.cancel();
        serving.await??;
        tasks.close();
        tasks.wait().await;
        tracing::info!("stopped");
        Ok(())
    }
}

/// What the streams of this server and of the others know.
struct StreamReceipts {
    streams: Arc<Streams>,
}

#[async_trait]
impl Receipts for StreamReceipts {
    async fn reach(&self, environment: &EnvironmentId) -> Result<Reach, StoreError> {
        let receipts = self.streams.receipts(environment).await?;
        let n_behind = receipts.connected.saturating_sub(receipts.applied);
        Ok(Reach { n_behind: n_behind as u64 })
    }
}

/// As many streams as are opened at most: what is left of the files that may be open is for requests and the database.
fn max_streams(open_files: Option<u64>) -> usize {
    let wanted = stream::Settings::default().max_streams;
    let room = open_files.map(|open| open - FILES_KEPT.min(open / 2)).and_then(|room| usize::try_from(room).ok());
    room.map_or(wanted, |room| wanted.min(room))
}

/// Forgets, now and then, what has ended.
async fn prune(state: AppState, shutdown: CancellationToken) {
    let mut times = interval(PRUNE_EVERY);
    times.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = times.tick() => {}
        }
        let pruned = async {
            let n_changes = state.app.store.prune_changes(KEEP_REVISIONS).await?;
            let n_ended = sessions::prune(&state.app, state.config.sessions).await?;
            let n_deliveries = notifier::prune(&state.app).await?;
            Ok::<_, AppError>((n_changes, n_ended, n_deliveries))
        };
        match pruned.await {
            Ok((n_changes, n_ended, n_deliveries)) => tracing::debug!(n_changes, n_ended, n_deliveries, "pruned"),
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "not pruned"),
        }
    }
}

//! How a client is made.

use std::{
    io,
    num::{NonZeroU64, NonZeroUsize},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use tidegate_core::FlagFile;
use tidegate_protocol::{
    Synchronizer,
    sync::{Retention, Settings},
};
use tokio::runtime::Handle;

use crate::{
    cache::Cache,
    client::{Client, Task},
    driver::Driver,
    shared::Shared,
    socket::Endpoint,
    system,
    telemetry::{MAX_EXPOSURES, Outbox, Telemetry},
};

/// What a client says it is.
const SDK: &str = concat!("tidegate-rust/", env!("CARGO_PKG_VERSION"));

/// Why a client cannot be made: mistakes in its configuration only. A server that is away is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The URL is none.
    #[error("`{url}` is no URL of a server; expected something like `https://flags.example.com`")]
    Url {
        /// What was given.
        url: String,
    },
    /// The key has characters that no key has.
    #[error("the SDK key has characters that no key has: was it copied whole?")]
    Key,
    /// There is no tokio runtime to run on.
    #[error("`connect` must be called within a tokio runtime with its time and I/O drivers enabled")]
    Runtime(#[source] tokio::runtime::TryCurrentError),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] io::Error),
}

/// Makes a [`Client`]; see [`Client::builder`].
///
/// ```
/// use std::time::Duration;
/// use tidegate::{Client, Context, Status};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// // Comes with the application: what it starts with where the server is away.
/// let bundled = serde_json::from_str(r#"{ "flags": [
///     { "key": "new-checkout", "kind": "boolean", "enabled": true,
///       "variants": [{ "key": "on", "value": true }], "default": { "variant": "on" } }] }"#)?;
/// let client = Client::builder("http://localhost:1", "tgs_…")
///     .bootstrap(bundled)
///     .connect_timeout(Duration::from_secs(2))
///     .connect()?;
/// // Nobody is there, and the application starts all the same.
/// assert_eq!(client.wait_ready(Duration::from_millis(10)).await?, Status::Stale);
/// assert!(client.bool("new-checkout", false, &Context::new("user-17")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # ?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    url: String,
    key: String,
    cache_file: Option<PathBuf>,
    bootstrap: Option<FlagFile>,
    settings: Settings,
    /// `None`: nothing is gathered.
    telemetry: Option<TelemetrySettings>,
}

#[derive(Clone, Copy, Debug)]
struct TelemetrySettings {
    max_exposures: NonZeroUsize,
    interval: Duration,
}

impl TelemetrySettings {
    const DEFAULT: Self = Self { max_exposures: MAX_EXPOSURES, interval: Duration::from_secs(10) };
}

impl Builder {
    pub(crate) fn new(url: &str, key: &str) -> Self {
        Self {
            url: url.trim().to_owned(),
            key: key.trim().to_owned(),
            cache_file: None,
            bootstrap: None,
            settings: Settings::new(SDK, 0),
            telemetry: Some(TelemetrySettings::DEFAULT),
        }
    }

    /// Keeps the last good flags in this file, and starts with them: also when the server is away then. The folder must
    /// exist. The file is replaced in one step, carries a checksum, and is used for the same server and key only; one
    /// that is damaged is ignored.
    #[must_use]
    pub fn cache_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.cache_file = Some(path.into());
        self
    }

    /// Evaluates with these flags until there is something newer: a cache file, or the server's.
    #[must_use]
    pub fn bootstrap(mut self, file: FlagFile) -> Self {
        self.bootstrap = Some(file);
        self
    }

    /// How long opening the connection may take, TLS included; 5 s unless told.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.settings.connect_timeout_ms = ms(timeout);
        self
    }

    /// How long the server may take to say hello on an open connection; 5 s unless told.
    #[must_use]
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.settings.handshake_timeout_ms = ms(timeout);
        self
    }

    /// How long the first flags may take from there; 30 s unless told.
    #[must_use]
    pub fn transfer_timeout(mut self, timeout: Duration) -> Self {
        self.settings.transfer_timeout_ms = ms(timeout);
        self
    }

    /// Tells the server nothing of evaluations and measurements; [`Client::track`] does nothing then.
    #[must_use]
    pub fn without_telemetry(mut self) -> Self {
        self.telemetry = None;
        self
    }

    /// How often exposures and measurements are sent; every 10 s unless told, and sooner where they are many.
    #[must_use]
    pub fn telemetry_interval(mut self, interval: Duration) -> Self {
        self.telemetry = self.telemetry.map(|settings| TelemetrySettings { interval, ..settings });
        self
    }

    /// How many different exposures (flag, version, variant and unit) are kept until they are sent; 10,000 unless told.
    /// More are dropped and [counted](Client::telemetry_dropped). Each has room from the start: 80 to 160 bytes, twice.
    #[must_use]
    pub fn max_exposures(mut self, max: NonZeroUsize) -> Self {
        self.telemetry = self.telemetry.map(|settings| TelemetrySettings { max_exposures: max, ..settings });
        self
    }

    /// Starts to connect, and returns at once. Reads the cache file, where there is one: this blocks for as long as the
    /// disk does.
    ///
    /// # Errors
    /// [`BuildError`] where the URL or key cannot be right, or there is no tokio runtime.
    pub fn connect(self) -> Result<Client, BuildError> {
        let runtime = Handle::try_current().map_err(BuildError::Runtime)?;
        let endpoint = Endpoint::new(&self.url, &self.key)?;
        let cache = self.cache();
        let mut settings = self.settings;
        settings.seed = system::seed();
        if cache.is_some() {
            settings.retention = Retention::Bodies;
        }

        let (telemetry, outbox) = self.telemetry.map(open_telemetry).unzip();
        let shared = Arc::new(Shared::new(self.bootstrap.as_ref(), telemetry));
        let mut driver = Driver::new(Synchronizer::new(settings), Arc::clone(&shared), endpoint, cache, outbox);
        driver.restore();
        let stop = driver.stop();
        let handle = runtime.spawn(driver.run());
        Ok(Client::new(shared, Some(Task { handle, stop })))
    }

    /// Does not connect at all: evaluates with the cache file, or else with the [bootstrap](Self::bootstrap), for ever.
    /// Needs no runtime, and gathers nothing for a server.
    pub fn offline(self) -> Client {
        let snapshot = self.cache().and_then(|cache| cache.read());
        let shared = Shared::new(self.bootstrap.as_ref(), None);
        if let Some(snapshot) = snapshot {
            let mut machine = Synchronizer::new(self.settings);
            crate::driver::show(&shared, machine.restore(snapshot));
        }
        if shared.live.load().loaded {
            shared.enter(tidegate_protocol::Status::Ready);
        }
        Client::new(Arc::new(shared), None)
    }

    fn cache(&self) -> Option<Cache> {
        self.cache_file.clone().map(|path| Cache::new(path, &self.url, &self.key))
    }
}

fn open_telemetry(settings: TelemetrySettings) -> (Arc<Telemetry>, Outbox) {
    let (telemetry, drain) = Telemetry::new(settings.max_exposures);
    let id = format!("{:016x}{:016x}", system::seed(), system::seed());
    let interval_ms = NonZeroU64::new(ms(settings.interval)).unwrap_or(NonZeroU64::MIN);
    (telemetry, Outbox::new(drain, interval_ms, id))
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

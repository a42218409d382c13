//! What every handler can reach.

use std::{net::IpAddr, ops::Deref, sync::Arc, time::Duration};

use ipnet::IpNet;
use tidegate_core::Timestamp;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::ofrep::Kept;
use crate::{
    app::{App, sessions::SessionLimits, throttle::SignInThrottle},
    stream::{self, Streams},
    telemetry::Metrics,
};

/// How the server appears to the outside.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Where people reach it, without a slash at the end, like `https://flags.example.org`. With `https` the session
    /// cookie is `Secure` and `__Host-`.
    pub public_url: String,
    /// The networks of the proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Who reads `/metrics`.
    pub metrics: MetricsAccess,
    /// How long a sign-in lasts.
    pub sessions: SessionLimits,
    /// A request that has no answer by then gets 503. Streams are not concerned.
    pub request_timeout: Duration,
    /// How many requests are worked on at once; more get 503. Health, metrics and open streams do not count.
    pub max_concurrent_requests: usize,
    /// How streams are run.
    pub streams: stream::Settings,
}

/// Who reads `/metrics`. An instance administrator's token always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Also whoever connects from the machine itself, not through a proxy.
    #[default]
    Loopback,
    /// Everybody: the network keeps strangers out.
    Everyone,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            public_url: "http://localhost:8580".to_owned(),
            trusted_proxies: Vec::new(),
            metrics: MetricsAccess::default(),
            sessions: SessionLimits::default(),
            request_timeout: Duration::from_secs(30),
            max_concurrent_requests: 512,
            streams: stream::Settings::default(),
        }
    }
}

impl HttpConfig {
    /// Whether people reach it over TLS.
    pub fn is_https(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// The session cookie's name. `__Host-` binds it to this host, path and TLS.
    pub fn session_cookie(&self) -> &'static str {
        if self.is_https() { "__Host-tidegate" } else { "tidegate" }
    }

    /// Where a browser follows a one-time link, to sign in or to set up. The secret stands behind `#`: it reaches no server's log.
    pub fn link(&self, secret: &str) -> String {
        format!("{}/#/link/{secret}", self.public_url)
    }

    /// Who is at the other end: the peer, or, behind trusted proxies, the last address in `forwarded` (the value of
    /// `X-Forwarded-For`) that is none of theirs. What stands further left was written by strangers.
    pub fn client_ip(&self, peer: IpAddr, forwarded: &str) -> IpAddr {
        let trusted = |ip: &IpAddr| self.trusted_proxies.iter().any(|network| network.contains(ip));
        if !trusted(&peer) {
            return peer;
        }
        let hops = forwarded.rsplit(',').map_while(|hop| hop.trim().parse::<IpAddr>().ok());
        let mut client = peer;
        for hop in hops {
            client = hop;
            if !trusted(&hop) {
                break;
            }
        }
        client
    }
}

/// What every handler can reach. One pointer: each layer and handler takes a clone of its own for every request.
#[derive(Clone)]
pub struct AppState(Arc<Parts>);

/// The parts of [`AppState`].
pub struct Parts {
    /// The use cases.
    pub app: App,
    /// How the server appears to the outside.
    pub config: HttpConfig,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How often somebody may try to sign in.
    pub sign_ins: SignInThrottle,
    /// The streams; to be [shut down](Streams::shutdown) when the server stops.
    pub streams: Arc<Streams>,
    /// When the server started.
    pub started_at: Timestamp,
    /// Cancelled when the server has been told to stop: it is not ready any more, so that nobody new is sent here.
    pub stopping: CancellationToken,
    /// What OFREP's answers are put together from.
    pub(super) ofrep: Kept,
    /// One permit per request being worked on.
    pub(super) permits: Arc<Semaphore>,
}

impl AppState {
    /// The state of one server.
    pub fn new(app: App, config: HttpConfig, metrics: Arc<Metrics>) -> Self {
        let permits = Arc::new(Semaphore::new(config.max_concurrent_requests));
        let sign_ins = SignInThrottle::new(app.clock.clone());
        let streams = Streams::new(app.clone(), Arc::clone(&metrics), config.streams);
        let (stopping, started_at) = (CancellationToken::new(), app.clock.now());
        let ofrep = Kept::default();
        Self(Arc::new(Parts { app, config, metrics, sign_ins, streams, started_at, stopping, ofrep, permits }))
    }
}

impl Deref for AppState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_client(peer: &str, forwarded: &str, expected: &str) {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let config = HttpConfig { trusted_proxies, ..HttpConfig::default() };
        assert_eq!(config.client_ip(peer.parse().unwrap(), forwarded), expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn forwarded_addresses_count_from_trusted_proxies_only() {
        check_client("203.0.113.9", "", "203.0.113.9");
        check_client("203.0.113.9", "198.51.100.1", "203.0.113.9");
        check_client("10.0.0.1", "198.51.100.1", "198.51.100.1");
        // The client wrote the first address itself.
        check_client("10.0.0.1", "127.0.0.1, 198.51.100.1, 10.0.0.2", "198.51.100.1");
        check_client("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3");
        check_client("10.0.0.1", "198.51.100.1, junk", "10.0.0.1");
        check_client("10.0.0.1", "", "10.0.0.1");
    }
}

//! The one way out: every request to another system is sent here, and here it is decided whether it is sent.
//!
//! Whoever configures a metric source or a webhook says where the server connects to. So an address is checked when it is connected
//! to, after the name was resolved, and no redirect is followed: a name that resolves to something else the second time gets nowhere.
//! Nothing is taken from the environment: there are no proxies. Each request has a connection of its own, which ends with it.

mod allow;
mod credentials;

use std::{io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    client::conn::http1,
    header::{
        self, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue,
        TRANSFER_ENCODING, UPGRADE, USER_AGENT,
    },
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

use self::credentials::Addition;
pub use self::{
    allow::AllowList,
    credentials::{CredentialError, Credentials},
};
use crate::ports::outgoing::{Method, Outgoing, OutgoingError, Request, Response, Secret};

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// All of them.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host((host, port)).await?.collect())
    }
}

/// What the operator says of it.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What is asked beyond the public network.
    pub allow: AllowList,
    /// Certificates of authorities beside those of the web, as PEM.
    pub authorities: Option<String>,
    /// What is sent along where a request names it.
    pub credentials: Credentials,
}

/// Sends requests.
pub struct Client {
    resolver: Arc<dyn Resolver>,
    allow: AllowList,
    credentials: Credentials,
    tls: TlsConnector,
    /// One for each request under way.
    permits: Semaphore,
}

/// The authorities cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no certificate in it, in PEM, or one that is none")]
pub struct AuthoritiesError;

/// Requests under way at once; more wait, within their time.
const MAX_REQUESTS: usize = 64;

/// How long one address of a host may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// Addresses of a host that are tried.
const MAX_ADDRESSES: usize = 4;

/// Of an answer's head.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Headers that follow from the request, and are not for callers to say.
const RESERVED: [HeaderName; 9] = [
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    CONNECTION,
    UPGRADE,
    AUTHORIZATION,
    ACCEPT_ENCODING,
    header::TE,
    header::TRAILER,
];

/// What is asked, once it was understood.
#[derive(Debug)]
struct Target {
    url: Url,
    host: Host<String>,
    port: u16,
    is_secure: bool,
}

impl Client {
    /// A way out with these settings.
    ///
    /// # Errors
    /// Where the authorities cannot be read.
    pub fn new(settings: Settings, resolver: Arc<dyn Resolver>) -> Result<Self, AuthoritiesError> {
        let Settings { allow, authorities, credentials } = settings;
        let tls = TlsConnector::from(Arc::new(tls_config(authorities.as_deref())?));
        Ok(Self { resolver, allow, credentials, tls, permits: Semaphore::new(MAX_REQUESTS) })
    }

    /// Asks, however long it takes.
    async fn exchange(&self, target: &Target, request: Request) -> Result<Response, OutgoingError> {
        let message = self.message(target, &request)?;
        let Ok(_permit) = self.permits.acquire().await else { return Err(OutgoingError::Unreachable) };
        let stream = self.connect(target).await?;
        if target.is_secure {
            let name = server_name(&target.host).ok_or(OutgoingError::Malformed)?;
            let stream = self.tls.connect(name, stream).await.map_err(|_| OutgoingError::Tls)?;
            talk(stream, message, request.max_bytes).await
        } else {
            talk(stream, message, request.max_bytes).await
        }
    }

    /// A connection to the first of the host's addresses that is to be asked and that accepts one. The address that is checked is
    /// the one that is connected to: nobody resolves the name again.
    async fn connect(&self, target: &Target) -> Result<TcpStream, OutgoingError> {
        let Target { host, port, .. } = target;
        let addresses = match host {
            Host::Ipv4(address) => vec![SocketAddr::new((*address).into(), *port)],
            Host::Ipv6(address) => vec![SocketAddr::new((*address).into(), *port)],
            Host::Domain(name) => {
                let found = self.resolver.resolve(name, *port).await;
                found.ok().filter(|found| !found.is_empty()).ok_or(OutgoingError::Unresolved)?
            }
        };
        let name = host.to_string();
        let allowed = addresses.into_iter().filter(|address| self.allow.admits(&name, *port, address.ip()));
        let mut error = OutgoingError::Forbidden;
        for address in allowed.take(MAX_ADDRESSES) {
            let address = SocketAddr::new(address.ip(), *port);
            match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(_)) | Err(_) => error = OutgoingError::Unreachable,
            }
        }
        Err(error)
    }

    fn message(&self, target: &Target, request: &Request) -> Result<hyper::Request<Full<Bytes>>, OutgoingError> {
        let Target { url, .. } = target;
        let mut headers = HeaderMap::new();
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| OutgoingError::Header)?;
            if RESERVED.contains(&name) {
                return Err(OutgoingError::Header);
            }
            headers.append(name, HeaderValue::from_str(value).map_err(|_| OutgoingError::Header)?);
        }
        let mut place = match url.query() {
            None => url.path().to_owned(),
            Some(query) => format!("{}?{query}", url.path()),
        };
        match request.credential.as_deref().map(|name| self.credentials.addition(name, url)).transpose()? {
            None => {}
            Some(Addition::Header(name, value)) => drop(headers.insert(name, value)),
            Some(Addition::Path(path)) => path.reveal().clone_into(&mut place),
        }
        let host = match url.port() {
            None => target.host.to_string(),
            Some(port) => format!("{}:{port}", target.host),
        };
        headers.insert(HOST, HeaderValue::from_str(&host).map_err(|_| OutgoingError::Malformed)?);
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(concat!("tidegate/", env!("CARGO_PKG_VERSION"))));
        let method = match request.method {
            Method::Get => hyper::Method::GET,
            Method::Post => hyper::Method::POST,
        };
        let message = hyper::Request::builder().method(method).uri(place).body(Full::new(request.body.clone()));
        let mut message = message.map_err(|_| OutgoingError::Malformed)?;
        *message.headers_mut() = headers;
        Ok(message)
    }
}

#[async_trait]
impl Outgoing for Client {
    async fn send(&self, request: Request) -> Result<Response, OutgoingError> {
        let target = Target::parse(&request.url)?;
        let time = request.timeout.min(Request::MAX_TIMEOUT);
        timeout(time, self.exchange(&target, request)).await.unwrap_or(Err(OutgoingError::Timeout))
    }

    fn check(&self, url: &str, credential: Option<&str>) -> Result<(), OutgoingError> {
        let Target { url, host, port, .. } = Target::parse(url)?;
        if let Some(name) = credential {
            self.credentials.addition(name, &url)?;
        }
        let address = match host {
            Host::Domain(_) => return Ok(()),
            Host::Ipv4(address) => address.into(),
            Host::Ipv6(address) => address.into(),
        };
        if self.allow.admits(&host.to_string(), port, address) { Ok(()) } else { Err(OutgoingError::Forbidden) }
    }

    fn secret(&self, credential: &str, url: &str) -> Result<Secret, OutgoingError> {
        let url = Url::parse(url).map_err(|_| OutgoingError::Malformed)?;
        self.credentials.secret(credential, &url)
    }
}

impl Target {
    fn parse(url: &str) -> Result<Self, OutgoingError> {
        let url = Url::parse(url).map_err(|_| OutgoingError::Malformed)?;
        let is_secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(OutgoingError::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(OutgoingError::UserInfo);
        }
        let host = url.host().ok_or(OutgoingError::Malformed)?.to_owned();
        let port = url.port_or_known_default().ok_or(OutgoingError::Malformed)?;
        Ok(Self { url, host, port, is_secure })
    }
}

/// Sends the message on the connection, and reads the whole answer.
async fn talk(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    message: hyper::Request<Full<Bytes>>,
    max_bytes: usize,
) -> Result<Response, OutgoingError> {
    let mut http = http1::Builder::new();
    http.max_header_size(MAX_HEAD_BYTES).max_buf_size(2 * MAX_HEAD_BYTES);
    let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(|_| OutgoingError::Broken)?;
    let exchange = async {
        let response = sender.send_request(message).await.map_err(|_| OutgoingError::Broken)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, max_bytes).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { OutgoingError::TooLarge { max_bytes } } else { OutgoingError::Broken }
        })?;
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        let headers = head.headers.iter().filter_map(header).collect();
        Ok(Response { status: head.status.as_u16(), headers, body: body.to_bytes() })
    };
    // The connection works while it is polled; it may end before its answer has been read.
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        _ = &mut connection => exchange.await,
    }
}

fn server_name(host: &Host<String>) -> Option<ServerName<'static>> {
    match host {
        Host::Domain(name) => ServerName::try_from(name.trim_end_matches('.').to_owned()).ok(),
        Host::Ipv4(address) => Some(ServerName::IpAddress(std::net::IpAddr::from(*address).into())),
        Host::Ipv6(address) => Some(ServerName::IpAddress(std::net::IpAddr::from(*address).into())),
    }
}

fn tls_config(authorities: Option<&str>) -> Result<ClientConfig, AuthoritiesError> {
    let mut roots: RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    if let Some(pem) = authorities {
        let n_known = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|_| AuthoritiesError)?;
            roots.add(certificate).map_err(|_| AuthoritiesError)?;
        }
        if roots.len() == n_known {
            return Err(AuthoritiesError);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let Ok(config) = config else { unreachable!("ring speaks the protocol versions that are safe") };
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests;

//! Requests to other systems: metric sources, webhooks. All go one way, so that one place says which are sent.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

/// What is asked of another system.
#[derive(Clone, Debug)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where, `https` or `http`, without user or password: those are a credential's.
    pub url: String,
    /// Headers beside those that follow from all else: `Host`, `Content-Length` and the credential's are not for the caller to say.
    pub headers: Vec<(String, String)>,
    /// What is sent along.
    pub body: Bytes,
    /// The name of a credential of the operator's, which is for the URL's origin only.
    pub credential: Option<String>,
    /// From the first look at the name until the last byte of the answer; never longer than [`Request::MAX_TIMEOUT`].
    pub timeout: Duration,
    /// The largest answer.
    pub max_bytes: usize,
}

/// How something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Tells, or reads with a body.
    Post,
}

/// What the other system answered, whatever it means by it. No redirect is followed: one is an answer like others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Its headers, with names in lower case; those that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// The whole of it.
    pub body: Bytes,
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why there is no answer. The texts never hold anything that the other system said: whoever may configure an address should not
/// be able to read what stands behind it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutgoingError {
    /// It is no URL.
    #[error("that is no address: one looks like `https://metrics.example.org`")]
    Malformed,
    /// The scheme is another.
    #[error("only addresses with `https` or `http` are asked")]
    Scheme,
    /// The URL has a user or a password in it.
    #[error("an address has no user and no password in it: name a credential")]
    UserInfo,
    /// The host is in a network that is not asked.
    #[error("the host is in a private or reserved network: the operator's setting `outgoing_allow` does not name it")]
    Forbidden,
    /// There is no such host.
    #[error("the host's name is not known")]
    Unresolved,
    /// Nobody listens there, or the way is blocked.
    #[error("the host accepts no connection")]
    Unreachable,
    /// No TLS: a certificate that is not valid, for the most part.
    #[error("no TLS with the host: its certificate is not valid for it, or its authority is not known")]
    Tls,
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
    /// The answer is larger than asked for.
    #[error("the answer has more than {max_bytes} bytes")]
    TooLarge {
        /// The limit.
        max_bytes: usize,
    },
    /// The connection broke, or what came is no HTTP.
    #[error("the connection broke, or what came is no HTTP")]
    Broken,
    /// A header cannot be sent.
    #[error("a header of this name or value cannot be sent")]
    Header,
    /// The operator has no such credential.
    #[error("there is no credential `{name}`: the operator names them, see the setting `credentials`")]
    UnknownCredential {
        /// Its name.
        name: String,
    },
    /// The credential is not for this address.
    #[error("the credential `{name}` is for another origin than that of the address")]
    CredentialElsewhere {
        /// Its name.
        name: String,
    },
    /// The credential is of another kind than needed.
    #[error("the credential `{name}` is of a kind that does not serve here")]
    CredentialKind {
        /// Its name.
        name: String,
    },
}

/// The one way out.
#[async_trait]
pub trait Outgoing: Send + Sync {
    /// Asks.
    async fn send(&self, request: Request) -> Result<Response, OutgoingError>;

    /// What can be said of an address and a credential without asking: for whoever configures them.
    fn check(&self, url: &str, credential: Option<&str>) -> Result<(), OutgoingError>;

    /// A credential's bare secret (`secret = …`), to sign with or to put into a body, for that address only.
    fn secret(&self, credential: &str, url: &str) -> Result<Secret, OutgoingError>;
}

/// No way out: sends nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

#[async_trait]
impl Outgoing for Offline {
    async fn send(&self, _request: Request) -> Result<Response, OutgoingError> {
        Err(OutgoingError::Forbidden)
    }

    fn check(&self, _url: &str, _credential: Option<&str>) -> Result<(), OutgoingError> {
        Ok(())
    }

    fn secret(&self, credential: &str, _url: &str) -> Result<Secret, OutgoingError> {
        Err(OutgoingError::UnknownCredential { name: credential.to_owned() })
    }
}

impl Request {
    /// No request takes longer.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(30);

    /// Reads from an address: 10 seconds, 1 MiB.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url, Bytes::new())
    }

    /// Tells an address something: 10 seconds, 1 MiB of answer.
    pub fn post(url: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::new(Method::Post, url, body.into())
    }

    fn new(method: Method, url: impl Into<String>, body: Bytes) -> Self {
        let (headers, credential) = (Vec::new(), None);
        let (timeout, max_bytes) = (Duration::from_secs(10), 1024 * 1024);
        Self { method, url: url.into(), headers, body, credential, timeout, max_bytes }
    }
}

impl Response {
    /// Whether the status says that it went well.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl Secret {
    /// A text to be kept.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever sends or signs: never for a log, a message or a document.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

//! The websocket to the server.

use futures_util::{SinkExt as _, StreamExt as _};
use tidegate_protocol::{frame::MAX_SERVER_FRAME_BYTES, sync::Lost};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async_with_config,
    tungstenite::{
        Bytes, Error, Message, Utf8Bytes,
        client::IntoClientRequest as _,
        handshake::client::Request,
        http::{HeaderMap, HeaderValue, Response, StatusCode, Uri, header},
        protocol::WebSocketConfig,
    },
};

use crate::{builder::BuildError, tls::Tls};

/// Where the stream is, under the server's URL.
const PATH: &str = "/api/v1/stream";

/// Where to connect, and with what. Checked once.
#[derive(Clone)]
pub(crate) struct Endpoint {
    request: Request,
    host: String,
    port: u16,
    /// `None`: in the clear.
    tls: Option<Tls>,
}

/// An open websocket.
pub(crate) struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

/// What the server sends.
pub(crate) enum Frame {
    /// Messages.
    Text(Utf8Bytes),
    /// Compressed messages.
    Binary(Bytes),
}

/// Why there is no socket (any more), and what it means.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub lost: Lost,
    pub message: String,
}

impl Trouble {
    fn broken(message: impl Into<String>) -> Self {
        Self { lost: Lost::Broken, message: message.into() }
    }
}

impl Endpoint {
    /// The stream of the server at `url`, opened with `key`.
    pub fn new(url: &str, key: &str) -> Result<Self, BuildError> {
        let (scheme, rest) = match url.split_once("://") {
            Some(("http" | "ws", rest)) => ("ws", rest),
            Some(("https" | "wss", rest)) => ("wss", rest),
            _ => return Err(BuildError::Url { url: url.to_owned() }),
        };
        let wrong_url = || BuildError::Url { url: url.to_owned() };
        let uri: Uri = format!("{scheme}://{}{PATH}", rest.trim_end_matches('/')).parse().map_err(|_| wrong_url())?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong_url)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().unwrap_or(if scheme == "wss" { 443 } else { 80 });
        let mut request = uri.into_client_request().map_err(|_| wrong_url())?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| BuildError::Key)?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        let tls = if scheme == "wss" { Some(Tls::new()?) } else { None };
        Ok(Self { request, host, port, tls })
    }

    /// Opens the socket. Has no timeout of its own.
    pub async fn connect(self) -> Result<Socket, Trouble> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = stream.map_err(|error| Trouble::broken(format!("no connection to {}: {error}", self.host)))?;
        // A receipt must not wait for more to send. Where the system refuses, it does.
        let _ = stream.set_nodelay(true);
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_SERVER_FRAME_BYTES))
            .max_frame_size(Some(MAX_SERVER_FRAME_BYTES));
        let opened = match self.tls {
            None => client_async_with_config(self.request, MaybeTlsStream::Plain(stream), Some(config)).await,
            Some(tls) => tls.open(self.request, stream, config).await,
        };
        match opened {
            Ok((socket, _)) => Ok(Socket(socket)),
            Err(Error::Http(response)) => Err(refused(&response)),
            Err(error) => Err(Trouble::broken(format!("no websocket at {}: {error}", self.host))),
        }
    }
}

impl Socket {
    /// The next frame. Cancel safe.
    pub async fn next(&mut self) -> Result<Frame, Trouble> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(frame))) => return Ok(Frame::Text(frame)),
                Some(Ok(Message::Binary(frame))) => return Ok(Frame::Binary(frame)),
                Some(Ok(Message::Close(_))) | None => return Err(Trouble::broken("the server closed the connection")),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(Trouble::broken(format!("the connection broke: {error}"))),
            }
        }
    }

    pub async fn send(&mut self, frame: String) -> Result<(), Trouble> {
        let sent = self.0.send(Message::text(frame)).await;
        sent.map_err(|error| Trouble::broken(format!("the connection broke: {error}")))
    }

    pub async fn close(mut self) {
        // Who does not take it has gone anyway.
        let _ = self.0.close(None).await;
    }
}

/// What the server means by refusing to upgrade.
fn refused(response: &Response<Option<Vec<u8>>>) -> Trouble {
    let status = response.status();
    let lost = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Lost::Refused,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Lost::Busy { retry_after_ms: retry_after_ms(response.headers()) }
        }
        _ => Lost::Broken,
    };
    let problem: Option<serde_json::Value> =
        response.body().as_ref().and_then(|body| serde_json::from_slice(body).ok());
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str()).unwrap_or("no reason given");
    Trouble { lost, message: format!("the server answered {status}: {detail}") }
}

fn retry_after_ms(headers: &HeaderMap) -> u64 {
    let seconds: Option<u64> = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.unwrap_or(1).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: Option<(&str, &str, u16)>) {
        let endpoint = Endpoint::new(url, "tgs_x").ok();
        let found = endpoint.as_ref().map(|at| (at.request.uri().to_string(), at.host.as_str(), at.port));
        let found = found.as_ref().map(|(uri, host, port)| (uri.as_str(), *host, *port));
        assert_eq!(found, expected, "{url}");
    }

    #[test]
    fn urls_become_the_address_of_the_stream() {
        check("http://localhost:8080", Some(("ws://localhost:8080/api/v1/stream", "localhost", 8080)));
        #[cfg(feature = "tls")]
        check("https://flags.example.com/", Some(("wss://flags.example.com/api/v1/stream", "flags.example.com", 443)));
        check("http://example.com/flags", Some(("ws://example.com/flags/api/v1/stream", "example.com", 80)));
        check("http://[::1]:99", Some(("ws://[::1]:99/api/v1/stream", "::1", 99)));
        check("localhost:8080", None);
        check("ftp://localhost", None);
        check("http://", None);
        check("http://a b", None);
    }

    #[test]
    fn a_key_that_is_no_header_is_refused() {
        assert!(matches!(Endpoint::new("http://localhost", "tgs_\n"), Err(BuildError::Key)));
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn https_without_the_feature_is_a_mistake_that_is_told() {
        let told = Endpoint::new("https://localhost", "tgs_x").map(drop).unwrap_err();
        assert!(matches!(told, BuildError::Tls(cause) if cause.to_string().contains("feature `tls`")));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let response = |status: u16, body: &str| {
            let response = Response::builder().status(status).header(header::RETRY_AFTER, "7");
            response.body(Some(body.as_bytes().to_vec())).unwrap()
        };
        let refused = |status, body| {
            let trouble = refused(&response(status, body));
            (trouble.lost, trouble.message)
        };
        assert_eq!(
            refused(401, r#"{"detail":"the SDK key is not valid"}"#),
            (Lost::Refused, "the server answered 401 Unauthorized: the SDK key is not valid".to_owned())
        );
        assert_eq!(refused(503, "").0, Lost::Busy { retry_after_ms: 7_000 });
        assert_eq!(refused(500, "<html>").0, Lost::Broken);
    }
}

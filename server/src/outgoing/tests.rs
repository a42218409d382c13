use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Mutex, atomic::AtomicUsize, atomic::Ordering},
};

use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::*;

/// Answers each question with the next of its answers; the last one again and again.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    n_asked: AtomicUsize,
}

impl Scripted {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let answers = answers.iter().map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        Arc::new(Self { answers: Mutex::new(answers), n_asked: AtomicUsize::new(0) })
    }
}

#[async_trait]
impl Resolver for Scripted {
    async fn resolve(&self, _host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.n_asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Ok(answer.unwrap_or_default().into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
    }
}

fn client(allow: &str) -> Client {
    with(allow, "", Arc::new(SystemResolver))
}

fn with(allow: &str, credentials: &str, resolver: Arc<dyn Resolver>) -> Client {
    let credentials = Credentials::read(Some(credentials), &[]).unwrap();
    Client::new(Settings { allow: allow.parse().unwrap(), authorities: None, credentials }, resolver).unwrap()
}

/// A server on loopback that answers one request with `answer`, and then waits until the connection is closed. Joined, it has what
/// it was asked.
async fn serve(answer: impl Into<Vec<u8>>) -> (u16, JoinHandle<String>) {
    let (listener, answer) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), answer.into());
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        answer_on(stream, &answer).await
    });
    (port, task)
}

async fn answer_on(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) -> String {
    let mut asked = Vec::new();
    while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
        let n_read = stream.read_buf(&mut asked).await.unwrap();
        // Nobody is there any more, or it is no HTTP.
        if n_read == 0 || !asked.is_ascii() {
            break;
        }
    }
    // Whoever is refused goes away in the middle of a large answer.
    if stream.write_all(answer).await.is_ok() {
        let _ = stream.read_to_end(&mut asked).await;
    }
    String::from_utf8_lossy(&asked).into_owned()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Note: here\r\n\r\nok";

#[tokio::test]
async fn an_answer_comes_whole_whatever_its_status() {
    let (port, asked) =
        serve("HTTP/1.1 503 Down\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nlow\r\n0\r\n\r\n").await;
    let mut request = Request::post(format!("http://127.0.0.1:{port}/a/b?c=d%20e#f"), "body");
    request.headers.push(("X-Tide".to_owned(), "in".to_owned()));
    let response = client("127.0.0.1").send(request).await.unwrap();
    assert_eq!((response.status, &*response.body, response.is_success()), (503, &b"low"[..], false));
    assert_eq!(response.header("retry-after"), Some("7"));
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /a/b?c=d%20e HTTP/1.1\r\n"), "{asked}");
    for line in [&format!("host: 127.0.0.1:{port}"), "x-tide: in", "content-length: 4", "user-agent: tidegate/"] {
        assert!(asked.contains(&format!("\r\n{line}")), "{asked}");
    }
    assert!(asked.ends_with("\r\n\r\nbody"), "{asked}");
}

#[tokio::test]
async fn no_redirect_is_followed() {
    let (elsewhere, _) = serve(OK).await;
    let (port, _) =
        serve(format!("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{elsewhere}/\r\nContent-Length: 0\r\n\r\n"))
            .await;
    let response = client("127.0.0.1").send(Request::get(format!("http://127.0.0.1:{port}/"))).await.unwrap();
    assert_eq!(response.status, 302);
}

#[tokio::test]
async fn an_answer_has_its_time_and_its_size() {
    let slow = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nsome";
    let (port, _) = serve(slow).await;
    let request = Request { timeout: Duration::from_millis(50), ..Request::get(format!("http://127.0.0.1:{port}/")) };
    assert_eq!(client("127.0.0.1").send(request).await, Err(OutgoingError::Timeout));

    let said = format!("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n{}", "x".repeat(1001));
    let unsaid = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(10_000_000));
    for large in [said, unsaid] {
        let (port, _) = serve(large).await;
        let request = Request { max_bytes: 1_000, ..Request::get(format!("http://127.0.0.1:{port}/")) };
        assert_eq!(client("127.0.0.1").send(request).await, Err(OutgoingError::TooLarge { max_bytes: 1_000 }));
    }
    let (port, _) = serve(format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000))).await;
    let refused = client("127.0.0.1").send(Request::get(format!("http://127.0.0.1:{port}/"))).await;
    assert_eq!(refused, Err(OutgoingError::Broken));
}

#[tokio::test]
async fn what_is_no_http_is_not_shown() {
    let (port, _) = serve("SSH-2.0-OpenSSH_9.6 secret\r\n\r\n").await;
    let refused = client("127.0.0.1").send(Request::get(format!("http://127.0.0.1:{port}/"))).await.unwrap_err();
    assert_eq!(refused, OutgoingError::Broken);
    assert!(!refused.to_string().contains("secret"));
    let (port, _) = serve(OK).await;
    let refused = client("127.0.0.1").send(Request::get(format!("https://127.0.0.1:{port}/"))).await;
    assert_eq!(refused, Err(OutgoingError::Tls));
}

#[tokio::test]
async fn private_addresses_are_asked_where_the_operator_allows_it() {
    let (port, asked) = serve(OK).await;
    let clothes = [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "127.1",
        "0x7f.0.0.1",
        "2130706433",
        "017700000001",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "0.0.0.0",
        "0",
        "[::]",
        "[::1]",
        "169.254.169.254",
        "10.0.0.1",
        "[fd00::1]",
    ];
    for host in clothes {
        let refused = client("").send(Request::get(format!("http://{host}:{port}/"))).await;
        assert_eq!(refused, Err(OutgoingError::Forbidden), "{host}");
    }
    let response = client(&format!("localhost:{port}")).send(Request::get(format!("http://localhost:{port}/"))).await;
    assert_eq!(response.unwrap().status, 200);
    let asked = asked.await.unwrap();
    assert!(asked.contains(&format!("host: localhost:{port}")), "{asked}");
}

/// A name that resolves to a public address when somebody checks it, and to our own the next time.
#[tokio::test]
async fn a_name_is_resolved_once_and_what_is_checked_is_connected_to() {
    let (port, _) = serve(OK).await;
    let url = format!("http://rebind.example.org:{port}/");
    // 192.0.2.0/24 is for documentation: no host has such an address.
    let resolver = Scripted::new(&[&["192.0.2.1"], &["127.0.0.1"]]);
    let client = with("192.0.2.0/24", "", resolver.clone());
    let request = || Request { timeout: Duration::from_millis(50), ..Request::get(&url) };
    let first = client.send(request()).await.unwrap_err();
    assert!([OutgoingError::Timeout, OutgoingError::Unreachable].contains(&first), "{first}");
    assert_eq!(resolver.n_asked.load(Ordering::SeqCst), 1);
    assert_eq!(client.send(request()).await, Err(OutgoingError::Forbidden));
    // Of several addresses, those that are to be asked.
    let client = with("127.0.0.1", "", Scripted::new(&[&["10.0.0.1", "127.0.0.1"]]));
    assert_eq!(client.send(Request::get(&url)).await.unwrap().status, 200);
    let client = with("", "", Scripted::new(&[&[]]));
    assert_eq!(client.send(request()).await, Err(OutgoingError::Unresolved));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let refused = client("127.0.0.1").send(Request::get(format!("http://127.0.0.1:{port}/"))).await;
    assert_eq!(refused, Err(OutgoingError::Unreachable));
}

#[tokio::test]
async fn only_addresses_of_the_web_without_secrets_are_asked() {
    let check = async |url: &str, expected: OutgoingError| {
        assert_eq!(client("").send(Request::get(url)).await, Err(expected.clone()), "{url}");
        assert_eq!(client("").check(url, None), Err(expected), "{url}");
    };
    check("metrics", OutgoingError::Malformed).await;
    check("http://", OutgoingError::Malformed).await;
    check("https://exa mple.org", OutgoingError::Malformed).await;
    check("file:///etc/passwd", OutgoingError::Scheme).await;
    check("gopher://127.0.0.1:70/", OutgoingError::Scheme).await;
    check("https://user@example.org", OutgoingError::UserInfo).await;
    check("https://user:password@example.org", OutgoingError::UserInfo).await;
    check("https://127.0.0.1/", OutgoingError::Forbidden).await;
    for (name, value) in [("Host", "elsewhere"), ("Authorization", "x"), ("a b", "x"), ("X-Split", "a\r\nb: c")] {
        let mut request = Request::get("https://example.org");
        request.headers.push((name.to_owned(), value.to_owned()));
        assert_eq!(client("").send(request).await, Err(OutgoingError::Header), "{name}");
    }
}

#[tokio::test]
async fn a_credential_is_sent_to_its_origin_only() {
    let (port, asked) = serve(OK).await;
    let credentials = format!("[token]\norigin = 'http://127.0.0.1:{port}'\nbearer = 'abc'");
    let client = with("127.0.0.1", &credentials, Arc::new(SystemResolver));
    let (origin, other) = (format!("http://127.0.0.1:{port}/x"), format!("http://localhost:{port}/x"));
    let request = |url: &str| Request { credential: Some("token".to_owned()), ..Request::get(url) };
    let elsewhere = OutgoingError::CredentialElsewhere { name: "token".to_owned() };
    assert_eq!(client.send(request(&other)).await, Err(elsewhere.clone()));
    assert_eq!(client.check(&other, Some("token")), Err(elsewhere));
    assert_eq!(client.check(&origin, Some("token")), Ok(()));
    assert_eq!(client.send(request(&origin)).await.unwrap().status, 200);
    assert!(asked.await.unwrap().contains("authorization: Bearer abc\r\n"));

    let (port, asked) = serve(OK).await;
    let credentials = format!("[hook]\norigin = 'http://127.0.0.1:{port}'\npath = '/services/T/B/x'");
    let client = with("127.0.0.1", &credentials, Arc::new(SystemResolver));
    let url = format!("http://127.0.0.1:{port}");
    let request = Request { credential: Some("hook".to_owned()), ..Request::post(url, "{}") };
    assert_eq!(client.send(request).await.unwrap().status, 200);
    assert!(asked.await.unwrap().starts_with("POST /services/T/B/x HTTP/1.1\r\n"));
}

#[tokio::test]
async fn an_authority_of_the_operators_vouches_for_a_host() {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("testdata/certificate.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("testdata/key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(stream) = acceptor.accept(stream).await {
                answer_on(stream, OK.as_bytes()).await;
            }
        }
    });
    let authority = include_str!("testdata/authority.pem");
    let send = async |authorities: Option<&str>, host: &str| {
        let settings = Settings {
            allow: "127.0.0.1".parse().unwrap(),
            authorities: authorities.map(str::to_owned),
            ..Settings::default()
        };
        let client = Client::new(settings, Scripted::new(&[&["127.0.0.1"]])).unwrap();
        client.send(Request::get(format!("https://{host}:{port}/"))).await.map(|response| response.status)
    };
    assert_eq!(send(Some(authority), "metrics.test").await, Ok(200));
    assert_eq!(send(Some(authority), "other.test").await, Err(OutgoingError::Tls));
    assert_eq!(send(None, "metrics.test").await, Err(OutgoingError::Tls));
    server.abort();
    for wrong in ["", "-----BEGIN CERTIFICATE-----\nbm90\n-----END CERTIFICATE-----"] {
        let settings = Settings { authorities: Some(wrong.to_owned()), ..Settings::default() };
        assert!(Client::new(settings, Arc::new(SystemResolver)).is_err(), "{wrong}");
    }
}

//! Bodies that are made to hurt, against the real binary: each is refused, or answered where it is a fair question, and none
//! of them takes memory.

use std::time::Duration;

use axum::{body::Body, http::StatusCode};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value as Json, json};
use tidegate_server::{app::SdkKeyKind, http::HttpConfig};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{app::TestApp, shop::RealShop, within};

/// The paths of both ways to evaluate.
const PATHS: [&str; 2] = ["/ofrep/v1/evaluate/flags/discount-banner", "/ofrep/v1/evaluate/flags"];

/// How the length of a body is told.
#[derive(Clone, Copy, Debug)]
enum Framing {
    /// `Content-Length`.
    Length,
    /// In chunks, the end unknown.
    Chunks,
}

/// A body, and how it is answered: the status, and what the answer names.
struct Bomb {
    name: &'static str,
    body: Vec<u8>,
    framing: Framing,
    status: u16,
    says: &'static str,
}

fn bombs() -> Vec<Bomb> {
    let bomb = |name, body: Vec<u8>, status, says| Bomb { name, body, framing: Framing::Length, status, says };
    let chunked = |bomb: Bomb| Bomb { framing: Framing::Chunks, ..bomb };
    let context = |members: &str| format!(r#"{{"context":{{{members}}}}}"#).into_bytes();
    let text = |n: usize| context(&format!(r#""country":"{}""#, "x".repeat(n)));
    let members = |n: usize| context(&(0..n).map(|i| format!(r#""{i:x}":1"#)).collect::<Vec<_>>().join(","));
    let nested = |n: usize| context(&format!(r#""a":{}1{}"#, r#"{"a":"#.repeat(n), "}".repeat(n)));
    let too_large = "larger than 64 KiB: send only attributes that flags ask for";
    let too_deep = "recursion limit exceeded";
    vec![
        bomb("a text beyond 64 KiB", text(66_000), 413, too_large),
        chunked(bomb("the same in chunks", text(66_000), 413, too_large)),
        bomb("10 MiB", text(10 << 20), 413, too_large),
        chunked(bomb("10 MiB in chunks", text(10 << 20), 413, too_large)),
        bomb("10,000 members", members(10_000), 413, too_large),
        bomb("as many members as there is room for", members(6_500), 200, "discount-banner"),
        bomb("a text of 60 KiB", text(60 << 10), 200, "discount-banner"),
        bomb("100,000 lists", b"[".repeat(100_000), 413, too_large),
        bomb("60,000 lists", b"[".repeat(60_000), 400, too_deep),
        bomb("60,000 lists in a context", context(&format!(r#""a":{}"#, "[".repeat(60_000))), 400, too_deep),
        bomb("10,000 objects in each other", nested(10_000), 400, too_deep),
        bomb("100 objects in each other", nested(100), 200, "discount-banner"),
        bomb("one name 8,000 times", context(&[r#""a":1"#; 8_000].join(",")), 200, "discount-banner"),
        bomb("two contexts", br#"{"context":{},"context":{}}"#.to_vec(), 400, "duplicate field `context`"),
        bomb("no UTF-8", b"{\"context\":{\"country\":\"\xff\xfe\"}}".to_vec(), 400, "invalid unicode code point"),
        bomb("half a character", context(r#""country":"\ud800""#), 400, "hex escape"),
        bomb("a number beyond all numbers", context(r#""a":1e999999"#), 400, "number out of range"),
        bomb("nothing", Vec::new(), 400, "EOF"),
        bomb("half a body", b"{\"context\":{\"a\":".to_vec(), 400, "EOF"),
        bomb("compressed", b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), 400, "expected value"),
    ]
}

/// Where requests go, and what opens it.
#[derive(Clone, Copy)]
struct Target<'a> {
    address: &'a str,
    key: &'a str,
}

impl Target<'_> {
    fn head(self, path: &str, framing: &str) -> String {
        let Self { address, key } = self;
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\
             Content-Type: application/json\r\n{framing}\r\n\r\n"
        )
    }

    /// Sends all of the bomb, as far as the server takes it, and returns the status and the body of the answer.
    async fn throw(self, path: &str, bomb: &Bomb) -> (u16, String) {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let (mut receive, mut send) = connection.split();
        let sending = async {
            // Whoever is refused need not send the rest: the server hangs up.
            match bomb.framing {
                Framing::Length => {
                    let head = self.head(path, &format!("Content-Length: {}", bomb.body.len()));
                    let _ = send.write_all(head.as_bytes()).await;
                    let _ = send.write_all(&bomb.body).await;
                }
                Framing::Chunks => {
                    let _ = send.write_all(self.head(path, "Transfer-Encoding: chunked").as_bytes()).await;
                    for chunk in bomb.body.chunks(8 << 10) {
                        let chunk = [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
                        if send.write_all(&chunk).await.is_err() {
                            break;
                        }
                    }
                    let _ = send.write_all(b"0\r\n\r\n").await;
                }
            }
        };
        let mut answer = Vec::new();
        // What came before the server hung up is there, too.
        let receiving = async { receive.read_to_end(&mut answer).await.unwrap_or_default() };
        within(async { tokio::join!(sending, receiving) }).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{}: {answer:?}", bomb.name));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    /// Begins a body of a megabyte, and leaves it at that.
    async fn begin(self, path: &str) -> TcpStream {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        connection.write_all(self.head(path, "Content-Length: 1048576").as_bytes()).await.unwrap();
        connection.write_all(br#"{"context":{"a":""#).await.unwrap();
        connection
    }
}

#[tokio::test]
async fn bodies_made_to_hurt_are_refused_in_flat_memory() {
    const ROUNDS: usize = 10;
    const BOUND_KIB: u64 = 32 * 1024;
    let flags = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/flags.json")).unwrap();
    let shop = RealShop::new().await.with(&serde_json::from_str(&flags).unwrap()).await;
    let target = Target { address: shop.server.address(), key: &shop.key };
    let canada = r#"{"context":{"country":"US","country":"CA"}}"#.into();
    let fair = Bomb { name: "fair", body: canada, framing: Framing::Length, status: 200, says: "" };
    // Of two members with one name, the last counts, as in JavaScript.
    let (_, answer) = target.throw(PATHS[0], &fair).await;
    assert_eq!(serde_json::from_str::<Json>(&answer).unwrap()["reason"], "TARGETING_MATCH", "{answer}");

    let before_kib = shop.server.peak_memory_kib();
    let (bombs, mut unfinished) = (bombs(), Vec::new());
    for _ in 0..ROUNDS {
        for path in PATHS {
            for bomb in &bombs {
                let (status, body) = target.throw(path, bomb).await;
                assert_eq!(status, bomb.status, "{} to {path}: {body}", bomb.name);
                let json: Json = serde_json::from_str(&body).unwrap();
                assert!(body.contains(bomb.says), "{} to {path}: {body}", bomb.name);
                let is_explained = json["errorDetails"].is_string() || json["detail"].is_string();
                assert!(is_explained || status == 200, "{} to {path}: {body}", bomb.name);
            }
            unfinished.push(target.begin(path).await);
        }
    }
    // Those that are still sending keep nobody else waiting.
    let (status, body) = target.throw(PATHS[0], &fair).await;
    assert_eq!(status, 200, "{body}");
    let grown_kib = shop.server.peak_memory_kib() - before_kib;
    assert!(grown_kib < BOUND_KIB, "{grown_kib} KiB more at the peak, {before_kib} before\n{}", shop.server.log());
    drop(unfinished);
}

/// A clock that runs only where nothing else does.
#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let app = TestApp::with(HttpConfig { request_timeout: Duration::from_secs(30), ..HttpConfig::default() });
    app.project("shop", &["test"]).await;
    let key = app.sdk_key("shop", "test", SdkKeyKind::Server).await;
    for path in PATHS {
        let begun = stream::iter([Ok::<_, std::io::Error>(r#"{"context":{"a":""#)]).chain(stream::pending());
        let answer = app.post(path, json!({})).body(Body::from_stream(begun)).by(&key).send().await;
        let answer = answer.expect(StatusCode::SERVICE_UNAVAILABLE).expect_problem(503, "unavailable");
        assert_eq!(answer.headers["retry-after"], "1");
    }
}

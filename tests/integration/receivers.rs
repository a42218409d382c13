//! Notifications to real receivers: the real binary, an HTTP server that checks signatures by itself, and a mail server, both Python's.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::clients::{folder, python};
use crate::support::{binary::Server, shop::RealShop};

/// The receivers of `tests/clients/receivers.py`; they end with their input.
struct Receivers {
    http: u64,
    smtp: u64,
    /// Mail servers that ask for a password: with STARTTLS, with TLS from the start.
    secured: [u64; 2],
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    child: Child,
}

impl Receivers {
    fn start() -> Self {
        let mut command = Command::new(python("python"));
        command.arg(folder().join("receivers.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut this = Self { http: 0, smtp: 0, secured: [0; 2], input: child.stdin.take().unwrap(), output, child };
        let ports = this.next();
        let port = |name: &str| ports[name].as_u64().unwrap();
        (this.http, this.smtp) = (port("http"), port("smtp"));
        this.secured = [port("starttls"), port("smtps")];
        this
    }

    /// What was received next.
    fn next(&mut self) -> Json {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the receivers ended");
        serde_json::from_str(&line).unwrap()
    }

    /// Webhooks may be signed with it from now on.
    fn expect_key(&mut self, key: &Json) {
        writeln!(self.input, "{}", key.as_str().unwrap()).unwrap();
        assert!(self.next()["keys"].is_u64());
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        // Gone already, or gone now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const CHANNELS: &str = "projects/shop/notification-channels";

async fn shop(receivers: &Receivers) -> RealShop {
    let (http, smtp) = (format!("http://127.0.0.1:{}", receivers.http), receivers.smtp);
    RealShop::on(|folder| {
        let credentials = format!(
            "[slack]\norigin = '{http}'\npath = '/services/T0/B0/x'\n[pager]\norigin = '{http}'\nsecret = 'routing-key'\n"
        );
        std::fs::write(folder.join("credentials.toml"), credentials).unwrap();
        let smtp = format!("smtp://127.0.0.1:{smtp}?tls=none");
        let mail = ["--smtp-url", &smtp, "--smtp-from", "Tidegate <tidegate@example.org>"];
        let outgoing = ["--outgoing-allow", "127.0.0.1", "--credentials", "credentials.toml"];
        Server::start(folder, &[mail, outgoing].concat())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_reaches_everybody_who_wants_to_know() {
    let mut receivers = Receivers::start();
    let origin = format!("http://127.0.0.1:{}", receivers.http);
    let shop = shop(&receivers).await;
    shop.post("projects/shop/flags", &json!({ "key": "checkout", "name": "Checkout", "kind": "boolean" })).await;
    for (key, target) in [
        ("hook", json!({ "kind": "webhook", "url": format!("{origin}/hook") })),
        ("chat", json!({ "kind": "slack", "credential": "slack", "url": origin })),
        ("pager", json!({ "kind": "pagerDuty", "credential": "pager", "url": origin })),
        ("mail", json!({ "kind": "email", "to": ["ada@example.org", "ops@example.org"] })),
    ] {
        let made = shop.post(CHANNELS, &json!({ "key": key, "name": key, "target": target })).await;
        if key == "hook" {
            receivers.expect_key(&made["signingKey"]);
        }
    }

    for (key, status) in [("hook", 204), ("chat", 202), ("pager", 202), ("mail", 250)] {
        let told = shop.post(&format!("{CHANNELS}/{key}/test"), &json!({})).await;
        assert_eq!((&told["delivered"], &told["status"]), (&json!(true), &json!(status)), "{key}: {told}");
        assert!(receivers.next()["path"].is_string());
    }

    let kill = json!({ "flag": "checkout", "reason": "it <burns> & smokes" });
    shop.post("projects/shop/environments/test/kill", &kill).await;
    let mut got: Vec<Json> = (0..4).map(|_| receivers.next()).collect();
    got.sort_by_key(|message| message["path"].to_string());
    let [hook, chat, pager, mail] = &got[..] else { unreachable!("four were asked for") };

    assert_eq!(
        (&hook["path"], &hook["verified"], &hook["type"]),
        (&json!("/hook"), &json!(true), &json!("application/json"))
    );
    let data = &hook["body"]["data"];
    assert_eq!((&hook["body"]["type"], &data["severity"]), (&json!("flag.killed"), &json!("critical")));
    assert_eq!((&data["flag"], &data["reason"]), (&json!("checkout"), &json!("it <burns> & smokes")));
    let url = format!("{}/projects/shop/flags/checkout?environment=test", shop.server.url);
    assert_eq!(data["url"], url);

    assert_eq!(chat["path"], "/services/T0/B0/x");
    assert_eq!(chat["body"]["blocks"][1]["text"]["text"], "it &lt;burns&gt; &amp; smokes");

    assert_eq!((&pager["path"], &pager["body"]["routing_key"]), (&json!("/v2/enqueue"), &json!("routing-key")));
    let event = (&pager["body"]["event_action"], &pager["body"]["dedup_key"]);
    assert_eq!(event, (&json!("trigger"), &json!("shop/test/checkout")));

    assert_eq!(mail["to"], json!(["ada@example.org", "ops@example.org"]));
    assert_eq!(mail["from"], "tidegate@example.org");
    assert_eq!(mail["headers"]["subject"], "[critical] checkout in test: killed");
    let text = mail["text"].as_str().unwrap().replace("\r\n", "\n");
    assert!(text.starts_with("checkout in test: killed\n\nit <burns> & smokes\n\n"), "{text}");
    assert!(text.contains(&url), "{text}");

    // The delivery's id is what the receiver was told.
    let page = shop.request(Method::GET, &format!("{CHANNELS}/hook/deliveries")).send().await.unwrap();
    let page: Json = page.json().await.unwrap();
    assert_eq!(page["items"][0]["id"], hook["id"]);
    let log = shop.server.log();
    for secret in ["/services/T0", "routing-key", "whsec_", "burns", "/hook"] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_changed_without_a_message_that_cannot_be_verified() {
    let mut receivers = Receivers::start();
    let shop = shop(&receivers).await;
    let target = json!({ "kind": "webhook", "url": format!("http://127.0.0.1:{}/hook", receivers.http) });
    let made = shop.post(CHANNELS, &json!({ "key": "hook", "name": "Hook", "target": target })).await;
    let test = async || shop.post(&format!("{CHANNELS}/hook/test"), &json!({})).await["status"].clone();
    assert_eq!(test().await, 401, "the receiver has no key yet");
    assert_eq!(receivers.next()["verified"], false);
    receivers.expect_key(&made["signingKey"]);
    assert_eq!(test().await, 204);
    assert_eq!(receivers.next()["verified"], true);

    let change = shop.request(Method::POST, &format!("{CHANNELS}/hook/key")).header("if-match", "\"1\"");
    let changed: Json = change.json(&json!({})).send().await.unwrap().json().await.unwrap();
    assert_ne!(changed["signingKey"], made["signingKey"]);
    assert_eq!(test().await, 204, "the receiver has the old key only");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_are_not_to_be_asked_are_not() {
    let shop = RealShop::new().await;
    let target = json!({ "kind": "webhook", "url": "http://localhost:9/hook" });
    shop.post(CHANNELS, &json!({ "key": "hook", "name": "Hook", "target": target })).await;
    let told = shop.post(&format!("{CHANNELS}/hook/test"), &json!({})).await;
    assert_eq!((&told["delivered"], &told["status"]), (&json!(false), &Json::Null));
    assert!(told["problem"].as_str().unwrap().contains("outgoing_allow"), "{told}");

    // What is not configured is told before anything is stored.
    for (target, named) in [
        (json!({ "kind": "webhook", "url": "http://127.0.0.1:9/hook" }), "`outgoing_allow`"),
        (json!({ "kind": "slack", "credential": "none" }), "`none`"),
        (json!({ "kind": "email", "to": ["ada@example.org"] }), "`smtp_url`"),
    ] {
        let body = json!({ "key": "other", "name": "Other", "target": target });
        let refused = shop.request(Method::POST, CHANNELS).json(&body).send().await.unwrap();
        assert_eq!(refused.status(), 422);
        let problem: Json = refused.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(named), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_by_tls_with_a_password_to_whom_the_operator_trusts() {
    let mut receivers = Receivers::start();
    let [starttls, smtps] = receivers.secured;
    let authority = folder().join("mail/authority.pem");
    let authority = ["--outgoing-ca", authority.to_str().unwrap()];
    let good = "ada:s%40cret@localhost";
    for (url, trusted, expected) in [
        (format!("smtp://{good}:{starttls}"), true, json!({ "delivered": true, "status": 250, "problem": null })),
        (format!("smtps://{good}:{smtps}"), true, json!({ "delivered": true, "status": 250, "problem": null })),
        (
            format!("smtps://ada:wrong@localhost:{smtps}"),
            true,
            json!({ "delivered": false, "status": 535, "problem": "the mail server answered 535" }),
        ),
        (
            format!("smtp://{good}:{starttls}"),
            false,
            json!({ "delivered": false, "status": null, "problem": "no connection to the mail server, or no TLS with it" }),
        ),
    ] {
        let shop = RealShop::on(|folder| {
            let mail = ["--smtp-url", url.as_str(), "--smtp-from", "tidegate@example.org"];
            let trusted = if trusted { authority.as_slice() } else { &[] };
            Server::start(folder, &[mail.as_slice(), trusted].concat())
        })
        .await;
        let target = json!({ "kind": "email", "to": ["ada@example.org"] });
        shop.post(CHANNELS, &json!({ "key": "mail", "name": "Mail", "target": target })).await;
        let mut told = shop.post(&format!("{CHANNELS}/mail/test"), &json!({})).await;
        told.as_object_mut().unwrap().remove("durationMs");
        assert_eq!(told, expected, "{url}");
        if told["delivered"] == true {
            assert_eq!(receivers.next()["user"], "ada");
        }
        assert!(!shop.server.log().contains("cret"), "a password is in the log");
    }
}

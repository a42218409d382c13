//! The main job, end to end: the real server with the demo project, the real example application as a process of its
//! own, and a person who toggles, kills and restarts.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use reqwest::{Client, Method, header};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::support::binary::Server;

/// A process that is silent for so long has hung.
const PATIENCE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn the_example_application_follows_toggles_kills_and_a_restart() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &["--demo"]);
    let address = server.address().to_owned();
    let application = Application::start(&server.url, &server.told("TIDEGATE_SDK_KEY="));
    application.says("NEW checkout");

    let person = Person::sign_in(&server).await;
    person.enable("new-checkout", false).await;
    application.says("old checkout");
    person.enable("new-checkout", true).await;
    application.says("NEW checkout");

    person.post("kill", &json!({ "flag": "new-checkout", "reason": "orders without an address" })).await;
    application.says("KILLED");
    application.says("old checkout");
    person.post("restore", &json!({ "flag": "new-checkout", "reason": "fixed" })).await;
    application.says("NEW checkout");

    let actions = person.audited_actions(4).await;
    assert_eq!(actions, ["flag.restore", "flag.kill", "flag.configure", "flag.configure"]);

    server.kill();
    application.says("stale");
    let server = Server::start(folder.path(), &["--demo", "--listen", &address]);
    application.says("ready");
    let person = Person::sign_in(&server).await;
    person.enable("new-checkout", false).await;
    application.says("old checkout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_faulty_release_is_rolled_back_by_itself_and_a_healthy_one_goes_on() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path(), &["--demo", "--traffic", env!("CARGO_BIN_EXE_traffic-under-test")]);
    let person = Person::sign_in(&server).await;
    let rolled_back = async {
        loop {
            let states = person.rollouts().await;
            if states["payment-fallback"] == "rolledBack" {
                return states;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let states = tokio::time::timeout(PATIENCE, rolled_back).await.expect("it was never rolled back");
    assert_eq!(states["review-summaries"], "running");
    let rows = person.send(Method::GET, "audit?project=shop&actor=controller&limit=200", None, None).await;
    let rolled_back = rows["items"].as_array().unwrap().iter().find(|row| row["action"] == "rollout.rollBack").unwrap();
    assert!(rolled_back["reason"].as_str().unwrap().starts_with("harm: `errors` "), "{rolled_back:#}");
}

/// The example `checkout`.
struct Application {
    process: Child,
    lines: Receiver<String>,
}

impl Application {
    fn start(url: &str, key: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_checkout-under-test"))
            .envs([("TIDEGATE_URL", url), ("TIDEGATE_SDK_KEY", key)])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // Ends with the process's standard output.
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines }
    }

    /// Waits for a line with `text`.
    #[track_caller]
    fn says(&self, text: &str) {
        let mut heard = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return,
                Ok(line) => heard.push(line),
                Err(error) => panic!("the application never said {text:?} ({error}), but {heard:#?}"),
            }
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        // Gone already, or gone now.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Somebody in front of a browser.
struct Person {
    client: Client,
    api: String,
    cookie: String,
}

impl Person {
    async fn sign_in(server: &Server) -> Self {
        let client = Client::new();
        let api = format!("{}/api/v1", server.url);
        let link = server.link();
        let (_, secret) = link.rsplit_once('/').unwrap();
        let request = client.post(format!("{api}/session/link")).header("x-tidegate-csrf", "1");
        let response = request.json(&json!({ "secret": secret })).send().await.unwrap();
        let status = response.status();
        let cookie = response.headers().get(header::SET_COOKIE).map(|cookie| cookie.to_str().unwrap().to_owned());
        let cookie = cookie.unwrap_or_else(|| panic!("{status} without a cookie"));
        let cookie = cookie.split(';').next().unwrap().to_owned();
        Self { client, api, cookie }
    }

    async fn enable(&self, flag: &str, enabled: bool) {
        let path = format!("projects/shop/flags/{flag}/environments/development");
        let version = self.send(Method::GET, &path, None, None).await["version"].as_u64();
        self.send(Method::PATCH, &path, version, Some(&json!({ "enabled": enabled }))).await;
    }

    async fn post(&self, deed: &str, body: &Json) {
        self.send(Method::POST, &format!("projects/shop/environments/development/{deed}"), None, Some(body)).await;
    }

    /// The state of each flag's rollout in development.
    async fn rollouts(&self) -> BTreeMap<String, String> {
        let page = self.send(Method::GET, "projects/shop/environments/development/rollouts", None, None).await;
        let text = |json: &Json| json.as_str().unwrap().to_owned();
        page["items"].as_array().unwrap().iter().map(|it| (text(&it["flag"]), text(&it["status"]["state"]))).collect()
    }

    /// What the audit log says was done in the project, newest first.
    async fn audited_actions(&self, limit: usize) -> Vec<String> {
        let rows = self.send(Method::GET, &format!("audit?project=shop&limit={limit}"), None, None).await;
        let rows = rows["items"].as_array().unwrap();
        rows.iter().map(|row| row["action"].as_str().unwrap().to_owned()).collect()
    }

    async fn send(&self, method: Method, path: &str, version: Option<u64>, body: Option<&Json>) -> Json {
        let mut request = self.client.request(method, format!("{}/{path}", self.api));
        request = request.header(header::COOKIE, &self.cookie).header("x-tidegate-csrf", "1");
        if let Some(version) = version {
            request = request.header(header::IF_MATCH, format!("\"{version}\""));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let body: Json = response.json().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {body}");
        body
    }
}

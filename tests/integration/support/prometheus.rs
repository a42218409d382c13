//! The real Prometheus, of Debian's package, and an application for it to scrape.

use std::{
    net::TcpListener as StdListener,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value as Json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    time::sleep,
};

use super::DEADLINE;

/// An application whose metrics are what the test says.
pub struct Application {
    pub address: String,
    metrics: Arc<Mutex<String>>,
}

impl Application {
    pub async fn new(metrics: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let metrics = Arc::new(Mutex::new(metrics.to_owned()));
        let said = Arc::clone(&metrics);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let said = Arc::clone(&said);
                tokio::spawn(async move {
                    let mut asked = Vec::new();
                    while stream.read_buf(&mut asked).await.is_ok_and(|n_read| n_read > 0) {
                        if !asked.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        asked.clear();
                        let body = said.lock().unwrap().clone();
                        let head = format!(
                            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n",
                            body.len()
                        );
                        if stream.write_all((head + &body).as_bytes()).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, metrics }
    }

    pub fn say(&self, metrics: &str) {
        metrics.clone_into(&mut self.metrics.lock().unwrap());
    }
}

/// A Prometheus on loopback that scrapes four times a second.
pub struct Prometheus {
    folder: TempDir,
    port: u16,
    guard: Option<Child>,
}

/// Runs Prometheus until the end of its input, which comes when the test process ends, however it ends.
const GUARD: &str = r#"trap '' INT TERM HUP; "$@" >log 2>&1 & child=$!; cat >/dev/null; kill -9 $child; wait"#;

impl Prometheus {
    /// Scrapes these jobs.
    pub async fn start(jobs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let job = |(name, target): &(&str, &str)| {
            format!("- job_name: {name}\n  static_configs:\n  - targets: ['{target}']\n")
        };
        let jobs: String = jobs.iter().map(job).collect();
        let config = format!("global:\n  scrape_interval: 250ms\n  scrape_timeout: 200ms\nscrape_configs:\n{jobs}");
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        // Nobody else takes it in that moment, for the most part; and it is the same after a restart.
        let port = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut this = Self { folder, port, guard: None };
        this.start_again().await;
        this
    }

    /// The address of its API.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// `kill -9`.
    pub fn stop(&mut self) {
        let Some(mut guard) = self.guard.take() else { return };
        drop(guard.stdin.take());
        guard.wait().unwrap();
    }

    pub async fn start_again(&mut self) {
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard", "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address=127.0.0.1:{}", self.port))
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        self.guard = Some(guard);
        let is_ready =
            async || reqwest::get(format!("{}/-/ready", self.url())).await.is_ok_and(|it| it.status() == 200);
        let ready = async {
            while !is_ready().await {
                sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(DEADLINE, ready).await.is_err() {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            panic!("Prometheus does not start; is it installed (`apt-get install prometheus`)?\n{log}");
        }
    }

    /// The one number that a query says.
    pub async fn ask(&self, query: &str) -> Option<f64> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/query", self.url()), [("query", query)]).unwrap();
        let answer: Json = reqwest::get(url).await.ok()?.json().await.ok()?;
        answer.pointer("/data/result/0/value/1")?.as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.stop();
    }
}

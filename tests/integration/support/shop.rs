//! A project `shop`, on the real binary.

use std::path::Path;

use reqwest::Method;
use serde_json::{Value as Json, json};

use super::binary::{Server, tidegate};

/// The real server, with a project `shop` whose environment `test` has no flags yet.
pub struct RealShop {
    pub folder: tempfile::TempDir,
    pub server: Server,
    /// A server key of the environment.
    pub key: String,
    /// An API token that may do everything.
    pub token: String,
}

impl RealShop {
    pub async fn new() -> Self {
        Self::on(|folder| Server::start(folder, &[])).await
    }

    /// On the server that `start` starts in that folder.
    pub async fn on(start: impl FnOnce(&Path) -> Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = tidegate()
            .args(["token", "create", "--name", "editor", "--instance-admin", "--data-dir"])
            .arg(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let token = String::from_utf8(output.stdout).unwrap();
        let token = token.split_whitespace().find(|word| word.starts_with("tgp_")).unwrap().to_owned();
        let server = start(folder.path());
        let shop = Self { folder, server, key: String::new(), token };
        shop.post("projects", &json!({ "key": "shop", "name": "Shop" })).await;
        shop.post("projects/shop/environments", &json!({ "key": "test", "name": "Test" })).await;
        let key = shop.post("projects/shop/environments/test/keys", &json!({ "name": "sdk", "kind": "server" })).await;
        Self { key: key["key"].as_str().unwrap().to_owned(), ..shop }
    }

    /// With the flags of a flag file.
    pub async fn with(self, file: &Json) -> Self {
        self.post("projects/shop/environments/test/flag-file", &json!({ "file": file })).await;
        self
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        reqwest::Client::new().request(method, format!("{}/api/v1/{path}", self.server.url)).bearer_auth(&self.token)
    }

    pub async fn post(&self, path: &str, body: &Json) -> Json {
        let answer = self.request(Method::POST, path).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    pub fn client(&self) -> tidegate::Builder {
        tidegate::Client::builder(&self.server.url, &self.key)
    }
}

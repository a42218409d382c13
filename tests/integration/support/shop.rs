//! A project `shop` with an environment `test`: on the router alone, and on the real binary.

use std::path::Path;

use axum::http::StatusCode;
use reqwest::Method;
use serde_json::{Value as Json, json};
use tidegate_server::app::{Role, SdkKeyKind};

use super::{
    app::{Caller, TestApp},
    binary::{Server, tidegate},
};

/// The whole server but for its socket.
pub struct Shop {
    pub app: TestApp,
    /// May change flags.
    pub editor: Caller,
    /// A server key of `test`.
    pub key: Caller,
}

impl Shop {
    pub async fn new() -> Self {
        let app = TestApp::with_projects().await;
        let editor = app.project_token("shop", Role::Editor).await;
        let key = app.sdk_key("shop", "test", SdkKeyKind::Server).await;
        Self { app, editor, key }
    }

    /// Makes a boolean flag, which is off.
    pub async fn flag(&self, key: &str) {
        let flag = json!({ "key": key, "name": key, "kind": "boolean" });
        self.app.post("/api/v1/projects/shop/flags", flag).by(&self.editor).send().await.expect(StatusCode::CREATED);
    }

    /// Changes a flag's configuration, which is in that version.
    pub async fn configure(&self, key: &str, version: u64, configuration: Json) {
        let path = format!("/api/v1/projects/shop/flags/{key}/environments/test");
        let call = self.app.patch(&path, configuration).if_match(version).by(&self.editor);
        call.send().await.expect(StatusCode::OK);
    }
}

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
        Self::made(start, &[]).await
    }

    /// On that database, which other servers may be on, too.
    pub async fn on_database(url: &str) -> Self {
        let database = ["--database", url];
        Self::made(|folder| Server::start(folder, &database), &database).await
    }

    async fn made(start: impl FnOnce(&Path) -> Server, database: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let output = tidegate()
            .args(["token", "create", "--name", "editor", "--instance-admin"])
            .args(database)
            .arg("--data-dir")
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

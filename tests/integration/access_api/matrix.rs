//! Every operation of the OpenAPI document × everybody who may ask: the document says who may, the server must agree.

use axum::http::{Method, StatusCode};
use serde_json::{Value as Json, json};
use tidegate_server::app::{Role, SdkKeyKind};

use crate::support::app::{Answer, Call, Caller, TestApp};

/// Everybody who may ask, seen from the project `shop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Nobody,
    ServerKey,
    ClientKey,
    /// The administrator of another project.
    Stranger,
    Viewer,
    Editor,
    Operator,
    Admin,
    InstanceAdmin,
}

impl Who {
    const ALL: [Self; 9] = [
        Self::Nobody,
        Self::ServerKey,
        Self::ClientKey,
        Self::Stranger,
        Self::Viewer,
        Self::Editor,
        Self::Operator,
        Self::Admin,
        Self::InstanceAdmin,
    ];

    async fn token(self, app: &TestApp) -> Caller {
        match self {
            Self::Nobody => Caller::Nobody,
            Self::ServerKey => app.sdk_key("shop", "production", SdkKeyKind::Server).await,
            Self::ClientKey => app.sdk_key("shop", "production", SdkKeyKind::Client).await,
            Self::Stranger => app.project_token("other", Role::Admin).await,
            Self::Viewer => app.project_token("shop", Role::Viewer).await,
            Self::Editor => app.project_token("shop", Role::Editor).await,
            Self::Operator => app.project_token("shop", Role::Operator).await,
            Self::Admin => app.project_token("shop", Role::Admin).await,
            Self::InstanceAdmin => app.instance_token().await,
        }
    }

    /// The same as a signed-in person, for whom a cookie stands.
    async fn session(self, app: &TestApp) -> Caller {
        let (instance_admin, roles) = match self {
            Self::Nobody | Self::ServerKey | Self::ClientKey => return self.token(app).await,
            Self::Stranger => (false, vec![("other", Role::Admin)]),
            Self::Viewer => (false, vec![("shop", Role::Viewer)]),
            Self::Editor => (false, vec![("shop", Role::Editor)]),
            Self::Operator => (false, vec![("shop", Role::Operator)]),
            Self::Admin => (false, vec![("shop", Role::Admin)]),
            Self::InstanceAdmin => (true, vec![]),
        };
        app.guest(&format!("{self:?}").to_lowercase(), instance_admin, &roles).await
    }

    fn is_sdk_key(self) -> bool {
        matches!(self, Self::ServerKey | Self::ClientKey)
    }
}

/// What the document promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Admitted,
    Unauthenticated,
    Forbidden,
    /// The project's existence is no news to strangers.
    NotFound,
}

#[derive(Debug)]
struct Operation {
    id: String,
    method: Method,
    path: String,
    access: String,
}

fn operations() -> Vec<Operation> {
    let document: Json = serde_json::from_str(tidegate_server::http::openapi_json()).unwrap();
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations.push(Operation {
                id: operation["operationId"].as_str().expect(path).to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                access: operation["x-tidegate-access"].as_str().expect(path).to_owned(),
            });
        }
    }
    assert!(operations.len() > 20, "the document is hardly complete");
    operations
}

impl Operation {
    /// A request that is refused for nothing but who sends it, as far as one can tell without knowing the operation.
    fn call<'a>(&self, app: &'a TestApp) -> Call<'a> {
        let path = self
            .path
            .replace("{project}", "shop")
            .replace("{environment}", "production")
            .replace("{sequence}", "1")
            .replace(['{', '}'], "");
        let path = if self.id == "listAudit" { format!("{path}?project=shop") } else { path };
        let call = app.call(self.method.clone(), &path).header("if-match", "\"1\"").from("203.0.113.9:4000");
        match self.method {
            Method::GET | Method::DELETE => call,
            _ => call.json(match self.id.as_str() {
                "createToken" => json!({ "name": "new", "project": "shop", "role": "viewer" }),
                "completeSetup" => {
                    json!({ "secret": "x", "name": "x", "email": "x@example.org", "password": "long enough it is" })
                }
                _ => json!({}),
            }),
        }
    }

    fn promise(&self, who: Who) -> Promise {
        let needed = |role: Who| match who {
            Who::Stranger => Promise::NotFound,
            who if who >= role => Promise::Admitted,
            _ => Promise::Forbidden,
        };
        let (kind, action) = self.access.split_once(':').unwrap_or((&self.access, ""));
        match (kind, who) {
            ("public" | "probe", _)
            | ("projectOrServerKey" | "sdkKey", Who::ServerKey)
            | ("sdkKey", Who::ClientKey) => Promise::Admitted,
            (_, Who::Nobody) => Promise::Unauthenticated,
            (_, who) if who.is_sdk_key() => Promise::Forbidden,
            ("project" | "projectOrServerKey", _) => needed(match action {
                "read" => Who::Viewer,
                "edit" => Who::Editor,
                "operate" => Who::Operator,
                "administer" => Who::Admin,
                "administerInstance" => Who::InstanceAdmin,
                action => panic!("`{action}` is no action"),
            }),
            ("instance" | "metrics", Who::InstanceAdmin) | ("session", _) => Promise::Admitted,
            ("instance" | "metrics" | "sdkKey", _) => Promise::Forbidden,
            ("signedIn", _) => match self.id.as_str() {
                // What somebody may not see is not there.
                "listProjects" | "revokeToken" | "getAuditRow" | "listGatePresets" | "expandGatePreset" => {
                    Promise::Admitted
                }
                "listAudit" => needed(Who::Viewer),
                "createToken" => needed(Who::Admin),
                // Strangers administer something, so they may: and see what concerns that.
                "listUsers" | "listTokens" if who == Who::Stranger || who >= Who::Admin => Promise::Admitted,
                "getUser" | "updateUser" if who == Who::InstanceAdmin => Promise::Admitted,
                "listUsers" | "listTokens" | "getUser" | "updateUser" => Promise::Forbidden,
                id => panic!("say here who may `{id}`: its use case decides"),
            },
            (kind, _) => panic!("`{kind}` is no access"),
        }
    }
}

#[track_caller]
fn check(operation: &Operation, who: Who, answer: &Answer) {
    let status = answer.status;
    let hidden = status == StatusCode::NOT_FOUND && answer.body["detail"] == "there is no project `shop`";
    let kept = match operation.promise(who) {
        Promise::Unauthenticated => status == StatusCode::UNAUTHORIZED && answer.body["code"] == "unauthenticated",
        Promise::Forbidden => status == StatusCode::FORBIDDEN && answer.body["code"] == "forbidden",
        Promise::NotFound => hidden,
        Promise::Admitted => {
            let refused = matches!(status.as_u16(), 401 | 403 | 405 | 415 | 500);
            !hidden && (!refused || is_wrong_secret(operation, answer))
        }
    };
    assert!(kept, "{who:?} asked {operation:?}: {status} {}", answer.text);
}

/// Signing in with a made-up secret is refused by the use case, not by the route.
fn is_wrong_secret(operation: &Operation, answer: &Answer) -> bool {
    answer.status == StatusCode::UNAUTHORIZED && matches!(operation.id.as_str(), "completeSetup" | "followLink")
}

#[tokio::test]
async fn every_operation_admits_exactly_whom_its_document_names() {
    // Streams come with their own handshake, and their own tests.
    for operation in operations().iter().filter(|operation| !operation.access.starts_with("stream")) {
        let app = TestApp::with_projects().await;
        for who in Who::ALL {
            if operation.access != "session" {
                let token = who.token(&app).await;
                check(operation, who, &operation.call(&app).by(&token).send().await);
            }
            let session = who.session(&app).await;
            check(operation, who, &operation.call(&app).by(&session).send().await);
        }
    }
}

#[tokio::test]
async fn tokens_cannot_use_what_is_for_sessions() {
    let app = TestApp::new();
    let token = app.instance_token().await;
    for operation in operations().iter().filter(|operation| operation.access == "session") {
        operation.call(&app).by(&token).send().await.expect_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn a_server_key_opens_its_own_environment_only() {
    let app = TestApp::with_projects().await;
    let key = app.sdk_key("shop", "test", SdkKeyKind::Server).await;
    for operation in operations().iter().filter(|operation| operation.access.starts_with("projectOrServerKey")) {
        operation.call(&app).by(&key).send().await.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn every_cookie_bearing_write_needs_the_csrf_header() {
    let app = TestApp::with_projects().await;
    let admin = app.guest("admin", true, &[]).await;
    let unsafe_ones = operations().into_iter().filter(|operation| {
        operation.method != Method::GET && !matches!(operation.access.as_str(), "public" | "stream")
    });
    for operation in unsafe_ones {
        operation.call(&app).by(&admin).without("x-tidegate-csrf").send().await.expect_problem(403, "csrf");
        let cross_site = operation.call(&app).by(&admin).header("sec-fetch-site", "cross-site");
        cross_site.send().await.expect_problem(403, "csrf");
        let foreign =
            operation.call(&app).by(&admin).header("host", "flags.test").header("origin", "https://evil.test");
        foreign.send().await.expect_problem(403, "csrf");
    }
}

#[tokio::test]
async fn sign_ins_from_other_sites_are_refused() {
    let app = TestApp::new();
    let public = operations().into_iter().filter(|operation| operation.access == "public");
    for operation in public.filter(|operation| operation.method != Method::GET) {
        let call = operation.call(&app).header("host", "flags.test").header("origin", "https://evil.test");
        call.send().await.expect_problem(403, "csrf");
    }
}

#[tokio::test]
async fn no_trick_with_the_path_gets_past_the_guard() {
    let app = TestApp::with_projects().await;
    let rows_before = audit_rows(&app).await;
    for operation in operations() {
        if matches!(operation.access.as_str(), "public" | "probe" | "stream") {
            continue;
        }
        let path = operation.path.replace("{project}", "shop").replace("{environment}", "test").replace(['{', '}'], "");
        let inner = path.trim_start_matches('/');
        for trick in [
            format!("{path}/"),
            format!("/{path}"),
            path.replacen("/v1/", "/v1//", 1),
            path.replacen("/v1/", "/v1%2f", 1),
            path.replacen("/v1/", "/v1/./", 1),
            path.replacen("/v1/", "/v1/x/../", 1),
            path.replacen("/v1/", "/V1/", 1),
            path.to_uppercase(),
            format!("/livez/../{inner}"),
            format!("/livez/..%2f{inner}"),
            format!("/livez/%2e%2e/{inner}"),
            format!("/api/v1/setup/../../../{inner}"),
            format!("/assets/../{inner}"),
            format!("{path};x"),
            format!("{path}%00"),
            format!("{path}%20"),
            format!("{path}?x=/livez"),
            format!("{path}/../setup"),
        ] {
            let call = app.call(operation.method.clone(), &trick).header("if-match", "\"1\"").json(json!({}));
            let answer = call.send().await;
            let refused = matches!(answer.status.as_u16(), 400 | 401 | 404 | 405);
            assert!(refused, "{} {trick}: {} {}", operation.method, answer.status, answer.text);
        }
    }
    assert_eq!(audit_rows(&app).await, rows_before, "something was written");
}

async fn audit_rows(app: &TestApp) -> usize {
    app.app.store.audit_chain(0, 10_000).await.unwrap().len()
}

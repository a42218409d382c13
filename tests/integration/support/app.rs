//! The whole server without a socket: the real router over a memory store, a clock that stands still and ids that
//! repeat.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use futures_util::{Stream, StreamExt as _};
use serde_json::{Value as Json, json};
use tidegate_server::{
    app::{
        self, App, Principal, Role, SdkKeyKind,
        environments::CreateEnvironment,
        keys::{CreatedSdkKey, NewSdkKey},
        projects::CreateProject,
        tokens::NewToken,
        users::{NewUser, User},
    },
    http::{AppState, HttpConfig, Peer, router, serve},
    ports::{
        Messenger,
        notify::NoMessenger,
        store::{EnvironmentId, Store},
    },
    store::MemoryStore,
    telemetry::Metrics,
    testing::{ManualClock, SeededIds},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// The password of everybody made by [`TestApp::user`].
pub const PASSWORD: &str = "correct horse battery";

/// A server under test.
pub struct TestApp {
    pub app: App,
    pub state: AppState,
    pub clock: Arc<ManualClock>,
    /// Made when it is asked: it takes longer than many a test.
    router: OnceLock<Router>,
}

/// Who asks.
#[derive(Clone, Debug)]
pub enum Caller {
    Nobody,
    /// An API token or SDK key.
    Bearer(String),
    /// The session cookie, `name=value`, with the CSRF header that the UI sends.
    Session(String),
}

impl TestApp {
    /// A server as it comes out of the box.
    pub fn new() -> Self {
        Self::with(HttpConfig::default())
    }

    /// A server configured so.
    pub fn with(config: HttpConfig) -> Self {
        Self::on(Arc::new(MemoryStore::new("epoch-1")), config)
    }

    /// A server as it comes out of the box, which sends messages that way.
    pub fn with_messenger(messenger: Arc<dyn Messenger>) -> Self {
        Self::with_messenger_on(Arc::new(MemoryStore::new("epoch-1")), messenger)
    }

    /// The same on that store.
    pub fn with_messenger_on(store: Arc<dyn Store>, messenger: Arc<dyn Messenger>) -> Self {
        Self::built(store, HttpConfig::default(), messenger)
    }

    /// A server on that store.
    pub fn on(store: Arc<dyn Store>, config: HttpConfig) -> Self {
        Self::built(store, config, Arc::new(NoMessenger))
    }

    fn built(store: Arc<dyn Store>, mut config: HttpConfig, messenger: Arc<dyn Messenger>) -> Self {
        // Nobody waits for the next batch of events.
        config.streams.write_events = Duration::ZERO;
        let clock = Arc::new(ManualClock::default());
        let app = App::new(store, clock.clone(), Arc::new(SeededIds::default()));
        let app = App { messenger, ..app };
        let state = AppState::new(app.clone(), config, Arc::new(Metrics::new()));
        Self { router: OnceLock::new(), app, state, clock }
    }

    /// The project `shop` with the environments `test` and `production`, and a project `other` with `production`.
    pub async fn with_projects() -> Self {
        let this = Self::new();
        this.project("shop", &["test", "production"]).await;
        this.project("other", &["production"]).await;
        this
    }

    /// Makes a project and its environments.
    pub async fn project(&self, key: &str, environments: &[&str]) {
        let request = Self::request();
        let project = CreateProject { key: key.parse().unwrap(), name: key.to_owned(), one_rollout_at_a_time: false };
        self.app.create_project(&request, project).await.unwrap();
        for environment in environments {
            let command = CreateEnvironment {
                key: environment.parse().unwrap(),
                name: (*environment).to_owned(),
                production: *environment == "production",
                color: None,
                freezes: Vec::new(),
            };
            self.app.create_environment(&request, key, command).await.unwrap();
        }
    }

    /// A token that may do everything.
    pub async fn instance_token(&self) -> Caller {
        let new =
            NewToken { name: "instance".to_owned(), project: None, role: None, instance_admin: true, expires_at: None };
        self.token(new).await
    }

    /// A token with that role in that project.
    pub async fn project_token(&self, project: &str, role: Role) -> Caller {
        let new = NewToken {
            name: format!("{role:?}"),
            project: Some(project.to_owned()),
            role: Some(role),
            instance_admin: false,
            expires_at: None,
        };
        self.token(new).await
    }

    async fn token(&self, new: NewToken) -> Caller {
        let created = app::tokens::create(&self.app, &Self::request(), new).await.unwrap();
        Caller::Bearer(created.token)
    }

    /// An SDK key of that environment.
    pub async fn sdk_key(&self, project: &str, environment: &str, kind: SdkKeyKind) -> Caller {
        let new = NewSdkKey { name: "sdk".to_owned(), kind, allowed_origins: None, secure_mode: false };
        Caller::Bearer(self.new_sdk_key(project, environment, new).await.key)
    }

    /// An SDK key of that environment, with all that is said about it once.
    pub async fn new_sdk_key(&self, project: &str, environment: &str, new: NewSdkKey) -> CreatedSdkKey {
        let id = EnvironmentId { project: project.to_owned(), environment: environment.to_owned() };
        app::keys::create(&self.app, &Self::request(), &id, new).await.unwrap()
    }

    /// A person `name@example.org` with [`PASSWORD`].
    pub async fn user(&self, name: &str, instance_admin: bool, roles: &[(&str, Role)]) -> User {
        let new = NewUser {
            name: name.to_owned(),
            email: format!("{name}@example.org"),
            password: Some(PASSWORD.to_owned()),
            instance_admin,
            roles: roles.iter().map(|(project, role)| ((*project).to_owned(), *role)).collect::<BTreeMap<_, _>>(),
        };
        app::users::create(&self.app, &Self::request(), new).await.unwrap()
    }

    /// Signs `name@example.org` in with [`PASSWORD`].
    pub async fn sign_in(&self, name: &str) -> Caller {
        let credentials = json!({ "email": format!("{name}@example.org"), "password": PASSWORD });
        self.post("/api/v1/session", credentials).send().await.expect(StatusCode::OK).session()
    }

    /// Signs in a person made for it, `name@example.org`, by a link: costs no password hash.
    pub async fn guest(&self, name: &str, instance_admin: bool, roles: &[(&str, Role)]) -> Caller {
        let new = NewUser {
            name: name.to_owned(),
            email: format!("{name}@example.org"),
            password: None,
            instance_admin,
            roles: roles.iter().map(|(project, role)| ((*project).to_owned(), *role)).collect(),
        };
        let user = app::users::create(&self.app, &Self::request(), new).await.unwrap();
        let link = app::users::make_link(&self.app, &Self::request(), &user.id).await.unwrap();
        let body = json!({ "secret": link.secret });
        self.post("/api/v1/session/link", body).send().await.expect(StatusCode::OK).session()
    }

    /// A request by the machine's operator, straight to the use cases.
    pub fn request() -> app::Request {
        let actor = app::Actor { id: "cli:test".to_owned(), name: "Test".to_owned() };
        app::Request {
            principal: Principal { actor, instance_admin: true, roles: BTreeMap::new() },
            reason: String::new(),
            request_id: "test".to_owned(),
            idempotency: None,
        }
    }

    /// Listens on loopback, too, for as long as the test runs.
    pub async fn listen(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, router(self.state.clone()), CancellationToken::new(), Duration::ZERO));
        address
    }

    pub fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    pub fn post(&self, path: &str, body: impl Into<Json>) -> Call<'_> {
        self.call(Method::POST, path).json(body)
    }

    pub fn put(&self, path: &str, body: impl Into<Json>) -> Call<'_> {
        self.call(Method::PUT, path).json(body)
    }

    pub fn patch(&self, path: &str, body: impl Into<Json>) -> Call<'_> {
        self.call(Method::PATCH, path).json(body)
    }

    pub fn delete(&self, path: &str) -> Call<'_> {
        self.call(Method::DELETE, path)
    }

    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let router = self.router.get_or_init(|| router(self.state.clone()));
        Call { router, request }
    }
}

/// A request in the making.
pub struct Call<'a> {
    router: &'a Router,
    request: Request<Body>,
}

impl Call<'_> {
    pub fn by(self, caller: &Caller) -> Self {
        match caller {
            Caller::Nobody => self,
            Caller::Bearer(token) => self.header("authorization", &format!("Bearer {token}")),
            Caller::Session(cookie) => self.header("cookie", cookie).header("x-tidegate-csrf", "1"),
        }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.request.headers_mut().insert(name, value.parse().unwrap());
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    pub fn if_match(self, version: u64) -> Self {
        self.header("if-match", &format!("\"{version}\""))
    }

    /// The address that the request comes from.
    pub fn from(mut self, address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        self.request.extensions_mut().insert(ConnectInfo(Peer::from(address)));
        self
    }

    pub fn json(self, body: impl Into<Json>) -> Self {
        self.header("content-type", "application/json").body(body.into().to_string())
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// For an answer that does not end: its pieces, as text.
    pub async fn open(self) -> (StatusCode, impl Stream<Item = String> + Unpin + use<>) {
        let response = self.router.clone().oneshot(self.request).await.unwrap();
        let status = response.status();
        let pieces = response.into_body().into_data_stream();
        (status, Box::pin(pieces.map(|piece| String::from_utf8(piece.unwrap().to_vec()).unwrap())))
    }

    pub async fn send(self) -> Answer {
        let what = format!("{} {}", self.request.method(), self.request.uri());
        let response = self.router.clone().oneshot(self.request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Json::Null);
        Answer { what, status: parts.status, headers: parts.headers, text, body }
    }
}

/// What the server answered.
#[derive(Debug)]
pub struct Answer {
    what: String,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
    /// Null where it is no JSON.
    pub body: Json,
}

impl Answer {
    #[track_caller]
    pub fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.what, self.text);
        self
    }

    /// A refusal with that stable code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status.as_u16(), self.body["code"].as_str()),
            (status, Some(code)),
            "{}: {}",
            self.what,
            self.text
        );
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json", "{}", self.what);
        assert_eq!(self.body["status"], status, "{}", self.what);
        self
    }

    /// The version in `ETag`.
    #[track_caller]
    pub fn version(&self) -> u64 {
        self.headers[header::ETAG].to_str().unwrap().trim_matches('"').parse().unwrap()
    }

    /// The session that the answer began.
    #[track_caller]
    pub fn session(&self) -> Caller {
        let cookie = self.headers[header::SET_COOKIE].to_str().unwrap();
        Caller::Session(cookie.split(';').next().unwrap().to_owned())
    }
}

//! The routes, and who may use each.

use std::time::Duration;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, Method, StatusCode, header},
    routing::MethodRouter,
};
use tower_http::cors::{self, CorsLayer};
use utoipa::openapi::{
    Components, OpenApi, PathItem, RefOr, Schema,
    extensions::ExtensionsBuilder,
    path::{Operation, Paths},
};
use utoipa_axum::router::UtoipaMethodRouter;

use super::{
    AppState, Problem,
    around::Surround,
    assets,
    auth::{self, Guard},
    error::Code,
    layers, openapi,
};
use crate::app::access::Action;

/// How large bodies may be, in bytes, after decompression (there is none). A route that needs other than
/// [`BODY`](limit::BODY) says so: [`Routes::with_body`].
pub mod limit {
    /// What most bodies have to make do with.
    pub const BODY: usize = 1024 * 1024;
    /// A segment: 100,000 members of 100 bytes.
    pub const SEGMENT: usize = 16 * 1024 * 1024;
    /// A flag file: a whole environment.
    pub const FLAG_FILE: usize = 32 * 1024 * 1024;
    /// An evaluation: one context.
    pub const EVALUATE: usize = 64 * 1024;
    /// A sign-in: anybody may send one.
    pub const SIGN_IN: usize = 16 * 1024;
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, and however busy the server is: health.
    Probe,
    /// Anybody. Browsers still may not call it from other sites.
    Public,
    /// A person with a session; no token.
    Session,
    /// Any person and any API token: the use case decides what they see and do.
    SignedIn,
    /// A person or token who may do this in the `{project}` of the path.
    Project(Action),
    /// As [`Project`](Access::Project), or a server key of the `{environment}` in the path.
    ProjectOrServerKey(Action),
    /// An SDK key, server or client: what it opens is its own environment. Pages of other sites may ask.
    SdkKey,
    /// An instance administrator.
    Instance,
    /// As [`MetricsAccess`](super::MetricsAccess) says, and instance administrators.
    Metrics,
    /// Decided by the handler, as the key may come in a websocket's subprotocol.
    Stream,
    /// Decided by the handler, as a short-lived token in the query stands for an SDK key. Pages of other sites may ask.
    StreamToken,
}

impl std::fmt::Display for Access {
    /// The `x-tidegate-access` of the operation.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Probe => f.write_str("probe"),
            Self::Public => f.write_str("public"),
            Self::Session => f.write_str("session"),
            Self::SignedIn => f.write_str("signedIn"),
            Self::Project(action) => write!(f, "project:{action}"),
            Self::ProjectOrServerKey(action) => write!(f, "projectOrServerKey:{action}"),
            Self::SdkKey => f.write_str("sdkKey"),
            Self::Instance => f.write_str("instance"),
            Self::Metrics => f.write_str("metrics"),
            Self::Stream => f.write_str("stream"),
            Self::StreamToken => f.write_str("streamToken"),
        }
    }
}

/// The routes of a resource, each with the access that it needs.
#[derive(Default)]
pub struct Routes(Vec<Route>);

struct Route {
    access: Access,
    alias: Option<&'static str>,
    /// How large a body may be, in bytes.
    body: usize,
    paths: Paths,
    schemas: Vec<(String, RefOr<Schema>)>,
    handlers: MethodRouter<AppState>,
}

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares handlers of one path (`routes!(list, create)`) that need the same access.
    #[must_use]
    pub fn route(mut self, access: Access, (schemas, paths, handlers): UtoipaMethodRouter<AppState>) -> Self {
        self.0.push(Route { access, alias: None, body: limit::BODY, paths, schemas, handlers });
        self
    }

    /// The last route declared takes bodies of up to so many bytes.
    #[must_use]
    pub fn with_body(mut self, bytes: usize) -> Self {
        if let Some(last) = self.0.last_mut() {
            last.body = bytes;
        }
        self
    }

    /// The last route declared is also served at this path, which is not described.
    #[must_use]
    pub fn also_at(mut self, path: &'static str) -> Self {
        if let Some(last) = self.0.last_mut() {
            last.alias = Some(path);
        }
        self
    }

    /// Adds the routes of another resource.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The same routes, each under `prefix`.
    #[must_use]
    fn under(mut self, prefix: &str) -> Self {
        for route in &mut self.0 {
            let paths = std::mem::take(&mut route.paths.paths);
            route.paths.paths = paths.into_iter().map(|(path, item)| (format!("{prefix}{path}"), item)).collect();
        }
        self
    }

    /// What is served: each route behind its guard. What stands before the handlers is one layer to axum, which puts each
    /// into a box for every request.
    fn into_router(self, state: &AppState) -> Router<AppState> {
        self.0.into_iter().fold(Router::new(), |router, Route { access, alias, body, paths, handlers, .. }| {
            let guard = Guard { state: state.clone(), access };
            let guarded = (Surround::with(guard), DefaultBodyLimit::max(body));
            let guarded = if matches!(access, Access::SdkKey | Access::StreamToken) {
                // The layer answers the question for it.
                handlers.options(async || StatusCode::NO_CONTENT).route_layer((any_site(), guarded))
            } else {
                handlers.route_layer(guarded)
            };
            let paths = paths.paths.into_keys().chain(alias.map(str::to_owned));
            paths.fold(router, |router, path| router.route(&path, guarded.clone()))
        })
    }

    /// What is described: each operation with its access, and the problem that any may answer with.
    pub(super) fn describe(self, openapi: &mut OpenApi) {
        let components = openapi.components.get_or_insert_with(Components::new);
        for Route { access, paths, schemas, .. } in self.0 {
            components.schemas.extend(schemas);
            for (path, mut item) in paths.paths {
                let extension = ExtensionsBuilder::new().add("x-tidegate-access", access.to_string()).build();
                for operation in operations(&mut item) {
                    operation.extensions.get_or_insert_default().merge(extension.clone());
                    openapi::describe_operation(operation, access);
                }
                openapi.paths.paths.entry(path).or_default().merge_operations(item);
            }
        }
    }
}

/// The operations of a path.
fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch].into_iter().flatten()
}

/// What a browser asks before a page of another site may present an SDK key: yes, to all. No cookie counts on these routes,
/// so that the answer gives nobody anything; which sites may use a key is checked with the key, by the [`Guard`].
fn any_site() -> CorsLayer {
    const A_DAY: Duration = Duration::from_hours(24);
    CorsLayer::new()
        .allow_origin(cors::Any)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("x-api-key"),
            auth::SIGNATURE,
        ])
        .expose_headers([header::ETAG, header::RETRY_AFTER])
        .max_age(A_DAY)
}

/// Every route of the server. Resources write their paths without the prefix.
pub(super) fn routes() -> Routes {
    let api = Routes::new()
        .merge(openapi::routes())
        .merge(super::session::routes())
        .merge(super::users::routes())
        .merge(super::tokens::routes())
        .merge(super::keys::routes())
        .merge(super::audit::routes())
        .merge(super::system::routes())
        .merge(super::stream::routes())
        .merge(super::changes::routes())
        .merge(super::projects::routes())
        .merge(super::environments::routes())
        .merge(super::flags::routes())
        .merge(super::configurations::routes())
        .merge(super::kill::routes())
        .merge(super::metric_sources::routes())
        .merge(super::presets::routes())
        .merge(super::rollouts::routes())
        .merge(super::segments::routes())
        .merge(super::insights::routes())
        .merge(super::templates::routes())
        .merge(super::channels::routes())
        .merge(super::evaluate::routes())
        .merge(super::flag_file::routes());
    let ofrep = super::ofrep::routes().under("/ofrep/v1");
    Routes::new().merge(super::health::routes()).merge(api.under("/api/v1")).merge(ofrep)
}

/// The server as one service.
pub fn router(state: AppState) -> Router {
    let router = routes().into_router(&state).fallback(assets::serve).method_not_allowed_fallback(async || {
        Problem::new(Code::MethodNotAllowed, "not with this method; see the header `Allow`")
    });
    layers::wrap(router, &state).with_state(state)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    /// The second would be described as the first.
    #[test]
    fn no_two_types_share_a_name() {
        let mut known = BTreeMap::new();
        for (name, schema) in super::routes().0.into_iter().flat_map(|route| route.schemas) {
            let schema = serde_json::to_value(schema).unwrap();
            let other = known.entry(name.clone()).or_insert_with(|| schema.clone());
            assert_eq!(*other, schema, "{name}");
        }
    }
}

//! HTTP: one file per resource, default-deny.
//!
//! A resource's file declares its routes with the access that each needs ([`Routes`]); what is not declared is not
//! reachable, and the declaration is all that decides who gets in: it becomes the route's guard, and the
//! `x-tidegate-access` of the operation in the OpenAPI document, from which the test of every route × role is made.
//!
//! A handler takes what it needs by extractors ([`extract`]), calls one use case of [`app`](crate::app), and gives back
//! its answer or an [`HttpError`]; every refusal is a [`Problem`].

pub mod error;
pub mod extract;
pub mod page;
pub mod rollouts;
mod router;
pub mod state;

mod auth;
mod idempotency;
mod layers;
mod openapi;
mod serve;

mod around;
mod assets;
mod audit;
mod changes;
mod health;
mod keys;
mod session;
mod stream;
mod tokens;
mod users;

mod channels;
mod configurations;
mod environments;
mod evaluate;
mod flag_file;
mod flags;
mod insights;
mod kill;
mod metric_sources;
mod ofrep;
mod presets;
mod projects;
mod segments;
mod system;
mod templates;

pub use error::{HttpError, Problem};
pub use openapi::{openapi, openapi_json};
pub use router::{Access, Routes, router};
pub use serve::{Peer, serve};
pub use state::{AppState, HttpConfig, MetricsAccess};

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{
        body::Body,
        http::{Method, Request, StatusCode},
        response::Response,
    };
    use tower::ServiceExt as _;

    use super::*;
    use crate::{
        app::App,
        store::MemoryStore,
        telemetry::Metrics,
        testing::{ManualClock, SeededIds},
    };

    async fn ask(method: Method, path: &str) -> Response {
        let app = App::new(
            Arc::new(MemoryStore::new("epoch")),
            Arc::new(ManualClock::default()),
            Arc::new(SeededIds::default()),
        );
        let router = router(AppState::new(app, HttpConfig::default(), Arc::new(Metrics::new())));
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        router.oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn what_is_not_declared_is_not_there() {
        for (method, path, status) in [
            (Method::GET, "/livez", StatusCode::NO_CONTENT),
            (Method::GET, "/readyz", StatusCode::OK),
            (Method::POST, "/livez", StatusCode::METHOD_NOT_ALLOWED),
            (Method::GET, "/metrics", StatusCode::UNAUTHORIZED),
            (Method::GET, "/api/v1/openapi.json", StatusCode::OK),
            (Method::GET, "/api/v1/nothing", StatusCode::NOT_FOUND),
        ] {
            let response = ask(method.clone(), path).await;
            assert_eq!(response.status(), status, "{method} {path}");
            assert!(response.headers().contains_key("x-request-id"), "{method} {path}");
            assert_eq!(response.headers()["x-content-type-options"], "nosniff", "{method} {path}");
            if status.is_client_error() {
                assert_eq!(response.headers()["content-type"], "application/problem+json", "{method} {path}");
            }
        }
    }
}

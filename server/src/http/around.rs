//! Layers that are one async function each.
//!
//! As axum's `from_fn`, which puts the function's future, the rest of the way and that one's future into a box each, for every
//! request: here there is one box, and what axum's own routes need.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use axum::{
    extract::Request,
    response::{IntoResponse, Response},
};
use futures_util::future::BoxFuture;
use tower::{Layer, Service};

/// What is done before and after the rest of a request's way.
pub(super) trait Around: Clone + Send + Sync + 'static {
    /// Answers the request: with what `next` answers, or without it.
    fn around(self, request: Request, next: impl Next) -> impl Future<Output = Response> + Send;
}

/// The rest of a request's way.
pub(super) trait Next: Send + 'static {
    /// Goes it.
    fn run(self, request: Request) -> impl Future<Output = Response> + Send;
}

impl<S> Next for S
where
    S: Service<Request, Response: IntoResponse, Error = Infallible, Future: Send> + Send + 'static,
{
    async fn run(mut self, request: Request) -> Response {
        match self.call(request).await {
            Ok(response) => response.into_response(),
            Err(never) => match never {},
        }
    }
}

/// An [`Around`] as a layer, and with the rest of the way, `N`, as a service.
#[derive(Clone)]
pub(super) struct Surround<A, N = ()> {
    around: A,
    next: N,
}

impl<A> Surround<A> {
    pub(super) fn with(around: A) -> Self {
        Self { around, next: () }
    }
}

impl<A: Clone, S> Layer<S> for Surround<A> {
    type Service = Surround<A, S>;

    fn layer(&self, next: S) -> Surround<A, S> {
        Surround { around: self.around.clone(), next }
    }
}

impl<A: Around, S> Service<Request> for Surround<A, S>
where
    S: Service<Request, Response: IntoResponse, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.next.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let around = self.around.clone();
        // The one that was asked whether it is ready goes with the request.
        let later = self.next.clone();
        let next = std::mem::replace(&mut self.next, later);
        Box::pin(async move { Ok(around.around(request, next).await) })
    }
}

//! `?limit=&cursor=` of lists.

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::error::{Code, HttpError, Problem};
use crate::app::PageRequest;

/// Which page of a list is wanted. In handlers, take [`Paging`].
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// The longest page, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u32>,
    /// The `nextCursor` of the page before.
    cursor: Option<String>,
}

/// The page asked for.
#[derive(Debug)]
pub struct Paging(pub PageRequest);

impl<S: Send + Sync> FromRequestParts<S> for Paging {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let Query(PageQuery { limit, cursor }) = Query::from_request_parts(parts, state).await?;
        let limit = limit.unwrap_or(PageRequest::DEFAULT_LIMIT);
        if !(1..=PageRequest::MAX_LIMIT).contains(&limit) {
            let detail = format!("`limit` is 1 to {}", PageRequest::MAX_LIMIT);
            return Err(Problem::new(Code::Invalid, detail).with_field("?limit").into());
        }
        Ok(Self(PageRequest { after: cursor, limit }))
    }
}

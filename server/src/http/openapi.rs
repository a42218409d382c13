//! The OpenAPI document, made from the handlers.

use std::sync::LazyLock;

use axum::{http::StatusCode, response::IntoResponse};
use utoipa::{
    PartialSchema as _, ToSchema as _,
    openapi::{
        ContentBuilder, Info, OpenApi, OpenApiBuilder, RefOr, ResponseBuilder, Schema,
        path::Operation,
        schema::{AdditionalProperties, Components},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};
use utoipa_axum::routes;

use super::{Access, Problem, Routes, router};

pub(super) fn routes() -> Routes {
    Routes::new().route(Access::Public, routes!(get_openapi))
}

/// The document of this API, version 3.1.
pub fn openapi() -> OpenApi {
    let mut openapi = OpenApiBuilder::new()
        .info(Info::new("Tidegate", env!("CARGO_PKG_VERSION")))
        .components(Some(components()))
        .build();
    openapi.info.description = Some(
        "Feature flags and progressive rollouts.\n\n\
         Every refusal is an `application/problem+json` with a stable `code`. Every representation has a `version` and \
         carries it as `ETag`; changing it needs that version as `If-Match`. A POST with an `Idempotency-Key` is \
         carried out once. `x-tidegate-access` says who may use an operation."
            .to_owned(),
    );
    router::routes().describe(&mut openapi);
    openapi.components.iter_mut().flat_map(|components| components.schemas.values_mut()).for_each(open_parts);
    openapi
}

/// A body that refuses unknown fields says so of itself. As a part of a whole ([`Reasoned`](super::extract::Reasoned)) it
/// would refuse the other parts' fields too, so there it is left unsaid.
fn open_parts(schema: &mut RefOr<Schema>) {
    let RefOr::T(Schema::AllOf(whole)) = schema else { return };
    for part in &mut whole.items {
        if let RefOr::T(Schema::Object(part)) = part {
            part.additional_properties.take_if(|more| matches!(**more, AdditionalProperties::FreeForm(false)));
        }
    }
}

/// The document as it is committed and served: keys sorted, so that it changes only where the API does. Made once.
pub fn openapi_json() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
        match serde_json::to_value(openapi()).and_then(|sorted| serde_json::to_string_pretty(&sorted)) {
            Ok(json) => json + "\n",
            Err(error) => unreachable!("an OpenAPI document has string keys only: {error}"),
        }
    });
    &DOCUMENT
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "server", operation_id = "getOpenApi",
    responses((status = 200, description = "The document", body = Object))
)]
async fn get_openapi() -> impl IntoResponse {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], openapi_json())
}

fn components() -> Components {
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    schemas.push((Problem::name().into_owned(), Problem::schema()));
    let mut components = Components::new();
    components.schemas.extend(schemas);
    let bearer = |description: &str| {
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build())
    };
    components.add_security_scheme("token", bearer("An API token, `tgp_…`."));
    components.add_security_scheme("serverKey", bearer("A server key of an SDK, `tgs_…`."));
    components.add_security_scheme("clientKey", bearer("A client key of an SDK, `tgc_…`: public."));
    components.add_security_scheme(
        "apiKey",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::with_description(
            "X-API-Key",
            "An SDK key, `tgs_…` or `tgc_…`: OFREP's other way to send it. `Authorization` goes first.",
        ))),
    );
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            "__Host-tidegate",
            "Made by signing in; `tidegate` where the server has no TLS. Unsafe methods need the header `X-Tidegate-Csrf: 1`.",
        ))),
    );
    components
}

/// What every operation says alike: who may use it, and the problem it may answer with.
pub(super) fn describe_operation(operation: &mut Operation, access: Access) {
    let schemes: &[&str] = match access {
        Access::Probe | Access::Public | Access::StreamToken => &[],
        Access::Session => &["session"],
        Access::SdkKey => &["serverKey", "clientKey", "apiKey"],
        Access::SignedIn | Access::Project(_) | Access::Instance | Access::Metrics => &["session", "token"],
        Access::ProjectOrServerKey(_) | Access::Stream => &["session", "token", "serverKey"],
    };
    operation.security = (!schemes.is_empty())
        .then(|| schemes.iter().map(|scheme| SecurityRequirement::new::<_, _, &str>(*scheme, [])).collect());
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            let status = status.parse().ok().and_then(|status| StatusCode::from_u16(status).ok());
            status.and_then(|status| status.canonical_reason()).unwrap_or("Done").clone_into(&mut response.description);
        }
    }
    let problem = RefOr::<Schema>::Ref(utoipa::openapi::Ref::from_schema_name(Problem::name()));
    let response = ResponseBuilder::new()
        .description("Refused")
        .content("application/problem+json", ContentBuilder::new().schema(Some(problem)).build())
        .build();
    operation.responses.responses.insert("default".to_owned(), response.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_path_are_in_the_path() {
        let document = serde_json::to_value(openapi()).unwrap();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let name = parameter["name"].as_str().unwrap();
                    let is_there = path.contains(&format!("{{{name}}}"));
                    assert_eq!(parameter["in"] == "path", is_there, "{method} {path}: {name}");
                }
            }
        }
    }
}

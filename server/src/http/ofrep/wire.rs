//! What OFREP's bodies are, and how the OpenAPI document tells of them.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::json;
use tidegate_core::{Context, ErrorCode, Reason, evaluation::FlagValue};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::schema::{AdditionalProperties, Object, ObjectBuilder, SchemaType, Type},
};

use crate::http::Problem;

/// The body of an OFREP request. Fields that are not known are ignored, as the protocol grows.
#[derive(Debug, Deserialize, ToSchema)]
pub(in crate::http) struct OfrepRequest {
    /// The evaluation context.
    #[schema(schema_with = context)]
    pub context: Option<Context>,
}

/// What one flag says.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum OfrepAnswer<'a> {
    Success(OfrepSuccess<'a>),
    Failure(OfrepFailure<'a>),
}

/// A value, or, without `value` and `variant`, the caller's default.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::http) struct OfrepSuccess<'a> {
    /// The flag's key.
    pub key: &'a str,
    /// Why this value.
    #[schema(schema_with = reason)]
    pub reason: Reason,
    /// The variant's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub variant: Option<&'a str>,
    /// The value.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = value, required = false)]
    pub value: Option<&'a FlagValue>,
    /// What else is known.
    pub metadata: OfrepMetadata,
}

/// No value.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct OfrepFailure<'a> {
    /// The flag's key.
    pub key: &'a str,
    /// Why not.
    #[schema(schema_with = error_code)]
    pub error_code: ErrorCode,
    /// Why not, for people.
    #[schema(value_type = String)]
    pub error_details: Cow<'static, str>,
}

/// No values: the request cannot be used.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct OfrepRefusal {
    /// Why not.
    #[schema(schema_with = request_error_code)]
    pub error_code: ErrorCode,
    /// Why not, for people.
    pub error_details: String,
}

/// Refusals that have nothing to do with a flag.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the description")]
pub(in crate::http) enum OfrepRefused {
    /// No key, or one that is not valid
    #[response(status = 401, content_type = "application/problem+json", headers(("WWW-Authenticate" = String)))]
    Unauthenticated(Problem),
    /// The page's origin is not allowed, or, in secure mode, the targeting key is not signed
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// The body is larger than 64 KiB
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// Not now
    #[response(
        status = 503, content_type = "application/problem+json",
        headers(("Retry-After" = u64, description = "In seconds"))
    )]
    Unavailable(Problem),
}

/// What else is known of a flag.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(in crate::http) struct OfrepMetadata {
    /// The flag's version.
    pub version: u64,
}

/// What every flag says, and where to hear of changes.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "for the description: it is written in parts")]
pub(in crate::http) struct OfrepFlags<'a> {
    /// One answer for each flag, in the order of the keys.
    pub flags: Vec<OfrepAnswer<'a>>,
    /// Where to hear of changes.
    pub event_streams: [OfrepEventStream; 1],
}

/// Where to hear of changes.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct OfrepEventStream {
    /// `sse`: Server-Sent Events.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its address.
    pub endpoint: OfrepEndpoint,
    /// A client that is not looked at for so long may hang up.
    #[schema(minimum = 1)]
    pub inactivity_delay_sec: u32,
}

/// An address at the origin that was asked.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct OfrepEndpoint {
    /// Path and query. The query is a secret, for half an hour at least.
    #[schema(pattern = "^/")]
    pub request_uri: String,
}

fn context() -> Object {
    let targeting_key = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
        .description(Some("Whom the evaluation is for; may be missing where no flag needs it."));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .description(Some("The evaluation context: any attributes."))
        .property("targetingKey", targeting_key)
        .additional_properties(Some(AdditionalProperties::FreeForm(true)))
        .examples([json!({ "targetingKey": "user-42", "country": "CA" })])
        .build()
}

fn value() -> Object {
    let types = [Type::Boolean, Type::String, Type::Number, Type::Object, Type::Array];
    ObjectBuilder::new().schema_type(SchemaType::from_iter(types)).description(Some("The value.")).build()
}

fn reason() -> Object {
    use Reason::{Default, Disabled, Split, Static, TargetingMatch};
    one_of(&[Static, Default, TargetingMatch, Split, Disabled], "Why this value.")
}

/// Of one flag.
fn error_code() -> Object {
    use ErrorCode::{FlagNotFound, InvalidContext, ParseError, TargetingKeyMissing};
    one_of(&[FlagNotFound, ParseError, TargetingKeyMissing, InvalidContext], "Why not.")
}

/// Of a request.
fn request_error_code() -> Object {
    one_of(&[ErrorCode::ParseError, ErrorCode::InvalidContext], "Why not.")
}

/// A text that is one of these, as JSON has them.
fn one_of(values: &[impl Serialize], description: &str) -> Object {
    let values = values.iter().map(|value| json!(value));
    ObjectBuilder::new().schema_type(Type::String).description(Some(description)).enum_values(Some(values)).build()
}

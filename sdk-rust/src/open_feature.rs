//! A provider for [OpenFeature](https://openfeature.dev)'s Rust API.
//!
//! ```
//! use open_feature::{EvaluationContext, OpenFeature};
//! use tidegate::{open_feature::Provider, testing::TestClient};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! // An application has the client of `Client::builder(…).connect()?` here.
//! let flags = TestClient::new();
//! flags.set("new-checkout", true);
//!
//! let mut api = OpenFeature::singleton_mut().await;
//! api.set_named_provider("shop", Provider::new(flags.client().clone())).await;
//! let client = api.create_named_client("shop");
//!
//! let ctx = EvaluationContext::default().with_targeting_key("user-17").with_custom_field("country", "NZ");
//! let is_new = client.get_bool_value("new-checkout", Some(&ctx), None).await.unwrap_or(false);
//! assert!(is_new);
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The evaluation context
//! The targeting key and every custom field reach the rules. A date is RFC 3339 text, as conditions on dates want it. A
//! structure may be an [`open_feature::StructValue`], [`open_feature::Value`], [`serde_json::Value`],
//! [`tidegate::Value`](crate::Value), a `HashMap<String, EvaluationContextFieldValue>`, or a `Vec<String>`; OpenFeature
//! lets it be anything, and anything else counts as absent.
//!
//! # Values
//! The crate's API has no defaults: where a flag has nothing to give it is an error, and the application says
//! `.unwrap_or(default)`. So a flag that is off and has no off variant is an error, too
//! ([`EvaluationErrorCode::General`] with [`NO_VALUE`]).
//!
//! A number flag is both an integer and a float to OpenFeature; asked for as an integer, a fraction is a type mismatch.
//! A structure is a JSON flag whose value is an object; members that are `null` are left out, since OpenFeature has no
//! word for them.
//!
//! Details carry the flag's version as the metadata `version`. From 10 s after the server was lost their reason is
//! `STALE`.

use std::{any::Any, collections::HashMap, sync::Arc, time::Duration};

use open_feature::{
    EvaluationContext, EvaluationContextFieldValue, EvaluationError, EvaluationErrorCode, EvaluationReason,
    EvaluationResult, FlagMetadata, StructValue,
    provider::{FeatureProvider, ProviderMetadata, ProviderStatus, ResolutionDetails},
};
use serde_json::Value as Json;
use time::format_description::well_known::Rfc3339;

use crate::{Client, Context, Details, ErrorCode, Reason, Status, Value};

/// The text of the error where a flag is there, and has no value to give: it is off, and has no off variant.
pub const NO_VALUE: &str = "NO_VALUE";

/// How long `set_provider` waits for the first flags unless told otherwise.
const INIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves a [`Client`]'s flags to OpenFeature. See the [module](self).
#[derive(Debug)]
pub struct Provider {
    client: Client,
    metadata: ProviderMetadata,
    init_timeout: Duration,
}

impl Provider {
    /// A provider of that client's flags. Whoever has the client keeps it: `close` and `events` are its.
    pub fn new(client: Client) -> Self {
        Self { client, metadata: ProviderMetadata::new("tidegate"), init_timeout: INIT_TIMEOUT }
    }

    /// How long `OpenFeature::set_provider` waits for the first flags; 5 s unless told. It waits no longer where there is
    /// something to evaluate with at that time (a cache file, a bootstrap), and goes on without where there is nothing.
    #[must_use]
    pub fn init_timeout(mut self, timeout: Duration) -> Self {
        self.init_timeout = timeout;
        self
    }
}

#[open_feature::async_trait]
impl FeatureProvider for Provider {
    async fn initialize(&mut self, _: &EvaluationContext) {
        // In time or not: `status` tells.
        let _ = self.client.wait_ready(self.init_timeout).await;
    }

    fn status(&self) -> ProviderStatus {
        match self.client.status() {
            Status::NotReady => ProviderStatus::NotReady,
            Status::Ready => ProviderStatus::Ready,
            Status::Stale => ProviderStatus::STALE,
            Status::Error | Status::Fatal => ProviderStatus::Error,
        }
    }

    fn metadata(&self) -> &ProviderMetadata {
        &self.metadata
    }

    async fn resolve_bool_value(
        &self,
        flag_key: &str,
        ctx: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<bool>> {
        resolution(self.client.bool_details(flag_key, false, &context(ctx)), Ok)
    }

    async fn resolve_int_value(
        &self,
        flag_key: &str,
        ctx: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<i64>> {
        resolution(self.client.number_details(flag_key, 0.0, &context(ctx)), |number| {
            integer(number).ok_or_else(|| mismatch("the flag's value is no integer"))
        })
    }

    async fn resolve_float_value(
        &self,
        flag_key: &str,
        ctx: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<f64>> {
        resolution(self.client.number_details(flag_key, 0.0, &context(ctx)), Ok)
    }

    async fn resolve_string_value(
        &self,
        flag_key: &str,
        ctx: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<String>> {
        resolution(self.client.string_details(flag_key, "", &context(ctx)), |text| Ok(text.into()))
    }

    async fn resolve_struct_value(
        &self,
        flag_key: &str,
        ctx: &EvaluationContext,
    ) -> EvaluationResult<ResolutionDetails<StructValue>> {
        resolution(self.client.json_details(flag_key, Json::Null, &context(ctx)), |json| match &*json {
            Json::Object(members) => structure(members),
            _ => Err(mismatch("the flag's value is no JSON object")),
        })
    }
}

/// What OpenFeature is told: `details`, its value as `read` has it.
fn resolution<T, U>(
    details: Details<T>,
    read: impl FnOnce(T) -> EvaluationResult<U>,
) -> EvaluationResult<ResolutionDetails<U>> {
    if let Some(code) = details.error {
        return Err(EvaluationError { code: error_code(code), message: None });
    }
    if details.variant.is_none() {
        return Err(EvaluationError { code: EvaluationErrorCode::General(NO_VALUE.to_owned()), message: None });
    }
    let version = i64::try_from(details.flag_version).unwrap_or(i64::MAX);
    Ok(ResolutionDetails {
        value: read(details.value)?,
        variant: details.variant,
        reason: Some(reason(details.reason)),
        flag_metadata: Some(FlagMetadata::default().with_value("version", version)),
    })
}

fn reason(reason: Reason) -> EvaluationReason {
    match reason {
        Reason::Static => EvaluationReason::Static,
        Reason::Default => EvaluationReason::Default,
        Reason::TargetingMatch => EvaluationReason::TargetingMatch,
        Reason::Split => EvaluationReason::Split,
        Reason::Cached => EvaluationReason::Cached,
        Reason::Disabled => EvaluationReason::Disabled,
        // The crate has no word of its own for it: https://github.com/open-feature/rust-sdk/issues/137
        Reason::Stale => EvaluationReason::Other("STALE".to_owned()),
        Reason::Unknown => EvaluationReason::Unknown,
        Reason::Error => EvaluationReason::Error,
    }
}

fn error_code(code: ErrorCode) -> EvaluationErrorCode {
    match code {
        ErrorCode::ProviderNotReady => EvaluationErrorCode::ProviderNotReady,
        ErrorCode::FlagNotFound => EvaluationErrorCode::FlagNotFound,
        ErrorCode::ParseError => EvaluationErrorCode::ParseError,
        ErrorCode::TypeMismatch => EvaluationErrorCode::TypeMismatch,
        ErrorCode::TargetingKeyMissing => EvaluationErrorCode::TargetingKeyMissing,
        ErrorCode::InvalidContext => EvaluationErrorCode::InvalidContext,
        // As above: 0.3.0 does not know it.
        ErrorCode::ProviderFatal => EvaluationErrorCode::General("PROVIDER_FATAL".to_owned()),
        ErrorCode::General => EvaluationErrorCode::General("GENERAL".to_owned()),
    }
}

fn mismatch(message: &str) -> EvaluationError {
    EvaluationError { code: EvaluationErrorCode::TypeMismatch, message: Some(message.to_owned()) }
}

/// The integer that `number` is; `None` where it has a fraction or is beyond ±2^53, where doubles skip integers.
#[expect(clippy::cast_possible_truncation, reason = "integral and within ±2^53")]
fn integer(number: f64) -> Option<i64> {
    const LIMIT: f64 = 9_007_199_254_740_992.0;
    (number.fract() == 0.0 && number.abs() <= LIMIT).then_some(number as i64)
}

fn structure(members: &serde_json::Map<String, Json>) -> EvaluationResult<StructValue> {
    let present = members.iter().filter(|(_, value)| !value.is_null());
    let fields = present.map(|(name, value)| Ok((name.clone(), from_json(value)?))).collect::<EvaluationResult<_>>()?;
    Ok(StructValue { fields })
}

fn from_json(json: &Json) -> EvaluationResult<open_feature::Value> {
    use open_feature::Value as Of;
    Ok(match json {
        // Left out, it would move the elements after it.
        Json::Null => {
            return Err(mismatch("a list in the flag's value holds a null, which OpenFeature has no word for"));
        }
        Json::Bool(value) => Of::Bool(*value),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => Of::Int(integer),
            None => Of::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Of::String(text.clone()),
        Json::Array(items) => Of::Array(items.iter().map(from_json).collect::<EvaluationResult<_>>()?),
        Json::Object(members) => Of::Struct(structure(members)?),
    })
}

/// The context as the evaluator has it. The targeting key proper comes last: it wins over a field of its name.
fn context(ctx: &EvaluationContext) -> Context {
    let fields = ctx.custom_fields.iter();
    let fields = fields.filter_map(|(name, value)| Some((name, attribute(value)?)));
    let attributes = fields.fold(Context::anonymous(), |ctx, (name, value)| ctx.with(name, value));
    match &ctx.targeting_key {
        Some(key) => attributes.with("targetingKey", key.as_str()),
        None => attributes,
    }
}

/// `None`: nothing that a condition could test.
fn attribute(value: &EvaluationContextFieldValue) -> Option<Value> {
    match value {
        EvaluationContextFieldValue::Bool(value) => Some((*value).into()),
        EvaluationContextFieldValue::Int(value) => Some((*value).into()),
        EvaluationContextFieldValue::Float(value) => Some((*value).into()),
        EvaluationContextFieldValue::String(value) => Some(value.as_str().into()),
        // A year of more than four digits has no such form.
        EvaluationContextFieldValue::DateTime(date) => date.format(&Rfc3339).ok().map(Value::from),
        EvaluationContextFieldValue::Struct(structure) => from_any(structure),
    }
}

fn from_any(structure: &Arc<dyn Any + Send + Sync>) -> Option<Value> {
    if let Some(value) = structure.downcast_ref::<StructValue>() {
        return Some(from_fields(value));
    }
    if let Some(value) = structure.downcast_ref::<open_feature::Value>() {
        return Some(from_value(value));
    }
    if let Some(json) = structure.downcast_ref::<Json>() {
        return Some(json.into());
    }
    if let Some(value) = structure.downcast_ref::<Value>() {
        return Some(value.clone());
    }
    if let Some(fields) = structure.downcast_ref::<HashMap<String, EvaluationContextFieldValue>>() {
        let fields = fields.iter().filter_map(|(name, value)| Some((name.as_str().into(), attribute(value)?)));
        return Some(Value::Object(fields.collect()));
    }
    structure.downcast_ref::<Vec<String>>().map(|texts| texts.clone().into())
}

fn from_fields(structure: &StructValue) -> Value {
    Value::Object(structure.fields.iter().map(|(name, value)| (name.as_str().into(), from_value(value))).collect())
}

fn from_value(value: &open_feature::Value) -> Value {
    use open_feature::Value as Of;
    match value {
        Of::Bool(value) => (*value).into(),
        Of::Int(value) => (*value).into(),
        Of::Float(value) => (*value).into(),
        Of::String(value) => value.as_str().into(),
        Of::Array(items) => Value::List(items.iter().map(from_value).collect()),
        Of::Struct(structure) => from_fields(structure),
    }
}

#[cfg(test)]
mod tests {
    use open_feature::{Client as OfClient, OpenFeature};
    use serde_json::json;
    use time::OffsetDateTime;

    use super::*;
    use crate::{Builder, testing::TestClient};

    /// OpenFeature's own client on that client. The API is one for the process: each test has a name in it.
    async fn client(name: &str, client: &Client) -> OfClient {
        let mut api = OpenFeature::singleton_mut().await;
        let provider = Provider::new(client.clone()).init_timeout(Duration::ZERO);
        api.set_named_provider(name, provider).await;
        api.create_named_client(name)
    }

    fn ada() -> EvaluationContext {
        EvaluationContext::default().with_targeting_key("ada")
    }

    fn flag(key: &str, rest: &Json) -> Json {
        let mut flag = json!({
            "key": key, "kind": "boolean", "version": 7, "enabled": true, "salt": "s", "default": { "variant": "off" },
            "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }],
        });
        flag.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        flag
    }

    fn with_flags(flags: &[Json]) -> TestClient {
        TestClient::with_flags(&serde_json::from_value(json!({ "flags": flags })).unwrap())
    }

    fn on_if(key: &str, condition: &Json) -> Json {
        flag(key, &json!({ "rules": [{ "conditions": [condition], "serve": { "variant": "on" } }] }))
    }

    #[tokio::test]
    async fn every_kind_of_value_is_resolved() {
        let flags = TestClient::new();
        flags.set("a-boolean", true);
        flags.set("an-integer", 42);
        flags.set("a-fraction", 2.5);
        flags.set("a-string", "x");
        flags.set("a-structure", json!({ "a": [1, 2.5, "x", { "b": true }], "none": null }));
        let of = client("kinds", flags.client()).await;
        let ada = ada();

        assert_eq!(of.get_bool_value("a-boolean", Some(&ada), None).await, Ok(true));
        assert_eq!(of.get_int_value("an-integer", None, None).await, Ok(42));
        assert_eq!(of.get_float_value("an-integer", None, None).await, Ok(42.0));
        assert_eq!(of.get_float_value("a-fraction", None, None).await, Ok(2.5));
        assert_eq!(of.get_string_value("a-string", None, None).await.as_deref(), Ok("x"));
        let inner = StructValue::default().with_field("b", true);
        let list = vec![1.into(), 2.5.into(), "x".into(), open_feature::Value::Struct(inner)];
        let expected = StructValue::default().with_field("a", open_feature::Value::Array(list));
        assert_eq!(of.get_struct_value::<StructValue>("a-structure", None, None).await, Ok(expected));
    }

    #[tokio::test]
    async fn details_say_why() {
        let split = json!({ "distribution": { "weights": [
            { "variant": "on", "weight": 50_000 }, { "variant": "off", "weight": 50_000 }] } });
        let rule = json!({ "attribute": "plan", "operator": "in", "values": ["pro"] });
        let flags = with_flags(&[
            flag("static", &json!({})),
            flag("split", &json!({ "default": split })),
            flag("disabled", &json!({ "enabled": false, "offVariant": "off" })),
            on_if("rule", &rule),
        ]);
        let of = client("details", flags.client()).await;
        let ctx = ada().with_custom_field("plan", "pro");
        for (key, value, variant, reason) in [
            ("static", false, "off", EvaluationReason::Static),
            ("rule", true, "on", EvaluationReason::TargetingMatch),
            ("disabled", false, "off", EvaluationReason::Disabled),
        ] {
            let details = of.get_bool_details(key, Some(&ctx), None).await.unwrap();
            assert_eq!(
                (details.value, details.variant.as_deref(), details.reason),
                (value, Some(variant), Some(reason))
            );
            assert_eq!(details.flag_metadata, FlagMetadata::default().with_value("version", 7));
        }
        let reason_of = async |key| of.get_bool_details(key, Some(&ctx), None).await.unwrap().reason.unwrap();
        assert_eq!(reason_of("split").await, EvaluationReason::Split);
        assert_eq!(of.get_bool_details("rule", None, None).await.unwrap().reason, Some(EvaluationReason::Default));
        assert_eq!(reason(Reason::Stale).to_string(), "STALE");
    }

    #[tokio::test]
    async fn errors_have_their_codes() {
        let split = json!({ "distribution": { "weights": [
            { "variant": "on", "weight": 50_000 }, { "variant": "off", "weight": 50_000 }] } });
        let flags = with_flags(&[
            flag("off", &json!({ "enabled": false })),
            flag("split", &json!({ "default": split })),
            flag("broken", &json!({ "default": { "variant": "nowhere" } })),
        ]);
        flags.set("fraction", 2.5);
        flags.set("list", json!([1]));
        flags.set("hole", json!({ "a": [null] }));
        let of = client("errors", flags.client()).await;
        let bool_error = async |key| of.get_bool_value(key, None, None).await.unwrap_err().code;
        assert_eq!(bool_error("nothing").await, EvaluationErrorCode::FlagNotFound);
        assert_eq!(bool_error("fraction").await, EvaluationErrorCode::TypeMismatch);
        assert_eq!(bool_error("split").await, EvaluationErrorCode::TargetingKeyMissing);
        assert_eq!(bool_error("broken").await, EvaluationErrorCode::ParseError);
        assert_eq!(bool_error("off").await, EvaluationErrorCode::General(NO_VALUE.to_owned()));
        assert_eq!(of.get_int_value("fraction", None, None).await.unwrap_err().code, EvaluationErrorCode::TypeMismatch);
        for key in ["list", "hole"] {
            let error = of.get_struct_value::<StructValue>(key, None, None).await.unwrap_err();
            assert_eq!(error.code, EvaluationErrorCode::TypeMismatch);
        }
        let empty = client("empty", &Builder::new("http://localhost", "tgs_x").offline()).await;
        let error = empty.get_bool_value("off", None, None).await.unwrap_err();
        assert_eq!(error.code, EvaluationErrorCode::ProviderNotReady);
    }

    #[tokio::test]
    async fn the_whole_context_reaches_the_rules() {
        let test = |attribute: &str, operator: &str, values: Json| json!({ "attribute": attribute, "operator": operator, "values": values });
        let flags = with_flags(&[
            on_if("targeting-key", &test("targetingKey", "in", json!(["ada"]))),
            on_if("bool", &test("bool", "in", json!([true]))),
            on_if("int", &test("int", "greaterThan", json!([41]))),
            on_if("float", &test("float", "lessThan", json!([3]))),
            on_if("string", &test("string", "startsWith", json!(["he"]))),
            on_if("date", &test("date", "before", json!(["2026-01-01T00:00:00Z"]))),
            on_if("struct", &test("/struct/plan", "in", json!(["pro"]))),
            on_if("json", &test("/json/a/b", "in", json!([1]))),
            on_if("fields", &test("/fields/since", "before", json!(["2026-01-01T00:00:00Z"]))),
            on_if("list", &test("list", "in", json!(["beta"]))),
            on_if("opaque", &json!({ "attribute": "opaque", "operator": "exists" })),
        ]);
        let of = client("context", flags.client()).await;
        // A second before 2026.
        let date = OffsetDateTime::from_unix_timestamp(1_767_225_599).unwrap();
        let fields = HashMap::from([("since".to_owned(), EvaluationContextFieldValue::DateTime(date))]);
        let ctx = ada()
            .with_custom_field("targetingKey", "grace")
            .with_custom_field("bool", true)
            .with_custom_field("int", 42)
            .with_custom_field("float", 2.5)
            .with_custom_field("string", "hello")
            .with_custom_field("date", date)
            .with_custom_field("struct", Arc::new(StructValue::default().with_field("plan", "pro")))
            .with_custom_field("json", Arc::new(json!({ "a": { "b": 1 } })))
            .with_custom_field("fields", Arc::new(fields))
            .with_custom_field("list", Arc::new(vec!["alpha".to_owned(), "beta".to_owned()]))
            .with_custom_field("opaque", Arc::new(EvaluationReason::Cached));
        for key in
            ["targeting-key", "bool", "int", "float", "string", "date", "struct", "json", "fields", "list", "opaque"]
        {
            let value = of.get_bool_value(key, Some(&ctx), None).await;
            assert_eq!(value, Ok(key != "opaque"), "{key}");
            assert_eq!(of.get_bool_value(key, None, None).await, Ok(false), "{key}, of nobody");
        }
    }

    #[test]
    fn the_status_is_the_client_s() {
        let flags = TestClient::new();
        let provider = Provider::new(flags.client().clone());
        assert_eq!((provider.status(), provider.metadata().name.as_str()), (ProviderStatus::Ready, "tidegate"));
        for (status, expected) in [
            (Status::NotReady, ProviderStatus::NotReady),
            (Status::Stale, ProviderStatus::STALE),
            (Status::Error, ProviderStatus::Error),
            (Status::Fatal, ProviderStatus::Error),
        ] {
            flags.enter(status);
            assert_eq!(provider.status(), expected);
        }
    }
}

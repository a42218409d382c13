//! The client: what application code holds.

use std::{
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use serde_json::Value as Json;
use tidegate_core::{Context, ErrorCode, Evaluation, Reason, Timestamp, evaluate, evaluation::FlagValue};
use tidegate_protocol::Status;
use tokio::{sync::Notify, task::JoinHandle, time::timeout};

use crate::{
    builder::Builder,
    details::{Details, Text},
    event::Events,
    shared::Shared,
    system,
};

/// A handle on an environment's flags. Cheap to clone; all clones are one client, which ends with the last of them.
///
/// ```
/// use tidegate::{Client, Context};
///
/// # let file = serde_json::from_str(r#"{ "flags": [
/// #     { "key": "greeting", "kind": "string", "enabled": true,
/// #       "variants": [{ "key": "warm", "value": "Kia ora" }], "default": { "variant": "warm" } }] }"#)?;
/// let client = Client::builder("http://localhost:8080", "tgs_…").bootstrap(file).offline();
/// let ctx = Context::new("user-17");
/// assert_eq!(client.string("greeting", "Hello", &ctx), "Kia ora");
/// assert_eq!(client.string("farewell", "Goodbye", &ctx), "Goodbye");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    task: Mutex<Option<Task>>,
}

/// The driver's task.
#[derive(Debug)]
pub(crate) struct Task {
    pub handle: JoinHandle<()>,
    pub stop: Arc<Notify>,
}

/// There was nothing to evaluate with by the deadline. The client goes on trying.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no flags yet ({status:?}): {trouble}")]
pub struct NotReady {
    /// How the client stands with the server.
    pub status: Status,
    /// Why the last connection failed, for people.
    pub trouble: String,
}

impl Client {
    /// A client of the server at `url` (like `https://flags.example.com`), for the environment that the server key `key`
    /// (`tgs_…`) opens.
    pub fn builder(url: &str, key: &str) -> Builder {
        Builder::new(url, key)
    }

    pub(crate) fn new(shared: Arc<Shared>, task: Option<Task>) -> Self {
        Self(Arc::new(Inner { shared, task: Mutex::new(task) }))
    }

    /// Waits until the client is in step with the server, or `deadline` is over.
    ///
    /// Returns how it stands: [`Status::Ready`], or, at the deadline, another where there is something to evaluate with
    /// (a cache file, a bootstrap).
    ///
    /// # Errors
    /// [`NotReady`] where there is nothing to evaluate with: at the deadline, or as soon as the server refuses the key.
    pub async fn wait_ready(&self, deadline: Duration) -> Result<Status, NotReady> {
        let shared = &self.0.shared;
        let mut status = shared.status.subscribe();
        let settled = status.wait_for(|status| matches!(status, Status::Ready | Status::Fatal));
        // In time or not: how things stand then decides.
        let _ = timeout(deadline, settled).await;
        let status = self.status();
        if shared.live.load().loaded {
            return Ok(status);
        }
        let trouble = shared.trouble.borrow().as_deref().unwrap_or("the server has not answered yet").to_owned();
        Err(NotReady { status, trouble })
    }

    /// How the client stands with the server.
    pub fn status(&self) -> Status {
        *self.0.shared.status.borrow()
    }

    /// The client's events from now on.
    pub fn events(&self) -> Events {
        Events(self.0.shared.events.subscribe())
    }

    /// The value of the boolean flag `key` for `ctx`, or `default`.
    pub fn bool(&self, key: &str, default: bool, ctx: &Context) -> bool {
        self.value(key, ctx, as_bool).unwrap_or(default)
    }

    /// As [`bool`](Self::bool), with how it came about.
    pub fn bool_details(&self, key: &str, default: bool, ctx: &Context) -> Details<bool> {
        self.details(key, default, ctx, as_bool)
    }

    /// The value of the number flag `key` for `ctx`, or `default`.
    pub fn number(&self, key: &str, default: f64, ctx: &Context) -> f64 {
        self.value(key, ctx, as_number).unwrap_or(default)
    }

    /// As [`number`](Self::number), with how it came about.
    pub fn number_details(&self, key: &str, default: f64, ctx: &Context) -> Details<f64> {
        self.details(key, default, ctx, as_number)
    }

    /// The value of the string flag `key` for `ctx`, or `default`. Shared, not copied.
    pub fn string<'d>(&self, key: &str, default: &'d str, ctx: &Context) -> Text<'d> {
        self.value(key, ctx, as_text).unwrap_or(Text::Default(default))
    }

    /// As [`string`](Self::string), with how it came about.
    pub fn string_details<'d>(&self, key: &str, default: &'d str, ctx: &Context) -> Details<Text<'d>> {
        self.details(key, Text::Default(default), ctx, as_text)
    }

    /// The value of the JSON flag `key` for `ctx`, or `default`. Shared, not copied.
    pub fn json(&self, key: &str, default: impl Into<Arc<Json>>, ctx: &Context) -> Arc<Json> {
        self.value(key, ctx, as_json).unwrap_or_else(|| default.into())
    }

    /// As [`json`](Self::json), with how it came about.
    pub fn json_details(&self, key: &str, default: impl Into<Arc<Json>>, ctx: &Context) -> Details<Arc<Json>> {
        self.details(key, default.into(), ctx, as_json)
    }

    /// Tells the server that something happened, and how much of it: what rollouts are judged by. `ctx` says to whom: its
    /// targeting key is hashed as in exposures, so that both come together, and nothing else of it is used.
    ///
    /// Does not wait: measurements are sent every 10 s, at most 10,000 of them. What cannot be sent (there are more, the
    /// value is no finite number, the metric's name is empty or longer than 128 bytes) is dropped and
    /// [counted](Self::telemetry_dropped).
    ///
    /// ```
    /// # let client = tidegate::Client::builder("http://localhost:8080", "tgs_…").offline();
    /// let ctx = tidegate::Context::new("user-17");
    /// client.track("checkout-completed", &ctx, None);
    /// client.track("basket-value", &ctx, 49.9);
    /// ```
    pub fn track(&self, metric: &str, ctx: &Context, value: impl Into<Option<f64>>) {
        if let Some(telemetry) = &self.0.shared.telemetry {
            telemetry.track(ctx, metric, value.into(), system::now());
        }
    }

    /// How many evaluations and measurements the server will not hear of, because there was no room for them; 0 where
    /// nothing is gathered. The server is told this number, too.
    pub fn telemetry_dropped(&self) -> u64 {
        self.0.shared.telemetry.as_ref().map_or(0, |telemetry| telemetry.dropped())
    }

    /// Ends the client: sends the last exposures and measurements, says goodbye to the server, writes the cache file, and
    /// waits until all is done, some seconds at most. Evaluations go on with the last flags. Dropping the last clone ends
    /// it at once, without any of it.
    pub async fn close(&self) {
        let task = self.task().take();
        if let Some(Task { handle, stop }) = task {
            stop.notify_one();
            // It ends by itself; a panic in it was logged by the runtime.
            let _ = handle.await;
        }
    }

    #[inline]
    fn value<T>(&self, key: &str, ctx: &Context, read: impl FnOnce(&FlagValue) -> Option<T>) -> Option<T> {
        let live = self.0.shared.live.load();
        let now = system::now();
        let evaluation = evaluate(&live.ruleset, key, ctx, now);
        let value = evaluation.value.and_then(read);
        self.expose(ctx, key, &evaluation, value.is_some().then_some(evaluation.variant).flatten(), now);
        value
    }

    /// Counts that the caller got `variant`, or its default.
    #[inline]
    fn expose(&self, ctx: &Context, key: &str, evaluation: &Evaluation<'_>, variant: Option<&str>, now: Timestamp) {
        if let Some(telemetry) = &self.0.shared.telemetry {
            telemetry.expose(ctx, key, evaluation, variant, now);
        }
    }

    fn details<T>(
        &self,
        key: &str,
        default: T,
        ctx: &Context,
        read: impl FnOnce(&FlagValue) -> Option<T>,
    ) -> Details<T> {
        let live = self.0.shared.live.load();
        if !live.loaded {
            return Details::failed(default, ErrorCode::ProviderNotReady);
        }
        let now = system::now();
        let evaluation = evaluate(&live.ruleset, key, ctx, now);
        let details = match evaluation.value {
            None => Details::of(&evaluation, default),
            Some(value) => match read(value) {
                Some(value) => Details::of(&self.dated(evaluation), value),
                None => Details {
                    flag_version: evaluation.flag_version,
                    ..Details::failed(default, ErrorCode::TypeMismatch)
                },
            },
        };
        self.expose(ctx, key, &evaluation, details.variant.as_deref(), now);
        details
    }

    /// Past the grace period a value may be out of date, and says so.
    fn dated<'r>(&self, evaluation: Evaluation<'r>) -> Evaluation<'r> {
        if self.0.shared.overdue.load(Ordering::Relaxed) {
            return Evaluation { reason: Reason::Stale, ..evaluation };
        }
        evaluation
    }

    /// Nothing that holds the lock can panic.
    fn task(&self) -> std::sync::MutexGuard<'_, Option<Task>> {
        self.0.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.handle.abort();
        }
    }
}

fn as_bool(value: &FlagValue) -> Option<bool> {
    match value {
        FlagValue::Boolean(value) => Some(*value),
        _ => None,
    }
}

fn as_number(value: &FlagValue) -> Option<f64> {
    match value {
        FlagValue::Number(value) => Some(*value),
        _ => None,
    }
}

fn as_text<'d>(value: &FlagValue) -> Option<Text<'d>> {
    match value {
        FlagValue::String(value) => Some(Text::Served(Arc::clone(value))),
        _ => None,
    }
}

fn as_json(value: &FlagValue) -> Option<Arc<Json>> {
    match value {
        FlagValue::Json(value) => Some(Arc::clone(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn client() -> Client {
        let on = |key: &str, kind: &str, value: Json| {
            json!({
                "key": key, "kind": kind, "version": 3, "enabled": true, "default": { "variant": "v" },
                "variants": [{ "key": "v", "value": value }],
            })
        };
        let file = json!({ "flags": [
            on("a-boolean", "boolean", json!(true)),
            on("a-number", "number", json!(2.5)),
            on("a-string", "string", json!("x")),
            on("some-json", "json", json!({ "a": [1] })),
        ]});
        Client::builder("http://localhost", "tgs_x").bootstrap(serde_json::from_value(file).unwrap()).offline()
    }

    #[test]
    fn every_kind_has_its_getter() {
        let (client, ctx) = (client(), Context::new("ada"));
        assert!(client.bool("a-boolean", false, &ctx));
        assert!((client.number("a-number", 0.0, &ctx) - 2.5).abs() < f64::EPSILON);
        assert_eq!(client.string("a-string", "", &ctx), "x");
        assert_eq!(*client.json("some-json", json!(null), &ctx), json!({ "a": [1] }));
        let details = client.string_details("a-string", "", &ctx);
        assert_eq!((details.variant.as_deref(), details.reason, details.flag_version), (Some("v"), Reason::Static, 3));
    }

    #[test]
    fn another_kind_than_asked_for_is_the_default_and_a_type_mismatch() {
        let (client, ctx) = (client(), Context::new("ada"));
        assert!(!client.bool("a-string", false, &ctx));
        let details = client.bool_details("a-string", true, &ctx);
        assert_eq!(
            (details.value, details.reason, details.error),
            (true, Reason::Error, Some(ErrorCode::TypeMismatch))
        );
        assert_eq!(details.variant, None);
        assert_eq!(client.number_details("a-boolean", 1.0, &ctx).error, Some(ErrorCode::TypeMismatch));
        assert_eq!(client.string_details("a-number", "d", &ctx).error, Some(ErrorCode::TypeMismatch));
        assert_eq!(client.json_details("a-number", json!(1), &ctx).error, Some(ErrorCode::TypeMismatch));
    }

    #[test]
    fn what_is_not_there_is_the_default_and_says_why() {
        let ctx = Context::new("ada");
        let details = client().bool_details("nothing", true, &ctx);
        assert_eq!((details.value, details.error), (true, Some(ErrorCode::FlagNotFound)));
        let empty = Client::builder("http://localhost", "tgs_x").offline();
        assert_eq!(empty.bool_details("a-boolean", false, &ctx).error, Some(ErrorCode::ProviderNotReady));
        assert_eq!((empty.status(), client().status()), (Status::NotReady, Status::Ready));
    }
}

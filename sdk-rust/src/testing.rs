//! Flags for tests: what the test says, without a server.
//!
//! ```
//! use tidegate::{Client, Context, testing::TestClient};
//!
//! fn price(flags: &Client, ctx: &Context) -> f64 {
//!     if flags.bool("new-prices", false, ctx) { 9.0 } else { 10.0 }
//! }
//!
//! let flags = TestClient::new();
//! let ctx = Context::new("user-17");
//! assert_eq!(price(flags.client(), &ctx), 10.0);
//! flags.set("new-prices", true);
//! assert_eq!(price(flags.client(), &ctx), 9.0);
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;
use tidegate_core::{
    Change, FlagConfig, FlagFile, FlagKey, VariantKey,
    config::{Availability, FlagKind, Serve, Variant},
};
use tidegate_protocol::{
    Status, Update,
    sync::{Cause, Onto},
};

use crate::{client::Client, shared::Shared};

/// A client whose flags the test sets. It is ready from the start, and tells its changes as events.
#[derive(Debug)]
pub struct TestClient {
    client: Client,
    shared: Arc<Shared>,
    /// One change at a time, as with a real client.
    version: Mutex<u64>,
}

impl Default for TestClient {
    fn default() -> Self {
        Self::new()
    }
}

impl TestClient {
    /// A client without any flag.
    pub fn new() -> Self {
        Self::with_flags(&FlagFile::default())
    }

    /// A client with the flags of a flag file: rules, segments and all.
    pub fn with_flags(file: &FlagFile) -> Self {
        let shared = Arc::new(Shared::new(Some(file)));
        shared.enter(Status::Ready);
        Self { client: Client::new(Arc::clone(&shared), None), shared, version: Mutex::new(0) }
    }

    /// The client, for the code under test.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The flag `key` serves `value` to everybody from now on; its kind is that of the value: `true`, `"text"`, `4.5`,
    /// or, for arrays and objects, JSON.
    ///
    /// # Panics
    /// Where `key` can be no flag's key: a mistake in the test.
    pub fn set(&self, key: &str, value: impl Into<Json>) {
        let value = value.into();
        let kind = match value {
            Json::Bool(_) => FlagKind::Boolean,
            Json::String(_) => FlagKind::String,
            Json::Number(_) => FlagKind::Number,
            Json::Null | Json::Array(_) | Json::Object(_) => FlagKind::Json,
        };
        let variant = VariantKey::new("set").unwrap_or_else(|error| unreachable!("`set` is a key: {error}"));
        let key = flag_key(key);
        let mut version = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        *version += 1;
        let config = FlagConfig {
            key: key.clone(),
            kind,
            version: *version,
            enabled: true,
            killed: false,
            variants: vec![Variant { key: variant.clone(), value }],
            off_variant: None,
            salt: String::new(),
            prerequisites: Vec::new(),
            targets: Vec::new(),
            rules: Vec::new(),
            default: Serve::Variant(variant),
            availability: Availability::default(),
        };
        self.apply(key, Change::PutFlag(config));
    }

    /// There is no flag `key` from now on: the code under test gets its own default.
    ///
    /// # Panics
    /// As [`set`](Self::set).
    pub fn remove(&self, key: &str) {
        let key = flag_key(key);
        let _one_at_a_time = self.version.lock().unwrap_or_else(PoisonError::into_inner);
        self.apply(key.clone(), Change::DeleteFlag(key));
    }

    /// The client stands so with its server from now on, and tells it as an event. From [`Status::Error`] on, details say
    /// [`Reason::Stale`](crate::Reason::Stale).
    pub fn enter(&self, status: Status) {
        self.shared.enter(status);
    }

    fn apply(&self, key: FlagKey, change: Change) {
        self.shared.apply(Update {
            onto: Onto::Current,
            changes: vec![change],
            flags: vec![key],
            segments: Vec::new(),
            cause: Cause::Commit { changed_at: None },
        });
    }
}

#[track_caller]
fn flag_key(key: &str) -> FlagKey {
    match FlagKey::new(key) {
        Ok(key) => key,
        Err(error) => panic!("`{key}` is no flag's key: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Context, Event};

    #[tokio::test]
    async fn flags_are_set_and_removed_and_tell() {
        let flags = TestClient::new();
        let (client, ctx) = (flags.client(), Context::anonymous());
        let mut events = client.events();
        flags.set("a", true);
        assert!(client.bool("a", false, &ctx));
        flags.set("a", "text");
        assert_eq!(client.string("a", "", &ctx), "text");
        flags.set("b", 4);
        assert!((client.number("b", 0.0, &ctx) - 4.0).abs() < f64::EPSILON);
        flags.set("c", json!([1]));
        assert_eq!(*client.json("c", json!(null), &ctx), json!([1]));
        flags.remove("a");
        assert_eq!(client.string("a", "none", &ctx), "none");
        for key in ["a", "a", "b", "c", "a"] {
            let Some(Event::ConfigurationChanged(changed)) = events.next().await else { panic!("no change") };
            assert_eq!(changed.flags.iter().map(FlagKey::as_str).collect::<Vec<_>>(), [key]);
        }
    }
}

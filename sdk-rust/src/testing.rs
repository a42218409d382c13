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

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde_json::Value as Json;
use tidegate_core::{
    Change, FlagConfig, FlagFile, FlagKey, VariantKey,
    config::{Availability, FlagKind, Serve, Variant},
};
use tidegate_protocol::{
    Status, Update,
    events::{Exposure, Measurement, UnitHash},
    sync::{Cause, Onto},
};

use crate::{
    client::Client,
    shared::Shared,
    telemetry::{Drain, MAX_EXPOSURES, Telemetry},
};

/// A client whose flags the test sets. It is ready from the start, and tells its changes as events.
#[derive(Debug)]
pub struct TestClient {
    client: Client,
    shared: Arc<Shared>,
    /// One change at a time, as with a real client.
    version: Mutex<u64>,
    told: Mutex<Told>,
}

/// What a server would have been told.
#[derive(Debug)]
struct Told {
    drain: Drain,
    exposures: BTreeMap<Exposed, Exposure>,
    measurements: Vec<Measurement>,
}

/// What makes exposures the same.
type Exposed = (String, Option<String>, u64, Option<UnitHash>);

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
        let (telemetry, drain) = Telemetry::new(MAX_EXPOSURES);
        let shared = Arc::new(Shared::new(Some(file), Some(telemetry)));
        shared.enter(Status::Ready);
        let told = Told { drain, exposures: BTreeMap::new(), measurements: Vec::new() };
        let client = Client::new(Arc::clone(&shared), None);
        Self { client, shared, version: Mutex::new(0), told: Mutex::new(told) }
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

    /// What was served to whom so far, in the order of the flags' keys. A targeting key is there as its [`UnitHash`]. At
    /// most 10,000 different ones between two calls, as in a real client.
    ///
    /// ```
    /// use tidegate::{Context, UnitHash, testing::TestClient};
    ///
    /// let flags = TestClient::new();
    /// flags.set("new-prices", true);
    /// flags.client().bool("new-prices", false, &Context::new("user-17"));
    /// let exposures = flags.exposures();
    /// assert_eq!((exposures[0].flag.as_str(), exposures[0].count), ("new-prices", 1));
    /// assert_eq!(exposures[0].unit, Some(UnitHash::of("user-17")));
    /// ```
    pub fn exposures(&self) -> Vec<Exposure> {
        self.told().exposures.values().cloned().collect()
    }

    /// What was [tracked](Client::track) so far.
    pub fn measurements(&self) -> Vec<Measurement> {
        self.told().measurements.clone()
    }

    fn told(&self) -> MutexGuard<'_, Told> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let gathered = told.drain.take();
        for exposure in gathered.exposures {
            let key = (exposure.flag.clone(), exposure.variant.clone(), exposure.version, exposure.unit);
            match told.exposures.entry(key) {
                Entry::Occupied(mut known) => known.get_mut().count += exposure.count,
                Entry::Vacant(new) => drop(new.insert(exposure)),
            }
        }
        told.measurements.extend(gathered.measurements);
        told
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

    #[test]
    fn what_was_tracked_can_be_looked_at() {
        let flags = TestClient::new();
        flags.client().track("paid", &Context::new("ada"), 9.5);
        flags.client().clone().track("seen", &Context::anonymous(), None);
        let seen: Vec<_> =
            flags.measurements().into_iter().map(|it| (it.metric, it.unit.is_some(), it.value)).collect();
        assert_eq!(seen, [("paid".to_owned(), true, Some(9.5)), ("seen".to_owned(), false, None)]);
        assert_eq!((flags.measurements().len(), flags.client().telemetry_dropped()), (2, 0));
    }

    #[tokio::test]
    async fn a_change_names_who_needs_what_changed() {
        let file = json!({ "flags": [{
            "key": "receipts", "kind": "boolean", "enabled": true, "default": { "variant": "on" }, "offVariant": "off",
            "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }],
            "prerequisites": [{ "flag": "checkout", "variants": ["set"] }],
        }] });
        let flags = TestClient::with_flags(&serde_json::from_value(file).unwrap());
        let mut events = flags.client().events();
        flags.set("checkout", true);
        flags.set("other", true);
        for (key, expected) in [("checkout", &["receipts"][..]), ("other", &[])] {
            let Some(Event::ConfigurationChanged(changed)) = events.next().await else { panic!("no change") };
            assert_eq!(changed.flags.iter().map(FlagKey::as_str).collect::<Vec<_>>(), [key]);
            assert_eq!(changed.dependents.iter().map(FlagKey::as_str).collect::<Vec<_>>(), expected);
        }
    }

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

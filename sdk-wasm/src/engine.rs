//! A client without its I/O.

use tidegate_core::{
    Context, ErrorCode, Evaluation, FlagKey, Reason, Ruleset, Timestamp, compile, evaluate,
    evaluation::FlagValue,
    flag_file,
    tree::{self, Members, Read, ReadError, Tree, text},
};
use tidegate_protocol::{
    Digest, Effect as Sync, ObjectKind, Snapshot, Status, Synchronizer, Update,
    events::Measurement,
    message::ClientContext,
    sync::{Lost, Moment, Onto, Polled, Polling, Retention, Settings},
};
use wasm_bindgen::prelude::wasm_bindgen;

use crate::{
    context::EvaluationContext,
    effect::{Changed, Effect, cause, encode},
    events::Events,
};

/// One client of one environment. Nothing here throws, blocks or reads a clock: `now` is in milliseconds, of a clock that
/// never goes back for the machine, since 1970 for evaluations and events.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine {
    machine: Synchronizer,
    ruleset: Ruleset,
    /// There was a snapshot: from the server, a cache or a bootstrap.
    loaded: bool,
    /// The server has been away for longer than the grace period: values say that they may be out of date.
    overdue: bool,
    /// The keys of the flags that JavaScript asked for since the last change; a handle is a place here, plus one.
    flags: Vec<FlagKey>,
    last: Last,
    /// Absent where nobody would send them.
    events: Option<Events>,
}

/// What the last evaluation said beside its value.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    why: u32,
    version: u64,
    rule: i32,
    bucket: i32,
}

struct Options {
    sdk: String,
    seed: f64,
    retain_bodies: bool,
    gather_events: bool,
    inflates: bool,
    connect_timeout_ms: Option<u64>,
    grace_ms: Option<u64>,
    polling: Option<Polling>,
}

impl Read for Options {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self {
            sdk: fields.required("sdk")?,
            seed: fields.required("seed")?,
            retain_bodies: fields.required("retainBodies")?,
            gather_events: fields.required("gatherEvents")?,
            inflates: fields.required("inflates")?,
            connect_timeout_ms: fields.optional("connectTimeoutMs")?,
            grace_ms: fields.optional("graceMs")?,
            polling: fields.optional::<PollingOptions>("polling")?.map(|PollingOptions(polling)| polling),
        })
    }
}

struct PollingOptions(Polling);

impl Read for PollingOptions {
    fn read(tree: &Tree<'_>) -> Result<Self, ReadError> {
        let fields = tree.fields()?;
        Ok(Self(Polling {
            after_attempts: fields.required("afterAttempts")?,
            interval_ms: fields.required("intervalMs")?,
            timeout_ms: fields.required("timeoutMs")?,
        }))
    }
}

#[wasm_bindgen]
impl Engine {
    /// An engine that holds nothing. `options` is JSON text, an `EngineOptions`; undefined where it is none.
    pub fn create(options: &str) -> Option<Engine> {
        let options: Options = tree::parse(options).ok()?;
        let mut settings = Settings::new(&options.sdk, options.seed.to_bits());
        if options.retain_bodies {
            settings.retention = Retention::Bodies;
        }
        if !options.inflates {
            settings.accepts.clear();
        }
        settings.connect_timeout_ms = options.connect_timeout_ms.unwrap_or(settings.connect_timeout_ms);
        settings.grace_ms = options.grace_ms.unwrap_or(settings.grace_ms);
        settings.polling = options.polling;
        Some(Self {
            machine: Synchronizer::new(settings),
            ruleset: Ruleset::default(),
            loaded: false,
            overdue: false,
            flags: Vec::new(),
            last: Last::default(),
            events: options.gather_events.then(Events::default),
        })
    }

    /// Evaluates with this flag file until there is something newer. A flag or segment that cannot be read is that one's
    /// problem; undefined where the text is no flag file at all.
    pub fn bootstrap(&mut self, file: &str) -> Option<String> {
        let (file, broken) = flag_file::read(file).ok()?;
        let (ruleset, mut issues) = compile(&file);
        let (ruleset, more) = ruleset.update(broken);
        issues.extend(more);
        self.replace(ruleset);
        self.loaded = true;
        let flags = self.ruleset.flag_keys().cloned().collect();
        encode(&[Effect::Changed(Changed {
            flags,
            segments: Vec::new(),
            dependents: Vec::new(),
            cause: "bootstrap",
            at: None,
            issues,
        })])
    }

    /// Evaluates with a snapshot that [`snapshot`](Self::snapshot) wrote for the same `scope`, and resumes from it.
    /// Undefined where the text is none, or of another scope.
    pub fn restore(&mut self, text: &str, scope: &str) -> Option<String> {
        let snapshot = Snapshot::decode(text.as_bytes(), scope).ok()?;
        let effects = self.machine.restore(snapshot);
        self.carry_out(effects)
    }

    /// What is held, to be stored: undefined where nothing is, or bodies are not retained.
    pub fn snapshot(&self, scope: &str, now_ms: f64) -> Option<String> {
        Some(self.machine.snapshot()?.encode(scope, timestamp(now_ms).0))
    }

    /// Names what a snapshot is of, so that two environments do not serve each other's flags, by a hash that tells neither
    /// the key nor the context.
    pub fn scope(url: &str, key: &str, context: &str) -> String {
        Digest::of(&ObjectKind::Other("sdkKey".into()), url, &format!("{key}{context}")).into()
    }

    /// Begins to connect.
    pub fn start(&mut self, now: f64) -> Option<String> {
        let effects = self.machine.start(moment(now));
        self.carry_out(effects)
    }

    /// The socket is open.
    #[wasm_bindgen(js_name = onOpen)]
    pub fn on_open(&mut self, now: f64) -> Option<String> {
        let effects = self.machine.on_connected(moment(now));
        self.carry_out(effects)
    }

    /// A text frame arrived, or a binary one, which JavaScript has inflated.
    #[wasm_bindgen(js_name = onMessage)]
    pub fn on_message(&mut self, frame: &str, now: f64) -> Option<String> {
        let effects = self.machine.on_message(frame, moment(now));
        self.carry_out(effects)
    }

    /// A binary frame arrived that cannot be read.
    #[wasm_bindgen(js_name = onUnreadable)]
    pub fn on_unreadable(&mut self, now: f64) -> Option<String> {
        let effects = self.machine.on_unreadable(moment(now));
        self.carry_out(effects)
    }

    /// The socket could not be opened, or is gone. `lost` is a `Lost`; `retry_after_ms` counts where it is `busy`.
    #[wasm_bindgen(js_name = onClosed)]
    pub fn on_closed(&mut self, lost: &str, retry_after_ms: f64, now: f64) -> Option<String> {
        let effects = self.machine.on_disconnected(why_lost(lost, retry_after_ms), moment(now));
        self.carry_out(effects)
    }

    /// A poll was answered with 200.
    #[expect(clippy::needless_pass_by_value, reason = "the glue gives what may be undefined by value only")]
    #[wasm_bindgen(js_name = onPolled)]
    pub fn on_polled(&mut self, body: &str, etag: Option<String>, now: f64) -> Option<String> {
        let effects = self.machine.on_polled(Polled::Changes { body, etag: etag.as_deref() }, moment(now));
        self.carry_out(effects)
    }

    /// A poll was answered with 304.
    #[wasm_bindgen(js_name = onUnchanged)]
    pub fn on_unchanged(&mut self, now: f64) -> Option<String> {
        let effects = self.machine.on_polled(Polled::Unchanged, moment(now));
        self.carry_out(effects)
    }

    /// A poll was not answered, or otherwise. As in [`on_closed`](Self::on_closed).
    #[wasm_bindgen(js_name = onPollFailed)]
    pub fn on_poll_failed(&mut self, lost: &str, retry_after_ms: f64, now: f64) -> Option<String> {
        let effects = self.machine.on_polled(Polled::Failed(why_lost(lost, retry_after_ms)), moment(now));
        self.carry_out(effects)
    }

    /// The time of [`wake_at`](Self::wake_at) has come.
    #[wasm_bindgen(js_name = onTimer)]
    pub fn on_timer(&mut self, now: f64) -> Option<String> {
        let effects = self.machine.on_timer(moment(now));
        self.carry_out(effects)
    }

    /// When [`on_timer`](Self::on_timer) wants to be called; negative: never. It changes with every call.
    #[wasm_bindgen(js_name = wakeAt)]
    pub fn wake_at(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a process stay below 2^53")]
        self.machine.wake_at().map_or(-1.0, |Moment(at)| at as f64)
    }

    /// With a client key: whom the server evaluates for. `context` is JSON text.
    #[wasm_bindgen(js_name = setClientContext)]
    pub fn set_client_context(&mut self, context: &str, signature: Option<String>, now: f64) -> Option<String> {
        let context = tree::parse(context).ok()?;
        let effects = self.machine.set_context(ClientContext { context, signature }, moment(now));
        self.carry_out(effects)
    }

    /// Whether there is something to evaluate with.
    #[wasm_bindgen(getter)]
    pub fn loaded(&self) -> bool {
        self.loaded
    }

    /// The revision that is held; -1: none.
    #[wasm_bindgen(getter)]
    pub fn revision(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "revisions stay below 2^53")]
        self.machine.position().map_or(-1.0, |held| held.revision as f64)
    }

    /// A handle on a flag, good until the next change; 0: there is no such flag.
    pub fn flag(&mut self, key: &str) -> u32 {
        let asked = evaluate(&self.ruleset, key, &Context::anonymous(), Timestamp(0));
        let known = asked.error != Some(ErrorCode::FlagNotFound);
        let Some(key) = FlagKey::new(key).ok().filter(|_| known) else { return 0 };
        // JavaScript remembers it, and does not ask twice.
        self.flags.push(key);
        u32::try_from(self.flags.len()).unwrap_or(0)
    }

    /// Evaluates a flag, as a kind of value (0 boolean, 1 string, 2 number, 3 JSON, 4 any), and counts the exposure. Returns the value's id, good until the next change;
    /// 0: the caller's default. [`why`](Self::why) and its siblings tell the rest.
    pub fn evaluate(&mut self, flag: u32, kind: u32, context: &EvaluationContext, now_ms: f64) -> u32 {
        let (now, kind) = (timestamp(now_ms), Kind::numbered(kind));
        let Some(key) = self.flags.get((flag as usize).wrapping_sub(1)) else {
            self.last = Last::failed(ErrorCode::FlagNotFound);
            return 0;
        };
        let evaluation = evaluate(&self.ruleset, key.as_str(), &context.context, now);
        let value = evaluation.value.filter(|value| kind.is_of(value));
        let variant = evaluation.variant.filter(|_| value.is_some());
        self.last = Last::of(&evaluation, self.overdue);
        if value.is_none() && evaluation.value.is_some() {
            self.last = Last { version: evaluation.flag_version, ..Last::failed(ErrorCode::TypeMismatch) };
        }
        let id = value.map_or(0, id);
        if let Some(events) = &mut self.events {
            let rule = evaluation.rule.map(|(idx, _)| idx);
            events.expose((flag, id, rule, context.unit), now.0, variant, &evaluation);
        }
        id
    }

    /// Why the last evaluation gave what it gave: the reason's number, and in the second byte the error's, plus one.
    pub fn why(&self) -> u32 {
        self.last.why
    }

    /// The flag's version in the last evaluation.
    pub fn version(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "versions stay below 2^53")]
        let version = self.last.version as f64;
        version
    }

    /// The index of the rule that served in the last evaluation; -1: none.
    pub fn rule(&self) -> i32 {
        self.last.rule
    }

    /// The bucket that decided in the last evaluation; -1: none.
    pub fn bucket(&self) -> i32 {
        self.last.bucket
    }

    /// What is behind the id that [`evaluate`](Self::evaluate) gives for the same arguments: JSON text, a `Described`.
    pub fn describe(&self, flag: u32, context: &EvaluationContext, now_ms: f64) -> Option<String> {
        let key = self.flags.get((flag as usize).wrapping_sub(1))?;
        let evaluation = evaluate(&self.ruleset, key.as_str(), &context.context, timestamp(now_ms));
        let (value, variant) = (evaluation.value?, evaluation.variant?);
        let mut described = String::new();
        let members = Members::of(&mut described).with("kind", &Kind::of(value).name()).with("variant", &variant);
        members.with("value", value).end();
        Some(described)
    }

    /// The keys of all flags, as JSON text.
    #[wasm_bindgen(js_name = flagKeys)]
    pub fn flag_keys(&self) -> String {
        text(&self.ruleset.flag_keys().collect::<Vec<_>>())
    }

    /// Takes a measurement.
    pub fn track(&mut self, metric: &str, value: Option<f64>, context: &EvaluationContext, now_ms: f64) {
        let Some(events) = &mut self.events else { return };
        let at = timestamp(now_ms).0;
        let value = value.filter(|value| value.is_finite());
        events.measure(Measurement { metric: metric.to_owned(), unit: context.unit, value, at });
    }

    /// The next batch of events under this id: JSON text; undefined where there is nothing to send.
    #[wasm_bindgen(js_name = takeEvents)]
    pub fn take_events(&mut self, id: String) -> Option<String> {
        self.settle_events();
        self.events.as_mut()?.take(id).map(|batch| text(&batch))
    }

    /// Events that were taken got lost on the way: they count as dropped.
    #[wasm_bindgen(js_name = lostEvents)]
    pub fn lost_events(&mut self, count: f64) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        if let Some(events) = &mut self.events {
            events.lost(count as u64);
        }
    }
}

impl Engine {
    fn carry_out(&mut self, effects: Vec<Sync>) -> Option<String> {
        let effects = self.show(effects);
        encode(&effects)
    }

    /// Changes what is evaluated with; what else is to be done is JavaScript's.
    fn show(&mut self, effects: Vec<Sync>) -> Vec<Effect> {
        let mut shown = Vec::with_capacity(effects.len());
        for effect in effects {
            shown.push(match effect {
                Sync::Connect => Effect::Connect,
                Sync::Disconnect { reason } => Effect::Disconnect { reason },
                Sync::Send(frame) => Effect::Send { frame },
                Sync::Poll(poll) => Effect::Poll(poll),
                Sync::Apply(update) => Effect::Changed(self.apply(update)),
                Sync::Status(status) => {
                    self.overdue = matches!(status, Status::Error | Status::Fatal);
                    Effect::Status(status)
                }
                Sync::Received(id) => Effect::Received { id },
            });
        }
        shown
    }

    fn apply(&mut self, update: Update) -> Changed {
        let (cause, at) = cause(update.cause);
        let (ruleset, issues) = match update.onto {
            Onto::Current => self.ruleset.update(update.changes),
            Onto::Nothing => Ruleset::default().update(update.changes),
        };
        self.replace(ruleset);
        self.loaded |= cause != "kill";
        let dependents = self.ruleset.dependents(&update.flags, &update.segments);
        Changed { flags: update.flags, segments: update.segments, dependents, cause, at, issues }
    }

    /// From here on all handles and ids are others.
    fn replace(&mut self, ruleset: Ruleset) {
        self.settle_events();
        self.flags.clear();
        self.ruleset = ruleset;
    }

    fn settle_events(&mut self) {
        let (Some(events), flags) = (&mut self.events, &self.flags) else { return };
        events.settle(|flag| flags.get((flag as usize).wrapping_sub(1)).map(FlagKey::as_str));
    }
}

/// What kind of value somebody wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Boolean,
    String,
    Number,
    Json,
    Any,
}

impl Kind {
    /// By its place in `KINDS` of the JavaScript.
    #[inline]
    fn numbered(number: u32) -> Self {
        match number {
            0 => Self::Boolean,
            1 => Self::String,
            2 => Self::Number,
            3 => Self::Json,
            _ => Self::Any,
        }
    }

    fn of(value: &FlagValue) -> Self {
        match value {
            FlagValue::Boolean(_) => Self::Boolean,
            FlagValue::String(_) => Self::String,
            FlagValue::Number(_) => Self::Number,
            FlagValue::Json(_) => Self::Json,
        }
    }

    #[inline]
    fn is_of(self, value: &FlagValue) -> bool {
        self == Self::Any || self == Self::of(value)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::String => "string",
            Self::Number => "number",
            Self::Json => "json",
            Self::Any => "any",
        }
    }
}

impl Last {
    fn of(evaluation: &Evaluation<'_>, overdue: bool) -> Self {
        let reason = if overdue && evaluation.value.is_some() { Reason::Stale } else { evaluation.reason };
        let index = |(index, _): (usize, &str)| i32::try_from(index).unwrap_or(-1);
        Self {
            why: reason as u32 | evaluation.error.map_or(0, |error| error as u32 + 1) << 8,
            version: evaluation.flag_version,
            rule: evaluation.rule.map_or(-1, index),
            bucket: evaluation.bucket.and_then(|bucket| i32::try_from(bucket).ok()).unwrap_or(-1),
        }
    }

    fn failed(error: ErrorCode) -> Self {
        Self { why: Reason::Error as u32 | (error as u32 + 1) << 8, version: 0, rule: -1, bucket: -1 }
    }
}

/// A value of the present ruleset is told from all others by where it is.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "addresses of wasm32 have 32 bits; on others, tests look at few")]
fn id(value: &FlagValue) -> u32 {
    std::ptr::from_ref(value).addr() as u32
}

fn why_lost(lost: &str, retry_after_ms: f64) -> Lost {
    match lost {
        "refused" => Lost::Refused,
        "busy" => Lost::Busy { retry_after_ms: moment(retry_after_ms).0 },
        _ => Lost::Broken,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; not-a-number is 0")]
fn moment(ms: f64) -> Moment {
    Moment(ms as u64)
}

#[expect(clippy::cast_possible_truncation, reason = "saturates; not-a-number is 0")]
fn timestamp(ms: f64) -> Timestamp {
    Timestamp(ms as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    const FILE: &str = r#"{ "flags": [
        { "key": "checkout", "kind": "boolean", "version": 4, "enabled": true,
          "variants": [{ "key": "on", "value": true }, { "key": "off", "value": false }],
          "rules": [{ "conditions": [{ "attribute": "plan", "operator": "in", "values": ["pro"] }],
                      "serve": { "variant": "on" } }],
          "default": { "variant": "off" } },
        { "key": "broken", "kind": 5 },
        { "without": "a key" }
    ] }"#;

    fn engine() -> Engine {
        Engine::create(r#"{"sdk":"test/1","seed":0.5,"retainBodies":true,"gatherEvents":true,"inflates":true}"#)
            .unwrap()
    }

    fn bootstrapped() -> Engine {
        let mut engine = engine();
        assert!(engine.bootstrap(FILE).is_some());
        engine
    }

    fn effects(text: Option<String>) -> Json {
        text.map_or(json!([]), |text| serde_json::from_str(&text).unwrap())
    }

    fn reason(engine: &Engine) -> (u32, u32) {
        (engine.why() & 0xff, engine.why() >> 8)
    }

    #[test]
    fn an_evaluation_gives_an_id_that_can_be_described() {
        let mut engine = bootstrapped();
        let (flag, pro) = (engine.flag("checkout"), EvaluationContext::parse(r#"{"plan":"pro"}"#).unwrap());
        let id = engine.evaluate(flag, 0, &pro, 0.0);
        assert!(id != 0);
        assert_eq!(reason(&engine), (Reason::TargetingMatch as u32, 0));
        assert!((engine.version() - 4.0).abs() < f64::EPSILON);
        assert_eq!((engine.rule(), engine.bucket()), (0, -1));
        let described = engine.describe(flag, &pro, 0.0).unwrap();
        assert_eq!(described, r#"{"kind":"boolean","variant":"on","value":true}"#);
        let nobody = EvaluationContext::parse("{}").unwrap();
        assert!(![0, id].contains(&engine.evaluate(flag, 4, &nobody, f64::NAN)));
    }

    #[test]
    fn what_gives_no_value_says_why() {
        let mut engine = bootstrapped();
        let (flag, nobody) = (engine.flag("checkout"), EvaluationContext::parse("{}").unwrap());
        assert_eq!(engine.evaluate(flag, 1, &nobody, 0.0), 0);
        assert_eq!(reason(&engine), (Reason::Error as u32, ErrorCode::TypeMismatch as u32 + 1));
        let broken = engine.flag("broken");
        assert_eq!(engine.evaluate(broken, 0, &nobody, 0.0), 0);
        assert_eq!(reason(&engine), (Reason::Error as u32, ErrorCode::ParseError as u32 + 1));
        assert_eq!((engine.flag("nothing"), engine.flag("no key")), (0, 0));
        for void in [0, 77, u32::MAX] {
            assert_eq!(engine.evaluate(void, 0, &nobody, 0.0), 0);
            assert_eq!(reason(&engine), (Reason::Error as u32, ErrorCode::FlagNotFound as u32 + 1));
        }
        assert!(EvaluationContext::parse("[]").is_none());
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_nothing_lost() {
        let mut engine = bootstrapped();
        assert!(engine.bootstrap("[1]").is_none());
        assert!(engine.restore("nonsense", "scope").is_none());
        assert!(Engine::create("{}").is_none());
        assert!(engine.flag("checkout") != 0);
    }

    #[test]
    fn a_connection_brings_flags_and_voids_handles() {
        let mut engine = bootstrapped();
        engine.flag("checkout");
        assert_eq!(effects(engine.start(0.0)), json!([{ "type": "connect" }]));
        assert_eq!(effects(engine.on_open(1.0))[0]["type"], "send");
        assert_eq!(effects(engine.on_message(r#"{"type":"hello","protocol":1,"heartbeatMs":1000}"#, 2.0)), json!([]));
        let to = r#"{"epoch":"e","revision":1,"digest":"00000000000000000000000000000000"}"#;
        let frame = format!(r#"{{"type":"intent","transfer":"full","to":{to}}}"#)
            + "\n"
            + &format!(r#"{{"type":"commit","to":{to}}}"#)
            + "\n"
            + r#"{"type":"received","id":"b1"}"#;
        let told = effects(engine.on_message(&frame, 3.0));
        let kinds: Vec<_> = told.as_array().unwrap().iter().map(|effect| effect["type"].clone()).collect();
        assert_eq!(kinds, ["changed", "send", "status", "received"]);
        // The environment is empty: what the bootstrap had is gone.
        assert_eq!((engine.flag("checkout"), engine.flag_keys()), (0, "[]".to_owned()));
        assert!((engine.revision() - 1.0).abs() < f64::EPSILON);
        let snapshot = engine.snapshot("scope", 0.0).unwrap();
        let mut again = self::engine();
        assert_eq!(effects(again.restore(&snapshot, "scope"))[0]["cause"], "restored");
        assert!(again.loaded() && again.restore(&snapshot, "other").is_none());
    }

    #[test]
    fn events_name_flags_although_handles_are_void() {
        let mut engine = bootstrapped();
        let (flag, ada) = (engine.flag("checkout"), EvaluationContext::parse(r#"{"targetingKey":"ada"}"#).unwrap());
        engine.evaluate(flag, 0, &ada, 5.0);
        engine.bootstrap(r#"{"flags":[]}"#).unwrap();
        engine.track("paid", Some(f64::INFINITY), &ada, 6.0);
        engine.lost_events(2.0);
        let batch: Json = serde_json::from_str(&engine.take_events("b".to_owned()).unwrap()).unwrap();
        let unit = "691d4463952c802f";
        let expected = json!({
            "id": "b", "dropped": 2,
            "exposures": [{ "flag": "checkout", "variant": "off", "version": 4, "unit": unit, "count": 1, "at": 5 }],
            "measurements": [{ "metric": "paid", "unit": unit, "at": 6 }],
        });
        assert_eq!(batch, expected);
        assert!(engine.take_events("c".to_owned()).is_none());
    }
}

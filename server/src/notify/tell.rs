//! What a row of the audit log tells people: a pure function.

use serde::Deserialize;
use serde_json::Value as Json;

use crate::{
    audit::{AuditEntry, AuditRow},
    ports::notify::{Fact, Incident, Notification, Severity},
};

/// What a rollout waits for that somebody should know of. Everything else passes by itself, or is what people decided.
const HINDRANCES: [&str; 6] = ["suspect", "sampleRatio", "differs", "noTelemetry", "lost", "inconclusive"];

const APPROVAL: &str = "approval";

/// The actor of what no person did.
const CONTROLLER: &str = "controller";

/// The longest title, in characters: of keys with 128 characters, and some words.
const MAX_TITLE: usize = 600;

/// The longest reason that is passed on, in characters: a person's reason is no longer.
const MAX_REASON: usize = 1_000;

/// What is needed of a rollout's stored state. Read tolerantly: what is missing is not told.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rollout {
    flag: String,
    variant: String,
    baseline: String,
    spec: Spec,
    status: Status,
    evidence: Json,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Spec {
    steps: Vec<Step>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Step {
    share: u32,
    segments: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    step: Option<usize>,
    overridden: Vec<String>,
    waiting: Option<String>,
}

impl Rollout {
    fn read(state: &Json) -> Self {
        Self::deserialize(state).unwrap_or_default()
    }

    fn is_hindered(&self) -> bool {
        self.status.waiting.as_deref().is_some_and(|waiting| HINDRANCES.contains(&waiting))
    }

    /// The share of the step in force, like `25 %`, and the segments that it adds.
    fn share(&self) -> String {
        let step = self.status.step.and_then(|step| self.spec.steps.get(step));
        let share = format!("{} %", f64::from(step.map_or(0, |step| step.share)) / 1_000.0);
        match step.map(|step| step.segments.as_slice()).unwrap_or_default() {
            [] => share,
            segments => format!("{share} and {}", segments.join(", ")),
        }
    }
}

/// What happened, how much it matters, in words, and what it does to an incident.
struct Told {
    event: &'static str,
    severity: Severity,
    words: String,
    incident: Option<fn(String) -> Incident>,
}

const OPENS: Option<fn(String) -> Incident> = Some(|key| Incident::Opens { key });
const RESOLVES: Option<fn(String) -> Incident> = Some(|key| Incident::Resolves { key });

/// The notification that a row is worth; `None`: people need not hear of it.
pub fn tell(row: &AuditRow) -> Option<Notification> {
    let (kind, key) = row.entry.resource.split_once('/')?;
    match kind {
        "rollout" => tell_rollout(row, key),
        "flag" => tell_kill(row, key),
        _ => None,
    }
}

fn tell_rollout(row: &AuditRow, id: &str) -> Option<Notification> {
    let entry = &row.entry;
    let action = entry.action.strip_prefix("rollout.")?;
    let (before, after) = (Rollout::read(&entry.before), Rollout::read(&entry.after));
    let told = judge(action, entry.actor == CONTROLLER, &before, &after)?;
    let flag = after.flag.clone();
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push(Fact { name: name.to_owned(), value });
    fact("Variant", format!("{}, before {}", after.variant, after.baseline));
    if let (Some(step), n_steps @ 1..) = (after.status.step, after.spec.steps.len()) {
        fact("Step", format!("{} of {n_steps}, {}", step + 1, after.share()));
    }
    if !after.status.overridden.is_empty() {
        fact("Overridden gates", after.status.overridden.join(", "));
    }
    numbers(&after.evidence, &mut facts);
    Some(notification(row, flag, Some(id.to_owned()), told, facts, id.to_owned()))
}

fn judge(action: &str, by_itself: bool, before: &Rollout, after: &Rollout) -> Option<Told> {
    use Severity::{Critical, Info, Warning};
    let (variant, share) = (&after.variant, after.share());
    let told = |event, severity, words: String, incident| Some(Told { event, severity, words, incident });
    match (action, by_itself) {
        ("start", _) => told("rollout.started", Info, format!("the rollout of `{variant}` starts"), None),
        ("advance", _) => told("rollout.advanced", Info, format!("`{variant}` goes to {share}"), None),
        ("wait", _) if before.status.waiting == after.status.waiting => None,
        ("wait", _) if after.status.waiting.as_deref() == Some(APPROVAL) => {
            told("rollout.waitsForApproval", Warning, format!("`{variant}` at {share} waits for approval"), None)
        }
        ("wait", _) if after.is_hindered() => {
            told("rollout.holds", Warning, format!("the rollout of `{variant}` holds at {share}"), None)
        }
        ("wait", _) if before.is_hindered() => {
            told("rollout.goesOn", Info, format!("the rollout of `{variant}` goes on at {share}"), None)
        }
        ("wait", _) => None,
        ("pause", true) => {
            told("rollout.stopped", Critical, format!("harm stopped the rollout of `{variant}` at {share}"), OPENS)
        }
        ("pause", false) => {
            told("rollout.paused", Info, format!("the rollout of `{variant}` is paused at {share}"), None)
        }
        ("resume", _) => {
            told("rollout.resumed", Info, format!("the rollout of `{variant}` is resumed at {share}"), RESOLVES)
        }
        ("approve", _) => {
            told("rollout.approved", Info, format!("the step after {share} of `{variant}` is approved"), None)
        }
        ("skip", _) => {
            told("rollout.skipped", Info, format!("the bake of `{variant}` at {share} is skipped"), RESOLVES)
        }
        ("rollBack", true) => {
            told("rollout.rolledBack", Critical, format!("harm rolled `{variant}` back from {share}"), OPENS)
        }
        ("rollBack", false) => {
            told("rollout.rolledBack", Warning, format!("`{variant}` is rolled back from {share}"), RESOLVES)
        }
        ("guard", _) => {
            let words = format!("`{variant}` is through at {share}, and its gates stay on");
            told("rollout.guarded", Info, words, RESOLVES)
        }
        ("kill", _) => {
            told("rollout.killed", Critical, format!("harm killed the flag, with `{variant}` at {share}"), OPENS)
        }
        ("complete", _) => {
            told("rollout.completed", Info, format!("the rollout of `{variant}` is complete at {share}"), RESOLVES)
        }
        ("override", _) => {
            let words = format!("a gate of the rollout of `{variant}` is overridden at {share}");
            told("rollout.overridden", Warning, words, None)
        }
        ("heed", _) => {
            let words = format!("a gate of the rollout of `{variant}` counts again at {share}");
            told("rollout.heeded", Info, words, None)
        }
        ("restart", _) => {
            let words = format!("the rollout of `{variant}` ends at {share}, and another one starts");
            told("rollout.restarted", Info, words, RESOLVES)
        }
        // What is new should not pass in silence.
        (action, _) => told("rollout.changed", Info, format!("the rollout of `{variant}`: {}", spaced(action)), None),
    }
}

fn tell_kill(row: &AuditRow, flag: &str) -> Option<Notification> {
    let (event, severity, words, incident) = match row.entry.action.as_str() {
        "flag.kill" => ("flag.killed", Severity::Critical, "killed", OPENS),
        "flag.restore" => ("flag.restored", Severity::Info, "the kill is lifted", RESOLVES),
        _ => return None,
    };
    let told = Told { event, severity, words: words.to_owned(), incident };
    let AuditEntry { project, environment, .. } = &row.entry;
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    let incident = format!("{}/{}/{flag}", part(project), part(environment));
    Some(notification(row, flag.to_owned(), None, told, Vec::new(), incident))
}

fn notification(
    row: &AuditRow,
    flag: String,
    rollout: Option<String>,
    told: Told,
    facts: Vec<Fact>,
    incident: String,
) -> Notification {
    let AuditEntry { at, actor_name, project, environment, reason, .. } = &row.entry;
    let Told { event, severity, words, incident: kind } = told;
    let environment = environment.clone().unwrap_or_default();
    Notification {
        event: event.to_owned(),
        severity,
        project: project.clone().unwrap_or_default(),
        title: shortened(&format!("{flag} in {environment}: {words}").replace('\n', " "), MAX_TITLE),
        environment,
        flag,
        rollout,
        reason: shortened(reason, MAX_REASON),
        facts,
        actor: actor_name.clone(),
        at: *at,
        sequence: row.sequence,
        incident: kind.map(|incident_of| incident_of(incident)),
    }
}

/// The numbers that a controller's decision was made on.
fn numbers(evidence: &Json, facts: &mut Vec<Fact>) {
    let mut fact = |name: &str, value: String| facts.push(Fact { name: name.to_owned(), value });
    let number = |value: &Json| value.as_f64().map(rounded);
    if let Some(gate) = evidence.get("gate").and_then(Json::as_str) {
        fact("Gate", gate.to_owned());
    }
    let arms = ["met", "units", "seen"].into_iter().find_map(|name| evidence.get(name).filter(|arms| arms.is_object()));
    let arm = |name: &str| arms.and_then(|arms| arms.get(name)).and_then(Json::as_u64).unwrap_or(0);
    let (treatment, control) = (arm("treatment"), arm("control"));
    let is_compared = treatment + control > 0;
    if is_compared {
        fact("Units", format!("{treatment} in treatment, {control} in control"));
    }
    if let Some(ratio) = evidence.get("ratio").and_then(number) {
        fact("Ratio", format!("{ratio} times"));
    }
    // Of means and quantiles it is a difference between the arms; of other sources, what they answered.
    match evidence.get("value").and_then(Json::as_f64) {
        Some(change) if is_compared => fact("Change", format!("{:+.1} %", change * 100.0)),
        Some(value) => fact("Value", rounded(value)),
        None => {}
    }
    match evidence.get("evidence").and_then(Json::as_f64) {
        Some(odds) if odds >= 1e6 => fact("Evidence", "over a million to 1".to_owned()),
        Some(odds) if odds > 0.0 => fact("Evidence", format!("{} to 1", rounded(odds))),
        Some(_) | None => {}
    }
    if let Some(problem) = evidence.get("problem").and_then(Json::as_str) {
        fact("Problem", shortened(problem, MAX_REASON));
    }
}

/// Three digits are enough for people.
fn rounded(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        size if size >= 0.1 => format!("{number:.2}"),
        _ => format!("{number:.2e}"),
    }
}

/// `rollOut` becomes `roll out`.
fn spaced(action: &str) -> String {
    let mut words = String::new();
    for character in action.chars() {
        if character.is_ascii_uppercase() {
            words.push(' ');
        }
        words.push(character.to_ascii_lowercase());
    }
    words
}

/// At most that many characters, without control characters but the ends of lines.
pub(super) fn shortened(text: &str, max: usize) -> String {
    let plain = text.chars().filter(|c| !c.is_control() || *c == '\n');
    let mut short: String = plain.clone().take(max).collect();
    if plain.count() > max {
        short.pop();
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tidegate_core::Timestamp;

    use super::*;

    fn row(resource: &str, action: &str, actor: &str, before: Json, after: Json) -> AuditRow {
        AuditRow {
            sequence: 41,
            entry: AuditEntry {
                at: Timestamp(1_767_225_600_000),
                actor: actor.to_owned(),
                actor_name: if actor == CONTROLLER { "Rollout controller" } else { "Ada" }.to_owned(),
                action: action.to_owned(),
                project: Some("shop".to_owned()),
                environment: Some("production".to_owned()),
                resource: resource.to_owned(),
                before,
                after,
                reason: "because".to_owned(),
                request_id: String::new(),
            },
            leaf_version: 1,
            previous_hash: String::new(),
            hash: String::new(),
        }
    }

    fn rollout(step: Option<usize>, waiting: Option<&str>) -> Json {
        json!({
            "flag": "checkout", "variant": "on", "baseline": "off", "salt": "s",
            "spec": { "steps": [{ "share": 10_000 }, { "share": 25_500 }, { "share": 100_000 }] },
            "status": { "step": step, "waiting": waiting },
        })
    }

    /// Event, severity, title and incident, or nothing.
    #[track_caller]
    fn check(row: &AuditRow, expected: Option<(&str, Severity, &str, &str)>) {
        let told = tell(row);
        let told = told.as_ref().map(|told| {
            let incident = match &told.incident {
                None => String::new(),
                Some(Incident::Opens { key }) => format!("opens {key}"),
                Some(Incident::Resolves { key }) => format!("resolves {key}"),
            };
            (told.event.clone(), told.severity, told.title.clone(), incident)
        });
        let expected = expected.map(|(event, severity, title, incident)| {
            (event.to_owned(), severity, format!("checkout in production: {title}"), incident.to_owned())
        });
        assert_eq!(told, expected, "{}", row.entry.action);
    }

    #[test]
    fn every_move_of_a_rollout_is_told_as_much_as_it_matters() {
        use Severity::{Critical, Info, Warning};
        let at = |action: &str, actor: &str| {
            let (before, after) = (rollout(Some(0), Some("baking")), rollout(Some(1), None));
            row("rollout/r1", &format!("rollout.{action}"), actor, before, after)
        };
        let ended = "resolves r1";
        for (action, actor, event, severity, title, incident) in [
            ("start", "user:1", "rollout.started", Info, "the rollout of `on` starts", ""),
            ("advance", CONTROLLER, "rollout.advanced", Info, "`on` goes to 25.5 %", ""),
            (
                "pause",
                CONTROLLER,
                "rollout.stopped",
                Critical,
                "harm stopped the rollout of `on` at 25.5 %",
                "opens r1",
            ),
            ("pause", "user:1", "rollout.paused", Info, "the rollout of `on` is paused at 25.5 %", ""),
            ("resume", "user:1", "rollout.resumed", Info, "the rollout of `on` is resumed at 25.5 %", ended),
            ("approve", "user:1", "rollout.approved", Info, "the step after 25.5 % of `on` is approved", ""),
            ("skip", "user:1", "rollout.skipped", Info, "the bake of `on` at 25.5 % is skipped", ended),
            ("rollBack", CONTROLLER, "rollout.rolledBack", Critical, "harm rolled `on` back from 25.5 %", "opens r1"),
            ("rollBack", "user:1", "rollout.rolledBack", Warning, "`on` is rolled back from 25.5 %", ended),
            ("kill", CONTROLLER, "rollout.killed", Critical, "harm killed the flag, with `on` at 25.5 %", "opens r1"),
            ("guard", CONTROLLER, "rollout.guarded", Info, "`on` is through at 25.5 %, and its gates stay on", ended),
            (
                "override",
                "user:1",
                "rollout.overridden",
                Warning,
                "a gate of the rollout of `on` is overridden at 25.5 %",
                "",
            ),
            ("heed", "user:1", "rollout.heeded", Info, "a gate of the rollout of `on` counts again at 25.5 %", ""),
            (
                "restart",
                "user:1",
                "rollout.restarted",
                Info,
                "the rollout of `on` ends at 25.5 %, and another one starts",
                ended,
            ),
            ("complete", CONTROLLER, "rollout.completed", Info, "the rollout of `on` is complete at 25.5 %", ended),
            ("letItBe", "user:1", "rollout.changed", Info, "the rollout of `on`: let it be", ""),
        ] {
            check(&at(action, actor), Some((event, severity, title, incident)));
        }
    }

    #[test]
    fn of_waiting_only_what_somebody_should_know_is_told() {
        let waits = |before: Option<&str>, after: Option<&str>| {
            let (before, after) = (rollout(Some(0), before), rollout(Some(0), after));
            row("rollout/r1", "rollout.wait", CONTROLLER, before, after)
        };
        let approval = ("rollout.waitsForApproval", Severity::Warning, "`on` at 10 % waits for approval", "");
        check(&waits(Some("baking"), Some("approval")), Some(approval));
        check(&waits(Some("approval"), Some("approval")), None);
        let holds = ("rollout.holds", Severity::Warning, "the rollout of `on` holds at 10 %", "");
        for hindrance in HINDRANCES {
            check(&waits(Some("baking"), Some(hindrance)), Some(holds));
            check(&waits(Some(hindrance), Some(hindrance)), None);
            let goes_on = ("rollout.goesOn", Severity::Info, "the rollout of `on` goes on at 10 %", "");
            check(&waits(Some(hindrance), Some("baking")), Some(goes_on));
        }
        for harmless in ["baking", "converging", "units", "unproved", "window", "off", "paused", "somethingNew"] {
            check(&waits(None, Some(harmless)), None);
        }
    }

    #[test]
    fn kills_and_their_end_are_told_and_other_changes_of_flags_are_not() {
        let change = |action: &str| row("flag/checkout", action, "user:1", Json::Null, Json::Null);
        let key = "shop/production/checkout";
        let opens = format!("opens {key}");
        check(&change("flag.kill"), Some(("flag.killed", Severity::Critical, "killed", &opens)));
        let resolves = format!("resolves {key}");
        check(&change("flag.restore"), Some(("flag.restored", Severity::Info, "the kill is lifted", &resolves)));
        // The configuration's own row of a rollout's move: the rollout's row tells it.
        for other in ["flag.update", "flag.configure", "rollout.lock", "rollout.rollBack", "rollout.kill"] {
            check(&change(other), None);
        }
        for resource in ["segment/checkout", "rollouts", "sdkKey/x"] {
            check(&row(resource, "flag.kill", "user:1", Json::Null, Json::Null), None);
        }
    }

    #[test]
    fn the_numbers_of_the_reason_are_told() {
        let mut after = rollout(Some(1), None);
        after["evidence"] = json!({
            "code": "harm", "gate": "errors", "verdict": "harm", "evidence": 131.42,
            "met": { "treatment": 27, "control": 9 }, "ratio": 3.0, "value": 0.0123, "problem": "no\u{7} data",
        });
        let told = tell(&row("rollout/r1", "rollout.rollBack", CONTROLLER, Json::Null, after)).unwrap();
        let facts: Vec<_> = told.facts.iter().map(|fact| format!("{}: {}", fact.name, fact.value)).collect();
        let expected = [
            "Variant: on, before off",
            "Step: 2 of 3, 25.5 %",
            "Gate: errors",
            "Units: 27 in treatment, 9 in control",
            "Ratio: 3.00 times",
            "Change: +1.2 %",
            "Evidence: 131 to 1",
            "Problem: no data",
        ];
        assert_eq!(facts, expected);
        assert_eq!((told.actor.as_str(), told.reason.as_str(), told.sequence), ("Rollout controller", "because", 41));
    }

    #[test]
    fn of_a_source_its_answer_is_told_and_no_empty_arms() {
        let mut after = rollout(Some(1), None);
        let met = json!({ "treatment": 0, "control": 0 });
        after["evidence"] = json!({ "code": "harm", "gate": "latency", "verdict": "limit", "evidence": 0.0, "met": met, "value": 7.25 });
        let told = tell(&row("rollout/r1", "rollout.rollBack", CONTROLLER, Json::Null, after)).unwrap();
        let facts: Vec<_> = told.facts[2..].iter().map(|fact| format!("{}: {}", fact.name, fact.value)).collect();
        assert_eq!(facts, ["Gate: latency", "Value: 7.25"]);
    }

    #[test]
    fn a_step_for_segments_names_them() {
        let mut after = rollout(Some(0), None);
        after["spec"]["steps"][0] = json!({ "share": 0, "segments": ["staff", "beta"] });
        let told = tell(&row("rollout/r1", "rollout.advance", CONTROLLER, Json::Null, after)).unwrap();
        assert_eq!(told.title, "checkout in production: `on` goes to 0 % and staff, beta");
    }

    #[test]
    fn what_cannot_be_read_of_a_rollout_is_left_out() {
        for state in [Json::Null, json!(5), json!({ "flag": 5 }), json!({ "status": { "step": 9 } })] {
            let told = tell(&row("rollout/r1", "rollout.kill", CONTROLLER, state.clone(), state)).unwrap();
            assert_eq!(told.severity, Severity::Critical);
        }
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äö…");
        assert_eq!(shortened("a\u{1b}[1mb\nc", 10), "a[1mb\nc");
    }
}

//! PagerDuty's Events API, version 2: <https://developer.pagerduty.com/docs/send-alert-event>.

use serde_json::{Map, Value as Json, json};

use super::{senders::Links, tell::shortened};
use crate::{
    app::times::rfc3339,
    ports::notify::{Fact, Incident, Notification},
};

/// Where events are sent; accounts in Europe have another.
pub(super) const ORIGIN: &str = "https://events.pagerduty.com";

/// Behind the origin.
pub(super) const PATH: &str = "/v2/enqueue";

/// The longest summary, in characters.
const MAX_SUMMARY: usize = 1_024;

/// The longest key, in characters.
const MAX_KEY: usize = 255;

/// The event that tells it: a trigger where it opens an incident, the end of it where it resolves one. What does neither, which is
/// only a test, opens and is mild.
pub(super) fn body(notification: &Notification, routing_key: &str, id: &str, links: &Links) -> Json {
    let Notification { event, severity, project, environment, flag, title, reason, facts, at, .. } = notification;
    let dedup_key = |key: &str| shortened(key, MAX_KEY);
    let key = match &notification.incident {
        Some(Incident::Resolves { key }) => {
            return json!({ "routing_key": routing_key, "event_action": "resolve", "dedup_key": dedup_key(key) });
        }
        Some(Incident::Opens { key }) => key,
        None => id,
    };
    let link = links.of(notification);
    let mut details: Map<String, Json> =
        facts.iter().map(|Fact { name, value }| (name.clone(), Json::from(value.as_str()))).collect();
    details.insert("Reason".to_owned(), Json::from(reason.as_str()));
    let payload = json!({
        "summary": shortened(&format!("{title}; {reason}"), MAX_SUMMARY),
        "source": format!("{project}/{environment}"),
        "severity": severity,
        "timestamp": rfc3339(*at),
        "component": flag,
        "group": project,
        "class": event,
        "custom_details": details,
    });
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": dedup_key(key),
        "payload": payload,
        "client": "Tidegate",
        "client_url": link,
        "links": [{ "href": link, "text": "Open in Tidegate" }],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::senders::tests::{links, message};

    #[test]
    fn an_incident_opens() {
        insta::assert_json_snapshot!(body(&message().notification, "key", "msg_1", &links()));
    }

    #[test]
    fn an_incident_is_resolved_by_its_key() {
        let incident = Some(Incident::Resolves { key: "r1".to_owned() });
        let told = body(&Notification { incident, ..message().notification }, "key", "msg_1", &links());
        assert_eq!(told, json!({ "routing_key": "key", "event_action": "resolve", "dedup_key": "r1" }));
    }

    #[test]
    fn a_test_is_an_incident_of_its_own() {
        let told = body(&Notification { incident: None, ..message().notification }, "key", "test_1", &links());
        assert_eq!((&told["event_action"], &told["dedup_key"]), (&json!("trigger"), &json!("test_1")));
    }
}

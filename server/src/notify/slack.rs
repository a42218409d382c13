//! Slack's incoming webhooks: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>.

use serde_json::{Value as Json, json};

use super::{
    senders::{Links, signature},
    tell::shortened,
};
use crate::ports::notify::{Fact, Notification, Severity};

/// Where incoming webhooks are.
pub(super) const ORIGIN: &str = "https://hooks.slack.com";

/// The longest text of a section, in characters, and of a field.
const MAX_SECTION: usize = 3_000;
const MAX_FIELD: usize = 2_000;

/// The most fields of a section.
const MAX_FIELDS: usize = 10;

/// The message that tells it.
pub(super) fn body(notification: &Notification, links: &Links) -> Json {
    let Notification { severity, title, reason, facts, .. } = notification;
    let mark = match severity {
        Severity::Info => ":large_blue_circle:",
        Severity::Warning => ":large_yellow_circle:",
        Severity::Critical => ":red_circle:",
    };
    let section = |text: String| json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } });
    let mut blocks = vec![section(format!("{mark} *{}*", escaped(title, MAX_SECTION / 2)))];
    if !reason.is_empty() {
        blocks.push(section(escaped(reason, MAX_SECTION / 2)));
    }
    if !facts.is_empty() {
        let field = |Fact { name, value }: &Fact| {
            let text = format!("*{}*\n{}", escaped(name, MAX_FIELD / 4), escaped(value, MAX_FIELD / 4));
            json!({ "type": "mrkdwn", "text": text })
        };
        let fields: Vec<_> = facts.iter().take(MAX_FIELDS).map(field).collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let link = format!("<{}|Open in Tidegate>", escaped(&links.of(notification), MAX_SECTION / 2));
    let context = format!("{} · {link}", escaped(&signature(notification), MAX_FIELD / 4));
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": context }] }));
    // What notifications on a phone show, and readers of screens read.
    let text = format!("[{}] {}", severity.as_str(), escaped(title, MAX_SECTION / 2));
    json!({ "text": text, "blocks": blocks, "unfurl_links": false })
}

/// Without what Slack takes for a link, a mention or a command: `&`, `<` and `>` are written as it says. Cut before that, so that no
/// escape is cut, to a length that it does not outgrow but for many of those.
fn escaped(text: &str, max: usize) -> String {
    shortened(text, max).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::senders::tests::{links, message};

    #[test]
    fn a_message_for_slack() {
        insta::assert_json_snapshot!(body(&message().notification, &links()));
    }

    #[test]
    fn nobody_is_mentioned_and_nothing_is_linked_by_a_reason() {
        let reason = "see <https://evil.example|our page> & ask <!channel>".to_owned();
        let told = body(&Notification { reason, ..message().notification }, &links());
        let expected = "see &lt;https://evil.example|our page&gt; &amp; ask &lt;!channel&gt;";
        assert_eq!(told["blocks"][1]["text"]["text"], expected);
    }

    #[test]
    fn nothing_is_longer_than_slack_takes() {
        let long = "&".repeat(5_000);
        let facts = vec![Fact { name: "a".to_owned(), value: long.clone() }; 12];
        let told = body(&Notification { reason: "x".repeat(5_000), facts, ..message().notification }, &links());
        assert!(told["blocks"][1]["text"]["text"].as_str().unwrap().chars().count() <= MAX_SECTION);
        let fields = told["blocks"][2]["fields"].as_array().unwrap();
        assert_eq!(fields.len(), MAX_FIELDS);
        assert!(fields.iter().all(|field| field["text"].as_str().unwrap().len() <= 3_000));
    }
}

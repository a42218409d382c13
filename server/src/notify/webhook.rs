//! Webhooks, as Standard Webhooks 1.0 say: <https://www.standardwebhooks.com>.

use bytes::Bytes;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;

use super::senders::Links;
use crate::{
    app::times::rfc3339,
    ports::{
        notify::{Message, Notification, SigningKey},
        outgoing::Request,
    },
};

/// The request that tells it.
pub(super) fn request(url: &str, credential: Option<&str>, message: &Message, links: &Links) -> Request {
    let body = body(&message.notification, links);
    let timestamp = message.at.0.div_euclid(1_000);
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("webhook-id", message.id.clone()),
        ("webhook-timestamp", timestamp.to_string()),
        ("webhook-signature", signatures(&message.keys, &message.id, timestamp, &body)),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Request { headers, credential: credential.map(str::to_owned), ..Request::post(url, Bytes::from(body)) }
}

fn body(notification: &Notification, links: &Links) -> String {
    let Notification { event, severity, project, environment, flag, rollout, .. } = notification;
    let Notification { title, reason, facts, actor, at, sequence, .. } = notification;
    let data = json!({
        "severity": severity,
        "title": title,
        "reason": reason,
        "facts": facts,
        "project": project,
        "environment": environment,
        "flag": flag,
        "rollout": rollout,
        "actor": actor,
        "auditSequence": sequence,
        "url": links.of(notification),
    });
    json!({ "type": event, "timestamp": rfc3339(*at), "data": data }).to_string()
}

/// One signature for each key, with a space in between.
fn signatures(keys: &[SigningKey], id: &str, timestamp: i64, body: &str) -> String {
    let signed = keys.iter().filter_map(|SigningKey(key)| {
        let key = BASE64.decode(key.strip_prefix("whsec_")?.as_bytes()).ok()?;
        let mac = Hmac::<Sha256>::new_from_slice(&key);
        let mut mac = mac.unwrap_or_else(|error| unreachable!("HMAC takes keys of any length: {error}"));
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        Some(format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes())))
    });
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::senders::tests::{links, message};

    /// The example of the specification's reference implementations, which all of them test.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let key = SigningKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let (id, timestamp, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signatures(std::slice::from_ref(&key), id, timestamp, body), expected);
        assert_eq!(signatures(&[key.clone(), key], id, timestamp, body), format!("{expected} {expected}"));
        let damaged = ["damaged", "whsec_Zm9", "whsec_Zm9-"].map(|key| SigningKey(key.to_owned()));
        assert_eq!(signatures(&damaged, id, timestamp, body), "");
    }

    #[test]
    fn a_webhook_is_a_request() {
        let request = request("https://hooks.example.org/x", Some("ops"), &message(), &links());
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        insta::assert_json_snapshot!(body);
        assert_eq!((request.url.as_str(), request.credential.as_deref()), ("https://hooks.example.org/x", Some("ops")));
        let names: Vec<_> = request.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "webhook-id", "webhook-timestamp", "webhook-signature"]);
    }
}

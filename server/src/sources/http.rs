//! Any service that answers `GET` with a number in JSON. A query is a path below the source's address; after `#` stands a JSON Pointer
//! to the number, where it is not the whole answer.
//!
//! The number is a number, or an object `{"value": 0.4, "at": "2026-01-01T00:00:00Z"}`; without `at` it is of now.

use std::time::Duration;

use serde_json::Value as Json;
use tidegate_core::Timestamp;
use tidegate_rollout::reading::{Problem, Sample};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use url::Url;

use super::Sources;
use crate::ports::{
    metrics::Place,
    outgoing::{Request, Response},
};

pub(super) async fn ask(sources: &Sources, place: &Place, query: &str, within: Duration) -> Result<Sample, Problem> {
    let (path, pointer) = query.split_once('#').unwrap_or((query, ""));
    let mut request = Request::get(address(&place.url, path)?);
    request.headers.push(("Accept".to_owned(), "application/json".to_owned()));
    let response = sources.send(request, place, within).await?;
    read(&response, pointer, sources.clock.now())
}

/// The address of a path that stays below the source's own.
fn address(base: &str, path: &str) -> Result<String, Problem> {
    let refused = |why: &str| Problem::Refused { why: why.to_owned() };
    if !path.starts_with('/') {
        return Err(refused("a query of an HTTP source is a path that begins with `/`"));
    }
    let base = base.trim_end_matches('/');
    let joined = format!("{base}{path}");
    let is_below = |base: &Url, url: &Url| {
        let below = url.path().strip_prefix(base.path().trim_end_matches('/'));
        url.origin() == base.origin() && below.is_some_and(|rest| rest.starts_with('/'))
    };
    match (Url::parse(base), Url::parse(&joined)) {
        (Ok(base), Ok(url)) if is_below(&base, &url) => Ok(url.to_string()),
        _ => Err(refused("the path leads out of the source's address")),
    }
}

fn read(response: &Response, pointer: &str, now: Timestamp) -> Result<Sample, Problem> {
    if !response.is_success() {
        return Err(Problem::Status { status: response.status });
    }
    let answer: Json = serde_json::from_slice(&response.body).map_err(|_| Problem::Malformed)?;
    let Some(found) = answer.pointer(pointer) else { return Err(Problem::NoData) };
    let (value, at) = match found {
        Json::Object(fields) => (fields.get("value"), fields.get("at")),
        value => (Some(value), None),
    };
    let value = match value {
        None | Some(Json::Null) => return Err(Problem::NoData),
        Some(Json::Number(number)) => number.as_f64().ok_or(Problem::NotFinite)?,
        Some(Json::Array(items)) if items.is_empty() => return Err(Problem::NoData),
        Some(Json::Array(items)) => return Err(Problem::Several { n: items.len() }),
        Some(_) => return Err(Problem::NotFinite),
    };
    let at = match at {
        None | Some(Json::Null) => now,
        Some(at) => moment(at).ok_or(Problem::Malformed)?,
    };
    Ok(Sample { value, at })
}

/// RFC 3339, or seconds or milliseconds since the epoch.
fn moment(at: &Json) -> Option<Timestamp> {
    match at {
        Json::String(text) => {
            let at = OffsetDateTime::parse(text, &Rfc3339).ok()?;
            i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok().map(Timestamp)
        }
        Json::Number(number) => {
            let number = number.as_f64()?;
            // Seconds of the year 5138, milliseconds of 1973.
            Some(super::prometheus::ms(if number < 1e11 { number * 1_000.0 } else { number }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_address(base: &str, path: &str, expected: Option<&str>) {
        assert_eq!(address(base, path).ok().as_deref(), expected, "{base} {path}");
    }

    #[test]
    fn a_path_stays_below_the_source() {
        check_address("https://a", "/x?y=z", Some("https://a/x?y=z"));
        check_address("https://a/", "/x", Some("https://a/x"));
        check_address("https://a/stats/", "/x/../y", Some("https://a/stats/y"));
        check_address("https://a/stats", "/../x", None);
        check_address("https://a/stats", "/..%2fx", Some("https://a/stats/..%2fx"));
        check_address("https://a/stats", "/%2e%2e/x", None);
        check_address("https://a/stats", "/..\\x", None);
        check_address("https://a", "x", None);
        check_address("https://a", "@b/", None);
        check_address("https://a", ".b/", None);
        check_address("https://a", ":8080/", None);
        check_address("https://a", "//b/", Some("https://a//b/"));
    }

    #[track_caller]
    fn check(status: u16, body: &str, pointer: &str, expected: &Result<(f64, i64), Problem>) {
        let response = Response { status, headers: vec![], body: body.to_owned().into() };
        let sample = read(&response, pointer, Timestamp(7)).map(|Sample { value, at }| (value, at.0));
        assert_eq!(&sample, expected, "{body}");
    }

    #[test]
    fn an_answer_is_a_number_or_a_problem() {
        check(200, "0.5", "", &Ok((0.5, 7)));
        check(200, r#"{"value": 2}"#, "", &Ok((2.0, 7)));
        check(200, r#"{"value": 2, "at": "1970-01-01T00:01:00.5Z"}"#, "", &Ok((2.0, 60_500)));
        check(200, r#"{"value": 2, "at": 1767225600}"#, "", &Ok((2.0, 1_767_225_600_000)));
        check(200, r#"{"value": 2, "at": 1767225600123}"#, "", &Ok((2.0, 1_767_225_600_123)));
        check(200, r#"{"latency": {"p95": 3}}"#, "/latency/p95", &Ok((3.0, 7)));
        check(200, r#"{"a": [{"value": 1}]}"#, "/a/0", &Ok((1.0, 7)));
        check(200, r#"{"a": [1, 2]}"#, "/a", &Err(Problem::Several { n: 2 }));
        check(200, r#"{"a": []}"#, "/a", &Err(Problem::NoData));
        check(200, r#"{"value": null}"#, "", &Err(Problem::NoData));
        check(200, r#"{"b": 1}"#, "/a", &Err(Problem::NoData));
        check(200, r#"{"value": "1"}"#, "", &Err(Problem::NotFinite));
        check(200, r#"{"value": 1, "at": "today"}"#, "", &Err(Problem::Malformed));
        check(200, "<html>", "", &Err(Problem::Malformed));
        check(302, "1", "", &Err(Problem::Status { status: 302 }));
        check(500, "1", "", &Err(Problem::Status { status: 500 }));
    }
}

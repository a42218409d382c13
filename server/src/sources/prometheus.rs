//! Prometheus, and what answers as it does: instant queries.
//!
//! An instant query answers with the time at which it was evaluated, not with that of what it was made of: a rate goes on for minutes
//! after its last scrape. So it is asked at the same time when the series that the query names were measured last, and the older time counts.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value as Json;
use tidegate_core::Timestamp;
use tidegate_rollout::reading::{Problem, Sample};
use url::form_urlencoded;

use super::{Sources, promql};
use crate::ports::{
    metrics::Place,
    outgoing::{Request, Response},
};

/// The longest explanation of an error that is shown, in characters.
const MAX_TOLD: usize = 300;

/// What the API answers.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    status: String,
    data: Option<Data>,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Json,
}

pub(super) async fn ask(sources: &Sources, place: &Place, query: &str, within: Duration) -> Result<Sample, Problem> {
    let evaluate = async |query: &str| {
        let response = sources.send(request(place, query, within), place, within).await?;
        read(&response)
    };
    let Some(measured) = promql::measured_at(query) else { return evaluate(query).await };
    let (sample, measured) = tokio::join!(evaluate(query), evaluate(&measured));
    let sample = sample?;
    match measured {
        Ok(measured) => Ok(Sample { at: sample.at.min(ms(measured.value * 1_000.0)), ..sample }),
        Err(Problem::NoData) => Err(Problem::Unmeasured),
        // That is our question, not the gate's: what it was to tell is not known.
        Err(Problem::Refused { .. }) => Ok(sample),
        Err(problem) => Err(problem),
    }
}

fn request(place: &Place, query: &str, within: Duration) -> Request {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("query", query).append_pair("timeout", &format!("{}ms", within.as_millis()));
    let url = format!("{}/api/v1/query", place.url.trim_end_matches('/'));
    let mut request = Request::post(url, form.finish());
    request.headers.push(("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned()));
    request.headers.push(("Accept".to_owned(), "application/json".to_owned()));
    request
}

fn read(response: &Response) -> Result<Sample, Problem> {
    let Response { status, body, .. } = response;
    let reply: Result<Reply, _> = serde_json::from_slice(body);
    let reply = match reply {
        Ok(reply) => reply,
        Err(_) if response.is_success() => return Err(Problem::Malformed),
        Err(_) => return Err(Problem::Status { status: *status }),
    };
    match (reply.status.as_str(), reply.data) {
        ("success", Some(data)) if response.is_success() => {
            let sample = sample(&data)?;
            if reply.warnings.iter().any(|warning| !warning.starts_with("PromQL info")) {
                return Err(Problem::Partial);
            }
            Ok(sample)
        }
        ("error", _) => Err(match reply.error_type.as_str() {
            "timeout" | "canceled" => Problem::Timeout,
            "bad_data" | "execution" => {
                let plain = |c: char| if c.is_control() { ' ' } else { c };
                Problem::Refused { why: reply.error.chars().map(plain).take(MAX_TOLD).collect() }
            }
            _ => Problem::Status { status: *status },
        }),
        _ if response.is_success() => Err(Problem::Malformed),
        _ => Err(Problem::Status { status: *status }),
    }
}

fn sample(data: &Data) -> Result<Sample, Problem> {
    let pair = match (data.result_type.as_str(), &data.result) {
        ("scalar", pair) => pair,
        ("vector", Json::Array(series)) => match series.as_slice() {
            [] => return Err(Problem::NoData),
            [one] => one.get("value").ok_or(Problem::NotFinite)?,
            several => return Err(Problem::Several { n: several.len() }),
        },
        ("matrix" | "string", _) => {
            let why = format!("it answers a {}, and not one number", data.result_type);
            return Err(Problem::Refused { why });
        }
        _ => return Err(Problem::Malformed),
    };
    match pair.as_array().map(Vec::as_slice) {
        Some([Json::Number(at), Json::String(value)]) => {
            let at = ms(at.as_f64().ok_or(Problem::Malformed)? * 1_000.0);
            Ok(Sample { value: value.parse().map_err(|_| Problem::Malformed)?, at })
        }
        _ => Err(Problem::Malformed),
    }
}

/// Milliseconds as a time.
#[expect(clippy::cast_possible_truncation, reason = "what is no time saturates, and is no fresh one")]
pub(super) fn ms(ms: f64) -> Timestamp {
    Timestamp(ms.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, expected: &Result<(f64, i64), Problem>) {
        let response = Response { status, headers: vec![], body: body.to_owned().into() };
        let sample = read(&response).map(|Sample { value, at }| (value, at.0));
        assert_eq!(&sample, expected, "{body}");
    }

    fn success(data: &str) -> String {
        format!(r#"{{"status":"success","data":{data}}}"#)
    }

    fn refused(why: &str) -> Result<(f64, i64), Problem> {
        Err(Problem::Refused { why: why.to_owned() })
    }

    #[test]
    fn an_answer_is_a_number_or_a_problem() {
        let vector = |series: &str| success(&format!(r#"{{"resultType":"vector","result":[{series}]}}"#));
        let one = r#"{"metric":{"job":"shop"},"value":[1767225600.123,"0.25"]}"#;
        check(200, &vector(one), &Ok((0.25, 1_767_225_600_123)));
        check(200, &success(r#"{"resultType":"scalar","result":[5,"+Inf"]}"#), &Ok((f64::INFINITY, 5_000)));
        check(200, &vector(""), &Err(Problem::NoData));
        check(200, &vector(&format!("{one},{one}")), &Err(Problem::Several { n: 2 }));
        check(200, &vector(r#"{"metric":{},"histogram":[1,{}]}"#), &Err(Problem::NotFinite));
        check(
            200,
            &success(r#"{"resultType":"matrix","result":[]}"#),
            &refused("it answers a matrix, and not one number"),
        );
        check(
            200,
            &success(r#"{"resultType":"string","result":[1,"a"]}"#),
            &refused("it answers a string, and not one number"),
        );
        check(200, &vector(r#"{"metric":{},"value":[1,2]}"#), &Err(Problem::Malformed));
        let response = Response { status: 200, headers: vec![], body: vector(r#"{"value":[1,"NaN"]}"#).into() };
        assert!(read(&response).unwrap().value.is_nan());
    }

    #[test]
    fn an_error_is_told_where_it_is_about_the_query() {
        let error = |kind: &str, text: &str| format!(r#"{{"status":"error","errorType":"{kind}","error":"{text}"}}"#);
        check(400, &error("bad_data", "1:5: parse error"), &refused("1:5: parse error"));
        check(422, &error("execution", "many-to-many\\nmatching"), &refused("many-to-many matching"));
        check(503, &error("timeout", "query timed out"), &Err(Problem::Timeout));
        check(500, &error("internal", "secret"), &Err(Problem::Status { status: 500 }));
        check(401, "Unauthorized", &Err(Problem::Status { status: 401 }));
        check(302, "", &Err(Problem::Status { status: 302 }));
        check(200, "<html>", &Err(Problem::Malformed));
        check(200, r#"{"status":"success"}"#, &Err(Problem::Malformed));
    }

    #[test]
    fn a_warning_is_missing_data_and_a_note_is_none() {
        let warned = |warning: &str| {
            let data = r#"{"resultType":"scalar","result":[5,"1"]}"#;
            format!(r#"{{"status":"success","data":{data},"warnings":["{warning}"]}}"#)
        };
        check(200, &warned("store gateway unavailable"), &Err(Problem::Partial));
        check(200, &warned("PromQL info: metric might not be a counter"), &Ok((1.0, 5_000)));
    }
}

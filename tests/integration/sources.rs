//! The adapters of metric sources, on a way out that answers as the test says.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use tidegate_core::Timestamp;
use tidegate_rollout::reading::{Problem, Sample};
use tidegate_server::{
    ports::{
        Metrics as _, Outgoing,
        metrics::{Place, SourceKind},
        outgoing::{Method, OutgoingError, Request, Response, Secret},
    },
    sources::Sources,
    testing::ManualClock,
};

type Answer = Result<(u16, String), OutgoingError>;

/// Answers each request with the next of its answers, and keeps the requests.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Answer>>,
    asked: Mutex<Vec<Request>>,
}

#[async_trait]
impl Outgoing for Scripted {
    async fn send(&self, request: Request) -> Result<Response, OutgoingError> {
        self.asked.lock().unwrap().push(request);
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer.map(|(status, body)| Response { status, headers: vec![], body: body.into() }),
            None => std::future::pending().await,
        }
    }

    fn check(&self, _: &str, _: Option<&str>) -> Result<(), OutgoingError> {
        Ok(())
    }

    fn secret(&self, name: &str, _: &str) -> Result<Secret, OutgoingError> {
        Err(OutgoingError::UnknownCredential { name: name.to_owned() })
    }
}

async fn ask(kind: SourceKind, query: &str, answers: &[Answer]) -> (Result<Sample, Problem>, Vec<Request>) {
    let outgoing = Arc::new(Scripted { answers: Mutex::new(answers.to_vec().into()), ..Scripted::default() });
    let sources = Sources::new(outgoing.clone(), Arc::new(ManualClock::default()));
    let url = "https://metrics.example.org/prometheus/".to_owned();
    let place = Place { kind, url, credential: Some("reader".to_owned()) };
    let answer = sources.ask(&place, query, Duration::from_secs(10)).await;
    let asked = std::mem::take(&mut *outgoing.asked.lock().unwrap());
    (answer, asked)
}

#[expect(clippy::unnecessary_wraps, reason = "as sources answer")]
fn vector(value: &str, at: &str) -> Answer {
    let one = format!(r#"[{{"metric":{{}},"value":[{at},"{value}"]}}]"#);
    Ok((200, format!(r#"{{"status":"success","data":{{"resultType":"vector","result":{one}}}}}"#)))
}

#[expect(clippy::unnecessary_wraps, reason = "as sources answer")]
fn empty() -> Answer {
    Ok((200, r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#.to_owned()))
}

#[tokio::test]
async fn prometheus_is_asked_for_the_number_and_for_its_age() {
    let query = "sum(rate(x{a=\"b&c\"}[5m]))";
    let (answer, asked) =
        ask(SourceKind::Prometheus, query, &[vector("0.5", "1767225600"), vector("1767225590.5", "1767225600")]).await;
    assert_eq!(answer.unwrap(), Sample { value: 0.5, at: Timestamp(1_767_225_590_500) });
    let [first, second] = &asked[..] else { panic!("{asked:?}") };
    assert_eq!(
        (first.method, first.url.as_str()),
        (Method::Post, "https://metrics.example.org/prometheus/api/v1/query")
    );
    assert_eq!(first.credential.as_deref(), Some("reader"));
    let body = |request: &Request| String::from_utf8(request.body.to_vec()).unwrap();
    assert_eq!(body(first), "query=sum%28rate%28x%7Ba%3D%22b%26c%22%7D%5B5m%5D%29%29&timeout=5000ms");
    assert!(body(second).starts_with("query=max%28timestamp%28x%7Ba%3D%22b%26c%22%7D%29%29&"), "{}", body(second));
}

#[tokio::test]
async fn a_number_that_comes_from_nowhere_does_not_count() {
    let (answer, _) = ask(SourceKind::Prometheus, "sum(rate(x[5m])) or vector(0)", &[vector("0", "5"), empty()]).await;
    assert_eq!(answer, Err(Problem::Unmeasured));
    let (answer, asked) = ask(SourceKind::Prometheus, "vector(1)", &[vector("1", "5")]).await;
    assert_eq!((answer.unwrap().value, asked.len()), (1.0, 1));
}

#[tokio::test(start_paused = true)]
async fn what_may_pass_is_asked_again() {
    let down = || Err(OutgoingError::Unreachable);
    let (answer, asked) =
        ask(SourceKind::Prometheus, "vector(1)", &[down(), Ok((503, String::new())), vector("1", "5")]).await;
    assert_eq!((answer.unwrap().value, asked.len()), (1.0, 3));
    let (answer, asked) = ask(SourceKind::Prometheus, "vector(1)", &[down(), down(), down(), vector("1", "5")]).await;
    assert_eq!(answer, Err(Problem::Unreachable { why: OutgoingError::Unreachable.to_string() }));
    assert_eq!(asked.len(), 3);
    let (answer, asked) = ask(SourceKind::Prometheus, "vector(1)", &[Ok((401, String::new())), vector("1", "5")]).await;
    assert_eq!((answer, asked.len()), (Err(Problem::Status { status: 401 }), 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_too_late() {
    let (answer, _) = ask(SourceKind::Http, "/p95", &[]).await;
    assert_eq!(answer, Err(Problem::Timeout));
    // What was known before says more.
    let (answer, _) = ask(SourceKind::Http, "/p95", &[Ok((500, String::new()))]).await;
    assert_eq!(answer, Err(Problem::Status { status: 500 }));
}

#[tokio::test]
async fn a_service_is_asked_below_its_address() {
    let (answer, asked) =
        ask(SourceKind::Http, "/stats?job=shop#/p95", &[Ok((200, r#"{"p95":{"value":3}}"#.to_owned()))]).await;
    assert_eq!(answer.map(|sample| sample.value), Ok(3.0));
    assert_eq!(asked[0].method, Method::Get);
    assert_eq!(asked[0].url, "https://metrics.example.org/prometheus/stats?job=shop");
}

//! Exposures and measurements on their way from the SDK to a server.

use std::{num::NonZeroUsize, time::Duration};

use tidegate::{Builder, Client, Context, Status, UnitHash};
use tidegate_protocol::{ClientMessage, ServerMessage, events::EventBatch, message::Received};

use crate::{
    stream::{World, ada, create, enable},
    support::{
        DEADLINE,
        peer::{Line, Peer, flag},
        within,
    },
};

const HEARTBEAT: Duration = Duration::from_mins(1);

fn builder(peer: &Peer) -> Builder {
    Client::builder(&peer.url(), "tgs_x").telemetry_interval(Duration::from_millis(1))
}

/// A client that is in step with the peer, and the peer's end.
async fn connect(peer: &Peer, builder: Builder) -> (Client, Line) {
    let client = builder.connect().unwrap();
    let line = peer.serve(HEARTBEAT, 1, &[flag("a", 1), flag("b", 2)]).await;
    assert_eq!(client.wait_ready(DEADLINE).await, Ok(Status::Ready));
    (client, line)
}

/// The next batch of events.
async fn batch(line: &mut Line) -> EventBatch {
    loop {
        match line.next().await {
            Some(ClientMessage::Events(batch)) => return batch,
            Some(_) => {}
            None => panic!("the client left"),
        }
    }
}

async fn receive(line: &mut Line, batch: &EventBatch) {
    line.say(&ServerMessage::Received(Received { id: batch.id.clone() })).await;
}

/// Flag, variant, version, unit and count of an exposure.
type Told<'a> = (&'a str, Option<&'a str>, u64, Option<UnitHash>, u64);

/// What a batch tells but for times.
fn told(batch: &EventBatch) -> Vec<Told<'_>> {
    let mut told: Vec<_> =
        batch.exposures.iter().map(|it| (&*it.flag, it.variant.as_deref(), it.version, it.unit, it.count)).collect();
    told.sort_unstable();
    told
}

#[tokio::test]
async fn a_batch_is_repeated_on_the_next_connection_until_it_is_received() {
    let peer = Peer::new().await;
    // One that gathers when closed only, so that what is in a batch does not hang on the machine's speed.
    let builder = builder(&peer).telemetry_interval(Duration::from_hours(1));
    let (client, mut line) = connect(&peer, builder).await;
    let (ada, grace) = (Context::new("ada"), Context::new("grace"));
    for _ in 0..3 {
        client.number("a", 0.0, &ada);
    }
    client.number("a", 0.0, &grace);
    client.number("b", 0.0, &Context::anonymous());
    client.bool_details("b", false, &ada);
    client.bool("nothing", false, &ada);
    client.track("paid", &ada, 9.5);

    let closing = tokio::spawn(async move { client.close().await });
    let first = batch(&mut line).await;
    let hash = |key| Some(UnitHash::of(key));
    let mut expected = [
        ("a", Some("v"), 1, hash("ada"), 3),
        ("a", Some("v"), 1, hash("grace"), 1),
        ("b", Some("v"), 2, None, 1),
        ("b", None, 2, hash("ada"), 1),
    ];
    expected.sort_unstable();
    assert_eq!(told(&first), expected);
    let measured: Vec<_> = first.measurements.iter().map(|it| (&*it.metric, it.unit, it.value)).collect();
    assert_eq!(measured, [("paid", hash("ada"), Some(9.5))]);
    assert!(!format!("{first:?}").contains("ada"), "a targeting key travels");

    receive(&mut line, &first).await;
    within(closing).await.unwrap();
    assert!(line.next().await.is_none());
}

#[tokio::test]
async fn what_a_lost_connection_carried_is_sent_on_the_next_one() {
    let peer = Peer::new().await;
    let (client, mut line) = connect(&peer, builder(&peer)).await;
    client.track("paid", &Context::new("ada"), None);
    let first = batch(&mut line).await;
    drop(line);

    let mut line = peer.serve(HEARTBEAT, 1, &[flag("a", 1), flag("b", 2)]).await;
    assert_eq!(batch(&mut line).await, first);
    // Nothing else is sent before it is received.
    client.track("paid", &Context::new("grace"), None);
    receive(&mut line, &first).await;
    let second = batch(&mut line).await;
    assert_eq!((second.measurements.len(), second.measurements[0].unit), (1, Some(UnitHash::of("grace"))));
    assert_ne!(second.id, first.id);
    receive(&mut line, &second).await;
    client.close().await;
}

#[tokio::test]
async fn what_there_is_no_room_for_is_dropped_and_told() {
    let peer = Peer::new().await;
    let builder = builder(&peer).telemetry_interval(Duration::from_hours(1)).max_exposures(NonZeroUsize::MIN);
    let (client, mut line) = connect(&peer, builder).await;
    for person in ["ada", "grace", "alan"] {
        client.number("a", 0.0, &Context::new(person));
    }
    assert_eq!(client.telemetry_dropped(), 2);
    // It is full: this is told at once, not in an hour.
    let batch = batch(&mut line).await;
    assert_eq!((batch.exposures.len(), batch.dropped), (1, 2));
    receive(&mut line, &batch).await;
    client.close().await;
}

#[tokio::test]
async fn a_client_without_telemetry_says_nothing() {
    let peer = Peer::new().await;
    let (client, mut line) = connect(&peer, builder(&peer).without_telemetry()).await;
    client.number("a", 0.0, &Context::new("ada"));
    client.track("paid", &Context::new("ada"), None);
    assert_eq!(client.telemetry_dropped(), 0);
    client.close().await;
    assert!(line.next().await.is_none());
}

#[tokio::test]
async fn closing_waits_for_no_server_that_does_not_answer() {
    let peer = Peer::new().await;
    let (client, mut line) = connect(&peer, builder(&peer)).await;
    client.track("paid", &Context::new("ada"), None);
    let _never_answered = batch(&mut line).await;
    within(client.close()).await;
}

#[tokio::test]
async fn a_server_counts_what_its_clients_tell() {
    let world = World::new().await;
    create(&world.test.app, "checkout").await;
    enable(&world.test.app, "checkout", true).await;
    let (client, _events) = world.client().await;
    for _ in 0..5 {
        client.bool("checkout", false, &ada());
    }
    client.string("checkout", "", &ada());
    client.track("paid", &ada(), 9.5);
    client.close().await;

    let metrics = world.server.state.metrics.render();
    let counted = |name: &str, labels: &str, value: u64| {
        let line = format!("tidegate_{name}_total{{project=\"shop\",environment=\"test\"{labels}}} {value}\n");
        assert!(metrics.contains(&line), "no {line} in {metrics}");
    };
    counted("exposures", r#",flag="checkout",variant="on""#, 5);
    counted("exposures", r#",flag="checkout",variant="""#, 1);
    counted("measurements", "", 1);
}

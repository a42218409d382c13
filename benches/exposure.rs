//! What counting an exposure adds to an evaluation by the SDK. The floor is the same call on a client that counts none.

use std::hint::black_box;

use criterion::{Criterion, measurement::WallTime};
use tidegate::{Client, testing::TestClient};
use tidegate_benches::{
    allocations::{Counting, count},
    workload::{self, WARM_USERS},
};
use tidegate_core::Context;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// As many different exposures as a table has room for.
const USERS: usize = 9_000;

fn main() {
    let contexts = workload::contexts(&workload::users());
    let silent = Client::builder("http://localhost", "tgs_x").bootstrap(workload::flag_file()).offline();
    let counting = TestClient::with_flags(&workload::flag_file());

    let mut criterion = Criterion::default().sample_size(60).configure_from_args();
    for (name, key, rotate) in [
        ("exposure: on for all, 64 users", "w1-on-for-all", WARM_USERS),
        ("exposure: on for all, 9,000 users", "w1-on-for-all", USERS),
        ("exposure: 25 % rollout, 64 users", "w2-25-percent", WARM_USERS),
    ] {
        let contexts = contexts.get(..rotate).unwrap_or_default();
        // Those before are taken away, so that all of these have room.
        counting.exposures();
        assert_repeated_exposures_allocate_nothing(counting.client(), key, contexts);
        let mut group = criterion.benchmark_group(name);
        for (bench, client) in [("floor", &silent), ("counted", counting.client())] {
            evaluate(&mut group, bench, client, key, contexts);
        }
        group.finish();
        assert_eq!(counting.client().telemetry_dropped(), 0, "there was no room for some");
    }
    criterion.final_summary();
}

fn evaluate(
    group: &mut criterion::BenchmarkGroup<'_, WallTime>,
    bench: &str,
    client: &Client,
    key: &str,
    contexts: &[Context],
) {
    let mut contexts = contexts.iter().cycle();
    group.bench_function(bench, |bencher| {
        bencher.iter(|| contexts.next().map(|ctx| client.bool(black_box(key), false, ctx)));
    });
}

/// New units need no allocation either: only a variant that nobody was served yet does.
fn assert_repeated_exposures_allocate_nothing(client: &Client, key: &str, contexts: &[Context]) {
    let (known, new) = contexts.split_at(contexts.len() / 2);
    let serve = |contexts: &[Context]| {
        for ctx in contexts {
            black_box(client.bool(key, false, ctx));
        }
    };
    serve(known);
    let allocations = count(|| {
        serve(known);
        serve(new);
        serve(contexts);
    });
    assert_eq!(allocations, 0, "allocations in evaluations of `{key}`");
}

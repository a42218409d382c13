//! The integration tests: one binary.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

mod tidy;
mod vectors;

mod store;

mod access_api;
mod client_keys;
mod config_api;
mod failover;
mod javascript;
mod metric_sources;
mod notifications;
mod ofrep;
mod polling;
mod rollouts;
mod simulation;
mod sources;
mod stream;
mod telemetry;

mod bombs;
mod failures;

mod browser;
mod cli;
mod clients;
mod crash;
mod demo;
mod prometheus;
mod receivers;

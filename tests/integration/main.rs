//! The integration tests: one binary.

mod support;

mod tidy;
mod vectors;

mod store;

mod access_api;
mod config_api;
mod stream;

mod browser;
mod cli;
mod crash;

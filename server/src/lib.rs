//! The Tidegate server, as a library that the binary and the integration tests share.
//!
//! Data flows one way: `http` and `cli` turn requests into commands, `app` decides and authorises, `ports` say what it
//! needs, `store` and `system` do it. `stream` sends what was committed, `controller` moves rollouts, `notify` tells
//! people. Only the binary wires them.

pub mod cli;
pub mod config;
pub mod controller;
pub mod demo;
pub mod http;
pub mod notify;
pub mod stream;
pub mod wiring;

pub mod app;
pub mod audit;

pub mod outgoing;
pub mod ports;
pub mod sources;
pub mod store;
pub mod system;

pub mod telemetry;

pub mod testing;

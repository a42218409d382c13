//! What several tests share.

pub mod app;
pub mod binary;
pub mod peer;
pub mod postgres;
pub mod proxy;

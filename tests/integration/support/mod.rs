//! What several tests share.

pub mod app;
pub mod binary;
pub mod postgres;

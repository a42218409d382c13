//! What several tests share.

pub mod binary;

//! The pure evaluator of Tidegate: configuration in, answers out.
//!
//! No async, clock, randomness, I/O or log lives here: server, Rust SDK and WASM SDK run this one crate and give the
//! same answer to the bit. Configuration is compiled once ([`compile`], [`Ruleset::update`]); [`evaluate()`] then only
//! looks things up, and never fails, blocks, panics or (for boolean, string and number flags) allocates.

pub mod key;

pub mod config;
pub mod distribution;
pub mod tree;

pub mod context;

pub mod bucket;

mod attribute;
mod code;
mod condition;
mod date;
mod lower;
mod pattern;
mod text;
mod version;

mod flag;
mod ordinal;
mod segment;

mod graph;
mod issue;
mod limits;
mod link;
pub mod order;
pub mod ruleset;
mod table;

pub mod evaluate;
pub mod evaluation;
pub mod explain;
pub mod flag_file;

pub use config::{FlagConfig, FlagFile, SegmentConfig};
pub use context::{Context, Value};
pub use evaluate::{evaluate, evaluate_all};
pub use evaluation::{ErrorCode, Evaluation, ROLLOUT_RULE, Reason, Timestamp};
pub use explain::explain;
pub use key::{EnvironmentKey, FlagKey, ProjectKey, SegmentKey, SourceKey, VariantKey};
pub use ruleset::{Change, CompileIssue, Ruleset, compile};

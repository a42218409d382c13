//! The workloads, the floors under them and the counting allocator that the benches share.
//!
//! A *floor* is the same work written by hand for the one shape it measures: an arc-swap load, a hash-map lookup, xxh3
//! and compares on a plain struct. It has no attribute names, reasons, prerequisites or missing-attribute semantics, so
//! the ratio says what the general evaluator costs.

pub mod allocations;
pub mod floor;
pub mod rig;
pub mod served;
pub mod wire;
pub mod workload;

//! Benchmarks live beside this folder; this library holds the workloads and floors they share.

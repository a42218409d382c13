//! The adapters of time, ids and randomness: the only place that reaches for the real ones.

//! Condition operators and their truth tables.

//! HTTP: one file per resource, default-deny.

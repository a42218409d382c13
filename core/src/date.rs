//! RFC 3339 dates and unix milliseconds.

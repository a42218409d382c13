//! Who gets in, and what they may do there: through the real router.

use std::{fs, path::Path};

/// `UPDATE=1 cargo test -p tidegate-tests openapi` writes the document, as does `cargo xtask codegen`.
#[test]
fn openapi_document_is_that_of_the_handlers() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../openapi/openapi.json");
    let current = tidegate_server::http::openapi_json();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &current).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == current, "openapi/openapi.json is out of date: run `cargo xtask codegen` and commit it");
}

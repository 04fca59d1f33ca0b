//! What is generated from the code and kept in the repository is what the code generates now.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

/// Compares a kept file with what it is generated from; `HAAT_UPDATE=1` writes it instead.
fn check(file: &str, generated: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
    if std::env::var_os("HAAT_UPDATE").is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = kept.lines().zip(generated.lines()).position(|(a, b)| a != b);
    assert!(
        kept == generated,
        "{file} is not what the code generates (first difference in line {}); \
         run: HAAT_UPDATE=1 cargo nextest run -p haat-http --test drift",
        differs.map_or_else(|| kept.lines().count().min(generated.lines().count()) + 1, |line| line + 1)
    );
}

#[test]
fn openapi_json_is_the_document_that_the_code_describes() {
    let mut document = haat_http::openapi().to_pretty_json().unwrap();
    document.push('\n');
    check("openapi.json", &document);
}

#[test]
fn errors_md_is_the_table_of_the_code() {
    check("docs/errors.md", &haat_http::errors_markdown());
}

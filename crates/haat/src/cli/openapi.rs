//! `haat openapi`: the document that `/openapi.json` serves.

use anyhow::Context as _;

use super::output::Output;
use crate::exit::{Exit, Failure};

pub(super) fn run(output: Output) -> Result<Exit, Failure> {
    let document = haat_http::openapi();
    let text = serde_json::to_string_pretty(&document).context("the OpenAPI document cannot be written")?;
    output.answer(text, &document);
    Ok(Exit::Ok)
}

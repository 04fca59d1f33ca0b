//! `GET /v1/suggest`: completions of a search being typed.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use haat_cache::answers::Question;
use haat_catalog::page::Suggestions;
use haat_catalog::ports::SuggestQuery;
use haat_catalog::query::parse::MAX_TEXT_BYTES;

use crate::answer::ready::Ready;
use crate::answer::{document, page};
use crate::extract::access::Reader;
use crate::extract::parameters::Parameters;
use crate::openapi::parameters::{ReadHeaders, SuggestParameters};
use crate::openapi::schema;
use crate::pages::{Asked, of_index};
use crate::problem::Problem;
use crate::state::{App, SharedApp};

/// The members of a suggested product: enough to show it in a list and to go to it.
pub(crate) const MEMBERS: &[&str] = &["id", "sku", "name", "brand", "category", "price", "images"];

const PATH: &str = "/v1/suggest";
const DEFAULT_LIMIT: u64 = 5;
pub(crate) const MAX_LIMIT: u64 = 20;

/// Complete a search as it is typed
///
/// Products, category paths and brands that begin with or resemble what has been typed. An empty text has no
/// completions.
#[utoipa::path(
    get, path = PATH, operation_id = "suggest", tag = "products",
    params(SuggestParameters, ReadHeaders),
    responses(
        (status = 200, description = "Completions, best first.", body = schema::Suggestions, headers(
            ("ETag" = String, description = "Strong entity tag of these bytes"),
            ("Cache-Control" = String, description = "As configured"),
            ("Cache-Status" = String, description = "The layer that answered (RFC 9211)"),
            ("Age" = u64, description = "For how many seconds the answer has not been right"),
            ("Vary" = String, description = "`Accept-Encoding`"),
        )),
        (status = 304, description = "The client has this answer already (`If-None-Match`)."),
    )
)]
pub(crate) async fn suggest(State(app): State<SharedApp>, _access: Reader, asked: Asked) -> Result<Response, Problem> {
    let query = read(&Parameters::decode(asked.query())?)?;
    let question = match &query {
        Some(SuggestQuery { text, limit }) => format!("suggest {limit} {text}"),
        None => "suggest".to_owned(),
    };
    let question = Question::new(question);
    app.pages.remember(&asked, &question, PATH, None);
    let compute = {
        let app = Arc::clone(&app);
        move || async move { find(&app, query).await }
    };
    let found = app.pages.answer(&app.pages.overload, &asked, question, 0, compute).await?;
    Ok(asked.respond(&app, &found).await)
}

async fn find(app: &App, query: Option<SuggestQuery>) -> Result<Ready, Problem> {
    // Taken before: the answer knows at least that much.
    let status = app.services.index.status();
    let found = match query {
        Some(query) => app.services.index.suggest(query).await?,
        None => Suggestions::default(),
    };
    let documents = found.products.iter().map(|hit| &*hit.document);
    Ok(of_index(app, status.seq, status.ready, documents, render(&found)))
}

/// `None` when nothing was typed yet.
fn read(parameters: &Parameters) -> Result<Option<SuggestQuery>, Problem> {
    let mut reader = parameters.read(&["q", "limit"]);
    if !reader.has("q") {
        reader.refuse("q", "is required: what was typed so far");
    }
    let text = reader.text("q").unwrap_or("").trim_start().to_owned();
    if text.len() > MAX_TEXT_BYTES {
        reader.refuse("q", format!("is longer than {MAX_TEXT_BYTES} bytes"));
    }
    let limit = reader.integer("limit", 1, MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    reader.finish()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok((!text.is_empty()).then_some(SuggestQuery { text, limit }))
}

fn render(found: &Suggestions) -> Vec<u8> {
    let mut out = b"{\"products\":[".to_vec();
    for (i, hit) in found.products.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        document::append(&mut out, hit, Some(MEMBERS), hit.highlight.is_some());
    }
    out.extend_from_slice(b"],\"categories\":");
    page::append_counts(&mut out, &found.categories);
    out.extend_from_slice(b",\"brands\":");
    page::append_counts(&mut out, &found.brands);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use haat_catalog::{FacetCount, FacetValue, Hit};
    use serde_json::{Value, json};

    fn ask(query: &str) -> Result<Option<SuggestQuery>, Problem> {
        read(&Parameters::decode(query).unwrap())
    }

    #[test]
    fn the_text_is_required_and_may_be_empty() {
        assert_eq!(ask("q=bas&limit=3").unwrap(), Some(SuggestQuery { text: "bas".into(), limit: 3 }));
        assert_eq!(ask("q=").unwrap(), None);
        assert_eq!(ask("q=+").unwrap(), None);
        assert!(ask("").is_err() && ask("q=a&limit=21").is_err() && ask("q=a&x=1").is_err());
    }

    #[test]
    fn the_space_after_a_finished_word_is_kept() {
        assert_eq!(ask("q=rice+").unwrap().unwrap().text, "rice ");
    }

    #[test]
    fn products_are_cut_down_to_what_a_list_shows() {
        let document = br#"{"id":"1","sku":"A","name":"Rice","description":"long"}"#;
        let found = Suggestions {
            products: vec![Hit { document: Bytes::from_static(document), highlight: None }],
            categories: vec![FacetCount { value: FacetValue::Text("A > B".into()), count: 3 }],
            brands: Vec::new(),
        };
        let body: Value = serde_json::from_slice(&render(&found)).unwrap();
        let expected = json!({"products": [{"id": "1", "sku": "A", "name": "Rice"}],
            "categories": [{"value": "A > B", "count": 3}], "brands": []});
        assert_eq!(body, expected);
    }
}

//! `GET /v1/products`: listing and search. Answered from the index alone.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use haat_cache::answers::{Found, Layer, Question};
use haat_catalog::ports::IndexStatus;
use haat_catalog::{Query, Seq, Violation};

use crate::answer::ready::Ready;
use crate::answer::{link, page};
use crate::extract::access::Reader;
use crate::extract::parameters::Parameters;
use crate::openapi::parameters::{ListingParameters, ReadHeaders};
use crate::openapi::schema;
use crate::pages::{Asked, of_index};
use crate::problem::Problem;
use crate::state::{App, SharedApp};

pub(crate) const PATH: &str = "/v1/products";

/// So far ahead of the newest change known here no change can be, whatever other replicas have just written.
const FAR_AHEAD: u64 = 1_000_000;

/// List and search products
///
/// Filters of one name are alternatives, filters of different names must all hold. Unknown parameters are refused.
/// Paging through `page.next` while others write neither skips nor repeats a product whose sort values stay the same.
///
/// Any attribute is a filter: `attr.NAME=VALUE`, for example `attr.grain=long`. A value matches an attribute's text,
/// number or boolean as it is written in JSON, or any item of a list.
#[utoipa::path(
    get, path = PATH, operation_id = "listProducts", tag = "products",
    params(ListingParameters, ReadHeaders),
    responses(
        (status = 200, description = "A page of products.", body = schema::Listing, headers(
            ("ETag" = String, description = "Strong entity tag of these bytes"),
            ("Cache-Control" = String, description = "As configured; `no-store` while the index is incomplete"),
            ("Link" = String, description = "The next and the previous page (RFC 8288), where there are any"),
            ("Haat-Index" = String, description = "`building` while the index is incomplete"),
            ("Cache-Status" = String, description = "The layer that answered (RFC 9211)"),
            ("Age" = u64, description = "For how many seconds the answer has not been right"),
            ("Vary" = String, description = "`Accept-Encoding`"),
        )),
        (status = 304, description = "The client has this page already (`If-None-Match`)."),
    )
)]
pub(crate) async fn list(State(app): State<SharedApp>, _access: Reader, asked: Asked) -> Result<Response, Problem> {
    let parameters = Parameters::decode(asked.query())?;
    let query = Arc::new(Query::parse(parameters.for_listing())?);
    refuse_unreachable(query.min_seq, app.services.index.status())?;
    let at_least = query.min_seq.map_or(0, |seq| seq.0);
    if at_least > app.services.index.status().seq.0 {
        // It waits, and those who do not must wait neither for it nor for its place among what is computed.
        let answer = find(&app, query).await?;
        return Ok(asked.respond(&app, &Found { answer, layer: Layer::Computed, stale: Duration::ZERO }).await);
    }
    let question = Question::new(format!("list {}", query.canonical()));
    if at_least == 0 {
        app.pages.remember(&asked, &question, PATH, None);
    }
    let compute = {
        let app = Arc::clone(&app);
        move || async move { find(&app, query).await }
    };
    let found = app.pages.answer(&app.pages.overload, &asked, question, at_least, compute).await?;
    Ok(asked.respond(&app, &found).await)
}

async fn find(app: &App, query: Arc<Query>) -> Result<Ready, Problem> {
    let found = app.services.index.list(Arc::clone(&query), app.options.min_seq_wait).await?;
    // By what the query means and not by how it was written: others are given this answer too.
    let link = link::pages(PATH, &query.parameters(), found.next.as_deref(), found.prev.as_deref());
    let documents = found.hits.iter().map(|hit| &*hit.document);
    Ok(of_index(app, found.seq, found.complete, documents, page::render(&found, &query)).with_link(link))
}

/// Refuses to wait for a change that will not come. An index that is behind itself (just started, being built) may
/// not know how far the log goes, so it refuses nothing.
fn refuse_unreachable(min_seq: Option<Seq>, status: IndexStatus) -> Result<(), Problem> {
    match min_seq {
        Some(min) if status.ready && min.0.saturating_sub(status.head.0) > FAR_AHEAD => {
            let detail = format!("there is no such change; the newest is {}", status.head);
            Err(Problem::invalid_parameters(vec![Violation::new("/min_seq", detail)]))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_cannot_come_is_not_waited_for() {
        let status = IndexStatus { head: Seq(5), ready: true, ..IndexStatus::default() };
        assert!(refuse_unreachable(Some(Seq(9_007_199_254_740_991)), status).is_err());
        assert!(refuse_unreachable(Some(Seq(6)), status).is_ok());
        assert!(refuse_unreachable(None, status).is_ok());
        let behind = IndexStatus { ready: false, ..status };
        assert!(refuse_unreachable(Some(Seq(9_007_199_254_740_991)), behind).is_ok());
    }
}

//! `/openapi.json`, and the readable reference made from it at `/docs`: Swagger UI with everything embedded, under a
//! policy that lets it load nothing from anywhere else.

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderValue, header};

use crate::answer::caching;
use crate::extract::path::Segment;
use crate::extract::precondition::IfNoneMatch;
use crate::problem::{Code, Problem, errors_html};
use crate::state::SharedApp;

const PAGE: &str = include_str!("../../assets/docs.html");
const START: &str = include_str!("../../assets/start.js");
const STYLE: &str = include_str!("../../assets/reference.css");
const HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The OpenAPI document
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "operating",
    responses((status = 200, description = "This document.", body = Object)))]
pub(crate) async fn openapi(State(app): State<SharedApp>, known: IfNoneMatch) -> Response {
    caching::answer(&known, &caching::tag_of(&app.openapi), &app.cache_control, app.openapi.clone())
}

/// The reference.
pub(crate) async fn page() -> Html<&'static str> {
    Html(PAGE)
}

/// What the reference loads, and the page of problem codes.
pub(crate) async fn asset(Segment(name): Segment, known: IfNoneMatch) -> Result<Response, Problem> {
    let (media_type, bytes) = match name.as_str() {
        "errors" => return Ok(Html(errors_html()).into_response()),
        "start.js" => ("text/javascript; charset=utf-8", Bytes::from_static(START.as_bytes())),
        "reference.css" => ("text/css; charset=utf-8", Bytes::from_static(STYLE.as_bytes())),
        "swagger-ui.css" => ("text/css; charset=utf-8", vendored(&name)?),
        "swagger-ui-bundle.js" => ("text/javascript; charset=utf-8", vendored(&name)?),
        "favicon-32x32.png" => ("image/png", vendored(&name)?),
        _ => return Err(Problem::new(Code::NotFound, Code::NotFound.about())),
    };
    let mut response = caching::answer(&known, &caching::tag_of(&bytes), &HOUR, bytes);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

fn vendored(name: &str) -> Result<Bytes, Problem> {
    let file = utoipa_swagger_ui::serve(name, std::sync::Arc::new(utoipa_swagger_ui::Config::default()));
    match file {
        Ok(Some(file)) => Ok(Bytes::from(file.bytes.into_owned())),
        _ => Err(Problem::because(Code::InternalError, format!("the embedded file {name} is missing"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::precondition::IfNoneMatch;

    /// What the page's `src` and `href` name.
    fn referenced() -> Vec<&'static str> {
        let attributes = PAGE.split("src=\"").skip(1).chain(PAGE.split("href=\"").skip(1));
        attributes.filter_map(|rest| rest.split('"').next()).collect()
    }

    #[tokio::test]
    async fn everything_the_page_loads_is_embedded() {
        let names: Vec<_> = referenced().into_iter().filter_map(|path| path.strip_prefix("/docs/")).collect();
        assert!(names.len() >= 4, "{names:?}");
        for name in names {
            let response = asset(Segment(name.to_owned()), IfNoneMatch(None)).await.unwrap();
            assert_eq!(response.status(), 200, "{name}");
        }
    }

    #[test]
    fn the_page_has_no_inline_script_or_style_and_names_no_host() {
        assert!(!PAGE.contains("<style") && !PAGE.contains("style=") && !PAGE.contains("onload"));
        for script in PAGE.split("<script").skip(1) {
            assert!(script.starts_with(" src=\"/docs/"), "{script}");
        }
        assert!(referenced().iter().all(|path| path.starts_with('/') && !path.starts_with("//")));
        assert!(!START.contains("//"));
    }
}

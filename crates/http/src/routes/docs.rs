//! `/openapi.json`, and the readable reference made from it at `/docs`: Swagger UI with everything embedded, under a
//! policy that lets it load nothing from anywhere else.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use bytes::Bytes;
use http::HeaderValue;

use crate::answer::ready::{Document, Ready};
use crate::extract::path::Segment;
use crate::pages::Asked;
use crate::problem::{Code, Problem, errors_html};
use crate::state::SharedApp;

const PAGE: &str = include_str!("../../assets/docs.html");
const START: &str = include_str!("../../assets/start.js");
const STYLE: &str = include_str!("../../assets/reference.css");
const HOUR: HeaderValue = HeaderValue::from_static("public, max-age=3600");

/// The OpenAPI document
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "operating",
    responses((status = 200, description = "This document.", body = Object)))]
pub(crate) async fn openapi(State(app): State<SharedApp>, asked: Asked) -> Response {
    let document = Document { media_type: crate::answer::JSON, cache_control: app.caching.control.clone() };
    asked.respond_with(&app.openapi, &document)
}

/// The reference.
pub(crate) async fn page() -> Html<&'static str> {
    Html(PAGE)
}

/// What the reference loads, and the page of problem codes.
pub(crate) async fn asset(Segment(name): Segment, asked: Asked) -> Result<Response, Problem> {
    if name == "errors" {
        return Ok(Html(errors_html()).into_response());
    }
    let asset = ASSETS.get(name.as_str()).ok_or_else(|| Problem::new(Code::NotFound, Code::NotFound.about()))?;
    let document = Document { media_type: HeaderValue::from_static(asset.0), cache_control: HOUR };
    Ok(asked.respond_with(&asset.1, &document))
}

/// By name: media type and bytes, in each coding made once.
static ASSETS: LazyLock<HashMap<&'static str, (&'static str, Ready)>> = LazyLock::new(|| {
    let own = [
        ("start.js", "text/javascript; charset=utf-8", Bytes::from_static(START.as_bytes())),
        ("reference.css", "text/css; charset=utf-8", Bytes::from_static(STYLE.as_bytes())),
    ];
    let vendored = [
        ("swagger-ui.css", "text/css; charset=utf-8"),
        ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
        ("favicon-32x32.png", "image/png"),
    ];
    let vendored = vendored.into_iter().filter_map(|(name, media_type)| Some((name, media_type, file(name)?)));
    own.into_iter().chain(vendored).map(|(name, media_type, bytes)| (name, (media_type, fixed(bytes)))).collect()
});

fn file(name: &str) -> Option<Bytes> {
    let file = utoipa_swagger_ui::serve(name, std::sync::Arc::new(utoipa_swagger_ui::Config::default()));
    Some(Bytes::from(file.ok()??.bytes.into_owned()))
}

/// What changes with the program only.
pub(crate) fn fixed(bytes: Bytes) -> Ready {
    Ready::new(0, true, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let response = asset(Segment(name.to_owned()), Asked::default()).await.unwrap();
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

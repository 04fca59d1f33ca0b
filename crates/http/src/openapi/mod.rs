//! The OpenAPI 3.1 document, made from the handlers' annotations.
//!
//! [`schema`] has the shapes of bodies, [`parameters`] those of query strings and headers; both exist for the document
//! alone, and tests hold them against the catalogue. [`problems`] adds to every operation the problems it can answer,
//! from the one table of codes.

pub(crate) mod parameters;
mod problems;
pub(crate) mod schema;

use haat_oauth::scope::Scope;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{ClientCredentials, Flow, OAuth2, Scopes, SecurityScheme};
use utoipa::openapi::{Components, OpenApi};

use crate::router::{bounded, streaming};

const ABOUT: &str = "\
A product catalogue: listings, full-text search, facets and suggestions answered from an index, single products and \
writes from SQL, a resumable change feed, streamed imports and exports.\n\n\
Every answer that is not a success is a problem (RFC 9457) whose `code` is stable; [/docs/errors](/docs/errors) lists \
them. Money is integer minor units with an ISO 4217 code. Times are RFC 3339 in UTC. `HEAD` works wherever `GET` does.";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Haat", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    tags(
        (name = "products", description = "Listing, searching, reading and writing products"),
        (name = "imports", description = "Many products at once, in and out"),
        (name = "changes", description = "What changed, in order"),
        (name = "sources", description = "Upstream catalogues: how they stand, and what they shall do"),
        (name = "access", description = "Tokens, and the clients that get them"),
        (name = "operating", description = "For those who run the server"),
    ),
    components(schemas(schema::Problem)),
)]
struct Frame;

/// The document, complete.
pub fn openapi() -> OpenApi {
    let mut document = Frame::openapi();
    document.info.description = Some(ABOUT.to_owned());
    document.merge(bounded().into_openapi());
    document.merge(streaming().into_openapi());
    let scopes = Scope::ALL.map(|scope| (scope.name(), scope.about()));
    let flow = Flow::ClientCredentials(ClientCredentials::new("/oauth/token", Scopes::from_iter(scopes)));
    let oauth = OAuth2::with_description([flow], "Tokens of machine clients; `haat clients create` makes a client.");
    document.components.get_or_insert_with(Components::new).add_security_scheme("oauth", SecurityScheme::OAuth2(oauth));
    problems::describe(&mut document);
    document
}

/// The document as `/openapi.json` answers it and as it is kept in the repository.
pub(crate) fn to_json() -> String {
    // The document is plain data with text keys.
    let mut json = openapi().to_pretty_json().unwrap_or_default();
    json.push('\n');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn document() -> Value {
        serde_json::from_str(&to_json()).unwrap()
    }

    fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        paths
            .flat_map(|(p, item)| item.as_object().unwrap().iter().map(move |(m, op)| (p.as_str(), m.as_str(), op)))
            .collect()
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for part in text.split("\"$ref\":\"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }

    #[test]
    fn every_schema_is_referred_to() {
        let document = document();
        let text = document.to_string();
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "nothing refers to {name}");
        }
    }

    /// Of two schemas of one name the document has one, and whoever means the other is told something else: which shows in
    /// nothing but the code.
    #[test]
    fn no_two_schemas_have_one_name() {
        let mut names = BTreeSet::new();
        for text in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
            let (mut derives, mut renamed) = (false, None);
            let lists = text.contains("described! {");
            for line in text.lines().map(str::trim_start) {
                derives |= line.starts_with("#[derive(") && line.contains("ToSchema");
                renamed = line.strip_prefix("#[schema(as = ").and_then(first_word).or(renamed);
                let listed = line.split_once(" => ").map(|(name, _)| name);
                let listed = listed
                    .filter(|name| lists && name.starts_with(char::is_uppercase) && first_word(name) == Some(name));
                let declared =
                    declared(line).filter(|_| std::mem::take(&mut derives)).map(|own| renamed.take().unwrap_or(own));
                for name in listed.into_iter().chain(declared) {
                    assert!(names.insert(name.to_owned()), "two schemas are called {name}");
                }
            }
        }
        assert!(names.len() > 50 && names.contains("LiveStatus") && names.contains("SuggestedProduct"), "{names:?}");
    }

    /// The type that a line declares.
    fn declared(line: &str) -> Option<&str> {
        let line = line.trim_start_matches("pub(crate) ").trim_start_matches("pub ");
        line.strip_prefix("struct ").or_else(|| line.strip_prefix("enum ")).and_then(first_word)
    }

    fn first_word(text: &str) -> Option<&str> {
        text.split(|c: char| !c.is_alphanumeric()).next()
    }

    /// All that is written in a folder of sources.
    fn sources(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries
            .flat_map(|path| match path.is_dir() {
                true => sources(&path),
                false => vec![std::fs::read_to_string(&path).unwrap()],
            })
            .collect()
    }

    #[test]
    fn every_operation_is_described_with_its_problems() {
        let document = document();
        let operations = operations(&document);
        assert_eq!(operations.len(), 33, "{:?}", operations.iter().map(|(p, m, _)| (p, m)).collect::<Vec<_>>());
        let ids: BTreeSet<_> = operations.iter().map(|(_, _, op)| op["operationId"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), operations.len());
        // The OAuth endpoints have a form of their own for errors.
        for (path, method, operation) in operations.into_iter().filter(|(path, ..)| !path.contains("oauth")) {
            assert!(operation["summary"].is_string(), "{method} {path}");
            for status in ["405", "414", "431", "500"] {
                assert!(
                    operation["responses"][status]["content"]["application/problem+json"].is_object(),
                    "{method} {path} {status}"
                );
            }
            if matches!(method, "post" | "put" | "patch") {
                for status in ["400", "401", "413", "415", "503"] {
                    assert!(operation["responses"][status].is_object(), "{method} {path} {status}");
                }
            }
        }
    }

    #[test]
    fn the_listing_documents_the_parameters_that_the_catalogue_knows() {
        let document = document();
        let listed = document["paths"]["/v1/products"]["get"]["parameters"].as_array().unwrap().iter();
        let listed: BTreeSet<_> = listed.filter(|p| p["in"] == "query").map(|p| p["name"].as_str().unwrap()).collect();
        let known: BTreeSet<_> = haat_catalog::query::parse::PARAMETERS.iter().copied().collect();
        assert_eq!(listed, known);
    }

    #[test]
    fn no_parameter_is_nullable_for_a_query_string_has_no_null() {
        let document = document();
        for (path, method, operation) in operations(&document) {
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(!parameter["schema"].to_string().contains("null"), "{method} {path} {parameter}");
            }
        }
    }
}

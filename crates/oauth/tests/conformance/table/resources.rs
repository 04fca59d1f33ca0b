//! For which resource a token is.

use serde_json::json;

use super::{INVALID_TARGET, Row, granted, refused};
use crate::request::Request;
use crate::stage::{AUDIENCE, ISSUER, PARTNER, STOCK, Stage};

pub fn rows(stage: &Stage) -> Vec<Row> {
    let ask = |resources: &[&str]| {
        resources.iter().fold(stage.asked_by("basic"), |request: Request, one| request.with("resource", one))
    };
    let section = "RFC 8707 §2";
    let no = |name, resources: &[&str]| refused(name, section, ask(resources), INVALID_TARGET);
    vec![
        granted("no resource is this server", "RFC 9068 §3", ask(&[])).claim("aud", AUDIENCE),
        granted("this server by name", section, ask(&[AUDIENCE])).claim("aud", AUDIENCE),
        granted("a resource of a partner", section, ask(&[PARTNER])).claim("aud", PARTNER),
        granted("a resource that is a URN", section, ask(&[STOCK])).claim("aud", STOCK),
        granted("several resources", section, ask(&[PARTNER, STOCK])).claim("aud", json!([PARTNER, STOCK])),
        granted("a partner's and this server", section, ask(&[PARTNER, AUDIENCE]))
            .claim("aud", json!([PARTNER, AUDIENCE])),
        granted("a resource twice", section, ask(&[PARTNER, PARTNER])).claim("aud", PARTNER),
        no("a resource that the client may not ask for", &["https://bank.example/"]).says("may not ask"),
        no("one that it may ask for and one that it may not", &[PARTNER, "https://bank.example/"]),
        no("a resource with a fragment", &["https://partner.example/api#part"]).says("fragment"),
        no("a resource with an empty fragment", &["https://partner.example/api#"]).says("fragment"),
        no("a relative resource", &["/api"]).says("absolute"),
        no("a resource without a scheme", &["partner.example/api"]).says("absolute"),
        no("a resource of two slashes", &["//partner.example/api"]),
        no("a resource that is no URI", &["not a uri"]),
        no("a resource with a space before it", &[" https://partner.example/api"]),
        no("a resource with a slash more", &["https://partner.example/api/"]),
        no("a resource with a query", &["https://partner.example/api?a=b"]),
        no("a resource with other case", &["https://partner.example/API"]),
        no("a resource under the allowed one", &["https://partner.example/api/v1"]),
        no("a resource above the allowed one", &["https://partner.example/"]),
        no("the issuer is not the resource", &[ISSUER]),
        no("several resources in one parameter", &["https://partner.example/api urn:partner:stock"]),
    ]
}

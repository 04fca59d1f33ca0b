//! How a form may be sent.

use haat_oauth::server::MAX_FORM;
use http::header;

use super::{INVALID_CLIENT, INVALID_REQUEST, Row, UNSUPPORTED_GRANT, granted, refused};
use crate::request::{Endpoint, Request};
use crate::stage::Stage;

pub fn rows(stage: &Stage) -> Vec<Row> {
    let mut rows = types(stage);
    rows.extend(bodies(stage));
    rows
}

fn types(stage: &Stage) -> Vec<Row> {
    let form = "application/x-www-form-urlencoded";
    let of = |kind: &str| stage.asked_by("basic").of_type(Some(kind));
    let section = "RFC 6749 §4.4.2";
    let no = |name, kind: &str| refused(name, section, of(kind), INVALID_REQUEST).says("Content-Type");
    let twice = stage.asked_by("basic").field(header::CONTENT_TYPE, form);
    vec![
        granted("a form with its charset", section, of(&format!("{form};charset=UTF-8"))),
        granted("a form with its charset in quotes", section, of(&format!("{form} ; charset=\"utf-8\""))),
        granted("a form's type in capitals", "RFC 9110 §8.3.1", of(&form.to_uppercase())),
        granted("a form with an unknown parameter of its type", "RFC 9110 §8.3.1", of(&format!("{form};colour=green"))),
        no("JSON", "application/json"),
        no("multipart", "multipart/form-data; boundary=x"),
        no("plain text", "text/plain"),
        no("a type that only begins like a form", "application/x-www-form-urlencoded2"),
        no("an empty type", ""),
        refused("no type", section, stage.asked_by("basic").of_type(None), INVALID_REQUEST),
        refused("the type twice", "RFC 9110 §5.3", twice, INVALID_REQUEST),
    ]
}

fn bodies(stage: &Stage) -> Vec<Row> {
    let bare = || Request::to(Endpoint::Token).basic("basic", stage.secret("basic"));
    let raw = |body: &str| bare().raw(body.as_bytes());
    let section = "RFC 6749 §4.4.2";
    vec![
        granted("an encoded name", section, raw("grant%5Ftype=client_credentials")),
        granted("an encoded value", section, raw("grant_type=client%5fcredentials")),
        granted("a plus as a space", section, raw("grant_type=client_credentials&scope=imports+products:write"))
            .scope("products:write imports"),
        granted("%20 as a space", section, raw("grant_type=client_credentials&scope=imports%20products%3Awrite"))
            .scope("products:write imports"),
        granted("empty pairs", section, raw("&&grant_type=client_credentials&&")),
        granted("a name without a value", section, raw("scope&grant_type=client_credentials")),
        refused("an empty body", section, bare(), INVALID_REQUEST),
        refused("JSON that says to be a form", section, raw(r#"{"grant_type":"client_credentials"}"#), INVALID_REQUEST),
        refused("a name with other case", section, raw("Grant_Type=client_credentials"), INVALID_REQUEST),
        refused("a name with a space", section, raw("+grant_type=client_credentials"), INVALID_REQUEST),
        refused("a semicolon divides nothing", section, raw("a=b;grant_type=client_credentials"), INVALID_REQUEST),
        refused(
            "an escape that is none in a grant",
            section,
            raw("grant_type=client%zzcredentials"),
            UNSUPPORTED_GRANT,
        ),
        refused(
            "bytes that are no UTF-8",
            "RFC 6749 §B",
            bare().raw(b"grant_type=client_credentials&x=\xff"),
            INVALID_REQUEST,
        ),
        refused(
            "an escape that is no UTF-8 text",
            "RFC 6749 §B",
            raw("grant_type=client_credentials&scope=%ff"),
            INVALID_REQUEST,
        ),
        refused("UTF-16", "RFC 6749 §B", bare().raw(b"\xfe\xff\0g\0r\0a\0n\0t"), INVALID_REQUEST),
        refused("a NUL in a value", section, raw("grant_type=client_credentials%00"), INVALID_REQUEST),
        refused("a NUL in a scope", section, raw("grant_type=client_credentials&scope=imports%00"), INVALID_REQUEST),
        refused("a NUL in an id", section, Request::token().post("post\0", stage.secret("post")), INVALID_REQUEST),
        granted(
            "a value that nobody knows may be anything",
            "RFC 6749 §3.2",
            raw("grant_type=client_credentials&x=%ff%00"),
        ),
        granted(
            "many unknown parameters",
            "RFC 6749 §3.2",
            raw(&format!("{}grant_type=client_credentials", "a=b&".repeat(2_000))),
        ),
        granted("as large as a form may be", "wire.md request", raw(&of_size(MAX_FORM))),
        refused("too large for a form", "wire.md request", raw(&of_size(MAX_FORM + 1)), INVALID_REQUEST).says("larger"),
        refused("a long id", section, Request::token().post(&"x".repeat(5_000), "y"), INVALID_CLIENT),
        refused("a long secret", section, Request::token().post("post", &"y".repeat(5_000)), INVALID_CLIENT),
    ]
}

/// A form of so many bytes.
fn of_size(bytes: usize) -> String {
    let form = "grant_type=client_credentials&x=";
    format!("{form}{}", "y".repeat(bytes - form.len()))
}

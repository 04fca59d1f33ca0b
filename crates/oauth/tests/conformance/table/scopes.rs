//! What may be asked for.

use super::{INVALID_SCOPE, Row, granted, refused};
use crate::clients::SCOPES;
use crate::stage::Stage;

pub fn rows(stage: &Stage) -> Vec<Row> {
    let ask = |scope: &str| stage.asked_by("basic").with("scope", scope);
    let section = "RFC 6749 §3.3";
    let ok = |name, scope: &str, given| granted(name, section, ask(scope)).scope(given);
    let no = |name, scope: &str| refused(name, section, ask(scope), INVALID_SCOPE);
    vec![
        granted("no scope is all that the client may", section, stage.asked_by("basic")).scope(SCOPES),
        ok("one scope", "imports", "imports"),
        ok("two scopes", "products:write imports", "products:write imports"),
        ok("two scopes the other way round", "imports products:write", "products:write imports"),
        ok("all scopes", SCOPES, SCOPES),
        ok("a scope that is named twice", "imports imports", "imports"),
        no("an unknown scope", "products:delete").says("products:delete"),
        no("a scope of another kind of server", "openid"),
        no("a wildcard", "products:*"),
        no("a scope that the client may not have", "clients:manage").says("may only ask for"),
        no("one that it may have and one that it may not", "imports operate"),
        no("one that it may have and an unknown one", "imports colour"),
        no("two spaces in between", "imports  changes:read"),
        no("a space before", " imports"),
        no("a space after", "imports "),
        no("only a space", " "),
        no("a tab in between", "imports\tchanges:read"),
        no("a line end in between", "imports\nchanges:read"),
        no("a comma in between", "imports,changes:read"),
        no("a scope with other case", "Imports"),
        no("a scope in quotes", "\"imports\"").hides("\\\""),
        no("a scope with a backslash", "imports\\").hides("\\"),
        no("a scope beyond ASCII", "impörts").hides("ö"),
        no("a scope with control characters", "a\u{1b}[31m").hides("[31m"),
        no("a very long scope", &"x".repeat(10_000))
            .hides("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
        no("a secret in place of a scope", stage.secret("basic")).hides("haat_"),
        refused(
            "no scope at all that there is",
            section,
            stage.asked_by("basic").with("scope", "a b c d"),
            INVALID_SCOPE,
        ),
    ]
}

//! The conformance table: a row is a request and what its answer must be, with the section that says so. The rows of a
//! part are sent in order, to one server whose clock stands still.

pub mod answers;
pub mod assertion_keys;
pub mod assertions;
pub mod authentication;
pub mod basic;
pub mod encodings;
pub mod grants;
pub mod introspection;
pub mod parameters;
pub mod proofs;
pub mod published;
pub mod resources;
pub mod revocation;
pub mod scopes;

use std::collections::HashSet;

use http::HeaderName;
use rstest::rstest;
use serde_json::{Value, json};

use crate::jwt;
use crate::request::{Answer, Endpoint, Request};
use crate::stage::Stage;

/// A status and an error code.
pub type Error = (u16, &'static str);

pub const INVALID_REQUEST: Error = (400, "invalid_request");
pub const INVALID_CLIENT: Error = (401, "invalid_client");
pub const INVALID_SCOPE: Error = (400, "invalid_scope");
pub const INVALID_TARGET: Error = (400, "invalid_target");
pub const INVALID_PROOF: Error = (400, "invalid_dpop_proof");
pub const UNAUTHORIZED_CLIENT: Error = (400, "unauthorized_client");
pub const UNSUPPORTED_GRANT: Error = (400, "unsupported_grant_type");

/// One case.
pub struct Row {
    pub name: &'static str,
    /// The section that it is about.
    pub section: &'static str,
    pub request: Request,
    status: u16,
    error: Option<&'static str>,
    more: Vec<Expected>,
}

/// Something about an answer.
#[derive(Debug)]
enum Expected {
    /// The whole body.
    Body(Value),
    /// The names of its members, all of them, in order.
    Members(&'static [&'static str]),
    /// A member of the body; not there if null.
    Member(&'static str, Value),
    /// A claim of the token in it; not there if null.
    Claim(&'static str, Value),
    /// The header of the token in it.
    TokenHeader(Value),
    /// A header field.
    Field(HeaderName, &'static str),
    /// Words of the description.
    Says(&'static str),
    /// A member of the first key of a key set.
    Key(&'static str, &'static str),
    /// Characters that are nowhere in the body.
    Hides(&'static str),
}

/// A row that gets what it asks for.
pub fn granted(name: &'static str, section: &'static str, request: Request) -> Row {
    Row { name, section, request, status: 200, error: None, more: Vec::new() }
}

/// A row that is refused.
pub fn refused(name: &'static str, section: &'static str, request: Request, (status, error): Error) -> Row {
    Row { status, error: Some(error), ..granted(name, section, request) }
}

impl Row {
    pub fn body(self, body: Value) -> Self {
        self.also(Expected::Body(body))
    }

    pub fn members(self, names: &'static [&'static str]) -> Self {
        self.also(Expected::Members(names))
    }

    pub fn member(self, name: &'static str, value: impl Into<Value>) -> Self {
        self.also(Expected::Member(name, value.into()))
    }

    pub fn claim(self, name: &'static str, value: impl Into<Value>) -> Self {
        self.also(Expected::Claim(name, value.into()))
    }

    pub fn token_header(self, header: Value) -> Self {
        self.also(Expected::TokenHeader(header))
    }

    pub fn field(self, name: HeaderName, value: &'static str) -> Self {
        self.also(Expected::Field(name, value))
    }

    pub fn says(self, words: &'static str) -> Self {
        self.also(Expected::Says(words))
    }

    pub fn says_of_key(self, name: &'static str, value: &'static str) -> Self {
        self.also(Expected::Key(name, value))
    }

    pub fn hides(self, text: &'static str) -> Self {
        self.also(Expected::Hides(text))
    }

    /// With these scopes in answer and token.
    pub fn scope(self, scope: &'static str) -> Self {
        self.member("scope", scope).claim("scope", scope)
    }

    fn also(mut self, expected: Expected) -> Self {
        self.more.push(expected);
        self
    }

    /// What is wrong with an answer.
    fn check(&self, answer: &Answer) -> Result<(), String> {
        let error = answer.json["error"].as_str();
        if (answer.status, error) != (self.status, self.error) {
            return Err(format!("expected {} {}", self.status, self.error.unwrap_or("without an error")));
        }
        if !matches!(self.request.endpoint, Endpoint::Metadata | Endpoint::Jwks) {
            answer.check_form(self.request.endpoint)?;
        }
        self.more.iter().find(|expected| !expected.holds(answer)).map_or(Ok(()), |e| Err(format!("expected {e:?}")))
    }
}

impl Expected {
    fn holds(&self, answer: &Answer) -> bool {
        let token = || jwt::read(answer.json["access_token"].as_str().unwrap_or_default());
        match self {
            Self::Body(body) => answer.json == *body,
            Self::Members(names) => {
                let members: Vec<&str> = answer
                    .json
                    .as_object()
                    .into_iter()
                    .flat_map(|members| members.keys().map(String::as_str))
                    .collect();
                members == *names
            }
            Self::Member(name, value) => answer.json[*name] == *value,
            Self::Claim(name, value) => token().1[*name] == *value,
            Self::TokenHeader(header) => token().0 == *header,
            Self::Field(name, value) => answer.field(name) == Some(value),
            Self::Says(words) => answer.json["error_description"].as_str().is_some_and(|text| text.contains(words)),
            Self::Key(name, value) => answer.json["keys"][0][*name] == **value,
            Self::Hides(text) => !answer.text().contains(text),
        }
    }
}

/// A part of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Grants,
    Basic,
    Authentication,
    Assertions,
    AssertionKeys,
    Encodings,
    Parameters,
    Scopes,
    Resources,
    Proofs,
    Answers,
    Introspection,
    Revocation,
    Published,
}

impl Part {
    pub const ALL: [Self; 14] = [
        Self::Grants,
        Self::Basic,
        Self::Authentication,
        Self::Assertions,
        Self::AssertionKeys,
        Self::Encodings,
        Self::Parameters,
        Self::Scopes,
        Self::Resources,
        Self::Proofs,
        Self::Answers,
        Self::Introspection,
        Self::Revocation,
        Self::Published,
    ];

    pub async fn rows(self, stage: &Stage) -> Vec<Row> {
        match self {
            Self::Grants => grants::rows(stage),
            Self::Basic => basic::rows(stage),
            Self::Authentication => authentication::rows(stage),
            Self::Assertions => assertions::rows(stage),
            Self::AssertionKeys => assertion_keys::rows(stage),
            Self::Encodings => encodings::rows(stage),
            Self::Parameters => parameters::rows(stage),
            Self::Scopes => scopes::rows(stage),
            Self::Resources => resources::rows(stage),
            Self::Proofs => proofs::rows(stage),
            Self::Answers => answers::rows(stage).await,
            Self::Introspection => introspection::rows(stage).await,
            Self::Revocation => revocation::rows(stage).await,
            Self::Published => published::rows(stage),
        }
    }
}

#[rstest]
#[tokio::test]
async fn every_row_holds(
    #[values(
        Part::Grants,
        Part::Basic,
        Part::Authentication,
        Part::Assertions,
        Part::AssertionKeys,
        Part::Encodings,
        Part::Parameters,
        Part::Scopes,
        Part::Resources,
        Part::Proofs,
        Part::Answers,
        Part::Introspection,
        Part::Revocation,
        Part::Published
    )]
    part: Part,
) {
    let stage = Stage::new().await;
    let mut failures = Vec::new();
    for row in part.rows(&stage).await {
        let answer = stage.send(&row.request).await;
        if let Err(why) = row.check(&answer) {
            let Row { name, section, .. } = row;
            failures.push(format!("{name} ({section}): {why}, got {} {}", answer.status, answer.text()));
        }
    }
    assert!(failures.is_empty(), "{} rows of {part:?} fail:\n  {}", failures.len(), failures.join("\n  "));
}

#[tokio::test]
async fn there_are_150_rows_and_more_each_with_its_own_name_and_its_section() {
    let stage = Stage::new().await;
    let mut names = HashSet::new();
    for part in Part::ALL {
        for row in part.rows(&stage).await {
            assert!(names.insert(row.name), "two rows are called '{}'", row.name);
            let (document, rest) = row.section.split_once(' ').unwrap();
            assert!(matches!(document, "RFC" | "wire.md"), "{}: {}", row.name, row.section);
            assert!(document == "wire.md" || rest.contains('§'), "{}: which section of {}?", row.name, row.section);
        }
    }
    assert!(names.len() >= 150, "{} rows", names.len());
}

/// `{"active": false}` and nothing else.
pub fn inactive() -> Value {
    json!({"active": false})
}

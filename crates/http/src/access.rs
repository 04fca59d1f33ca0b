//! The access token of a request: found in its header fields, checked once, and kept beside the request for whoever asks
//! what it may do (RFC 6750, RFC 9449 §7).

use std::sync::Arc;

use haat_oauth::dpop::{DPOP, ProofError};
use haat_oauth::jwks::ALGORITHMS;
use haat_oauth::resource::{BadToken, Seen, Verified};
use haat_oauth::scope::Scope;
use http::{HeaderMap, HeaderValue, Method, Uri, header};

use crate::problem::{Code, Problem};
use crate::state::App;

/// What a request showed.
#[derive(Debug, Clone, Default)]
pub(crate) enum Presented {
    /// No token.
    #[default]
    Nothing,
    /// A good one.
    Token(Arc<Verified>),
    /// One that is not good, and what to answer where it matters.
    Bad(Problem),
}

impl Presented {
    /// The token, if there is one.
    pub fn token(&self) -> Result<Option<Arc<Verified>>, Problem> {
        match self {
            Self::Nothing => Ok(None),
            Self::Token(token) => Ok(Some(Arc::clone(token))),
            Self::Bad(problem) => Err(problem.clone()),
        }
    }
}

/// How a token was sent.
enum Scheme {
    Bearer,
    Dpop,
}

/// The token that a connection showed last, as it was sent, and what was found of it: most show the same one each time.
#[derive(Default)]
pub(crate) struct LastShown(Option<(HeaderValue, Seen)>);

impl LastShown {
    /// The header field, if it was of these bytes.
    pub fn same_as(&self, bytes: &[u8]) -> Option<&HeaderValue> {
        self.0.as_ref().map(|(shown, _)| shown).filter(|shown| shown.as_bytes() == bytes)
    }

    /// What is said by a header field that is the only one of its name, if it is the same as the last time.
    fn again(&self, app: &App, headers: &HeaderMap) -> Option<Arc<Verified>> {
        let (shown, seen) = self.0.as_ref()?;
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let same = values.next() == Some(shown) && values.next().is_none();
        if same { app.services.access.verifier.still_good(seen) } else { None }
    }
}

/// What a request shows, if that can be told at once: nothing, or a token that was found good before.
pub(crate) fn at_hand(app: &App, headers: &HeaderMap, last: &mut LastShown) -> Option<Presented> {
    let Some(shown) = headers.get(header::AUTHORIZATION) else { return Some(Presented::Nothing) };
    if let Some(verified) = last.again(app, headers) {
        return Some(Presented::Token(verified));
    }
    match credentials(headers).ok()?? {
        (Scheme::Bearer, token) => {
            let (seen, verified) = app.services.access.verifier.seen(token)?;
            if verified.bound_to.is_some() {
                return None;
            }
            // A copy: as it came it would keep the whole head of the request in memory.
            *last = LastShown(HeaderValue::from_bytes(shown.as_bytes()).ok().map(|shown| (shown, seen)));
            Some(Presented::Token(verified))
        }
        // A proof is good once, which somebody else may have to be asked about.
        (Scheme::Dpop, _) => None,
    }
}

/// What a request shows.
pub(crate) async fn presented(app: &App, method: &Method, uri: &Uri, headers: &HeaderMap) -> Presented {
    if let Some(presented) = at_hand(app, headers, &mut LastShown::default()) {
        return presented;
    }
    match check(app, method, uri, headers).await {
        Ok(Some(verified)) => Presented::Token(verified),
        Ok(None) => Presented::Nothing,
        Err(problem) => Presented::Bad(problem),
    }
}

async fn check(app: &App, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Option<Arc<Verified>>, Problem> {
    let Some((scheme, token)) = credentials(headers)? else { return Ok(None) };
    let access = &app.services.access;
    let verified = access.verifier.verify(token).await.map_err(|e| invalid_token(&scheme, &e))?;
    match (&scheme, &verified.bound_to) {
        (Scheme::Bearer, None) => {}
        // Whoever has it without its key has stolen it.
        (Scheme::Bearer, Some(_)) | (Scheme::Dpop, None) => return Err(invalid_token(&scheme, &BadToken)),
        (Scheme::Dpop, Some(key)) => {
            // Not what the request says of itself: a proof that was made for another server would fit here otherwise.
            let urls = access.server.options().urls(uri.path());
            let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
            let now = app.services.clock.now();
            let proved = access.proofs.prove(headers, method.as_str(), &urls, Some(token), now).await;
            match proved.map_err(bad_proof)? {
                Some(proved) if *proved == **key => {}
                Some(_) => return Err(invalid_token(&scheme, &BadToken)),
                None => return Err(bad_proof(ProofError::Malformed)),
            }
        }
    }
    Ok(Some(verified))
}

/// Whether the token that a request showed is good at this moment and may be used for that: what lasts longer than a moment
/// must not outlive it.
pub(crate) async fn still(app: &App, headers: &HeaderMap, scope: Scope) -> Result<(), Problem> {
    let Some((scheme, token)) = credentials(headers)? else { return Err(no_token()) };
    let verified = app.services.access.verifier.verify(token).await.map_err(|e| invalid_token(&scheme, &e))?;
    if verified.scopes.contains(scope) { Ok(()) } else { Err(missing_scope(scope, &verified)) }
}

/// The token of a request and how it was sent; nothing if there are no credentials, or none that are a token.
fn credentials(headers: &HeaderMap) -> Result<Option<(Scheme, &str)>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid_request("the request has more than one Authorization header"));
    }
    let Ok(text) = value.to_str() else { return Err(invalid_request("the Authorization header is no text")) };
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let scheme = match scheme {
        name if name.eq_ignore_ascii_case("Bearer") => Scheme::Bearer,
        name if name.eq_ignore_ascii_case("DPoP") => Scheme::Dpop,
        _ => return Ok(None),
    };
    Ok(Some((scheme, token.trim())))
}

/// RFC 6750 §3: without credentials a challenge says nothing but what is wanted.
pub(crate) fn no_token() -> Problem {
    Problem::new(Code::Unauthorized, Code::Unauthorized.about()).with_header(header::WWW_AUTHENTICATE, "Bearer")
}

fn invalid_token(scheme: &Scheme, error: &BadToken) -> Problem {
    let challenge = match scheme {
        Scheme::Bearer => format!("Bearer error=\"invalid_token\", error_description=\"{error}\""),
        Scheme::Dpop => {
            format!("DPoP error=\"invalid_token\", error_description=\"{error}\", algs=\"{}\"", algorithms())
        }
    };
    Problem::new(Code::InvalidToken, Code::InvalidToken.about()).with_header(header::WWW_AUTHENTICATE, &challenge)
}

fn bad_proof(error: ProofError) -> Problem {
    let challenge =
        format!("DPoP error=\"invalid_dpop_proof\", error_description=\"{error}\", algs=\"{}\"", algorithms());
    Problem::new(
        Code::InvalidToken,
        format!("The {DPOP} header does not prove that the token is the caller's: {error}."),
    )
    .with_header(header::WWW_AUTHENTICATE, &challenge)
}

fn invalid_request(what: &str) -> Problem {
    let challenge = format!("Bearer error=\"invalid_request\", error_description=\"{what}\"");
    Problem::new(Code::InvalidCredentials, format!("The request's credentials cannot be read: {what}."))
        .with_header(header::WWW_AUTHENTICATE, &challenge)
}

/// RFC 6750 §3.1; RFC 9449 §7.1 for a token that is bound to a key.
pub(crate) fn missing_scope(scope: Scope, token: &Verified) -> Problem {
    let challenge = match token.bound_to {
        None => format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\""),
        Some(_) => format!("DPoP error=\"insufficient_scope\", scope=\"{scope}\", algs=\"{}\"", algorithms()),
    };
    Problem::new(Code::InsufficientScope, format!("The token does not have the scope '{scope}', which this needs."))
        .with("scope", scope.name())
        .with_header(header::WWW_AUTHENTICATE, &challenge)
}

fn algorithms() -> String {
    ALGORITHMS.map(|(name, _)| name).join(" ")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn challenges(problem: Problem) -> Vec<String> {
        let response = axum::response::IntoResponse::into_response(problem);
        let values = response.headers().get_all(header::WWW_AUTHENTICATE).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn without_a_token_the_challenge_is_bare() {
        assert_eq!(challenges(no_token()), ["Bearer"]);
    }

    #[test]
    fn a_missing_scope_is_named() {
        let mut token = Verified {
            client: "shop".into(),
            scopes: Default::default(),
            expires_at: haat_catalog::Timestamp::from_millis(0),
            bound_to: None,
            policy: None,
        };
        let challenge = challenges(missing_scope(Scope::ProductsWrite, &token));
        assert_eq!(challenge, ["Bearer error=\"insufficient_scope\", scope=\"products:write\""]);
        token.bound_to = Some("thumbprint".into());
        let challenge = challenges(missing_scope(Scope::ProductsWrite, &token)).join("");
        assert!(challenge.starts_with("DPoP error=\"insufficient_scope\", scope=\"products:write\", algs=\""));
    }

    #[rstest]
    #[case(&["Bearer a.b.c"], Some("a.b.c"))]
    #[case(&["bearer  a.b.c"], Some("a.b.c"))]
    #[case(&["DPoP a.b.c"], Some("a.b.c"))]
    #[case(&["Bearer"], Some(""))]
    #[case(&["Basic a"], None)]
    #[case(&["Bearera.b.c"], None)]
    #[case(&[], None)]
    fn tokens_are_found(#[case] values: &[&'static str], #[case] token: Option<&str>) {
        let values = values.iter().map(|v| (header::AUTHORIZATION, http::HeaderValue::from_static(v)));
        let headers = HeaderMap::from_iter(values);
        assert_eq!(credentials(&headers).unwrap().map(|(_, token)| token), token);
    }

    #[test]
    fn two_sets_of_credentials_are_refused() {
        let mut headers = HeaderMap::new();
        for token in ["Bearer a", "Bearer b"] {
            headers.append(header::AUTHORIZATION, http::HeaderValue::from_static(token));
        }
        assert!(credentials(&headers).is_err());
    }
}

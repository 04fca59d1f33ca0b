//! No secret and no token is in any log, whatever is sent where.

use std::collections::HashSet;
use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use haat_oauth::dpop::DPOP;
use http::header::AUTHORIZATION;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt};

use crate::jwt::Jwt;
use crate::request::{Answer, Endpoint, Request};
use crate::stage::{ISSUER, Stage};
use crate::table::Part;

/// All that was logged.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// From now on every line of this process, at every level, as text and as JSON.
    fn capture() -> Self {
        let log = Self::default();
        let (plain, json) = (log.clone(), log.clone());
        let plain = fmt::layer().with_ansi(false).with_writer(move || plain.clone()).with_filter(LevelFilter::TRACE);
        let json = fmt::layer().json().with_writer(move || json.clone()).with_filter(LevelFilter::TRACE);
        Registry::default().with(plain).with(json).try_init().expect("no other test captures the log");
        log
    }

    /// The lines so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

/// What must not be found. Shorter texts may be found by chance, and are no secrets.
#[derive(Default)]
struct Secrets(HashSet<String>);

impl Secrets {
    const SHORTEST: usize = 16;

    fn add(&mut self, text: &str) {
        if text.len() >= Self::SHORTEST {
            self.0.insert(text.to_owned());
        }
        // A part of a token is as bad as all of it: the claims tell, the signature lets others use it.
        if text.contains('.') {
            text.split('.').skip(1).filter(|part| part.len() >= Self::SHORTEST).for_each(|part| {
                self.0.insert(part.to_owned());
            });
        }
    }

    fn add_bytes(&mut self, bytes: &[u8]) {
        self.add(&URL_SAFE_NO_PAD.encode(bytes));
        self.add(&STANDARD.encode(bytes));
        self.add(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        self.add(&format!("{bytes:?}"));
    }

    fn add_request(&mut self, request: &Request) {
        for name in [AUTHORIZATION, DPOP] {
            for value in request.headers.get_all(name) {
                let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
                let credentials = text.split_once(' ').map_or(&*text, |(_, credentials)| credentials);
                self.add(credentials);
                let pair = STANDARD.decode(credentials).unwrap_or_default();
                String::from_utf8_lossy(&pair).split(':').skip(1).for_each(|secret| self.add(secret));
            }
        }
        for (name, value) in form_urlencoded::parse(&request.body) {
            if ["client_secret", "client_assertion", "token"].contains(&&*name) {
                self.add(&value);
            }
        }
    }

    fn add_answer(&mut self, answer: &Answer) {
        self.add(answer.json["access_token"].as_str().unwrap_or_default());
    }
}

#[tokio::test]
async fn no_secret_and_no_token_is_in_any_log() {
    let log = Log::capture();
    tracing::trace!("every level is captured");
    let mut secrets = Secrets::default();
    for part in Part::ALL {
        let stage = Stage::new().await;
        for row in part.rows(&stage).await {
            secrets.add_request(&row.request);
            secrets.add_answer(&stage.send(&row.request).await);
        }
        use_tokens(&stage, &mut secrets).await;
        administrate(&stage, &mut secrets).await;
    }
    let log = log.text();
    for line in
        ["token issued", "client refused", "token revoked", "client created", "client secret rotated", "every level"]
    {
        assert!(log.contains(line), "'{line}' is not in the log: it was not captured");
    }
    assert!(secrets.0.len() > 400, "{} secrets were used", secrets.0.len());
    for secret in &secrets.0 {
        if let Some(at) = log.find(&**secret) {
            let line = log[..at].rfind('\n').map_or(0, |at| at + 1);
            let end = log[at..].find('\n').map_or(log.len(), |end| at + end);
            panic!("'{secret}' is in the log: {}", &log[line..end]);
        }
    }
}

/// The side of those who check tokens.
async fn use_tokens(stage: &Stage, secrets: &mut Secrets) {
    let token = stage.issue(&stage.asked_by("basic")).await;
    let tampered = crate::jwt::tampered(&token, 1, "scope", "operate");
    for token in [&*token, &tampered, stage.secret("basic")] {
        secrets.add(token);
        let _ = stage.replica.verifier.verify(token).await;
    }
    let revoke = Request::revoke(&token).basic("basic", stage.secret("basic"));
    assert_eq!(stage.send(&revoke).await.status, 200);
    stage.replica.server.write_uses().await.unwrap();
}

/// What is made, kept and rotated.
async fn administrate(stage: &Stage, secrets: &mut Secrets) {
    secrets.add(&stage.master.to_text());
    stage.secrets.values().for_each(|secret| secrets.add(secret));
    let rotated = stage.admin.rotate("basic", None, "test").await.unwrap();
    secrets.add(&rotated.secret.unwrap());
    rotated.client.secrets.iter().for_each(|secret| secrets.add_bytes(&secret.hash));
    stage.admin.rotate_keys("test").await.unwrap();
    for key in stage.store.keys().await.unwrap() {
        secrets.add_bytes(&key.sealed);
        secrets.add_bytes(&stage.vault.open(&key.kid, &key.sealed).unwrap());
    }
    stage.replica.directory.refresh().await.unwrap();
    stage.store.close().await;
    assert!(stage.replica.directory.refresh().await.is_err());
}

/// Sends requests that are refused. Each has one line in the audit log, with the client if it is one, and no secret.
async fn assert_audited(stage: &Stage, refused: impl IntoIterator<Item = (&str, Request, &str)>) {
    let log = Log::default();
    let writer = log.clone();
    let layer = fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let _here = Registry::default().with(layer).set_default();
    for (name, request, client) in refused {
        let (before, answer) = (log.text().len(), stage.send(&request).await);
        assert!(answer.status >= 400, "{name}");
        let line = log.text().split_off(before);
        assert_eq!(line.matches("client refused").count(), 1, "{name}: {line}");
        assert!(line.contains(&format!("client=\"{client}\"")), "{name}: {line}");
        assert!(line.contains("203.0.113.7"), "{name}: {line}");
    }
    let text = log.text();
    assert!(!text.contains("haat_secret") && !stage.secrets.values().any(|secret| text.contains(secret)), "{text}");
}

/// Whoever looks for somebody who guesses finds every attempt.
#[tokio::test]
async fn every_refusal_to_authenticate_is_in_the_audit_log() {
    let stage = Stage::with_failures(1, 1_000).await;
    let token = Request::token;
    let secret = stage.secret("basic");
    let refused = [
        ("nothing", token(), "unknown"),
        ("a scheme that is none", token().authorization("Bearer haat_secret-in-a-wrong-place"), "unknown"),
        ("no base64", token().authorization("Basic haat_secret-in-a-wrong-place"), "unknown"),
        ("two ways", token().basic("basic", secret).post("basic", secret), "unknown"),
        ("another id beside it", token().basic("basic", secret).with("client_id", "haat_secret-as-an-id"), "unknown"),
        ("a statement without its type", token().with("client_assertion", "haat_secret-in-a-wrong-place"), "unknown"),
        ("a wrong secret", token().basic("other", "haat_secret-that-is-wrong"), "other"),
        ("too many failures", token().basic("other", secret), "other"),
        ("an unknown client", token().basic("haat_secret-as-an-id", secret), "unknown"),
    ];
    assert_audited(&stage, refused).await;
}

/// And whoever looks for what goes wrong finds the rest, at every endpoint.
#[tokio::test]
async fn every_other_refusal_is_in_the_audit_log() {
    let stage = Stage::new().await;
    let theirs = stage.issue(&stage.asked_by("other")).await;
    let own = stage.issue(&stage.asked_by("basic")).await;
    let by = |request: Request| request.basic("basic", stage.secret("basic"));
    let endpoints = [Endpoint::Token, Endpoint::Introspect, Endpoint::Revoke];
    for endpoint in endpoints {
        let refused = [
            ("no form", by(Request::to(endpoint)).of_type(None), "unknown"),
            ("twice", by(Request::to(endpoint)).with("client_id", "basic").with("client_id", "basic"), "unknown"),
            ("too large", by(Request::to(endpoint)).with("colour", &"x".repeat(70_000)), "unknown"),
            ("what must be there is not", by(Request::to(endpoint)), "basic"),
        ];
        assert_audited(&stage, refused).await;
    }
    let token = || stage.asked_by("basic");
    let in_a_wrong_place = format!("haat_secret{}", "x".repeat(37));
    let refused = [
        ("another grant", by(Request::to(Endpoint::Token).with("grant_type", "haat_secret")), "basic"),
        ("no grants", stage.asked_by("checker"), "checker"),
        ("an unknown scope", token().with("scope", &in_a_wrong_place), "basic"),
        ("more than it may", token().with("scope", "operate"), "basic"),
        ("another resource", token().with("resource", "https://haat_secret.example/"), "basic"),
        ("no proof", stage.asked_by("bound"), "bound"),
        ("another client's token", by(Request::revoke(&theirs)), "basic"),
    ];
    assert_audited(&stage, refused).await;
    let statement = Jwt::statement("ed", ISSUER, stage.now()).by(stage.signer("ed"));
    stage.store.close().await;
    let refused = [
        ("nobody knows whether it was used", Request::token().assertion(&statement), "ed"),
        ("it cannot be revoked", by(Request::revoke(&own)), "basic"),
    ];
    assert_audited(&stage, refused).await;
}

//! What clients prove themselves with is in no line of the log.

use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;
use serde_json::{Value, json};

use super::base64url;
use crate::harness::{Backend, Reply, SOON, Server, Stage, eventually};

/// A key of a client that signs, made by the `openssl` program.
pub struct Key(PathBuf);

impl Key {
    pub fn make(path: PathBuf) -> Self {
        openssl(&["genpkey", "-algorithm", "ed25519", "-out", text(&path)]);
        Self(path)
    }

    /// The private key, PEM.
    pub fn pem(&self) -> String {
        std::fs::read_to_string(&self.0).unwrap()
    }

    /// The public one.
    pub fn jwks(&self) -> Value {
        let der = openssl(&["pkey", "-in", text(&self.0), "-pubout", "-outform", "DER"]);
        // RFC 8410 §4: the key itself is at the end.
        let x = base64url::encode(&der[der.len() - 32..]);
        json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x}]})
    }

    fn signed(&self, claims: &Value) -> String {
        let header = json!({"alg": "EdDSA"});
        let message = format!("{}.{}", base64url::encode(header.to_string()), base64url::encode(claims.to_string()));
        let file = self.0.with_extension("message");
        std::fs::write(&file, &message).unwrap();
        let signature = openssl(&["pkeyutl", "-sign", "-rawin", "-inkey", text(&self.0), "-in", text(&file)]);
        format!("{message}.{}", base64url::encode(signature))
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn openssl(args: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(args).output().expect("openssl is there");
    assert!(output.status.success(), "openssl {args:?}: {output:?}");
    output.stdout
}

/// What follows `Basic` on the wire.
fn basic(server: &Server, client: (&str, &str)) -> String {
    let request = server.bare(Method::GET, "/").basic_auth(client.0, Some(client.1)).build().unwrap();
    request.headers()["authorization"].to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned()
}

impl Server {
    async fn made(&self, input: Value) -> Value {
        self.send(self.request(Method::POST, "/v1/clients").json(&input)).await.expect(201).json()
    }

    async fn posted(&self, body: String) -> Reply {
        let form = self.bare(Method::POST, "/oauth/token").header("content-type", "application/x-www-form-urlencoded");
        self.send(form.body(body)).await
    }
}

const GRANT: &str = "grant_type=client_credentials";

/// Sends everything that must not be seen, good and bad; gives it with its names.
async fn said_to(server: &Server, key: &Key) -> Vec<(&'static str, String)> {
    let (id, secret) = server.client_with(&["changes:read"]).await;
    let wrong = "haat_wrong-secret-of-somebody";
    let token = server.token_of(&id, &secret, &[]).await;
    server.changes_with(&token).await.expect(200);
    server.form("/oauth/token", (&id, wrong), GRANT.into()).await.expect(401);
    server.form("/oauth/introspect", (&id, &secret), format!("token={token}")).await.expect(200);
    server.form("/oauth/revoke", (&id, &secret), format!("token={token}")).await.expect(200);
    server.changes_with(&token).await.expect(401);

    let poster = json!({"id": "poster", "name": "P", "scopes": ["imports"], "auth_method": "client_secret_post"});
    let posted = server.made(poster).await["client_secret"].as_str().unwrap().to_owned();
    server.posted(format!("{GRANT}&client_id=poster&client_secret={posted}")).await.expect(200);
    server.posted(format!("{GRANT}&client_id=poster&client_secret={wrong}")).await.expect(401);

    let signer = json!({"id": "signer", "name": "S", "scopes": ["imports"], "auth_method": "private_key_jwt",
        "jwks": key.jwks()});
    server.made(signer).await;
    let until = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 60;
    let claims =
        json!({"iss": "signer", "sub": "signer", "aud": "http://haat.test", "exp": until, "jti": "statement-1"});
    let statement = key.signed(&claims);
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let stated = format!("{GRANT}&client_assertion_type={kind}&client_assertion={statement}");
    server.posted(stated.clone()).await.expect(200);
    // Each is good once.
    server.posted(stated).await.expect(401);
    vec![
        ("secret on the wire", basic(server, (&id, &secret))),
        ("secret", secret),
        ("wrong secret on the wire", basic(server, (&id, wrong))),
        ("wrong secret", wrong.to_owned()),
        ("signature of a token", signature(&token)),
        ("token", token),
        ("secret in a body", posted),
        ("signature of a statement", signature(&statement)),
        ("statement", statement),
    ]
}

fn signature(jwt: &str) -> String {
    jwt.rsplit('.').next().unwrap().to_owned()
}

#[tokio::test]
async fn secrets_tokens_and_statements_are_in_no_line_of_the_log() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("RUST_LOG", "trace");
    let server = stage.start().await;
    let hidden = said_to(&server, &Key::make(stage.file("signer.pem"))).await;
    // The last that was done.
    eventually("the log is written", SOON, async || server.log().contains("jti was used before").then_some(())).await;
    let log = server.log();
    for (what, hidden) in hidden {
        assert!(!log.contains(&hidden), "the {what} is in the log");
    }
    for said in ["token issued", "token revoked", "client refused", "client created"] {
        assert!(log.contains(said), "{said}");
    }
}

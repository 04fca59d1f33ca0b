//! Every operation of the served document asks for the scope that the document says, for no other, and before anything else.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Backend, Reply, Server, Stage, least};

/// What must be among the operations that need a scope, whatever else is.
const GUARDED: [(&str, &str, &str); 21] = [
    ("POST", "/v1/products", "products:write"),
    ("PUT", "/v1/products/{key}", "products:write"),
    ("PATCH", "/v1/products/{key}", "products:write"),
    ("DELETE", "/v1/products/{key}", "products:write"),
    ("POST", "/v1/imports", "imports"),
    ("GET", "/v1/imports/{id}", "imports"),
    ("DELETE", "/v1/imports/{id}", "imports"),
    ("GET", "/v1/export", "products:read"),
    ("GET", "/v1/changes", "changes:read"),
    ("GET", "/v1/clients", "clients:manage"),
    ("POST", "/v1/clients", "clients:manage"),
    ("GET", "/v1/clients/{id}", "clients:manage"),
    ("PATCH", "/v1/clients/{id}", "clients:manage"),
    ("DELETE", "/v1/clients/{id}", "clients:manage"),
    ("POST", "/v1/clients/{id}/rotate", "clients:manage"),
    ("GET", "/v1/sources", "sources:manage"),
    ("GET", "/v1/sources/{name}", "sources:manage"),
    ("POST", "/v1/sources/{name}/sync", "sources:manage"),
    ("DELETE", "/v1/sources/{name}/sync", "sources:manage"),
    ("PUT", "/v1/sources/{name}/breaker", "sources:manage"),
    ("GET", "/metrics", "operate"),
];
/// What `auth.public_read` opens to everybody.
const READING: [&str; 3] = ["/v1/products", "/v1/products/{key}", "/v1/suggest"];

/// An operation of the document.
#[derive(Debug)]
struct Operation {
    method: Method,
    /// With the names of its parameters.
    path: String,
    /// What must be in its query.
    query: String,
    /// The scope that it needs.
    scope: Option<String>,
    /// Of which type its body is.
    body: Option<String>,
}

impl Operation {
    fn read(method: &str, path: &str, described: &Value) -> Self {
        let scope = described.get("security").map(|security| {
            let scopes = security[0]["oauth"].as_array().unwrap();
            assert_eq!((security.as_array().unwrap().len(), scopes.len()), (1, 1), "{method} {path}: {security}");
            scopes[0].as_str().unwrap().to_owned()
        });
        let types = described["requestBody"]["content"].as_object();
        let body = types.and_then(|types| types.keys().next().cloned());
        let parameters = described["parameters"].as_array().into_iter().flatten();
        let needed = parameters.filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
        let query: Vec<String> = needed.map(|parameter| format!("{}=a", parameter["name"].as_str().unwrap())).collect();
        let method = method.to_uppercase().parse().unwrap();
        Self { method, path: path.to_owned(), query: query.join("&"), scope, body }
    }

    /// All operations of a document; whatever answers GET answers HEAD.
    fn all(document: &Value) -> Vec<Self> {
        let mut operations = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, described) in methods.as_object().unwrap() {
                operations.push(Self::read(method, path, described));
                if method == "get" {
                    operations.push(Self::read("head", path, described));
                }
            }
        }
        operations
    }

    /// An endpoint that asks for a client's own credentials instead of a token.
    fn wants_a_client(&self) -> bool {
        self.path.starts_with("/oauth/") && self.method == Method::POST
    }

    /// Of a client, an import and a product that there may be; whether a caller may ask comes first.
    async fn call(&self, server: &Server, token: Option<&str>) -> Reply {
        let path = self.path.replace("{key}", "A").replace("{id}", "01900000-0000-7000-8000-000000000000");
        let path = path.replace("{name}", "market");
        assert!(!path.contains('{'), "what is a plausible value in {path}?");
        let mut request = server.bare(self.method.clone(), &format!("{path}?{}", self.query));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &self.body {
            request = request.header("content-type", body).body("{}");
        }
        server.send(request).await
    }

    async fn is_open(&self, server: &Server) {
        let reply = self.call(server, None).await;
        assert!(reply.status < 400, "{self:?} is open to everybody: {reply:?}");
    }

    async fn needs(&self, scope: &str, server: &Server, tokens: &Tokens) {
        // With the right first: what that one was given may be kept, and must not be given to the others.
        let allowed = self.call(server, Some(&tokens.only[scope])).await;
        assert!(![401, 403].contains(&allowed.status) && allowed.status < 500, "{self:?} with {scope}: {allowed:?}");
        let nobody = self.call(server, None).await;
        assert_eq!((nobody.status, challenges(&nobody)), (401, vec!["Bearer"]), "{self:?} without a token: {nobody:?}");
        let other = self.call(server, Some(&tokens.all_but[scope])).await;
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
        assert_eq!((other.status, challenges(&other)), (403, vec![&*challenge]), "{self:?} without {scope}: {other:?}");
        if self.method != Method::HEAD {
            nobody.problem(401, "unauthorized");
            assert_eq!(other.problem(403, "insufficient_scope")["scope"], scope, "{self:?}");
        }
    }
}

fn challenges(reply: &Reply) -> Vec<&str> {
    reply.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap()).collect()
}

/// Tokens by a scope.
struct Tokens {
    /// With that scope alone.
    only: BTreeMap<String, String>,
    /// With all but that scope.
    all_but: BTreeMap<String, String>,
}

impl Tokens {
    async fn of(server: &Server, document: &Value) -> Self {
        let flow = &document["components"]["securitySchemes"]["oauth"]["flows"]["clientCredentials"];
        let scopes: Vec<&str> = flow["scopes"].as_object().unwrap().keys().map(String::as_str).collect();
        let (id, secret) = server.client_with(&scopes).await;
        let (mut only, mut all_but) = (BTreeMap::new(), BTreeMap::new());
        for scope in &scopes {
            let others: Vec<&str> = scopes.iter().copied().filter(|other| other != scope).collect();
            only.insert((*scope).to_owned(), server.token_of(&id, &secret, &[("scope", scope)]).await);
            all_but.insert((*scope).to_owned(), server.token_of(&id, &secret, &[("scope", &others.join(" "))]).await);
        }
        Self { only, all_but }
    }
}

#[tokio::test]
async fn every_operation_needs_the_scope_that_the_document_names_and_the_others_nothing() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let document = server.get("/openapi.json").await.expect(200).json();
    let operations = Operation::all(&document);
    for (method, path, scope) in GUARDED {
        let is_it = |operation: &&Operation| operation.method == method && operation.path == path;
        let found = operations.iter().find(is_it).unwrap_or_else(|| panic!("{method} {path} is not in the document"));
        assert_eq!(found.scope.as_deref(), Some(scope), "{method} {path} in the document");
    }
    let tokens = Tokens::of(&server, &document).await;
    for operation in operations.iter().filter(|operation| !operation.wants_a_client()) {
        // Some of them remove it.
        let put = server.put(&least("A", "Apple", 1)).await;
        assert!(put.status < 300, "{put:?}");
        match &operation.scope {
            Some(scope) => operation.needs(scope, &server, &tokens).await,
            None => operation.is_open(&server).await,
        }
    }
}

#[tokio::test]
async fn where_reading_is_not_open_it_needs_its_scope_and_what_was_open_besides_stays_so() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_AUTH__PUBLIC_READ", "false");
    let server = stage.start().await;
    server.put(&least("A", "Apple", 1)).await.expect(201);
    let document = server.get("/openapi.json").await.expect(200).json();
    let operations = Operation::all(&document);
    let tokens = Tokens::of(&server, &document).await;
    let open = |operation: &&Operation| operation.scope.is_none() && !operation.wants_a_client();
    let (reading, open): (Vec<_>, Vec<_>) =
        operations.iter().filter(open).partition(|operation| READING.contains(&&*operation.path));
    assert_eq!(reading.len(), 2 * READING.len(), "GET and HEAD of each: {reading:?}");
    // Twice: the second time answers are at hand.
    for operation in reading.iter().chain(&reading) {
        operation.needs("products:read", &server, &tokens).await;
    }
    for operation in open {
        operation.is_open(&server).await;
    }
}

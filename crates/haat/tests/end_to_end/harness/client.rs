//! Requests and what comes back.

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::Server;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// A header's text, empty when it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// Whether a cache had the answer.
    pub fn is_hit(&self) -> bool {
        self.header("cache-status").starts_with("haat; hit")
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The page as JSON, without the place in the change log that it was made at.
    #[track_caller]
    pub fn page(&self) -> Value {
        let mut page = self.json();
        page.as_object_mut().unwrap().remove("seq");
        page
    }

    /// The status is this one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The place of the change that a write made.
    #[track_caller]
    pub fn seq(&self) -> u64 {
        self.header("haat-seq").parse().unwrap_or_else(|_| panic!("no Haat-Seq in {self:?}"))
    }

    /// The answer is a problem (RFC 9457) of this status and code, with everything that a problem must have.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["type"].as_str().is_some_and(|t| t.ends_with(code)), "{problem}");
        for member in ["title", "detail", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|t| !t.is_empty()), "{member} in {problem}");
        }
        problem
    }

    /// A problem whose `errors` name this pointer.
    #[track_caller]
    pub fn problem_at(&self, status: u16, code: &str, pointer: &str) -> Value {
        let problem = self.problem(status, code);
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("errors in {problem}"));
        assert!(errors.iter().any(|e| e["pointer"] == pointer && e["detail"].is_string()), "{pointer} in {problem}");
        problem
    }
}

impl Server {
    /// A request without a token.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path))
    }

    /// A request to a path that is already encoded, with a token where one is needed.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let open = ["/v1/products", "/v1/suggest", "/v1/limits"].iter().any(|open| path.starts_with(open));
        let needs_token = path.starts_with("/v1/") && (method != Method::GET && method != Method::HEAD || !open);
        let request = self.client.request(method, self.url(path));
        if needs_token { request.bearer_auth(self.token()) } else { request }
    }

    /// Sends a request.
    #[track_caller]
    pub fn send(&self, request: RequestBuilder) -> impl Future<Output = Reply> + use<> {
        let place = std::panic::Location::caller();
        async move {
            match try_send(request).await {
                Ok(reply) => reply,
                Err(e) => panic!("{place}: {e:?}"),
            }
        }
    }

    /// `GET` of a path.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// A listing.
    pub async fn list<N: AsRef<str>, V: AsRef<str>>(&self, pairs: &[(N, V)]) -> Reply {
        let mut url = self.url("/v1/products");
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs.iter().map(|(n, v)| (n.as_ref(), v.as_ref())));
        }
        self.send(self.client.get(url)).await
    }

    /// How many products a listing with these filters finds.
    pub async fn total(&self, pairs: &[(&str, &str)]) -> u64 {
        let reply = self.list(&[pairs, &[("limit", "1")]].concat()).await.expect(200);
        reply.json()["total"]["value"].as_u64().unwrap()
    }

    /// A request about the product of that sku.
    pub fn about(&self, method: Method, sku: &str) -> RequestBuilder {
        let mut url = self.url("/v1/products");
        url.path_segments_mut().unwrap().push(sku);
        let writes = method != Method::GET && method != Method::HEAD;
        let request = self.client.request(method, url);
        if writes { request.bearer_auth(self.token()) } else { request }
    }

    /// Reads a product by its sku.
    pub async fn product(&self, sku: &str) -> Reply {
        self.send(self.about(Method::GET, sku)).await
    }

    /// Writes the product of that sku.
    pub async fn put(&self, product: &Value) -> Reply {
        let sku = product["sku"].as_str().unwrap();
        self.send(self.about(Method::PUT, sku).json(product)).await
    }

    /// Creates a product.
    pub async fn post(&self, product: &Value) -> Reply {
        self.send(self.request(Method::POST, "/v1/products").json(product)).await
    }

    /// Applies a merge patch.
    pub async fn patch(&self, sku: &str, patch: &Value) -> Reply {
        let request = self.about(Method::PATCH, sku).header("content-type", "application/merge-patch+json");
        self.send(request.body(patch.to_string())).await
    }

    /// Deletes a product.
    pub async fn delete(&self, sku: &str) -> Reply {
        self.send(self.about(Method::DELETE, sku)).await
    }
}

/// Sends a request of which the answer may never come.
pub async fn try_send(request: RequestBuilder) -> Result<Reply, reqwest::Error> {
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Ok(Reply { status, headers, body: response.bytes().await? })
}

/// The ids on a page, in order.
#[track_caller]
pub fn ids(page: &Value) -> Vec<String> {
    members(page, "id")
}

/// The skus on a page, in order.
#[track_caller]
pub fn skus(page: &Value) -> Vec<String> {
    members(page, "sku")
}

#[track_caller]
fn members(page: &Value, name: &str) -> Vec<String> {
    let data = page["data"].as_array().unwrap_or_else(|| panic!("no data in {page}"));
    data.iter().map(|p| p[name].as_str().unwrap().to_owned()).collect()
}

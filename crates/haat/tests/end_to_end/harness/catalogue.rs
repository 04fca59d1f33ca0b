//! Getting catalogues in and out.

use std::time::Duration;

use haat_catalog::Product;
use haat_testkit::generate::written;
use reqwest::Method;
use serde_json::{Value, json};

use super::{SOON, Server, Stage, eventually};

/// The least that makes a product.
pub fn least(sku: &str, name: &str, amount: i64) -> Value {
    json!({"sku": sku, "name": name, "price": {"amount": amount, "currency": "INR"}})
}

/// Products as lines, the way an import takes them.
pub fn ndjson<'a>(products: impl IntoIterator<Item = &'a Product>) -> Vec<u8> {
    products.into_iter().flat_map(|p| format!("{}\n", written(p)).into_bytes()).collect()
}

/// The catalogue as the database has it, by export.
pub async fn products_of(stage: &Stage) -> Vec<Product> {
    let exported = stage.run(&["export"]).await.succeeded();
    exported.stdout.lines().map(|line| Product::from_json(line.as_bytes()).unwrap()).collect()
}

impl Server {
    /// Sends an import and gives the job's path.
    pub async fn submit(&self, query: &str, content_type: &str, body: impl Into<Vec<u8>>) -> String {
        let request = self.request(Method::POST, &format!("/v1/imports{query}")).header("content-type", content_type);
        let reply = self.send(request.body(body.into())).await.expect(202);
        reply.header("location").to_owned()
    }

    /// Waits until an import job has ended, and gives it.
    pub async fn job(&self, path: &str, within: Duration) -> Value {
        eventually("the import ends", within, async || {
            let job = self.get(path).await.expect(200).json();
            ["done", "failed", "cancelled"].iter().any(|state| job["state"] == *state).then_some(job)
        })
        .await
    }

    /// Imports lines and waits until listings show them.
    pub async fn import(&self, lines: Vec<u8>) -> Value {
        let path = self.submit("", "application/x-ndjson", lines).await;
        let job = self.job(&path, SOON).await;
        assert_eq!((&job["state"], &job["counts"]["failed"]), (&json!("done"), &json!(0)), "{job}");
        self.caught_up().await;
        job
    }

    /// The newest place in the change log.
    pub async fn head(&self) -> u64 {
        let reply = self.get("/v1/changes?after=0&limit=1").await.expect(200);
        reply.json()["head"].as_u64().unwrap()
    }

    /// Waits until listings show everything that was written before the call.
    pub async fn caught_up(&self) -> u64 {
        let head = self.head().await;
        eventually("the index catches up", SOON, async || {
            let page = self.list(&[("limit", "1"), ("count", "none")]).await.expect(200).json();
            (page["seq"].as_u64().unwrap() >= head).then_some(head)
        })
        .await
    }
}

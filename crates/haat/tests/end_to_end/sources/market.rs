//! The stage of these tests: a demonstration upstream, and a `haat` whose source it is.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use haat_catalog::Product;
use haat_demo_upstream::{DemoUpstream, Options, State};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Backend, Reply, SOON, Server, Stage, eventually, products_of};

/// The upstream.
pub struct Market(DemoUpstream);

impl Deref for Market {
    type Target = DemoUpstream;
    fn deref(&self) -> &DemoUpstream {
        &self.0
    }
}

/// A stage whose configuration has the market as a source that is synchronised only when somebody asks for it, and these
/// settings of the source besides.
pub async fn market(backend: Backend, options: Options, more: &str) -> (Stage, Market) {
    let upstream = DemoUpstream::start(options).await.unwrap();
    let stage = Stage::new(backend).await;
    let section = upstream.sources_section("market");
    // Retries and patience of a test: what fails is tried again soon.
    let settings =
        format!("schedule = \"0s\"\nfull_schedule = \"0s\"\nattempt_timeout = \"2s\"\ntotal_timeout = \"5s\"\n{more}");
    let section = section.replace("schedule = \"10s\"\nfull_schedule = \"5m\"\n", &settings);
    assert!(section.contains("attempt_timeout"), "{section}");
    stage.configure(&section);
    (stage, Market(upstream))
}

impl Market {
    /// The upstream itself.
    pub fn upstream(&self) -> &DemoUpstream {
        &self.0
    }

    /// Compares the catalogue with the upstream, field by field.
    pub async fn is_what_haat_has(&self, stage: &Stage) {
        self.is_what_haat_has_but_for(stage, &[]).await;
    }

    /// The same without some members.
    pub async fn is_what_haat_has_but_for(&self, stage: &Stage, without: &[&str]) {
        let comparable = |mut value: Value| {
            let members = value.as_object_mut().unwrap();
            for own in ["id", "version", "updated_at"].iter().chain(without) {
                members.remove(*own);
            }
            value
        };
        let here: BTreeMap<String, Value> = products_of(stage)
            .await
            .iter()
            .map(|p: &Product| (p.sku.as_str().to_owned(), comparable(serde_json::to_value(p).unwrap())))
            .collect();
        let there: BTreeMap<String, Value> =
            self.products().iter().map(|p| (p.sku.clone(), comparable(expected(p)))).collect();
        for (sku, product) in &there {
            assert_eq!(here.get(sku), Some(product), "{sku}");
        }
        let only_here: Vec<_> = here.keys().filter(|sku| !there.contains_key(*sku)).collect();
        assert!(only_here.is_empty(), "not upstream: {only_here:?}");
    }
}

/// What a product of the upstream is here; written down once more, apart from the mapping that is tested.
fn expected(theirs: &haat_demo_upstream::Product) -> Value {
    let money = |price: &haat_demo_upstream::Price| json!({"amount": price.cents, "currency": price.currency});
    let or_null = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    let variants = theirs.options.iter().map(|option| {
        json!({"sku": option.sku, "name": option.title, "price": null, "stock": option.quantity, "attributes": {}})
    });
    json!({
        "id": null,
        "sku": theirs.sku,
        "name": theirs.title,
        "description": or_null(&theirs.text),
        "brand": theirs.maker,
        "category": theirs.path,
        "tags": theirs.labels,
        "price": money(&theirs.price),
        "list_price": theirs.was_price.as_ref().map(money),
        "stock": theirs.quantity,
        "unit": null,
        "rating": theirs.rating,
        "seller": null,
        "location": null,
        "attributes": theirs.specs,
        "images": theirs.images,
        "variants": variants.collect::<Vec<_>>(),
        "status": if theirs.state == State::On { "active" } else { "archived" },
        "created_at": theirs.created,
        "updated_at": null,
        "version": null,
    })
}

impl Server {
    /// Asks for a synchronisation.
    pub async fn ask_sync(&self, name: &str, body: &Value) -> Reply {
        self.send(self.request(Method::POST, &format!("/v1/sources/{name}/sync")).json(body)).await
    }

    /// How a source stands.
    pub async fn source(&self, name: &str) -> Value {
        self.get(&format!("/v1/sources/{name}")).await.expect(200).json()
    }

    /// Waits until no run of a source is under way, and gives the newest.
    pub async fn run_of(&self, name: &str, within: Duration) -> Value {
        eventually("the run ends", within, async || {
            let run = self.source(name).await["run"].clone();
            let under_way = ["reading", "removing"].iter().any(|state| run["state"] == *state);
            (!under_way && !run.is_null()).then_some(run)
        })
        .await
    }

    /// Synchronises a source to the end, and gives the run.
    pub async fn synchronize(&self, name: &str, body: &Value) -> Value {
        self.ask_sync(name, body).await.expect(202);
        self.run_of(name, SOON).await
    }
}

//! Searching over HTTP: what is found, in which order, and what is marked.

use haat_testkit::generate::Generator;
use serde_json::json;

use crate::harness::{Backend, Server, Stage, least, ndjson, skus};

async fn shelf(server: &Server) {
    for (sku, name, brand, description) in [
        ("oil", "Olive Oil Extra Virgin", "Fresho", "Cold pressed"),
        ("soap", "Soap Bar", "Olive & Co", "With olive oil"),
        ("dip", "Garlic Dip", "Amul", "Made with olive oil and garlic"),
        ("bottle", "Water Bottle", "Mastercook", "Steel"),
        ("joined", "Waterbottle Red", "Cello", "Plastic"),
        ("creme", "Crème Brûlée", "Nestlé", "Dessert"),
        ("rice", "Basmati Rice", "Fresho", "Long grain"),
    ] {
        let mut product = least(sku, name, 100);
        product["brand"] = json!(brand);
        product["description"] = json!(description);
        server.put(&product).await.expect(201);
    }
    server.caught_up().await;
}

#[tokio::test]
async fn words_are_found_misspelt_joined_split_cut_off_and_without_their_accents() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    shelf(&server).await;
    for (text, first) in [
        ("olive oil", "oil"),
        ("oil olive", "oil"),
        ("olvie oil", "oil"),
        ("olive oi", "oil"),
        ("OLIVES", "oil"),
        ("waterbottle red", "joined"),
        ("water bottle steel", "bottle"),
        ("creme brulee", "creme"),
        ("crème brulée", "creme"),
        ("basmatti rice", "rice"),
        ("bsamati", "rice"),
        ("basm", "rice"),
        ("rice basmati", "rice"),
        ("mastercok", "bottle"),
    ] {
        let page = server.list(&[("q", text)]).await.expect(200).json();
        assert_eq!(skus(&page).first().map(String::as_str), Some(first), "{text}: {:?}", skus(&page));
    }
    for text in ["waterbottle", "water bottle"] {
        let found = skus(&server.list(&[("q", text)]).await.json());
        assert!(found.contains(&"bottle".to_owned()) && found.contains(&"joined".to_owned()), "{text}: {found:?}");
    }
    assert_eq!(
        skus(&server.list(&[("q", "olive oil")]).await.json()),
        ["oil", "soap", "dip"],
        "name, brand, description"
    );
    assert_eq!(server.total(&[("q", "zzzzzz")]).await, 0);
}

#[tokio::test]
async fn the_words_found_are_marked_and_everything_else_is_escaped() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let mut product = least("A", "<b>Olive</b> & \"Oil\"", 1);
    product["description"] = json!("An <i>olive</i> a day");
    server.put(&product).await.expect(201);
    server.caught_up().await;
    let page = server.list(&[("q", "olives"), ("highlight", "true")]).await.expect(200).json();
    let marks = &page["data"][0]["highlight"];
    let name = marks["name"].as_str().unwrap_or_else(|| panic!("{page}"));
    assert!(name.contains("<em>Olive</em>"), "{name}");
    assert!(!name.contains("<b>") && name.contains("&lt;b&gt;") && name.contains("&amp;"), "{name}");
    let description = marks["description"].as_str().unwrap_or_else(|| panic!("{page}"));
    assert!(description.contains("<em>olive</em>") && !description.contains("<i>"), "{description}");
}

#[tokio::test]
async fn suggestions_complete_products_categories_and_brands() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let mut products = Generator::new(101).products(300);
    for product in &mut products {
        product.status = haat_catalog::product::Status::Active;
    }
    server.import(ndjson(&products)).await;
    for text in ["b", "ba", "basm", "basmati r", "water"] {
        let found = server.get(&format!("/v1/suggest?q={}", text.replace(' ', "+"))).await.expect(200).json();
        assert!(found["products"].as_array().is_some_and(|p| !p.is_empty()), "{text}: {found}");
    }
    let found = server.get("/v1/suggest?q=fres").await.expect(200).json();
    assert!(found["brands"].to_string().contains("Fresho"), "{found}");
    let found = server.get("/v1/suggest?q=kitch").await.expect(200).json();
    assert!(found["categories"].to_string().contains("Kitchen"), "{found}");
    // Nothing typed yet.
    let found = server.get("/v1/suggest?q=").await.expect(200).json();
    assert_eq!(found["products"], json!([]));
    server.get("/v1/suggest?q=x&limit=1000").await.problem_at(400, "invalid_parameter", "/limit");
}

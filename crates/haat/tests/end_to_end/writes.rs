//! Creating, replacing, patching, deleting: what is answered, and what is there afterwards.

use reqwest::Method;
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{Backend, Stage, least};

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn a_product_lives_from_its_creation_to_its_deletion(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;

    let created = server.post(&least("A/1 ü", "Apple", 100)).await.expect(201);
    let product = created.json();
    assert_eq!((&product["version"], &product["status"]), (&json!(1), &json!("active")));
    assert_eq!(product["created_at"], product["updated_at"]);
    assert!(created.header("etag").starts_with('"'));
    let location = created.header("location");
    assert_eq!(server.get(&location[location.find("/v1/").unwrap()..]).await.expect(200).json(), product);
    assert_eq!(server.get(&format!("/v1/products/{}", product["id"].as_str().unwrap())).await.json(), product);

    let replaced = server.put(&least("A/1 ü", "Red apple", 120)).await.expect(200);
    assert_eq!(replaced.json()["version"], 2);
    assert_eq!(replaced.json()["id"], product["id"]);
    assert_eq!(replaced.json()["created_at"], product["created_at"]);
    assert!(replaced.seq() > created.seq());

    let patch = json!({"brand": "Fresho", "attributes": {"organic": true, "none": null}, "price": {"amount": 130}});
    let patched = server.patch("A/1 ü", &patch).await.expect(200);
    assert_eq!(patched.json()["price"], json!({"amount": 130, "currency": "INR"}));
    assert_eq!(patched.json()["attributes"], json!({"organic": true}));
    assert_eq!(patched.json()["version"], 3);
    let cleared = server.patch("A/1 ü", &json!({"brand": null, "attributes": {"organic": null}})).await.expect(200);
    assert_eq!((&cleared.json()["brand"], &cleared.json()["attributes"]), (&Value::Null, &json!({})));

    let gone = server.delete("A/1 ü").await.expect(204);
    assert!(gone.seq() > cleared.seq());
    server.product("A/1 ü").await.problem(404, "product_not_found");
    server.delete("A/1 ü").await.problem(404, "product_not_found");
    server.patch("A/1 ü", &json!({"stock": 1})).await.problem(404, "product_not_found");
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn a_write_that_changes_nothing_makes_no_version_and_no_change(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    let first = server.put(&least("A", "Apple", 100)).await.expect(201);
    let head = server.head().await;
    assert_eq!(first.seq(), head);

    let same = server.put(&least("A", "Apple", 100)).await.expect(200);
    assert_eq!((same.json(), same.seq()), (first.json(), first.seq()));
    let sent_back = server.put(&first.json()).await.expect(200);
    assert_eq!((sent_back.json(), sent_back.seq()), (first.json(), first.seq()));
    let patched = server.patch("A", &json!({"name": "Apple", "brand": null})).await.expect(200);
    assert_eq!((patched.json(), patched.header("etag")), (first.json(), first.header("etag")));
    assert_eq!(server.head().await, head);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn every_digit_of_a_number_comes_back_as_it_was_sent(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    // As text: a JSON reader of the test's own might round the same way as the server's.
    let numbers = [
        r#""amount":9007199254740991"#,
        r#""rating":4.300000000000001"#,
        r#""lat":-24.136974067238782"#,
        r#""lon":-120.65487365123505"#,
        r#""a":0.30000000000000004"#,
        r#""b":1e-7"#,
        r#""c":18446744073709551615"#,
        r#""d":5e-324"#,
        r#""e":1.7976931348623157e+308"#,
        r#""f":8.41"#,
        r#""g":2.718281828459045"#,
    ];
    let [amount, rating, lat, lon, attributes @ ..] = numbers;
    let body = format!(
        r#"{{"sku":"A","name":"Apple","price":{{{amount},"currency":"INR"}},{rating},"location":{{{lat},{lon}}},"attributes":{{{}}}}}"#,
        attributes.join(",")
    );
    let put = async |body: Vec<u8>| {
        let request = server.about(Method::PUT, "A").header("content-type", "application/json");
        server.send(request.body(body)).await
    };
    put(body.into_bytes()).await.expect(201);
    let read = server.product("A").await.expect(200);
    let text = String::from_utf8(read.body.to_vec()).unwrap();
    for number in numbers {
        let ends = [",", "}"].iter().any(|end| text.contains(&format!("{number}{end}")));
        assert!(ends, "{number} in {text}");
    }
    let again = put(text.into_bytes()).await.expect(200);
    assert_eq!(again.json()["version"], 1);
}

#[tokio::test]
async fn what_is_taken_stays_with_its_owner() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let first = server.post(&least("A", "Apple", 100)).await.expect(201).json();
    server.post(&least("A", "Another", 1)).await.problem(409, "sku_exists");
    let mut other = least("B", "Bread", 100);
    other["id"] = first["id"].clone();
    server.post(&other).await.problem(409, "id_taken");
    server.put(&other).await.problem(409, "id_taken");
    let mut moved = least("A", "Apple", 100);
    moved["id"] = json!("019aa000-0000-7000-8000-000000000001");
    server.put(&moved).await.problem_at(422, "validation_failed", "/id");
    server.patch("A", &json!({"sku": "C"})).await.problem_at(422, "validation_failed", "/sku");
    server.patch("A", &json!({"price": null})).await.problem_at(422, "validation_failed", "/price");
    assert_eq!(server.product("A").await.json(), first);
    assert_eq!(server.head().await, 1);
}

#[tokio::test]
async fn the_sku_in_the_path_and_the_one_in_the_body_are_the_same() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let reply = server.send(server.about(Method::PUT, "A").json(&least("B", "Bread", 1))).await;
    reply.problem_at(422, "validation_failed", "/sku");
    assert_eq!(server.head().await, 0);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn skus_that_differ_in_case_accents_or_trailing_characters_are_different(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    let alike = [
        "straße",
        "strasse",
        "STRASSE",
        "e\u{301}",
        "é",
        "a",
        "A",
        "ａ",
        "a\u{200b}",
        "😀",
        "a b",
        "a%20b",
        "a+b",
        "...",
    ];
    for (i, sku) in alike.iter().enumerate() {
        server.post(&least(sku, "n", i as i64)).await.expect(201);
    }
    for (i, sku) in alike.iter().enumerate() {
        assert_eq!(server.product(sku).await.expect(200).json()["price"]["amount"], i as i64, "{sku}");
    }
}

#[tokio::test]
async fn writing_needs_a_token_with_the_scope_for_it() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let put = |token: Option<&str>| {
        let request = server.bare(Method::PUT, "/v1/products/A").json(&least("A", "Apple", 1));
        server.send(if let Some(token) = token { request.bearer_auth(token) } else { request })
    };
    let bare = put(None).await;
    bare.problem(401, "unauthorized");
    assert_eq!(bare.header("www-authenticate"), "Bearer");
    let wrong = put(Some("not.a.token")).await;
    wrong.problem(401, "invalid_token");
    assert!(wrong.header("www-authenticate").starts_with("Bearer error=\"invalid_token\""));
    let made = stage.run(&["--json", "clients", "create", "--id", "reader", "--name", "R", "--scope", "changes:read"]);
    let secret = made.await.succeeded().json()["client_secret"].as_str().unwrap().to_owned();
    // Made beside the running server, which follows.
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let reader = server.token_of("reader", &secret, &[]).await;
    let refused = put(Some(&reader)).await;
    refused.problem(403, "insufficient_scope");
    assert_eq!(refused.header("www-authenticate"), "Bearer error=\"insufficient_scope\", scope=\"products:write\"");
    assert_eq!(server.total(&[]).await, 0);
    put(Some(&server.token())).await.expect(201);
    server.product("A").await.expect(200);
}

//! Imports over HTTP: every way to send one, what is told about it, and that it may be sent again.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use haat_testkit::generate::Generator;
use rstest::rstest;
use serde_json::{Value, json};

use crate::harness::{Backend, SOON, Server, Stage, least, ndjson, products_of};

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

async fn finished(server: &Server, query: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Value {
    let path = server.submit(query, content_type, body.into()).await;
    server.job(&path, SOON).await
}

#[track_caller]
fn assert_counts(job: &Value, expected: [(&str, u64); 4]) {
    assert_eq!(job["state"], "done", "{job}");
    for (name, count) in expected {
        assert_eq!(job["counts"][name], count, "{name} of {job}");
    }
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn the_same_import_again_changes_nothing_and_logs_nothing(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    let mut generator = Generator::new(81);
    let mut products = generator.products(500);
    let first = finished(&server, "", "application/x-ndjson", ndjson(&products)).await;
    assert_counts(&first, [("created", 500), ("updated", 0), ("unchanged", 0), ("failed", 0)]);
    let (head, before) = (server.head().await, products_of(&stage).await);

    for body in [ndjson(&products), gzip(&ndjson(&products))] {
        let again = finished(&server, "", "application/x-ndjson", body).await;
        assert_counts(&again, [("created", 0), ("updated", 0), ("unchanged", 500), ("failed", 0)]);
    }
    assert_eq!((server.head().await, products_of(&stage).await), (head, before));

    products[7].name = "Another name".into();
    products.push(generator.product());
    let third = finished(&server, "", "application/x-ndjson", ndjson(&products)).await;
    assert_counts(&third, [("created", 1), ("updated", 1), ("unchanged", 499), ("failed", 0)]);
    assert_eq!(server.head().await, head + 2);
}

#[tokio::test]
async fn a_dry_run_says_what_would_happen_and_writes_nothing() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.put(&least("A", "Apple", 1)).await.expect(201);
    server.put(&least("B", "Bread", 1)).await.expect(201);
    let lines = [least("A", "Apple", 1), least("B", "Bread", 2), least("C", "Cake", 3), json!({"sku": "D"})];
    let body: String = lines.iter().map(|l| format!("{l}\n")).collect();
    let job = finished(&server, "?dry_run=true", "application/x-ndjson", body).await;
    assert_counts(&job, [("created", 1), ("updated", 1), ("unchanged", 1), ("failed", 1)]);
    assert_eq!((server.caught_up().await, server.total(&[]).await), (2, 2));
    server.product("C").await.problem(404, "product_not_found");
}

#[tokio::test]
async fn csv_with_every_kind_of_line_end_quote_and_mark_is_read() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let rows = "sku,name,price.amount,price.currency,description\r\n\
                A,\"Apple, red\",100,INR,\"two\r\nlines\"\r\n\
                B,\"Bread \"\"special\"\"\",200,INR,\r\n\
                C,\"\u{1F35A} Crème\",300,EUR,x";
    let variants = [
        rows.to_owned(),
        format!("\u{feff}{rows}"),
        rows.replace("\r\n", "\n"),
        format!("{rows}\r\n\r\n"),
        rows.replace(',', ";").replace("Apple;", "Apple,"),
    ];
    for (n, body) in variants.iter().enumerate() {
        for body in [body.clone().into_bytes(), gzip(body.as_bytes())] {
            let job = finished(&server, "", "text/csv", body).await;
            assert_eq!((&job["state"], &job["counts"]["failed"]), (&json!("done"), &json!(0)), "variant {n}: {job}");
        }
    }
    assert_eq!(server.product("A").await.json()["name"], "Apple, red");
    assert_eq!(server.product("B").await.json()["name"], "Bread \"special\"");
    assert_eq!(server.product("C").await.json()["price"], json!({"amount": 300, "currency": "EUR"}));
}

#[tokio::test]
async fn a_csv_of_somebody_elses_making_is_mapped() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let body = "index,product,category,sub,brand,sale_price,rating\n\
                1,Garlic Oil,\"Beauty & Hygiene\",Hair Care,Sri Sri ,220.50,4.1\n\
                2,Water Bottle,Kitchen,,Mastercook,180,\n";
    let rules = [
        "sku=G{index}",
        "name=product",
        "brand=brand",
        "category=category > sub",
        "price=sale_price:INR",
        "rating=rating",
        "tags:=grocery",
    ];
    let query: String = rules.iter().map(|r| format!("&map={}", encoded(r))).collect();
    let job = finished(&server, &format!("?{}", &query[1..]), "text/csv", body).await;
    assert_counts(&job, [("created", 2), ("updated", 0), ("unchanged", 0), ("failed", 0)]);
    let first = server.product("G1").await.json();
    assert_eq!(first["price"], json!({"amount": 22_050, "currency": "INR"}));
    assert_eq!((&first["brand"], &first["rating"]), (&json!("Sri Sri"), &json!(4.1)));
    assert_eq!((&first["category"], &first["tags"]), (&json!(["Beauty & Hygiene", "Hair Care"]), &json!(["grocery"])));
    let second = server.product("G2").await.json();
    assert_eq!((&second["rating"], &second["category"]), (&Value::Null, &json!(["Kitchen"])));
}

fn encoded(text: &str) -> String {
    let mut url: reqwest::Url = "http://h".parse().unwrap();
    url.query_pairs_mut().append_pair("x", text);
    url.query().unwrap()[2..].to_owned()
}

#[tokio::test]
async fn an_upload_beyond_the_limit_or_without_a_known_kind_is_refused() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_IMPORTS__MAX_SIZE", "100KiB");
    let server = stage.start().await;
    let big = ndjson(&Generator::new(82).products(500));
    assert!(big.len() > 100 << 10);
    let request = server.request(reqwest::Method::POST, "/v1/imports").header("content-type", "application/x-ndjson");
    server.send(request.body(big)).await.problem(413, "payload_too_large");
    let request = server.request(reqwest::Method::POST, "/v1/imports").header("content-type", "image/png");
    server.send(request.body("x")).await.problem(415, "unsupported_media_type");
    let request = server.request(reqwest::Method::POST, "/v1/imports?dry=1").header("content-type", "text/csv");
    server.send(request.body("x")).await.problem(400, "invalid_parameter");
    let request = server.request(reqwest::Method::POST, "/v1/imports?map=nonsense").header("content-type", "text/csv");
    server.send(request.body("x")).await.problem_at(400, "invalid_parameter", "/map");
    assert_eq!(server.head().await, 0);
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_under_way_or_waiting_can_be_cancelled(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    let mut generator = Generator::new(84);
    let running = server.submit("", "application/x-ndjson", ndjson(&generator.products(20_000))).await;
    let waiting = server.submit("", "application/x-ndjson", ndjson(&generator.products(10))).await;
    crate::harness::eventually("some of it is written", SOON, async || {
        let job = server.get(&running).await.expect(200).json();
        job["counts"]["created"].as_u64().filter(|n| *n > 0)
    })
    .await;
    for path in [&waiting, &running, &running] {
        server.send(server.request(reqwest::Method::DELETE, path)).await.expect(204);
    }
    let job = server.get(&running).await.expect(200).json();
    assert_eq!(job["state"], "cancelled", "{job}");
    // The next one is not kept waiting by it, and nothing more of the others is written.
    let next = finished(&server, "", "application/x-ndjson", format!("{}\n", least("Z", "Zest", 1))).await;
    assert_counts(&next, [("created", 1), ("updated", 0), ("unchanged", 0), ("failed", 0)]);
    let created = job["counts"]["created"].as_u64().unwrap();
    assert!(created < 20_000, "{job}");
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, created + 1);
    assert_eq!(server.get(&running).await.json()["counts"], job["counts"]);
    let next = next["id"].as_str().unwrap();
    let again = server.request(reqwest::Method::DELETE, &format!("/v1/imports/{next}"));
    server.send(again).await.problem(409, "import_finished");
    for id in ["019aa000-0000-7000-8000-000000000001", "nonsense"] {
        let unknown = server.request(reqwest::Method::DELETE, &format!("/v1/imports/{id}"));
        server.send(unknown).await.problem(404, "import_not_found");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_was_killed_half_way_goes_on_and_writes_no_row_twice() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let products = Generator::new(83).products(8_000);
    let job = server.submit("", "application/x-ndjson", ndjson(&products)).await;
    let begun = crate::harness::eventually("some of it is written", SOON, async || {
        let job = server.get(&job).await.expect(200).json();
        job["counts"]["created"].as_u64().filter(|n| *n > 0)
    })
    .await;
    server.kill();

    let server = stage.start().await;
    let done = server.job(&job, SOON).await;
    assert_counts(&done, [("created", 8_000), ("updated", 0), ("unchanged", 0), ("failed", 0)]);
    assert!(begun <= 8_000);
    server.caught_up().await;
    assert_eq!((server.total(&[]).await, server.head().await), (8_000, 8_000));
    stage.verify_index().await;
}

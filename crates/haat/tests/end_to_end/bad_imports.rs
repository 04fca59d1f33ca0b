//! Bad imports: every bad record is told by its line and field, the good ones are kept, the whole never stumbles.

use rstest::rstest;
use serde_json::{Value, json};

use super::imports::gzip;
use crate::harness::{Backend, SOON, Server, Stage, least};

async fn finished(server: &Server, query: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Value {
    let path = server.submit(query, content_type, body.into()).await;
    server.job(&path, SOON).await
}

/// The job names an error of this line, at this place, with these words.
#[track_caller]
fn assert_error(job: &Value, line: u64, place: &str, words: &str) {
    let errors = job["errors"].as_array().unwrap_or_else(|| panic!("{job}"));
    let found = errors.iter().any(|e| {
        let place = place.is_empty() || e.to_string().contains(place);
        e["line"] == line && place && e["detail"].as_str().is_some_and(|d| d.to_lowercase().contains(words))
    });
    assert!(found, "line {line}, {place}, '{words}' in {job}");
}

/// What is told about a file goes into a row of the database, whose columns have an end.
#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test]
async fn a_file_of_endless_names_fails_by_itself_and_the_next_import_goes_on(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    let header = server.submit("", "text/csv", "x".repeat(100_000)).await;
    let name = "n".repeat(1_000_000);
    let member = format!("{{\"{name}\":1}}\n");
    let members = server.submit("", "application/x-ndjson", gzip(member.repeat(20).as_bytes())).await;
    let fine = server.submit("", "application/x-ndjson", format!("{}\n", least("A", "Apple", 1))).await;
    let header = server.job(&header, SOON).await;
    assert_eq!(header["state"], "failed", "{header}");
    assert!(header["message"].as_str().is_some_and(|m| m.contains("is a field of a product")), "{header}");
    let members = server.job(&members, SOON).await;
    assert_eq!((&members["state"], &members["counts"]["failed"]), (&json!("done"), &json!(20)));
    assert!(members.to_string().len() < 100_000);
    assert_eq!(server.job(&fine, SOON).await["state"], "done");
}

#[tokio::test]
async fn bad_lines_are_told_by_number_and_field_and_good_ones_are_kept() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let mut body = Vec::new();
    let lines: [&[u8]; 16] = [
        br#"{"sku":"A","name":"Apple","price":{"amount":1,"currency":"INR"}}"#,
        b"{not json",
        br#"{"sku":"B","name":"Bread","price":{"amount":"1","currency":"INR"}}"#,
        br#"{"sku":"C","name":"Cake","price":{"amount":1,"currency":"INRR"}}"#,
        br#"{"sku":"D","nmae":"Date","price":{"amount":1,"currency":"INR"}}"#,
        b"",
        b"{\"sku\":\"E\xff\",\"name\":\"Egg\",\"price\":{\"amount\":1,\"currency\":\"INR\"}}",
        b"[]",
        br#"{"sku":"A","name":"Apple again","price":{"amount":2,"currency":"INR"}}"#,
        br#"{"sku":"F","name":"Fig","price":{"amount":1e400,"currency":"INR"}}"#,
        br#"{"sku":"G","name":"Grape","price":{"amount":9007199254740992,"currency":"INR"}}"#,
        br#"{"sku":"H","name":"Ham","price":{"amount":NaN,"currency":"INR"}}"#,
        br#"{"sku":"I","name":"Ice","price":{"amount":1,"currency":"INR"},"rating":7}"#,
        br#"{"sku":"J","name":"Jam","price":{"amount":1,"currency":"INR"}}"#,
        br#"{"sku":"K","name":"Kale","price":{"amount":1,"currency":"INR"}} trailing"#,
        br#"{"sku":"L","name":"Lime","price":{"amount":1,"currency":"INR"}}"#,
    ];
    for line in lines {
        body.extend(line);
        body.push(b'\n');
    }
    let job = finished(&server, "", "application/x-ndjson", body).await;
    assert_eq!((&job["state"], &job["counts"]["created"]), (&json!("done"), &json!(3)), "{job}");
    assert_eq!(job["counts"]["failed"], 12, "{job}");
    for (line, place, words) in [
        (2, "", "json"),
        (3, "/price/amount", "integer"),
        (4, "/price/currency", "iso 4217"),
        (5, "/nmae", "did you mean 'name'"),
        (7, "", "utf-8"),
        (8, "", "object"),
        (9, "/sku", "line 1"),
        (10, "", "number out of range"),
        (11, "/price/amount", "integer from"),
        (12, "", "json"),
        (13, "/rating", "from 0 to 5"),
        (15, "", "trailing"),
    ] {
        assert_error(&job, line, place, words);
    }
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, 3);
    assert_eq!(server.product("A").await.json()["name"], "Apple", "the first of a repeated sku counts");
}

#[tokio::test]
async fn bad_rows_of_a_csv_are_told_by_line_and_column() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let body = "sku,name,price.amount,price.currency,rating\n\
                A,Apple,100,INR,4\n\
                B,Bread,1.5,INR,\n\
                C,Cake,NaN,INR,\n\
                D,Date,100,XXQ,\n\
                E,\"Egg\nin two lines\",100,INR,nine\n\
                F,Fig,100\n\
                A,Apple again,100,INR,\n\
                ,Nameless,100,INR,\n\
                G,Grape,100,INR,1,too many\n\
                H,Ham,100,INR,5\n";
    let job = finished(&server, "", "text/csv", body).await;
    assert_eq!((&job["state"], &job["counts"]["created"]), (&json!("done"), &json!(2)), "{job}");
    for (line, place) in [
        (3, "price.amount"),
        (4, "price.amount"),
        (5, "price.currency"),
        (6, "rating"),
        (8, ""),
        (9, "sku"),
        (10, "sku"),
        (11, ""),
    ] {
        assert_error(&job, line, place, "");
    }
}

#[tokio::test]
async fn what_cannot_be_read_at_all_fails_and_says_why() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let line = format!("{}\n", least("A", "Apple", 1));
    let whole = gzip(line.as_bytes());
    let cases: [(&str, &str, Vec<u8>, &str); 8] = [
        ("cut off gzip", "application/x-ndjson", whole[..whole.len() - 12].to_vec(), "gzip"),
        ("damaged gzip", "application/x-ndjson", [&whole[..12], &[0xff_u8; 30][..]].concat(), "gzip"),
        ("UTF-16", "text/csv", b"\xff\xfes\0k\0u\0".to_vec(), "utf-16"),
        ("a spreadsheet", "text/csv", b"PK\x03\x04....".to_vec(), "spreadsheet"),
        ("no header", "text/csv", Vec::new(), "header"),
        ("an unknown column", "text/csv", b"sku,nmae,price.amount,price.currency\nA,n,1,INR\n".to_vec(), "nmae"),
        ("a column twice", "text/csv", b"sku,name,name,price.amount,price.currency\nA,n,m,1,INR\n".to_vec(), "name"),
        ("without sku", "text/csv", b"name,price.amount,price.currency\nn,1,INR\n".to_vec(), "sku"),
    ];
    for (what, content_type, body, words) in cases {
        let request = server.request(reqwest::Method::POST, "/v1/imports").header("content-type", content_type);
        let reply = server.send(request.body(body)).await;
        // Refused when it arrives, or by the job.
        let told = if reply.status == 202 {
            let job = server.job(reply.header("location"), SOON).await;
            assert_eq!(job["state"], "failed", "{what}: {job}");
            job.to_string()
        } else {
            assert!((400..500).contains(&reply.status), "{what}: {reply:?}");
            reply.json().to_string()
        };
        assert!(told.to_lowercase().contains(words), "{what}: {told}");
    }
    assert_eq!(server.total(&[]).await, 0);
}

#[tokio::test]
async fn the_good_part_of_a_cut_off_file_is_kept_and_said_so() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    // Noise, so that the packed half holds about half of the lines.
    let lines: String = (0..3_000_u64)
        .map(|n| {
            format!("{}\n", least(&format!("S{n}"), &format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)), n as i64))
        })
        .collect();
    let packed = gzip(lines.as_bytes());
    let job = finished(&server, "", "application/x-ndjson", packed[..packed.len() / 2].to_vec()).await;
    assert_eq!(job["state"], "failed", "{job}");
    assert!(job["message"].as_str().unwrap().contains("gzip"), "{job}");
    let kept = job["counts"]["created"].as_u64().unwrap();
    assert!(kept > 0 && kept < 3_000, "{job}");
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, kept);
}

#[tokio::test]
async fn an_import_stops_after_so_many_errors_and_keeps_what_it_has() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let mut body = format!("{}\n", least("A", "Apple", 1));
    for n in 0..50 {
        body.push_str(&format!("{{\"sku\":\"B{n}\"}}\n"));
    }
    body.push_str(&format!("{}\n", least("Z", "Zucchini", 1)));
    let job = finished(&server, "?max_errors=10", "application/x-ndjson", body).await;
    assert_eq!(job["state"], "failed", "{job}");
    let failed = job["counts"]["failed"].as_u64().unwrap();
    assert!((10..=11).contains(&failed), "{job}");
    server.product("A").await.expect(200);
    server.product("Z").await.problem(404, "product_not_found");
}

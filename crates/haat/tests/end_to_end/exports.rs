//! Exports over HTTP: the whole catalogue, in the form that an import takes, for whom may write.

use std::io::Read;

use flate2::read::GzDecoder;
use haat_testkit::generate::Generator;
use reqwest::Method;
use rstest::rstest;

use crate::harness::{Backend, SOON, Server, Stage, ndjson};

async fn export(server: &Server, query: &str) -> crate::harness::Reply {
    server.get(&format!("/v1/export{query}")).await.expect(200)
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut text).unwrap();
    text
}

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_what_the_command_writes_and_changes_nothing_when_imported(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let server = stage.start().await;
    // More than is read from the database at once.
    server.import(ndjson(&Generator::new(91).products(2_300))).await;
    let head = server.head().await;
    for (format, kind, name) in
        [("ndjson", "application/x-ndjson", "products.ndjson"), ("csv", "text/csv; charset=utf-8", "products.csv")]
    {
        let command = stage.run(&["export", "--format", format]).await.succeeded().stdout;
        let plain = export(&server, &format!("?format={format}")).await;
        assert!(plain.body == command.as_bytes(), "{format}: {} and {} bytes", plain.body.len(), command.len());
        assert_eq!((plain.header("content-type"), plain.header("content-encoding")), (kind, ""));
        assert_eq!(plain.header("content-disposition"), format!("attachment; filename=\"{name}\""));
        assert_eq!((plain.header("cache-control"), plain.header("vary")), ("no-store", "Accept-Encoding"));

        let file = export(&server, &format!("?format={format}&gzip=true")).await;
        assert_eq!((file.header("content-type"), file.header("content-encoding")), ("application/gzip", ""));
        assert!(unpacked(&file.body) == command.as_bytes());
        let request = server.request(Method::GET, &format!("/v1/export?format={format}"));
        let coded = server.send(request.header("accept-encoding", "br, gzip")).await.expect(200);
        assert_eq!((coded.header("content-type"), coded.header("content-encoding")), (kind, "gzip"));
        assert!(unpacked(&coded.body) == command.as_bytes());

        let job = server.submit("", kind, file.body.to_vec()).await;
        let job = server.job(&job, SOON).await;
        assert_eq!((&job["counts"]["unchanged"], &job["counts"]["failed"]), (&2_300.into(), &0.into()), "{job}");
    }
    assert_eq!(server.head().await, head);
    assert!(export(&server, "").await.body.starts_with(b"{\"id\":"), "NDJSON unless asked otherwise");
}

#[tokio::test]
async fn an_export_needs_a_token_and_known_parameters() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.send(server.bare(Method::GET, "/v1/export")).await.problem(401, "unauthorized");
    let with_token = |path: &str| server.request(Method::GET, path);
    assert!(server.send(with_token("/v1/export")).await.expect(200).body.is_empty());
    server.send(with_token("/v1/export?format=xml")).await.problem_at(400, "invalid_parameter", "/format");
    server.send(with_token("/v1/export?gzip=yes")).await.problem_at(400, "invalid_parameter", "/gzip");
    server.send(with_token("/v1/export?fromat=csv")).await.problem_at(400, "invalid_parameter", "/fromat");
    let head = server.request(Method::HEAD, "/v1/export");
    assert_eq!(server.send(head).await.expect(200).header("content-type"), "application/x-ndjson");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_away_is_told_before_the_export_begins() {
    let stage = Stage::with_own_engine().await;
    let server = stage.start().await;
    stage.engine().kill();
    server.get("/v1/export").await.problem(503, "database_unavailable");
}

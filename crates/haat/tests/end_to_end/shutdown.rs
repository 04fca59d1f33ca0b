//! Ending: nothing that was accepted is lost, nothing hangs.

use haat_testkit::generate::Generator;
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::harness::{Backend, SOON, Stage, least, ndjson};

#[rstest]
#[case::sqlite(Backend::Sqlite)]
#[case::mariadb(Backend::MariaDb)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_asked_to_stop_answers_what_it_accepted(#[case] backend: Backend) {
    let stage = Stage::new(backend).await;
    let mut server = stage.start().await;
    let address = server.address();
    let mut writers = JoinSet::new();
    for writer in 0..6 {
        let token = server.token();
        writers.spawn(async move {
            let client = reqwest::Client::new();
            let (mut acknowledged, mut unanswered) = (Vec::new(), Vec::new());
            for n in 0.. {
                let sku = format!("W{writer}-{n}");
                let url = format!("http://{address}/v1/products/{sku}");
                // A connection may end before the server has looked at it; what it has looked at must bring an answer.
                match client.put(url).bearer_auth(&token).json(&least(&sku, "Apple", n)).send().await {
                    Ok(reply) if reply.status() == 201 => acknowledged.push(sku),
                    Ok(reply) => assert_eq!(reply.status(), 503, "{reply:?}"),
                    Err(e) if e.is_connect() => break,
                    Err(_) => {
                        unanswered.push(sku);
                        break;
                    }
                }
            }
            (acknowledged, unanswered)
        });
    }
    crate::harness::eventually("some writes", SOON, async || (server.head().await > 50).then_some(())).await;
    server.signal("TERM");
    let status = server.ended(SOON).await;
    assert!(status.success(), "{status}");
    let (acknowledged, unanswered): (Vec<_>, Vec<_>) = writers.join_all().await.into_iter().unzip();
    let (acknowledged, unanswered) = (acknowledged.concat(), unanswered.concat());
    assert!(acknowledged.len() > 50);
    drop(server);

    let server = stage.start().await;
    for sku in &acknowledged {
        server.product(sku).await.expect(200);
    }
    for sku in &unanswered {
        assert_eq!(server.product(sku).await.status, 404, "{sku} was written and never answered");
    }
    server.caught_up().await;
    stage.verify_index().await;
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_the_server_ends() {
    let stage = Stage::new(Backend::Sqlite).await;
    let mut server = stage.start().await;
    let body = least("A", "Apple", 1).to_string();
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "PUT /v1/products/A HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        server.token(),
        body.len()
    );
    stream.write_all(format!("{head}{}", &body[..10]).as_bytes()).await.unwrap();
    // The server has the request when it answers others that came later on.
    server.list::<&str, &str>(&[]).await.expect(200);
    server.signal("TERM");
    crate::harness::eventually("new connections are refused", SOON, async || {
        TcpStream::connect(server.address()).await.is_err().then_some(())
    })
    .await;
    stream.write_all(&body.as_bytes()[10..]).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(server.ended(SOON).await.success());
}

#[tokio::test]
async fn idle_connections_and_waiting_readers_do_not_hold_the_server_back() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_HTTP__DRAIN_TIMEOUT", "120s");
    let mut server = stage.start().await;
    let idle = TcpStream::connect(server.address()).await.unwrap();
    let mut kept_alive = TcpStream::connect(server.address()).await.unwrap();
    kept_alive.write_all(b"GET /livez HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").await.unwrap();
    let mut part = [0_u8; 512];
    assert!(kept_alive.read(&mut part).await.unwrap() > 0);
    let mut events = TcpStream::connect(server.address()).await.unwrap();
    let request = "GET /v1/changes?after=0 HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n";
    events.write_all(request.as_bytes()).await.unwrap();
    assert!(events.read(&mut part).await.unwrap() > 0);
    server.signal("TERM");
    let status = server.ended(SOON).await;
    assert!(status.success(), "{status}");
    drop((idle, kept_alive, events));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_was_accepted_goes_on_after_a_stop() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let products = Generator::new(31).products(6_000);
    let job = server.submit("", "application/x-ndjson", ndjson(&products)).await;
    server.stop().await;
    let server = stage.start().await;
    let done = server.job(&job, SOON).await;
    assert_eq!((&done["state"], &done["counts"]["failed"]), (&"done".into(), &0.into()), "{done}");
    server.caught_up().await;
    assert_eq!(server.total(&[]).await, 6_000);
    assert_eq!(server.head().await, 6_000, "no product was written twice");
}

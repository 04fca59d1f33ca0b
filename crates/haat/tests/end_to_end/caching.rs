//! Answers kept ready: one computation however many ask, nothing older than allowed, an entry for one question only.

use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use haat_testkit::generate::Generator;
use rand::RngExt;
use rand::seq::SliceRandom;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::harness::{Backend, Fleet, Reply, SOON, Seed, Server, Stage, eventually, least, ndjson};

/// A command of the shared cache may take its time on a busy machine where a test is about something else.
const PATIENT: (&str, &str) = ("HAAT_REDIS__PATIENCE", "5s");

/// How long an answer may be behind a write, after the index has it.
const MAX_STALE: Duration = Duration::from_secs(1);
/// What the index of another process takes to learn of a write (it looks every 200 ms and then commits), and what a
/// machine that is busy with other tests adds to everything.
const MARGIN: Duration = Duration::from_secs(2);

/// Asks on a connection of its own once everyone is connected; gives the `Cache-Status`.
async fn ask_at_once(server: Arc<Server>, path: Arc<str>, all: Arc<Barrier>) -> String {
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    all.wait().await;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let field = answer.lines().find_map(|line| line.strip_prefix("cache-status: "));
    field.unwrap_or_else(|| panic!("no Cache-Status in {answer}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_connections_on_a_cold_question_at_four_servers_cost_one_computation() {
    const ASKERS: usize = 1_000;
    let (fleet, _redis) = Fleet::start(4, Seed::Products(300), &[PATIENT], "").await;
    for path in ["/v1/products?q=organic+rice&facets=brand,tag", "/v1/products?sort=name&limit=100"] {
        let (path, all) = (Arc::from(path), Arc::new(Barrier::new(ASKERS)));
        let mut askers = JoinSet::new();
        for n in 0..ASKERS {
            let server = Arc::clone(&fleet.servers[n % fleet.servers.len()]);
            askers.spawn(ask_at_once(server, Arc::clone(&path), Arc::clone(&all)));
        }
        let told = askers.join_all().await;
        let computed = told.iter().filter(|told| *told == "haat; fwd=miss").count();
        assert_eq!(computed, 1, "{path}");
        // All others waited for that one, or came when it was done.
        let others = ["haat; fwd=miss; collapsed", "haat; hit; detail=redis", "haat; hit; detail=memory"];
        assert!(told.iter().all(|told| told == "haat; fwd=miss" || others.contains(&told.as_str())), "{path}");
        assert!(told.iter().any(|told| told == others[1]), "no other server took it from Redis");
    }
}

/// What was written and when that was acknowledged, by product; and how far answers were behind it.
#[derive(Default)]
struct Ledger {
    acknowledged: [Vec<(i64, Instant)>; 3],
    /// Of every answer that did not show all writes: for how long it should have.
    behind: Vec<Duration>,
    answers: usize,
    hits: usize,
}

impl Ledger {
    fn note(&mut self, product: usize, reply: &Reply, shown: i64, asked: Instant) {
        self.answers += 1;
        self.hits += usize::from(reply.is_hit());
        let missed = self.acknowledged[product].iter().find(|(amount, _)| *amount > shown);
        self.behind.extend(missed.and_then(|(_, at)| asked.checked_duration_since(*at)));
    }
}

async fn write_for_a_while(servers: Vec<Arc<Server>>, product: usize, ledger: Arc<Mutex<Ledger>>, until: Instant) {
    let sku = format!("S{product}");
    for amount in 1.. {
        let (server, pause) = (rand::rng().random_range(0..servers.len()), rand::rng().random_range(0..120));
        let server = &servers[server];
        let id = server.put(&least(&sku, &sku, amount)).await.json()["id"].as_str().unwrap().to_owned();
        ledger.lock().unwrap().acknowledged[product].push((amount, Instant::now()));
        // There is one writer per product, so it is just this that the server it wrote to must show.
        for key in [&sku, &id] {
            let shown = server.get(&format!("/v1/products/{key}")).await.expect(200).json();
            assert_eq!(shown["price"]["amount"], amount, "the server that was written to shows another by {key}");
        }
        if Instant::now() > until {
            return;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

async fn read_for_a_while(servers: Vec<Arc<Server>>, ledger: Arc<Mutex<Ledger>>, until: Instant) {
    while Instant::now() < until {
        let [server, product, single, pause] =
            [servers.len(), 3, 2, 12].map(|options| rand::rng().random_range(0..options));
        let (server, sku) = (&servers[server], format!("S{product}"));
        let asked = Instant::now();
        let (reply, amount) = match single {
            0 => {
                let reply = server.product(&sku).await;
                let amount = reply.json()["price"]["amount"].as_i64();
                (reply, amount)
            }
            _ => {
                let reply = server.list(&[("sort", "name"), ("fields", "sku,price")]).await.expect(200);
                let page = reply.json();
                let data = page["data"].as_array().unwrap();
                let amount = data.iter().find(|p| p["sku"] == sku).and_then(|p| p["price"]["amount"].as_i64());
                (reply, amount)
            }
        };
        // Not there yet is before all writes.
        ledger.lock().unwrap().note(product, &reply, amount.unwrap_or(0), asked);
        tokio::time::sleep(Duration::from_millis(pause as u64)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_writes_and_reads_at_two_servers_interleave_no_answer_is_older_than_the_bound() {
    let (fleet, _redis) = Fleet::start(2, Seed::Nothing, &[], "").await;
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let until = Instant::now() + Duration::from_secs(6);
    let mut tasks = JoinSet::new();
    for product in 0..3 {
        tasks.spawn(write_for_a_while(fleet.servers.clone(), product, Arc::clone(&ledger), until));
    }
    for _ in 0..4 {
        tasks.spawn(read_for_a_while(fleet.servers.clone(), Arc::clone(&ledger), until));
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let Ledger { behind, answers, hits, acknowledged } = &*ledger.lock().unwrap();
    let oldest = behind.iter().max().copied().unwrap_or_default();
    let writes: usize = acknowledged.iter().map(Vec::len).sum();
    eprintln!(
        "{writes} writes, {answers} answers, {hits} from a cache, {} behind, at most by {oldest:?}",
        behind.len()
    );
    assert!(writes > 20 && *hits > 50, "{writes} writes and {hits} hits tell nothing");
    assert!(oldest < MAX_STALE + MARGIN, "an answer was {oldest:?} behind");
}

/// A query string of these pairs.
fn path(pairs: &[(String, String)]) -> String {
    let mut url = reqwest::Url::parse("http://localhost/v1/products").unwrap();
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    url.as_str().trim_start_matches("http://localhost").to_owned()
}

/// The same question in other words: order, values said twice, defaults said.
fn in_other_words(pairs: &[(String, String)]) -> String {
    let rng = &mut rand::rng();
    let mut pairs = pairs.to_vec();
    let several = ["brand", "category", "tag", "seller", "status", "currency"];
    let twice: Vec<_> = pairs.iter().filter(|(name, _)| several.contains(&name.as_str())).cloned().collect();
    pairs.extend(twice);
    for (name, value) in [("limit", "20"), ("count", "exact"), ("facet_limit", "100"), ("highlight", "false")] {
        if !pairs.iter().any(|(there, _)| there == name) {
            pairs.push((name.to_owned(), value.to_owned()));
        }
    }
    // Orders of sorting, facets and several alternatives of one filter stay with their names.
    pairs.shuffle(rng);
    path(&pairs)
}

async fn newest(server: &Server, path: &str) -> Reply {
    server.send(server.request(Method::GET, path).header("cache-control", "no-cache")).await.expect(200)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_question_in_other_words_is_one_entry_and_another_question_never_is() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let mut generator = Generator::new(78);
    let products = generator.products(200);
    server.import(ndjson(&products)).await;
    let mut queries = Vec::new();
    for n in 0..120 {
        let pairs = if n % 3 == 0 { generator.search(&products) } else { generator.listing(&products) };
        queries.push((pairs.clone(), path(&pairs)));
        // Its nearest neighbours: one parameter less, one more.
        for skipped in 0..pairs.len() {
            let mut fewer = pairs.clone();
            fewer.remove(skipped);
            queries.push((fewer.clone(), path(&fewer)));
        }
        for (name, value) in [("fields", "id,sku"), ("count", "none"), ("limit", "3"), ("facet_limit", "1")] {
            if n % 4 == 0 && !pairs.iter().any(|(there, _)| there == name) {
                let mut more = pairs.clone();
                more.push((name.to_owned(), value.to_owned()));
                queries.push((more.clone(), path(&more)));
            }
        }
    }
    let mut asked = Vec::new();
    for (pairs, path) in queries {
        // A parameter that needs the one that was left out.
        let first = server.get(&path).await;
        if first.status != 200 {
            assert_eq!(first.status, 400, "{first:?}");
            continue;
        }
        let other = in_other_words(&pairs);
        let second = server.get(&other).await.expect(200);
        assert!(second.is_hit(), "{other} is {path}, but {}", second.header("cache-status"));
        assert_eq!(second.header("etag"), first.header("etag"), "{other} is {path}");
        asked.push(path);
    }
    // All are kept now, so an entry that two questions shared gives one of them the other's answer.
    let mut kept = Vec::new();
    for path in asked {
        let reply = server.get(&path).await.expect(200);
        assert!(reply.is_hit(), "{path}");
        kept.push((path, reply.page()));
    }
    server.stop().await;
    stage.set("HAAT_CACHE__MEMORY", "0B");
    let server = stage.start().await;
    server.caught_up().await;
    for (path, kept) in kept {
        let computed = server.get(&path).await.expect(200);
        assert!(!computed.is_hit(), "{path}");
        assert_eq!(kept, computed.page(), "{path}");
    }
}

fn decoded(reply: &Reply) -> Vec<u8> {
    let mut out = Vec::new();
    match reply.header("content-encoding") {
        "gzip" => drop(flate2::read::GzDecoder::new(&reply.body[..]).read_to_end(&mut out).unwrap()),
        "br" => brotli::BrotliDecompress(&mut &reply.body[..], &mut out).unwrap(),
        "zstd" => out = zstd::bulk::decompress(&reply.body, 1 << 24).unwrap(),
        "" => out = reply.body.to_vec(),
        other => panic!("{other}"),
    }
    out
}

#[tokio::test]
async fn every_coding_is_the_same_page_under_a_tag_of_its_own() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.import(ndjson(&Generator::new(79).products(60))).await;
    let ask = async |method: Method, accept: &str, known: &str| {
        let mut request = server.request(method, "/v1/products?sort=name").header("accept-encoding", accept);
        if !known.is_empty() {
            request = request.header("if-none-match", known);
        }
        server.send(request).await
    };
    let plain = ask(Method::GET, "identity", "").await.expect(200);
    let mut tags = Vec::new();
    for (accept, coding) in [("identity", ""), ("gzip", "gzip"), ("br", "br"), ("zstd", "zstd")] {
        let full = ask(Method::GET, accept, "").await.expect(200);
        assert_eq!(full.header("content-encoding"), coding);
        assert_eq!((decoded(&full), full.header("vary")), (plain.body.to_vec(), "Accept-Encoding"), "{accept}");
        let tag = full.header("etag").to_owned();
        assert!(tag.starts_with('"') && !tags.contains(&tag), "{accept}: {tag} of {tags:?}");
        let head = ask(Method::HEAD, accept, "").await.expect(200);
        assert!(head.body.is_empty());
        for field in ["etag", "content-length", "content-encoding", "content-type", "vary", "cache-control"] {
            assert_eq!(head.header(field), full.header(field), "{field} of HEAD, {accept}");
        }
        tags.push(tag);
    }
    for (i, accept) in ["identity", "gzip", "br", "zstd"].into_iter().enumerate() {
        for (j, tag) in tags.iter().enumerate() {
            for method in [Method::GET, Method::HEAD] {
                let reply = ask(method, accept, tag).await.expect(if i == j { 304 } else { 200 });
                assert_eq!(reply.header("etag"), tags[i]);
                for field in ["cache-control", "vary", "cache-status", "age"] {
                    assert!(!reply.header(field).is_empty(), "{field} in {reply:?}");
                }
                assert!(i != j || reply.body.is_empty());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_wants_the_newest_gets_it_whatever_is_kept() {
    // What is kept may be given for long after a write, so that it is still there to be given by mistake.
    let (fleet, _redis) = Fleet::start(2, Seed::Nothing, &[PATIENT, ("HAAT_CACHE__MAX_STALE", "60s")], "").await;
    let [here, there] = [&fleet.servers[0], &fleet.servers[1]];
    let amount = |page: &Value| page["data"][0]["price"]["amount"].as_i64().unwrap_or(0);
    let seq = here.put(&least("A", "Apple", 1)).await.expect(201).seq();
    for server in [here, there] {
        server.list(&[("min_seq", seq.to_string())]).await.expect(200);
        eventually("both are kept", SOON, async || {
            let (list, single) = (server.get("/v1/products").await, server.product("A").await);
            (list.is_hit() && single.is_hit() && amount(&list.json()) == 1).then_some(())
        })
        .await;
    }
    let mut old = 0;
    for round in 2..12_i64 {
        let seq = here.put(&least("A", "Apple", round)).await.expect(200).seq();
        // The other server reads the database for a single product: it need not know of the change.
        assert_eq!(newest(there, "/v1/products/A").await.json()["price"]["amount"], round);
        for (n, server) in [here, there].into_iter().enumerate() {
            // A question that nobody else asks: its answer can only come from this server's index.
            let own = (1_000 + 2 * round + n as i64).to_string();
            server.list(&[("min_seq", seq.to_string()), ("price_max", own)]).await.expect(200);
            old += usize::from(amount(&server.get("/v1/products").await.json()) < round);
            let reply = newest(server, "/v1/products").await;
            assert_eq!(amount(&reply.json()), round, "{}", reply.header("cache-status"));
            let seen = server.list(&[("min_seq", seq.to_string())]).await.expect(200);
            assert_eq!(amount(&seen.json()), round);
        }
    }
    assert!(old > 0, "nothing old was there to be given by mistake");
}

#[tokio::test]
async fn what_needs_credentials_is_never_kept() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    let job = server.submit("", "application/x-ndjson", format!("{}\n", least("A", "Apple", 1))).await;
    for path in [&job, "/v1/export", "/v1/changes?after=0"] {
        for round in 0..3 {
            let reply = server.get(path).await.expect(200);
            assert_eq!((reply.header("cache-status"), reply.header("age")), ("", ""), "{path}, time {round}");
            assert_eq!(reply.header("cache-control"), "no-store", "{path}, time {round}");
        }
        // What one with the token was given is not given to one without.
        let reply = server.send(server.bare(Method::GET, path)).await;
        reply.problem(401, "unauthorized");
        assert_eq!(reply.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test]
async fn credentials_change_nothing_of_what_anybody_may_read() {
    let stage = Stage::new(Backend::Sqlite).await;
    let server = stage.start().await;
    server.put(&least("A", "Apple", 1)).await.expect(201);
    server.caught_up().await;
    for path in ["/v1/products", "/v1/products/A", "/v1/suggest?q=app"] {
        let plain = server.get(path).await.expect(200);
        let with = |token: &str| server.send(server.bare(Method::GET, path).bearer_auth(token));
        for round in 0..2 {
            let reply = with(&server.token()).await.expect(200);
            assert!(reply.is_hit(), "{path}, time {round}: {}", reply.header("cache-status"));
            assert_eq!((&reply.body, reply.header("etag")), (&plain.body, plain.header("etag")), "{path}");
            with("another").await.problem(401, "invalid_token");
        }
    }
}

#[tokio::test]
async fn where_reading_needs_a_scope_nothing_kept_is_given_without_it() {
    let mut stage = Stage::new(Backend::Sqlite).await;
    stage.set("HAAT_AUTH__PUBLIC_READ", "false");
    let server = stage.start().await;
    server.put(&least("A", "Apple", 1)).await.expect(201);
    let made = json!({ "name": "Writer", "scopes": ["products:write"] });
    let made = server.send(server.request(Method::POST, "/v1/clients").json(&made)).await.expect(201).json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let writer = server.token_of(id, secret, &[]).await;
    eventually("the product is listed", SOON, async || {
        let listing = server.bare(Method::GET, "/v1/products").bearer_auth(server.token());
        (server.send(listing).await.expect(200).json()["total"]["value"] == 1).then_some(())
    })
    .await;
    for path in ["/v1/products", "/v1/products/A", "/v1/suggest?q=app"] {
        for round in 0..3 {
            let with = |token: &str| server.send(server.bare(Method::GET, path).bearer_auth(token));
            let reply = with(&server.token()).await.expect(200);
            assert!(round == 0 || reply.is_hit(), "{path}: {}", reply.header("cache-status"));
            assert!(reply.header("cache-control").starts_with("private"), "{path}: {}", reply.header("cache-control"));
            server.send(server.bare(Method::GET, path)).await.problem(401, "unauthorized");
            with(&writer).await.problem(403, "insufficient_scope");
        }
    }
}

#[tokio::test]
async fn a_kept_answer_says_how_this_caller_stands_and_not_who_it_was_made_for() {
    let stage = Stage::new(Backend::Sqlite).await;
    stage.configure(
        "[limits]\ntrusted_proxies = [\"127.0.0.1/32\"]\n[[limits.policies]]\nname = \"slow\"\nquota = 100\nwindow = \"1d\"\n",
    );
    let server = stage.start().await;
    server.put(&least("A", "Apple", 1)).await;
    let mut asked = std::collections::BTreeMap::new();
    for (n, from) in ["1.1.1.1", "2.2.2.2", "1.1.1.1", "1.1.1.1", "2.2.2.2", "3.3.3.3"].into_iter().enumerate() {
        let reply = server.send(server.request(Method::GET, "/v1/products").header("x-forwarded-for", from)).await;
        assert!(n < 2 || reply.is_hit());
        let times = asked.entry(from).or_insert(0);
        *times += 1;
        let left: i32 = reply.expect(200).header("x-ratelimit-remaining").parse().unwrap();
        assert_eq!(left, 100 - *times, "{from}, request {n}");
    }
}

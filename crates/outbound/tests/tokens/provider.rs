//! A token provider and an API that takes its tokens. It counts, and misbehaves on demand. Over TCP, or called directly
//! where time is paused.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use haat_catalog::time::SystemClock;
use haat_catalog::{Clock, Timestamp};
use haat_outbound::{Answer, Call, CallError, Caller};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Barrier;

pub const CLIENT: &str = "shop";
pub const SECRET: &str = "queen-of-hearts-secret";
pub const ISSUER: &str = "https://as.example";
/// Where the API takes no token at all.
pub const CLOSED: &str = "/closed";
/// What every token begins with.
pub const TOKEN: &str = "wonderland-token-";

/// What comes of a token request, instead of a token.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A token, later.
    Late(Duration),
    /// No answer, ever.
    Hang,
    /// The connection breaks.
    Cut,
    /// This answer.
    Answer(u16, Vec<(&'static str, String)>, Value),
}

/// What was asked of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub token: Option<String>,
    pub body: Bytes,
    pub status: u16,
}

pub struct Provider {
    state: Mutex<State>,
    clock: Arc<dyn Clock>,
}

struct State {
    requests: Vec<String>,
    issued: u32,
    faults: VecDeque<Fault>,
    always: Option<Fault>,
    life: Value,
    /// Until when a token is taken.
    good: HashMap<String, Timestamp>,
    ahead_ms: i64,
    key: Option<DecodingKey>,
    used: HashSet<String>,
    asked: Vec<Asked>,
    rejects_all: bool,
    gathering: Option<Arc<Barrier>>,
}

impl Provider {
    pub fn new() -> Arc<Self> {
        Self::with_clock(Arc::new(SystemClock))
    }

    pub fn with_clock(clock: Arc<dyn Clock>) -> Arc<Self> {
        let state = State {
            requests: vec![],
            issued: 0,
            faults: VecDeque::new(),
            always: None,
            life: json!(3_600),
            good: HashMap::new(),
            ahead_ms: 0,
            key: None,
            used: HashSet::new(),
            asked: vec![],
            rejects_all: false,
            gathering: None,
        };
        Arc::new(Self { state: Mutex::new(state), clock })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// How many token requests there were.
    pub fn fetches(&self) -> usize {
        self.state().requests.len()
    }

    /// The bodies of the token requests.
    pub fn requests(&self) -> Vec<String> {
        self.state().requests.clone()
    }

    /// The next token requests come to this, one after the other.
    pub fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// All token requests come to this.
    pub fn always(&self, fault: Option<Fault>) {
        self.state().always = fault;
    }

    /// What tokens from now on say of their life.
    pub fn life(&self, expires_in: Value) {
        self.state().life = expires_in;
    }

    /// The API rejects all tokens there are.
    pub fn revoke(&self) {
        self.state().good.clear();
    }

    /// The API rejects all tokens there will be.
    pub fn reject_all(&self, rejects: bool) {
        self.state().rejects_all = rejects;
    }

    /// The next calls that the API rejects are answered together, once there are so many.
    pub fn gather(&self, rejected: usize) {
        self.state().gathering = Some(Arc::new(Barrier::new(rejected)));
    }

    /// Its clock goes wrong.
    pub fn set_ahead(&self, ms: i64) {
        self.state().ahead_ms = ms;
    }

    /// Clients sign, with this key.
    pub fn expect_statements(&self, key: DecodingKey) {
        self.state().key = Some(key);
    }

    /// What the API was asked.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.clock.now().as_millis() + self.state().ahead_ms)
    }

    /// Whether that is the client, by whichever method.
    fn knows(&self, headers: &HeaderMap, form: &[(String, String)]) -> bool {
        let of = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let statement = of("client_assertion");
        if self.state().key.is_some() {
            return statement.is_some_and(|statement| self.believes(&statement));
        }
        let basic = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Basic "));
        let pair = basic.map(|pair| STANDARD.decode(pair).unwrap());
        let posted = of("client_id").zip(of("client_secret")).map(|(id, secret)| format!("{id}:{secret}").into_bytes());
        let known = format!("{CLIENT}:{SECRET}").into_bytes();
        pair.is_some() != posted.is_some() && pair.or(posted) == Some(known)
    }

    /// Strictly by its own clock, without leeway; each statement once.
    fn believes(&self, statement: &str) -> bool {
        let now = self.now().as_seconds();
        let mut state = self.state();
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_audience(&[ISSUER]);
        rules.validate_exp = false;
        let read = jsonwebtoken::decode::<Value>(statement, state.key.as_ref().unwrap(), &rules);
        let Ok(claims) = read.map(|read| read.claims) else { return false };
        let seconds = |name: &str| claims[name].as_i64().unwrap();
        let in_time = seconds("iat") <= now && now < seconds("exp");
        in_time && state.used.insert(claims["jti"].as_str().unwrap().to_owned())
    }

    async fn give(&self, headers: &HeaderMap, body: &Bytes) -> Option<Answer> {
        let fault = {
            let mut state = self.state();
            state.requests.push(String::from_utf8(body.to_vec()).unwrap());
            state.faults.pop_front().or_else(|| state.always.clone())
        };
        match fault {
            None => {}
            Some(Fault::Late(by)) => tokio::time::sleep(by).await,
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Cut) => return None,
            Some(Fault::Answer(status, headers, body)) => return Some(self.answer(status, &headers, &body)),
        }
        let form: Vec<_> = form_urlencoded::parse(body).into_owned().collect();
        if !self.knows(headers, &form) {
            return Some(self.answer(401, &[], &json!({"error": "invalid_client"})));
        }
        let now = self.now();
        let body = {
            let mut state = self.state();
            state.issued += 1;
            let token = format!("{TOKEN}{}", state.issued);
            let life = state.life.as_u64().map_or(Duration::MAX, Duration::from_secs);
            state.good.insert(token.clone(), now.plus(life));
            json!({"access_token": token, "token_type": "Bearer", "expires_in": state.life})
        };
        Some(self.answer(200, &[("cache-control", "no-store".to_owned())], &body))
    }

    fn answer(&self, status: u16, headers: &[(&'static str, String)], body: &Value) -> Answer {
        let ms = u64::try_from(self.now().as_millis()).unwrap();
        let date = httpdate::fmt_http_date(std::time::UNIX_EPOCH + Duration::from_millis(ms));
        let mut map = HeaderMap::new();
        map.insert("date", date.parse().unwrap());
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers: map, body: body.to_string().into(), attempts: 1 }
    }

    async fn serve_api(&self, path: &str, headers: &HeaderMap, body: &Bytes) -> Answer {
        let token = headers.get("authorization").and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let now = self.now();
        let status = {
            let mut state = self.state();
            let ends = token.and_then(|token| state.good.get(token));
            let closed = path == CLOSED || state.rejects_all;
            let good = !closed && ends.is_some_and(|ends| now < *ends);
            let status = if good { 200 } else { 401 };
            state.asked.push(Asked { token: token.map(str::to_owned), body: body.clone(), status });
            status
        };
        let gathering = self.state().gathering.clone().filter(|_| status == 401);
        if let Some(all) = gathering {
            all.wait().await;
        }
        self.answer(status, &[], &json!({"ok": status == 200}))
    }

    async fn handle(&self, path: &str, headers: &HeaderMap, body: &Bytes) -> Option<Answer> {
        match path {
            "/token" => self.give(headers, body).await,
            path => Some(self.serve_api(path, headers, body).await),
        }
    }

    /// Listens on a free port until the test ends.
    pub async fn listen(self: &Arc<Self>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, provider) = (listener.local_addr().unwrap(), Arc::clone(self));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let provider = Arc::clone(&provider);
                tokio::spawn(async move { provider.converse(stream).await });
            }
        });
        address
    }

    /// HTTP/1.1 (RFC 9112) with bodies of a known length, one request after the other.
    async fn converse(&self, mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut read = Vec::new();
        loop {
            let (path, headers, end) = loop {
                if let Some(head) = head(&read) {
                    break head;
                }
                if stream.read_buf(&mut read).await.ok()? == 0 {
                    return None;
                }
            };
            let length = headers.get("content-length").map_or(0, |v| v.to_str().unwrap().parse::<usize>().unwrap());
            while read.len() < end + length {
                if stream.read_buf(&mut read).await.ok()? == 0 {
                    return None;
                }
            }
            let body = Bytes::copy_from_slice(&read[end..end + length]);
            read.drain(..end + length);
            let answer = self.handle(&path, &headers, &body).await?;
            let mut out = format!("HTTP/1.1 {} x\r\ncontent-length: {}\r\n", answer.status.as_u16(), answer.body.len());
            for (name, value) in &answer.headers {
                out.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
            }
            out.push_str("\r\n");
            stream.write_all(&[out.as_bytes(), &answer.body].concat()).await.ok()?;
        }
    }
}

/// Path, header fields and length of a request's head, once all of it is there.
fn head(read: &[u8]) -> Option<(String, HeaderMap, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(end) = request.parse(read).unwrap() else { return None };
    let mut headers = HeaderMap::new();
    for field in request.headers.iter() {
        let name = HeaderName::try_from(field.name).unwrap();
        headers.append(name, HeaderValue::from_bytes(field.value).unwrap());
    }
    Some((request.path.unwrap().to_owned(), headers, end))
}

/// Called directly: on paused time the network would seem to stand still.
#[async_trait]
impl Caller for Provider {
    async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let answer = self.handle(call.url.path(), &call.headers, &call.body).await;
        answer.ok_or_else(|| CallError::Broken("it was cut".into()))
    }
}

//! An upstream on a free port that answers as it is told to: with HTTP, with half of it, or not at all.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use haat_outbound::{Call, Client, ClientOptions, Surroundings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use url::Url;

/// What to do once a request was read.
pub enum Reply {
    /// Send this, and read the next request.
    Send(Vec<u8>),
    /// Send this, and close.
    Cut(Vec<u8>),
    /// Send this, and then one byte each so long.
    Drip(Vec<u8>, Duration),
    /// Send this, and then this over and over.
    Endless(Vec<u8>, Vec<u8>),
    /// Nothing, for as long as the caller waits.
    Hang,
}

type Behaviour = Arc<dyn Fn(usize) -> Reply + Send + Sync>;

pub struct Upstream {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    answers: Arc<AtomicU64>,
    /// Ends with the upstream, and every connection with it.
    _accepting: JoinSet<()>,
}

impl Upstream {
    /// Answers the n-th request, from 0, as the function says.
    pub async fn start(behaviour: impl Fn(usize) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let requests = Arc::new(Mutex::new(Vec::new()));
        let answers = Arc::new(AtomicU64::new(0));
        let (behaviour, seen): (Behaviour, _) = (Arc::new(behaviour), Arc::clone(&requests));
        let written = Arc::clone(&answers);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, Arc::clone(&behaviour), Arc::clone(&seen), Arc::clone(&written)));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, requests, answers, _accepting: accepting }
    }

    /// The requests that were read, head and body.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no handler panics").clone()
    }

    /// How many answers of [`Reply::Send`] were written; one is counted before anybody can have read it.
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::SeqCst)
    }

    pub fn url(&self) -> Url {
        format!("http://{}/", self.address).parse().expect("a URL")
    }

    pub fn get(&self) -> Call {
        Call::get(self.url())
    }
}

async fn serve(
    mut connection: TcpStream,
    behaviour: Behaviour,
    seen: Arc<Mutex<Vec<String>>>,
    written: Arc<AtomicU64>,
) {
    while let Some(request) = read_request(&mut connection).await {
        let n = {
            let mut seen = seen.lock().expect("no handler panics");
            seen.push(request);
            seen.len() - 1
        };
        // Whoever called may be gone; that is no error of this server.
        match behaviour(n) {
            Reply::Send(bytes) => {
                written.fetch_add(1, Ordering::SeqCst);
                if connection.write_all(&bytes).await.is_err() {
                    written.fetch_sub(1, Ordering::SeqCst);
                    return;
                }
            }
            Reply::Cut(bytes) => {
                let _ = connection.write_all(&bytes).await;
                return;
            }
            Reply::Drip(bytes, pause) => {
                let _ = connection.write_all(&bytes).await;
                while connection.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(pause).await;
                }
            }
            Reply::Endless(bytes, again) => {
                let _ = connection.write_all(&bytes).await;
                while connection.write_all(&again).await.is_ok() {}
            }
            Reply::Hang => {
                let _ = connection.read(&mut [0]).await;
                return;
            }
        }
    }
}

/// A request with its body, by its `Content-Length`; none when the connection is closed.
async fn read_request(connection: &mut TcpStream) -> Option<String> {
    let (mut read, mut buffer) = (Vec::new(), [0u8; 4_096]);
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.to_lowercase().lines().find_map(|l| Some(l.strip_prefix("content-length: ")?.trim().parse()));
            if body.len() >= length.map_or(Some(0usize), Result::ok)? {
                return Some(text);
            }
        }
        match connection.read(&mut buffer).await {
            Ok(n) if n > 0 => read.extend_from_slice(buffer.get(..n)?),
            _ => return None,
        }
    }
}

/// An answer with a body and header fields besides its length.
pub fn answer(status: u16, fields: &str, body: &str) -> Reply {
    let head = format!("HTTP/1.1 {status} As Told\r\ncontent-length: {}\r\n{fields}\r\n", body.len());
    Reply::Send(format!("{head}{body}").into_bytes())
}

/// Options by which this machine may be called.
pub fn options() -> ClientOptions {
    let allow_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    ClientOptions { allow_networks, ..ClientOptions::new("upstream") }
}

pub fn client(options: &ClientOptions) -> Arc<Client> {
    Arc::new(Client::new(options, Surroundings::default()).expect("the options are good"))
}

//! A way to a database that breaks as networks do: silently, or in the middle of a conversation.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Passes bytes on between a store and its database.
pub struct Proxy {
    pub address: SocketAddr,
    /// Connections made before the last cut are of an earlier age.
    age: Arc<AtomicU64>,
    /// Whether those end instead of falling silent.
    hangs_up: Arc<AtomicBool>,
    /// How many connections were made.
    pub made: Arc<AtomicU64>,
}

impl Proxy {
    /// A proxy before that server.
    pub async fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (age, made) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let hangs_up = Arc::new(AtomicBool::new(false));
        let proxy = Self { address, age: age.clone(), hangs_up: hangs_up.clone(), made: made.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                made.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(&server).await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, None));
                let cut = Cut { born: age.load(Ordering::SeqCst), age: age.clone(), hangs_up: hangs_up.clone() };
                tokio::spawn(pass(from_server, to_client, Some(cut)));
            }
        });
        proxy
    }

    /// From now on no answer comes through on the connections that are there; what is asked on them still arrives.
    pub fn swallow_answers(&self) {
        self.age.fetch_add(1, Ordering::SeqCst);
    }

    /// The same, but instead of the next answer comes the end of the connection.
    pub fn hang_up_on_answers(&self) {
        self.hangs_up.store(true, Ordering::SeqCst);
        self.swallow_answers();
    }
}

/// Whether a connection was cut, and how.
struct Cut {
    born: u64,
    age: Arc<AtomicU64>,
    hangs_up: Arc<AtomicBool>,
}

async fn pass(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    answers: Option<Cut>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let cut = answers.as_ref().filter(|cut| cut.age.load(Ordering::SeqCst) != cut.born);
        if cut.is_some_and(|cut| cut.hangs_up.load(Ordering::SeqCst)) {
            return;
        }
        if cut.is_none() && to.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

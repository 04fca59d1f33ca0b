//! Whom the client believes that it is the upstream, where TLS is spoken.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use haat_outbound::{Call, CallError, Caller as _, ClientOptions};
use haat_testkit::servers::Certificates;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;

use crate::server::{client, options};

/// What a server with TLS saw.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// Connections that were agreed upon, and that were not.
    pub opened: usize,
    pub refused: usize,
    /// Bytes that were read over the former.
    pub read: usize,
}

/// An upstream that speaks TLS, and answers one request on each connection.
pub struct Secure {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    /// Ends with the upstream, and every connection with it.
    _accepting: JoinSet<()>,
}

impl Secure {
    pub async fn start(certificate: &Path, key: &Path) -> Self {
        let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(key).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("they belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::<Mutex<Seen>>::default();
        let (mut accepting, noted) = (JoinSet::new(), Arc::clone(&seen));
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((connection, _)) = listener.accept().await {
                connections.spawn(serve(connection, acceptor.clone(), Arc::clone(&noted)));
            }
        });
        Self { address, seen, _accepting: accepting }
    }

    pub fn seen(&self) -> Seen {
        *self.seen.lock().expect("no handler panics")
    }

    /// A call to it, by a name, that nobody else may read.
    pub fn post(&self, host: &str) -> Call {
        let url = format!("https://{host}:{}/secret", self.address.port()).parse().expect("a URL");
        let mut call = Call { method: Method::POST, body: Bytes::from_static(b"secret"), ..Call::get(url) };
        call.headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer secret"));
        call
    }
}

async fn serve(connection: TcpStream, acceptor: TlsAcceptor, seen: Arc<Mutex<Seen>>) {
    let agreed = acceptor.accept(connection).await;
    let note = |change: &dyn Fn(&mut Seen)| change(&mut seen.lock().expect("no handler panics"));
    let Ok(mut connection) = agreed else { return note(&|seen| seen.refused += 1) };
    note(&|seen| seen.opened += 1);
    let mut buffer = [0; 4_096];
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\nsecret") {
        match connection.read(&mut buffer).await {
            Ok(n) if n > 0 => {
                request.extend_from_slice(&buffer[..n]);
                note(&|seen| seen.read += n);
            }
            _ => return,
        }
    }
    let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    let _ = connection.shutdown().await;
}

#[tokio::test]
async fn a_server_whose_certificate_nobody_trusts_is_sent_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Certificates::make(folder.path(), &["IP:127.0.0.1"]);
    let upstream = Secure::start(&made.certificate, &made.key).await;
    let time = Duration::from_secs(30);
    let mut options = ClientOptions { total_timeout: time, attempt_timeout: time, connect_timeout: time, ..options() };
    options.retry.max_attempts = 2;
    options.retry.base = Duration::from_millis(1);
    let client = client(&options);
    let ended = client.call(upstream.post("127.0.0.1")).await;
    let Err(CallError::Connect(why)) = ended else { panic!("{ended:?}") };
    assert!(why.contains("certificate") && !why.contains("secret"), "{why}");
    assert_eq!((client.breaker().calls, client.breaker().failure_rate), (2, 1.0), "the upstream is not there");
    let begun = std::time::Instant::now();
    while upstream.seen().refused < 2 {
        assert!(begun.elapsed() < time, "{:?}", upstream.seen());
        tokio::task::yield_now().await;
    }
    assert_eq!((upstream.seen().opened, upstream.seen().read), (0, 0));
}

//! A small HTTP/1.1 client over one kept-alive connection: just enough to measure with, and cheap, because it shares
//! the machine with the server.

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One connection.
pub struct Client {
    stream: TcpStream,
    /// What was read and not yet used.
    buffer: Vec<u8>,
    /// A header field that every request has, with its end, or nothing.
    field: String,
}

/// An answer, complete.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Status line and header fields as they came.
    pub head: Vec<u8>,
    /// The body, dechunked.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let head = std::str::from_utf8(&self.head).ok()?;
        let mut fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// Whether a listing came back without products.
    pub fn is_empty_listing(&self) -> bool {
        self.body.starts_with(br#"{"data":[]"#)
    }

    /// The body of a 200.
    ///
    /// # Errors
    /// Any other status, with what the server said.
    pub fn ok(self) -> anyhow::Result<Vec<u8>> {
        ensure!(self.status == 200, "status {}: {}", self.status, String::from_utf8_lossy(&self.body));
        Ok(self.body)
    }
}

impl Client {
    /// Connects to a server on this machine.
    pub async fn connect(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(64 * 1024), field: String::new() })
    }

    /// Sends a header field with every request.
    pub fn with_header(mut self, field: &str) -> Self {
        self.field = format!("{field}\r\n");
        self
    }

    /// Sends an access token with every request.
    pub fn with_token(self, token: &str) -> Self {
        self.with_header(&format!("authorization: Bearer {token}"))
    }

    /// GET of a path with its query, percent-encoded.
    pub async fn get(&mut self, target: &str) -> anyhow::Result<Answer> {
        self.send(target).await?;
        self.answer().await
    }

    /// Sends a GET; [`Self::answer`] waits for what comes of it.
    pub async fn send(&mut self, target: &str) -> anyhow::Result<()> {
        let head = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{}\r\n", self.field);
        Ok(self.stream.write_all(head.as_bytes()).await?)
    }

    /// PUT of a JSON body.
    pub async fn put(&mut self, target: &str, json: &[u8]) -> anyhow::Result<Answer> {
        self.send_with_body("PUT", target, "application/json", json).await?;
        self.answer().await
    }

    /// POST of a form, already encoded.
    pub async fn post(&mut self, target: &str, form: &str) -> anyhow::Result<Answer> {
        self.send_with_body("POST", target, "application/x-www-form-urlencoded", form.as_bytes()).await?;
        self.answer().await
    }

    /// Another request with a JSON body, which may be empty.
    pub async fn request(&mut self, method: &str, target: &str, json: &[u8]) -> anyhow::Result<Answer> {
        self.send_with_body(method, target, "application/json", json).await?;
        self.answer().await
    }

    async fn send_with_body(&mut self, method: &str, target: &str, kind: &str, body: &[u8]) -> anyhow::Result<()> {
        let (length, field) = (body.len(), &self.field);
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: localhost\r\n{field}content-type: {kind}\r\ncontent-length: {length}\r\n\r\n"
        );
        let mut message = head.into_bytes();
        message.extend(body);
        Ok(self.stream.write_all(&message).await?)
    }

    /// The answer to the oldest request that has none yet.
    pub async fn answer(&mut self) -> anyhow::Result<Answer> {
        let (head, text) = self.head().await?;
        let body = match head.length {
            Length::Known(n) => self.take(n).await?,
            Length::Chunked => self.chunks().await?,
        };
        Ok(Answer { status: head.status, head: text, body })
    }

    async fn head(&mut self) -> anyhow::Result<(Head, Vec<u8>)> {
        let mut searched = 0;
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n", searched) {
                let text = self.take(end).await?;
                self.take(4).await?;
                return Ok((Head::parse(&text)?, text));
            }
            searched = self.buffer.len().saturating_sub(3);
            self.fill().await?;
        }
    }

    /// The next `n` bytes.
    async fn take(&mut self, n: usize) -> anyhow::Result<Vec<u8>> {
        while self.buffer.len() < n {
            self.fill().await?;
        }
        let rest = self.buffer.split_off(n);
        Ok(std::mem::replace(&mut self.buffer, rest))
    }

    /// The next line, without its end.
    async fn line(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n", 0) {
                let line = self.take(end).await?;
                self.take(2).await?;
                return Ok(String::from_utf8(line)?);
            }
            self.fill().await?;
        }
    }

    async fn chunks(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = self.line().await?;
            let size = usize::from_str_radix(size.split(';').next().unwrap_or_default(), 16).context("chunk size")?;
            body.extend(self.take(size).await?);
            self.take(2).await?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    async fn fill(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(32 * 1024);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}

fn find(haystack: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    haystack.get(from..)?.windows(needle.len()).position(|w| w == needle).map(|at| from + at)
}

struct Head {
    status: u16,
    length: Length,
}

enum Length {
    Known(usize),
    Chunked,
}

impl Head {
    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes).context("the answer's head")?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|l| l.split(' ').nth(1)).context("a status line")?.parse()?;
        let mut length = Length::Known(0);
        for (name, value) in lines.filter_map(|l| l.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = Length::Known(value.trim().parse()?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                length = Length::Chunked;
            }
        }
        Ok(Self { status, length })
    }
}

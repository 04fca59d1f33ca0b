//! One exchange over HTTP: the request goes out once, and the answer comes in whole, or it is an error.

use std::error::Error as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::redirect;

use crate::address::{AddressGuard, Forbidden, Lookup};
use crate::call::{Answer, Call, CallError};
use crate::options::ClientOptions;
use crate::retry::failed;

/// What carries an attempt: the wire, or in tests of time something that keeps to paused time.
#[async_trait]
pub(crate) trait Exchange: Send + Sync {
    /// Sends a call once. It may be dropped at any time.
    async fn exchange(&self, call: &Call) -> Result<Answer, CallError>;
}

/// As which program Haat calls.
const USER_AGENT: &str = concat!("haat/", env!("CARGO_PKG_VERSION"));

/// So much is set aside for a body at most before it comes: what a header announces costs its sender nothing.
const AT_ONCE: usize = 64 << 10;

pub(crate) struct Wire {
    /// For `https`; for `http` too if that may go anywhere.
    secure: reqwest::Client,
    /// For `http` to allowed networks: a resolver is not told the scheme, so that the stricter rule needs a client.
    plain: Option<reqwest::Client>,
    max_response_bytes: usize,
}

impl Wire {
    pub fn new(
        options: &ClientOptions,
        guard: &AddressGuard,
        lookup: &Arc<dyn Lookup>,
    ) -> Result<Self, reqwest::Error> {
        let client = |secure: bool| {
            let resolver = guard.resolver(Arc::clone(lookup), secure);
            reqwest::Client::builder()
                .user_agent(USER_AGENT)
                .no_proxy()
                .redirect(redirect::Policy::none())
                .referer(false)
                // Retries are counted, budgeted and decided on in one place.
                .retry(reqwest::retry::never())
                .gzip(true)
                .https_only(secure && !guard.allows_http())
                .connect_timeout(options.connect_timeout)
                .pool_idle_timeout(options.idle_timeout)
                .pool_max_idle_per_host(options.concurrency)
                .dns_resolver(resolver)
                .build()
        };
        let plain = if guard.allows_http() { None } else { Some(client(false)?) };
        Ok(Self { secure: client(true)?, plain, max_response_bytes: options.max_response_bytes })
    }

    /// The body, unpacked as it comes: no more of it is ever in memory than is allowed, and a piece.
    async fn body(&self, response: &mut reqwest::Response) -> Result<Bytes, CallError> {
        let limit = self.max_response_bytes;
        let announced = response.content_length().unwrap_or(0);
        if announced > limit as u64 {
            return Err(CallError::TooLarge { limit });
        }
        let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0).min(AT_ONCE));
        while let Some(piece) = response.chunk().await.map_err(explain)? {
            if body.len() + piece.len() > limit {
                return Err(CallError::TooLarge { limit });
            }
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }
}

#[async_trait]
impl Exchange for Wire {
    async fn exchange(&self, call: &Call) -> Result<Answer, CallError> {
        let client = match &self.plain {
            Some(plain) if call.url.scheme() == "http" => plain,
            _ => &self.secure,
        };
        let mut request = reqwest::Request::new(call.method.clone(), call.url.clone());
        *request.headers_mut() = call.headers.clone();
        if !call.body.is_empty() {
            *request.body_mut() = Some(call.body.clone().into());
        }
        let mut response = client.execute(request).await.map_err(explain)?;
        let body = match self.body(&mut response).await {
            // That it failed says more than how long it is about it.
            Err(CallError::TooLarge { .. }) if failed(response.status()) => Bytes::new(),
            body => body?,
        };
        let headers = std::mem::take(response.headers_mut());
        Ok(Answer { status: response.status(), headers, body, attempts: 1 })
    }
}

/// What an error of the HTTP client means. Its own text may name the URL; the innermost cause does not.
fn explain(error: reqwest::Error) -> CallError {
    let is_connect = error.is_connect();
    let error = error.without_url();
    let mut innermost = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(forbidden) = cause.downcast_ref::<Forbidden>() {
            return forbidden.clone().into();
        }
        innermost = cause.to_string();
        source = cause.source();
    }
    if is_connect { CallError::Connect(innermost) } else { CallError::Broken(innermost) }
}

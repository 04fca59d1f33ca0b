//! Answers kept ready: the bytes in every coding that was asked for, and the head's fields that go with them.

use std::sync::{Arc, OnceLock};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use haat_cache::answers::{Answer, Found, Layer};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use xxhash_rust::xxh3::xxh3_128;

use super::caching::Caching;
use super::coding::{Coding, WORTHWHILE};
use super::{HAAT_INDEX, JSON, NO_STORE};
use crate::extract::precondition::{self, Tags};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const ACCEPT_ENCODING: HeaderValue = HeaderValue::from_static("Accept-Encoding");
/// A larger answer takes milliseconds to code.
const HEAVY: usize = 64 * 1024;
/// The form of [`Ready::to_bytes`].
const FORM: u8 = 3;

/// An answer, shared by all who ask the same.
#[derive(Clone)]
pub(crate) struct Ready(Arc<Kept>);

struct Kept {
    generation: u64,
    /// Whether all of the catalogue was there to answer from.
    complete: bool,
    link: Option<HeaderValue>,
    /// What a cache in front purges it by.
    surrogates: Option<HeaderValue>,
    /// The entity tag where it is not made from the bytes. What has one is sent as it is, in no other coding.
    tag: Option<HeaderValue>,
    body: Bytes,
    hash: u128,
    coded: [OnceLock<Variant>; 4],
}

/// The answer in one coding.
struct Variant {
    etag: HeaderValue,
    body: Bytes,
    coding: Option<HeaderValue>,
}

impl Ready {
    /// An answer made from the state of `generation`.
    pub fn new(generation: u64, complete: bool, body: Bytes) -> Self {
        let hash = xxh3_128(&body);
        let (link, surrogates, tag, coded) = (None, None, None, Default::default());
        Self(Arc::new(Kept { generation, complete, link, surrogates, tag, body, hash, coded }))
    }

    /// The body, in no coding.
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// The same with links to its neighbours.
    pub fn with_link(self, link: Option<HeaderValue>) -> Self {
        self.with(|kept| kept.link = link)
    }

    /// The same under an entity tag of its own.
    pub fn with_tag(self, tag: &str) -> Self {
        self.with(|kept| kept.tag = HeaderValue::from_str(tag).ok())
    }

    /// The same, to be purged by these keys.
    pub fn with_surrogates(self, surrogates: Option<HeaderValue>) -> Self {
        self.with(|kept| kept.surrogates = surrogates)
    }

    fn with(mut self, change: impl FnOnce(&mut Kept)) -> Self {
        // Only those who have just made it change it.
        if let Some(kept) = Arc::get_mut(&mut self.0) {
            change(kept);
        }
        self
    }

    /// Whether coding the answer as is wanted would take longer than others should be held up.
    pub fn is_heavy_for(&self, asked: &HeaderMap) -> bool {
        let (coding, place) = self.place(Coding::wanted(asked));
        self.0.body.len() > HEAVY && coding != Coding::Identity && place.get().is_none()
    }

    /// Codes the answer as is wanted.
    pub fn prepare(&self, asked: &HeaderMap) {
        self.variant(Coding::wanted(asked));
    }

    /// The coding that is sent where one is wanted, and where the answer is in it.
    fn place(&self, wanted: Coding) -> (Coding, &OnceLock<Variant>) {
        let kept = &*self.0;
        let coding = if kept.body.len() < WORTHWHILE || kept.tag.is_some() { Coding::Identity } else { wanted };
        let [identity, gzip, zstd, brotli] = &kept.coded;
        let place = match coding {
            Coding::Identity => identity,
            Coding::Gzip => gzip,
            Coding::Zstd => zstd,
            Coding::Brotli => brotli,
        };
        (coding, place)
    }

    fn variant(&self, wanted: Coding) -> &Variant {
        let kept = &*self.0;
        let (coding, place) = self.place(wanted);
        place.get_or_init(|| {
            let (coding, body) = match coding.encode(&kept.body) {
                Some(body) => (coding, body),
                None => (Coding::Identity, kept.body.clone()),
            };
            if let Some(etag) = kept.tag.clone() {
                return Variant { etag, body, coding: None };
            }
            let etag = format!("\"{:032x}{}\"", kept.hash, coding.suffix());
            // Of hexadecimal digits and letters, so always a header value.
            let etag = HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\""));
            Variant { etag, body, coding: coding.header() }
        })
    }
}

impl Answer for Ready {
    fn generation(&self) -> u64 {
        self.0.generation
    }

    fn is_kept(&self) -> bool {
        self.0.complete
    }

    fn weight(&self) -> usize {
        // With what codings may come to.
        self.0.body.len() * 2
    }

    fn to_bytes(&self) -> Bytes {
        let Kept { generation, link, surrogates, tag, body, .. } = &*self.0;
        let text =
            |value: &Option<HeaderValue>| value.as_ref().map_or(Bytes::new(), |v| Bytes::copy_from_slice(v.as_bytes()));
        let mut out = BytesMut::with_capacity(64 + body.len());
        out.put_u8(FORM);
        out.put_u64(*generation);
        for text in [text(link), text(surrogates), text(tag)] {
            out.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
            out.put_slice(&text);
        }
        out.put_slice(body);
        out.freeze()
    }

    fn from_bytes(bytes: Bytes) -> Option<Self> {
        let mut rest = bytes;
        if rest.try_get_u8().ok()? != FORM {
            return None;
        }
        let generation = rest.try_get_u64().ok()?;
        let mut text = || {
            let length = usize::try_from(rest.try_get_u32().ok()?).ok()?;
            if rest.len() < length {
                return None;
            }
            Some(rest.split_to(length))
        };
        let (link, surrogates, tag) = (text()?, text()?, text()?);
        let value = |text: Bytes| if text.is_empty() { None } else { HeaderValue::from_maybe_shared(text).ok() };
        let answer = Self::new(generation, true, rest).with_link(value(link)).with_surrogates(value(surrogates));
        Some(match tag.is_empty() {
            true => answer,
            false => answer.with_tag(std::str::from_utf8(&tag).ok()?),
        })
    }
}

/// What the head of an answer says of the body, and to caches.
pub(crate) struct Document {
    pub media_type: HeaderValue,
    pub cache_control: HeaderValue,
}

impl Ready {
    /// The answer to one who asked, or 304 when it has it already.
    pub fn respond(&self, asked: &HeaderMap, document: &Document) -> http::Response<Bytes> {
        let variant = self.variant(Coding::wanted(asked));
        let has_it = is_known(asked, &variant.etag);
        let mut response = http::Response::new(if has_it { Bytes::new() } else { variant.body.clone() });
        let headers = response.headers_mut();
        // With those that are added on the way out.
        headers.reserve(24);
        headers.insert(header::ETAG, variant.etag.clone());
        headers.insert(header::CACHE_CONTROL, document.cache_control.clone());
        headers.insert(header::VARY, ACCEPT_ENCODING);
        if has_it {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        headers.insert(header::CONTENT_TYPE, document.media_type.clone());
        if let Some(coding) = &variant.coding {
            headers.insert(header::CONTENT_ENCODING, coding.clone());
        }
        response
    }
}

/// Whether who asks has the answer of this entity tag already (`If-None-Match`).
fn is_known(asked: &HeaderMap, etag: &HeaderValue) -> bool {
    match asked.get(header::IF_NONE_MATCH) {
        None => return false,
        // Nearly always it is the one tag that was sent before.
        Some(value) if value == etag => return true,
        Some(_) => {}
    }
    match precondition::known(asked) {
        None => false,
        Some(Tags::Any) => true,
        // Weak comparison (RFC 9110 §13.1.2): `W/` makes no difference.
        Some(Tags::These(tags)) => {
            tags.iter().any(|tag| tag.strip_prefix("W/").unwrap_or(tag).as_bytes() == etag.as_bytes())
        }
    }
}

/// The answer that was found, to one who asked.
pub(crate) fn respond(found: &Found<Ready>, asked: &HeaderMap, caching: &Caching) -> http::Response<Bytes> {
    let kept = &*found.answer.0;
    // An incomplete answer must not outlive the gap that it was read from.
    let cache_control = if kept.complete { caching.control.clone() } else { NO_STORE };
    let mut response = found.answer.respond(asked, &Document { media_type: JSON, cache_control });
    let headers = response.headers_mut();
    // Whether it is still right was found out just now, for as long as it was (RFC 9111 §4.2.3).
    headers.insert(header::AGE, HeaderValue::from(found.stale.as_secs()));
    headers.insert(CACHE_STATUS, status(found));
    if let Some(link) = &kept.link {
        headers.insert(header::LINK, link.clone());
    }
    if let (Some(surrogates), Some(keys)) = (&kept.surrogates, &caching.surrogates) {
        headers.insert(keys.name.clone(), surrogates.clone());
    }
    if !kept.complete {
        headers.insert(HAAT_INDEX, HeaderValue::from_static("building"));
    }
    response
}

/// Who answered (RFC 9211). An answer that the catalogue has moved on from has no time to live left.
fn status(found: &Found<Ready>) -> HeaderValue {
    HeaderValue::from_static(match (found.layer, found.stale.is_zero()) {
        (Layer::Memory, true) => "haat; hit; detail=memory",
        (Layer::Memory, false) => "haat; hit; ttl=0; detail=memory",
        (Layer::Shared, true) => "haat; hit; detail=redis",
        (Layer::Shared, false) => "haat; hit; ttl=0; detail=redis",
        (Layer::Computed, _) => "haat; fwd=miss",
        (Layer::Collapsed, _) => "haat; fwd=miss; collapsed",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn ready(link: Option<&'static str>) -> Ready {
        let body = Bytes::from("{\"a\":1}".repeat(500));
        Ready::new(7, true, body).with_link(link.map(HeaderValue::from_static))
    }

    fn ask(accept: &'static str, known: Option<&HeaderValue>) -> http::Response<Bytes> {
        let mut asked = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accept))]);
        asked.extend(known.map(|tag| (header::IF_NONE_MATCH, tag.clone())));
        let found = Found { answer: ready(None), layer: Layer::Memory, stale: Duration::from_millis(3_900) };
        let caching = Caching { control: HeaderValue::from_static("no-cache"), surrogates: None };
        respond(&found, &asked, &caching)
    }

    #[test]
    fn a_large_answer_is_heavy_until_it_is_coded() {
        let asked = |accept| HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accept))]);
        let large = Ready::new(7, true, Bytes::from(vec![b'x'; HEAVY + 1]));
        assert!(large.is_heavy_for(&asked("br")) && !large.is_heavy_for(&asked("identity")));
        large.prepare(&asked("br"));
        assert!(!large.is_heavy_for(&asked("br")) && large.is_heavy_for(&asked("gzip")), "each coding for itself");
        assert!(!ready(None).is_heavy_for(&asked("br")));
    }

    #[test]
    fn every_coding_has_an_entity_tag_of_its_own() {
        let tags: Vec<_> =
            ["", "gzip", "br", "zstd"].map(|accept| ask(accept, None).headers()[header::ETAG].clone()).into();
        for (i, accept) in ["", "gzip", "br", "zstd"].into_iter().enumerate() {
            for (j, tag) in tags.iter().enumerate() {
                assert_eq!(ask(accept, Some(tag)).status() == 304, i == j, "{accept} {tag:?}");
            }
        }
        let coded = ask("gzip", None);
        assert_eq!(coded.headers()[header::CONTENT_ENCODING], "gzip");
        assert_eq!(
            (&coded.headers()[header::AGE], &coded.headers()[CACHE_STATUS]),
            (&"3".parse().unwrap(), &"haat; hit; ttl=0; detail=memory".parse().unwrap())
        );
        let not_modified = ask("gzip", Some(&tags[1]));
        assert!(!not_modified.headers().contains_key(header::CONTENT_ENCODING));
    }

    #[test]
    fn the_layer_that_answered_is_named() {
        let says = |layer, stale_ms| {
            let found = Found { answer: ready(None), layer, stale: Duration::from_millis(stale_ms) };
            status(&found)
        };
        assert_eq!(says(Layer::Shared, 0), "haat; hit; detail=redis");
        assert_eq!(says(Layer::Memory, 5), "haat; hit; ttl=0; detail=memory");
        assert_eq!(says(Layer::Computed, 0), "haat; fwd=miss");
        assert_eq!(says(Layer::Collapsed, 0), "haat; fwd=miss; collapsed");
    }

    #[test]
    fn an_answer_comes_back_from_its_bytes() {
        for link in [None, Some("</v1/products?cursor=x>; rel=\"next\"")] {
            let ready = |link| ready(link).with_surrogates(Some(HeaderValue::from_static("products")));
            let (there, back) = (ready(link), Ready::from_bytes(ready(link).to_bytes()).unwrap());
            assert_eq!(back.0.surrogates, there.0.surrogates);
            assert_eq!((back.0.generation, &back.0.link), (7, &there.0.link));
            assert_eq!((back.0.hash, &back.0.body), (there.0.hash, &there.0.body));
        }
        for broken in [&b""[..], b"\x01", b"\x03\0\0", &[3; 21]] {
            assert!(Ready::from_bytes(Bytes::copy_from_slice(broken)).is_none());
        }
    }
}

//! Content codings: what a client takes (RFC 9110 §12.5.3), and bodies in each.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, header};

/// How the bytes of an answer are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// As they are.
    Identity,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
    /// Brotli (RFC 7932).
    Brotli,
}

/// Smaller bodies gain nothing: they fit into one packet as they are.
pub(crate) const WORTHWHILE: usize = 860;
/// What costs about a millisecond for a page of listings.
const BROTLI_QUALITY: i32 = 5;
const ZSTD_LEVEL: i32 = 5;

impl Coding {
    /// The best coding that the client takes: the one it wants most, of several the smallest.
    pub fn wanted(headers: &HeaderMap) -> Self {
        let mut best = (Self::Identity, 0.0);
        for value in headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()) {
            for element in value.split(',') {
                let mut parts = element.split(';').map(str::trim);
                let name = parts.next().unwrap_or("");
                let coding = match name {
                    _ if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Self::Gzip,
                    _ if name.eq_ignore_ascii_case("zstd") => Self::Zstd,
                    _ if name.eq_ignore_ascii_case("br") => Self::Brotli,
                    _ => continue,
                };
                let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0_f32);
                if weight > 0.0 && (weight > best.1 || weight == best.1 && coding.order() > best.0.order()) {
                    best = (coding, weight);
                }
            }
        }
        best.0
    }

    /// By what is preferred of codings that are wanted alike.
    fn order(self) -> u8 {
        match self {
            Self::Identity => 0,
            Self::Gzip => 1,
            Self::Zstd => 2,
            Self::Brotli => 3,
        }
    }

    /// `Content-Encoding`; none for bytes as they are.
    pub fn header(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some(HeaderValue::from_static("gzip")),
            Self::Zstd => Some(HeaderValue::from_static("zstd")),
            Self::Brotli => Some(HeaderValue::from_static("br")),
        }
    }

    /// What an entity tag ends with, so that it tells codings apart (RFC 9110 §8.8.3.3).
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Gzip => "-gzip",
            Self::Zstd => "-zstd",
            Self::Brotli => "-br",
        }
    }

    /// The body in this coding; `None` if that fails, which writing to memory does not.
    pub fn encode(self, body: &Bytes) -> Option<Bytes> {
        let encoded = match self {
            Self::Identity => return Some(body.clone()),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::default());
                encoder.write_all(body).ok()?;
                encoder.finish().ok()?
            }
            Self::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL).ok()?,
            Self::Brotli => {
                let mut out = Vec::with_capacity(body.len() / 3);
                let parameters = brotli::enc::BrotliEncoderParams { quality: BROTLI_QUALITY, ..Default::default() };
                brotli::BrotliCompress(&mut &body[..], &mut out, &parameters).ok()?;
                out
            }
        };
        Some(encoded.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("", Coding::Identity)]
    #[case("identity", Coding::Identity)]
    #[case("gzip", Coding::Gzip)]
    #[case("gzip, deflate, br, zstd", Coding::Brotli)]
    #[case("gzip;q=1.0, br;q=0.5", Coding::Gzip)]
    #[case("br;q=0, gzip;q=0.2", Coding::Gzip)]
    #[case("GZIP , ZSTD", Coding::Zstd)]
    #[case("gzip;q=nonsense", Coding::Gzip)]
    fn the_client_chooses(#[case] accept: &str, #[case] expected: Coding) {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, accept.parse().unwrap())]);
        assert_eq!(Coding::wanted(&headers), expected);
    }

    #[test]
    fn every_coding_comes_back_the_same_and_is_smaller() {
        let body = Bytes::from("{\"name\":\"Basmati Rice\",\"price\":12900}".repeat(300));
        let gzip = Coding::Gzip.encode(&body).unwrap();
        let mut back = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&gzip[..]), &mut back).unwrap();
        assert_eq!(back, body);
        assert_eq!(zstd::bulk::decompress(&Coding::Zstd.encode(&body).unwrap(), 1 << 20).unwrap(), body);
        let mut back = Vec::new();
        brotli::BrotliDecompress(&mut &Coding::Brotli.encode(&body).unwrap()[..], &mut back).unwrap();
        assert_eq!(back, body);
        for coding in [Coding::Gzip, Coding::Zstd, Coding::Brotli] {
            assert!(coding.encode(&body).unwrap().len() * 4 < body.len(), "{coding:?}");
        }
    }
}

//! What a file of products looks like: NDJSON or CSV. Whether it is gzipped shows in its first bytes.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How products are written down. Gzip is detected by its magic bytes, always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One JSON object a line, in the product format.
    Ndjson,
    /// Comma-separated values (RFC 4180) with a header line.
    Csv,
}

/// A text that names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a format; known are ndjson and csv")]
pub struct UnknownFormat(String);

impl Format {
    /// Both, in the order they are documented.
    pub const ALL: [Format; 2] = [Format::Ndjson, Format::Csv];

    /// The name on the command line and in query strings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
        }
    }

    /// The media type under which it is sent.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }

    /// The format that a file's name tells, `.gz` or not: `products.csv.gz`, `products.ndjson`, `products.jsonl`.
    pub fn from_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "csv" | "tsv" => Some(Self::Csv),
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            _ => None,
        }
    }

    /// The format of a media type (`Content-Type`), parameters ignored.
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        let essence = media_type.split(';').next()?.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
                Some(Self::Ndjson)
            }
            "text/csv" | "application/csv" | "text/tab-separated-values" => Some(Self::Csv),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;
    fn from_str(s: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|f| f.name() == s).ok_or_else(|| UnknownFormat(s.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("products.csv", Some(Format::Csv))]
    #[case("dir.d/Products.CSV.GZ", Some(Format::Csv))]
    #[case("a.b.ndjson", Some(Format::Ndjson))]
    #[case("a.jsonl.gz", Some(Format::Ndjson))]
    #[case("products.gz", None)]
    #[case("products", None)]
    #[case("", None)]
    fn a_files_name_tells_its_format(#[case] path: &str, #[case] expected: Option<Format>) {
        assert_eq!(Format::from_path(Path::new(path)), expected);
    }

    #[test]
    fn a_media_type_tells_the_format() {
        assert_eq!(Format::from_media_type("text/csv; charset=utf-8"), Some(Format::Csv));
        assert_eq!(Format::from_media_type("Application/X-NDJSON"), Some(Format::Ndjson));
        assert_eq!(Format::from_media_type("application/octet-stream"), None);
    }
}

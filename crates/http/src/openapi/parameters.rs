//! Query strings and headers, for the document. Handlers read them by hand, strictly, and name every violation.
#![allow(dead_code, reason = "these types are only ever described, never built")]

use utoipa::IntoParams;

use super::schema::{Boolean, CountMode, CurrencyCode, Facets, Fields, Format, MomentText, NearText, Sort, StatusName};

/// Parameters of a listing.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListingParameters {
    /// Words to look for: typos are tolerated, the last word may be unfinished, any text is safe. At most 1,000 bytes.
    #[param(required = false, example = "basmati rice")]
    q: String,
    /// A category path, levels joined by ` > `; matches its whole subtree. At most 100 values.
    #[param(required = false, max_items = 100, example = json!(["Foodgrains > Rice"]))]
    category: Vec<String>,
    /// A brand, exactly as it is written.
    #[param(required = false, max_items = 100)]
    brand: Vec<String>,
    /// A seller, exactly as it is written.
    #[param(required = false, max_items = 100)]
    seller: Vec<String>,
    /// A tag.
    #[param(required = false, max_items = 100)]
    tag: Vec<String>,
    /// A status. Without it products of every status match.
    #[param(required = false, inline)]
    status: Vec<StatusName>,
    /// The value of the attribute `NAME`; put any attribute's name (letters, digits, `_`, `-`, `.`) in its place.
    #[param(required = false, max_items = 100, rename = "attr.NAME")]
    attr: Vec<String>,
    /// The least price, in minor units.
    #[param(required = false, minimum = 0, maximum = 9007199254740991i64)]
    price_min: i64,
    /// The greatest price, in minor units; not less than `price_min`.
    #[param(required = false, minimum = 0, maximum = 9007199254740991i64)]
    price_max: i64,
    /// The price's currency.
    #[param(required = false, inline)]
    currency: Vec<CurrencyCode>,
    /// The least rating.
    #[param(required = false, minimum = 0, maximum = 5)]
    rating_min: f64,
    /// Only what is in stock (the product or one of its variants), or only what is not.
    #[param(required = false, inline)]
    in_stock: Boolean,
    /// Created later than this moment.
    #[param(required = false, inline, example = "2026-01-02T03:04:05Z")]
    created_after: MomentText,
    /// Changed later than this moment.
    #[param(required = false, inline, example = "2026-01-02T03:04:05Z")]
    updated_after: MomentText,
    /// A place to measure from, `LAT,LON` in degrees.
    #[param(required = false, inline, example = "18.52,73.86")]
    near: NearText,
    /// Only products at most this far from `near`, which it needs.
    #[param(required = false, minimum = 0, maximum = 20100)]
    radius_km: f64,
    /// Up to three keys, `-` in front for descending. `relevance` needs `q`, `distance` needs `near`. By default
    /// `relevance` with `q` and `-created_at` without. Products without the value come last either way; ties are
    /// broken by id.
    #[param(required = false, inline, style = Form, explode = false)]
    sort: Sort,
    /// How many products a page has.
    #[param(required = false, minimum = 1, maximum = 100, default = 20)]
    limit: u32,
    /// `page.next` or `page.prev` of another page of the same query.
    #[param(required = false)]
    cursor: String,
    /// What to count by value, also `attr.NAME`. A field's own filter does not narrow its own counts.
    #[param(required = false, inline, style = Form, explode = false)]
    facets: Facets,
    /// How many values each facet has at most.
    #[param(required = false, minimum = 1, maximum = 1000, default = 100)]
    facet_limit: u32,
    /// Whether to count all matches.
    #[param(required = false, inline)]
    count: CountMode,
    /// The members that products shall have; all by default.
    #[param(required = false, inline, style = Form, explode = false)]
    fields: Fields,
    /// Adds to every product a member `highlight`: the texts in which words were found, HTML-escaped, the words in `<em>`.
    #[param(required = false, inline)]
    highlight: Boolean,
    /// Answer only once the index shows this change (`Haat-Seq` of a write); 503 `index_behind` if it takes too long.
    #[param(required = false, minimum = 0, maximum = 9007199254740991i64)]
    min_seq: i64,
}

/// Parameters of a single product.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ItemParameters {
    /// Ask the upstream source of the product for its live members (price and stock, say) first. What cannot be had in time is
    /// answered as it is stored; the member `live` says which it is, and how old.
    #[param(required = false, inline)]
    live: Boolean,
}

/// Headers of a read.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct ReadHeaders {
    /// Entity tags that the client has, or `*`: 304 when one matches.
    #[param(required = false, rename = "If-None-Match", example = "\"9a0ba0752cfe043f-1-19b7ce4ac88\"")]
    if_none_match: String,
}

/// Parameters of suggestions.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SuggestParameters {
    /// What was typed so far. At most 1,000 bytes.
    #[param(example = "basm")]
    q: String,
    /// How many of each kind.
    #[param(required = false, minimum = 1, maximum = 20, default = 5)]
    limit: u32,
}

/// Parameters of the change feed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChangesParameters {
    /// The place to go on from: `next` of the last answer, 0 to begin.
    #[param(required = false, minimum = 0, maximum = 9223372036854775807i64, default = 0)]
    after: i64,
    /// `floor` of the answer to `after=0` with which this reader began; needed only while `after` is less than that.
    #[param(required = false, minimum = 0, maximum = 9223372036854775807i64, default = 0)]
    floor: i64,
    /// How many changes at most.
    #[param(required = false, minimum = 1, maximum = 500, default = 100)]
    limit: u32,
    /// For how many seconds to hold the answer back while there is no change.
    #[param(required = false, minimum = 0, maximum = 30, default = 0)]
    wait: u32,
}

/// Parameters of an import.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ImportParameters {
    /// How the body is written, where `Content-Type` does not tell.
    #[param(required = false, inline)]
    format: Format,
    /// Find out what would happen and write nothing.
    #[param(required = false, inline)]
    dry_run: Boolean,
    /// How many records may be refused before the import stops.
    #[param(required = false, minimum = 0, maximum = 1000000, default = 1000)]
    max_errors: u64,
    /// For CSV: `FIELD=COLUMN` and the like, one rule each, as `haat import --map` takes them.
    #[param(required = false)]
    map: Vec<String>,
}

/// Parameters of an export.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParameters {
    /// How the products are written: `ndjson` by default.
    #[param(required = false, inline)]
    format: Format,
    /// Answer a gzip file. Otherwise `Accept-Encoding` decides whether it is compressed on its way.
    #[param(required = false, inline)]
    gzip: Boolean,
}

/// Headers of a write.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct WriteHeaders {
    /// Entity tags of which the product must have one, or `*`: it must exist. Otherwise 412.
    #[param(required = false, rename = "If-Match", pattern = r#"^(\*|"[!#-~]+"(, ?"[!#-~]+")*)$"#, example = "*")]
    if_match: String,
    /// `*`: there must be no such product. Otherwise 412. Not together with `If-Match`.
    #[param(required = false, rename = "If-None-Match", pattern = r"^\*$")]
    if_none_match: String,
    /// A string of your choice in double quotes. A repeated request with the same key is carried out once, and
    /// answered as the first time.
    #[param(
        required = false,
        rename = "Idempotency-Key",
        pattern = r#"^"[ !#-\[\]-~]{1,255}"$"#,
        example = "\"8e03978e-40d5-43dd-bc93-6894a57f9324\""
    )]
    idempotency_key: String,
}

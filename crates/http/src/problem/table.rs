//! The one table of problem codes: what each means, its status and what to do about it.
//!
//! A code never changes its meaning. `docs/errors.md` and the OpenAPI document are made from this table.

use http::StatusCode;

macro_rules! codes {
    ($( $variant:ident, $name:literal, $status:ident, $title:literal, $about:literal; )*) => {
        /// A stable name for one kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $( #[doc = $title] $variant, )*
        }

        impl Code {
            /// All codes, in the order in which they are documented.
            pub const ALL: &[Self] = &[ $( Self::$variant, )* ];

            /// The name in `code`: snake case, never changed.
            pub fn name(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// The status that goes with it.
            pub fn status(self) -> StatusCode {
                match self { $( Self::$variant => StatusCode::$status, )* }
            }

            /// One line for a person: the same whenever the code occurs.
            pub fn title(self) -> &'static str {
                match self { $( Self::$variant => $title, )* }
            }

            /// When it occurs and what to do about it.
            pub fn about(self) -> &'static str {
                match self { $( Self::$variant => $about, )* }
            }
        }
    };
}

codes! {
    InvalidRequest, "invalid_request", BAD_REQUEST, "The request is not HTTP",
        "The request's first line or its header fields could not be read. The connection was closed.";
    InvalidParameter, "invalid_parameter", BAD_REQUEST, "A parameter is not valid",
        "A query or path parameter is unknown, repeated, out of range or not of its type. `errors` names each one at \
         `/NAME`, with the nearest known name or the allowed values. Correct the request; sent again unchanged it fails again.";
    InvalidCursor, "invalid_cursor", BAD_REQUEST, "The cursor is damaged",
        "`cursor` is not one that Haat gave out, or it was altered or cut on the way. Take it unchanged from `page.next` \
         or `page.prev`, or leave it out to begin at the first page.";
    CursorMismatch, "cursor_mismatch", BAD_REQUEST, "The cursor belongs to another query",
        "A cursor goes on with the query that it came from: `q`, the filters and `sort` must stay the same from page to \
         page (`limit`, `fields`, `facets`, `count` and `highlight` may change). To change the query, leave the cursor out.";
    InvalidJson, "invalid_json", BAD_REQUEST, "The body is not valid JSON",
        "The body is not UTF-8, not JSON (RFC 8259), nested too deeply, has a member twice in one object, or goes on \
         after its end. `detail` names the place.";
    InvalidPrecondition, "invalid_precondition", BAD_REQUEST, "A precondition is malformed",
        "`If-Match` is neither `*` nor a list of quoted entity tags, `If-None-Match` on a write is not `*`, or both were \
         sent. Copy the tag from the `ETag` header, quotes included.";
    InvalidIdempotencyKey, "invalid_idempotency_key", BAD_REQUEST, "The idempotency key is malformed",
        "`Idempotency-Key` is a structured-field string: in double quotes, 1 to 255 printable ASCII characters, for \
         example `Idempotency-Key: \"8e03978e-40d5-43dd-bc93-6894a57f9324\"`.";
    IncompleteBody, "incomplete_body", BAD_REQUEST, "The body ended too early",
        "The connection broke before the whole body had arrived, or the body did not keep to its own framing. Nothing was written. Send the request again.";
    InvalidCredentials, "invalid_credentials", BAD_REQUEST, "The credentials cannot be read",
        "There is more than one `Authorization` header, or it is no text. Send one: `Authorization: Bearer TOKEN`.";
    Unauthorized, "unauthorized", UNAUTHORIZED, "This needs an access token",
        "Get a token from `POST /oauth/token` with your client's id and secret, and send `Authorization: Bearer TOKEN`.";
    InvalidToken, "invalid_token", UNAUTHORIZED, "The access token is not good",
        "It is malformed, expired, revoked, meant for another server, or bound to a key that the request does not prove to have \
         (`WWW-Authenticate` says more). Get a new one from `POST /oauth/token`.";
    InsufficientScope, "insufficient_scope", FORBIDDEN, "The access token may not be used for this",
        "`scope` names the one that is missing. Ask for it at `POST /oauth/token`; whoever looks after the server decides which \
         scopes a client may have.";
    NotFound, "not_found", NOT_FOUND, "There is nothing at this address",
        "The path is none of the API's. Mind trailing slashes: `/v1/products/` is not `/v1/products`. `/docs` lists every path.";
    ProductNotFound, "product_not_found", NOT_FOUND, "There is no such product",
        "No product has that id or sku. Percent-encode special characters of a sku in a path (`/` is `%2F`).";
    ImportNotFound, "import_not_found", NOT_FOUND, "There is no such import",
        "No import has that id. Finished imports are forgotten after a while.";
    ClientNotFound, "client_not_found", NOT_FOUND, "There is no such client",
        "No client has that id. `GET /v1/clients` lists them.";
    SourceNotFound, "source_not_found", NOT_FOUND, "There is no such source",
        "No upstream source has that name. `GET /v1/sources` lists those that the configuration declares.";
    MethodNotAllowed, "method_not_allowed", METHOD_NOT_ALLOWED, "This method is not for this address",
        "The `Allow` header lists the methods that are.";
    RequestTimeout, "request_timeout", REQUEST_TIMEOUT, "The body came too slowly",
        "The body did not arrive within the time allowed. Nothing was written. Send the request again.";
    SkuExists, "sku_exists", CONFLICT, "A product with this sku exists",
        "`POST` only creates. To change the product, or to write it whether or not it exists, use `PUT /v1/products/{sku}`.";
    IdTaken, "id_taken", CONFLICT, "Another product has this id",
        "The new product brings an `id` that belongs to a product with another sku. Leave `id` out and Haat draws one.";
    ClientExists, "client_exists", CONFLICT, "A client with this id exists",
        "Leave `id` out and Haat draws one, or choose another.";
    ClientConflict, "client_conflict", CONFLICT, "The client cannot be changed like this",
        "Somebody else changed it at the same time, or it signs with keys of its own and has no secrets to rotate. Read it again.";
    ImportFinished, "import_finished", CONFLICT, "The import has ended already",
        "An import that is done or has failed cannot be cancelled; what it has written stays. `GET /v1/imports/{id}` says what that is.";
    SyncRunning, "sync_running", CONFLICT, "The source is being synchronised",
        "A run of this source is under way, on this server or another, or by `haat sync`; there is one at a time. \
         `GET /v1/sources/{name}` shows how far it has come; `run` is its id.";
    NothingToConfirm, "nothing_to_confirm", CONFLICT, "No removals wait for this confirmation",
        "A confirmation is of what a run has found vanished and waits to remove. None waits (the removals may have been confirmed already), \
         the one that waits is not the one that was named, or it began under other settings. `run` is the id of the one that waits, if \
         there is one: `GET /v1/sources/{name}` shows what it would remove.";
    IdempotencyKeyInFlight, "idempotency_key_in_flight", CONFLICT, "The same request is still being carried out",
        "A request with the same idempotency key has not been answered yet. Wait a moment and send it again: the answer will be the first one's.";
    ChangesCompacted, "changes_compacted", GONE, "Changes from that place are no longer kept",
        "Deletions after `after` have been forgotten, so following from there would keep products that are gone. Forget \
         what you have and start afresh with `after=0`, which gives the newest change of every product; until `next` has come past the \
         `floor` of that first answer, send it along as `floor`. `floor` of this problem is the earliest place that can still be followed from.";
    ChangesAhead, "changes_ahead", GONE, "The change log does not go as far as that place",
        "`after` was read in another database, or in this one before it was put back to an earlier state. Forget what you have \
         and start afresh with `after=0`. `head` is the newest place there is.";
    PreconditionFailed, "precondition_failed", PRECONDITION_FAILED, "The product is not in the state expected",
        "`If-Match` or `If-None-Match` does not hold: somebody else wrote in between, the product is gone, or it exists already. \
         `current_etag` (and `ETag`) is the tag now, `null` without such a product. Read it again, redo the change, and send that tag.";
    PayloadTooLarge, "payload_too_large", PAYLOAD_TOO_LARGE, "The body is too large",
        "`limit_bytes` is the most that is accepted. Send many products through `POST /v1/imports`, large imports in parts or with `haat import`.";
    UriTooLong, "uri_too_long", URI_TOO_LONG, "The address is too long",
        "`limit_bytes` is the longest query string that is accepted. Ask for less at once.";
    UnsupportedMediaType, "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "The body is of a type that is not accepted here",
        "`Content-Type` is missing or not one of `allowed`, its `charset` is not `utf-8`, or the body is compressed where that is not accepted.";
    ValidationFailed, "validation_failed", UNPROCESSABLE_ENTITY, "The product is not valid",
        "The body is JSON but not a valid product. `errors` names every violation with a JSON Pointer to its place. Nothing was written.";
    IdempotencyKeyReused, "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key was used for another request",
        "A key stands for one request: method, path, preconditions and body. Use a new key for a new request.";
    HeadersTooLarge, "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, "Too many or too large header fields",
        "Send fewer or shorter header fields; cookies are of no use to Haat.";
    InternalError, "internal_error", INTERNAL_SERVER_ERROR, "Something went wrong inside Haat",
        "A fault of the server, not of the request. The log has the details under the same `request_id`.";
    QuotaExceeded, "quota_exceeded", TOO_MANY_REQUESTS, "A quota is used up",
        "`violated-policies` names the rate limits that the request would exceed. Send it again after `Retry-After` seconds. `RateLimit` on \
         every answer says what is left, `GET /v1/limits` lists the policies.";
    Overloaded, "overloaded", SERVICE_UNAVAILABLE, "Too much at once",
        "As much as the server does at a time is under way, and it sheds the rest rather than let it queue. Send the request again after `Retry-After` seconds.";
    IndexBehind, "index_behind", SERVICE_UNAVAILABLE, "The index has not come that far yet",
        "The listing does not show the change named by `min_seq` yet. Send the request again after `Retry-After` seconds, or leave `min_seq` out. `seq` is how far the index has come.";
    DatabaseUnavailable, "database_unavailable", SERVICE_UNAVAILABLE, "The database does not answer",
        "Listings still work, they need no database; single products, writes and changes do. Send the request again after `Retry-After` seconds (with an idempotency key where it writes: it may have been carried out).";
    Timeout, "timeout", SERVICE_UNAVAILABLE, "No answer within the time allowed",
        "The server took too long over the request and gave it up. Send it again after `Retry-After` seconds (with an idempotency key where it writes: it may have been carried out).";
    NotReady, "not_ready", SERVICE_UNAVAILABLE, "The server is not ready",
        "`checks` says what is missing: a database that does not answer, an index that is still being built, or a server that is shutting down.";
}

impl Code {
    /// After how many seconds the same request is worth sending again, where it is.
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::Overloaded | Self::IndexBehind | Self::IdempotencyKeyInFlight => Some(1),
            Self::DatabaseUnavailable | Self::Timeout | Self::NotReady => Some(2),
            _ => None,
        }
    }

    /// The members that a problem of this code has besides those that every problem has.
    pub fn members(self) -> &'static [(&'static str, &'static str)] {
        const ERRORS: (&str, &str) =
            ("errors", "what is wrong, each with `pointer`, `detail` and, where values are few, `allowed`");
        match self {
            Self::InvalidParameter | Self::ValidationFailed => &[ERRORS],
            Self::UnsupportedMediaType => &[("allowed", "the types that are accepted")],
            Self::PayloadTooLarge | Self::UriTooLong => &[("limit_bytes", "the most that is accepted")],
            Self::PreconditionFailed => &[("current_etag", "the product's entity tag now, or `null`")],
            Self::ChangesCompacted => &[("floor", "the earliest place that can be followed from")],
            Self::ChangesAhead => &[("head", "the newest place in the log")],
            Self::SyncRunning => &[("run", "the run that is under way")],
            Self::InsufficientScope => &[("scope", "the scope that is missing")],
            Self::QuotaExceeded => &[("violated-policies", "the names of the policies that refuse the request")],
            Self::IndexBehind => &[("seq", "how far the index has come")],
            Self::NotReady => &[("checks", "every dependency with its state")],
            _ => &[],
        }
    }
}

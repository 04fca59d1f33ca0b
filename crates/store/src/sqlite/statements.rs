//! Every SQL text of the SQLite backend, but for migrations, transaction control and connection settings.
//! `tests/query_plans.rs` asks the database for the plan of each.

use crate::statement::{Sample, Shaped, Statement, statements};

statements! {
    PRODUCT_BY_ID [Id]
        "SELECT id, sku, version, document FROM products WHERE id = ?";
    PRODUCT_BY_SKU [Sku]
        "SELECT id, sku, version, document FROM products WHERE sku = ?";
    LOCK_BY_ID [Id]
        "SELECT content_hash, document FROM products WHERE id = ?";
    LOCK_BY_SKU [Sku]
        "SELECT content_hash, document FROM products WHERE sku = ?";
    SCAN [Id, Limit]
        "SELECT id, sku, version, document FROM products WHERE id > ? ORDER BY id LIMIT ?";
    /// The counter knows: counting rows would read an index from end to end.
    COUNT []
        "SELECT products FROM change_seq WHERE id = 1";
    DELETE_PRODUCT [Id]
        "DELETE FROM products WHERE id = ?";

    ADVANCE [Number, Number]
        "UPDATE change_seq SET value = value + ?, products = products + ? WHERE id = 1 RETURNING value";
    HEAD []
        "SELECT value FROM change_seq WHERE id = 1";
    ORIGIN []
        "SELECT origin FROM change_log_state WHERE id = 1";
    NEWEST_OF [Id]
        "SELECT MAX(seq) FROM change_log WHERE product_id = ?";
    /// One statement, so that changes, head and floor are of one moment. The outer join gives a row even when there is no
    /// change. Documents are fetched apart (`DOCUMENTS`): each once, and no more than are wanted at once.
    CHANGES_AFTER [Seq, Limit]
        "SELECT counter.value AS head, state.floor_seq AS floor_seq, page.seq, page.product_id, page.op, page.sku,
                page.version, page.changed_at
         FROM change_seq AS counter
         JOIN change_log_state AS state ON state.id = 1
         LEFT JOIN (SELECT seq, product_id, op, sku, version, changed_at
                    FROM change_log WHERE seq > ? ORDER BY seq LIMIT ?) AS page ON 1 = 1
         WHERE counter.id = 1";
    NOTE_FOLLOWER [Text, Seq, Millis]
        "INSERT INTO change_followers (name, seq, seen_at) VALUES (?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, seen_at = excluded.seen_at";

    LOCK_STATE []
        "SELECT floor_seq, compacted_seq FROM change_log_state WHERE id = 1";
    SAVE_STATE [Seq, Seq]
        "UPDATE change_log_state SET floor_seq = ?, compacted_seq = ? WHERE id = 1";
    SLOWEST_FOLLOWER [Millis]
        "SELECT MIN(seq) FROM change_followers WHERE seen_at >= ?";
    FORGET_FOLLOWERS [Millis]
        "DELETE FROM change_followers WHERE seen_at < ?";
    PREDECESSORS [Seq, Seq]
        "SELECT (SELECT MAX(older.seq) FROM change_log AS older
                 WHERE older.product_id = newer.product_id AND older.seq < newer.seq)
         FROM change_log AS newer WHERE newer.seq > ? AND newer.seq <= ?";
    /// 3 is `ChangeOp::Deleted`, written out because a partial index serves no parameter.
    OLD_DELETIONS [Seq, Millis, Limit]
        "SELECT seq FROM change_log WHERE op = 3 AND seq <= ? AND changed_at < ? ORDER BY seq LIMIT ?";

    FIND_KEY [Text, Text]
        "SELECT request_hash, lease_until, receipt, document FROM idempotency_keys WHERE scope = ? AND idem_key = ?";
    LOCK_KEY [Text, Text]
        "SELECT request_hash, lease_until, receipt, document FROM idempotency_keys
         WHERE scope = ? AND idem_key = ?";
    INSERT_KEY [Text, Text, Hash, Number, Millis, Millis]
        "INSERT INTO idempotency_keys (scope, idem_key, request_hash, token, lease_until, used_at)
         VALUES (?, ?, ?, ?, ?, ?)";
    TAKE_OVER_KEY [Hash, Number, Millis, Millis, Text, Text]
        "UPDATE idempotency_keys SET request_hash = ?, token = ?, lease_until = ?, used_at = ?
         WHERE scope = ? AND idem_key = ? AND receipt IS NULL";
    /// Holds the key for the rest of the transaction, if it is still this claim's.
    HOLD_KEY [Text, Text, Text, Number]
        "UPDATE idempotency_keys SET document = ?
         WHERE scope = ? AND idem_key = ? AND token = ? AND receipt IS NULL";
    /// Only after `HOLD_KEY`, in the same transaction.
    FINISH_KEY [Text, Text, Text]
        "UPDATE idempotency_keys SET receipt = ? WHERE scope = ? AND idem_key = ?";
    RELEASE_KEY [Text, Text, Number]
        "DELETE FROM idempotency_keys WHERE scope = ? AND idem_key = ? AND token = ? AND receipt IS NULL";
    PRUNE_KEYS [Millis, Limit]
        "DELETE FROM idempotency_keys
         WHERE rowid IN (SELECT rowid FROM idempotency_keys WHERE used_at < ? ORDER BY used_at LIMIT ?)";

    INSERT_JOB [Id, Text, Number, Text, Number, Number, Number, Number, Number, Text, Text, Millis, Millis]
        "INSERT INTO import_jobs (id, owner, state, options, records, created, updated, unchanged, failed, errors,
                                  message, created_at, updated_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    FIND_JOB [Id]
        "SELECT id, owner, state, options, records, created, updated, unchanged, failed, errors, message, created_at,
                updated_at
         FROM import_jobs WHERE id = ?";
    SAVE_JOB [Number, Number, Number, Number, Number, Number, Text, Text, Millis, Id]
        "UPDATE import_jobs SET state = ?, records = ?, created = ?, updated = ?, unchanged = ?, failed = ?,
                errors = ?, message = ?, updated_at = ?
         WHERE id = ? AND state IN (0, 1)";
    CANCEL_JOB [Millis, Id]
        "UPDATE import_jobs SET state = 4, updated_at = ? WHERE id = ? AND state IN (0, 1)";
    JOB_STATE [Id]
        "SELECT state FROM import_jobs WHERE id = ?";
    FAIL_ABANDONED_JOBS [Text, Millis, Millis, Millis]
        "UPDATE import_jobs SET state = 3, message = ?, updated_at = ?
         WHERE state IN (0, 1) AND updated_at < ?
               AND NOT EXISTS (SELECT 1 FROM change_followers AS owner
                               WHERE owner.name = import_jobs.owner AND owner.seen_at >= ?)";
    /// Only from the place where the batch began: a batch whose answer was lost is not counted a second time.
    ADVANCE_JOB [Number, Number, Number, Number, Number, Millis, Id, Number]
        "UPDATE import_jobs SET records = ?, created = created + ?, updated = updated + ?,
                unchanged = unchanged + ?, failed = ?, updated_at = ?
         WHERE id = ? AND records = ? AND state IN (0, 1)";
    UNFINISHED_JOBS [Text]
        "SELECT id, owner, state, options, records, created, updated, unchanged, failed, errors, message, created_at,
                updated_at
         FROM import_jobs WHERE owner = ? AND state IN (0, 1) ORDER BY created_at, id";
    PRUNE_JOBS [Millis]
        "DELETE FROM import_jobs WHERE state IN (2, 3, 4) AND updated_at < ?";

    REVISIONS []
        "SELECT clients, signing_keys, revocations FROM auth_revisions WHERE id = 1";
    /// One for each part.
    RAISE_CLIENTS []
        "UPDATE auth_revisions SET clients = clients + 1 WHERE id = 1 RETURNING clients";
    RAISE_SIGNING_KEYS []
        "UPDATE auth_revisions SET signing_keys = signing_keys + 1 WHERE id = 1 RETURNING signing_keys";
    RAISE_REVOCATIONS []
        "UPDATE auth_revisions SET revocations = revocations + 1 WHERE id = 1 RETURNING revocations";
    HAS_CLIENTS []
        "SELECT EXISTS (SELECT 1 FROM clients)";
    CLIENTS []
        "SELECT id, version, document FROM clients ORDER BY id";
    INSERT_CLIENT [Text, Number, Text]
        "INSERT INTO clients (id, version, document) VALUES (?, ?, ?)";
    /// Only over the version before: what is written was made from that one.
    REPLACE_CLIENT [Number, Text, Text, Number]
        "UPDATE clients SET version = ?, document = ? WHERE id = ? AND version = ?";
    DELETE_CLIENT [Text]
        "DELETE FROM clients WHERE id = ?";
    SECRET_USES []
        "SELECT hash, used_at FROM secret_uses";
    OLD_SECRET_USES [Millis]
        "SELECT hash FROM secret_uses WHERE used_at < ?";

    SIGNING_KEYS []
        "SELECT kid, sealed, created_at, signs_from, longest_token FROM signing_keys ORDER BY signs_from, kid";
    /// No row but an empty value where there is no key.
    NEWEST_SIGNING_KEY []
        "SELECT MAX(kid) FROM signing_keys WHERE signs_from = (SELECT MAX(signs_from) FROM signing_keys)";
    INSERT_SIGNING_KEY [Text, Hash, Millis, Millis, Number]
        "INSERT INTO signing_keys (kid, sealed, created_at, signs_from, longest_token) VALUES (?, ?, ?, ?, ?)";
    RAISE_LONGEST_TOKEN [Number, Text, Number]
        "UPDATE signing_keys SET longest_token = ? WHERE kid = ? AND longest_token < ?";

    INSERT_REVOCATION [Id, Number, Millis]
        "INSERT INTO revoked_tokens (jti, revision, expires_at) VALUES (?, ?, ?)";
    REVOKED_SINCE [Number]
        "SELECT jti, expires_at FROM revoked_tokens WHERE revision > ? ORDER BY revision";
    INSERT_USE [Hash, Millis]
        "INSERT INTO used_once (hash, expires_at) VALUES (?, ?)";
    PRUNE_REVOCATIONS [Millis, Limit]
        "DELETE FROM revoked_tokens
         WHERE jti IN (SELECT jti FROM revoked_tokens WHERE expires_at < ? ORDER BY expires_at LIMIT ?)";
    PRUNE_USES [Millis, Limit]
        "DELETE FROM used_once
         WHERE hash IN (SELECT hash FROM used_once WHERE expires_at < ? ORDER BY expires_at LIMIT ?)";

    SOURCES []
        "SELECT name, items, breaker_order, watermark, run, last_full, last_done FROM sources ORDER BY name";
    SOURCE [Text]
        "SELECT name, items, breaker_order, watermark, run, last_full, last_done FROM sources WHERE name = ?";
    LOCK_SOURCE [Text]
        "SELECT fence, lease_until, watermark, run FROM sources WHERE name = ?";
    INSERT_SOURCE [Text]
        "INSERT INTO sources (name, fence, lease_until, items, breaker_order) VALUES (?, 0, 0, 0, 0)";
    BEGIN_RUN [Number, Millis, Text, Text]
        "UPDATE sources SET fence = ?, lease_until = ?, run = ? WHERE name = ?";
    /// Only after `LOCK_SOURCE`, in the same transaction; `END_RUN` likewise.
    MOVE_RUN [Millis, Number, Text, Text]
        "UPDATE sources SET lease_until = ?, items = items + ?, run = ? WHERE name = ?";
    END_RUN [Text, Text, Text, Millis, Text]
        "UPDATE sources SET lease_until = 0, run = ?, last_full = COALESCE(?, last_full),
                last_done = COALESCE(?, last_done), watermark = ?
         WHERE name = ?";
    INHERIT [Number, Text, Text]
        "UPDATE sources SET fence = fence + 1, lease_until = 0, items = items + ?, watermark = NULL, run = ?
         WHERE name = ?";
    DELETE_SOURCE [Text]
        "DELETE FROM sources WHERE name = ?";
    DELETE_REPORTS [Text]
        "DELETE FROM source_breakers WHERE source = ?";
    ORDER_BREAKER [Text, Number]
        "INSERT INTO sources (name, fence, lease_until, items, breaker_order) VALUES (?, 0, 0, 0, ?)
         ON CONFLICT (name) DO UPDATE SET breaker_order = excluded.breaker_order";
    REPORT_BREAKER [Text, Text, Millis, Text]
        "INSERT INTO source_breakers (source, replica, seen_at, report) VALUES (?, ?, ?, ?)
         ON CONFLICT (source, replica) DO UPDATE SET seen_at = excluded.seen_at, report = excluded.report";
    BREAKER_REPORTS [Millis]
        "SELECT source, replica, report FROM source_breakers WHERE seen_at >= ?";
    OLDEST_REPORT []
        "SELECT MIN(seen_at) FROM source_breakers";
    FORGET_REPORTS [Millis]
        "DELETE FROM source_breakers WHERE seen_at < ?";

    /// The key is bound as bytes, for one that is no text must be passed by as well; bytes sort behind all text.
    ITEMS_AFTER [Text, Text, Limit]
        "SELECT sku, source, item_key, item_order, missed_by FROM source_items
         WHERE source = ? AND item_key > CAST(? AS TEXT) ORDER BY item_key LIMIT ?";
    RELEASE_ITEMS [Text]
        "DELETE FROM source_items WHERE source = ?";
    /// What stands before the sku is `RETIRED`.
    RETIRE_TAKEN_ITEMS [Text, Text]
        "UPDATE source_items SET item_key = char(1) || sku
         WHERE source = ? AND item_key IN (SELECT item_key FROM source_items WHERE source = ?)";
    GIVE_ITEMS [Text, Text]
        "UPDATE source_items SET source = ?, item_order = NULL, missed_by = NULL WHERE source = ?";
    SEEN_HASHES [Text, Id]
        "SELECT hashes FROM source_seen WHERE source = ? AND run = ? ORDER BY page";
    LAST_SEEN_PAGE [Text, Id]
        "SELECT MAX(page) FROM source_seen WHERE source = ? AND run = ?";
    INSERT_SEEN [Text, Id, Number, Hash]
        "INSERT INTO source_seen (source, run, page, hashes) VALUES (?, ?, ?, ?)";
    FORGET_SEEN [Text, Id, Limit]
        "DELETE FROM source_seen
         WHERE rowid IN (SELECT rowid FROM source_seen WHERE source = ? AND run <> ? LIMIT ?)";
}

/// What a batch needs to know of products that are there.
pub(crate) static KNOWN: Shaped = Shaped::new(
    "KNOWN",
    ("SELECT id, sku, version, content_hash, created_at FROM products WHERE sku IN (", "?", ")"),
    &[Sample::Sku],
);

/// The same, locked: `BEGIN IMMEDIATE` holds the whole file.
pub(crate) static LOCK_KNOWN: Shaped = Shaped::new(
    "LOCK_KNOWN",
    ("SELECT id, sku, version, content_hash, created_at FROM products WHERE sku IN (", "?", ")"),
    &[Sample::Sku],
);

/// The documents of some products.
pub(crate) static DOCUMENTS: Shaped =
    Shaped::new("DOCUMENTS", ("SELECT id, document FROM products WHERE id IN (", "?", ")"), &[Sample::Id]);

/// Those of some ids that belong to products.
pub(crate) static TAKEN_IDS: Shaped =
    Shaped::new("TAKEN_IDS", ("SELECT id FROM products WHERE id IN (", "?", ")"), &[Sample::Id]);

/// The last versions of ids that products had once.
pub(crate) static LAST_VERSIONS: Shaped = Shaped::new(
    "LAST_VERSIONS",
    ("SELECT product_id, MAX(version) AS version FROM change_log WHERE product_id IN (", "?", ") GROUP BY product_id"),
    &[Sample::Id],
);

const PRODUCT_SAMPLES: &[Sample] =
    &[Sample::Id, Sample::Sku, Sample::Number, Sample::Hash, Sample::Millis, Sample::Millis, Sample::Text];

/// New products.
pub(crate) static INSERT_PRODUCTS: Shaped = Shaped::new(
    "INSERT_PRODUCTS",
    (
        "INSERT INTO products (id, sku, version, content_hash, created_at, updated_at, document) VALUES ",
        "(?, ?, ?, ?, ?, ?, ?)",
        "",
    ),
    PRODUCT_SAMPLES,
);

/// Products that are there, found by id; the sku never changes.
pub(crate) static REPLACE_PRODUCTS: Shaped = Shaped::new(
    "REPLACE_PRODUCTS",
    (
        "INSERT INTO products (id, sku, version, content_hash, created_at, updated_at, document) VALUES ",
        "(?, ?, ?, ?, ?, ?, ?)",
        " ON CONFLICT (id) DO UPDATE SET version = excluded.version, content_hash = excluded.content_hash, \
          created_at = excluded.created_at, updated_at = excluded.updated_at, document = excluded.document",
    ),
    PRODUCT_SAMPLES,
);

/// Rows of the change log.
pub(crate) static APPEND: Shaped = Shaped::new(
    "APPEND",
    ("INSERT INTO change_log (seq, product_id, op, sku, version, changed_at) VALUES ", "(?, ?, ?, ?, ?, ?)", ""),
    &[Sample::Seq, Sample::Id, Sample::Number, Sample::Sku, Sample::Number, Sample::Millis],
);

/// Removes rows of the change log.
pub(crate) static FORGET: Shaped =
    Shaped::new("FORGET", ("DELETE FROM change_log WHERE seq IN (", "?", ")"), &[Sample::Seq]);

/// When secrets were used, where that is later than what is known.
pub(crate) static NOTE_SECRET_USES: Shaped = Shaped::new(
    "NOTE_SECRET_USES",
    (
        "INSERT INTO secret_uses (hash, used_at) VALUES ",
        "(?, ?)",
        " ON CONFLICT (hash) DO UPDATE SET used_at = excluded.used_at WHERE used_at < excluded.used_at",
    ),
    &[Sample::Hash, Sample::Millis],
);

/// Forgets when secrets were used.
pub(crate) static FORGET_SECRET_USES: Shaped =
    Shaped::new("FORGET_SECRET_USES", ("DELETE FROM secret_uses WHERE hash IN (", "?", ")"), &[Sample::Hash]);

/// Removes signing keys.
pub(crate) static DELETE_SIGNING_KEYS: Shaped =
    Shaped::new("DELETE_SIGNING_KEYS", ("DELETE FROM signing_keys WHERE kid IN (", "?", ")"), &[Sample::Text]);

/// Removes products.
pub(crate) static DELETE_PRODUCTS: Shaped =
    Shaped::new("DELETE_PRODUCTS", ("DELETE FROM products WHERE id IN (", "?", ")"), &[Sample::Id]);

/// To which sources products belong. Never locked: those of one source change only under the lock of its row, and who takes
/// a product that another source takes meanwhile is told by the primary key.
pub(crate) static ITEMS_OF_SKUS: Shaped = Shaped::new(
    "ITEMS_OF_SKUS",
    ("SELECT sku, source, item_key, item_order, missed_by FROM source_items WHERE sku IN (", "?", ")"),
    &[Sample::Sku],
);

/// Which products a source calls by some keys.
pub(crate) static ITEMS_OF_KEYS: Shaped = Shaped::new(
    "ITEMS_OF_KEYS",
    (
        "SELECT sku, source, item_key, item_order, missed_by FROM source_items WHERE source = ? AND item_key IN (",
        "?",
        ")",
    ),
    &[Sample::Text],
);

const ITEM_SAMPLES: &[Sample] = &[Sample::Sku, Sample::Text, Sample::Text, Sample::Number];

/// Products that belonged to no source.
pub(crate) static INSERT_ITEMS: Shaped = Shaped::new(
    "INSERT_ITEMS",
    ("INSERT INTO source_items (sku, source, item_key, item_order) VALUES ", "(?, ?, ?, ?)", ""),
    ITEM_SAMPLES,
);

/// What a source calls products of its own, and how new what it said of them is.
pub(crate) static REPLACE_ITEMS: Shaped = Shaped::new(
    "REPLACE_ITEMS",
    (
        "INSERT INTO source_items (sku, source, item_key, item_order) VALUES ",
        "(?, ?, ?, ?)",
        " ON CONFLICT (sku) DO UPDATE SET item_key = excluded.item_key, item_order = excluded.item_order",
    ),
    ITEM_SAMPLES,
);

/// Products of a source that a full run did not list.
pub(crate) static MISS_ITEMS: Shaped =
    Shaped::new("MISS_ITEMS", ("UPDATE source_items SET missed_by = ? WHERE sku IN (", "?", ")"), &[Sample::Sku]);

/// Products that belong to no source any more.
pub(crate) static DELETE_ITEMS: Shaped =
    Shaped::new("DELETE_ITEMS", ("DELETE FROM source_items WHERE sku IN (", "?", ")"), &[Sample::Sku]);

/// All statements.
pub(crate) fn all() -> Vec<Statement> {
    let reading = [&KNOWN, &LOCK_KNOWN, &DOCUMENTS, &TAKEN_IDS, &LAST_VERSIONS];
    let shaped = reading.into_iter().chain([&INSERT_PRODUCTS, &REPLACE_PRODUCTS, &APPEND, &FORGET]);
    let shaped = shaped.chain([&NOTE_SECRET_USES, &FORGET_SECRET_USES, &DELETE_SIGNING_KEYS]);
    let of_sources =
        [&DELETE_PRODUCTS, &ITEMS_OF_SKUS, &ITEMS_OF_KEYS, &INSERT_ITEMS, &REPLACE_ITEMS, &MISS_ITEMS, &DELETE_ITEMS];
    let shaped = shaped.chain(of_sources);
    FIXED.iter().copied().chain(shaped.flat_map(|shaped| shaped.statements())).collect()
}

-- The catalogue. `document` is the product's JSON, byte for byte as the API answers it.
-- Not WITHOUT ROWID: documents are too long to live in the inner pages of a B-tree.
CREATE TABLE products (
    id           BLOB    NOT NULL PRIMARY KEY,
    sku          TEXT    NOT NULL UNIQUE,
    version      INTEGER NOT NULL,
    content_hash BLOB    NOT NULL,
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    document     TEXT    NOT NULL
) STRICT;

-- One row per change. `seq` comes from `change_seq`, never from the rowid's own count (docs/adr/0002).
CREATE TABLE change_log (
    seq        INTEGER NOT NULL PRIMARY KEY,
    product_id BLOB    NOT NULL,
    op         INTEGER NOT NULL,
    sku        TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;

CREATE INDEX change_log_product ON change_log (product_id, seq);

-- Deletions alone, which are few: imports pay nothing for it.
CREATE INDEX change_log_deletions ON change_log (seq) WHERE op = 3;

-- The counter that every writing transaction takes after all its other work, and the number of products, which moves with it.
CREATE TABLE change_seq (
    id       INTEGER NOT NULL PRIMARY KEY,
    value    INTEGER NOT NULL,
    products INTEGER NOT NULL
) STRICT;

INSERT INTO change_seq (id, value, products) VALUES (1, 0, 0);

-- How far compaction has come. `origin` is drawn once: it tells places in this log from places in another database's.
CREATE TABLE change_log_state (
    id            INTEGER NOT NULL PRIMARY KEY,
    floor_seq     INTEGER NOT NULL,
    compacted_seq INTEGER NOT NULL,
    origin        BLOB    NOT NULL
) STRICT;

INSERT INTO change_log_state (id, floor_seq, compacted_seq, origin) VALUES (1, 0, 0, randomblob(16));

-- Who follows the log and how far they have come.
CREATE TABLE change_followers (
    name    TEXT    NOT NULL PRIMARY KEY,
    seq     INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT;

CREATE INDEX change_followers_seen ON change_followers (seen_at, seq);

-- Idempotency keys: claimed by `token` until `lease_until`; with a receipt once the effect is committed.
CREATE TABLE idempotency_keys (
    scope        TEXT    NOT NULL,
    idem_key     TEXT    NOT NULL,
    request_hash BLOB    NOT NULL,
    token        INTEGER NOT NULL,
    lease_until  INTEGER NOT NULL,
    used_at      INTEGER NOT NULL,
    receipt      TEXT,
    document     TEXT,
    PRIMARY KEY (scope, idem_key)
) STRICT;

CREATE INDEX idempotency_keys_used ON idempotency_keys (used_at);

-- Imports sent over HTTP. state: 0 queued, 1 running, 2 done, 3 failed, 4 cancelled.
CREATE TABLE import_jobs (
    id         BLOB    NOT NULL PRIMARY KEY,
    owner      TEXT    NOT NULL,
    state      INTEGER NOT NULL,
    options    TEXT    NOT NULL,
    records    INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    updated    INTEGER NOT NULL,
    unchanged  INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    errors     TEXT    NOT NULL,
    message    TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;

CREATE INDEX import_jobs_owner ON import_jobs (owner, state, created_at);
CREATE INDEX import_jobs_state ON import_jobs (state, updated_at);

-- Upstream catalogues: how their runs stand, and which products are theirs.

-- A source that was ever run or given an order. `fence` grows with every holder of the lease, which lasts until
-- `lease_until`; `items` is the number of its rows in `source_items`. `run`, `last_full` and `last_done` are runs as JSON.
-- breaker_order: 0 auto, 1 force open, 2 force closed.
CREATE TABLE sources (
    name          TEXT    NOT NULL PRIMARY KEY,
    fence         INTEGER NOT NULL,
    lease_until   INTEGER NOT NULL,
    items         INTEGER NOT NULL,
    breaker_order INTEGER NOT NULL,
    watermark     INTEGER,
    run           TEXT,
    last_full     TEXT,
    last_done     TEXT
) STRICT;

-- Whose product that is: a product belongs to one source, and a source calls one product by a key. The row stays when the
-- product is deleted by hand, and the source makes it anew. `missed_by` is the last full run that did not list it, where the
-- upstream cannot be asked for a single item.
CREATE TABLE source_items (
    sku        TEXT NOT NULL PRIMARY KEY,
    source     TEXT NOT NULL,
    item_key   TEXT NOT NULL,
    item_order INTEGER,
    missed_by  BLOB
) STRICT;

CREATE UNIQUE INDEX source_items_key ON source_items (source, item_key);

-- What a run has seen, until it ends: a row for each page, with 16 bytes for each key.
CREATE TABLE source_seen (
    source TEXT    NOT NULL,
    run    BLOB    NOT NULL,
    page   INTEGER NOT NULL,
    hashes BLOB    NOT NULL,
    PRIMARY KEY (source, run, page)
) STRICT;

-- What replicas say of their breakers.
CREATE TABLE source_breakers (
    source  TEXT    NOT NULL,
    replica TEXT    NOT NULL,
    seen_at INTEGER NOT NULL,
    report  TEXT    NOT NULL,
    PRIMARY KEY (source, replica)
) STRICT;

CREATE INDEX source_breakers_seen ON source_breakers (seen_at);

-- Upstream catalogues: how their runs stand, and which products are theirs. As in 0001, every statement may be run again.

-- A source that was ever run or given an order. `fence` grows with every holder of the lease, which lasts until
-- `lease_until`; `items` is the number of its rows in `source_items`. `run`, `last_full` and `last_done` are runs as JSON.
-- breaker_order: 0 auto, 1 force open, 2 force closed.
CREATE TABLE IF NOT EXISTS sources (
    name          VARBINARY(255) NOT NULL,
    fence         BIGINT         NOT NULL,
    lease_until   BIGINT         NOT NULL,
    items         BIGINT         NOT NULL,
    breaker_order SMALLINT       NOT NULL,
    watermark     BIGINT         NULL,
    run           MEDIUMTEXT     CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    last_full     MEDIUMTEXT     CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    last_done     MEDIUMTEXT     CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Whose product that is: a product belongs to one source, and a source calls one product by a key. The row stays when the
-- product is deleted by hand, and the source makes it anew. `missed_by` is the last full run that did not list it, where the
-- upstream cannot be asked for a single item.
CREATE TABLE IF NOT EXISTS source_items (
    sku        VARCHAR(128)   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    source     VARBINARY(255) NOT NULL,
    item_key   VARBINARY(255) NOT NULL,
    item_order BIGINT         NULL,
    missed_by  BINARY(16)     NULL,
    PRIMARY KEY (sku),
    UNIQUE KEY source_items_key (source, item_key)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- What a run has seen, until it ends: a row for each page, with 16 bytes for each key.
CREATE TABLE IF NOT EXISTS source_seen (
    source VARBINARY(255) NOT NULL,
    run    BINARY(16)     NOT NULL,
    page   BIGINT         NOT NULL,
    hashes MEDIUMBLOB     NOT NULL,
    PRIMARY KEY (source, run, page)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- What replicas say of their breakers.
CREATE TABLE IF NOT EXISTS source_breakers (
    source  VARBINARY(255) NOT NULL,
    replica VARBINARY(255) NOT NULL,
    seen_at BIGINT         NOT NULL,
    report  MEDIUMTEXT     CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    PRIMARY KEY (source, replica),
    KEY source_breakers_seen (seen_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

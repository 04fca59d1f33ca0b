-- Every statement may be run again: where a server ends half way through (data definition commits by itself on
-- MySQL), or two replicas on different nodes of a cluster start together, the migration is simply repeated.

-- The catalogue. `document` is the product's JSON, byte for byte as the API answers it.
CREATE TABLE IF NOT EXISTS products (
    id           BINARY(16)   NOT NULL,
    sku          VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    version      BIGINT       NOT NULL,
    content_hash BINARY(16)   NOT NULL,
    created_at   BIGINT       NOT NULL,
    updated_at   BIGINT       NOT NULL,
    document     MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY products_sku (sku)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- One row per change. `seq` comes from `change_seq`, never from AUTO_INCREMENT (docs/adr/0002).
CREATE TABLE IF NOT EXISTS change_log (
    seq        BIGINT       NOT NULL,
    product_id BINARY(16)   NOT NULL,
    op         SMALLINT     NOT NULL,
    sku        VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    version    BIGINT       NOT NULL,
    changed_at BIGINT       NOT NULL,
    PRIMARY KEY (seq),
    KEY change_log_product (product_id, seq),
    KEY change_log_op (op, seq)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- The counter that every writing transaction takes after all its other work, and the number of products, which moves with it.
CREATE TABLE IF NOT EXISTS change_seq (
    id       INT    NOT NULL,
    value    BIGINT NOT NULL,
    products BIGINT NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

INSERT IGNORE INTO change_seq (id, value, products) VALUES (1, 0, 0);

-- How far compaction has come. Apart from the counter, so that compaction never waits for writers. `origin` is drawn
-- once: it tells places in this log from places in another database's.
CREATE TABLE IF NOT EXISTS change_log_state (
    id            INT        NOT NULL,
    floor_seq     BIGINT     NOT NULL,
    compacted_seq BIGINT     NOT NULL,
    origin        BINARY(16) NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

INSERT IGNORE INTO change_log_state (id, floor_seq, compacted_seq, origin)
VALUES (1, 0, 0, UNHEX(REPLACE(UUID(), '-', '')));

-- Who follows the log and how far they have come.
CREATE TABLE IF NOT EXISTS change_followers (
    name    VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    seq     BIGINT       NOT NULL,
    seen_at BIGINT       NOT NULL,
    PRIMARY KEY (name),
    KEY change_followers_seen (seen_at, seq)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Idempotency keys: claimed by `token` until `lease_until`; with a receipt once the effect is committed.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    scope        VARBINARY(255) NOT NULL,
    idem_key     VARBINARY(255) NOT NULL,
    request_hash BINARY(16)     NOT NULL,
    token        BIGINT         NOT NULL,
    lease_until  BIGINT         NOT NULL,
    used_at      BIGINT         NOT NULL,
    receipt      TEXT           CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    document     MEDIUMTEXT     CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    PRIMARY KEY (scope, idem_key),
    KEY idempotency_keys_used (used_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Imports sent over HTTP. state: 0 queued, 1 running, 2 done, 3 failed, 4 cancelled.
CREATE TABLE IF NOT EXISTS import_jobs (
    id         BINARY(16)   NOT NULL,
    owner      VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    state      SMALLINT     NOT NULL,
    options    MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    records    BIGINT       NOT NULL,
    created    BIGINT       NOT NULL,
    updated    BIGINT       NOT NULL,
    unchanged  BIGINT       NOT NULL,
    failed     BIGINT       NOT NULL,
    errors     MEDIUMTEXT   CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    message    TEXT         CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    created_at BIGINT       NOT NULL,
    updated_at BIGINT       NOT NULL,
    PRIMARY KEY (id),
    KEY import_jobs_owner (owner, state, created_at),
    KEY import_jobs_state (state, updated_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Machine clients and what the authorization server keeps beside them. As in 0001, every statement may be run again.

-- How often each part was changed: raised as the first act of every transaction that changes it. `revoked_tokens` says of
-- each row at which count it was written.
CREATE TABLE IF NOT EXISTS auth_revisions (
    id           INT    NOT NULL,
    clients      BIGINT NOT NULL,
    signing_keys BIGINT NOT NULL,
    revocations  BIGINT NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

INSERT IGNORE INTO auth_revisions (id, clients, signing_keys, revocations) VALUES (1, 0, 0, 0);

-- `document` is the client as JSON. Of its secrets it has keyed hashes. Ids are VARBINARY because collations, even
-- binary ones, take 'a' and 'a ' for the same.
CREATE TABLE IF NOT EXISTS clients (
    id       VARBINARY(255) NOT NULL,
    version  BIGINT         NOT NULL,
    document MEDIUMTEXT     CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- When secrets were last good for something. Apart from the clients, so that using a secret changes no client.
CREATE TABLE IF NOT EXISTS secret_uses (
    hash    BINARY(32) NOT NULL,
    used_at BIGINT     NOT NULL,
    PRIMARY KEY (hash),
    KEY secret_uses_used (used_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- Keys that sign tokens. `sealed` is the private half, encrypted with a key that is not in the database;
-- `longest_token` the most milliseconds that a token of it may last.
CREATE TABLE IF NOT EXISTS signing_keys (
    kid           VARBINARY(255) NOT NULL,
    sealed        BLOB           NOT NULL,
    created_at    BIGINT         NOT NULL,
    signs_from    BIGINT         NOT NULL,
    longest_token BIGINT         NOT NULL,
    PRIMARY KEY (kid),
    KEY signing_keys_order (signs_from, kid)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Tokens that are good no longer, until they would have ended by themselves.
CREATE TABLE IF NOT EXISTS revoked_tokens (
    jti        BINARY(16) NOT NULL,
    revision   BIGINT     NOT NULL,
    expires_at BIGINT     NOT NULL,
    PRIMARY KEY (jti),
    KEY revoked_tokens_revision (revision, expires_at),
    KEY revoked_tokens_expires (expires_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

-- What may be used once only, until it would have ended by itself.
CREATE TABLE IF NOT EXISTS used_once (
    hash       BINARY(32) NOT NULL,
    expires_at BIGINT     NOT NULL,
    PRIMARY KEY (hash),
    KEY used_once_expires (expires_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

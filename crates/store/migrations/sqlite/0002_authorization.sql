-- Machine clients and what the authorization server keeps beside them.

-- How often each part was changed: raised as the first act of every transaction that changes it. `revoked_tokens` says of
-- each row at which count it was written.
CREATE TABLE auth_revisions (
    id           INTEGER NOT NULL PRIMARY KEY,
    clients      INTEGER NOT NULL,
    signing_keys INTEGER NOT NULL,
    revocations  INTEGER NOT NULL
) STRICT;

INSERT INTO auth_revisions (id, clients, signing_keys, revocations) VALUES (1, 0, 0, 0);

-- `document` is the client as JSON. Of its secrets it has keyed hashes.
CREATE TABLE clients (
    id       TEXT    NOT NULL PRIMARY KEY,
    version  INTEGER NOT NULL,
    document TEXT    NOT NULL
) STRICT;

-- When secrets were last good for something. Apart from the clients, so that using a secret changes no client.
CREATE TABLE secret_uses (
    hash    BLOB    NOT NULL PRIMARY KEY,
    used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX secret_uses_used ON secret_uses (used_at);

-- Keys that sign tokens. `sealed` is the private half, encrypted with a key that is not in the database;
-- `longest_token` the most milliseconds that a token of it may last.
CREATE TABLE signing_keys (
    kid           TEXT    NOT NULL PRIMARY KEY,
    sealed        BLOB    NOT NULL,
    created_at    INTEGER NOT NULL,
    signs_from    INTEGER NOT NULL,
    longest_token INTEGER NOT NULL
) STRICT;

CREATE INDEX signing_keys_order ON signing_keys (signs_from, kid);

-- Tokens that are good no longer, until they would have ended by themselves.
CREATE TABLE revoked_tokens (
    jti        BLOB    NOT NULL PRIMARY KEY,
    revision   INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX revoked_tokens_revision ON revoked_tokens (revision, expires_at);
CREATE INDEX revoked_tokens_expires ON revoked_tokens (expires_at);

-- What may be used once only, until it would have ended by itself.
CREATE TABLE used_once (
    hash       BLOB    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX used_once_expires ON used_once (expires_at);

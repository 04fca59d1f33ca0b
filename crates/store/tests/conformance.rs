//! Every promise of the store's ports, on SQLite and on MariaDB.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod stage;

mod on_sqlite {
    haat_testkit::store_conformance!(crate::stage::sqlite);
}

mod on_mysql {
    haat_testkit::store_conformance!(crate::stage::mysql);
}

//! Clients and keys: whether this installation can open what the database has.

use std::sync::Arc;

use haat_store::Store;

use super::Finding;
use crate::authority::Authority;
use crate::config::Config;
use crate::data_dir::DataDir;
use crate::wiring::World;

/// Looks at them.
pub async fn examine(config: &Config, data: &DataDir, store: &Arc<dyn Store>, world: &World) -> Finding {
    match store.keys().await {
        Err(e) => return Finding::fail("access", e.to_string(), "see the database's findings"),
        Ok(keys) if keys.is_empty() => {
            let advice = "nothing to do: `haat serve` makes a signing key and the first client";
            return Finding::warn("access", "no signing key and no client yet", advice);
        }
        Ok(_) => {}
    }
    let advice = "every server on a database needs the same key: set auth.encryption_key, or copy encryption.key from the \
                  data folder of the server that was there first";
    if config.auth.encryption_key.is_none() && !data.has_encryption_key() {
        let detail = "the database has signing keys, but there is no encryption key here to open them";
        return Finding::fail("access", detail, advice);
    }
    let opened = match Authority::of(config, data, store, world) {
        Ok(authority) => authority.admin.ring().await.map_err(|e| e.to_string()).map(|ring| (authority, ring)),
        Err(e) => Err(e.to_string()),
    };
    let (authority, ring) = match opened {
        Ok(opened) => opened,
        Err(e) => return Finding::fail("access", e, advice),
    };
    let clients = authority.admin.list().await.map_or(0, |clients| clients.len());
    let detail = format!("clients: {clients}, signing keys: {}", ring.iter().count());
    if config.auth.issuer.is_none() && !config.http.bind.0.to_canonical().is_loopback() {
        let advice = "set auth.issuer to the URL under which clients reach the server; without it tokens are those of \
                      http://localhost, and several servers do not take each other's";
        return Finding::warn("access", detail, advice);
    }
    Finding::ok("access", detail)
}

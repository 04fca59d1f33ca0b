//! Clients and keys: whether this installation can open what the database has.

use std::sync::Arc;

use haat_oauth::client::Client;
use haat_store::Store;

use super::Finding;
use crate::authority::{Authority, Missing};
use crate::config::Config;
use crate::wiring::World;

/// Looks at them.
pub async fn examine(config: &Config, store: &Arc<dyn Store>, world: &World) -> Finding {
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
    let opened = match Authority::of(config, store, world, Missing::Refuse) {
        Ok(authority) => authority.admin.ring().await.map_err(|e| e.to_string()).map(|ring| (authority, ring)),
        Err(e) => Err(e.to_string()),
    };
    let (authority, ring) = match opened {
        Ok(opened) => opened,
        Err(e) => return Finding::fail("access", e, advice),
    };
    let clients = match authority.admin.list().await {
        Ok(clients) => clients,
        Err(e) => return Finding::fail("access", e.to_string(), "see the database's findings"),
    };
    let detail = format!("clients: {}, signing keys: {}", clients.len(), ring.iter().count());
    if let Some((client, policy)) = clients.iter().find_map(|client| without_policy(client, config)) {
        let detail =
            format!("{detail}; the client '{client}' has the rate-limit policy '{policy}', which is not configured");
        let advice =
            "only the policies for everybody hold for it: add the policy with assigned = true, or change the client";
        return Finding::warn("access", detail, advice);
    }
    if config.auth.issuer.is_none() && !config.http.bind.0.to_canonical().is_loopback() {
        let advice = "set auth.issuer to the URL under which clients reach the server; without it tokens are those of \
                      http://localhost, and several servers do not take each other's";
        return Finding::warn("access", detail, advice);
    }
    Finding::ok("access", detail)
}

/// A client's name and its policy, if there is no such policy.
fn without_policy<'a>(client: &'a Client, config: &Config) -> Option<(&'a str, &'a str)> {
    let policy = client.policy.as_deref()?;
    let there = config.limits.policies.iter().any(|known| known.assigned && known.name == policy);
    (!there).then_some((&*client.id, policy))
}

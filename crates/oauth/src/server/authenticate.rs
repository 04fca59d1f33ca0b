//! Who asks: from credentials to a client, or to a refusal that tells nobody which clients there are, neither by its words
//! nor by how long it takes. Two things can be measured: a statement of a client whose keys are elsewhere may make this
//! server fetch them, and one that names no key is checked by each key that its client has of the kind.

use std::sync::Arc;

use haat_catalog::Timestamp;

use super::credentials::Credentials;
use super::error::Refusal;
use super::form::Form;
use super::{Asked, AuthorizationServer, Known};
use crate::audit::{self, Act, UNKNOWN};
use crate::client::{AuthMethod, Client};
use crate::vault::SecretHash;

/// Puts a refusal into the audit log. None has a secret in its words.
pub(super) fn refused(client: &str, refusal: &Refusal, asked: &Asked<'_>) {
    audit::note(Act::Refused { client, why: &refusal.description }, asked.address);
}

impl AuthorizationServer {
    /// The parameters of a request, and its client.
    ///
    /// # Errors
    /// When there are none, there are no credentials, they are not good, or too many that were not came from there. Each
    /// refusal is in the audit log, before anything else is waited for: whoever asks may go away.
    pub(super) async fn admit<'a>(&self, asked: &Asked<'a>) -> Result<(Form<'a>, Arc<Client>), Refusal> {
        let stranger = |refusal: &Refusal| refused(UNKNOWN, refusal, asked);
        let form = Form::read(asked.headers, asked.body).inspect_err(stranger)?;
        let credentials = Credentials::of(asked.headers, &form).inspect_err(stranger)?;
        let claimed = credentials.claimed();
        let (known, now) = (self.directory.known_now(), self.clock.now());
        // Only names that are some client's: who mixes them up sends a secret in place of one.
        let name = if known.clients.contains_key(&*claimed) { &*claimed } else { UNKNOWN };
        let checked = self.throttle.check(&claimed, asked.address, now).await.map_err(Refusal::too_many_failures);
        checked.inspect_err(|refusal| refused(name, refusal, asked))?;
        let found = match &credentials {
            Credentials::Secret { id, secret, method } => self.by_secret(&known, id, secret, *method, now),
            Credentials::Assertion { id, jwt } => {
                let still = || self.throttle.check_here(&claimed, asked.address, now);
                let still = || still().map_err(Refusal::too_many_failures);
                self.signer(&known, jwt, id.as_deref(), now, still).await
            }
        };
        let found = found.inspect_err(|refusal| refused(name, refusal, asked));
        if found.as_ref().is_err_and(|refusal| refusal.error == "invalid_client") {
            self.throttle.failed(&claimed, asked.address, now).await;
        }
        Ok((form, found?))
    }

    /// An unknown client takes the same path as a wrong secret: its secret is hashed and compared all the same.
    fn by_secret(
        &self,
        known: &Known,
        id: &str,
        secret: &str,
        method: AuthMethod,
        now: Timestamp,
    ) -> Result<Arc<Client>, Refusal> {
        let hash: SecretHash = self.vault.hash_secret(secret.as_bytes());
        let client = known.clients.get(id).unwrap_or(&self.nobody);
        let good = client.secret_of(&hash, now).is_some();
        if !good || !client.enabled || client.auth_method != method {
            return Err(Refusal::invalid_client());
        }
        self.uses.note(hash, now);
        Ok(Arc::clone(client))
    }
}

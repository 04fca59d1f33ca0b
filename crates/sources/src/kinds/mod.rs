//! The kinds of source. Each is a file: its settings as they are written in a `[[sources]]` table, and the [`Connector`] that
//! they make. A new one is a file here and its name in the list below.

use std::sync::Arc;

use haat_catalog::invalid::nearest;
use serde_json::{Map, Value};
use url::Url;

use crate::connector::Connector;
use crate::declared::auth::OAuth2;
use crate::declared::settings::SettingError;

/// A kind of source.
pub struct Kind {
    /// What `kind` says in the settings.
    pub name: &'static str,
    /// Makes a source of the settings that are the kind's own: those of the table without `name`, `kind`, and whatever holds
    /// for every source.
    pub connect: fn(Map<String, Value>) -> Result<Connection, Vec<SettingError>>,
}

/// A source that can be asked.
#[derive(Clone)]
pub struct Connection {
    /// Makes calls and reads what is answered.
    pub connector: Arc<dyn Connector>,
    /// Below which all its calls go.
    pub base_url: Url,
    /// How the access token is fetched that its calls need; `None` where they need none, or carry their credentials.
    pub oauth2: Option<OAuth2>,
}

macro_rules! kinds {
    ($($module:ident),*) => {
        $(pub mod $module;)*
        /// All kinds.
        pub const KINDS: &[Kind] = &[$($module::KIND),*];
    };
}

kinds! { commercetools, rest }

/// Makes a source of a kind and its settings.
///
/// # Errors
/// When there is no such kind, or settings are wrong: each error names the key and what to write instead. There is at least one.
pub fn connect(kind: &str, settings: Map<String, Value>) -> Result<Connection, Vec<SettingError>> {
    match KINDS.iter().find(|known| known.name == kind) {
        Some(known) => (known.connect)(settings),
        None => {
            let names: Vec<&str> = KINDS.iter().map(|known| known.name).collect();
            let hint = match nearest(kind, names.iter().copied()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("there are {}", names.join(", ")),
            };
            Err(vec![SettingError::new("kind", format!("is no kind of source: {hint}"))])
        }
    }
}

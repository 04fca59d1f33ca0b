//! What a request must be allowed to do: an extractor type per scope, so that a handler's signature shows what it needs and
//! the handler cannot be reached without it.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use haat_oauth::resource::Verified;
use haat_oauth::scope::Scope;
use http::request::Parts;
use tokio::sync::OwnedSemaphorePermit;

use crate::access::{Presented, missing_scope, no_token};
use crate::middleware::rate;
use crate::problem::{Code, Problem};
use crate::state::{Peer, SharedApp};

/// A right that an extractor stands for.
pub(crate) trait Right {
    const SCOPE: Scope;
}

macro_rules! rights {
    ($( $(#[$doc:meta])* $name:ident; )*) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;
            impl Right for $name {
                const SCOPE: Scope = Scope::$name;
            }
        )*
    };
}

rights! {
    /// Reading products, which may be open to everybody ([`Reader`]).
    ProductsRead;
    /// Creating, changing and deleting products.
    ProductsWrite;
    /// Handing in imports and asking after them.
    Imports;
    /// Following the change feed.
    ChangesRead;
    /// Creating, changing and revoking clients.
    ClientsManage;
    /// Looking at upstream sources and commanding them.
    SourcesManage;
    /// Looking after the server.
    Operate;
}

/// The caller may do what `R` stands for.
pub(crate) struct Granted<R> {
    /// Who it is.
    pub caller: Arc<Verified>,
    right: PhantomData<R>,
}

impl<R: Right> FromRequestParts<SharedApp> for Granted<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &SharedApp) -> Result<Self, Problem> {
        let presented = parts.extensions.get::<Presented>().cloned().unwrap_or_default();
        let caller = presented.token()?.ok_or_else(no_token)?;
        if caller.scopes.contains(R::SCOPE) {
            Ok(Self { caller, right: PhantomData })
        } else {
            Err(missing_scope(R::SCOPE, &caller))
        }
    }
}

/// The caller may read products: anybody, where that is so set, but for one who shows a token that is not good.
pub(crate) struct Reader;

impl FromRequestParts<SharedApp> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Problem> {
        if app.options.public_read {
            let presented = parts.extensions.get::<Presented>().cloned().unwrap_or_default();
            return presented.token().map(|_| Self);
        }
        Granted::<ProductsRead>::from_request_parts(parts, app).await.map(|_| Self)
    }
}

/// The address that a request comes from, behind trusted proxies.
pub(crate) struct CallerAddress(pub IpAddr);

impl FromRequestParts<SharedApp> for CallerAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &SharedApp) -> Result<Self, Infallible> {
        Ok(Self(rate::address(app, &parts.headers, parts.extensions.get::<Peer>().copied())))
    }
}

/// One of the places for writes under way. Taken before the body is read, so that bodies held in memory are bounded.
pub(crate) struct WriteSlot(#[expect(dead_code, reason = "held for as long as the write lasts")] OwnedSemaphorePermit);

impl FromRequestParts<SharedApp> for WriteSlot {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, app: &SharedApp) -> Result<Self, Problem> {
        let slot = app.writes.clone().try_acquire_owned().map(Self);
        slot.map_err(|_| Problem::new(Code::Overloaded, "Too many writes at once; try again in a second."))
    }
}

//! The API: what is at hand is answered at once, everything else goes through the router.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use tower::ServiceExt;

use crate::access::LastShown;
use crate::middleware;
use crate::options::{HttpOptions, Services};
use crate::router::router;
use crate::state::{App, Peer, SharedApp};

/// The whole API, ready to be served.
///
/// A hot answer costs less than finding its route, so it is looked for first, by its address. Whatever is around an
/// answer (id, limits, log, headers) is the same on both ways.
#[derive(Clone)]
pub struct Api {
    app: Option<SharedApp>,
    router: Router,
}

impl Api {
    /// The API over these parts.
    pub fn new(services: Services, options: &HttpOptions) -> Self {
        let app = App::new(services, options.clone());
        let router = router(Arc::clone(&app));
        Self { app: Some(app), router }
    }

    /// The answer that is kept ready for a request, if there is one.
    pub(crate) fn at_hand<B>(
        &self,
        request: &http::Request<B>,
        peer: Peer,
        last: &mut LastShown,
    ) -> Option<http::Response<Bytes>> {
        middleware::at_hand(self.app.as_ref()?, request, peer, last)
    }

    /// The answer of the router.
    pub(crate) async fn route(&self, request: Request) -> Result<Response, Infallible> {
        self.router.clone().oneshot(request).await
    }
}

impl From<Router> for Api {
    /// Routes that keep nothing ready.
    fn from(router: Router) -> Self {
        Self { app: None, router }
    }
}

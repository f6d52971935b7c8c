//! HTTP: the REST API, the WebSocket, the pages, and what operators look at.

mod api_local;
mod caller;
mod client;
mod docs;
mod download;
mod events;
mod extract;
mod failure;
mod headers;
mod login;
mod mta_sts;
mod operate;
mod origin;
mod pages;
mod range;
mod rest;
pub(crate) mod serve;
pub(crate) mod setup;
mod sockets;
mod stream;

use std::{any::Any, sync::Arc};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::HandlerWithoutStateExt as _,
    http::{HeaderMap, StatusCode, Version, header},
    middleware,
    response::{IntoResponse as _, Response},
};
use cluster::{Quota, Verdict};
use metrics_exporter_prometheus::PrometheusHandle;
use queue::https::Https;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower_http::{catch_panic::CatchPanicLayer, compression::CompressionLayer};
use types::ProblemKind;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    config::Config,
    members::Warnings,
    roles::{Role, Roles},
    site,
};
use failure::{Failure, Result};
use sockets::Sockets;

/// What every handler can use. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) mail: mail::Service,
    pub(crate) config: Arc<Config>,
    pub(crate) metrics: PrometheusHandle,
    /// What mail programs are told that set themselves up.
    pub(crate) setup: Arc<setup::Offers>,
    /// Asks other servers for what a click in a mail would.
    pub(crate) clicks: Arc<Https>,
    /// The WebSockets that are open.
    pub(crate) sockets: Sockets,
    /// For readiness.
    pub(crate) warnings: Warnings,
    /// Cancelled when the server is about to stop: others should be asked.
    pub(crate) leaving: CancellationToken,
    /// Cancelled when the server stops.
    pub(crate) stop: CancellationToken,
    /// Waited for when the server stops.
    pub(crate) tasks: TaskTracker,
}

/// Everything that is served over HTTP by a process with these roles.
pub(crate) fn router(web: Web, roles: &Roles) -> Router {
    let mut api = OpenApiRouter::with_openapi(docs::document());
    if roles.has(Role::Web) {
        api = api.merge(rest::router(&web));
    }
    if roles.has(Role::Realtime) {
        api = api.merge(events::router());
    }
    let (api, document) = api.split_for_parts();
    let mut router = api.merge(operate::router()).merge(mta_sts::router());
    if roles.has(Role::Web) {
        pages::prepare();
        router = router.merge(docs::router(document)).merge(login::router()).merge(setup::router());
        router = router.merge(site::router());
        router = router.fallback(pages::page);
    } else {
        router = router.fallback_service(not_found.into_service());
    }
    router
        .method_not_allowed_fallback(|| async { Failure::no_method() })
        .layer(DefaultBodyLimit::max(web.config.limits.request_size.bytes()))
        .layer(CompressionLayer::new().compress_when(is_compressible))
        .layer(middleware::from_fn_with_state(web.clone(), headers::secure))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(web.clone(), operate::measure))
        .with_state(web)
}

async fn not_found() -> Failure {
    Failure::no_route()
}

/// Text that is made anew each time. Files of the site come compressed already, and downloads may be asked for in
/// parts.
fn is_compressible(_: StatusCode, _: Version, headers: &HeaderMap, _: &axum::http::Extensions) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_text =
        ["application/json", "application/problem+json", "text/html"].iter().any(|t| kind.starts_with(t));
    is_text && !headers.contains_key(header::ACCEPT_RANGES) && !headers.contains_key(header::CONTENT_ENCODING)
}

/// A bug of ours: the client hears nothing of its inside, the log all of it.
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
    tracing::error!(panic = text, "a request handler panicked");
    metrics::counter!("magpie_panics_total").increment(1);
    Failure::new(ProblemKind::Internal, "It has been logged. Please try again.").into_response()
}

impl Web {
    /// Counts a request against the account's.
    async fn limit_requests(&self, access: &mail::Access) -> Result<()> {
        self.limit(&format!("api:{}", access.id()), self.config.limits.requests_per_minute).await
    }

    /// Counts an upload against the account's.
    async fn limit_uploads(&self, access: &mail::Access) -> Result<()> {
        self.limit(&format!("upload:{}", access.id()), self.config.limits.uploads_per_minute).await
    }

    async fn limit(&self, key: &str, per_minute: u32) -> Result<()> {
        let minute = std::time::Duration::from_secs(60);
        let quota = Quota { burst: per_minute, count: per_minute, period: minute };
        match self.mail.limits().check(key, quota).await {
            Verdict::Allowed { .. } => Ok(()),
            Verdict::Limited { retry_after } => Err(mail::Error::Limited { retry_after }.into()),
        }
    }
}

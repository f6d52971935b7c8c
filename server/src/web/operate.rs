//! What operators look at: health, readiness, metrics; and the measuring of every request.

use std::time::Duration;

use axum::{
    Json, Router,
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
    routing::get,
};
use tokio::time::Instant;
use types::ProblemKind;

use super::{
    Web,
    client::Client,
    failure::{Failure, Result},
};
use crate::config::Audience;

pub(crate) fn router() -> Router<Web> {
    Router::new().route("/healthz", get(health)).route("/readyz", get(ready)).route("/metrics", get(metrics))
}

/// The process answers.
async fn health() -> &'static str {
    "ok\n"
}

/// How long the parts have to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Requests can be sent here. What is not as it should be all the same is told beside.
async fn ready(State(web): State<Web>) -> Result<Response> {
    if web.leaving.is_cancelled() {
        return Err(Failure::new(ProblemKind::Unavailable, "This server is stopping."));
    }
    match web.mail.ready(PATIENCE).await {
        Ok(away) => {
            let away = away.iter().map(|shard| format!("shard {shard} does not answer"));
            let warnings: Vec<_> = web.warnings.all().into_iter().chain(away).collect();
            Ok(Json(serde_json::json!({ "status": "ready", "warnings": warnings })).into_response())
        }
        Err(error) => {
            tracing::warn!(%error, "not ready");
            Err(Failure::new(ProblemKind::Unavailable, "The storage does not answer; see the log."))
        }
    }
}

/// Prometheus' text format.
async fn metrics(State(web): State<Web>, client: Client) -> Result<Response> {
    let allowed = match web.config.http.metrics {
        Audience::Everyone => true,
        Audience::Loopback => client.is_local,
        Audience::Nobody => false,
    };
    if !allowed {
        return Err(Failure::no_route());
    }
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Ok((StatusCode::OK, kind, web.metrics.render()).into_response())
}

/// Counts and times every request under its route. A server that is leaving has its clients connect anew, to others.
pub(crate) async fn measure(State(web): State<Web>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("page", MatchedPath::as_str).to_owned();
    let mut response = next.run(request).await;
    if web.leaving.is_cancelled() && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status();
    let took = begin.elapsed();
    let labels =
        [("method", method.to_string()), ("route", route.clone()), ("status", status.as_u16().to_string())];
    metrics::counter!("magpie_http_requests_total", &labels).increment(1);
    metrics::histogram!("magpie_http_request_seconds", "route" => route.clone()).record(took);
    tracing::debug!(%method, route, status = status.as_u16(), took_ms = took.as_millis(), "http request");
    response
}

//! The REST API, one file for each resource.

mod access;
mod app_passwords;
mod attachments;
mod folders;
mod messages;
mod queue;
mod search;
mod session;
mod shared;
mod threads;

use std::time::Duration;

use axum::{
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use types::ProblemKind;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Web, failure::Failure};

/// Every route with its description.
pub(crate) fn router(web: &Web) -> OpenApiRouter<Web> {
    let timeout = web.config.http.timeout.0;
    OpenApiRouter::new()
        .routes(routes!(session::begin, session::show, session::end))
        .routes(routes!(app_passwords::list, app_passwords::add))
        .routes(routes!(app_passwords::remove))
        .routes(routes!(folders::list, folders::create))
        .routes(routes!(folders::rename, folders::remove))
        .routes(routes!(folders::messages))
        .routes(routes!(access::list))
        .routes(routes!(access::grant, access::revoke))
        .routes(routes!(shared::list))
        .routes(routes!(shared::messages, shared::patch_many))
        .routes(routes!(shared::show, shared::patch, shared::remove))
        .routes(routes!(shared::html))
        .routes(routes!(shared::raw))
        .routes(routes!(shared::attachment))
        .routes(routes!(messages::compose::compose, messages::patch_many))
        .routes(routes!(messages::show, messages::patch, messages::remove))
        .routes(routes!(messages::compose::recall))
        .routes(routes!(messages::unsubscribe::unsubscribe))
        .routes(routes!(messages::bytes::html))
        .routes(routes!(messages::bytes::raw))
        .routes(routes!(messages::bytes::attachment))
        .routes(routes!(threads::show))
        .routes(routes!(search::search))
        .routes(routes!(queue::list))
        .routes(routes!(queue::show, queue::remove))
        .routes(routes!(queue::retry))
        .routes(routes!(queue::hold))
        .routes(routes!(queue::release))
        .routes(routes!(queue::reroute))
        .layer(middleware::from_fn_with_state(timeout, in_time))
        // Uploads take as long as they take; each piece of one must come in time.
        .merge(
            OpenApiRouter::new().routes(routes!(attachments::upload)).routes(routes!(attachments::discard)),
        )
}

/// Gives up a request that only reads and takes too long to be answered; the answer's body may take its time. What
/// changes something goes on to its end, so that nobody is told it failed when it did not.
async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    if !request.method().is_safe() {
        return next.run(request).await;
    }
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            Failure::new(ProblemKind::Unavailable, "It took too long; please try again.").into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, http::Method, routing::get};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_changes_nothing_is_given_up() {
        let slowly = || tokio::time::sleep(Duration::from_secs(60));
        let limit = middleware::from_fn_with_state(Duration::from_secs(30), in_time);
        let app = TowerToHyperService::new(Router::new().route("/", get(slowly).post(slowly)).layer(limit));
        for (method, wanted) in [(Method::GET, 503), (Method::POST, 200)] {
            let request = Request::builder().method(method).uri("/").body(Body::empty()).unwrap();
            assert_eq!(app.call(request).await.unwrap().status(), wanted);
        }
    }
}

//! The pages, rendered here and brought to life in the browser.

use std::sync::Arc;

use app::{Api, Assets, Preferences};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use leptos::{nonce::Nonce, prelude::provide_context};

use super::{
    Web,
    api_local::Local,
    caller::Credentials,
    failure::{Failure, Result},
    headers::{page_policy, set},
    login::see_other,
};
use crate::site;

/// Has Leptos run what pages wait for on tokio; before the first page, and harmless when repeated.
pub(crate) fn prepare() {
    // An error says only that it was done before.
    let _ = any_spawner::Executor::init_tokio();
}

/// Every address that is nothing else: the app's router knows them.
pub(crate) async fn page(State(web): State<Web>, request: Request) -> Result<Response> {
    let path = request.uri().path().to_owned();
    let path = path.as_str();
    if path == "/v1" || path.starts_with("/v1/") || is_file(path) {
        return Err(Failure::no_route());
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(Failure::no_method());
    }
    let credentials = Credentials::of(request.headers());
    let was_known = credentials.is_some();
    let access = visitor(&web, credentials).await?;
    match (path, &access) {
        ("/", Some(_)) => return Ok(see_other("/mail/inbox", None)),
        ("/login", Some(_)) if request.uri().query().is_none() => return Ok(see_other("/mail/inbox", None)),
        ("/login", _) | (_, Some(_)) => {}
        (_, None) if was_known => {
            return Ok(see_other("/login?error=unauthenticated", None));
        }
        (_, None) => return Ok(see_other("/login", None)),
    }
    Ok(render(&web, access, request).await)
}

/// `/robots.txt` and the like: no page has a dot in its last part.
fn is_file(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|last| last.contains('.'))
}

/// Who looks; nobody if the session is over.
async fn visitor(web: &Web, credentials: Option<Credentials>) -> Result<Option<mail::Access>> {
    let Some(Credentials::Cookie(token)) = credentials else {
        return Ok(None);
    };
    match web.mail.access(&token).await {
        Ok(access) => {
            web.limit_requests(&access).await?;
            Ok(Some(access))
        }
        Err(mail::Error::Unauthenticated) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn preferences(headers: &HeaderMap) -> Preferences {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Preferences::from_headers(text(header::COOKIE), text(header::ACCEPT_LANGUAGE))
}

async fn render(web: &Web, access: Option<mail::Access>, request: Request) -> Response {
    let preferences = preferences(request.headers());
    let assets = site::Assets::embedded().map(|site| Assets { css: site.css, js: site.js, wasm: site.wasm });
    let mut random = [0; 16];
    web.mail.random().fill(&mut random);
    let nonce = URL_SAFE_NO_PAD.encode(random);
    let policy = page_policy(&nonce);
    let api: Arc<dyn Api> = Arc::new(Local(access));
    let context = move || {
        provide_context(Nonce::from_value(nonce.as_str()));
        provide_context(Arc::clone(&api));
        provide_context(preferences);
    };
    let render = leptos_axum::render_app_async_with_context(context, move || app::shell(assets, preferences));
    let mut response = render(request).await.into_response();
    set(response.headers_mut(), header::CONTENT_SECURITY_POLICY, &policy);
    response
}

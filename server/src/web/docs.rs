//! The API's own description: `/openapi.json`, shown by `/docs`.

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, header},
    middleware::{self, Next},
    response::Response,
};
use types::Problem;
use utoipa::{
    IntoResponses, Modify, OpenApi, ToSchema as _,
    openapi::{
        ContentBuilder, RefOr, ResponseBuilder,
        response::ResponsesBuilder,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_swagger_ui::SwaggerUi;

use super::{Web, caller::COOKIE, headers::DOCS_POLICY};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Magpie",
        description = "Mail over REST. Log in with POST /v1/session; then send the token as `Authorization: Bearer`, \
                       or, in a browser, the cookie together with the header `X-Magpie-Csrf` on whatever changes something. \
                       Errors are problem details (RFC 9457) with stable types. Ids are strings, times RFC 3339, \
                       cursors opaque."
    ),
    components(schemas(Problem, types::ProblemKind, types::api::ClientEvent)),
    modifiers(&Security),
    security(("token" = []), ("cookie" = [])),
    tags(
        (name = "session", description = "Logging in and out"),
        (name = "folders", description = "Folders and what is in them"),
        (name = "shared", description = "Folders that others share with you"),
        (name = "messages", description = "Reading, changing and sending mail"),
        (name = "search", description = "Finding mail"),
        (name = "admin", description = "Mail on its way out, for administrators"),
        (name = "events", description = "Live changes over a WebSocket"),
    )
)]
struct Document;

struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        let cookie = ApiKey::Cookie(ApiKeyValue::new(COOKIE));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
    }
}

/// The document without its paths, which the routes bring along.
pub(crate) fn document() -> utoipa::openapi::OpenApi {
    let mut document = Document::openapi();
    env!("CARGO_PKG_VERSION").clone_into(&mut document.info.version);
    document
}

/// Serves the document and its page.
pub(crate) fn router(document: utoipa::openapi::OpenApi) -> Router<Web> {
    let ui: Router<Web> = SwaggerUi::new("/docs").url("/openapi.json", document).into();
    ui.layer(middleware::from_fn(policy))
}

async fn policy(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(DOCS_POLICY));
    response
}

/// In the list of an operation's answers: every other one is a problem.
pub(crate) struct Problems;

impl IntoResponses for Problems {
    fn responses() -> std::collections::BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let schema = RefOr::Ref(utoipa::openapi::Ref::from_schema_name(Problem::name()));
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let problem = ResponseBuilder::new()
            .description("What is wrong, and what to do about it")
            .content("application/problem+json", content)
            .build();
        ResponsesBuilder::new().response("default", problem).build().responses
    }
}

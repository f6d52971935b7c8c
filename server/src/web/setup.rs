//! How mail programs set themselves up: Thunderbird's autoconfig, Outlook's autodiscover, Apple's profiles.
//!
//! Whoever asks is nobody yet, so the answer depends on the domain alone: it is the same whether there is such an
//! account or not. Nothing is secret in it, and nothing changes by asking, so there is neither login nor token; how
//! often somebody asks is limited by their network.

mod apple;
mod offers;
mod outlook;
mod thunderbird;
mod xml;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use types::{EmailAddress, ProblemKind, client_network};

use super::{Web, client::Client, failure::Failure};

pub(crate) use offers::Offers;

/// The largest request; an address and two names of formats are in it.
const REQUEST_BYTES: usize = 16 * 1024;

pub(crate) fn router() -> Router<Web> {
    let mut router = Router::new()
        .route("/.well-known/autoconfig/mail/config-v1.1.xml", get(thunderbird::show))
        .route("/mail/config-v1.1.xml", get(thunderbird::show))
        .route("/.well-known/mail.mobileconfig", get(apple::show));
    // Programs spell it as they like, and paths have letters of two sizes.
    for folder in ["autodiscover", "Autodiscover", "AutoDiscover"] {
        for file in ["autodiscover", "Autodiscover", "AutoDiscover"] {
            let path = format!("/{folder}/{file}");
            router = router
                .route(&format!("{path}.xml"), post(outlook::settings))
                .route(&format!("{path}.json"), get(outlook::place))
                .route(&format!("{path}.json/v1.0/{{email}}"), get(outlook::place_of));
        }
    }
    router.layer(DefaultBodyLimit::max(REQUEST_BYTES))
}

/// Why there is no answer.
#[derive(Debug)]
enum Fault {
    /// What is wrong with the request.
    Malformed(&'static str),
    /// The domain is none of ours.
    Unknown,
    /// Too many requests, or a fault of ours.
    Other(Failure),
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Malformed(what) => Self::new(ProblemKind::InvalidRequest, what),
            Fault::Unknown => Self::new(ProblemKind::NotFound, "The domain is not one of this service."),
            Fault::Other(failure) => failure,
        }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// Counts a request against its network's.
async fn count(web: &Web, client: &Client) -> Result<(), Failure> {
    let from = client.ip.map_or_else(|| "local".to_owned(), |ip| client_network(ip).to_string());
    web.limit(&format!("setup:{from}"), web.config.limits.setups_per_minute).await
}

/// The address that somebody gave, if it is of a domain of ours.
async fn address(web: &Web, given: Option<&str>) -> Result<EmailAddress, Fault> {
    let given = given.map(str::trim).filter(|given| !given.is_empty());
    let given = given.ok_or(Fault::Malformed("The address is missing."))?;
    let address: EmailAddress =
        given.parse().map_err(|_| Fault::Malformed("The address is not one of email."))?;
    if is_ours(web, address.domain()).await? { Ok(address) } else { Err(Fault::Unknown) }
}

async fn is_ours(web: &Web, domain: &str) -> Result<bool, Failure> {
    let asked = tokio::time::timeout(web.config.http.timeout.0, web.mail.is_domain(domain)).await;
    let late = |_| Failure::new(ProblemKind::Unavailable, "It took too long; please try again.");
    Ok(asked.map_err(late)??)
}

/// The first value of this name in a query; programs spell names as they like.
fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

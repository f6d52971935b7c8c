//! Thunderbird's autoconfig, which Evolution, K-9, KMail and others read as well
//! (<https://www.bucksch.org/1/projects/thunderbird/autoconfiguration/config-file-format.html>).
//!
//! A program asks `http(s)://autoconfig.DOMAIN/mail/config-v1.1.xml?emailaddress=ADDRESS`, or
//! `https://DOMAIN/.well-known/autoconfig/mail/config-v1.1.xml`, mostly without the address.

use axum::{
    extract::State,
    http::{HeaderMap, Uri, header},
    response::{IntoResponse as _, Response},
};
use types::address;

use super::{
    Fault, address as address_of, count, is_ours,
    offers::{Offer, Offers, Protocol, Security},
    value,
    xml::Xml,
};
use crate::web::{
    Web,
    client::Client,
    extract::Query,
    failure::{Failure, Result},
};

/// What programs put the address in place of.
const ADDRESS: &str = "%EMAILADDRESS%";

pub(super) async fn show(
    State(web): State<Web>,
    client: Client,
    uri: Uri,
    headers: HeaderMap,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response> {
    count(&web, &client).await?;
    let domain = match value(&query, "emailaddress") {
        Some(given) => address_of(&web, Some(given)).await?.domain_key(),
        None => domain_of_host(&web, &uri, &headers).await?,
    };
    if web.setup.incoming.is_empty() {
        return Err(Failure::no_route());
    }
    let kind = [(header::CONTENT_TYPE, "text/xml; charset=utf-8")];
    Ok((kind, config(&domain, &web.setup)).into_response())
}

/// Who says no address asks the host of their domain.
async fn domain_of_host(web: &Web, uri: &Uri, headers: &HeaderMap) -> Result<String, Fault> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| uri.host()).unwrap_or_default();
    let host = address::domain_key(host.rsplit_once(':').map_or(host, |(host, _)| host));
    for domain in [Some(host.as_str()), host.strip_prefix("autoconfig.")].into_iter().flatten() {
        if address::is_domain(domain) && is_ours(web, domain).await? {
            return Ok(domain.to_owned());
        }
    }
    Err(Fault::Malformed("The address is missing: ?emailaddress=NAME@DOMAIN"))
}

fn config(domain: &str, offers: &Offers) -> String {
    let mut xml = Xml::new("");
    xml.open("clientConfig", &[("version", "1.1")]);
    xml.open("emailProvider", &[("id", domain)]);
    xml.text("domain", domain);
    let shown = address::shown_domain(domain);
    xml.text("displayName", &shown);
    xml.text("displayShortName", &shown);
    for offer in offers.all() {
        let (element, kind) = match offer.protocol {
            Protocol::Imap => ("incomingServer", "imap"),
            Protocol::Pop3 => ("incomingServer", "pop3"),
            Protocol::Smtp => ("outgoingServer", "smtp"),
        };
        xml.open(element, &[("type", kind)]);
        server(&mut xml, &offers.host, offer);
        xml.close();
    }
    xml.finish()
}

fn server(xml: &mut Xml, host: &str, offer: &Offer) {
    xml.text("hostname", host);
    xml.text("port", &offer.port.to_string());
    let socket = match offer.security {
        Security::FromTheFirstByte => "SSL",
        Security::StartTls => "STARTTLS",
    };
    xml.text("socketType", socket);
    // A password under TLS. `password-encrypted` would be CRAM-MD5.
    xml.text("authentication", "password-cleartext");
    xml.text("username", ADDRESS);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_mozillas() {
        let imap = Offer { protocol: Protocol::Imap, security: Security::FromTheFirstByte, port: 993 };
        let smtp = Offer { protocol: Protocol::Smtp, security: Security::StartTls, port: 587 };
        let offers = Offers { host: "mail.demo.test".into(), incoming: vec![imap], outgoing: vec![smtp] };
        let wanted = r#"<?xml version="1.0" encoding="UTF-8"?>
<clientConfig version="1.1">
  <emailProvider id="demo.test">
    <domain>demo.test</domain>
    <displayName>demo.test</displayName>
    <displayShortName>demo.test</displayShortName>
    <incomingServer type="imap">
      <hostname>mail.demo.test</hostname>
      <port>993</port>
      <socketType>SSL</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </incomingServer>
    <outgoingServer type="smtp">
      <hostname>mail.demo.test</hostname>
      <port>587</port>
      <socketType>STARTTLS</socketType>
      <authentication>password-cleartext</authentication>
      <username>%EMAILADDRESS%</username>
    </outgoingServer>
  </emailProvider>
</clientConfig>
"#;
        assert_eq!(config("demo.test", &offers), wanted);
    }
}

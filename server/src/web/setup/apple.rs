//! A profile for iPhones, iPads and Macs (`.mobileconfig`): opened in a browser there, it sets the account up but for the
//! password.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use types::EmailAddress;
use uuid::Uuid;

use super::{
    address, count,
    offers::{Offer, Offers, Protocol},
    value,
    xml::Xml,
};
use crate::web::{
    Web,
    client::Client,
    extract::Query,
    failure::{Failure, Result},
};

const DOCTYPE: &str = "<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
                       \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n";

/// `GET /.well-known/mail.mobileconfig?emailaddress=…`
pub(super) async fn show(
    State(web): State<Web>,
    client: Client,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response> {
    count(&web, &client).await?;
    let address = address(&web, value(&query, "emailaddress")).await?;
    let profile = profile(&address, &web.setup).ok_or_else(Failure::no_route)?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-apple-aspen-config"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"mail.mobileconfig\""),
    ];
    Ok((headers, profile).into_response())
}

/// `None`: there is nothing to read mail from, or nothing to send it by.
fn profile(address: &EmailAddress, offers: &Offers) -> Option<String> {
    let (incoming, outgoing) = (offers.incoming.first()?, offers.outgoing.first()?);
    let (name, host) = (address.to_string(), offers.host.as_str());
    let mut xml = Xml::new(DOCTYPE);
    xml.open("plist", &[("version", "1.0")]);
    xml.open("dict", &[]);
    xml.text("key", "PayloadContent");
    xml.open("array", &[]);
    xml.open("dict", &[]);
    string(&mut xml, "EmailAccountDescription", &name);
    let kind = if incoming.protocol == Protocol::Pop3 { "EmailTypePOP" } else { "EmailTypeIMAP" };
    string(&mut xml, "EmailAccountType", kind);
    string(&mut xml, "EmailAddress", &name);
    server(&mut xml, INCOMING, host, &name, incoming);
    server(&mut xml, OUTGOING, host, &name, outgoing);
    yes(&mut xml, "OutgoingPasswordSameAsIncomingPassword");
    payload(&mut xml, "com.apple.mail.managed", address, "account");
    xml.close();
    xml.close();
    string(&mut xml, "PayloadOrganization", address.domain());
    payload(&mut xml, "Configuration", address, "profile");
    Some(xml.finish())
}

/// The keys of one server: how it is logged in to, host, port, TLS, user.
type Keys = [&'static str; 5];

const INCOMING: Keys = [
    "IncomingMailServerAuthentication",
    "IncomingMailServerHostName",
    "IncomingMailServerPortNumber",
    "IncomingMailServerUseSSL",
    "IncomingMailServerUsername",
];
const OUTGOING: Keys = [
    "OutgoingMailServerAuthentication",
    "OutgoingMailServerHostName",
    "OutgoingMailServerPortNumber",
    "OutgoingMailServerUseSSL",
    "OutgoingMailServerUsername",
];

fn server(xml: &mut Xml, [login, host_key, port, tls, user]: Keys, host: &str, name: &str, offer: &Offer) {
    string(xml, login, "EmailAuthPassword");
    string(xml, host_key, host);
    xml.text("key", port);
    xml.text("integer", &offer.port.to_string());
    // STARTTLS as well: by the port these programs know which.
    yes(xml, tls);
    string(xml, user, name);
}

/// What every part of a profile has. Its id is always the same for an address, so that a second profile takes the place
/// of the first.
fn payload(xml: &mut Xml, kind: &str, address: &EmailAddress, part: &str) {
    let hash = blake3::hash(format!("{part}\0{}", address.key()).as_bytes());
    let bytes: [u8; 16] = std::array::from_fn(|at| hash.as_bytes().get(at).copied().unwrap_or_default());
    let id = uuid::Builder::from_custom_bytes(bytes).into_uuid();
    string(xml, "PayloadDisplayName", &address.to_string());
    string(xml, "PayloadIdentifier", &format!("{}.mail.{part}.{}", address.domain_key(), Uuid::simple(id)));
    string(xml, "PayloadType", kind);
    string(xml, "PayloadUUID", &id.to_string().to_uppercase());
    xml.text("key", "PayloadVersion");
    xml.text("integer", "1");
}

fn string(xml: &mut Xml, key: &str, value: &str) {
    xml.text("key", key);
    xml.text("string", value);
}

fn yes(xml: &mut Xml, key: &str) {
    xml.text("key", key);
    xml.empty("true", &[]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::setup::offers::Security;

    #[test]
    fn a_profile_has_both_servers_and_stays_the_same() {
        let offer = |protocol, port| Offer { protocol, security: Security::FromTheFirstByte, port };
        let (imap, smtp) = (offer(Protocol::Imap, 993), offer(Protocol::Smtp, 465));
        let offers = Offers { host: "mail.demo.test".into(), incoming: vec![imap], outgoing: vec![smtp] };
        let alice = "alice@demo.test".parse().unwrap();
        let text = profile(&alice, &offers).unwrap();
        for wanted in [
            "<key>EmailAccountType</key>\n        <string>EmailTypeIMAP</string>",
            "<key>IncomingMailServerHostName</key>\n        <string>mail.demo.test</string>",
            "<key>IncomingMailServerPortNumber</key>\n        <integer>993</integer>",
            "<key>IncomingMailServerUseSSL</key>\n        <true/>",
            "<key>IncomingMailServerUsername</key>\n        <string>alice@demo.test</string>",
            "<key>OutgoingMailServerPortNumber</key>\n        <integer>465</integer>",
            "<key>PayloadType</key>\n        <string>com.apple.mail.managed</string>",
            "<key>PayloadType</key>\n    <string>Configuration</string>",
        ] {
            assert!(text.contains(wanted), "{wanted} is not in {text}");
        }
        assert_eq!(
            profile(&"Alice@DEMO.test".parse().unwrap(), &offers).unwrap().to_lowercase(),
            text.to_lowercase()
        );
        assert_eq!(profile(&alice, &Offers { outgoing: Vec::new(), ..offers }), None);
    }
}

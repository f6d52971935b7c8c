//! Outlook's autodiscover: settings as XML (MS-OXDSCLI, "POX"), and where to ask for them as JSON ("v2").

use axum::{
    body::Bytes,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use quick_xml::{Reader, escape::resolve_xml_entity, events::Event};
use serde_json::json;
use types::EmailAddress;

use super::{
    Fault, address, count,
    offers::{Offer, Offers, Protocol, Security},
    value,
    xml::Xml,
};
use crate::web::{
    Web,
    client::Client,
    extract::{Body, Path, Query},
    failure::Failure,
};

/// Of answers.
const ENVELOPE: &str = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006";
/// Of settings for mail programs, the only ones here.
const SETTINGS: &str = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a";
/// The only protocol of the second version that leads anywhere here: the first.
const FIRST_VERSION: &str = "AutodiscoverV1";

/// `POST /autodiscover/autodiscover.xml`
pub(super) async fn settings(
    State(web): State<Web>,
    client: Client,
    Body(body): Body,
) -> Result<Response, Unfit> {
    count(&web, &client).await.map_err(Fault::Other)?;
    let Request { address: given, schema } = read(&body)?;
    let address = address(&web, given.as_deref()).await?;
    match schema.as_deref().map(str::trim) {
        Some(SETTINGS) => {}
        Some(_) => return Err(Unfit::Schema),
        None => return Err(Fault::Malformed("AcceptableResponseSchema is missing").into()),
    }
    if web.setup.incoming.is_empty() {
        return Err(Fault::Unknown.into());
    }
    Ok(xml(StatusCode::OK, account(&address, &web.setup)))
}

/// `GET /autodiscover/autodiscover.json?Email=…&Protocol=…`
pub(super) async fn place(
    State(web): State<Web>,
    client: Client,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    count(&web, &client).await?;
    Ok(place_for(&web, value(&query, "email"), &query).await)
}

/// `GET /autodiscover/autodiscover.json/v1.0/…?Protocol=…`
pub(super) async fn place_of(
    State(web): State<Web>,
    client: Client,
    Path(email): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Result<Response, Failure> {
    count(&web, &client).await?;
    Ok(place_for(&web, Some(&email), &query).await)
}

async fn place_for(web: &Web, email: Option<&str>, query: &[(String, String)]) -> Response {
    let refused = |status: StatusCode, code: &str, message: &str| {
        (status, axum::Json(json!({ "ErrorCode": code, "ErrorMessage": message }))).into_response()
    };
    let Some(protocol) = value(query, "protocol").filter(|protocol| !protocol.is_empty()) else {
        let message = "A value is needed for the query parameter 'Protocol'.";
        return refused(StatusCode::BAD_REQUEST, "MandatoryParameterMissing", message);
    };
    if !protocol.eq_ignore_ascii_case(FIRST_VERSION) {
        let message = "The protocol is not one of this service, which has 'AutodiscoverV1'.";
        return refused(StatusCode::BAD_REQUEST, "InvalidProtocol", message);
    }
    match address(web, email).await {
        Ok(_) => {
            let url = format!("{}/autodiscover/autodiscover.xml", origin(web));
            axum::Json(json!({ "Protocol": FIRST_VERSION, "Url": url })).into_response()
        }
        Err(Fault::Malformed(what)) => refused(StatusCode::BAD_REQUEST, "InvalidUserId", what),
        Err(Fault::Unknown) => {
            refused(StatusCode::NOT_FOUND, "UserNotFound", "The domain is not one of this service.")
        }
        Err(Fault::Other(failure)) => failure.into_response(),
    }
}

/// Where this service is on the web.
fn origin(web: &Web) -> String {
    match &web.config.http.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("https://{}", web.setup.host),
    }
}

/// What was asked.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    address: Option<String>,
    schema: Option<String>,
}

/// Reads a request. Of entities only those of XML itself are known, and a document type is refused.
fn read(body: &[u8]) -> Result<Request, Fault> {
    const MALFORMED: Fault = Fault::Malformed("It is not XML as autodiscover wants it");
    let text = std::str::from_utf8(body).map_err(|_| MALFORMED)?;
    let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
    let (mut request, mut within, mut any) = (Request::default(), None::<String>, false);
    loop {
        let event = reader.read_event().map_err(|_| MALFORMED)?;
        let (name, said): (_, String) = match event {
            Event::Start(start) => {
                any = true;
                within = Some(String::from_utf8_lossy(start.local_name().as_ref()).into_owned());
                continue;
            }
            Event::End(_) => {
                within = None;
                continue;
            }
            Event::Text(text) => (&within, text.decode().map_err(|_| MALFORMED)?.into_owned()),
            Event::CData(text) => (&within, text.decode().map_err(|_| MALFORMED)?.into_owned()),
            Event::GeneralRef(reference) => {
                let c = reference.resolve_char_ref().map_err(|_| MALFORMED)?;
                let named = reference.decode().map_err(|_| MALFORMED)?;
                let said = c.map(String::from).or_else(|| resolve_xml_entity(&named).map(str::to_owned));
                (&within, said.ok_or(MALFORMED)?)
            }
            Event::DocType(_) => return Err(MALFORMED),
            Event::Eof if any => return Ok(request),
            Event::Eof => return Err(MALFORMED),
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => continue,
        };
        let field = match name.as_deref() {
            Some("EMailAddress") => &mut request.address,
            Some("AcceptableResponseSchema") => &mut request.schema,
            _ => continue,
        };
        field.get_or_insert_default().push_str(&said);
    }
}

fn account(address: &EmailAddress, offers: &Offers) -> String {
    let mut xml = Xml::new("");
    xml.open("Autodiscover", &[("xmlns", ENVELOPE)]);
    xml.open("Response", &[("xmlns", SETTINGS)]);
    xml.open("User", &[]);
    xml.text("DisplayName", &address.to_string());
    xml.close();
    xml.open("Account", &[]);
    xml.text("AccountType", "email");
    xml.text("Action", "settings");
    for offer in offers.all() {
        xml.open("Protocol", &[]);
        protocol(&mut xml, &offers.host, address, offer);
        xml.close();
    }
    xml.finish()
}

fn protocol(xml: &mut Xml, host: &str, address: &EmailAddress, offer: &Offer) {
    let kind = match offer.protocol {
        Protocol::Imap => "IMAP",
        Protocol::Pop3 => "POP3",
        Protocol::Smtp => "SMTP",
    };
    xml.text("Type", kind);
    xml.text("Server", host);
    xml.text("Port", &offer.port.to_string());
    xml.text("DomainRequired", "off");
    xml.text("LoginName", &address.to_string());
    xml.text("SPA", "off");
    xml.text("SSL", "on");
    // Goes before SSL where a program knows it.
    xml.text(
        "Encryption",
        match offer.security {
            Security::FromTheFirstByte => "SSL",
            Security::StartTls => "TLS",
        },
    );
    xml.text("AuthRequired", "on");
    if offer.protocol == Protocol::Smtp {
        xml.text("UsePOPAuth", "on");
        xml.text("SMTPLast", "off");
    }
}

/// Why there are no settings, in the form that programs of this kind read.
#[derive(Debug)]
pub(super) enum Unfit {
    Fault(Fault),
    /// Settings of another kind are wanted.
    Schema,
}

impl From<Fault> for Unfit {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl IntoResponse for Unfit {
    fn into_response(self) -> Response {
        let (status, code, message) = match self {
            Self::Fault(Fault::Malformed(what)) => (StatusCode::BAD_REQUEST, "600", what),
            Self::Fault(Fault::Unknown) => {
                (StatusCode::NOT_FOUND, "500", "The domain is not one of this service")
            }
            Self::Schema => (StatusCode::BAD_REQUEST, "601", "Settings of this kind are not to be had here"),
            Self::Fault(Fault::Other(failure)) => return failure.into_response(),
        };
        let mut body = Xml::new("");
        body.open("Autodiscover", &[("xmlns", ENVELOPE)]);
        body.open("Response", &[]);
        body.open("Error", &[]);
        body.text("ErrorCode", code);
        body.text("Message", message);
        body.empty("DebugData", &[]);
        xml(status, body.finish())
    }
}

fn xml(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/xml; charset=utf-8")], Bytes::from(body)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read() {
        let check = |body: &str, wanted: Option<(&str, &str)>| {
            let read = read(body.as_bytes()).ok();
            let read = read
                .as_ref()
                .map(|r| (r.address.as_deref().unwrap_or_default(), r.schema.as_deref().unwrap_or_default()));
            assert_eq!(read, wanted, "{body}");
        };
        check(
            "\u{feff}<?xml version=\"1.0\"?><Autodiscover xmlns=\"x\"><Request><EMailAddress>a&amp;b&#x63;@d.test\
             </EMailAddress><AcceptableResponseSchema>http://s</AcceptableResponseSchema></Request></Autodiscover>",
            Some(("a&bc@d.test", "http://s")),
        );
        check("<p:A xmlns:p=\"x\"><p:EMailAddress>a@b</p:EMailAddress></p:A>", Some(("a@b", "")));
        check("<A><EMailAddress><![CDATA[a@b]]></EMailAddress><LegacyDN>x</LegacyDN></A>", Some(("a@b", "")));
        check("", None);
        check("EMailAddress=a@b", None);
        check("<A><EMailAddress>a@b</A>", None);
        check("<!DOCTYPE A [<!ENTITY e \"x\">]><A><EMailAddress>&e;</EMailAddress></A>", None);
        check("<A><EMailAddress>&e;</EMailAddress></A>", None);
    }

    #[test]
    fn an_account_has_a_part_for_each_protocol() {
        let smtp = Offer { protocol: Protocol::Smtp, security: Security::StartTls, port: 587 };
        let offers = Offers { host: "mail.demo.test".into(), incoming: vec![], outgoing: vec![smtp] };
        let text = account(&"\"a&<b\"@demo.test".parse().unwrap(), &offers);
        let wanted = "      <Protocol>
        <Type>SMTP</Type>
        <Server>mail.demo.test</Server>
        <Port>587</Port>
        <DomainRequired>off</DomainRequired>
        <LoginName>&quot;a&amp;&lt;b&quot;@demo.test</LoginName>
        <SPA>off</SPA>
        <SSL>on</SSL>
        <Encryption>TLS</Encryption>
        <AuthRequired>on</AuthRequired>
        <UsePOPAuth>on</UsePOPAuth>
        <SMTPLast>off</SMTPLast>
      </Protocol>
    </Account>
  </Response>
</Autodiscover>
";
        assert!(text.ends_with(wanted), "{text}");
    }
}

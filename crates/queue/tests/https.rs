//! Servers that strangers name are met over HTTPS without harm to anybody.

#![cfg(test)]

use anyhow::Result;
use hickory_resolver::TokioResolver;
use queue::https::{Failed, Https};
use testkit::{HttpsServer, Zone};
use types::Url;

fn resolver(zone: &Zone) -> Result<TokioResolver> {
    Ok(filter::Dns::new(Some(zone.address()))?.resolver().clone())
}

#[tokio::test]
async fn content_has_arrived_where_the_server_says_so() -> Result<()> {
    let zone = Zone::start().await?;
    zone.host("tls.far.test", "127.0.0.1".parse()?)?;
    let server = HttpsServer::start("tls.far.test", "HTTP/1.1 201 Created\r\n\r\n").await?;
    let https = Https::to_whoever_answers(&resolver(&zone)?, true)?;
    let url = Url::parse(&format!("https://tls.far.test:{}/in?a=b", server.port())).unwrap();
    let content = vec![7; 200_000];
    https.post(&url, "application/x", &content).await?;
    let asked = server.asked();
    assert_eq!(asked[0].body, content);
    let head = format!(
        "POST /in?a=b HTTP/1.1\r\nHost: tls.far.test:{}\r\nContent-Type: application/x\r\nContent-Length: 200000\r\n\
         Connection: close\r\n\r\n",
        server.port()
    );
    assert_eq!(asked[0].head, head);
    for (answer, wanted) in [
        ("HTTP/1.1 302 Found\r\nLocation: https://elsewhere.test/\r\n\r\n", Failed::Refused(302)),
        ("HTTP/1.1 503 Later\r\n\r\n", Failed::Refused(503)),
        ("220 mx.far.test ESMTP\r\n", Failed::Away("it is no answer of HTTP".to_owned())),
        ("", Failed::Away("it is no answer of HTTP".to_owned())),
    ] {
        server.say(answer);
        assert_eq!(https.post(&url, "application/x", b"x").await, Err(wanted), "{answer}");
    }
    // Whoever never ends is not listened to for ever.
    server.say(&"x".repeat(1 << 20));
    assert!(https.post(&url, "application/x", b"x").await.is_err());
    assert_eq!(server.asked().len(), 6, "each once, and nothing elsewhere");
    Ok(())
}

#[tokio::test]
async fn private_networks_are_not_reached() -> Result<()> {
    let zone = Zone::start().await?;
    let server = HttpsServer::start("tls.far.test", "HTTP/1.1 200 OK\r\n\r\n").await?;
    zone.host("tls.far.test", "127.0.0.1".parse()?)?.host("tls.far.test", "::1".parse()?)?;
    zone.host("ten.far.test", "10.0.0.1".parse()?)?;
    let https = Https::to_whoever_answers(&resolver(&zone)?, false)?;
    for host in ["tls.far.test", "ten.far.test"] {
        let url = Url::parse(&format!("https://{host}:{}/", server.port())).unwrap();
        let refused = https.post(&url, "application/x", b"x").await;
        assert_eq!(refused, Err(Failed::Away("it has no address on the Internet".to_owned())), "{host}");
    }
    assert!(server.asked().is_empty());
    Ok(())
}

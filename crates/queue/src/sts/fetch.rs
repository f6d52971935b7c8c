//! Policies over HTTPS, RFC 8461 §3.3: one request, no redirects, a good certificate, and not much to read.

use async_trait::async_trait;
use hickory_resolver::{TokioResolver, proto::rr::RecordType};
use types::Url;

use super::{Source, Unfetched, policy::id_in};
use crate::{
    https::{Failed, Https, status},
    tlsrpt::ResultType,
};

/// The domains themselves.
pub(crate) struct Domains {
    pub(crate) resolver: TokioResolver,
    pub(crate) https: Https,
    /// 443, except in tests.
    pub(crate) port: u16,
}

const MAX_BYTES: u64 = 64 << 10;

#[async_trait]
impl Source for Domains {
    async fn id(&self, domain: &str) -> Result<Option<String>, String> {
        let name = format!("_mta-sts.{domain}.");
        let found = match self.resolver.lookup(name, RecordType::TXT).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(None),
            Err(error) => return Err(error.to_string()),
        };
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            hickory_resolver::proto::rr::RData::TXT(txt) => {
                let bytes = txt.txt_data.iter().flat_map(|part| part.iter().copied()).collect::<Vec<_>>();
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            _ => None,
        });
        Ok(id_in(&texts.collect::<Vec<_>>()))
    }

    async fn text(&self, domain: &str) -> Result<String, Unfetched> {
        let host = format!("mta-sts.{domain}");
        let url = Url { host, port: self.port, target: "/.well-known/mta-sts.txt".to_owned() };
        let answer = self.https.get(&url, "text/plain", MAX_BYTES).await.map_err(unfetched)?;
        let text = body(&answer);
        text.ok_or_else(|| unfetched(Failed::Away("its server did not answer with a text".to_owned())))
    }
}

fn unfetched(failed: Failed) -> Unfetched {
    let result = match failed {
        Failed::Tls(_) => ResultType::StsWebpkiInvalid,
        Failed::Away(_) | Failed::Refused(_) => ResultType::StsPolicyFetchError,
    };
    Unfetched { result, reason: failed.to_string() }
}

/// The text of a whole answer with status 200 (RFC 9112).
fn body(answer: &[u8]) -> Option<String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let rest = answer.get(end + 4..)?;
    if status(answer) != Some(200) {
        return None;
    }
    let fields = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_ascii_lowercase()));
    let fields = fields.collect::<Vec<_>>();
    let field =
        |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    if !field("content-type")?.starts_with("text/plain") {
        return None;
    }
    let bytes = match (field("transfer-encoding"), field("content-length")) {
        (Some("chunked"), _) => unchunked(rest)?,
        (Some(_), _) => return None,
        (None, Some(length)) => rest.get(..length.parse().ok()?)?.to_vec(),
        (None, None) => rest.to_vec(),
    };
    String::from_utf8(bytes).ok()
}

fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(rest.get(..end)?).ok()?;
        let size = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        let chunk = rest.get(end + 2..)?;
        if size == 0 {
            return Some(all);
        }
        all.extend_from_slice(chunk.get(..size)?);
        rest = chunk.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_texts_are_taken() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nabc", Some("ab")),
            ("HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n\r\nabc", Some("abc")),
            (
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x\r\nc\r\n0\r\n\r\n",
                Some("abc"),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nabc", None),
            ("HTTP/1.1 301 Moved\r\nContent-Type: text/plain\r\n\r\nabc", None),
            ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nabc", None),
            ("HTTP/1.1 200 OK\r\nContent-Type: text/plain", None),
            ("nonsense", None),
        ] {
            assert_eq!(body(answer.as_bytes()).as_deref(), expected, "{answer}");
        }
    }
}

//! Which bucket, and with which keys.

use types::Secret;

/// A bucket, as `s3://BUCKET?endpoint=...&region=...&path_style=...&prefix=...` names it. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Url {
    pub bucket: String,
    /// `http://` or `https://`, host and port; Amazon's own if there is none.
    pub endpoint: Option<String>,
    /// If there is none, that of the environment.
    pub region: Option<String>,
    /// Whether the bucket is named in the path, `https://HOST/BUCKET/KEY`, or else in the host,
    /// `https://BUCKET.HOST/KEY`. Without a word in the URL, the first if there is an endpoint.
    pub path_style: bool,
    /// What all keys begin with: empty, or something with a slash at its end.
    pub prefix: String,
}

/// How to sign requests.
#[derive(Debug, Clone)]
pub struct S3Keys {
    pub id: String,
    pub secret: Secret,
    /// For keys that were lent.
    pub session_token: Option<Secret>,
    /// Where the bucket is, if its URL does not say.
    pub region: Option<String>,
}

const KNOWN: &str = "`endpoint`, `region`, `path_style` and `prefix`";

impl std::str::FromStr for S3Url {
    type Err = String;

    /// What is wrong is said without showing the URL: somebody may have written keys into it.
    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("s3://").ok_or("it does not begin with `s3://`")?;
        let (bucket, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut url = Self {
            bucket: bucket_name(bucket)?,
            endpoint: None,
            region: None,
            path_style: false,
            prefix: String::new(),
        };
        let mut path_style = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value).ok_or("what follows a `=` is badly %-encoded")?;
            match name {
                "endpoint" => url.endpoint = Some(endpoint(value)?),
                "region" => url.region = Some(region(value)?),
                "path_style" => path_style = Some(truth(&value)?),
                "prefix" => url.prefix = prefix(&value)?,
                _ if name.to_lowercase().contains("key") || name.to_lowercase().contains("secret") => {
                    return Err(KEYS_ELSEWHERE.to_owned());
                }
                _ => return Err(format!("something after the `?` is not known; known are {KNOWN}")),
            }
        }
        url.path_style = path_style.unwrap_or(url.endpoint.is_some());
        Ok(url)
    }
}

const KEYS_ELSEWHERE: &str =
    "keys do not belong into it: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment";

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
fn bucket_name(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err(KEYS_ELSEWHERE.to_owned());
    }
    if text.contains('/') {
        return Err("a path follows the bucket: write `s3://BUCKET?prefix=PATH`".to_owned());
    }
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    let edges = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    if (3..=63).contains(&bytes.len())
        && bytes.iter().copied().all(known)
        && edges(bytes.first())
        && edges(bytes.last())
    {
        return Ok(text.to_owned());
    }
    Err("a bucket's name has 3 to 63 small letters, digits, dots and hyphens: write `s3://BUCKET`".to_owned())
}

fn endpoint(text: String) -> Result<String, String> {
    let wrong = "`endpoint` must be `http://` or `https://` and a host, and nothing after its port";
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(wrong)?;
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.contains('@') {
        return Err(KEYS_ELSEWHERE.to_owned());
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '[' | ']');
    if name.is_empty() || !name.chars().all(known) || port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(wrong.to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn region(text: String) -> Result<String, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Ok(text);
    }
    Err("`region` must be letters, digits and hyphens, such as `eu-central-1`".to_owned())
}

fn truth(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "`path_style` must be `true` or `false`".to_owned())
}

fn prefix(text: &str) -> Result<String, String> {
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '/');
    let parts = text.trim_matches('/');
    if !parts.chars().all(known)
        || parts.split('/').any(|part| matches!(part, "." | ".."))
        || parts.contains("//")
    {
        return Err("`prefix` must be letters, digits, `-`, `.`, `_` and single slashes".to_owned());
    }
    Ok(if parts.is_empty() { String::new() } else { format!("{parts}/") })
}

/// Without its %-encoding; `None` if that is none.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            u8::try_from(digit()? * 16 + digit()?).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

impl S3Keys {
    /// From the variables that Amazon's own tools read; says which one is missing.
    pub fn from_env(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let needed = |name: &str| {
            set(name).ok_or_else(|| {
                format!("{name} is not set in the environment: a bucket cannot be used without it")
            })
        };
        Ok(Self {
            id: needed("AWS_ACCESS_KEY_ID")?,
            secret: Secret::new(needed("AWS_SECRET_ACCESS_KEY")?),
            session_token: set("AWS_SESSION_TOKEN").map(Secret::new),
            region: set("AWS_REGION").or_else(|| set("AWS_DEFAULT_REGION")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_bucket() {
        let parsed = |text: &str| text.parse::<S3Url>().unwrap();
        let bare = S3Url {
            bucket: "mail".into(),
            endpoint: None,
            region: None,
            path_style: false,
            prefix: String::new(),
        };
        assert_eq!(parsed("s3://mail"), bare);
        let full = S3Url {
            endpoint: Some("http://127.0.0.1:9000".into()),
            region: Some("eu-central-1".into()),
            path_style: true,
            prefix: "one/two/".into(),
            ..bare.clone()
        };
        for text in [
            "s3://mail?endpoint=http://127.0.0.1:9000&region=eu-central-1&prefix=one/two",
            "s3://mail?prefix=/one/two/&endpoint=http%3A%2F%2F127.0.0.1%3A9000/&path_style=true&region=eu-central-1",
        ] {
            assert_eq!(parsed(text), full, "{text}");
        }
        assert!(!parsed("s3://mail?endpoint=https://[::1]:9000&path_style=false").path_style);
        assert_eq!(parsed("s3://mail?endpoint=https://[::1]").endpoint.as_deref(), Some("https://[::1]"));
    }

    #[test]
    fn a_wrong_url_is_refused_with_what_is_wrong() {
        for (text, says) in [
            ("mail", "does not begin with `s3://`"),
            ("s3://", "3 to 63"),
            ("s3://Mail", "small letters"),
            ("s3://-mail", "3 to 63"),
            ("s3://mail/path", "`s3://BUCKET?prefix=PATH`"),
            ("s3://id:geheim@mail", "AWS_SECRET_ACCESS_KEY"),
            ("s3://mail?secret_access_key=geheim", "AWS_SECRET_ACCESS_KEY"),
            ("s3://mail?endpoint=http://id:geheim@host", "AWS_SECRET_ACCESS_KEY"),
            ("s3://mail?endpoint=host:9000", "`endpoint` must be"),
            ("s3://mail?endpoint=http://host/path", "`endpoint` must be"),
            ("s3://mail?endpoint=http://host:99999", "`endpoint` must be"),
            ("s3://mail?endpoint=%zz", "a `=` is badly %-encoded"),
            ("s3://mail?region=", "`region` must be"),
            ("s3://mail?path_style=yes", "`true` or `false`"),
            ("s3://mail?prefix=a/../b", "`prefix` must be"),
            ("s3://mail?prefix=a b", "`prefix` must be"),
            ("s3://mail?pathstyle=true", "known are `endpoint`, `region`, `path_style` and `prefix`"),
        ] {
            let error = text.parse::<S3Url>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("geheim") && !error.contains('\n'), "{text}: {error}");
        }
    }

    #[test]
    fn keys_come_from_the_usual_variables() {
        let from = |pairs: &'static [(&str, &str)]| {
            S3Keys::from_env(move |name| {
                pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned())
            })
        };
        let keys =
            from(&[("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "geheim"), ("AWS_REGION", "r")]);
        let keys = keys.unwrap();
        assert_eq!(
            (keys.id.as_str(), keys.secret.expose().as_str(), keys.region.as_deref()),
            ("id", "geheim", Some("r"))
        );
        assert!(!format!("{keys:?}").contains("geheim"));
        let error = from(&[("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "")]).unwrap_err();
        assert!(error.starts_with("AWS_SECRET_ACCESS_KEY is not set"), "{error}");
    }
}

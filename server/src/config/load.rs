//! Reads the layers and says exactly where something is wrong: which key, which line, which variable.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use blob::S3Keys;
use figment::{
    Figment, Metadata, Profile, Provider,
    util::nest,
    value::{Dict, Map, Value},
};

use types::Secret;

use super::{Config, Unfit, url::without_secrets, words};

/// Every key with its default and its comment.
const DEFAULTS: &str = include_str!("../../config.default.toml");

/// The file that is read if it is there and none was named.
const FILE: &str = "magpie.toml";

/// The beginning of variables that are keys.
const PREFIX: &str = "MAGPIE_";

/// Variables of this beginning that are not keys: what `--config` and the build read.
const NOT_KEYS: [&str; 2] = ["MAGPIE_CONFIG", "MAGPIE_SITE"];

/// The beginning of variables that say what the tests may use.
const TESTS_PREFIX: &str = "MAGPIE_TEST_";

/// A configuration and where each value came from.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    values: Vec<(String, String, String)>,
}

impl fmt::Display for Loaded {
    /// The effective configuration as TOML, each value with its origin where that is not the default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut section = "";
        for (key, value, origin) in &self.values {
            let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
            if table != section {
                writeln!(f, "\n[{table}]")?;
                section = table;
            }
            let comment = if origin.is_empty() { String::new() } else { format!("  # {origin}") };
            writeln!(f, "{name} = {value}{comment}")?;
        }
        Ok(())
    }
}

/// Why there is no configuration. One line, with the place.
///
/// **Invariant:** it never repeats a value, whatever the key: people put a URL with its password in the wrong place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct Error {
    pub place: String,
    pub reason: String,
}

/// The variables of the environment.
///
/// # Errors
/// One that is ours is no text.
pub fn environment() -> Result<Vec<(String, String)>, Error> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        // Others are none of our business.
        let Ok(name) = name.into_string() else { continue };
        match value.into_string() {
            Ok(value) => variables.push((name, value)),
            Err(_) if name.starts_with(PREFIX) || name.starts_with("AWS_") => {
                return Err(Error { place: name, reason: "its value is no text in UTF-8".into() });
            }
            Err(_) => {}
        }
    }
    Ok(variables)
}

/// Reads defaults, then the file (`magpie.toml` if it is there and none is named), then the environment.
///
/// # Errors
/// What is wrong, and where.
pub fn load(file: Option<&Path>, environment: &[(String, String)]) -> Result<Loaded, Error> {
    let file = file.map(Path::to_owned).or_else(|| Some(PathBuf::from(FILE)).filter(|path| path.exists()));
    let defaults = dict("the defaults", DEFAULTS)?;
    let mut known = BTreeMap::new();
    flatten("", &defaults, &mut known);
    let mut figment = Figment::from(Layer { name: String::new(), dict: defaults });

    let mut text = String::new();
    if let Some(path) = &file {
        let name = path.display().to_string();
        text = fs::read_to_string(path)
            .map_err(|error| Error { place: name.clone(), reason: error.to_string() })?;
        let layer = dict(&name, &text)?;
        refuse_unknown(&layer, &known, |key| at_line(&name, &text, key))?;
        figment = figment.merge(Layer { name, dict: layer });
    }
    for (variable, value) in environment {
        let Some(key) = key_of(variable) else { continue };
        let value = value.parse().unwrap_or_else(|_| Value::from(value.as_str()));
        let layer = nest(&key, value).into_dict().unwrap_or_default();
        refuse_unknown(&layer, &known, |_| variable.clone())?;
        figment = figment.merge(Layer { name: variable.clone(), dict: layer });
    }

    let origin = |key: &str| figment.find_metadata(key).map_or_else(String::new, |m| m.name.to_string());
    let wrong = |key: &str, reason: String| match origin(key) {
        name if file.as_ref().is_some_and(|path| path.display().to_string() == name) => {
            Error { place: at_line(&name, &text, key), reason: format!("{key}: {reason}") }
        }
        // The default does not go with something else.
        name if name.is_empty() => Error { place: key.to_owned(), reason },
        name => Error { place: name, reason: format!("{key}: {reason}") },
    };
    let mut config: Config = figment.extract().map_err(|error| {
        let (items, names): (Vec<_>, Vec<_>) =
            error.path.iter().cloned().partition(|part| part.parse::<usize>().is_ok());
        let item = items.first().and_then(|item| item.parse::<usize>().ok());
        let item = item.map_or_else(String::new, |item| format!("item {}: ", item.saturating_add(1)));
        wrong(&names.join("."), format!("{item}{}", words::of(&error.kind)))
    })?;
    config.s3_keys = s3_keys(environment);
    config.validate().map_err(|Unfit { key, reason }| wrong(key, reason))?;
    let values = keys_in_order(&known)
        .map(|key| {
            let value = figment.find_value(key).map_or_else(|_| String::new(), |value| shown(&value));
            (key.to_owned(), value, origin(key))
        })
        .collect();
    Ok(Loaded { config, file, values })
}

/// One source of values.
struct Layer {
    name: String,
    dict: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name.clone())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.dict.clone())]))
    }
}

/// A text's tables.
fn dict(name: &str, text: &str) -> Result<Dict, Error> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| before.matches('\n').count() + 1);
        let place = line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"));
        Error { place, reason: words::of_toml(error.message()) }
    })
}

/// `MAGPIE_HTTP__LISTEN` is `http.listen`.
fn key_of(variable: &str) -> Option<String> {
    let rest = variable.strip_prefix(PREFIX)?;
    let is_key = !NOT_KEYS.contains(&variable) && !variable.starts_with(TESTS_PREFIX);
    is_key.then(|| rest.to_lowercase().replace("__", "."))
}

/// Every leaf under its dotted key.
fn flatten(prefix: &str, dict: &Dict, into: &mut BTreeMap<String, Value>) {
    for (name, value) in dict {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => flatten(&key, inner, into),
            other => {
                into.insert(key, other.clone());
            }
        }
    }
}

fn refuse_unknown(
    layer: &Dict,
    known: &BTreeMap<String, Value>,
    place: impl Fn(&str) -> String,
) -> Result<(), Error> {
    let mut given = BTreeMap::new();
    flatten("", layer, &mut given);
    for (key, value) in &given {
        let is_section = known.keys().any(|k| k.strip_prefix(key.as_str()).is_some_and(is_below));
        let empty_section = is_section && matches!(value, Value::Dict(..));
        if known.contains_key(key) || empty_section {
            continue;
        }
        let reason = if is_section {
            format!("`{key}` is a section, not a key; write [{key}] above its keys")
        } else if let Some(above) = known.keys().find(|k| key.strip_prefix(k.as_str()).is_some_and(is_below))
        {
            format!("`{above}` is a key, not a section; it takes a value")
        } else {
            let name_len = key.rsplit('.').next().unwrap_or_default().len();
            let nearest = known.keys().map(|k| (distance(k, key), k.as_str())).min();
            match nearest {
                // What is far from every key may be no key at all, but a URL, say, or a password.
                Some((far, nearest)) if far <= (name_len / 3).max(2) => {
                    format!("there is no key `{key}`; did you mean `{nearest}`?")
                }
                _ => "there is no such key; config.default.toml has those that there are".to_owned(),
            }
        };
        return Err(Error { place: place(key), reason });
    }
    Ok(())
}

fn is_below(rest: &str) -> bool {
    rest.starts_with('.')
}

/// The number of letters to insert, remove or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let best = (*cell + 1).min(left + 1).min(diagonal + usize::from(x != y));
            diagonal = *cell;
            *cell = best;
            left = best;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// `FILE:LINE` of a key; just the file if the key cannot be found in its text.
fn at_line(name: &str, text: &str, key: &str) -> String {
    let mut table = String::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            table = header.split(']').next().unwrap_or_default().trim().to_owned();
            if table == key {
                return format!("{name}:{}", number + 1);
            }
        } else if let Some((left, _)) = key_and_value(line) {
            let full = if table.is_empty() { left.to_owned() } else { format!("{table}.{left}") };
            if full == key || key.strip_prefix(&full).is_some_and(|rest| rest.starts_with('.')) {
                return format!("{name}:{}", number + 1);
            }
        }
    }
    name.to_owned()
}

/// What is before the equals sign, without its quotes, and what is after it.
fn key_and_value(line: &str) -> Option<(&str, &str)> {
    if let Some(rest) = line.strip_prefix('"') {
        return rest.split_once('"').filter(|(_, after)| after.trim_start().starts_with('='));
    }
    line.split_once('=').map(|(key, value)| (key.trim(), value))
}

/// Keys outside sections first, as TOML wants it.
fn keys_in_order(known: &BTreeMap<String, Value>) -> impl Iterator<Item = &str> {
    let plain = known.keys().filter(|key| !key.contains('.'));
    plain.chain(known.keys().filter(|key| key.contains('.'))).map(String::as_str)
}

/// A value as TOML, passwords in URLs hidden.
fn shown(value: &Value) -> String {
    match value {
        Value::String(_, text) => quoted(&without_secrets(text)),
        Value::Num(_, number) => number
            .to_i128()
            .map(|n| n.to_string())
            .or_else(|| number.to_f64().map(|n| n.to_string()))
            .or_else(|| number.to_u128().map(|n| n.to_string()))
            .unwrap_or_default(),
        Value::Bool(_, yes) => yes.to_string(),
        Value::Char(_, c) => quoted(&c.to_string()),
        Value::Array(_, items) => {
            let items: Vec<_> = items.iter().map(shown).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Dict(_, members) if !members.is_empty() => {
            let members: Vec<_> =
                members.iter().map(|(name, value)| format!("{name} = {}", shown(value))).collect();
            format!("{{ {} }}", members.join(", "))
        }
        Value::Dict(..) | Value::Empty(..) => "{}".into(),
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// What AWS' tools read as well.
fn s3_keys(environment: &[(String, String)]) -> Option<S3Keys> {
    let variable = |wanted: &str| {
        let found = environment.iter().find(|(name, value)| name == wanted && !value.is_empty());
        found.map(|(_, value)| value.clone())
    };
    Some(S3Keys {
        id: variable("AWS_ACCESS_KEY_ID")?,
        secret: Secret::new(variable("AWS_SECRET_ACCESS_KEY")?),
        session_token: variable("AWS_SESSION_TOKEN").map(Secret::new),
        region: variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(file: &str, environment: &[(&str, &str)], wanted: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.toml");
        fs::write(&path, file).unwrap();
        let environment: Vec<_> = environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        let said = match load(Some(&path), &environment) {
            Ok(_) => "fine".to_owned(),
            Err(error) => error.to_string().replace(&path.display().to_string(), "m.toml"),
        };
        assert!(said.contains(wanted), "{file:?} {environment:?}\n  says: {said}\n  not:  {wanted}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        check("", &[], "fine");
        check("[http]\nlisten = \"127.0.0.1:0\"\n", &[("MAGPIE_DATA_DIR", "/x")], "fine");
        check(
            "[smtp]\n\n[htp]\nlisten = \"x\"\n",
            &[],
            "m.toml:4: there is no key `htp.listen`; did you mean `http.listen`?",
        );
        check("[http]\nlisen = 5\n", &[], "did you mean `http.listen`?");
        check("[http]\nlisten = { port = 5 }\n", &[], "m.toml:2: `http.listen` is a key, not a section");
        check("http = 5\n", &[], "m.toml:1: `http` is a section, not a key");
        check(
            "[limits]\n# note\nmessage_size = \"big\"\n",
            &[],
            "m.toml:3: limits.message_size: it is not a size",
        );
        check(
            "[auth]\nallow_cleartext = \"maybe\"\n",
            &[],
            "m.toml:2: auth.allow_cleartext: it is a text, but should be true or false",
        );
        check(
            "[queue]\nretry = [\"1m\", \"soon\"]\n",
            &[],
            "m.toml:2: queue.retry: item 2: it is not a duration",
        );
        check("[http\n", &[], "m.toml:1: it is no TOML: ");
        check("[http]\nlisten = \":1\"\nlisten = \":2\"\n", &[], "m.toml:3: it is no TOML: duplicate key; ");
        check(
            "[queue]\nretry = 5\n",
            &[],
            "m.toml:2: queue.retry: it is a whole number, but should be a list",
        );
        check("[log]\nformat = \"xml\"\n", &[], "m.toml:2: log.format: it should be `text` or `json`");
        check(
            "[queue]\nport = 70000\n",
            &[],
            "m.toml:2: queue.port: it is a whole number, but should be a whole",
        );
        check(
            "",
            &[("MAGPIE_HTTP__LISEN", "x")],
            "MAGPIE_HTTP__LISEN: there is no key `http.lisen`; did you mean `http.listen`?",
        );
        check(
            "",
            &[("MAGPIE_HTTP__LISTEN", "nowhere")],
            "MAGPIE_HTTP__LISTEN: http.listen: it is not an address",
        );
        check(
            "",
            &[("MAGPIE_SHARDS__URLS", "[]")],
            "MAGPIE_SHARDS__URLS: shards.urls: there must be at least one shard",
        );
        check("", &[("MAGPIE_CONFIG", "x"), ("OTHER", "y")], "fine");
        check("", &[("MAGPIE_TEST_MEILI_URL", "meilisearch://127.0.0.1:7700")], "fine");
        check("", &[("MAGPIE_TESTS", "x")], "MAGPIE_TESTS: there is no such key");
        check("[tls]\nkey = \"k.pem\"\n", &[], "certificate and key go together");
        check("[limits]\nmessages_per_command = 10\n", &[], "1000 at least");
        check("[http]\npublic_url = \"mail.example.com\"\n", &[], "m.toml:2: http.public_url");
        check("[limits]\nupload_size = \"60MB\"\n", &[], "limits.upload_size");
        check("[limits]\nline_size = \"500\"\n", &[], "limits.line_size");
        check("[smtp]\nrelay = \"host\"\n", &[], "smtp.relay");
        check("[dns]\nresolver = \"dns.example.com\"\n", &[], "dns.resolver");
    }

    #[test]
    fn what_is_shown_can_be_read_again_and_hides_secrets() {
        let variables = [
            ("MAGPIE_LIMITS__RECIPIENTS", "500"),
            ("MAGPIE_CACHE__URL", "redis://:geheim@h:1/0"),
            ("MAGPIE_SEARCH__URL", "meilisearch://h:1?key=geheim"),
            ("AWS_SECRET_ACCESS_KEY", "geheim"),
            (
                "MAGPIE_SMTP__ROUTES",
                "[{domains=[\"far.test\", \"*\"],host=\"mx.test:25\",user=\"m\",password_env=\"RELAY_PASSWORD\"}]",
            ),
        ];
        let loaded = load(None, &variables.map(|(name, value)| (name.into(), value.into()))).unwrap();
        let text = loaded.to_string();
        assert!(!text.contains("geheim") && !format!("{loaded:?}").contains("geheim"), "{text} {loaded:?}");
        assert!(text.contains("recipients = 500  # MAGPIE_LIMITS__RECIPIENTS"), "{text}");
        let route = "routes = [{ domains = [\"far.test\", \"*\"], host = \"mx.test:25\", password_env = \
                     \"RELAY_PASSWORD\", user = \"m\" }]  # MAGPIE_SMTP__ROUTES";
        assert!(text.contains(route), "{text}");
        check(&text, &[], "fine");
    }

    #[test]
    fn lists_may_be_texts_with_commas() {
        let variables = [
            ("MAGPIE_SHARDS__URLS", "sqlite:0.db, sqlite:1,2.db"),
            ("MAGPIE_HTTP__TRUSTED_PROXIES", "10.0.0.0/8, 192.168.0.1"),
            ("MAGPIE_PROXY_PROTOCOL__LISTENERS", "smtp"),
            ("MAGPIE_QUEUE__RETRY", "1m,5m,"),
        ];
        let loaded = load(None, &variables.map(|(name, value)| (name.into(), value.into()))).unwrap().config;
        let shards: Vec<_> = loaded.shards.urls.iter().map(|url| url.0.to_string()).collect();
        assert_eq!(shards, ["sqlite:0.db", "sqlite:1,2.db"]);
        assert_eq!(loaded.http.trusted_proxies.len(), 2);
        assert_eq!(loaded.proxy_protocol.listeners.len(), 1);
        assert_eq!(loaded.queue.retry.len(), 2);
        check("[shards]\nurls = \"sqlite:0.db\"\n", &[], "fine");
        check("", &[("MAGPIE_SHARDS__URLS", "")], "shards.urls: there must be at least one shard");
    }

    #[test]
    fn every_key_is_commented() {
        let mut commented = true;
        for line in DEFAULTS.lines() {
            match line.trim() {
                "" => commented = false,
                line if line.starts_with('#') => commented = true,
                line if line.starts_with('[') => commented = false,
                line => assert!(commented, "{line}"),
            }
        }
    }
}

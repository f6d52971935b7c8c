//! HTML that strangers wrote, made safe to show: a strict allow-list of elements, attributes, styles and addresses.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use ammonia::{Builder, UrlRelative};

use crate::css;

/// What becomes of images that lie elsewhere: fetching one tells its owner that the mail was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Images {
    /// Their address waits under `data-src`.
    #[default]
    Held,
    Shown,
}

/// In what colours a mail is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// As the reader's system has it.
    #[default]
    Auto,
    Light,
    Dark,
}

/// Safe HTML.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Clean {
    pub(crate) html: String,
    pub(crate) remote_images: u32,
}

const TAGS: [&str; 71] = [
    "a",
    "abbr",
    "address",
    "article",
    "aside",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "details",
    "dfn",
    "dir",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "main",
    "mark",
    "nav",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "section",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "wbr",
];

/// Elements that go with all they hold.
const REMOVED: [&str; 25] = [
    "applet",
    "audio",
    "canvas",
    "embed",
    "frame",
    "frameset",
    "head",
    "iframe",
    "math",
    "meta",
    "noembed",
    "noframes",
    "noscript",
    "object",
    "option",
    "plaintext",
    "script",
    "select",
    "style",
    "svg",
    "template",
    "textarea",
    "title",
    "video",
    "xmp",
];

const ATTRIBUTES: [&str; 11] =
    ["align", "bgcolor", "dir", "height", "hidden", "lang", "nowrap", "style", "title", "valign", "width"];

const TAG_ATTRIBUTES: [(&str, &[&str]); 12] = [
    ("a", &["href"]),
    ("col", &["span"]),
    ("colgroup", &["span"]),
    ("details", &["open"]),
    ("font", &["color", "face", "size"]),
    ("hr", &["color", "noshade", "size"]),
    ("img", &["alt", "border", "hspace", "src", "vspace"]),
    ("li", &["type", "value"]),
    ("ol", &["reversed", "start", "type"]),
    ("table", &["border", "cellpadding", "cellspacing", "rules", "summary"]),
    ("td", &["colspan", "headers", "rowspan", "scope"]),
    ("th", &["colspan", "headers", "rowspan", "scope"]),
];

/// How deep elements may be nested. Building a tree of more takes time that grows with the square.
const MAX_NESTING: usize = 1_500;

/// Stands before the address of a held image until the attribute can be renamed. A mail cannot bring it itself: its
/// scheme is refused.
const HELD: &str = "magpie-held:";

/// Makes `html` safe. `cids` names the address to show for each Content-ID (in lower case). None if it is nested too
/// deep to be read.
pub(crate) fn clean(html: &str, images: Images, cids: &HashMap<String, String>) -> Option<Clean> {
    if nesting(html) > MAX_NESTING {
        return None;
    }
    let remote = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&remote);
    let cids = cids.clone();
    let mut builder = Builder::empty();
    builder
        .tags(TAGS.into_iter().collect())
        .clean_content_tags(REMOVED.into_iter().collect())
        .generic_attributes(ATTRIBUTES.into_iter().collect())
        .tag_attributes(
            TAG_ATTRIBUTES.iter().map(|(tag, names)| (*tag, names.iter().copied().collect())).collect(),
        )
        .url_schemes(HashSet::from(["http", "https", "mailto", "tel", "cid", "data"]))
        .url_relative(UrlRelative::PassThrough)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_value("a", "target", "_blank")
        .strip_comments(true)
        .attribute_filter(move |element, attribute, value| match (element, attribute) {
            (_, "style") => {
                Some(css::filter(value).into()).filter(|style: &std::borrow::Cow<'_, str>| !style.is_empty())
            }
            ("a", "href") => link(value).map(Into::into),
            ("img", "src") => image(value, images, &cids, &counter).map(Into::into),
            (_, "href" | "src") => None,
            _ => Some(value.into()),
        });
    let html = builder.clean(html).to_string();
    let html = html.replace(&format!(" src=\"{HELD}"), " data-src=\"");
    Some(Clean { html, remote_images: remote.load(Ordering::Relaxed) })
}

/// Where a link may lead.
fn link(value: &str) -> Option<String> {
    let value = trimmed(value);
    let lower = value.get(..value.floor_char_boundary(8)).unwrap_or_default().to_ascii_lowercase();
    if value.starts_with("//") {
        return Some(format!("https:{value}"));
    }
    ["http://", "https://", "mailto:", "tel:"]
        .iter()
        .any(|scheme| lower.starts_with(scheme))
        .then(|| value.to_owned())
}

/// Where an image may come from.
fn image(value: &str, images: Images, cids: &HashMap<String, String>, remote: &AtomicU32) -> Option<String> {
    let value = trimmed(value);
    let lower = value.get(..value.floor_char_boundary(24)).unwrap_or_default().to_ascii_lowercase();
    if lower.starts_with("cid:") {
        let cid = value.get(4..).unwrap_or_default();
        return cids
            .get(&cid.to_lowercase())
            .or_else(|| cids.get(&percent_decoded(cid).to_lowercase()))
            .cloned();
    }
    // No svg: a picture that can hold scripts.
    if ["image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp"].iter().any(|kind| {
        lower
            .strip_prefix("data:")
            .and_then(|rest| rest.strip_prefix(kind))
            .is_some_and(|r| r.starts_with([';', ',']))
    }) {
        return Some(value.to_owned());
    }
    let url = if value.starts_with("//") { format!("https:{value}") } else { value.to_owned() };
    if !(lower.starts_with("//") || lower.starts_with("http://") || lower.starts_with("https://")) {
        return None;
    }
    remote.fetch_add(1, Ordering::Relaxed);
    Some(match images {
        Images::Held => format!("{HELD}{url}"),
        Images::Shown => url,
    })
}

/// Without the white space and control characters that a browser ignores around an address.
fn trimmed(value: &str) -> &str {
    value.trim_matches(|c: char| c.is_whitespace() || c.is_control())
}

pub(crate) fn percent_decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match (first, crate::decoder::hex_pair(after)) {
            (b'%', Some(byte)) => {
                out.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            (byte, _) => {
                out.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// How deep elements are nested at most, estimated from above: each name counted for itself, as a closing tag only
/// closes its own. Those that close by themselves (`<p>`, `<li>`, …) and empty ones are not counted.
fn nesting(html: &str) -> usize {
    const FLAT: [&str; 21] = [
        "p", "li", "td", "tr", "th", "dt", "dd", "option", "tbody", "thead", "tfoot", "br", "img", "hr",
        "meta", "link", "input", "col", "area", "base", "wbr",
    ];
    let mut open: HashMap<String, usize> = HashMap::new();
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    for at in memchr::memchr_iter(b'<', html.as_bytes()) {
        let rest = html.as_bytes().get(at + 1..).unwrap_or_default();
        let (closing, rest) = rest.strip_prefix(b"/").map_or((false, rest), |rest| (true, rest));
        if !rest.first().is_some_and(u8::is_ascii_alphabetic) {
            continue;
        }
        let length = rest
            .iter()
            .take(40)
            .take_while(|b| !b.is_ascii_whitespace() && !matches!(b, b'>' | b'/'))
            .count();
        let name = String::from_utf8_lossy(rest.get(..length).unwrap_or_default()).to_ascii_lowercase();
        if FLAT.contains(&name.as_str()) {
            continue;
        }
        let count = open.entry(name).or_default();
        if !closing {
            *count += 1;
            depth += 1;
            deepest = deepest.max(depth);
        } else if *count > 0 {
            *count -= 1;
            depth -= 1;
        }
        if open.len() > 10_000 {
            return usize::MAX;
        }
    }
    deepest
}

/// A complete document around safe HTML, to be served by itself with a Content-Security-Policy of
/// `default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:` (and `https:` for shown images), into a sandboxed
/// frame. Mail that brings colours of its own stays on white, also where everything around it is dark.
#[must_use]
pub fn frame(html: &str, scheme: Scheme) -> String {
    let scheme = if has_colours(html) { Scheme::Light } else { scheme };
    let (name, dark) = match scheme {
        Scheme::Light => ("light", String::new()),
        Scheme::Dark => ("dark", format!(":root{{{DARK}}}")),
        Scheme::Auto => ("light dark", format!("@media(prefers-color-scheme:dark){{:root{{{DARK}}}}}")),
    };
    format!(
        "<!doctype html><html><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"referrer\" content=\"no-referrer\"><meta name=\"color-scheme\" content=\"{name}\">\
         <title></title><style>:root{{color-scheme:{name};{LIGHT}}}{dark}{STYLE}</style></head><body>{html}</body></html>"
    )
}

const LIGHT: &str = "--ground:#fff;--ink:#1c1e21;--quiet:#5f6670;--line:#d5d9df;--link:#1558b0";
const DARK: &str = "--ground:#16181c;--ink:#e4e6ea;--quiet:#9aa2ad;--line:#3a3f47;--link:#8ab4f8";
const STYLE: &str = "html{background:var(--ground)}\
    body{margin:0;padding:12px 16px;color:var(--ink);font:15px/1.55 system-ui,-apple-system,\"Segoe UI\",\"Apple SD Gothic Neo\",\
    \"Noto Sans KR\",\"Malgun Gothic\",sans-serif;overflow-wrap:anywhere}\
    img{max-width:100%;height:auto}table{max-width:100%}pre,code{white-space:pre-wrap;font-family:ui-monospace,monospace}\
    a{color:var(--link)}blockquote{margin:8px 0;padding-left:12px;border-left:3px solid var(--line);color:var(--quiet)}\
    hr{border:0;border-top:1px solid var(--line)}img[data-src]{min-width:16px;min-height:16px;background:#8882}";

/// Whether the markup sets colours of its own.
fn has_colours(html: &str) -> bool {
    ["bgcolor=\"", "background:", "background-color:", "color:", "color=\""]
        .iter()
        .any(|mark| html.contains(mark))
}

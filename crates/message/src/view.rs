//! What is shown of an opened mail. Reads only the header and the text parts.

use std::{collections::HashMap, ops::Range};

use types::{Address, Timestamp, api::Attachment};

use crate::{
    Images, Part, Structure,
    header::{self, Header},
    html, html_text,
    overview::{self, addresses},
    references,
    text::{self, Texts},
    text_html::text_to_html,
};

/// How a mail is to be shown.
#[derive(Debug, Clone, Default)]
pub struct Show {
    pub images: Images,
    /// What stands before a section number in the address of an attachment, e.g. `/v1/messages/{id}/attachments/`.
    pub attachments: String,
}

/// An opened mail: all of [`types::api::Message`] that the mail itself tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct View {
    pub to: Vec<Address>,
    pub cc: Vec<Address>,
    pub bcc: Vec<Address>,
    pub reply_to: Vec<Address>,
    pub sent_at: Option<Timestamp>,
    /// Without angle brackets, as are `references`.
    pub message_id: Option<String>,
    pub references: Vec<String>,
    /// The plain text; made from the HTML where there is no other.
    pub text: String,
    /// Safe HTML, if the mail has any.
    pub html: Option<String>,
    /// Whether there are images that lie elsewhere; they are in `html` or held back as [`Show::images`] said.
    pub has_remote_images: bool,
    pub remote_images: u32,
    pub attachments: Vec<Attachment>,
    /// Every field in order, decoded.
    pub headers: Vec<(String, String)>,
    /// Whether a text was too long to be shown whole.
    pub truncated: bool,
}

/// The most bytes of one text that are read, as encoded.
pub(crate) const MAX_TEXT: u64 = 4 << 20;

/// The most bytes of text that are shown, as encoded: browsers hang on much more. The rest can be downloaded.
const MAX_SHOWN: u64 = 1 << 20;

/// What stands where a text was cut.
const CUT: &str = "[…]";

/// The most bytes of HTML that are shown.
const MAX_HTML: usize = 2 << 20;

/// The longest header field that is shown.
const MAX_FIELD: usize = 16 * 1_024;

/// Reads a mail for showing. `fetch` gives the mail's bytes in a range; what it cannot give is left out.
pub fn view(
    structure: &Structure,
    show: &Show,
    fetch: &mut dyn FnMut(Range<u64>) -> Option<Vec<u8>>,
) -> View {
    let mut view = View { attachments: structure.attachments(), ..View::default() };
    if let Some(root) = structure.root() {
        let raw =
            fetch(root.header.start..root.header.end.min(root.header.start + MAX_TEXT)).unwrap_or_default();
        view.read_header(&Header::scan(&raw, 0, |_| false));
    }
    let mut reader = Reader { structure, show, fetch, cids: cids(structure, show), view: &mut view };
    reader.read_texts();
    view.reveal_unreferenced(show);
    view
}

impl View {
    /// What is marked as inline but shown nowhere in the text is an attachment like any other: nothing is lost.
    fn reveal_unreferenced(&mut self, show: &Show) {
        let html = self.html.as_deref().unwrap_or_default();
        for attachment in self.attachments.iter_mut().filter(|attachment| attachment.inline) {
            attachment.inline = html.contains(&format!("\"{}{}\"", show.attachments, attachment.id));
        }
    }

    fn read_header(&mut self, header: &Header<'_>) {
        self.to = addresses(header, "To").0;
        self.cc = addresses(header, "Cc").0;
        self.bcc = addresses(header, "Bcc").0;
        self.reply_to = addresses(header, "Reply-To").0;
        self.sent_at = header.get("Date").and_then(overview::date);
        let ids = |name: &str| header.get(name).map(references::ids).unwrap_or_default();
        self.message_id = ids("Message-ID").into_iter().next();
        self.references = ids("References");
        for id in ids("In-Reply-To") {
            if !self.references.contains(&id) {
                self.references.push(id);
            }
        }
        self.headers = (header.fields.iter())
            .map(|field| (field.name.to_owned(), header::text(field.value, MAX_FIELD)))
            .collect();
    }
}

/// The address of each part that HTML can refer to by Content-ID.
fn cids(structure: &Structure, show: &Show) -> HashMap<String, String> {
    let mut cids = HashMap::new();
    for part in structure.parts() {
        if let Some(cid) = part.cid() {
            cids.entry(cid.to_lowercase()).or_insert_with(|| format!("{}{}", show.attachments, part.section));
        }
    }
    cids
}

struct Reader<'r> {
    structure: &'r Structure,
    show: &'r Show,
    fetch: &'r mut dyn FnMut(Range<u64>) -> Option<Vec<u8>>,
    cids: HashMap<String, String>,
    view: &'r mut View,
}

impl Reader<'_> {
    fn read_texts(&mut self) {
        let pieces = Texts::of(self.structure).pieces;
        let with_html = pieces.iter().any(|piece| piece.html.is_some());
        let mut pages = Vec::new();
        let mut texts = Vec::new();
        let mut all_clean = true;
        let mut budget = MAX_SHOWN;
        for piece in pieces {
            let plain = piece.plain.and_then(|index| self.read(index, &mut budget));
            let markup = piece.html.and_then(|index| self.read(index, &mut budget));
            let text = match (plain, &markup) {
                (Some(plain), markup) if !plain.trim().is_empty() || markup.is_none() => plain,
                (_, Some(markup)) => html_text::to_text(markup, MAX_HTML),
                (plain, None) => plain.unwrap_or_default(),
            };
            if with_html {
                match markup.as_deref().map(|markup| self.clean(markup)) {
                    Some(Some(page)) => pages.push(page),
                    Some(None) => {
                        all_clean = false;
                        pages.push(text_to_html(&text));
                    }
                    None => pages.push(text_to_html(&text)),
                }
            }
            texts.push(text);
        }
        self.view.text = texts.join("\n\n").trim_end().to_owned();
        let shown = pages.iter().any(|page| !page.trim().is_empty()) && (all_clean || pages.len() > 1);
        if self.view.truncated {
            self.view.text.push_str("\n\n");
            self.view.text.push_str(CUT);
            pages.push(format!("<p>{CUT}</p>"));
        }
        self.view.html = shown.then(|| pages.join("<hr>"));
        self.view.has_remote_images = self.view.remote_images > 0;
    }

    fn read(&mut self, index: usize, budget: &mut u64) -> Option<String> {
        let part: &Part = self.structure.parts().get(index)?;
        let wanted = part.body.end.saturating_sub(part.body.start);
        let length = wanted.min(*budget);
        *budget -= length;
        self.view.truncated |= length < wanted;
        let encoded = (self.fetch)(part.body.start..part.body.start + length)?;
        Some(text::decoded(part, &encoded, encoded.len()))
    }

    fn clean(&mut self, markup: &str) -> Option<String> {
        let shown = markup.get(..markup.floor_char_boundary(MAX_HTML)).unwrap_or_default();
        self.view.truncated |= shown.len() < markup.len();
        let clean = html::clean(shown, self.show.images, &self.cids)?;
        self.view.remote_images = self.view.remote_images.saturating_add(clean.remote_images);
        Some(clean.html)
    }
}

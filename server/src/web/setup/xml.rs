//! XML, written so that no text can become markup.

use quick_xml::escape::escape;

/// A document that is being written.
#[derive(Debug)]
pub(super) struct Xml {
    out: String,
    open: Vec<&'static str>,
}

impl Xml {
    /// `head`: what stands between the declaration and the first element, if anything does.
    pub(super) fn new(head: &str) -> Self {
        let out = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{head}");
        Self { out, open: Vec::new() }
    }

    /// Begins an element.
    pub(super) fn open(&mut self, name: &'static str, attributes: &[(&str, &str)]) {
        self.indent();
        self.begin(name, attributes);
        self.out.push_str(">\n");
        self.open.push(name);
    }

    /// Ends the element that was begun last.
    pub(super) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.indent();
            self.end(name);
        }
    }

    /// A whole element with this text.
    pub(super) fn text(&mut self, name: &'static str, text: &str) {
        self.indent();
        self.begin(name, &[]);
        self.out.push('>');
        self.out.push_str(&escape(text));
        self.end(name);
    }

    /// An element with nothing in it.
    pub(super) fn empty(&mut self, name: &'static str, attributes: &[(&str, &str)]) {
        self.indent();
        self.begin(name, attributes);
        self.out.push_str("/>\n");
    }

    /// The whole document; elements that are open still are ended.
    pub(super) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    fn begin(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.out.push('<');
        self.out.push_str(name);
        for (key, value) in attributes {
            for part in [" ", key, "=\"", &escape(*value), "\""] {
                self.out.push_str(part);
            }
        }
    }

    fn end(&mut self, name: &str) {
        for part in ["</", name, ">\n"] {
            self.out.push_str(part);
        }
    }

    fn indent(&mut self) {
        for _ in &self.open {
            self.out.push_str("  ");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let mut xml = Xml::new("");
        xml.open("a", &[("b", "\"><c")]);
        xml.text("d", "</d>&<!--");
        xml.empty("e", &[]);
        assert_eq!(
            xml.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<a b=\"&quot;&gt;&lt;c\">\n  \
             <d>&lt;/d&gt;&amp;&lt;!--</d>\n  <e/>\n</a>\n"
        );
    }
}

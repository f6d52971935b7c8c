//! The commands that README and CONTRIBUTING promise are commands that this program has.

use std::fs;

use clap::Parser;

#[test]
fn documented_commands_exist() {
    for document in ["README.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(super::files::root().join(document)).unwrap();
        let mut seen = 0;
        for (_, rest) in text.match_indices("cargo xtask ").map(|(at, found)| text.split_at(at + found.len()))
        {
            let line = rest.split(['`', '\n', '#', '|', '&']).next().unwrap_or_default();
            let words = line.split_whitespace().filter(|word| !word.starts_with('['));
            let parsed = crate::Cli::try_parse_from(std::iter::once("xtask").chain(words));
            assert!(parsed.is_ok(), "{document}: cargo xtask {line}: {}", parsed.err().unwrap());
            seen += 1;
        }
        assert!(seen > 0, "{document} names no command");
    }
}

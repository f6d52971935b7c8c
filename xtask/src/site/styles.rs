//! One style sheet from `style/main.scss` (or `main.css`), minified.

use std::{fs, path::Path};

use anyhow::{Context, anyhow};
use lightningcss::{
    printer::PrinterOptions,
    stylesheet::{MinifyOptions, ParserOptions, StyleSheet},
};

pub(super) fn compile(folder: &Path) -> anyhow::Result<String> {
    let sass = folder.join("main.scss");
    let css = if sass.is_file() {
        grass::from_path(&sass, &grass::Options::default())
            .map_err(|error| anyhow!("{}: {error}", sass.display()))?
    } else {
        let plain = folder.join("main.css");
        fs::read_to_string(&plain)
            .with_context(|| format!("neither {} nor {}", sass.display(), plain.display()))?
    };
    minify(&css)
}

fn minify(css: &str) -> anyhow::Result<String> {
    let mut sheet =
        StyleSheet::parse(css, ParserOptions::default()).map_err(|error| anyhow!("styles: {error}"))?;
    sheet.minify(MinifyOptions::default()).map_err(|error| anyhow!("styles: {error}"))?;
    Ok(sheet.to_css(PrinterOptions { minify: true, ..PrinterOptions::default() })?.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_does_not_need_is_left_out() {
        let css =
            minify("/* ink */\n:root { --ink: oklch(20% 0.02 230); }\na { color: var(--ink); }\n").unwrap();
        assert_eq!(css, ":root{--ink:oklch(20% .02 230)}a{color:var(--ink)}");
        assert!(minify("a { color: }}").is_err());
    }
}

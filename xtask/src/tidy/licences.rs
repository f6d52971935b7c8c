//! What ships must be free to ship: every dependency of server and browser under a permissive licence.

use super::graph::{BROWSER, SERVER, shipped};

/// SPDX names of licences that ask for no more than to be named.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Copyleft for their own files alone, which we do not change: the sanitiser's reader of styles.
const BY_NAME: &[(&str, &str)] = &[("cssparser", "MPL-2.0"), ("dtoa-short", "MPL-2.0")];

#[test]
fn everything_that_ships_is_permissive() {
    let mut packages = shipped("magpie", SERVER);
    packages.append(&mut shipped("frontend", BROWSER));
    let refused: Vec<_> = packages
        .iter()
        .filter(|package| !permits(&package.licence))
        .filter(|package| !BY_NAME.contains(&(package.name.as_str(), package.licence.as_str())))
        .map(|package| format!("{} {}: {}", package.name, package.version, package.licence))
        .collect();
    assert!(refused.is_empty(), "not permissive, or not known to be:\n{}", refused.join("\n"));
}

/// Whether an SPDX expression can be met with the allowed licences alone. `/` is an older way to write OR.
fn permits(expression: &str) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    either(&mut words) && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn either(words: &mut Words<'_>) -> bool {
    let mut met = both(words);
    while words.next_if_eq(&"OR").is_some() {
        met |= both(words);
    }
    met
}

fn both(words: &mut Words<'_>) -> bool {
    let mut met = one(words);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words);
    }
    met
}

fn one(words: &mut Words<'_>) -> bool {
    if words.next_if_eq(&"(").is_some() {
        let met = either(words);
        return words.next_if_eq(&")").is_some() && met;
    }
    let met = words.next().is_some_and(|name| ALLOWED.contains(&name));
    // An exception only takes conditions away.
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    met
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    for expression in [
        "MIT",
        "MIT OR Apache-2.0",
        "MIT/Apache-2.0",
        "(MIT OR GPL-3.0-only) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
        "GPL-2.0-only OR MIT",
    ] {
        assert!(permits(expression), "{expression}");
    }
    for expression in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "none", "", "(MIT"] {
        assert!(!permits(expression), "{expression}");
    }
}

//! Rules for files: a purpose at the head, a size that one can read, and no trace of somebody's machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::command;

/// Lines that are no tests.
const MOST_LINES: usize = 500;

#[test]
fn every_file_says_what_it_is_for() {
    for file in sources() {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{} does not begin with `//!`", file.display());
    }
}

#[test]
fn no_file_is_too_long_to_read() {
    for file in sources().into_iter().filter(|file| !is_test(file)) {
        let text = fs::read_to_string(&file).unwrap();
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
        assert!(lines <= MOST_LINES, "{}: {lines} lines, more than {MOST_LINES}", file.display());
    }
}

#[test]
fn no_file_knows_a_machine() {
    // In two halves, or this file would know one.
    let paths = [concat!("/", "work/"), concat!("/", "root/"), concat!("/", "home/")];
    for file in tracked() {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for path in paths {
            let found = text.match_indices(path).find(|(at, _)| absolute(&text, *at));
            assert!(found.is_none(), "{} names the folder {path}", file.display());
        }
    }
}

#[test]
fn the_browser_tests_are_locked_without_addresses() {
    let lock = fs::read_to_string(root().join("end2end/package-lock.json")).unwrap();
    assert!(!lock.contains("\"resolved\""), "package-lock.json names a registry: see end2end/.npmrc");
}

/// A path begins there, rather than going on (`https://a.example/home/`, `src/work/`).
fn absolute(text: &str, at: usize) -> bool {
    !text[..at].ends_with(|before: char| before.is_alphanumeric() || "._-}~$*)".contains(before))
}

fn is_test(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default();
    name == "tests.rs" || file.components().any(|part| part.as_os_str() == "tests")
}

fn sources() -> Vec<PathBuf> {
    tracked().into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Every file that git knows, and that is there.
fn tracked() -> Vec<PathBuf> {
    let root = root();
    let files = command::output(Command::new("git").current_dir(&root).args(["ls-files", "-z"])).unwrap();
    let files: Vec<_> = files.split('\0').map(|file| root.join(file)).filter(|file| file.is_file()).collect();
    assert!(files.len() > 20, "git knows only {} files", files.len());
    files
}

pub(super) fn root() -> PathBuf {
    PathBuf::from("..")
}

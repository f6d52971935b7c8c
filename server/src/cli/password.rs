//! Passwords on the command line: never as an argument, which everybody on the machine can read.

use std::io::{self, BufRead as _};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mail::Random as _;
use types::Secret;

use crate::clock::SystemRandom;

/// The first line of standard input, or a new random password, which is printed once.
pub(super) fn read_or_make(stdin: bool) -> anyhow::Result<Secret> {
    if stdin {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).context("the password on standard input")?;
        let line = line.trim_end_matches(['\r', '\n']);
        ensure!(!line.is_empty(), "standard input has no password");
        return Ok(Secret::new(line.to_owned()));
    }
    let mut bytes = [0; 15];
    SystemRandom.fill(&mut bytes);
    let password = URL_SAFE_NO_PAD.encode(bytes);
    println!("password: {password}");
    Ok(Secret::new(password))
}

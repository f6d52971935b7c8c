//! Passwords on the command line: never as an argument, which everybody on the machine can read.

use std::io::{self, BufRead as _};

use anyhow::{Context as _, ensure};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use mail::Random as _;
use types::Secret;

use super::out::{self, say};
use crate::clock::SystemRandom;

/// The password to set, and whether it was made up and so has to be shown, once it is set.
pub(super) struct Chosen {
    pub(super) password: Secret,
    made_up: bool,
}

impl Chosen {
    /// Prints a password that nobody has seen yet. Only when it is in force, so that nobody takes a failure for one.
    pub(super) fn show(&self) -> Result<(), out::Error> {
        if self.made_up {
            say!("password: {}", self.password.expose())?;
        }
        Ok(())
    }
}

/// The first line of standard input, or a new random password.
pub(super) fn read_or_make(stdin: bool) -> anyhow::Result<Chosen> {
    if stdin {
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line).context("the password on standard input")?;
        let line = line.trim_end_matches(['\r', '\n']);
        ensure!(!line.is_empty(), "standard input has no password");
        return Ok(Chosen { password: Secret::new(line.to_owned()), made_up: false });
    }
    let mut bytes = [0; 15];
    SystemRandom.fill(&mut bytes);
    Ok(Chosen { password: Secret::new(URL_SAFE_NO_PAD.encode(bytes)), made_up: true })
}

//! Files with one mail each.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use time::OffsetDateTime;
use types::Timestamp;

use super::{Found, Mails, flags, mbox};

/// The mail of a file, or of every file below a folder in order of their names, and the bytes in all.
pub(super) fn open(path: &Path) -> anyhow::Result<(Mails, u64)> {
    let files = if path.is_dir() { below(path)? } else { vec![path.to_owned()] };
    let total = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|about| about.len()).sum();
    let mails = files.into_iter().map(|file| {
        let (raw, modified) = read(&file)?;
        // Some archives keep the mbox line of a mail.
        let (line, mail) = match raw.iter().position(|byte| *byte == b'\n') {
            Some(end) if raw.starts_with(b"From ") => raw.split_at(end + 1),
            _ => (&[][..], raw.as_slice()),
        };
        let received_at = time(mail, mbox::time_of(line), modified);
        let size_bytes = raw.len() as u64;
        let raw = bytes::Bytes::copy_from_slice(mail);
        Ok(Found { flags: flags::of_header(&raw), raw, received_at, below: Vec::new(), size_bytes })
    });
    Ok((Box::new(mails), total))
}

/// When a mail was received: as its store says, else as its Date says, else when its file was written. Never "now", so
/// that importing it again finds it.
pub(super) fn time(raw: &[u8], stored: Option<Timestamp>, modified: Option<Timestamp>) -> Option<Timestamp> {
    stored.or_else(|| message::parse(raw).overview.sent_at).or(modified)
}

/// A file's bytes, and when it was written.
pub(super) fn read(file: &Path) -> anyhow::Result<(Vec<u8>, Option<Timestamp>)> {
    let name = || file.display().to_string();
    let raw = fs::read(file).with_context(name)?;
    let modified = fs::metadata(file).and_then(|about| about.modified()).ok();
    Ok((raw, modified.map(|time| Timestamp::from(OffsetDateTime::from(time)))))
}

/// Every file below a folder, but hidden ones, in order.
pub(super) fn below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

//! Maildirs, with the subfolders of Maildir++ (`.Projects.2026`).

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use super::{Found, Mails, files, flags, utf7};

/// The mails of a Maildir and its subfolders, and the bytes in all.
pub(super) fn open(path: &Path) -> anyhow::Result<(Mails, u64)> {
    ensure!(is_maildir(path), "{}: this is no Maildir: it has no folder `cur`", path.display());
    let mut folders = vec![(path.to_owned(), Vec::new())];
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(below) = name.strip_prefix('.').filter(|_| is_maildir(&entry.path())) {
            folders.push((entry.path(), below.split('.').map(utf7::decode).collect()));
        }
    }
    folders.sort();
    let mut mails: Vec<(PathBuf, Vec<String>)> = Vec::new();
    for (folder, below) in folders {
        for kind in ["cur", "new"].map(|kind| folder.join(kind)).into_iter().filter(|kind| kind.is_dir()) {
            mails.extend(files::below(&kind)?.into_iter().map(|file| (file, below.clone())));
        }
    }
    let total = mails.iter().filter_map(|(file, _)| fs::metadata(file).ok()).map(|about| about.len()).sum();
    let mails = mails.into_iter().filter_map(|(file, below)| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let flags = flags::of_name(&name)?;
        Some(files::read(&file).map(|(raw, modified)| {
            // A Maildir keeps the time of receipt as that of its file.
            let received_at = files::time(&raw, modified, None);
            Found { size_bytes: raw.len() as u64, raw: raw.into(), received_at, flags, below }
        }))
    });
    Ok((Box::new(mails), total))
}

fn is_maildir(path: &Path) -> bool {
    path.join("cur").is_dir()
}

#[cfg(test)]
mod tests {
    use types::Flags;

    use super::*;

    #[test]
    fn subfolders_and_flags_come_along() {
        let temp = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("cur/1.a:2,S", "Subject: seen\n\n"),
            ("cur/2.a:2,T", "Subject: deleted\n\n"),
            ("new/3.a", "Subject: new\n\n"),
            ("tmp/4.a", "Subject: half written\n\n"),
            (".Projects.&1VyuAA-/cur/5.a:2,F", "Subject: starred\n\n"),
        ] {
            let path = temp.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let (mails, _) = open(temp.path()).unwrap();
        let found: Vec<_> = mails
            .map(|found| found.unwrap())
            .map(|found| (String::from_utf8(found.raw.to_vec()).unwrap(), found.flags, found.below.join("/")))
            .collect();
        assert_eq!(
            found,
            [
                ("Subject: seen\n\n".into(), Flags::SEEN, String::new()),
                ("Subject: new\n\n".into(), Flags::NONE, String::new()),
                ("Subject: starred\n\n".into(), Flags::FLAGGED, "Projects/한글".into()),
            ]
        );
        assert!(open(&temp.path().join("cur")).is_err());
    }
}

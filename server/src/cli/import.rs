//! `magpie import`: mail from mbox files, Maildirs and folders of single mails.
//!
//! Ids are made of content and time, so an import that broke off is simply started again.

mod files;
mod flags;
mod maildir;
mod mbox;
mod utf7;

use std::{collections::HashMap, io::IsTerminal as _, path::PathBuf};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use mail::{Access, Imported};
use types::{EmailAddress, Flags, MailboxId, Timestamp, address::fold, api::NewFolder};

use super::out::{self, say};
use crate::config::Config;

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Whose mail it becomes
    address: EmailAddress,

    /// mbox: a file with many mails; maildir: a Maildir, with its subfolders; eml: a mail, or a folder of mails
    #[arg(long, value_enum)]
    format: Format,

    /// The file or folder
    path: PathBuf,

    /// The folder it goes to; made if it is not there
    #[arg(long, default_value = "Inbox")]
    folder: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Mbox,
    Maildir,
    Eml,
}

/// A mail that was found.
struct Found {
    raw: Bytes,
    /// When it was received, if that is known.
    received_at: Option<Timestamp>,
    flags: Flags,
    /// Folders below the wanted one.
    below: Vec<String>,
    /// How far into the whole it is, in bytes.
    size_bytes: u64,
}

/// Mails one after another.
type Mails = Box<dyn Iterator<Item = anyhow::Result<Found>>>;

/// What goes into one commit.
const BATCH_MAILS: usize = 200;
const BATCH_BYTES: usize = 8 << 20;

impl Import {
    pub(super) async fn run(self, config: &Config) -> anyhow::Result<()> {
        let access = super::admin(config).await?.open(&self.address).await?;
        let (mails, total) = match self.format {
            Format::Mbox => mbox::open(&self.path)?,
            Format::Maildir => maildir::open(&self.path)?,
            Format::Eml => files::open(&self.path)?,
        };
        let most = config.limits.message_size.0;
        let mut importer = Importer::new(&access, self.folder, total);
        for found in mails {
            let found = found.with_context(|| self.path.display().to_string())?;
            if found.raw.len() as u64 > most {
                importer
                    .skip(&format!("a mail of {} bytes is larger than limits.message_size", found.raw.len()));
            } else {
                importer.add(found).await?;
            }
        }
        importer.finish().await
    }
}

struct Importer<'a> {
    access: &'a Access,
    folder: Vec<String>,
    known: HashMap<Vec<String>, MailboxId>,
    batch: Vec<mail::Import>,
    batch_bytes: usize,
    bar: ProgressBar,
    added: u64,
    known_already: u64,
    skipped: u64,
}

impl<'a> Importer<'a> {
    fn new(access: &'a Access, folder: String, total: u64) -> Self {
        let bar =
            if std::io::stderr().is_terminal() { ProgressBar::new(total) } else { ProgressBar::hidden() };
        let style = "{bar:30} {percent}% {msg} {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self {
            access,
            folder: folder.split('/').map(str::to_owned).collect(),
            known: HashMap::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            bar,
            added: 0,
            known_already: 0,
            skipped: 0,
        }
    }

    fn skip(&mut self, why: &str) {
        self.skipped += 1;
        self.bar.suspend(|| out::aside(format_args!("skipped: {why}")));
    }

    async fn add(&mut self, found: Found) -> anyhow::Result<()> {
        let mut path = self.folder.clone();
        path.extend(found.below);
        let folder = self.mailbox(path).await?;
        self.batch_bytes += found.raw.len();
        self.bar.inc(found.size_bytes);
        let Found { raw, received_at, flags, .. } = found;
        self.batch.push(mail::Import { folder, raw, received_at, flags, labels: Vec::new() });
        if self.batch.len() >= BATCH_MAILS || self.batch_bytes >= BATCH_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        self.batch_bytes = 0;
        for imported in self.access.import(std::mem::take(&mut self.batch)).await? {
            match imported {
                Imported::New(_) => self.added += 1,
                Imported::Duplicate(_) => self.known_already += 1,
            }
        }
        self.bar.set_message(format!("{} mails", self.added + self.known_already));
        Ok(())
    }

    async fn finish(mut self) -> anyhow::Result<()> {
        self.flush().await?;
        self.bar.finish_and_clear();
        say!(
            "{} imported, {} were there already, {} skipped.",
            self.added,
            self.known_already,
            self.skipped
        )?;
        Ok(())
    }

    /// The folder at this path, made level by level where it is missing.
    async fn mailbox(&mut self, path: Vec<String>) -> anyhow::Result<MailboxId> {
        if let Some(id) = self.known.get(&path) {
            return Ok(*id);
        }
        let folders = self.access.folders().await?.folders;
        let mut parent = None;
        for name in &path {
            if name.trim().is_empty() {
                bail!("`{}` is not the name of a folder", path.join("/"));
            }
            let same =
                |known: &&types::api::Folder| known.parent_id == parent && fold(&known.name) == fold(name);
            let id = match folders.iter().find(same) {
                Some(folder) => folder.id,
                None => {
                    let new = NewFolder { name: name.clone(), parent_id: parent };
                    self.access.create_folder(&new).await?.id
                }
            };
            parent = Some(id);
        }
        let id = parent.context("a folder needs a name")?;
        self.known.insert(path, id);
        Ok(id)
    }
}

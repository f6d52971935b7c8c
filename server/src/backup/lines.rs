//! Files of JSON lines, compressed with zstd: written with a checksum of the whole and of each part, read back in
//! bounded memory.
//!
//! A file is one or more *parts*, each a zstd frame of its own, so that an account is read without what is before it.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Take, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zstd::stream::{read::Decoder, write::Encoder};

use super::manifest::Piece;

/// zstd's default: bodies are compressed already, rows shrink well at any level.
const LEVEL: i32 = 3;
/// A line is a record; the largest holds the text of one mail.
const MOST_LINE: u64 = 1 << 30;

/// A part of a file: the lines of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Extent {
    pub(super) offset: u64,
    pub(super) size_bytes: u64,
    pub(super) blake3: String,
}

/// A file being written.
pub(super) struct LineFile {
    path: PathBuf,
    out: BufWriter<File>,
    written: u64,
    whole: blake3::Hasher,
    part: Part,
}

/// Where the last part began.
struct Part {
    offset: u64,
    whole: blake3::Hasher,
    hasher: blake3::Hasher,
}

impl LineFile {
    /// A new file, readable by its owner alone.
    pub(super) fn create(path: PathBuf) -> anyhow::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.with_context(|| unwritten(&path))?;
        let whole = blake3::Hasher::new();
        let part = Part { offset: 0, whole: whole.clone(), hasher: whole.clone() };
        Ok(Self { path, out: BufWriter::with_capacity(256 << 10, file), written: 0, whole, part })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.written
    }

    /// Begins a part.
    pub(super) fn part(mut self) -> anyhow::Result<Lines> {
        self.part = Part { offset: self.written, whole: self.whole.clone(), hasher: blake3::Hasher::new() };
        let path = self.path.clone();
        let encoder = Encoder::new(self, LEVEL).with_context(|| unwritten(&path))?;
        Ok(Lines { path, encoder })
    }

    /// Has everything on disk; what the manifest says of the file.
    pub(super) fn finish(self, name: String) -> anyhow::Result<Piece> {
        let Self { path, out, written, whole, .. } = self;
        let synced =
            out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        synced.with_context(|| unwritten(&path))?;
        Ok(Piece { path: name, size_bytes: written, blake3: whole.finalize().to_hex().to_string() })
    }
}

impl Write for LineFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        let written = bytes.get(..count).unwrap_or_default();
        self.whole.update(written);
        self.part.hasher.update(written);
        self.written += written.len() as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// The part that is being written.
pub(super) struct Lines {
    path: PathBuf,
    encoder: Encoder<'static, LineFile>,
}

impl Lines {
    pub(super) fn push(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        let mut json = serde_json::to_vec(line)?;
        json.push(b'\n');
        self.encoder.write_all(&json).with_context(|| unwritten(&self.path))
    }

    /// Ends the part.
    pub(super) fn finish(self) -> anyhow::Result<(LineFile, Extent)> {
        let file = self.encoder.finish().with_context(|| unwritten(&self.path))?;
        let extent = Extent {
            offset: file.part.offset,
            size_bytes: file.written - file.part.offset,
            blake3: file.part.hasher.finalize().to_hex().to_string(),
        };
        Ok((file, extent))
    }

    /// Takes the part back, as if it had never been.
    pub(super) fn abandon(self) -> anyhow::Result<LineFile> {
        let (mut file, _) = self.finish()?;
        let offset = file.part.offset;
        let cut = file.out.seek(SeekFrom::Start(offset)).and_then(|_| file.out.get_ref().set_len(offset));
        cut.with_context(|| unwritten(&file.path))?;
        file.written = offset;
        file.whole = file.part.whole.clone();
        Ok(file)
    }
}

fn unwritten(path: &Path) -> String {
    format!("{}: it cannot be written", path.display())
}

/// Reads a part, or a file of one part, line by line.
pub(super) struct Reader<T> {
    lines: BufReader<Decoder<'static, BufReader<Take<File>>>>,
    line: Vec<u8>,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Reader<T> {
    /// Only what has the right checksum is read at all.
    pub(super) fn open(path: &Path, extent: &Extent) -> anyhow::Result<Self> {
        check(path, extent)?;
        let decoder = Decoder::with_buffer(BufReader::with_capacity(256 << 10, range(path, extent)?))?;
        Ok(Self { lines: BufReader::new(decoder), line: Vec::new(), kind: std::marker::PhantomData })
    }

    /// The next one, and the bytes of its text.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<(T, usize)>> {
        self.line.clear();
        let mut bounded = (&mut self.lines).take(MOST_LINE);
        let read = bounded.read_until(b'\n', &mut self.line).context("it does not unpack")?;
        if read == 0 {
            return Ok(None);
        }
        let line = serde_json::from_slice(&self.line).context("a line cannot be read")?;
        Ok(Some((line, read)))
    }
}

impl Piece {
    /// All of it.
    pub(super) fn extent(&self) -> Extent {
        Extent { offset: 0, size_bytes: self.size_bytes, blake3: self.blake3.clone() }
    }
}

/// Whether these bytes of the file are those that were written.
pub(super) fn check(path: &Path, extent: &Extent) -> anyhow::Result<()> {
    let mut hasher = blake3::Hasher::new();
    let read = hasher
        .update_reader(range(path, extent)?)
        .map(|hasher| hasher.count())
        .context("it cannot be read")?;
    ensure!(read == extent.size_bytes, "it is damaged: {} bytes are missing", extent.size_bytes - read);
    let hash = hasher.finalize().to_hex();
    ensure!(hash.as_str() == extent.blake3, "it is damaged: its checksum does not fit");
    Ok(())
}

fn range(path: &Path, extent: &Extent) -> anyhow::Result<Take<File>> {
    let mut file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!("it is missing"),
        _ => anyhow::Error::from(error).context("it cannot be read"),
    })?;
    file.seek(SeekFrom::Start(extent.offset)).context("it cannot be read")?;
    Ok(file.take(extent.size_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &Path, extent: &Extent) -> anyhow::Result<Vec<String>> {
        let mut reader = Reader::open(path, extent)?;
        let mut lines = Vec::new();
        while let Some((line, _)) = reader.next()? {
            lines.push(line);
        }
        Ok(lines)
    }

    #[test]
    fn parts_come_back_and_what_was_abandoned_does_not() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lines");
        let mut file = LineFile::create(path.clone()).unwrap();
        let mut extents = Vec::new();
        for words in [vec!["a", "b"], vec!["never"], vec!["c"], vec![]] {
            let mut lines = file.part().unwrap();
            words.iter().for_each(|word| lines.push(word).unwrap());
            if words == ["never"] {
                file = lines.abandon().unwrap();
                continue;
            }
            let extent;
            (file, extent) = lines.finish().unwrap();
            extents.push((words, extent));
        }
        let piece = file.finish("lines".into()).unwrap();
        for (words, extent) in &extents {
            assert_eq!(&read(&path, extent).unwrap(), words);
        }
        check(&path, &piece.extent()).unwrap();
        assert_eq!(piece.size_bytes, path.metadata().unwrap().len());

        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            std::fs::write(&path, damaged).unwrap();
            assert!(check(&path, &piece.extent()).is_err(), "at {at}");
            assert!(extents.iter().any(|(_, extent)| read(&path, extent).is_err()), "at {at}");
        }
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(check(&path, &piece.extent()).unwrap_err().to_string().contains("1 bytes are missing"));
    }
}

//! RFC 4978: DEFLATE below the conversation.
//!
//! What comes is inflated a piece at a time, and the next piece only once the conversation has used up the one before.
//! So however much a few bytes stand for, one piece of it is in memory, and the limits of lines and literals hold for
//! what comes out as they do without compression.

use bytes::{Buf as _, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status as Inflated};

use super::{Action, Connection, Phase};
use crate::wire::{Code, Status, Tag};

/// The state of both directions.
pub(super) struct Deflate {
    inflate: Decompress,
    /// Made anew after a rest: what it writes then refers to nothing before, which every reader can take.
    deflate: Option<Box<Compress>>,
    /// What came and is not inflated yet.
    packed: BytesMut,
}

/// What came is not compressed, or the client has ended the compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Broken;

/// Bytes that are inflated at a time.
const PIECE: usize = 16 * 1024;

impl Connection {
    /// RFC 4978. What follows the command is compressed already.
    pub(super) fn compress(&mut self, tag: &Tag) {
        if self.deflate.is_some() {
            let status = Status::no("Everything is compressed already").with(Code::CompressionActive);
            return self.tagged(tag, &status);
        }
        self.tagged(tag, &Status::ok("From here on everything is compressed"));
        self.phase = Phase::Compressing;
    }

    /// Begins once everything before was sent.
    pub(super) fn begin_compression(&mut self) -> Option<Action> {
        if !self.output.is_empty() {
            return Some(self.flush());
        }
        self.deflate = Some(Box::new(Deflate::new(self.input.split())));
        self.phase = Phase::Command;
        None
    }

    /// Sends what was gathered.
    pub(super) fn flush(&mut self) -> Action {
        let bytes = self.output.split().freeze();
        Action::Write(match &mut self.deflate {
            Some(deflate) => {
                let packed = deflate.deflate(&bytes);
                if matches!(self.phase, Phase::Idle(_)) {
                    deflate.rest();
                }
                packed
            }
            None => bytes,
        })
    }

    /// What is there to be sent, for who does not wait for [`Connection::next`].
    pub fn unsent(&mut self) -> Option<Bytes> {
        if self.output.is_empty() {
            return None;
        }
        match self.flush() {
            Action::Write(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether there is more to look at than before.
    pub(super) fn inflate(&mut self) -> bool {
        let Some(deflate) = &mut self.deflate else { return false };
        deflate.inflate(&mut self.input).unwrap_or_else(|Broken| {
            self.bye("What came is not compressed as it was agreed", Some(Code::ClientBug));
            true
        })
    }
}

impl Deflate {
    /// `packed`: what has come already behind the command.
    fn new(packed: BytesMut) -> Self {
        Self { inflate: Decompress::new(false), deflate: None, packed }
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        self.packed.extend_from_slice(bytes);
    }

    /// Adds the next piece to the input; false: there is nothing more until more is received.
    fn inflate(&mut self, input: &mut BytesMut) -> Result<bool, Broken> {
        let mut piece = Vec::with_capacity(PIECE);
        let before = self.inflate.total_in();
        let status = self
            .inflate
            .decompress_vec(&self.packed, &mut piece, FlushDecompress::None)
            .map_err(|_| Broken)?;
        let used = usize::try_from(self.inflate.total_in() - before).unwrap_or(usize::MAX);
        self.packed.advance(used.min(self.packed.len()));
        if self.packed.is_empty() {
            // Idle connections are many and hold little.
            self.packed = BytesMut::new();
        }
        input.extend_from_slice(&piece);
        match status {
            Inflated::Ok | Inflated::BufError => Ok(used > 0 || !piece.is_empty()),
            Inflated::StreamEnd => Err(Broken),
        }
    }

    /// Compresses this so that the other side can read all of it.
    fn deflate(&mut self, bytes: &[u8]) -> Bytes {
        let deflate = self.deflate.get_or_insert_with(|| Box::new(Compress::new(Compression::fast(), false)));
        let mut out = Vec::with_capacity(bytes.len() / 2 + 64);
        let mut rest = bytes;
        loop {
            let before = deflate.total_in();
            // It fails only for what is not done here: a dictionary, or going on behind the end.
            let _ = deflate.compress_vec(rest, &mut out, FlushCompress::Sync);
            let used = usize::try_from(deflate.total_in() - before).unwrap_or(usize::MAX);
            rest = rest.get(used..).unwrap_or_default();
            // With room left, everything is out.
            if rest.is_empty() && out.len() < out.capacity() {
                return Bytes::from(out);
            }
            out.reserve(out.len().max(64));
        }
    }

    /// Gives back what a client that waits for long does not need: a few hundred kilobytes.
    fn rest(&mut self) {
        self.deflate = None;
    }
}

impl std::fmt::Debug for Deflate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deflate").field("packed", &self.packed.len()).finish_non_exhaustive()
    }
}

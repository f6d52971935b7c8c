//! A body: the exact bytes of a mail as a list of segments, and its packed form in the shard.

use std::{cell::RefCell, io};

use bytes::Bytes;
use types::{BlobId, BodyId};
use zstd::bulk::{Compressor, Decompressor};

use crate::{Error, Result};

/// A run of a body's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// Kept in the shard, compressed.
    Inline(Bytes),
    /// Kept in the blob store.
    Blob { id: BlobId, size_bytes: u64 },
}

impl Segment {
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Blob { size_bytes, .. } => *size_bytes,
        }
    }
}

/// A stored mail's bytes: the segments in order, and nothing between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    pub segments: Vec<Segment>,
}

/// What a shard keeps of a body: the layout, and the inline segments compressed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    pub id: BodyId,
    pub size_bytes: u64,
    pub layout: Vec<u8>,
    pub inline: Vec<u8>,
    /// The blobs that the layout names, for the collector.
    pub blobs: Vec<BlobId>,
}

const LAYOUT_VERSION: u8 = 1;
const INLINE: u8 = 0;
const BLOB: u8 = 1;
/// zstd's fastest ordinary level: mail text shrinks to about 45 %, for some tens of microseconds.
const LEVEL: i32 = 1;

thread_local! {
    /// Making them anew costs more than a small mail's compression.
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|kept| {
        let mut compressor = kept.take().map_or_else(|| Compressor::new(LEVEL), Ok)?;
        let compressed = compressor.compress(bytes)?;
        *kept = Some(compressor);
        Ok(compressed)
    })
}

fn decompress(bytes: &[u8], capacity: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let mut decompressor = kept.take().map_or_else(Decompressor::new, Ok)?;
        let bytes = decompressor.decompress(bytes, capacity)?;
        *kept = Some(decompressor);
        Ok(bytes)
    })
}

impl Body {
    /// All bytes in the body.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(Segment::size_bytes).sum()
    }

    /// Bytes in the segments that the shard keeps.
    #[must_use]
    pub fn inline_bytes(&self) -> u64 {
        let inline = |segment: &&Segment| matches!(segment, Segment::Inline(_));
        self.segments.iter().filter(inline).map(Segment::size_bytes).sum()
    }

    /// Compresses and lays it out. CPU work: do it before the write, never inside the transaction.
    pub fn pack(&self, id: BodyId) -> Result<Packed> {
        let mut layout = vec![LAYOUT_VERSION];
        let mut inline = Vec::new();
        let mut blobs = Vec::new();
        for segment in &self.segments {
            match segment {
                Segment::Inline(bytes) => {
                    layout.push(INLINE);
                    layout.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                    inline.extend_from_slice(bytes);
                }
                Segment::Blob { id, size_bytes } => {
                    layout.push(BLOB);
                    layout.extend_from_slice(&size_bytes.to_le_bytes());
                    layout.extend_from_slice(&id.0);
                    blobs.push(*id);
                }
            }
        }
        let inline = compress(&inline).map_err(Error::from_io)?;
        Ok(Packed { id, size_bytes: self.size_bytes(), layout, inline, blobs })
    }
}

/// The blobs that a stored layout names, in order, each once.
pub fn blobs_of(layout: &[u8]) -> Result<Vec<BlobId>> {
    let damaged = || Error::Corrupt("the layout of a body".to_owned());
    let Some((&LAYOUT_VERSION, mut rest)) = layout.split_first() else { return Err(damaged()) };
    let mut blobs = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        let (_, after) = after.split_first_chunk::<8>().ok_or_else(damaged)?;
        rest = after;
        if *kind == BLOB {
            let (id, after) = after.split_first_chunk::<32>().ok_or_else(damaged)?;
            blobs.push(BlobId(*id));
            rest = after;
        }
    }
    let mut seen = std::collections::HashSet::new();
    blobs.retain(|blob| seen.insert(*blob));
    Ok(blobs)
}

impl Packed {
    /// The body again. Damage is an error, never wrong bytes of the right length.
    pub fn unpack(&self) -> Result<Body> {
        let damaged = |what: &str| Error::Corrupt(format!("body {}: {what}", self.id));
        let capacity = usize::try_from(self.size_bytes).map_err(|_| damaged("absurd size"))?;
        let inline = decompress(&self.inline, capacity).map_err(|_| damaged("inline bytes"))?;
        let mut inline = Bytes::from(inline);
        let mut segments = Vec::new();
        let Some((&LAYOUT_VERSION, mut rest)) = self.layout.split_first() else {
            return Err(damaged("unknown layout"));
        };
        while let Some((kind, after)) = rest.split_first() {
            let (size, after) = after.split_first_chunk::<8>().ok_or_else(|| damaged("cut layout"))?;
            let size_bytes = u64::from_le_bytes(*size);
            rest = after;
            match *kind {
                INLINE => {
                    let size = usize::try_from(size_bytes).ok().filter(|size| *size <= inline.len());
                    segments.push(Segment::Inline(inline.split_to(size.ok_or_else(|| damaged("cut text"))?)));
                }
                BLOB => {
                    let (id, after) = rest.split_first_chunk::<32>().ok_or_else(|| damaged("cut layout"))?;
                    segments.push(Segment::Blob { id: BlobId(*id), size_bytes });
                    rest = after;
                }
                _ => return Err(damaged("unknown segment")),
            }
        }
        let body = Body { segments };
        if !inline.is_empty() || body.size_bytes() != self.size_bytes {
            return Err(damaged("the sizes do not add up"));
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use types::Timestamp;

    use super::*;

    fn segment() -> impl Strategy<Value = Segment> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Segment::Inline(bytes.into())),
            (any::<[u8; 32]>(), 0_u64..1 << 30)
                .prop_map(|(id, size_bytes)| Segment::Blob { id: BlobId(id), size_bytes }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(segments in proptest::collection::vec(segment(), 0..8)) {
            let body = Body { segments };
            let mut packed = body.pack(BodyId::at(Timestamp::default(), [1; 10])).unwrap();
            packed.blobs.dedup();
            prop_assert_eq!(blobs_of(&packed.layout).unwrap(), packed.blobs.as_slice());
            prop_assert_eq!(packed.unpack().unwrap(), body);
        }

        #[test]
        fn damage_is_an_error_or_the_same(at in 0_usize..200, bit in 0_u8..8) {
            let body = Body { segments: vec![Segment::Inline(vec![b'x'; 100].into())] };
            let mut packed = body.pack(BodyId::at(Timestamp::default(), [1; 10])).unwrap();
            if let Some(byte) = packed.layout.get_mut(at) {
                *byte ^= 1 << bit;
            }
            if let Ok(unpacked) = packed.unpack() {
                prop_assert_eq!(unpacked.size_bytes(), 100);
            }
        }
    }
}

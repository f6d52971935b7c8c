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
        // What says how much it is may be damaged.
        let mut whole = Vec::new();
        whole.try_reserve_exact(capacity).map_err(io::Error::other)?;
        decompressor.decompress_to_buffer(bytes, &mut whole)?;
        *kept = Some(decompressor);
        Ok(whole)
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
        let mut inline: Vec<&[u8]> = Vec::new();
        let mut blobs = Vec::new();
        for segment in &self.segments {
            match segment {
                Segment::Inline(bytes) => {
                    layout.push(INLINE);
                    layout.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                    inline.push(bytes);
                }
                Segment::Blob { id, size_bytes } => {
                    layout.push(BLOB);
                    layout.extend_from_slice(&size_bytes.to_le_bytes());
                    layout.extend_from_slice(&id.0);
                    blobs.push(*id);
                }
            }
        }
        let inline = match inline.as_slice() {
            // As most bodies are.
            [whole] => compress(whole),
            several => compress(&several.concat()),
        };
        let inline = inline.map_err(Error::from_io)?;
        Ok(Packed { id, size_bytes: self.size_bytes(), layout, inline, blobs })
    }
}

/// The blobs that a stored layout names, in order, each once.
pub fn blobs_of(layout: &[u8]) -> Result<Vec<BlobId>> {
    let pieces = pieces(layout).ok_or_else(|| Error::Corrupt("the layout of a body".to_owned()))?;
    let mut seen = std::collections::HashSet::new();
    let blobs = pieces.into_iter().filter_map(|piece| match piece {
        Piece::Blob { id, .. } => Some(id),
        Piece::Inline { .. } | Piece::Unknown => None,
    });
    Ok(blobs.filter(|blob| seen.insert(*blob)).collect())
}

/// What a layout says of a segment.
enum Piece {
    Inline { size_bytes: u64 },
    Blob { id: BlobId, size_bytes: u64 },
    Unknown,
}

/// The segments of a layout; `None` if it is cut.
fn pieces(layout: &[u8]) -> Option<Vec<Piece>> {
    let (&LAYOUT_VERSION, mut rest) = layout.split_first()? else { return None };
    let mut pieces = Vec::new();
    while let Some((kind, after)) = rest.split_first() {
        let (size, after) = after.split_first_chunk::<8>()?;
        let size_bytes = u64::from_le_bytes(*size);
        rest = after;
        pieces.push(match *kind {
            INLINE => Piece::Inline { size_bytes },
            BLOB => {
                let (id, after) = rest.split_first_chunk::<32>()?;
                rest = after;
                Piece::Blob { id: BlobId(*id), size_bytes }
            }
            _ => Piece::Unknown,
        });
    }
    Some(pieces)
}

impl Packed {
    /// The body again. Damage is an error, never wrong bytes of the right length.
    pub fn unpack(&self) -> Result<Body> {
        let damaged = |what: &str| Error::Corrupt(format!("body {}: {what}", self.id));
        let pieces = pieces(&self.layout).ok_or_else(|| damaged("cut layout"))?;
        // Blobs may be many times as large as what is inline.
        let (mut all, mut room) = (0_u64, 0_u64);
        for piece in &pieces {
            let (size_bytes, is_inline) = match piece {
                Piece::Inline { size_bytes } => (*size_bytes, true),
                Piece::Blob { size_bytes, .. } => (*size_bytes, false),
                Piece::Unknown => return Err(damaged("unknown segment")),
            };
            all = all.checked_add(size_bytes).ok_or_else(|| damaged("absurd size"))?;
            room += if is_inline { size_bytes } else { 0 };
        }
        if all != self.size_bytes {
            return Err(damaged("the sizes do not add up"));
        }
        let room = usize::try_from(room).map_err(|_| damaged("absurd size"))?;
        let mut inline = Bytes::from(decompress(&self.inline, room).map_err(|_| damaged("inline bytes"))?);
        if inline.len() != room {
            return Err(damaged("inline bytes are missing"));
        }
        let segments = pieces.into_iter().filter_map(|piece| match piece {
            Piece::Inline { size_bytes } => {
                Some(Segment::Inline(inline.split_to(usize::try_from(size_bytes).unwrap_or(inline.len()))))
            }
            Piece::Blob { id, size_bytes } => Some(Segment::Blob { id, size_bytes }),
            Piece::Unknown => None,
        });
        Ok(Body { segments: segments.collect() })
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
        fn damage_is_an_error_or_the_same(at in any::<proptest::sample::Index>(), bit in 0_u8..8) {
            let body = Body { segments: segments() };
            let mut packed = packed();
            let at = at.index(packed.layout.len() + packed.inline.len());
            let bytes = packed.layout.iter_mut().chain(&mut packed.inline);
            bytes.skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
            let _blobs = blobs_of(&packed.layout);
            if let Ok(unpacked) = packed.unpack() {
                prop_assert_eq!(unpacked.size_bytes(), body.size_bytes());
            }
        }
    }

    fn segments() -> Vec<Segment> {
        let blob = Segment::Blob { id: BlobId([7; 32]), size_bytes: 1 << 20 };
        vec![Segment::Inline(vec![b'x'; 100].into()), blob, Segment::Inline(vec![b'y'; 50].into())]
    }

    fn packed() -> Packed {
        Body { segments: segments() }.pack(BodyId::at(Timestamp::default(), [1; 10])).unwrap()
    }

    #[test]
    fn sizes_that_lie_are_damage() {
        let check = |change: &dyn Fn(&mut Packed)| {
            let mut packed = packed();
            change(&mut packed);
            assert!(matches!(packed.unpack(), Err(Error::Corrupt(_))), "{:?}", packed.unpack());
        };
        check(&|packed| packed.size_bytes += 1);
        check(&|packed| packed.inline.clear());
        check(&|packed| packed.layout.truncate(packed.layout.len() - 1));
        for size_bytes in [1_u64 << 62, 1 << 63, u64::MAX] {
            check(&|packed| {
                packed.layout = [&[LAYOUT_VERSION, INLINE][..], &size_bytes.to_le_bytes()].concat();
                packed.size_bytes = size_bytes;
            });
            // More than there is in all.
            check(&|packed| {
                packed.layout.push(INLINE);
                packed.layout.extend(size_bytes.to_le_bytes());
                packed.size_bytes = packed.size_bytes.wrapping_add(size_bytes);
            });
        }
        // Inline bytes that no segment names.
        check(&|packed| {
            let blob = packed.layout.get(10..51).unwrap_or_default().to_vec();
            (packed.layout, packed.size_bytes) = ([&[LAYOUT_VERSION][..], &blob].concat(), 1 << 20);
        });
        let mut unknown = packed();
        unknown.layout[1] = 99;
        assert!(unknown.unpack().is_err());
        assert_eq!(blobs_of(&unknown.layout).unwrap(), [BlobId([7; 32])]);
    }
}

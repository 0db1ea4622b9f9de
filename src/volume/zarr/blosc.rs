//! Parts of a Blosc buffer, without reading or decompressing the rest.
//!
//! A chunk of 256 x 256 x 256 voxels decodes to 64 MiB, of which one slice needs 256 KiB. Blosc (version 1) compresses blocks
//! of some hundred kilobytes on their own and lists where each begins, so only the blocks wanted are fetched, be it from a disk
//! or a web server, and put into a smaller buffer of the same form, which the C library then decompresses.
//!
//! Layout, little-endian: version, codec version, flags, type size (a byte each), decoded length, block length, encoded length
//! (`u32` each); then the start of each block (`u32`); then the blocks
//! (<https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst>).

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use zarrs::array::ArrayBytesRaw;
use zarrs::array::codec::api::{BytesPartialDecoderTraits, CodecError, CodecOptions};
use zarrs::array::codec::{blosc_decompress_bytes, blosc_decompress_bytes_partial, blosc_validate};
use zarrs::storage::StorageError;
use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator};

use super::codec::{ZSTD_RATIO, room};

/// Bytes before the list of blocks.
const HEADER_BYTES: usize = 16;
/// The only version of the format that there is of Blosc 1.
const FORMAT_VERSION: u8 = 2;
/// Flag of a buffer whose data were copied, not compressed.
const COPIED: u8 = 0x02;
/// Pieces closer together than this are fetched in one go.
const GAP_BYTES: u64 = 64 << 10;
/// C-Blosc counts in 32-bit integers.
const LONGEST_BYTES: u64 = i32::MAX as u64;

/// What the first 16 bytes say.
#[derive(Clone, Copy, Debug)]
struct Header {
    bytes: [u8; HEADER_BYTES],
    type_bytes: u64,
    decoded: u64,
    block: u64,
    encoded: u64,
}

impl Header {
    /// Parses and checks; `expected` is the decoded length that the array's metadata promise.
    fn parse(bytes: &[u8], expected: u64) -> Result<Self, CodecError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(CodecError::from("shorter than a Blosc header"));
        };
        let word = |at: usize| u64::from(u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]));
        let header = Self { bytes: *bytes, type_bytes: u64::from(bytes[3]), decoded: word(4), block: word(8), encoded: word(12) };
        let Self { type_bytes, decoded, block, encoded, .. } = header;
        if bytes[0] != FORMAT_VERSION {
            return Err(CodecError::from(format!("not Blosc, or version {} of it", bytes[0])));
        }
        if decoded != expected {
            return Err(CodecError::from(format!("it holds {decoded} bytes instead of {expected}")));
        }
        let whole_items =
            decoded.checked_rem(type_bytes) == Some(0) && (block == decoded || block.checked_rem(type_bytes) == Some(0));
        if type_bytes == 0 || block == 0 || block > decoded || encoded > LONGEST_BYTES || decoded > LONGEST_BYTES || !whole_items
        {
            return Err(CodecError::from("the Blosc header is damaged"));
        }
        let smallest = HEADER_BYTES as u64 + if header.is_copied() { decoded } else { 4 * header.blocks() };
        if encoded < smallest || (header.is_copied() && encoded != smallest) {
            return Err(CodecError::from("the Blosc header is damaged"));
        }
        room(encoded as usize, decoded, ZSTD_RATIO, true)?;
        Ok(header)
    }

    fn is_copied(&self) -> bool {
        self.bytes[2] & COPIED != 0
    }

    fn blocks(&self) -> u64 {
        self.decoded.div_ceil(self.block)
    }
}

/// Decompresses a whole buffer, which must hold `expected` bytes.
pub(super) fn decode_all(encoded: &[u8], expected: u64) -> Result<Vec<u8>, CodecError> {
    let header = Header::parse(encoded, expected)?;
    if header.encoded != encoded.len() as u64 || blosc_validate(encoded) != Some(expected as usize) {
        return Err(CodecError::from(format!("{} bytes are there of {}", encoded.len(), header.encoded)));
    }
    blosc_decompress_bytes(encoded, expected as usize, 1).map_err(|_| CodecError::from("the Blosc data are damaged"))
}

/// Cuts byte ranges out of `decoded`, which begins at byte `start` of the whole.
pub(super) fn cut(decoded: Vec<u8>, start: u64, ranges: &[ByteRange]) -> Result<Vec<ArrayBytesRaw<'static>>, CodecError> {
    let end = start + decoded.len() as u64;
    let places = ranges.iter().map(|range| place(range, end)).collect::<Result<Vec<_>, _>>()?;
    if let [only] = places.as_slice()
        && *only == (start..end)
    {
        return Ok(vec![Cow::Owned(decoded)]);
    }
    let piece = |place: &Range<u64>| {
        let within = place.start.checked_sub(start).and_then(|from| decoded.get(from as usize..(place.end - start) as usize));
        within
            .map(|bytes| Cow::Owned(bytes.to_vec()))
            .ok_or_else(|| CodecError::from("a part outside of the chunk was asked for"))
    };
    places.iter().map(piece).collect()
}

/// Where a range lies in `length` bytes.
pub(super) fn place(range: &ByteRange, length: u64) -> Result<Range<u64>, CodecError> {
    let (start, end) = match *range {
        ByteRange::FromStart(start, None) => (Some(start), Some(length)),
        ByteRange::FromStart(start, Some(bytes)) => (Some(start), start.checked_add(bytes)),
        ByteRange::Suffix(bytes) => (length.checked_sub(bytes), Some(length)),
    };
    match (start, end) {
        (Some(start), Some(end)) if start <= end && end <= length => Ok(start..end),
        _ => Err(CodecError::from("a part beyond the end was asked for")),
    }
}

/// Decompresses what is asked for, and no more than the blocks that it lies in.
pub(super) struct PartialDecoder {
    input: Arc<dyn BytesPartialDecoderTraits>,
    decoded: u64,
}

impl PartialDecoder {
    /// For a buffer that decodes to `decoded` bytes.
    pub(super) fn new(input: Arc<dyn BytesPartialDecoderTraits>, decoded: u64) -> Self {
        Self { input, decoded }
    }

    fn fetch(&self, range: Range<u64>, options: &CodecOptions) -> Result<Option<ArrayBytesRaw<'_>>, CodecError> {
        self.input.partial_decode(ByteRange::new(range), options)
    }

    /// The bytes of `span` and a bit around it: whole items of the type that Blosc knows. Gives where they begin.
    fn decode_span(&self, span: Range<u64>, options: &CodecOptions) -> Result<Option<(u64, Vec<u8>)>, CodecError> {
        let Some(head) = self.fetch(0..HEADER_BYTES as u64, options)? else { return Ok(None) };
        let header = Header::parse(&head, self.decoded)?;
        if header.is_copied() {
            let shift = HEADER_BYTES as u64;
            let copied = self.fetch(span.start + shift..span.end + shift, options)?;
            return Ok(copied.map(|bytes| (span.start, bytes.into_owned())));
        }
        let blocks = header.blocks();
        let data_start = HEADER_BYTES as u64 + 4 * blocks;
        let Some(table) = self.fetch(HEADER_BYTES as u64..data_start, options)? else { return Ok(None) };
        let (words, _) = table.as_chunks::<4>();
        let starts: Vec<u64> = words.iter().map(|word| u64::from(u32::from_le_bytes(*word))).collect();
        if starts.len() as u64 != blocks || starts.iter().any(|start| !(data_start..header.encoded).contains(start)) {
            return Err(CodecError::from("the list of Blosc blocks is damaged"));
        }
        // A block ends where the next one begins; several threads may have written them in any order.
        let mut sorted = starts.clone();
        sorted.sort_unstable();
        let end_of = |start: u64| sorted.get(sorted.partition_point(|&s| s <= start)).copied().unwrap_or(header.encoded);
        let wanted = (span.start / header.block) as usize..span.end.div_ceil(header.block) as usize;
        let mut pieces: Vec<Range<u64>> = starts[wanted.clone()].iter().map(|&start| start..end_of(start)).collect();
        pieces.sort_unstable_by_key(|piece| piece.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(pieces.len());
        for piece in pieces {
            match merged.last_mut() {
                Some(last) if piece.start <= last.end.saturating_add(GAP_BYTES) => last.end = last.end.max(piece.end),
                _ => merged.push(piece),
            }
        }
        let ranges: Vec<ByteRange> = merged.iter().map(|piece| ByteRange::new(piece.clone())).collect();
        let Some(fetched) = self.input.partial_decode_many(Box::new(ranges.into_iter()), options)? else { return Ok(None) };

        // The smaller buffer: same header, list and blocks, but only those wanted are there.
        let mut buffer = Vec::with_capacity(data_start as usize + fetched.iter().map(|piece| piece.len()).sum::<usize>());
        buffer.extend_from_slice(&header.bytes);
        buffer.extend_from_slice(&table);
        for (place, piece) in merged.iter().zip(&fetched) {
            if piece.len() as u64 != place.end - place.start {
                return Err(CodecError::from("a part of the chunk is missing"));
            }
            let shift = place.start - buffer.len() as u64;
            for block in wanted.clone().filter(|&block| place.contains(&starts[block])) {
                let at = HEADER_BYTES + 4 * block;
                buffer[at..at + 4].copy_from_slice(&((starts[block] - shift) as u32).to_le_bytes());
            }
            buffer.extend_from_slice(piece);
        }
        drop(fetched);
        let length = buffer.len() as u32;
        buffer[12..HEADER_BYTES].copy_from_slice(&length.to_le_bytes());
        let start = span.start - span.start % header.type_bytes;
        let end = span.end.next_multiple_of(header.type_bytes);
        let decoded = blosc_decompress_bytes_partial(&buffer, start as usize, (end - start) as usize, header.type_bytes as usize)
            .map_err(|_| CodecError::from("the Blosc data are damaged"))?;
        if decoded.len() as u64 != end - start {
            return Err(CodecError::from("the Blosc data are damaged"));
        }
        Ok(Some((start, decoded)))
    }
}

impl BytesPartialDecoderTraits for PartialDecoder {
    fn exists(&self) -> Result<bool, StorageError> {
        self.input.exists()
    }

    fn size_held(&self) -> usize {
        self.input.size_held()
    }

    fn partial_decode_many(
        &self,
        regions: ByteRangeIterator,
        options: &CodecOptions,
    ) -> Result<Option<Vec<ArrayBytesRaw<'_>>>, CodecError> {
        let ranges: Vec<ByteRange> = regions.collect();
        let places = ranges.iter().map(|range| place(range, self.decoded)).collect::<Result<Vec<_>, _>>()?;
        let start = places.iter().map(|place| place.start).min().unwrap_or(0);
        let end = places.iter().map(|place| place.end).max().unwrap_or(0);
        if start >= end {
            return Ok(Some(ranges.iter().map(|_| Cow::Owned(Vec::new())).collect()));
        }
        let (first, decoded) = if end - start > self.decoded / 4 * 3 {
            let Some(encoded) = self.input.decode(options)? else { return Ok(None) };
            (0, decode_all(&encoded, self.decoded)?)
        } else {
            let Some(span) = self.decode_span(start..end, options)? else { return Ok(None) };
            span
        };
        // Ranges count from the start of the chunk, whatever its end.
        let ranges: Vec<ByteRange> = places.into_iter().map(ByteRange::new).collect();
        cut(decoded, first, &ranges).map(Some)
    }

    fn supports_partial_decode(&self) -> bool {
        true
    }
}

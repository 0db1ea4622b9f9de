//! Decompression that trusts no length that a file states.
//!
//! The decoders of the `zarrs` crate allocate what a compressed stream promises, so a few bytes can ask for terabytes. Those
//! here know how long the data of a chunk must be, and neither allocate nor decode more. They are registered under names of
//! their own, so nothing changes for other users of `zarrs` in the same program, and need no configuration to decode.

use std::any::Any;
use std::borrow::Cow;
use std::io::Read;
use std::sync::{Arc, Once};

use zarrs::array::codec::Crc32cCodec;
use zarrs::array::codec::api::{
    BytesPartialDecoderTraits, BytesToBytesCodecTraits, Codec, CodecError, CodecMetadataOptions, CodecOptions,
    CodecRuntimePluginV3, CodecTraits, PartialDecoderCapability, PartialEncoderCapability, RecommendedConcurrency,
    register_codec_v3,
};
use zarrs::array::{ArrayBytesRaw, BytesRepresentation};
use zarrs::metadata::Configuration;
use zarrs::plugin::{ExtensionName, ZarrVersion};

use super::blosc;

/// The longest piece that is decoded at once: what cannot be read in parts must fit in memory.
pub(super) const LONGEST_DECODED_BYTES: u64 = 4 << 30;
/// A deflate stream expands at most so many times (RFC 1951: 258 bytes for two bits), rounded up.
const DEFLATE_RATIO: u64 = 1_040;
/// A Zstandard block of 4 bytes stands for up to 128 KiB (RFC 8878, RLE blocks).
pub(super) const ZSTD_RATIO: u64 = 32_768;
/// Added to what a ratio allows, for headers and small chunks.
const RATIO_SLACK: u64 = 1 << 16;
/// Bytes that CRC-32C adds.
const CHECKSUM_BYTES: u64 = 4;

/// What the names of the codings here begin with.
pub(super) const REGISTERED_PREFIX: &str = "semietpicker.";

/// How bytes were compressed or protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Blosc,
    Zstd,
    Gzip,
    Zlib,
    Crc32c,
}

impl Coding {
    pub(super) const ALL: [Self; 5] = [Self::Blosc, Self::Zstd, Self::Gzip, Self::Zlib, Self::Crc32c];

    /// The coding that Zarr metadata call `name`, of either version.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name.strip_prefix("numcodecs.").unwrap_or(name) {
            "blosc" => Self::Blosc,
            "zstd" => Self::Zstd,
            "gzip" => Self::Gzip,
            "zlib" => Self::Zlib,
            "crc32c" => Self::Crc32c,
            _ => return None,
        })
    }

    /// The name under which [`register`] makes it known.
    pub(super) fn registered_name(self) -> &'static str {
        match self {
            Self::Blosc => "semietpicker.blosc",
            Self::Zstd => "semietpicker.zstd",
            Self::Gzip => "semietpicker.gzip",
            Self::Zlib => "semietpicker.zlib",
            Self::Crc32c => "semietpicker.crc32c",
        }
    }

    /// Decodes all of `encoded`. `expected` is what the metadata say of the decoded length.
    fn decode<'a>(self, encoded: ArrayBytesRaw<'a>, expected: &BytesRepresentation) -> Result<ArrayBytesRaw<'a>, CodecError> {
        if self == Self::Crc32c {
            return Crc32cCodec::new().decode(encoded, expected, &CodecOptions::default());
        }
        let (most, exactly) = match *expected {
            BytesRepresentation::FixedSize(bytes) => (bytes, true),
            BytesRepresentation::BoundedSize(bytes) => (bytes, false),
            BytesRepresentation::UnboundedSize => return Err(CodecError::from("the decoded length is not known")),
        };
        if most > LONGEST_DECODED_BYTES {
            return Err(too_long(most));
        }
        let decoded = match self {
            Self::Blosc => blosc::decode_all(&encoded, most)?,
            Self::Zstd => {
                let room = room(encoded.len(), most, ZSTD_RATIO, exactly)?;
                // Decompresses every frame, and fails when they hold more than fits.
                zstd::bulk::decompress(&encoded, room).map_err(CodecError::from)?
            }
            Self::Gzip => inflate(flate2::read::GzDecoder::new(&*encoded), room(encoded.len(), most, DEFLATE_RATIO, exactly)?)?,
            Self::Zlib | Self::Crc32c => {
                inflate(flate2::read::ZlibDecoder::new(&*encoded), room(encoded.len(), most, DEFLATE_RATIO, exactly)?)?
            }
        };
        let length = decoded.len() as u64;
        if length > most || (exactly && length != most) {
            return Err(CodecError::from(format!("it holds {length} bytes instead of {most}")));
        }
        Ok(Cow::Owned(decoded))
    }
}

pub(super) fn too_long(bytes: u64) -> CodecError {
    CodecError::from(format!(
        "{bytes} bytes would have to be decoded at once, more than {LONGEST_DECODED_BYTES}: write the array in smaller chunks"
    ))
}

/// How many bytes to allocate for what `encoded` bytes decode to: `most`, or less where so few cannot become so many. When
/// exactly `most` are needed, too few are an error.
pub(super) fn room(encoded: usize, most: u64, ratio: u64, exactly: bool) -> Result<usize, CodecError> {
    let possible = (encoded as u64).saturating_mul(ratio).saturating_add(RATIO_SLACK);
    if exactly && most > possible {
        return Err(CodecError::from(format!("{encoded} bytes cannot hold the {most} of a chunk")));
    }
    Ok(most.min(possible) as usize)
}

/// Reads at most one byte more than `most`, which shows that the stream goes on.
fn inflate(stream: impl Read, most: usize) -> Result<Vec<u8>, CodecError> {
    let mut decoded = Vec::with_capacity(most);
    stream.take(most as u64 + 1).read_to_end(&mut decoded).map_err(CodecError::from)?;
    Ok(decoded)
}

/// Makes the codings known to `zarrs`; further calls do nothing.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for coding in Coding::ALL {
            let matches = move |name: &str| name == coding.registered_name();
            register_codec_v3(CodecRuntimePluginV3::new(matches, move |_| Ok(Codec::BytesToBytes(Arc::new(Decoder(coding))))));
        }
    });
}

/// A coding as `zarrs` sees it; decodes only.
#[derive(Clone, Copy, Debug)]
struct Decoder(Coding);

impl ExtensionName for Decoder {
    fn name(&self, _version: ZarrVersion) -> Option<Cow<'static, str>> {
        Some(Cow::Borrowed(self.0.registered_name()))
    }
}

impl CodecTraits for Decoder {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn configuration(&self, _version: ZarrVersion, _options: &CodecMetadataOptions) -> Option<Configuration> {
        None
    }

    fn partial_decoder_capability(&self) -> PartialDecoderCapability {
        let partial = self.0 == Coding::Blosc;
        PartialDecoderCapability { partial_read: partial, partial_decode: partial }
    }

    fn partial_encoder_capability(&self) -> PartialEncoderCapability {
        PartialEncoderCapability { partial_encode: false }
    }
}

impl BytesToBytesCodecTraits for Decoder {
    fn into_dyn(self: Arc<Self>) -> Arc<dyn BytesToBytesCodecTraits> {
        self
    }

    fn recommended_concurrency(&self, _decoded: &BytesRepresentation) -> Result<RecommendedConcurrency, CodecError> {
        Ok(RecommendedConcurrency::new_maximum(1))
    }

    fn encoded_representation(&self, decoded: &BytesRepresentation) -> BytesRepresentation {
        match (self.0, *decoded) {
            (Coding::Crc32c, BytesRepresentation::FixedSize(bytes)) => {
                BytesRepresentation::FixedSize(bytes.saturating_add(CHECKSUM_BYTES))
            }
            (_, BytesRepresentation::FixedSize(bytes) | BytesRepresentation::BoundedSize(bytes)) => {
                BytesRepresentation::BoundedSize(longest_encoding(bytes))
            }
            (_, BytesRepresentation::UnboundedSize) => BytesRepresentation::UnboundedSize,
        }
    }

    fn encode<'a>(&self, _decoded: ArrayBytesRaw<'a>, _options: &CodecOptions) -> Result<ArrayBytesRaw<'a>, CodecError> {
        Err(CodecError::from("this program only reads Zarr"))
    }

    fn decode<'a>(
        &self,
        encoded: ArrayBytesRaw<'a>,
        decoded: &BytesRepresentation,
        _options: &CodecOptions,
    ) -> Result<ArrayBytesRaw<'a>, CodecError> {
        self.0.decode(encoded, decoded)
    }

    fn partial_decoder(
        self: Arc<Self>,
        input: Arc<dyn BytesPartialDecoderTraits>,
        decoded: &BytesRepresentation,
        _options: &CodecOptions,
    ) -> Result<Arc<dyn BytesPartialDecoderTraits>, CodecError> {
        match (self.0, *decoded) {
            (Coding::Blosc, BytesRepresentation::FixedSize(bytes)) => Ok(Arc::new(blosc::PartialDecoder::new(input, bytes))),
            // All of it, so that a checksum is verified even where a part is wanted.
            _ => Ok(Arc::new(Whole { input, decoded: *decoded, coding: self.0 })),
        }
    }
}

/// The most bytes that `decoded` ones can become: compressors store what does not shrink, with little around it.
pub(super) fn longest_encoding(decoded: u64) -> u64 {
    decoded.saturating_add(decoded / 4).saturating_add(RATIO_SLACK)
}

/// Decodes everything, then cuts.
struct Whole {
    input: Arc<dyn BytesPartialDecoderTraits>,
    decoded: BytesRepresentation,
    coding: Coding,
}

impl BytesPartialDecoderTraits for Whole {
    fn exists(&self) -> Result<bool, zarrs::storage::StorageError> {
        self.input.exists()
    }

    fn size_held(&self) -> usize {
        self.input.size_held()
    }

    fn partial_decode_many(
        &self,
        regions: zarrs::storage::byte_range::ByteRangeIterator,
        options: &CodecOptions,
    ) -> Result<Option<Vec<ArrayBytesRaw<'_>>>, CodecError> {
        let Some(encoded) = self.input.decode(options)? else { return Ok(None) };
        let decoded = self.coding.decode(encoded, &self.decoded)?;
        blosc::cut(decoded.into_owned(), 0, &regions.collect::<Vec<_>>()).map(Some)
    }

    fn supports_partial_decode(&self) -> bool {
        false
    }
}

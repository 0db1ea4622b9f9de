//! How a voxel is stored, and reading it as `f32`.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

/// The order of the bytes of a number in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    Little,
    Big,
}

impl ByteOrder {
    /// The order of this machine.
    pub(super) const NATIVE: Self = if cfg!(target_endian = "little") { Self::Little } else { Self::Big };

    pub(super) fn other(self) -> Self {
        match self {
            Self::Little => Self::Big,
            Self::Big => Self::Little,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Little => "little-endian",
            Self::Big => "big-endian",
        }
    }
}

/// How a voxel is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voxel {
    Int8,
    Uint8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Uint64,
    Float16,
    Float32,
    Float64,
    /// Two voxels a byte, the first in the low bits; each row starts on a byte.
    Uint4,
}

impl Voxel {
    /// The type in numpy's words.
    pub(super) fn data_type(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::Uint8 => "uint8",
            Self::Int16 => "int16",
            Self::Uint16 => "uint16",
            Self::Int32 => "int32",
            Self::Uint32 => "uint32",
            Self::Int64 => "int64",
            Self::Uint64 => "uint64",
            Self::Float16 => "float16",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Uint4 => "uint4",
        }
    }

    /// Whether a voxel can be NaN or infinite.
    pub(super) fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::Float32 | Self::Float64)
    }

    /// Bytes of a row of `columns` voxels.
    pub(super) fn row_bytes(self, columns: u64) -> u64 {
        match self {
            Self::Int8 | Self::Uint8 => columns,
            Self::Int16 | Self::Uint16 | Self::Float16 => 2 * columns,
            Self::Int32 | Self::Uint32 | Self::Float32 => 4 * columns,
            Self::Int64 | Self::Uint64 | Self::Float64 => 8 * columns,
            Self::Uint4 => columns.div_ceil(2),
        }
    }
}

/// Converts `columns` of the row stored in `bytes` to `f32`; `out` has the columns' length. Integers of 32 and 64 bits and 64-bit
/// floats are rounded to the nearest `f32`.
pub(super) fn decode(voxel: Voxel, order: ByteOrder, bytes: &[u8], columns: Range<usize>, out: &mut [f32]) {
    fn words<const N: usize>(bytes: &[u8], columns: Range<usize>, out: &mut [f32], value: impl Fn([u8; N]) -> f32) {
        let (words, _) = bytes[columns.start * N..columns.end * N].as_chunks::<N>();
        out.iter_mut().zip(words).for_each(|(out, word)| *out = value(*word));
    }
    let little = order == ByteOrder::Little;
    match voxel {
        Voxel::Int8 => words(bytes, columns, out, |[byte]| f32::from(byte as i8)),
        Voxel::Uint8 => words(bytes, columns, out, |[byte]| f32::from(byte)),
        Voxel::Int16 if little => words(bytes, columns, out, |word| f32::from(i16::from_le_bytes(word))),
        Voxel::Int16 => words(bytes, columns, out, |word| f32::from(i16::from_be_bytes(word))),
        Voxel::Uint16 if little => words(bytes, columns, out, |word| f32::from(u16::from_le_bytes(word))),
        Voxel::Uint16 => words(bytes, columns, out, |word| f32::from(u16::from_be_bytes(word))),
        Voxel::Int32 if little => words(bytes, columns, out, |word| i32::from_le_bytes(word) as f32),
        Voxel::Int32 => words(bytes, columns, out, |word| i32::from_be_bytes(word) as f32),
        Voxel::Uint32 if little => words(bytes, columns, out, |word| u32::from_le_bytes(word) as f32),
        Voxel::Uint32 => words(bytes, columns, out, |word| u32::from_be_bytes(word) as f32),
        Voxel::Int64 if little => words(bytes, columns, out, |word| i64::from_le_bytes(word) as f32),
        Voxel::Int64 => words(bytes, columns, out, |word| i64::from_be_bytes(word) as f32),
        Voxel::Uint64 if little => words(bytes, columns, out, |word| u64::from_le_bytes(word) as f32),
        Voxel::Uint64 => words(bytes, columns, out, |word| u64::from_be_bytes(word) as f32),
        Voxel::Float32 if little => words(bytes, columns, out, f32::from_le_bytes),
        Voxel::Float32 => words(bytes, columns, out, f32::from_be_bytes),
        Voxel::Float64 if little => words(bytes, columns, out, |word| f64::from_le_bytes(word) as f32),
        Voxel::Float64 => words(bytes, columns, out, |word| f64::from_be_bytes(word) as f32),
        Voxel::Float16 => {
            let part = &bytes[columns.start * 2..columns.end * 2];
            match bytemuck::try_cast_slice::<u8, f16>(part) {
                // The crate converts many at a time with the processor's instruction for it.
                Ok(halves) if order == ByteOrder::NATIVE => halves.convert_to_f32_slice(out),
                _ if little => words(bytes, columns, out, |word| f16::from_le_bytes(word).to_f32()),
                _ => words(bytes, columns, out, |word| f16::from_be_bytes(word).to_f32()),
            }
        }
        Voxel::Uint4 => out.iter_mut().zip(columns).for_each(|(out, column)| {
            let byte = bytes[column / 2];
            *out = f32::from(if column % 2 == 0 { byte & 15 } else { byte >> 4 });
        }),
    }
}

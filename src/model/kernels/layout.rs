//! Channels-last copies: the inner loops read one position's channels side by side.

use super::buffer::{Scratch, Shared};
use super::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Transposes a `rows` x `columns` matrix, in vector blocks where whole ones fit.
///
/// One side's rows are channels of a volume, whose distance is often a power of two, so that all of them share a few
/// cache sets. The blocks run along those rows, which completes every cache line before the next one displaces it.
///
/// # Safety
/// `src` + r * src_stride + c is readable and `dst` + c * dst_stride + r writable for all rows and columns.
#[inline(always)]
pub(super) unsafe fn transpose<S: Simd>(
    rows: usize,
    columns: usize,
    src: *const f32,
    src_stride: usize,
    dst: *mut f32,
    dst_stride: usize,
) {
    let whole_rows = rows - rows % S::BLOCK;
    let whole_columns = columns - columns % S::BLOCK;
    // SAFETY: blocks stay inside the matrix; the rest is copied value by value.
    unsafe {
        if dst_stride > src_stride {
            let mut c = 0;
            while c < whole_columns {
                let mut r = 0;
                while r < whole_rows {
                    let from = src.wrapping_add(r * src_stride + c);
                    S::transpose(from, src_stride, dst.wrapping_add(c * dst_stride + r), dst_stride);
                    r += S::BLOCK;
                }
                c += S::BLOCK;
            }
            for c in 0..columns {
                let first = if c < whole_columns { whole_rows } else { 0 };
                for r in first..rows {
                    *dst.wrapping_add(c * dst_stride + r) = *src.wrapping_add(r * src_stride + c);
                }
            }
        } else {
            let mut r = 0;
            while r < whole_rows {
                let mut c = 0;
                while c < whole_columns {
                    let from = src.wrapping_add(r * src_stride + c);
                    S::transpose(from, src_stride, dst.wrapping_add(c * dst_stride + r), dst_stride);
                    c += S::BLOCK;
                }
                r += S::BLOCK;
            }
            for r in 0..rows {
                let first = if r < whole_rows { whole_columns } else { 0 };
                for c in first..columns {
                    *dst.wrapping_add(c * dst_stride + r) = *src.wrapping_add(r * src_stride + c);
                }
            }
        }
    }
}

/// A zero-padded channels-last copy of an NCDHW tensor.
pub(super) struct ChannelsLast {
    pub data: Scratch,
    /// Floats from one position to the next along x: at least the number of channels, the rest zero.
    pub channels: usize,
    /// Floats from one row to the next.
    pub row: usize,
    /// Floats from one slice to the next.
    pub slice: usize,
    /// Floats from one sample to the next.
    pub sample: usize,
}

/// One slice of all channels, to the inner positions of a padded slice.
struct CopySlice {
    src: *const f32,
    plane: usize,
    rows: usize,
    width: usize,
    channels: usize,
    dst: *mut f32,
    stride: usize,
    row: usize,
}

impl Kernel for CopySlice {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        if self.channels == 1 && self.stride == 1 {
            for y in 0..self.rows {
                let dst = self.dst.wrapping_add(y * self.row);
                // SAFETY: as below.
                unsafe { dst.copy_from_nonoverlapping(self.src.wrapping_add(y * self.width), self.width) };
            }
            return;
        }
        // A few channels at a time: their rows follow one another in memory and are read in one go.
        let mut channel = 0;
        while channel < self.channels {
            let channels = S::BLOCK.min(self.channels - channel);
            for y in 0..self.rows {
                let src = self.src.wrapping_add(channel * self.plane + y * self.width);
                let dst = self.dst.wrapping_add(y * self.row + channel);
                // SAFETY: `pad_channels_last` passes one slice of the tensor and one of the copy.
                unsafe { transpose::<S>(channels, self.width, src, self.plane, dst, self.stride) }
            }
            channel += channels;
        }
    }
}

/// Copies `x` (`[batch, channels, z, y, x]`) with `before` zeros in front of every axis and zeros behind up to `padded`
/// positions per axis; `stride` floats per position.
#[allow(clippy::too_many_arguments)]
pub(super) fn pad_channels_last(
    isa: Isa,
    x: &[f32],
    batch: usize,
    channels: usize,
    size: [usize; 3],
    before: usize,
    padded: [usize; 3],
    stride: usize,
) -> ChannelsLast {
    let [depth, height, width] = size;
    debug_assert!((0..3).all(|axis| padded[axis] >= size[axis] + before) && stride >= channels);
    let row = padded[2] * stride;
    let slice = padded[1] * row;
    let sample = padded[0] * slice;
    // A vector load of the last position may reach past it by less than one line.
    let mut data = Scratch::take(batch * sample + 16);
    let (to, from) = (data.shared(), Shared::read_only(x));
    let plane = depth * height * width;
    (0..batch * padded[0]).into_par_iter().for_each(|job| {
        let (n, zp) = (job / padded[0], job % padded[0]);
        let start = to.at(n * sample + zp * slice);
        // SAFETY: each job writes its own padded slice, all of which lies in `data`; the rows it copies lie in `x`.
        unsafe {
            if zp < before || zp >= before + depth {
                start.write_bytes(0, slice);
                return;
            }
            for yp in 0..padded[1] {
                let line = start.wrapping_add(yp * row);
                if yp < before || yp >= before + height {
                    line.write_bytes(0, row);
                    continue;
                }
                line.write_bytes(0, before * stride);
                let end = (before + width) * stride;
                line.wrapping_add(end).write_bytes(0, row - end);
                if stride > channels {
                    for i in before..before + width {
                        line.wrapping_add(i * stride + channels).write_bytes(0, stride - channels);
                    }
                }
            }
            isa.run(CopySlice {
                src: from.at((n * channels * depth + zp - before) * height * width),
                plane,
                rows: height,
                width,
                channels,
                dst: start.wrapping_add(before * (row + stride)),
                stride,
                row,
            });
        }
    });
    ChannelsLast { data, channels: stride, row, slice, sample }
}

/// Transposes matrices in parallel: `count` matrices of `rows` x `columns`.
pub(super) struct Transposed {
    pub rows: usize,
    pub columns: usize,
    pub src: *const f32,
    pub src_stride: usize,
    pub dst: *mut f32,
    pub dst_stride: usize,
}

impl Kernel for Transposed {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the contract of `transpose` is the creator's.
        unsafe { transpose::<S>(self.rows, self.columns, self.src, self.src_stride, self.dst, self.dst_stride) }
    }
}

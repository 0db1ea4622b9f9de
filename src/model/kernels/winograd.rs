//! 3 x 3 x 3 convolution with stride 1 by Winograd's minimal filtering F(2, 3) along all three axes.
//!
//! An output tile of 2 x 2 x 2 voxels takes 64 products per channel pair instead of 216: the 4 x 4 x 4 input tile and
//! the kernel are transformed (B and G below), multiplied element by element, summed over channels, and transformed
//! back (A). Per axis (Lavin and Gray, "Fast algorithms for convolutional neural networks", CVPR 2016, eq. 7):
//!
//! ```text
//! B'd = [d0 - d2, d1 + d2, d2 - d1, d1 - d3]
//! G w = [w0, (w0 + w1 + w2) / 2, (w0 - w1 + w2) / 2, w2]
//! A'm = [m0 + m1 + m2, m1 - m2 - m3]
//! ```
//!
//! The sums over channels are 64 independent matrix products (tiles x channels in) * (channels in x channels out). The
//! gradient of the weights is G'[sum over tiles of (B'd) (A g)], so it uses the same products with the sum over tiles.
//! All entries of B and A are 0 or +-1, so that the rounding error stays within a few times that of the direct sum.
//!
//! The 64 products are made in four groups of 16 (one element of the z transform each): a block of tiles then fits into
//! the second-level cache, and the groups are independent work for the weight gradient.

mod transform;

use super::buffer::{Scratch, Shared};
use super::gemm::{Layout, Product, product};
use super::layout::{ChannelsLast, Transposed, pad_channels_last, transpose};
use super::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;
use transform::{GradientRow, WeightRow, transform_gradient, transform_input, transform_output};

/// Products in a group: elements of the transforms along y and x.
const GROUP: usize = 16;
const TAPS: usize = 27;
/// Scratch of one block of tiles, in floats: what leaves room for the weights in a 512 KiB second-level cache.
const BLOCK_FLOATS: usize = 40 * 1024;
/// Fewest tiles in one partial sum of the weight gradient, and most partial sums.
const CHUNK_TILES: usize = 256;
const MAX_CHUNKS: usize = 16;

/// The tiles of a batch of volumes, numbered with x fastest and the sample slowest.
#[derive(Clone, Copy)]
struct Tiles {
    size: [usize; 3],
    count: [usize; 3],
    total: usize,
}

impl Tiles {
    fn new(batch: usize, size: [usize; 3]) -> Tiles {
        let count = size.map(|n| n.div_ceil(2));
        Tiles { size, count, total: batch * count.iter().product::<usize>() }
    }

    /// Padded positions per axis that the input transform reads.
    fn padded(&self) -> [usize; 3] {
        self.count.map(|n| 2 * n + 2)
    }

    /// Sample, z, y and x of a tile.
    #[inline(always)]
    fn locate(&self, tile: usize) -> [usize; 4] {
        let [nz, ny, nx] = self.count;
        [tile / (nx * ny * nz), tile / (nx * ny) % nz, tile / nx % ny, tile % nx]
    }

    /// Tiles from `tile` to the end of its row, at most `limit`.
    #[inline(always)]
    fn run(&self, tile: usize, limit: usize) -> usize {
        (self.count[2] - tile % self.count[2]).min(limit)
    }

    /// Tiles per block: whole rows where possible, and enough blocks to occupy the threads.
    fn block(&self, floats_per_tile: usize) -> usize {
        let share = self.total.div_ceil(2 * rayon::current_num_threads()).max(16);
        let fit = (BLOCK_FLOATS / floats_per_tile).clamp(12, 64).min(share);
        let row = self.count[2];
        if row <= fit { fit / row * row } else { fit / 4 * 4 }
    }
}

fn round_up(value: usize, to: usize) -> usize {
    value.div_ceil(to) * to
}

/// Addresses of a channels-last tensor, free of its owner.
#[derive(Clone, Copy)]
struct View {
    data: Shared,
    channels: usize,
    row: usize,
    slice: usize,
    sample: usize,
}

impl View {
    fn new(tensor: &mut ChannelsLast) -> View {
        View {
            data: tensor.data.shared(),
            channels: tensor.channels,
            row: tensor.row,
            slice: tensor.slice,
            sample: tensor.sample,
        }
    }

    /// First value of a tile.
    #[inline(always)]
    fn tile(&self, [n, z, y, x]: [usize; 4]) -> *const f32 {
        self.data.at(n * self.sample + 2 * z * self.slice + 2 * y * self.row + 2 * x * self.channels)
    }
}

/// A block of tiles of a convolution.
struct Block<'a> {
    x: View,
    tiles: &'a Tiles,
    first: usize,
    count: usize,
    channels_in: usize,
    channels_out: usize,
    /// Channels of the output rounded up to whole vectors.
    wide_out: usize,
    /// `[64][panels of channels in x vectors]`
    weights: *const f32,
    /// Floats between elements of the transformed input and of the products.
    group_in: usize,
    group_out: usize,
    transformed: *mut f32,
    products: *mut f32,
    sums: *mut f32,
    out: Shared,
}

impl Kernel for Block<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let elements = self.channels_in * self.wide_out;
        // SAFETY: `convolve` sized the scratch for `count` tiles, and the block writes only its own tiles' voxels.
        unsafe {
            for z in 0..4 {
                transform_input::<S>(&self.x, self.tiles, z, self.first, self.count, self.transformed, self.group_in);
                for element in 0..GROUP {
                    product::<S>(&Product {
                        rows: self.count,
                        depth: self.channels_in,
                        segments: 1,
                        vectors: self.wide_out / S::WIDTH,
                        a: self.transformed.wrapping_add(element * self.group_in),
                        a_row: self.x.channels,
                        a_depth: 1,
                        a_segment: 0,
                        b: self.weights.wrapping_add((z * GROUP + element) * elements),
                        layout: Layout::Panels,
                        c: self.products.wrapping_add(element * self.group_out),
                        c_row: self.wide_out,
                        accumulate: false,
                    });
                }
                transform_output::<S>(z, self.count, self.wide_out, self.products, self.group_out, self.sums);
            }
            self.write::<S>();
        }
    }
}

impl Block<'_> {
    /// Writes the finished tiles into the NCDHW output, without what lies beyond its edges. A few channels at a time,
    /// so that each channel's rows, which follow one another in memory, are written in one go.
    ///
    /// # Safety
    /// As for the kernel.
    #[inline(always)]
    unsafe fn write<S: Simd>(&self) {
        let [depth, height, width] = self.tiles.size;
        let plane = depth * height * width;
        for half in 0..2 {
            let mut channel = 0;
            while channel < self.channels_out {
                let channels = S::BLOCK.min(self.channels_out - channel);
                let mut done = 0;
                while done < self.count {
                    let run = self.tiles.run(self.first + done, self.count - done);
                    let [n, tz, ty, tx] = self.tiles.locate(self.first + done);
                    let length = (2 * run).min(width - 2 * tx);
                    let z = 2 * tz + half;
                    let rows = if z < depth { (height - 2 * ty).min(2) } else { 0 };
                    for row in 0..rows {
                        let place = 2 * ((2 * half + row) * self.count + done) * self.wide_out;
                        let voxel = (z * height + 2 * ty + row) * width + 2 * tx;
                        let to = self.out.at((n * self.channels_out + channel) * plane + voxel);
                        let from = self.sums.wrapping_add(place + channel);
                        // SAFETY: the row segment lies inside the output and belongs to this block.
                        unsafe { transpose::<S>(length, channels, from, self.wide_out, to, plane) }
                    }
                    done += run;
                }
                channel += channels;
            }
        }
    }
}

/// Transformed weights `[64][panels of channels in x channels out]`, for the convolution itself or (`adjoint`) for its
/// gradient with respect to the input, where the channels change places and the taps are reversed.
fn transform_weights(isa: Isa, weight: &[f32], channels_out: usize, channels_in: usize, adjoint: bool) -> Scratch {
    let (from, to) = if adjoint { (channels_out, channels_in) } else { (channels_in, channels_out) };
    let wide = round_up(to, isa.width());
    let mut result = Scratch::take(64 * from * wide);
    let result_at = result.shared();
    let weight = Shared::read_only(weight);
    (0..from).into_par_iter().for_each(|channel| {
        let mut taps = Scratch::take(TAPS * wide);
        if wide > to {
            taps.fill_zero();
        }
        let (first, stride) = if adjoint { (channel * to * TAPS, TAPS) } else { (channel * TAPS, from * TAPS) };
        let staged = taps.shared().at(0);
        // SAFETY: the weights hold `to` rows of 27 taps at this stride; `taps` holds them transposed; each task writes
        // its own channel's vectors of every element of the result.
        unsafe {
            isa.run(Transposed {
                rows: to,
                columns: TAPS,
                src: weight.at(first),
                src_stride: stride,
                dst: staged,
                dst_stride: wide,
            });
            isa.run(WeightRow {
                taps: staged,
                reversed: adjoint,
                channel,
                channels_in: from,
                wide_out: wide,
                out: result_at.at(0),
            });
        }
    });
    result
}

/// Convolution, or (`adjoint`) its gradient with respect to the input: `x` is then the gradient of the output.
///
/// `weight` is `[channels_out, channels_in, 3, 3, 3]` of the forward convolution in both cases.
#[allow(clippy::too_many_arguments)]
pub(super) fn convolve(
    isa: Isa,
    batch: usize,
    size: [usize; 3],
    [channels_out, channels_in]: [usize; 2],
    adjoint: bool,
    x: &[f32],
    weight: &[f32],
    out: &mut [f32],
) {
    let (from, to) = if adjoint { (channels_out, channels_in) } else { (channels_in, channels_out) };
    let (wide_in, wide_out) = (round_up(from, isa.width()), round_up(to, isa.width()));
    let tiles = Tiles::new(batch, size);
    let mut weights = transform_weights(isa, weight, channels_out, channels_in, adjoint);
    let mut padded = pad_channels_last(isa, x, batch, from, size, 1, tiles.padded(), wide_in);
    let view = View::new(&mut padded);
    let weights_at = weights.shared();
    let block = tiles.block(GROUP * (wide_in + wide_out) + 8 * wide_out);
    let out = Shared::new(out);
    (0..tiles.total.div_ceil(block)).into_par_iter().for_each(|job| {
        let first = job * block;
        let count = block.min(tiles.total - first);
        // One line more per element, so that the elements of one tile do not fall on the same cache sets.
        let (group_in, group_out) = (count * wide_in + 16, count * wide_out + 16);
        let mut scratch = Scratch::take(GROUP * (group_in + group_out) + 8 * count * wide_out);
        let scratch = scratch.shared();
        // SAFETY: the scratch parts follow one another; blocks are disjoint sets of tiles, so their outputs are too.
        unsafe {
            isa.run(Block {
                x: view,
                tiles: &tiles,
                first,
                count,
                channels_in: from,
                channels_out: to,
                wide_out,
                weights: weights_at.at(0),
                group_in,
                group_out,
                transformed: scratch.at(0),
                products: scratch.at(GROUP * group_in),
                sums: scratch.at(GROUP * (group_in + group_out)),
                out,
            });
        }
    });
}

/// One group of the transformed weight gradient, summed over a chunk of tiles.
struct GradientChunk<'a> {
    x: View,
    g: View,
    tiles: &'a Tiles,
    z: usize,
    first: usize,
    count: usize,
    block: usize,
    channels_in: usize,
    group_x: usize,
    group_g: usize,
    transformed_x: *mut f32,
    transformed_g: *mut f32,
    /// `[GROUP][channels_in][wide_out]`
    sums: *mut f32,
}

impl Kernel for GradientChunk<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let wide_out = self.g.channels;
        let mut done = 0;
        // SAFETY: `weight_gradient` sized the scratch for `block` tiles and gave this chunk its own sums.
        unsafe {
            while done < self.count {
                let count = self.block.min(self.count - done);
                let first = self.first + done;
                transform_input::<S>(&self.x, self.tiles, self.z, first, count, self.transformed_x, self.group_x);
                transform_gradient::<S>(&self.g, self.tiles, self.z, first, count, self.transformed_g, self.group_g);
                for element in 0..GROUP {
                    product::<S>(&Product {
                        rows: self.channels_in,
                        depth: count,
                        segments: 1,
                        vectors: wide_out / S::WIDTH,
                        a: self.transformed_x.wrapping_add(element * self.group_x),
                        a_row: 1,
                        a_depth: self.x.channels,
                        a_segment: 0,
                        b: self.transformed_g.wrapping_add(element * self.group_g),
                        layout: Layout::Matrix { depth: wide_out, segment: 0 },
                        c: self.sums.wrapping_add(element * self.channels_in * wide_out),
                        c_row: wide_out,
                        accumulate: done > 0,
                    });
                }
                done += count;
            }
        }
    }
}

/// Gradient of the weights `[channels_out, channels_in, 3, 3, 3]`. The partial sums and their order depend on the shape
/// alone, so the result does not depend on the number of threads.
pub(super) fn weight_gradient(
    isa: Isa,
    batch: usize,
    size: [usize; 3],
    [channels_out, channels_in]: [usize; 2],
    x: &[f32],
    grad_out: &[f32],
    grad_weight: &mut [f32],
) {
    let (wide_in, wide_out) = (round_up(channels_in, isa.width()), round_up(channels_out, isa.width()));
    let tiles = Tiles::new(batch, size);
    let mut padded_x = pad_channels_last(isa, x, batch, channels_in, size, 1, tiles.padded(), wide_in);
    let mut padded_g = pad_channels_last(isa, grad_out, batch, channels_out, size, 0, tiles.count.map(|n| 2 * n), wide_out);
    let (x, g) = (View::new(&mut padded_x), View::new(&mut padded_g));
    let chunk = tiles.total.div_ceil(MAX_CHUNKS).max(CHUNK_TILES);
    let chunks = tiles.total.div_ceil(chunk);
    let block = (BLOCK_FLOATS / (GROUP * (wide_in + wide_out))).clamp(16, 64) / 4 * 4;
    let elements = channels_in * wide_out;
    let mut sums = Scratch::take(chunks * 64 * elements);
    let sums_at = sums.shared();
    (0..chunks * 4).into_par_iter().for_each(|job| {
        let (index, z) = (job / 4, job % 4);
        let first = index * chunk;
        let (group_x, group_g) = (block * wide_in + 16, block * wide_out + 16);
        let mut scratch = Scratch::take(GROUP * (group_x + group_g));
        let scratch = scratch.shared();
        // SAFETY: every job has its own part of `sums` and its own scratch.
        unsafe {
            isa.run(GradientChunk {
                x,
                g,
                tiles: &tiles,
                z,
                first,
                count: chunk.min(tiles.total - first),
                block,
                channels_in,
                group_x,
                group_g,
                transformed_x: scratch.at(0),
                transformed_g: scratch.at(GROUP * group_x),
                sums: sums_at.at((index * 64 + z * GROUP) * elements),
            });
        }
    });
    let out = Shared::new(grad_weight);
    (0..channels_in).into_par_iter().for_each(|channel| {
        let mut taps = Scratch::take(TAPS * wide_out);
        let staged = taps.shared().at(0);
        // SAFETY: the jobs above are done; each task here writes its own input channel's taps of every output channel.
        unsafe {
            isa.run(GradientRow { sums: sums_at.at(0), chunks, channel, channels_in, wide_out, taps: staged });
            isa.run(Transposed {
                rows: TAPS,
                columns: channels_out,
                src: staged,
                src_stride: wide_out,
                dst: out.at(channel * TAPS),
                dst_stride: channels_in * TAPS,
            });
        }
    });
}

//! 3 x 3 x 3 convolution by direct summation, for stride 2 (any stride in the forward direction), and 5 x 5 x 5 at stride 1.
//!
//! The input is a padded channels-last copy without gaps, so the taps of one kernel row and their channels are one
//! contiguous run and no patch matrix is made, except for so few channels that a run is too short (`patches`). For
//! the gradient of the input the voxels split into eight classes by the parity of their coordinates: within a class
//! the same one to eight taps contribute to every voxel, which makes it a convolution of the output's gradient. At stride 1 it is a convolution with the
//! weights reversed.

use super::Conv3dShape;
use super::buffer::{Scratch, Shared};
use super::gemm::{Layout, Product, panel_width, product, product_panel};
use super::layout::{Transposed, pad_channels_last, transpose};
use super::patches;
use super::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Positions in one task of the convolutions.
const TASK_POSITIONS: usize = 96;
/// Runs shorter than this are gathered into patches.
const SHORT_RUN: usize = 32;
/// Floats of weights that stay in the first-level cache beside the positions.
const CACHED_WEIGHTS: usize = 5 * 1024;
/// Fewest positions in one partial sum of the weight gradient, and most partial sums.
const CHUNK_POSITIONS: usize = 512;
const MAX_CHUNKS: usize = 16;

fn round_up(value: usize, to: usize) -> usize {
    value.div_ceil(to) * to
}

/// The kernel taps that one output position sums, as runs of contiguous values of the input.
#[derive(Clone, Copy)]
struct Runs {
    /// Runs along z and y.
    count: [usize; 2],
    /// Values in a run: taps along x times channels.
    length: usize,
    /// Floats between runs along z and y.
    slice: usize,
    row: usize,
}

/// A few rows of outputs, channels last.
struct Rows {
    runs: Runs,
    /// First tap of the first position.
    input: *const f32,
    /// Floats between positions along x and between rows.
    step_x: usize,
    step_row: usize,
    /// `[panels of runs x vectors]`
    weights: *const f32,
    vectors: usize,
    rows: usize,
    width: usize,
    /// Where the sums go, and the distances between positions and rows.
    sums: *mut f32,
    sums_x: usize,
    sums_row: usize,
}

impl Rows {
    /// # Safety
    /// The pointers reach what the fields say.
    #[inline(always)]
    unsafe fn compute<S: Simd>(&self) {
        let Runs { count: [runs_z, runs_y], length, slice, row } = self.runs;
        let depth = runs_z * runs_y * length;
        // SAFETY: the caller's contract.
        unsafe {
            let mut first = 0;
            while first < self.vectors {
                let width = panel_width(self.vectors, first);
                let panel = width * S::WIDTH;
                // All runs along y at once where their weights stay in the cache: fewer trips of the sums to memory.
                let together = if runs_y * length * panel <= CACHED_WEIGHTS { runs_y } else { 1 };
                let mut run = 0;
                while run < runs_z * runs_y {
                    let (z, y) = (run / runs_y, run % runs_y);
                    for r in 0..self.rows {
                        product_panel::<S>(
                            &Product {
                                rows: self.width,
                                depth: length,
                                segments: together,
                                vectors: self.vectors,
                                a: self.input.wrapping_add(r * self.step_row + z * slice + y * row),
                                a_row: self.step_x,
                                a_depth: 1,
                                a_segment: row,
                                b: self.weights.wrapping_add(first * S::WIDTH * depth + run * length * panel - first * S::WIDTH),
                                layout: Layout::Matrix { depth: panel, segment: length * panel },
                                c: self.sums.wrapping_add(r * self.sums_row),
                                c_row: self.sums_x,
                                accumulate: run > 0,
                            },
                            first,
                            width,
                        );
                    }
                    run += together;
                }
                first += width;
            }
        }
    }
}

/// Rows of outputs of the same sample and slice, with their place in the NCDHW result.
struct Task<const CLASSES: usize> {
    /// One per parity along x of the output, or one in all.
    classes: [Rows; CLASSES],
    rows: usize,
    width: usize,
    channels: usize,
    sums: *const f32,
    wide: usize,
    out: *mut f32,
    /// Floats between these rows, and between channels, of the result.
    out_row: usize,
    plane: usize,
}

impl<const CLASSES: usize> Kernel for Task<CLASSES> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the functions below size the scratch and give every task its own rows.
        unsafe {
            for class in &self.classes {
                class.compute::<S>();
            }
            for r in 0..self.rows {
                transpose::<S>(
                    self.width,
                    self.channels,
                    self.sums.wrapping_add(r * self.width * self.wide),
                    self.wide,
                    self.out.wrapping_add(r * self.out_row),
                    self.plane,
                );
            }
        }
    }
}

/// The taps of one channel of the product's input, copied into their panels.
struct PackRow<'a> {
    /// `[taps][wide]`
    taps: *const f32,
    /// Taps in the order of the runs.
    order: &'a [usize],
    channel: usize,
    channels: usize,
    wide: usize,
    out: *mut f32,
}

impl Kernel for PackRow<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let vectors = self.wide / S::WIDTH;
        let depth = self.order.len() * self.channels;
        let mut first = 0;
        while first < vectors {
            let width = panel_width(vectors, first);
            for (place, &tap) in self.order.iter().enumerate() {
                for v in 0..width {
                    let k = place * self.channels + self.channel;
                    // SAFETY: `pack` sized both ends.
                    unsafe {
                        let value = S::load(self.taps.wrapping_add(tap * self.wide + (first + v) * S::WIDTH));
                        S::store(self.out.wrapping_add((first * depth + k * width + v) * S::WIDTH), value);
                    }
                }
            }
            first += width;
        }
    }
}

/// Weights in the order of the products, one matrix for each list of taps. With `adjoint`, the sum runs over the output
/// channels of the convolution.
fn pack(isa: Isa, weight: &[f32], shape: &Conv3dShape, adjoint: bool, orders: &[Vec<usize>]) -> Scratch {
    let (from, to) = if adjoint { (shape.channels_out, shape.channels_in) } else { (shape.channels_in, shape.channels_out) };
    let taps_count = shape.taps();
    let wide = round_up(to, isa.width());
    let mut packed = Scratch::take(taps_count * from * wide);
    let out = packed.shared();
    let weight = Shared::read_only(weight);
    (0..from).into_par_iter().for_each(|channel| {
        let mut taps = Scratch::take(taps_count * wide);
        if wide > to {
            taps.fill_zero();
        }
        let staged = taps.shared().at(0);
        let (first, stride) =
            if adjoint { (channel * to * taps_count, taps_count) } else { (channel * taps_count, from * taps_count) };
        // SAFETY: the weights hold `to` rows of taps at this stride; each task writes its own channel's vectors.
        unsafe {
            isa.run(Transposed {
                rows: to,
                columns: taps_count,
                src: weight.at(first),
                src_stride: stride,
                dst: staged,
                dst_stride: wide,
            });
            let mut before = 0;
            for order in orders {
                isa.run(PackRow { taps: staged, order, channel, channels: from, wide, out: out.at(before * from * wide) });
                before += order.len();
            }
        }
    });
    packed
}

/// Positions per axis of the padded input: what the taps reach, and all of the input.
pub(super) fn padded_size(shape: &Conv3dShape) -> [usize; 3] {
    let output = shape.output();
    std::array::from_fn(|axis| ((output[axis] - 1) * shape.stride + shape.kernel).max(shape.input[axis] + shape.padding()))
}

/// Rows of `width` positions per task, out of `available`.
pub(super) fn task_rows(width: usize, available: usize) -> usize {
    (TASK_POSITIONS / width.max(1)).clamp(1, available)
}

/// The convolution.
pub(super) fn forward(isa: Isa, shape: &Conv3dShape, x: &[f32], weight: &[f32], out: &mut [f32]) {
    if shape.kernel * shape.channels_in < SHORT_RUN {
        return patches::forward(isa, shape, x, weight, out);
    }
    let (channels, kernel, stride, output) = (shape.channels_in, shape.kernel, shape.stride, shape.output());
    let wide = round_up(shape.channels_out, isa.width());
    let mut weights = pack(isa, weight, shape, false, &[(0..shape.taps()).collect()]);
    let weights = weights.shared();
    let padded = padded_size(shape);
    let mut padded = pad_channels_last(isa, x, shape.batch, channels, shape.input, shape.padding(), padded, channels);
    let input = padded.data.shared();
    let runs = Runs { count: [kernel, kernel], length: kernel * channels, slice: padded.slice, row: padded.row };
    let [depth, height, width] = output;
    let plane = depth * height * width;
    let rows = task_rows(width, height);
    let tasks = height.div_ceil(rows);
    let out = Shared::new(out);
    (0..shape.batch * depth * tasks).into_par_iter().for_each(|job| {
        let (n, z, y) = (job / (depth * tasks), job / tasks % depth, job % tasks * rows);
        let rows = rows.min(height - y);
        let mut scratch = Scratch::take(rows * width * wide);
        let sums = scratch.shared();
        let first = n * padded.sample + z * stride * padded.slice + y * stride * padded.row;
        // SAFETY: the padded copy reaches all taps of all positions, and each task writes its own rows of the result.
        unsafe {
            isa.run(Task {
                classes: [Rows {
                    runs,
                    input: input.at(first),
                    step_x: stride * channels,
                    step_row: stride * padded.row,
                    weights: weights.at(0),
                    vectors: wide / isa.width(),
                    rows,
                    width,
                    sums: sums.at(0),
                    sums_x: wide,
                    sums_row: width * wide,
                }],
                rows,
                width,
                channels: shape.channels_out,
                sums: sums.at(0),
                wide,
                out: out.at(n * shape.channels_out * plane + (z * height + y) * width),
                out_row: width,
                plane,
            });
        }
    });
}

/// Gradient with respect to the input for stride 1: the convolution of the output's gradient with the weights reversed, input and
/// output channels exchanged.
pub(super) fn backward_input_stride_1(isa: Isa, shape: &Conv3dShape, weight: &[f32], grad_out: &[f32], grad_in: &mut [f32]) {
    let (channels_in, channels_out, taps) = (shape.channels_in, shape.channels_out, shape.taps());
    let mut reversed = Scratch::take(shape.weight_len());
    reversed.values_mut().par_chunks_exact_mut(channels_out * taps).enumerate().for_each(|(channel, rows)| {
        for (other, row) in rows.chunks_exact_mut(taps).enumerate() {
            let from = &weight[(other * channels_in + channel) * taps..][..taps];
            row.iter_mut().zip(from.iter().rev()).for_each(|(to, from)| *to = *from);
        }
    });
    let adjoint = Conv3dShape { channels_in: channels_out, channels_out: channels_in, ..*shape };
    forward(isa, &adjoint, grad_out, reversed.values(), grad_in);
}

/// Kernel taps that reach voxels of this parity, in the order of the output positions they come from: voxel 2 j takes
/// tap 1 of position j, voxel 2 j + 1 takes tap 2 of position j and tap 0 of position j + 1.
const PARITY_TAPS: [&[usize]; 2] = [&[1], &[2, 0]];

/// Gradient with respect to the input for stride 2.
pub(super) fn backward_input_stride_2(isa: Isa, shape: &Conv3dShape, weight: &[f32], grad_out: &[f32], grad_in: &mut [f32]) {
    let (channels, output) = (shape.channels_out, shape.output());
    let wide = round_up(shape.channels_in, isa.width());
    let mut orders = Vec::with_capacity(8);
    for class in 0..8 {
        let mut order = Vec::new();
        for z in PARITY_TAPS[class >> 2] {
            for y in PARITY_TAPS[class >> 1 & 1] {
                order.extend(PARITY_TAPS[class & 1].iter().map(|x| (z * 3 + y) * 3 + x));
            }
        }
        orders.push(order);
    }
    let mut weights = pack(isa, weight, shape, true, &orders);
    let weights = weights.shared();
    let offsets: Vec<usize> = (0..8).map(|class| orders[..class].iter().map(Vec::len).sum::<usize>() * channels * wide).collect();
    let mut padded = pad_channels_last(isa, grad_out, shape.batch, channels, output, 0, output.map(|n| n + 1), channels);
    let input = padded.data.shared();
    let [depth, height, width] = shape.input;
    let plane = depth * height * width;
    // Rows of one parity along y go together, as they share the weights.
    let rows = task_rows(width, height.div_ceil(2));
    let tasks = height.div_ceil(2).div_ceil(rows);
    let out = Shared::new(grad_in);
    (0..shape.batch * depth * 2 * tasks).into_par_iter().for_each(|job| {
        let (n, z) = (job / (depth * 2 * tasks), job / (2 * tasks) % depth);
        let (parity_y, task) = (job / tasks % 2, job % tasks);
        let here = (height + 1 - parity_y) / 2;
        let first_row = task * rows;
        if first_row >= here {
            return;
        }
        let rows = rows.min(here - first_row);
        let mut scratch = Scratch::take(rows * width * wide);
        let sums = scratch.shared();
        let first = n * padded.sample + z / 2 * padded.slice + first_row * padded.row;
        let class = |parity_x: usize| {
            let class = z % 2 * 4 + parity_y * 2 + parity_x;
            Rows {
                runs: Runs {
                    count: [1 + z % 2, 1 + parity_y],
                    length: (1 + parity_x) * channels,
                    slice: padded.slice,
                    row: padded.row,
                },
                input: input.at(first),
                step_x: channels,
                step_row: padded.row,
                weights: weights.at(offsets[class]),
                vectors: wide / isa.width(),
                rows,
                width: (width + 1 - parity_x) / 2,
                sums: sums.at(parity_x * wide),
                sums_x: 2 * wide,
                sums_row: width * wide,
            }
        };
        // SAFETY: the padded copy has one zero position behind the last along every axis, which is as far as the taps
        // reach; each task writes its own rows of the result.
        unsafe {
            isa.run(Task {
                classes: [class(0), class(1)],
                rows,
                width,
                channels: shape.channels_in,
                sums: sums.at(0),
                wide,
                out: out.at(n * shape.channels_in * plane + (z * height + 2 * first_row + parity_y) * width),
                out_row: 2 * width,
                plane,
            });
        }
    });
}

/// Part of the weight gradient: some taps, summed over some rows of positions.
struct GradientRows {
    /// Rows of the gradient matrix.
    run: usize,
    /// First value of the run at the first position of the first row, and the distances.
    x: *const f32,
    step_run: usize,
    step_x: usize,
    step_row: usize,
    g: *const f32,
    wide: usize,
    rows: usize,
    width: usize,
    /// `[run][wide]`
    sums: *mut f32,
    accumulate: bool,
}

impl Kernel for GradientRows {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `weight_gradient` gives every task its own sums and rows inside both tensors.
        unsafe {
            product::<S>(&Product {
                rows: self.run,
                depth: self.width,
                segments: self.rows,
                vectors: self.wide / S::WIDTH,
                a: self.x,
                a_row: self.step_run,
                a_depth: self.step_x,
                a_segment: self.step_row,
                b: self.g,
                layout: Layout::Matrix { depth: self.wide, segment: self.width * self.wide },
                c: self.sums,
                c_row: self.wide,
                accumulate: self.accumulate,
            });
        }
    }
}

/// Sums the partial gradients of one input channel to `[taps][wide]`.
struct Reduce {
    /// `[chunk][taps][channels][wide]`, or with the taps inside the channels where they were `gathered`.
    sums: *const f32,
    gathered: bool,
    chunks: usize,
    channel: usize,
    channels: usize,
    wide: usize,
    count: usize,
    taps: *mut f32,
}

impl Kernel for Reduce {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let chunk = self.count * self.channels * self.wide;
        for tap in 0..self.count {
            let mut c = 0;
            while c < self.wide {
                let row = if self.gathered { self.channel * self.count + tap } else { tap * self.channels + self.channel };
                let from = self.sums.wrapping_add(row * self.wide + c);
                // SAFETY: `weight_gradient` sized both ends.
                unsafe {
                    let mut sum = S::load(from);
                    for index in 1..self.chunks {
                        sum = S::add(sum, S::load(from.wrapping_add(index * chunk)));
                    }
                    S::store(self.taps.wrapping_add(tap * self.wide + c), sum);
                }
                c += S::WIDTH;
            }
        }
    }
}

/// Gradient of the weights. The partial sums and their order depend on the shape alone.
pub(super) fn weight_gradient(isa: Isa, shape: &Conv3dShape, x: &[f32], grad_out: &[f32], grad_weight: &mut [f32]) {
    let (channels, kernel, stride, output) = (shape.channels_in, shape.kernel, shape.stride, shape.output());
    let taps_count = shape.taps();
    let wide = round_up(shape.channels_out, isa.width());
    let gathered = kernel * channels < SHORT_RUN;
    let mut padded = if gathered {
        patches::pad(isa, shape, x)
    } else {
        pad_channels_last(isa, x, shape.batch, channels, shape.input, shape.padding(), padded_size(shape), channels)
    };
    let mut gradient = pad_channels_last(isa, grad_out, shape.batch, shape.channels_out, output, 0, output, wide);
    let (input, g) = (padded.data.shared(), gradient.data.shared());
    let [depth, height, width] = output;
    // A row here is one (sample, z, y); a chunk is a fixed number of them.
    let rows = shape.batch * depth * height;
    let chunk = rows.div_ceil(MAX_CHUNKS).max(CHUNK_POSITIONS.div_ceil(width)).min(rows);
    let chunks = rows.div_ceil(chunk);
    let parts = if gathered { 1 } else { kernel * kernel };
    let part_run = taps_count * channels / parts;
    let mut sums = Scratch::take(chunks * taps_count * channels * wide);
    let sums_at = sums.shared();
    (0..chunks * parts).into_par_iter().for_each(|job| {
        let (index, part) = (job / parts, job % parts);
        let end = ((index + 1) * chunk).min(rows);
        let at_once = (64 / width).max(1);
        let line = round_up(at_once * width, isa.width());
        let mut scratch = Scratch::take(if gathered { line * part_run } else { 0 });
        let patches = scratch.shared().at(0);
        let mut row = index * chunk;
        let first_row = row;
        while row < end {
            let (n, z, y) = (row / (depth * height), row / height % depth, row % height);
            let count = at_once.min(end - row).min(height - y);
            let inside = z * stride * padded.slice + y * stride * padded.row;
            // SAFETY: the padded copy reaches all taps; every job has its own sums and patches.
            unsafe {
                let (x, step_run, step_x, step_row) = if gathered {
                    isa.run(patches::Gather {
                        channels,
                        kernel,
                        stride,
                        input: input.at(n * channels * padded.sample + inside),
                        sample: padded.sample,
                        slice: padded.slice,
                        row: padded.row,
                        rows: count,
                        width,
                        patches,
                        line,
                    });
                    (patches.cast_const(), line, 1, width)
                } else {
                    let start = n * padded.sample + inside + part / kernel * padded.slice + part % kernel * padded.row;
                    (input.at(start).cast_const(), 1, stride * channels, stride * padded.row)
                };
                isa.run(GradientRows {
                    run: part_run,
                    x,
                    step_run,
                    step_x,
                    step_row,
                    g: g.at(row * width * wide),
                    wide,
                    rows: count,
                    width,
                    sums: sums_at.at((index * taps_count * channels + part * part_run) * wide),
                    accumulate: row > first_row,
                });
            }
            row += count;
        }
    });
    let out = Shared::new(grad_weight);
    (0..channels).into_par_iter().for_each(|channel| {
        let mut taps = Scratch::take(taps_count * wide);
        let staged = taps.shared().at(0);
        // SAFETY: the jobs above are done; each task writes its own input channel's taps of every output channel.
        unsafe {
            isa.run(Reduce { sums: sums_at.at(0), gathered, chunks, channel, channels, wide, count: taps_count, taps: staged });
            isa.run(Transposed {
                rows: taps_count,
                columns: shape.channels_out,
                src: staged,
                src_stride: wide,
                dst: out.at(channel * taps_count),
                dst_stride: channels * taps_count,
            });
        }
    });
}

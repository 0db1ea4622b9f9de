//! 3 x 3 x 3 and 5 x 5 x 5 convolution of a few channels, such as the tomogram itself: the taps of some rows of positions are gathered
//! into a small matrix with the positions side by side, which the weights multiply as they are.

use super::Conv3dShape;
use super::buffer::{Scratch, Shared};
use super::direct::{padded_size, task_rows};
use super::gemm::{Layout, Product, product};
use super::layout::{ChannelsLast, pad_channels_last};
use super::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// The input with its zeros around, still one channel after the other (a "sample" of the copy is one channel). For stride 2 each
/// row holds its even values first and then its odd ones, so that a tap's values of neighbouring positions are neighbours too
/// (kernel 3 alone comes at stride 2).
pub(super) fn pad(isa: Isa, shape: &Conv3dShape, x: &[f32]) -> ChannelsLast {
    let volumes = shape.batch * shape.channels_in;
    if shape.stride == 1 {
        return pad_channels_last(isa, x, volumes, 1, shape.input, shape.padding(), padded_size(shape), 1);
    }
    let [depth, height, width] = shape.input;
    let [slices, rows, row] = padded_size(shape);
    let (slice, sample) = (rows * row, slices * rows * row);
    // A vector load of the last position may reach past it by less than one line.
    let mut data = Scratch::take(volumes * sample + 16);
    data.values_mut()[..volumes * sample].par_chunks_exact_mut(slice).enumerate().for_each(|(index, to)| {
        let (volume, z) = (index / slices, index % slices);
        if z == 0 || z > depth {
            return to.fill(0.0);
        }
        for (y, to) in to.chunks_exact_mut(row).enumerate() {
            if y == 0 || y > height {
                to.fill(0.0);
                continue;
            }
            // The row is a zero, the values, and zeros: its even values are the first zero and every second value from 1 on.
            let from = &x[((volume * depth + z - 1) * height + y - 1) * width..][..width];
            let (even, odd) = to.split_at_mut(row.div_ceil(2));
            even[0] = 0.0;
            for ((even, odd), pair) in even[1..].iter_mut().zip(odd.iter_mut()).zip(from.chunks_exact(2)) {
                (*odd, *even) = (pair[0], pair[1]);
            }
            even[1 + width / 2..].fill(0.0);
            odd[width / 2..].fill(0.0);
            if width % 2 == 1 {
                odd[width / 2] = from[width - 1];
            }
        }
    });
    ChannelsLast { data, channels: 1, row, slice, sample }
}

/// Gathers `[channels * taps][positions]` with `line` floats per tap.
pub(super) struct Gather {
    pub channels: usize,
    pub kernel: usize,
    pub stride: usize,
    /// First tap of the first position in the first channel, and the distances.
    pub input: *const f32,
    pub sample: usize,
    pub slice: usize,
    pub row: usize,
    pub rows: usize,
    pub width: usize,
    pub patches: *mut f32,
    pub line: usize,
}

impl Kernel for Gather {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let positions = self.rows * self.width;
        let (edge, taps) = (self.kernel, self.kernel.pow(3));
        for channel in 0..self.channels {
            for tap in 0..taps {
                let (z, y, x) = (tap / (edge * edge), tap / edge % edge, tap % edge);
                // See `pad` for the order of a row.
                let along_x = if self.stride == 2 { x / 2 + x % 2 * self.row.div_ceil(2) } else { x };
                let offset = channel * self.sample + z * self.slice + y * self.row + along_x;
                let line = self.patches.wrapping_add((channel * taps + tap) * self.line);
                // SAFETY: the creator sized both ends.
                unsafe {
                    for y in 0..self.rows {
                        let from = self.input.wrapping_add(offset + y * self.stride * self.row);
                        let to = line.wrapping_add(y * self.width);
                        // Rows are too short for a call of the system's copy.
                        let mut done = 0;
                        while done + S::WIDTH <= self.width {
                            S::store(to.wrapping_add(done), S::load(from.wrapping_add(done)));
                            done += S::WIDTH;
                        }
                        for i in done..self.width {
                            *to.wrapping_add(i) = *from.wrapping_add(i);
                        }
                    }
                    line.wrapping_add(positions).write_bytes(0, self.line - positions);
                }
            }
        }
    }
}

/// Some rows of outputs: gather, multiply, and copy where the rows do not fill whole vectors.
struct Task {
    gather: Gather,
    weights: *const f32,
    channels_out: usize,
    /// `[channels_out][line]`, used where `line` is longer than the rows.
    sums: *mut f32,
    out: *mut f32,
    plane: usize,
}

impl Kernel for Task {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Gather { channels, kernel, patches, line, rows, width, .. } = self.gather;
        let depth = channels * kernel.pow(3);
        let whole = line == rows * width;
        let (c, c_row) = if whole { (self.out, self.plane) } else { (self.sums, line) };
        // SAFETY: `forward` sized the scratch and gives every task its own rows of the output.
        unsafe {
            self.gather.run::<S>();
            product::<S>(&Product {
                rows: self.channels_out,
                depth,
                segments: 1,
                vectors: line / S::WIDTH,
                a: self.weights,
                a_row: depth,
                a_depth: 1,
                a_segment: 0,
                b: patches,
                layout: Layout::Matrix { depth: line, segment: 0 },
                c,
                c_row,
                accumulate: false,
            });
            if !whole {
                for channel in 0..self.channels_out {
                    let from = self.sums.wrapping_add(channel * line);
                    self.out.wrapping_add(channel * self.plane).copy_from_nonoverlapping(from, rows * width);
                }
            }
        }
    }
}

/// The convolution, at any stride.
pub(super) fn forward(isa: Isa, shape: &Conv3dShape, x: &[f32], weight: &[f32], out: &mut [f32]) {
    let (channels, channels_out, stride) = (shape.channels_in, shape.channels_out, shape.stride);
    let depth_of_sum = channels * shape.taps();
    let mut padded = pad(isa, shape, x);
    let input = padded.data.shared();
    let [depth, height, width] = shape.output();
    let plane = depth * height * width;
    let rows = task_rows(width, height);
    let tasks = height.div_ceil(rows);
    let (weights, out) = (Shared::read_only(weight), Shared::new(out));
    (0..shape.batch * depth * tasks).into_par_iter().for_each(|job| {
        let (n, z, y) = (job / (depth * tasks), job / tasks % depth, job % tasks * rows);
        let rows = rows.min(height - y);
        let line = (rows * width).div_ceil(isa.width()) * isa.width();
        let mut scratch = Scratch::take((depth_of_sum + channels_out) * line);
        let scratch = scratch.shared();
        let first = n * channels * padded.sample + z * stride * padded.slice + y * stride * padded.row;
        // SAFETY: the padded copy reaches all taps of all positions; each task writes its own rows of the result.
        unsafe {
            isa.run(Task {
                gather: Gather {
                    channels,
                    kernel: shape.kernel,
                    stride,
                    input: input.at(first),
                    sample: padded.sample,
                    slice: padded.slice,
                    row: padded.row,
                    rows,
                    width,
                    patches: scratch.at(0),
                    line,
                },
                weights: weights.at(0),
                channels_out,
                sums: scratch.at(depth_of_sum * line),
                out: out.at(n * channels_out * plane + (z * height + y) * width),
                plane,
            });
        }
    });
}

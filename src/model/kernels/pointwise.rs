//! 1 x 1 x 1 convolution: a matrix product of the weights with the channels of every voxel, read in place from NCDHW
//! with vectors along the voxels. With stride 2 the used voxels are gathered first; they are an eighth of the input.

use super::Conv3dShape;
use super::buffer::{Scratch, Shared};
use super::gemm::{Layout, Product, product};
use super::layout::transpose;
use super::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Voxels in one task.
const TASK_VOXELS: usize = 768;
/// Voxels transposed at a time for the weight gradient, fewest in one partial sum, most partial sums.
const GRADIENT_VOXELS: usize = 192;
const CHUNK_VOXELS: usize = 2048;
const MAX_CHUNKS: usize = 32;

/// out[row][voxel] = sum over k of weights[row, k] * x[k][voxel] (+ bias[row]) for some voxels of one sample.
struct Multiply<'a> {
    rows: usize,
    depth: usize,
    weights: *const f32,
    weights_row: usize,
    weights_depth: usize,
    bias: Option<&'a [f32]>,
    x: *const f32,
    out: *mut f32,
    /// Voxels of the sample: distance between channels at both ends.
    plane: usize,
    first: usize,
    count: usize,
}

impl Kernel for Multiply<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let vectors = self.count / S::WIDTH;
        let whole = vectors * S::WIDTH;
        // SAFETY: `multiply` splits the voxels, so every task writes its own; all addresses lie in the two tensors.
        unsafe {
            if vectors > 0 {
                self.part::<S>(self.first, vectors);
            }
            if whole < self.count {
                if self.count >= S::WIDTH {
                    // The last vector overlaps the one before it, inside this task.
                    self.part::<S>(self.first + self.count - S::WIDTH, 1);
                } else {
                    for row in 0..self.rows {
                        for voxel in self.first..self.first + self.count {
                            let mut sum = self.bias.map_or(0.0, |bias| bias[row]);
                            for k in 0..self.depth {
                                let weight = *self.weights.wrapping_add(row * self.weights_row + k * self.weights_depth);
                                sum += weight * *self.x.wrapping_add(k * self.plane + voxel);
                            }
                            *self.out.wrapping_add(row * self.plane + voxel) = sum;
                        }
                    }
                }
            }
        }
    }
}

impl Multiply<'_> {
    /// # Safety
    /// `vectors` vectors from `voxel` belong to the task.
    #[inline(always)]
    unsafe fn part<S: Simd>(&self, voxel: usize, vectors: usize) {
        let out = self.out.wrapping_add(voxel);
        // SAFETY: the caller's contract.
        unsafe {
            if let Some(bias) = self.bias {
                for (row, &value) in bias.iter().enumerate() {
                    for v in 0..vectors {
                        S::store(out.wrapping_add(row * self.plane + v * S::WIDTH), S::splat(value));
                    }
                }
            }
            product::<S>(&Product {
                rows: self.rows,
                depth: self.depth,
                segments: 1,
                vectors,
                a: self.weights,
                a_row: self.weights_row,
                a_depth: self.weights_depth,
                a_segment: 0,
                b: self.x.wrapping_add(voxel),
                layout: Layout::Matrix { depth: self.plane, segment: 0 },
                c: out,
                c_row: self.plane,
                accumulate: self.bias.is_some(),
            });
        }
    }
}

/// Multiplies the channels of every voxel by the weights (`adjoint`: by their transpose).
#[allow(clippy::too_many_arguments)]
pub(super) fn multiply(
    isa: Isa,
    shape: &Conv3dShape,
    adjoint: bool,
    plane: usize,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let (channels_in, channels_out) = (shape.channels_in, shape.channels_out);
    let (rows, depth) = if adjoint { (channels_in, channels_out) } else { (channels_out, channels_in) };
    let (weights_row, weights_depth) = if adjoint { (1, channels_in) } else { (channels_in, 1) };
    let tasks = (plane / TASK_VOXELS).max(1);
    let (x, weight, out) = (Shared::read_only(x), Shared::read_only(weight), Shared::new(out));
    (0..shape.batch * tasks).into_par_iter().for_each(|job| {
        let (n, task) = (job / tasks, job % tasks);
        let first = task * TASK_VOXELS;
        let count = if task + 1 == tasks { plane - first } else { TASK_VOXELS };
        // SAFETY: the tensors hold `plane` voxels of every channel; tasks are disjoint in voxels.
        unsafe {
            isa.run(Multiply {
                rows,
                depth,
                weights: weight.at(0),
                weights_row,
                weights_depth,
                bias,
                x: x.at(n * depth * plane),
                out: out.at(n * rows * plane),
                plane,
                first,
                count,
            });
        }
    });
}

/// The voxels that a strided convolution reads, as a compact tensor.
fn gather(shape: &Conv3dShape, x: &[f32], compact: &mut [f32]) {
    let ([_, height, width], output) = (shape.input, shape.output());
    let source = shape.input.iter().product::<usize>();
    let rows = x.par_chunks_exact(source).zip(compact.par_chunks_exact_mut(output.iter().product()));
    rows.for_each(|(from, to)| {
        for (row, line) in to.chunks_exact_mut(output[2]).enumerate() {
            let (z, y) = (row / output[1] * shape.stride, row % output[1] * shape.stride);
            let line_from = &from[(z * height + y) * width..][..width];
            for (value, &read) in line.iter_mut().zip(line_from.iter().step_by(shape.stride)) {
                *value = read;
            }
        }
    });
}

/// The reverse of [`gather`]: everything else is zero.
fn scatter(shape: &Conv3dShape, compact: &[f32], x: &mut [f32]) {
    let ([_, height, width], output) = (shape.input, shape.output());
    let target = shape.input.iter().product::<usize>();
    let rows = x.par_chunks_exact_mut(target).zip(compact.par_chunks_exact(output.iter().product()));
    rows.for_each(|(to, from)| {
        to.fill(0.0);
        for (row, line) in from.chunks_exact(output[2]).enumerate() {
            let (z, y) = (row / output[1] * shape.stride, row % output[1] * shape.stride);
            let line_to = &mut to[(z * height + y) * width..][..width];
            for (value, &read) in line_to.iter_mut().step_by(shape.stride).zip(line) {
                *value = read;
            }
        }
    });
}

/// The convolution, with an optional bias per output channel.
pub(super) fn forward(isa: Isa, shape: &Conv3dShape, x: &[f32], weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    let plane = shape.output().iter().product();
    if shape.stride == 1 {
        multiply(isa, shape, false, plane, x, weight, bias, out);
    } else {
        let mut compact = Scratch::take(shape.batch * shape.channels_in * plane);
        gather(shape, x, compact.values_mut());
        multiply(isa, shape, false, plane, compact.values(), weight, bias, out);
    }
}

/// Gradient with respect to the input.
pub(super) fn backward_input(isa: Isa, shape: &Conv3dShape, weight: &[f32], grad_out: &[f32], grad_in: &mut [f32]) {
    let plane = shape.output().iter().product();
    if shape.stride == 1 {
        multiply(isa, shape, true, plane, grad_out, weight, None, grad_in);
    } else {
        let mut compact = Scratch::take(shape.batch * shape.channels_in * plane);
        multiply(isa, shape, true, plane, grad_out, weight, None, compact.values_mut());
        scatter(shape, compact.values(), grad_in);
    }
}

/// Part of the weight gradient `[channels_in][wide]`, summed over some voxels of one sample.
struct GradientPart {
    channels_in: usize,
    channels_out: usize,
    wide: usize,
    plane: usize,
    x: *const f32,
    g: *const f32,
    count: usize,
    transposed: *mut f32,
    sums: *mut f32,
    accumulate: bool,
}

impl Kernel for GradientPart {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `weight_gradient` sized the scratch and gave every task its own sums.
        unsafe {
            transpose::<S>(self.channels_out, self.count, self.g, self.plane, self.transposed, self.wide);
            product::<S>(&Product {
                rows: self.channels_in,
                depth: self.count,
                segments: 1,
                vectors: self.wide / S::WIDTH,
                a: self.x,
                a_row: self.plane,
                a_depth: 1,
                a_segment: 0,
                b: self.transposed,
                layout: Layout::Matrix { depth: self.wide, segment: 0 },
                c: self.sums,
                c_row: self.wide,
                accumulate: self.accumulate,
            });
        }
    }
}

/// Gradient of the weights. The partial sums and their order depend on the shape alone.
pub(super) fn weight_gradient(isa: Isa, shape: &Conv3dShape, x: &[f32], grad_out: &[f32], grad_weight: &mut [f32]) {
    let plane = shape.output().iter().product();
    if shape.stride == 1 {
        return dense_weight_gradient(isa, shape, plane, x, grad_out, grad_weight);
    }
    let mut compact = Scratch::take(shape.batch * shape.channels_in * plane);
    gather(shape, x, compact.values_mut());
    dense_weight_gradient(isa, shape, plane, compact.values(), grad_out, grad_weight);
}

/// The same for stride 1, over `plane` voxels a channel.
pub(super) fn dense_weight_gradient(
    isa: Isa,
    shape: &Conv3dShape,
    plane: usize,
    x: &[f32],
    grad_out: &[f32],
    grad_weight: &mut [f32],
) {
    let (channels_in, channels_out) = (shape.channels_in, shape.channels_out);
    let wide = channels_out.div_ceil(isa.width()) * isa.width();
    let chunk = (shape.batch * plane).div_ceil(MAX_CHUNKS).max(CHUNK_VOXELS).min(plane);
    let per_sample = plane.div_ceil(chunk);
    let elements = channels_in * wide;
    let mut sums = Scratch::take(shape.batch * per_sample * elements);
    let sums_at = sums.shared();
    let (x, g) = (Shared::read_only(x), Shared::read_only(grad_out));
    (0..shape.batch * per_sample).into_par_iter().for_each(|job| {
        let (n, start) = (job / per_sample, job % per_sample * chunk);
        let end = (start + chunk).min(plane);
        let mut transposed = Scratch::take(GRADIENT_VOXELS * wide);
        // Lanes beyond the channels are summed as well, and dropped at the end.
        transposed.fill_zero();
        let mut voxel = start;
        while voxel < end {
            let count = GRADIENT_VOXELS.min(end - voxel);
            // SAFETY: the voxels lie inside both tensors; every job has its own sums.
            unsafe {
                isa.run(GradientPart {
                    channels_in,
                    channels_out,
                    wide,
                    plane,
                    x: x.at(n * channels_in * plane + voxel),
                    g: g.at(n * channels_out * plane + voxel),
                    count,
                    transposed: transposed.shared().at(0),
                    sums: sums_at.at(job * elements),
                    accumulate: voxel > start,
                });
            }
            voxel += count;
        }
    });
    let sums = sums.values();
    for (o, row) in grad_weight.chunks_exact_mut(channels_in).enumerate() {
        for (i, value) in row.iter_mut().enumerate() {
            *value = sums.iter().skip(i * wide + o).step_by(elements).sum();
        }
    }
}

//! 2 x 2 x 2 convolution with stride 2: once the eight voxels under a kernel lie in channels, a matrix product of every position's
//! channels with the weights, which are in that order already. The gradient of the input is the transposed convolution.

use super::Conv3dShape;
use super::buffer::Scratch;
use super::pointwise::{dense_weight_gradient, multiply};
use super::simd::Isa;
use rayon::prelude::*;

/// Voxels under a kernel.
const TAPS: usize = 8;

/// The product that the convolution becomes.
fn product(shape: &Conv3dShape) -> Conv3dShape {
    Conv3dShape { channels_in: TAPS * shape.channels_in, input: shape.output(), kernel: 1, stride: 1, ..*shape }
}

/// Places of a tap's values in a volume: first voxel of each row, in the order of the output's rows.
fn rows(shape: &Conv3dShape, tap: usize) -> impl Iterator<Item = usize> + use<> {
    let ([_, height, width], [depth, rows, _]) = (shape.input, shape.output());
    let (z, y, x) = (tap / 4, tap / 2 % 2, tap % 2);
    (0..depth * rows).map(move |row| ((2 * (row / rows) + z) * height + 2 * (row % rows) + y) * width + x)
}

/// `[volume][z][y][x]` as `[volume][tap][z/2][y/2][x/2]`.
fn gather(shape: &Conv3dShape, x: &[f32]) -> Scratch {
    let (source, output) = (shape.input.iter().product::<usize>(), shape.output());
    let plane = output.iter().product::<usize>();
    let mut compact = Scratch::take(shape.batch * shape.channels_in * TAPS * plane);
    compact.values_mut().par_chunks_exact_mut(plane).enumerate().for_each(|(index, to)| {
        let from = &x[index / TAPS * source..][..source];
        for (line, start) in to.chunks_exact_mut(output[2]).zip(rows(shape, index % TAPS)) {
            line.iter_mut().zip(from[start..].iter().step_by(2)).for_each(|(to, from)| *to = *from);
        }
    });
    compact
}

/// The reverse of [`gather`]; what no kernel covers, the last voxels of an odd edge, is zero.
fn scatter(shape: &Conv3dShape, compact: &[f32], x: &mut [f32]) {
    let (target, output) = (shape.input.iter().product::<usize>(), shape.output());
    let plane = output.iter().product::<usize>();
    let is_even = shape.input.iter().all(|n| n.is_multiple_of(2));
    x.par_chunks_exact_mut(target).zip(compact.par_chunks_exact(TAPS * plane)).for_each(|(to, from)| {
        if !is_even {
            to.fill(0.0);
        }
        for (tap, from) in from.chunks_exact(plane).enumerate() {
            for (line, start) in from.chunks_exact(output[2]).zip(rows(shape, tap)) {
                to[start..].iter_mut().step_by(2).zip(line).for_each(|(to, from)| *to = *from);
            }
        }
    });
}

/// The convolution.
pub(super) fn forward(isa: Isa, shape: &Conv3dShape, x: &[f32], weight: &[f32], out: &mut [f32]) {
    let product = product(shape);
    let plane = product.input.iter().product();
    multiply(isa, &product, false, plane, gather(shape, x).values(), weight, None, out);
}

/// Gradient with respect to the input.
pub(super) fn backward_input(isa: Isa, shape: &Conv3dShape, weight: &[f32], grad_out: &[f32], grad_in: &mut [f32]) {
    let product = product(shape);
    let plane: usize = product.input.iter().product();
    let mut compact = Scratch::take(shape.batch * product.channels_in * plane);
    multiply(isa, &product, true, plane, grad_out, weight, None, compact.values_mut());
    scatter(shape, compact.values(), grad_in);
}

/// Gradient of the weights.
pub(super) fn weight_gradient(isa: Isa, shape: &Conv3dShape, x: &[f32], grad_out: &[f32], grad_weight: &mut [f32]) {
    let product = product(shape);
    let plane = product.input.iter().product();
    dense_weight_gradient(isa, &product, plane, gather(shape, x).values(), grad_out, grad_weight);
}

//! Convolutions on a GPU as products of matrices, with their gradients.
//!
//! The library's convolutions multiply matrices only in half precision where the driver has matrix units for it; in single precision
//! they sum directly, and a weight's gradient becomes a convolution whose kernel is as large as the volume, which leaves a GPU idle.
//! Here each position's neighbourhood becomes a row of a matrix (im2col), and the product of matrices does the rest.

use burn::tensor::{DType, Tensor};
use burn_cubecl::tensor::CubeTensor;

use super::kernels::columns as kernels;
use super::product::{plain, product};
use super::{channels_last, channels_second, elem_type, empty, grid, tensor, vector_size};

/// Values of a matrix of neighbourhoods that are made at once, 256 MiB of them: larger ones come in parts.
const LARGEST_MATRIX: usize = 1 << 26;
/// Positions in each of the partial sums of a weight's gradient.
const POSITIONS_PER_SUM: usize = 1024;
/// Fewer positions than these are not worth a sum of their own.
const LEAST_POSITIONS: usize = 64;

/// Where the rows of a matrix of neighbourhoods come from: along each axis, tap `t` of output `o` reads input
/// `(by o + sign t + shift) / of`, and 0 where that is no whole number or lies outside.
#[derive(Clone, Copy, Debug)]
struct Rule {
    by: usize,
    /// Whether taps count down.
    down: bool,
    shift: usize,
    of: usize,
}

/// The convolution without bias of `x [n, in, z, y, x]` by `weight [out, in, k, k, k]`, padded by `(k - 1) / 2`: `[n, out, ...]`.
pub(super) fn forward(x: CubeTensor, weight: CubeTensor, stride: usize) -> CubeTensor {
    let (x, weight) = (channels_last(x), channels_last(weight));
    let (size, kernel, channels_out) = (sizes(&x), weight.meta.shape()[1], weight.meta.shape()[0]);
    let out_size = size.map(|n| (n + 2 * padding(kernel) - kernel) / stride + 1);
    let rule = Rule { by: stride, down: false, shift: padding(kernel), of: 1 };
    let width = kernel.pow(3) * channels(&x);
    let by = tensor::<5>(weight).reshape([channels_out, width]).transpose();
    let rows = products(&x, out_size, kernel, rule, &by);
    volume(rows, &x, out_size, channels_out)
}

/// The gradient of [`forward`]'s `x`, whose size along `(z, y, x)` is `size`, from that of its result.
pub(super) fn input_gradient(gradient: CubeTensor, weight: CubeTensor, stride: usize, size: [usize; 3]) -> CubeTensor {
    let (gradient, weight) = (channels_last(gradient), channels_last(weight));
    let [channels_out, kernel, _, _, channels_in] = dims(&weight);
    let rule = Rule { by: 1, down: true, shift: padding(kernel), of: stride };
    let taps = kernel.pow(3);
    let by: Tensor<3> = tensor::<5>(weight).reshape([channels_out, taps, channels_in]);
    let by = by.swap_dims(0, 1).reshape([taps * channels_out, channels_in]);
    let rows = products(&gradient, size, kernel, rule, &by);
    volume(rows, &gradient, size, channels_in)
}

/// The gradient of [`forward`]'s weight, with edge `kernel`, from that of its result.
pub(super) fn weight_gradient(x: CubeTensor, gradient: CubeTensor, stride: usize, kernel: usize) -> CubeTensor {
    let (x, gradient) = (channels_last(x), channels_last(gradient));
    let (size, channels_out) = (sizes(&gradient), channels(&gradient));
    let (width, rows) = (kernel.pow(3) * channels(&x), x.meta.shape()[0] * size.iter().product::<usize>());
    let rule = Rule { by: stride, down: false, shift: padding(kernel), of: 1 };
    let slopes = tensor::<5>(gradient).reshape([rows, channels_out]);
    let mut sum: Option<Tensor<2>> = None;
    for (first, count) in parts(&x, rows, width) {
        let columns = tensor::<2>(columns(&x, size, kernel, rule, first, count));
        // A sum over all positions would occupy few units: partial ones run side by side.
        let sums = partial_sums(count);
        let slopes = slopes.clone().narrow(0, first, count).reshape([sums, count / sums, channels_out]);
        let product = product(slopes.swap_dims(1, 2), columns.reshape([sums, count / sums, width]));
        let product = product.sum_dim(0).reshape([channels_out, width]);
        sum = Some(match sum {
            Some(sum) => sum + product,
            None => product,
        });
    }
    let sum = sum.expect("a volume has a position at least").reshape([channels_out, kernel, kernel, kernel, channels(&x)]);
    channels_second(plain(sum))
}

/// How many partial sums `count` positions are divided into; divides `count`.
fn partial_sums(count: usize) -> usize {
    let each = (1 << count.trailing_zeros()).min(POSITIONS_PER_SUM);
    if each < LEAST_POSITIONS { 1 } else { count / each }
}

/// The rows of neighbourhoods at each position of `size`, times `by [taps channels, out]`.
fn products(x: &CubeTensor, size: [usize; 3], kernel: usize, rule: Rule, by: &Tensor<2>) -> Tensor<2> {
    let rows = x.meta.shape()[0] * size.iter().product::<usize>();
    let is_matrix = kernel == 1 && rule.by == 1 && rule.of == 1;
    if is_matrix {
        return product(tensor::<5>(x.clone()).reshape([rows, channels(x)]), by.clone());
    }
    let made = parts(x, rows, by.dims()[0])
        .map(|(first, count)| summed_in_parts(tensor::<2>(columns(x, size, kernel, rule, first, count)), by.clone(), kernel))
        .collect::<Vec<_>>();
    Tensor::cat(made, 0)
}

/// Rows and columns of a product that one cube of the kernel takes.
const BLOCK: usize = 128;
/// Cubes that occupy a large GPU.
const MANY_CUBES: usize = 128;

/// The product of a matrix of neighbourhoods `[rows, taps channels]` and `by`. Few rows would leave most of a GPU idle while one cube
/// passes along a long row: then parts of the row, some taps each, are multiplied side by side and their products added. In half
/// precision, whose rounding that would multiply, and whose windows are large, rows stay whole.
fn summed_in_parts(rows: Tensor<2>, by: Tensor<2>, kernel: usize) -> Tensor<2> {
    let [count, width] = rows.dims();
    let columns = by.dims()[1];
    let cubes = count.div_ceil(BLOCK) * columns.div_ceil(BLOCK);
    // Powers of the edge divide the number of taps.
    let sums = (0..=3).map(|power| kernel.pow(power)).find(|sums| sums * cubes >= MANY_CUBES).unwrap_or(kernel.pow(3));
    if sums == 1 || rows.dtype() != DType::F32 {
        return product(rows, by);
    }
    let each = width / sums;
    let product = product(rows.reshape([count, sums, each]).swap_dims(0, 1), by.reshape([sums, each, columns]));
    product.sum_dim(0).reshape([count, columns])
}

/// First row and number of rows of each part of a matrix of `rows` rows of `width` values, none of which is larger than the device of
/// `x` lets a kernel see.
fn parts(x: &CubeTensor, rows: usize, width: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
    let largest = LARGEST_MATRIX.min((x.client.properties().memory.max_page_size / 4) as usize);
    let most = (largest / width.max(1)).max(POSITIONS_PER_SUM) / POSITIONS_PER_SUM * POSITIONS_PER_SUM;
    (0..rows).step_by(most).map(move |first| (first, most.min(rows - first)))
}

/// `count` rows of neighbourhoods, from the `first` on: `[count, taps channels]`, of `x [n, z, y, x, channels]`.
fn columns(x: &CubeTensor, size: [usize; 3], kernel: usize, rule: Rule, first: usize, count: usize) -> CubeTensor {
    let channels = channels(x);
    let vector = vector_size(&[channels]);
    let (taps, input) = (kernel.pow(3), sizes(x));
    let out = empty(&x.client, &x.device, &[count, taps * channels], x.dtype);
    let total = count * taps * channels / vector;
    let (cubes, dim) = grid(&x.client, total);
    kernels::columns::launch(
        &x.client,
        cubes,
        dim,
        vector,
        x.clone().into_tensor_arg(),
        out.clone().into_tensor_arg(),
        total,
        first,
        channels / vector,
        input[0],
        input[1],
        input[2],
        size[0],
        size[1],
        size[2],
        kernel,
        rule.by,
        rule.shift,
        rule.of,
        rule.down,
        elem_type(x.dtype),
    );
    out
}

/// Rows `[n z y x, channels]` as `[n, channels, z, y, x]`.
fn volume(rows: Tensor<2>, like: &CubeTensor, [z, y, x]: [usize; 3], channels: usize) -> CubeTensor {
    channels_second(plain(rows.reshape([like.meta.shape()[0], z, y, x, channels])))
}

fn padding(kernel: usize) -> usize {
    (kernel - 1) / 2
}

/// `[n, z, y, x, c]`.
fn dims(tensor: &CubeTensor) -> [usize; 5] {
    std::array::from_fn(|axis| tensor.meta.shape()[axis])
}

fn sizes(tensor: &CubeTensor) -> [usize; 3] {
    let [_, z, y, x, _] = dims(tensor);
    [z, y, x]
}

fn channels(tensor: &CubeTensor) -> usize {
    dims(tensor)[4]
}

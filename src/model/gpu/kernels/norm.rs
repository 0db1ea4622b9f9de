//! Group normalisation with its activation, and its gradients.

use cubecl::prelude::*;

/// Sums of `x - k` and of its square per channel over every `rows`-th position, where `k` is the channel's first value: without the
/// shift, a mean far from zero would drown the variance.
///
/// `x [batch, positions, channels]`; `sums [batch, rows, channels, 2]`, a unit for each pair of them. No memory is shared within a
/// cube here or below: drivers without an explicit layout of it fail on it.
#[cube(launch)]
pub fn moments<F: Float>(
    x: &Tensor<F>,
    sums: &mut Tensor<f32>,
    total: usize,
    positions: usize,
    channels: usize,
    rows: usize,
    #[define(F)] _dtype: ElemType,
) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    let channel = i % channels;
    let row = i / channels;
    let base = (row / rows) * positions * channels + channel;
    let origin = f32::cast_from(x[base]);
    let mut sum = f32::new(0.0);
    let mut square = f32::new(0.0);
    let mut position = row % rows;
    while position < positions {
        let value = f32::cast_from(x[base + position * channels]) - origin;
        sum += value;
        square += value * value;
        position += rows;
    }
    sums[2 * i] = sum;
    sums[2 * i + 1] = square;
}

/// Joins pairs of sums: `from [batch, rows, channels, 2]` to `to [batch, kept, channels, 2]`, a unit for each pair of them.
#[cube(launch)]
pub fn fold(from: &Tensor<f32>, to: &mut Tensor<f32>, total: usize, channels: usize, rows: usize, kept: usize) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    let channel = i % channels;
    let place = i / channels;
    let base = (place / kept) * rows;
    let mut first = f32::new(0.0);
    let mut second = f32::new(0.0);
    let mut row = place % kept;
    while row < rows {
        let at = ((base + row) * channels + channel) * 2;
        first += from[at];
        second += from[at + 1];
        row += kept;
    }
    to[2 * i] = first;
    to[2 * i + 1] = second;
}

/// Factor and offset per channel that normalise over each group of `size` channels, scale and shift: `y = x factor + offset`.
///
/// Channels' means and squared deviations are joined as in Chan, Golub & LeVeque (1983). `sums [batch, channels, 2]`; factor, offset
/// and each channel's group's mean and inverse deviation `[batch, channels]`, a unit for each.
#[cube(launch)]
pub fn affine<F: Float>(
    x: &Tensor<F>,
    sums: &Tensor<f32>,
    scale: &Tensor<f32>,
    shift: &Tensor<f32>,
    factor: &mut Tensor<f32>,
    offset: &mut Tensor<f32>,
    mean_out: &mut Tensor<f32>,
    inverse_out: &mut Tensor<f32>,
    total: usize,
    positions: usize,
    channels: usize,
    size: usize,
    epsilon: f32,
    #[define(F)] _dtype: ElemType,
) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    let channel = i % channels;
    let batch = i / channels;
    let first = (channel / size) * size;
    let from = batch * channels + first;
    let origin = batch * positions * channels + first;
    let count = f32::cast_from(positions as u32);
    let mut mean = f32::new(0.0);
    for k in 0..size {
        mean += f32::cast_from(x[origin + k]) + sums[2 * (from + k)] / count;
    }
    mean /= f32::cast_from(size as u32);
    let mut deviation = f32::new(0.0);
    for k in 0..size {
        let sum = sums[2 * (from + k)];
        let apart = f32::cast_from(x[origin + k]) + sum / count - mean;
        deviation += sums[2 * (from + k) + 1] - sum * sum / count + count * apart * apart;
    }
    let variance = deviation / (count * f32::cast_from(size as u32));
    let inverse = f32::new(1.0) / (variance + epsilon).sqrt();
    let by = scale[channel] * inverse;
    factor[i] = by;
    offset[i] = shift[channel] - mean * by;
    mean_out[i] = mean;
    inverse_out[i] = inverse;
}

/// `relu(x factor + offset [+ residual])`; `x`, `residual` and `out [batch, positions, channels]`. `per_batch` and `channels` count
/// vectors.
#[cube(launch)]
pub fn apply<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    factor: &Tensor<Vector<f32, N>>,
    offset: &Tensor<Vector<f32, N>>,
    residual: &Tensor<Vector<F, N>>,
    out: &mut Tensor<Vector<F, N>>,
    total: usize,
    per_batch: usize,
    channels: usize,
    #[comptime] add: bool,
    #[define(F)] _dtype: ElemType,
) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    let channel = (i / per_batch) * channels + i % channels;
    let mut value = Vector::<f32, N>::cast_from(x[i]) * factor[channel] + offset[channel];
    if add {
        value += Vector::<f32, N>::cast_from(residual[i]);
    }
    out[i] = Vector::<F, N>::cast_from(max(value, Vector::<f32, N>::new(f32::new(0.0))));
}

/// Sums of `g` and of `g xhat` per channel over every `rows`-th position, where `g` is the gradient where the activation let it
/// through and `xhat` the normalised input. Laid out as [`moments`].
#[cube(launch)]
pub fn slopes(
    x: &Tensor<f32>,
    out: &Tensor<f32>,
    gradient: &Tensor<f32>,
    mean: &Tensor<f32>,
    inverse: &Tensor<f32>,
    sums: &mut Tensor<f32>,
    total: usize,
    positions: usize,
    channels: usize,
    rows: usize,
) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    let channel = i % channels;
    let row = i / channels;
    let batch = row / rows;
    let base = batch * positions * channels + channel;
    let centre = mean[batch * channels + channel];
    let by = inverse[batch * channels + channel];
    let mut sum = f32::new(0.0);
    let mut product = f32::new(0.0);
    let mut position = row % rows;
    while position < positions {
        let at = base + position * channels;
        let slope = select(out[at] > 0.0, gradient[at], f32::new(0.0));
        sum += slope;
        product += slope * (x[at] - centre) * by;
        position += rows;
    }
    sums[2 * i] = sum;
    sums[2 * i + 1] = product;
}

/// Turns what [`slopes`] has summed, `sums [batch, channels, 2]`, into what the gradient of the input is made of,
/// `dx = of_slope g + of_input (x - mean) + constant`, all `[batch, channels]`; a unit for each.
#[cube(launch)]
pub fn join_slopes(
    sums: &Tensor<f32>,
    scale: &Tensor<f32>,
    inverse: &Tensor<f32>,
    of_slope: &mut Tensor<f32>,
    of_input: &mut Tensor<f32>,
    constant: &mut Tensor<f32>,
    total: usize,
    positions: usize,
    channels: usize,
    size: usize,
) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    let channel = i % channels;
    let first = (channel / size) * size;
    let from = i - channel + first;
    let mut slope = f32::new(0.0);
    let mut product = f32::new(0.0);
    for k in 0..size {
        slope += scale[first + k] * sums[2 * (from + k)];
        product += scale[first + k] * sums[2 * (from + k) + 1];
    }
    let count = f32::cast_from(positions as u32) * f32::cast_from(size as u32);
    let by = inverse[i];
    of_slope[i] = by * scale[channel];
    of_input[i] = f32::new(0.0) - by * by * product / count;
    constant[i] = f32::new(0.0) - by * slope / count;
}

/// The gradients of shift and scale `[channels]`: sums of `sums [batch, channels, 2]` over the batch.
#[cube(launch)]
pub fn parameter_slopes(
    sums: &Tensor<f32>,
    shift_slope: &mut Tensor<f32>,
    scale_slope: &mut Tensor<f32>,
    batch: usize,
    channels: usize,
) {
    let channel = ABSOLUTE_POS;
    if channel >= channels {
        terminate!();
    }
    let mut shift = f32::new(0.0);
    let mut scale = f32::new(0.0);
    for element in 0..batch {
        let at = 2 * (element * channels + channel);
        shift += sums[at];
        scale += sums[at + 1];
    }
    shift_slope[channel] = shift;
    scale_slope[channel] = scale;
}

/// The gradient of a normalisation's input from [`join_slopes`]' parts, and that of its residual where asked for. Laid out as [`apply`].
#[cube(launch)]
pub fn apply_slopes<N: Size>(
    x: &Tensor<Vector<f32, N>>,
    out: &Tensor<Vector<f32, N>>,
    gradient: &Tensor<Vector<f32, N>>,
    mean: &Tensor<Vector<f32, N>>,
    of_slope: &Tensor<Vector<f32, N>>,
    of_input: &Tensor<Vector<f32, N>>,
    constant: &Tensor<Vector<f32, N>>,
    to_input: &mut Tensor<Vector<f32, N>>,
    to_residual: &mut Tensor<Vector<f32, N>>,
    total: usize,
    per_batch: usize,
    channels: usize,
    #[comptime] add: bool,
) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    let channel = (i / per_batch) * channels + i % channels;
    let zero = Vector::<f32, N>::new(f32::new(0.0));
    let slope = select_many(out[i].greater_than(&zero), gradient[i], zero);
    to_input[i] = of_slope[channel] * slope + of_input[channel] * (x[i] - mean[channel]) + constant[channel];
    if add {
        to_residual[i] = slope;
    }
}

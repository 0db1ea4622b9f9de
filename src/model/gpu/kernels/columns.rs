//! Neighbourhoods as rows of a matrix, which make convolutions products of matrices.

use cubecl::prelude::*;

/// Rows of neighbourhoods of `x [n, z, y, x, c]` at each position of a volume of `[depth_out, height_out, width_out]`, counted through
/// the batch from `first` on: `out [rows, taps, c]`. Channels count vectors. Along each axis, tap `t` of position `o` reads
/// `(by o +- t -+ shift) / of`, the lower signs where taps count down, and 0 where that is no whole number or lies outside.
#[cube(launch)]
pub fn columns<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    out: &mut Tensor<Vector<F, N>>,
    total: usize,
    first: usize,
    channels: usize,
    depth: usize,
    height: usize,
    width: usize,
    depth_out: usize,
    height_out: usize,
    width_out: usize,
    #[comptime] kernel: usize,
    #[comptime] by: usize,
    #[comptime] shift: usize,
    #[comptime] of: usize,
    #[comptime] down: bool,
    #[define(F)] _dtype: ElemType,
) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    let taps = kernel * kernel * kernel;
    let channel = i % channels;
    let tap = (i / channels) % taps;
    let position = first + i / (channels * taps);
    let line = position / width_out;
    let plane = line / height_out;
    let batch = plane / depth_out;
    let z = reached(plane % depth_out, tap / (kernel * kernel), kernel, by, shift, of, down);
    let y = reached(line % height_out, (tap / kernel) % kernel, kernel, by, shift, of, down);
    let x_at = reached(position % width_out, tap % kernel, kernel, by, shift, of, down);
    let mut value = Vector::<F, N>::new(F::new(0.0));
    // `reached` counts from one kernel's edge before the first voxel.
    let is_inside = z % of + y % of + x_at % of == 0
        && z / of >= kernel
        && z / of < kernel + depth
        && y / of >= kernel
        && y / of < kernel + height
        && x_at / of >= kernel
        && x_at / of < kernel + width;
    if is_inside {
        let plane_in = batch * depth + z / of - kernel;
        let line_in = plane_in * height + y / of - kernel;
        let at = line_in * width + x_at / of - kernel;
        value = x[at * channels + channel];
    }
    out[i] = value;
}

/// `(kernel of) + by position +- tap -+ shift`: see [`columns`].
#[cube]
fn reached(
    position: usize,
    tap: usize,
    #[comptime] kernel: usize,
    #[comptime] by: usize,
    #[comptime] shift: usize,
    #[comptime] of: usize,
    #[comptime] down: bool,
) -> usize {
    if comptime!(down) {
        by * position + comptime!(kernel * of + shift) - tap
    } else {
        by * position + comptime!(kernel * of - shift) + tap
    }
}

//! Convolution, group normalisation and upsampling for the processor, forward and backward, on plain f32 slices.
//!
//! All tensors are contiguous NCDHW, that is `[sample, channel, z, y, x]` with x fastest. The work is spread over the
//! rayon threads, and every result is the same for any number of threads. The vector code is chosen at run time
//! ([`Isa::best`]); the functions ending in `_on` take it as an argument.
//!
//! - 3 x 3 x 3, stride 1, more than four channels: Winograd F(2, 3) along all axes (`winograd`), a third of the multiplications.
//! - 3 x 3 x 3 otherwise, and 5 x 5 x 5: direct (`direct`), from gathered taps for few channels (`patches`).
//! - 1 x 1 x 1: a matrix product (`pointwise`); 2 x 2 x 2 with stride 2 too, once its eight voxels lie in channels (`halving`).
//!
//! All are built on one register-tiled matrix product (`gemm`).

mod buffer;
mod direct;
mod gemm;
mod halving;
mod layout;
mod norm;
mod patches;
mod pointwise;
mod prelu;
mod simd;
#[cfg(test)]
mod tests;
mod upsample;
mod winograd;

pub use buffer::{Output, release_memory};
pub use norm::{GroupNormShape, group_norm_backward, group_norm_forward};
pub use prelu::{prelu_backward, prelu_forward};
pub use simd::{Isa, multiply_add_rate};
pub use upsample::{UpsampleShape, upsample_add_forward, upsample_concat_backward, upsample_concat_forward};

use rayon::prelude::*;

/// Shape of a convolution with as many zeros around the volume as half the kernel, rounded down from an even one less; no dilation,
/// no groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv3dShape {
    /// Samples.
    pub batch: usize,
    /// Channels of the input.
    pub channels_in: usize,
    /// Channels of the output.
    pub channels_out: usize,
    /// Voxels of the input along z, y and x.
    pub input: [usize; 3],
    /// Edge of the kernel: 1, 2, 3 or 5.
    pub kernel: usize,
    /// Step between outputs: 1 or 2; with a kernel of 2 it is 2, with one of 5 it is 1.
    pub stride: usize,
}

impl Conv3dShape {
    /// Zeros before and behind the volume along each axis: none for a kernel of 1 or 2, 1 for 3, 2 for 5.
    pub fn padding(&self) -> usize {
        self.kernel.saturating_sub(1) / 2
    }

    /// Values of a kernel.
    fn taps(&self) -> usize {
        self.kernel.pow(3)
    }

    /// Voxels of the output along z, y and x: (n + 2 * padding - kernel) / stride + 1.
    pub fn output(&self) -> [usize; 3] {
        self.input.map(|n| (n + 2 * self.padding() - self.kernel) / self.stride + 1)
    }

    /// Values of the input tensor `[batch, channels_in, z, y, x]`.
    pub fn input_len(&self) -> usize {
        self.batch * self.channels_in * self.input.iter().product::<usize>()
    }

    /// Values of the output tensor `[batch, channels_out, z, y, x]`.
    pub fn output_len(&self) -> usize {
        self.batch * self.channels_out * self.output().iter().product::<usize>()
    }

    /// Values of the weights `[channels_out, channels_in, kernel, kernel, kernel]`.
    pub fn weight_len(&self) -> usize {
        self.channels_out * self.channels_in * self.kernel.pow(3)
    }

    /// Multiplications and additions of the direct sum, the usual measure of a convolution's work.
    pub fn flops(&self) -> f64 {
        2.0 * self.output_len() as f64 * (self.channels_in * self.kernel.pow(3)) as f64
    }

    fn check(&self, isa: Isa) {
        assert!(isa.available(), "this processor lacks {isa:?}");
        let (kernel, stride) = (self.kernel, self.stride);
        let is_known = matches!((kernel, stride), (1 | 3, 1 | 2) | (2, 2) | (5, 1));
        assert!(is_known, "there is no convolution with a kernel of {kernel} voxels and stride {stride} here");
        assert!(self.input.iter().all(|&n| kernel != 2 || n > 1), "a kernel of 2 needs two voxels along each axis: {self:?}");
        let extents = [self.batch, self.channels_in, self.channels_out];
        assert!(extents.iter().chain(&self.input).all(|&n| n > 0), "a convolution needs at least one value: {self:?}");
    }
}

fn check_len(what: &str, len: usize, expected: usize) {
    assert_eq!(len, expected, "the {what} has {len} values, its shape needs {expected}");
}

/// Convolution: `x` `[batch, channels_in, z, y, x]`, `weight` `[channels_out, channels_in, k, k, k]`, an optional bias
/// per output channel, to `out` `[batch, channels_out, z', y', x']`.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn conv3d_forward(shape: &Conv3dShape, x: &[f32], weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    conv3d_forward_on(Isa::best(), shape, x, weight, bias, out);
}

/// [`conv3d_forward`] with a given instruction set.
///
/// # Panics
/// As above, and when the processor lacks the instruction set.
pub fn conv3d_forward_on(isa: Isa, shape: &Conv3dShape, x: &[f32], weight: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    shape.check(isa);
    check_len("input", x.len(), shape.input_len());
    check_len("weight", weight.len(), shape.weight_len());
    check_len("output", out.len(), shape.output_len());
    if let Some(bias) = bias {
        check_len("bias", bias.len(), shape.channels_out);
    }
    match (shape.kernel, shape.stride) {
        (1, _) => return pointwise::forward(isa, shape, x, weight, bias, out),
        (2, _) => halving::forward(isa, shape, x, weight, out),
        (3, 1) if shape.channels_in > 4 => {
            let channels = [shape.channels_out, shape.channels_in];
            winograd::convolve(isa, shape.batch, shape.input, channels, false, x, weight, out);
        }
        _ => direct::forward(isa, shape, x, weight, out),
    }
    if let Some(bias) = bias {
        let plane = shape.output().iter().product();
        out.par_chunks_exact_mut(plane).enumerate().for_each(|(index, values)| {
            values.iter_mut().for_each(|value| *value += bias[index % shape.channels_out]);
        });
    }
}

/// Gradient of a convolution with respect to its input: `grad_in` has the shape of the input. With a kernel of 2 this is also the
/// transposed convolution, from `grad_out` to `grad_in`, with the weights `[its input, its output, 2, 2, 2]`.
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn conv3d_backward_input(shape: &Conv3dShape, weight: &[f32], grad_out: &[f32], grad_in: &mut [f32]) {
    conv3d_backward_input_on(Isa::best(), shape, weight, grad_out, grad_in);
}

/// [`conv3d_backward_input`] with a given instruction set.
///
/// # Panics
/// As above, and when the processor lacks the instruction set.
pub fn conv3d_backward_input_on(isa: Isa, shape: &Conv3dShape, weight: &[f32], grad_out: &[f32], grad_in: &mut [f32]) {
    shape.check(isa);
    check_len("weight", weight.len(), shape.weight_len());
    check_len("gradient of the output", grad_out.len(), shape.output_len());
    check_len("gradient of the input", grad_in.len(), shape.input_len());
    match (shape.kernel, shape.stride) {
        (1, _) => pointwise::backward_input(isa, shape, weight, grad_out, grad_in),
        (2, _) => halving::backward_input(isa, shape, weight, grad_out, grad_in),
        (5, _) => direct::backward_input_stride_1(isa, shape, weight, grad_out, grad_in),
        (_, 1) => {
            let channels = [shape.channels_out, shape.channels_in];
            winograd::convolve(isa, shape.batch, shape.input, channels, true, grad_out, weight, grad_in);
        }
        _ => direct::backward_input_stride_2(isa, shape, weight, grad_out, grad_in),
    }
}

/// Gradient of a convolution with respect to its weights, overwriting `grad_weight` (shape of the weights).
///
/// # Panics
/// When a slice does not have the length of its shape.
pub fn conv3d_backward_weight(shape: &Conv3dShape, x: &[f32], grad_out: &[f32], grad_weight: &mut [f32]) {
    conv3d_backward_weight_on(Isa::best(), shape, x, grad_out, grad_weight);
}

/// [`conv3d_backward_weight`] with a given instruction set.
///
/// # Panics
/// As above, and when the processor lacks the instruction set.
pub fn conv3d_backward_weight_on(isa: Isa, shape: &Conv3dShape, x: &[f32], grad_out: &[f32], grad_weight: &mut [f32]) {
    shape.check(isa);
    check_len("input", x.len(), shape.input_len());
    check_len("gradient of the output", grad_out.len(), shape.output_len());
    check_len("gradient of the weight", grad_weight.len(), shape.weight_len());
    match (shape.kernel, shape.stride) {
        (1, _) => pointwise::weight_gradient(isa, shape, x, grad_out, grad_weight),
        (2, _) => halving::weight_gradient(isa, shape, x, grad_out, grad_weight),
        (3, 1) if shape.channels_in > 4 => {
            let channels = [shape.channels_out, shape.channels_in];
            winograd::weight_gradient(isa, shape.batch, shape.input, channels, x, grad_out, grad_weight);
        }
        _ => direct::weight_gradient(isa, shape, x, grad_out, grad_weight),
    }
}

/// Gradient of the bias: sums of `grad_out` `[batch, channels, voxels]` per channel, overwriting `grad_bias`.
///
/// # Panics
/// When `grad_out` is not `batch` * `grad_bias.len()` volumes.
pub fn bias_gradient(batch: usize, grad_out: &[f32], grad_bias: &mut [f32]) {
    let channels = grad_bias.len();
    assert!(batch * channels > 0 && grad_out.len().is_multiple_of(batch * channels), "the gradient is not whole volumes");
    let plane = grad_out.len() / (batch * channels);
    grad_bias.par_iter_mut().enumerate().for_each(|(channel, sum)| {
        let planes = (0..batch).map(|n| &grad_out[(n * channels + channel) * plane..][..plane]);
        // Sums of short stretches in f32 lanes, added up in f64.
        *sum = planes.flat_map(|values| values.chunks(4096)).map(stretch_sum).sum::<f64>() as f32;
    });
}

fn stretch_sum(values: &[f32]) -> f64 {
    let mut lanes = [0.0f32; 16];
    let whole = values.chunks_exact(16);
    let rest: f32 = whole.remainder().iter().sum();
    for part in whole {
        lanes.iter_mut().zip(part).for_each(|(lane, value)| *lane += value);
    }
    f64::from(lanes.iter().sum::<f32>() + rest)
}

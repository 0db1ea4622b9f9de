//! The operations that the networks are made of: our kernels on the CPU; on a GPU the convolutions and those of the U-Net, and burn's
//! operations for the rest.

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::activation::{prelu as burn_prelu, relu};
use burn::tensor::module::conv3d as burn_conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Device, FloatDType, Tensor};

use super::cpu::CpuOps;
use super::gpu::{GpuOps, gpu};

/// Added to the variance before the root in a normalisation.
pub(super) const EPSILON: f64 = 1e-5;

/// Whether a device computes on the CPU through burn-flex.
pub(super) fn is_cpu(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// A convolution without bias: `x [n, in, z, y, x]`, `weight [out, in, k, k, k]`, padded by `(k - 1) / 2`. `k` is 1 or 3 with stride 1
/// or 2, 2 with stride 2, or 5 with stride 1.
pub(super) fn conv3d(x: Tensor<5>, weight: Tensor<5>, stride: usize) -> Tensor<5> {
    if is_cpu(&x.device()) {
        let out = <Dispatch as CpuOps>::network_conv3d(x.into_dispatch(), weight.into_dispatch(), stride);
        return Tensor::from_dispatch(out);
    }
    if gpu(&x.device()).is_some() {
        return Tensor::from_dispatch(<Dispatch as GpuOps>::gpu_conv3d(x.into_dispatch(), weight.into_dispatch(), stride));
    }
    plain_conv3d(x, weight, stride)
}

/// The same by burn's own operation.
pub(super) fn plain_conv3d(x: Tensor<5>, weight: Tensor<5>, stride: usize) -> Tensor<5> {
    let padding = (weight.dims()[2] - 1) / 2;
    burn_conv3d(x, weight, None, ConvOptions::new([stride; 3], [padding; 3], [1; 3], 1))
}

/// The transposed convolution without bias that doubles each axis: `x [n, in, z, y, x]`, `weight [in, out, 2, 2, 2]`.
pub(super) fn doubling_conv3d(x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
    if is_cpu(&x.device()) {
        let out = <Dispatch as CpuOps>::network_doubling_conv3d(x.into_dispatch(), weight.into_dispatch());
        return Tensor::from_dispatch(out);
    }
    doubling_product(x, weight)
}

/// The same as a product of matrices, for GPUs: the library's transposed convolution leaves them idle.
pub(super) fn doubling_product(x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
    let [batch, channels, z, y, width] = x.dims();
    let out = weight.dims()[1];
    let rows = x.permute([0, 2, 3, 4, 1]).reshape([batch * z * y * width, channels]);
    let taps: Tensor<8> = rows.matmul(weight.reshape([channels, 8 * out])).reshape([batch, z, y, width, out, 2, 2, 2]);
    taps.permute([0, 4, 1, 5, 2, 6, 3, 7]).reshape([batch, out, 2 * z, 2 * y, 2 * width])
}

/// The same by burn's own operation, to compare with.
#[cfg(test)]
pub(super) fn plain_doubling_conv3d(x: Tensor<5>, weight: Tensor<5>) -> Tensor<5> {
    let options = burn::tensor::ops::ConvTransposeOptions::new([2; 3], [0; 3], [0; 3], [1; 3], 1);
    burn::tensor::module::conv_transpose3d(x, weight, None, options)
}

/// `relu(scale * (x - mean) / sqrt(variance + 1e-5) + shift [+ residual])`, mean and variance over each group of channels.
pub(super) fn group_norm_relu(
    x: Tensor<5>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    groups: usize,
    residual: Option<Tensor<5>>,
) -> Tensor<5> {
    if is_cpu(&x.device()) {
        return cpu_norm(x, scale, shift, groups, residual, true);
    }
    if gpu(&x.device()).is_some() {
        let (x, scale, shift) = (x.into_dispatch(), scale.into_dispatch(), shift.into_dispatch());
        return Tensor::from_dispatch(match residual {
            Some(residual) => <Dispatch as GpuOps>::gpu_norm_add_relu(x, scale, shift, residual.into_dispatch(), groups),
            None => <Dispatch as GpuOps>::gpu_norm_relu(x, scale, shift, groups),
        });
    }
    plain_group_norm_relu(x, scale, shift, groups, residual)
}

/// [`group_norm_relu`] without the rectifier.
pub(super) fn group_norm(
    x: Tensor<5>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    groups: usize,
    residual: Option<Tensor<5>>,
) -> Tensor<5> {
    if is_cpu(&x.device()) {
        return cpu_norm(x, scale, shift, groups, residual, false);
    }
    plain_group_norm(x, scale, shift, groups, residual)
}

fn cpu_norm(
    x: Tensor<5>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    groups: usize,
    residual: Option<Tensor<5>>,
    relu: bool,
) -> Tensor<5> {
    let (x, scale, shift) = (x.into_dispatch(), scale.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(match residual {
        Some(residual) => <Dispatch as CpuOps>::network_norm_add(x, scale, shift, residual.into_dispatch(), groups, relu),
        None => <Dispatch as CpuOps>::network_norm(x, scale, shift, groups, relu),
    })
}

/// [`group_norm_relu`] by burn's own operations.
pub(super) fn plain_group_norm_relu(
    x: Tensor<5>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    groups: usize,
    residual: Option<Tensor<5>>,
) -> Tensor<5> {
    relu(plain_group_norm(x, scale, shift, groups, residual))
}

/// [`group_norm`] by burn's own operations; in single precision throughout, as sums over a group would leave the range of half
/// precision.
pub(super) fn plain_group_norm(
    x: Tensor<5>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    groups: usize,
    residual: Option<Tensor<5>>,
) -> Tensor<5> {
    let dtype = x.dtype();
    let single = |x: Tensor<5>| if dtype == DType::F32 { x } else { x.cast(FloatDType::F32) };
    let [batch, channels, depth, height, width] = x.dims();
    let grouped = single(x).reshape([batch, groups, channels / groups * depth * height * width]);
    let mean = grouped.clone().mean_dim(2);
    let centred = grouped - mean;
    let variance = (centred.clone() * centred.clone()).mean_dim(2);
    let normal = (centred / variance.add_scalar(EPSILON).sqrt()).reshape([batch, channels, depth, height, width]);
    let per_channel = [1, channels, 1, 1, 1];
    let y = normal * scale.reshape(per_channel) + shift.reshape(per_channel);
    let y = match residual {
        Some(residual) => y + single(residual),
        None => y,
    };
    if dtype == DType::F32 { y } else { y.cast(FloatDType::from(dtype)) }
}

/// `x [n, c, z, y, x]` where positive, else `slope [c]` times it.
pub(super) fn prelu(x: Tensor<5>, slope: Tensor<1>) -> Tensor<5> {
    if is_cpu(&x.device()) {
        return Tensor::from_dispatch(<Dispatch as CpuOps>::network_prelu(x.into_dispatch(), slope.into_dispatch()));
    }
    burn_prelu(x, slope)
}

/// Doubles `x [n, c, z, y, x]` along each axis by repetition and adds `fine [n, c, 2z, 2y, 2x]`.
pub(super) fn upsample_add(x: Tensor<5>, fine: Tensor<5>) -> Tensor<5> {
    if is_cpu(&x.device()) {
        let out = <Dispatch as CpuOps>::network_upsample_add(x.into_dispatch(), fine.into_dispatch());
        return Tensor::from_dispatch(out);
    }
    plain_upsample(x) + fine
}

/// Doubles `x [n, c, z, y, x]` along each axis by repetition and appends the channels of `skip [n, d, 2z, 2y, 2x]`.
pub(super) fn upsample_concat(x: Tensor<5>, skip: Tensor<5>) -> Tensor<5> {
    if is_cpu(&x.device()) {
        let out = <Dispatch as CpuOps>::network_upsample_concat(x.into_dispatch(), skip.into_dispatch());
        return Tensor::from_dispatch(out);
    }
    if gpu(&x.device()).is_some() {
        return Tensor::from_dispatch(<Dispatch as GpuOps>::gpu_upsample_concat(x.into_dispatch(), skip.into_dispatch()));
    }
    plain_upsample_concat(x, skip)
}

/// The same by burn's own operations.
pub(super) fn plain_upsample_concat(x: Tensor<5>, skip: Tensor<5>) -> Tensor<5> {
    Tensor::cat(vec![plain_upsample(x), skip], 1)
}

/// `x [n, c, z, y, x]` doubled along each axis by repetition, by burn's own operations.
pub(super) fn plain_upsample(x: Tensor<5>) -> Tensor<5> {
    let [batch, channels, depth, height, width] = x.dims();
    x.reshape([batch * channels, depth, 1, height, 1, width, 1])
        .expand([batch * channels, depth, 2, height, 2, width, 2])
        .reshape([batch, channels, 2 * depth, 2 * height, 2 * width])
}

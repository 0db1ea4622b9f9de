//! The three operations that the network is made of: our kernels, but for the convolutions on a GPU, which are burn's.

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::activation::relu;
use burn::tensor::module::conv3d as burn_conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor};

use super::cpu::CpuOps;
use super::gpu::{GpuOps, gpu};

/// Added to the variance before the root in a normalisation.
pub(super) const EPSILON: f64 = 1e-5;

/// Whether a device computes on the CPU through burn-flex.
pub(super) fn is_cpu(device: &Device) -> bool {
    matches!(device.clone().inner().as_dispatch(), DispatchDevice::Flex(_))
}

/// A convolution without bias: `x [n, in, z, y, x]`, `weight [out, in, k, k, k]` with odd `k`, padded by `k / 2`.
pub(super) fn conv3d(x: Tensor<5>, weight: Tensor<5>, stride: usize) -> Tensor<5> {
    if is_cpu(&x.device()) {
        let out = <Dispatch as CpuOps>::network_conv3d(x.into_dispatch(), weight.into_dispatch(), stride);
        return Tensor::from_dispatch(out);
    }
    plain_conv3d(x, weight, stride)
}

/// The same by burn's own operation.
pub(super) fn plain_conv3d(x: Tensor<5>, weight: Tensor<5>, stride: usize) -> Tensor<5> {
    let padding = weight.dims()[2] / 2;
    burn_conv3d(x, weight, None, ConvOptions::new([stride; 3], [padding; 3], [1; 3], 1))
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
        let (x, scale, shift) = (x.into_dispatch(), scale.into_dispatch(), shift.into_dispatch());
        return Tensor::from_dispatch(match residual {
            Some(residual) => <Dispatch as CpuOps>::network_norm_add_relu(x, scale, shift, residual.into_dispatch(), groups),
            None => <Dispatch as CpuOps>::network_norm_relu(x, scale, shift, groups),
        });
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

/// The same by burn's own operations.
pub(super) fn plain_group_norm_relu(
    x: Tensor<5>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    groups: usize,
    residual: Option<Tensor<5>>,
) -> Tensor<5> {
    let [batch, channels, depth, height, width] = x.dims();
    let grouped = x.reshape([batch, groups, channels / groups * depth * height * width]);
    let mean = grouped.clone().mean_dim(2);
    let centred = grouped - mean;
    let variance = (centred.clone() * centred.clone()).mean_dim(2);
    let normal = (centred / variance.add_scalar(EPSILON).sqrt()).reshape([batch, channels, depth, height, width]);
    let per_channel = [1, channels, 1, 1, 1];
    let y = normal * scale.reshape(per_channel) + shift.reshape(per_channel);
    relu(match residual {
        Some(residual) => y + residual,
        None => y,
    })
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
    let [batch, channels, depth, height, width] = x.dims();
    let up = x
        .reshape([batch * channels, depth, 1, height, 1, width, 1])
        .expand([batch * channels, depth, 2, height, 2, width, 2])
        .reshape([batch, channels, 2 * depth, 2 * height, 2 * width]);
    Tensor::cat(vec![up, skip], 1)
}

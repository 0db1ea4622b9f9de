//! The network's operations on a GPU as kernels of our own, and half precision.
//!
//! Convolutions are products of matrices (`conv.rs`, `product.rs`) with the channels last in memory, and hand their results on in that
//! order. burn's plain operations would copy each of them to channels first and back and pass over the memory some fifteen times for
//! a normalisation with its activation; the kernels here keep the order and pass over it three times.

mod cache;
mod conv;
mod kernels;
mod norm;
mod operations;
mod precision;
mod product;
pub(super) mod update;
mod upsample;

pub use cache::cache_folder;
pub(super) use cache::keep_kernels;
pub(super) use operations::GpuOps;
pub use precision::{Precision, in_precision, supports_half};

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Shape, Tensor};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;
use burn_cubecl::{CubeBackend, CubeDevice};
use cubecl::client::Client;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::{CubeCount, CubeDim};

/// Units of a cube in kernels that take one element or vector a unit.
const UNITS: u32 = 256;

/// The device of a GPU runtime behind a device; `None` for the CPU's.
pub(crate) fn gpu(device: &Device) -> Option<CubeDevice> {
    match device.clone().inner().as_dispatch() {
        DispatchDevice::Cube(device) => Some(device.clone()),
        _ => None,
    }
}

/// The primitive of a tensor that lies on a GPU outside any gradient graph.
pub(crate) fn primitive<const D: usize>(tensor: Tensor<D>) -> Option<CubeTensor> {
    let device = tensor.device();
    if device.is_autodiff() || gpu(&device).is_none() {
        return None;
    }
    tensor.try_into_primitive::<CubeBackend>().ok()
}

/// The tensor of a primitive.
pub(crate) fn tensor<const D: usize>(primitive: CubeTensor) -> Tensor<D> {
    Tensor::from_primitive::<CubeBackend>(primitive)
}

/// An uninitialised tensor of one dimension or more, without gaps.
pub(crate) fn empty(client: &Client, device: &CubeDevice, shape: &[usize], dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(client.clone(), device.clone(), Shape::from(shape.to_vec()), dtype)
}

/// An uninitialised tensor of the same shape and type.
fn like(x: &CubeTensor) -> CubeTensor {
    let shape: Vec<usize> = x.meta.shape().iter().copied().collect();
    empty(&x.client, &x.device, &shape, x.dtype)
}

/// `[n, c, z, y, x]` as `[n, z, y, x, c]` without gaps; copied only where it does not lie so already.
fn channels_last(tensor: CubeTensor) -> CubeTensor {
    into_contiguous(permute_nchw_to_nhwc(tensor))
}

/// The inverse view.
fn channels_second(tensor: CubeTensor) -> CubeTensor {
    permute_nhwc_to_nchw(tensor)
}

/// A grid of cubes of [`UNITS`] for so many elements, within the limits of each axis.
pub(crate) fn grid(client: &Client, elements: usize) -> (CubeCount, CubeDim) {
    let units = UNITS.min(client.properties().hardware.max_units_per_cube.max(1));
    let dim = CubeDim::new_1d(units);
    (cubecl::calculate_cube_count_elemwise(client, elements, dim), dim)
}

/// The element type of a tensor's values.
pub(crate) fn elem_type(dtype: DType) -> ElemType {
    match dtype {
        DType::F16 => ElemType::Float(FloatKind::F16),
        DType::BF16 => ElemType::Float(FloatKind::BF16),
        _ => ElemType::Float(FloatKind::F32),
    }
}

/// The widest vector that divides all of these channels.
fn vector_size(channels: &[usize]) -> usize {
    [4, 2].into_iter().find(|size| channels.iter().all(|count| count.is_multiple_of(*size))).unwrap_or(1)
}

#[cfg(test)]
mod tests;

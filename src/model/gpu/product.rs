//! Products of matrices on a GPU, by kernels that are named here: trying the library's many out for each size takes minutes when a
//! program first runs on a machine.

use std::sync::OnceLock;

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use burn_cubecl::tensor::CubeTensor;
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems, MatmulSetupError};
use cubek::matmul::launch::launch_ref;
use cubek::matmul::multi_level::Strategy;
use cubek::std::InputBinding;

use super::{elem_type, empty, primitive, tensor};

/// The product of `a [.., m, k]` and `b [.., k, n]`, with as many matrices in both: in half precision by matrix units where the device
/// has them, else by blocks that each unit keeps to itself.
pub(super) fn product<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> Tensor<D> {
    let (a, b) = (plain(a), plain(b));
    let mut shape: Vec<usize> = a.meta.shape().iter().copied().collect();
    shape[D - 1] = b.meta.shape()[D - 1];
    let out = empty(&a.client, &a.device, &shape, a.dtype);
    let launched = strategies(a.dtype).iter().any(|strategy| {
        let result = launch(strategy, &a, &b, &out);
        result.inspect_err(|error| log::debug!("another kernel takes this product: {error:?}")).is_ok()
    });
    assert!(launched, "the last kernel takes matrices of any size on any device");
    tensor(out)
}

/// Whether products in half precision are right on a device. Drivers compile some kernels wrongly, and a network shows no more of it than picks
/// that are worse.
pub(super) fn half_is_right(device: &Device) -> bool {
    static RIGHT: OnceLock<bool> = OnceLock::new();
    *RIGHT.get_or_init(|| {
        let right = CHECKED.iter().all(|sizes| is_right(device, *sizes, FloatDType::F16));
        if !right {
            log::warn!(
                "this GPU's driver multiplies matrices wrongly in half precision, so that picking is slower, in single precision"
            );
        }
        right
    })
}

/// Rows, inner size and columns of the products that are checked: those of the network's first, middle and last convolutions.
const CHECKED: [[usize; 3]; 3] = [[1030, 27, 24], [515, 648, 24], [515, 24, 6]];

/// Whether a product is the one that is computed here. Its factors are halves up to one, so that every sum below 512 is exact in any precision.
fn is_right(device: &Device, [rows, inner, columns]: [usize; 3], dtype: FloatDType) -> bool {
    let value = |i: usize| ((i * 7919 + i / 13) % 5) as f32 / 2.0 - 1.0;
    let values = |count: usize, from: usize| (from..from + count).map(value).collect::<Vec<f32>>();
    let (a, b) = (values(rows * inner, 0), values(inner * columns, 1));
    let matrix =
        |values: &[f32], shape: [usize; 2]| Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), device).cast(dtype);
    let found = product(matrix(&a, [rows, inner]), matrix(&b, [inner, columns])).cast(FloatDType::F32).try_into_data();
    let Ok(found) = found else { return false };
    found.iter::<f32>().enumerate().all(|(i, found)| {
        let (row, column) = (i / columns, i % columns);
        let expected: f32 = (0..inner).map(|k| a[row * inner + k] * b[k * columns + column]).sum();
        (found - expected).abs() <= 0.5
    })
}

/// The kernels to try, the last of which always serves.
fn strategies(dtype: DType) -> Vec<Strategy> {
    let units = [Strategy::SimpleUnit(Default::default()), Strategy::Naive];
    let matrix_units = (dtype != DType::F32).then(|| Strategy::SimpleCyclicCmma(Default::default()));
    matrix_units.into_iter().chain(units).collect()
}

fn launch(strategy: &Strategy, a: &CubeTensor, b: &CubeTensor, out: &CubeTensor) -> Result<(), MatmulSetupError> {
    let [lhs, rhs, result] = [a, b, out].map(|tensor| elem_type(tensor.dtype));
    let mut types = MatmulElems::from_globals(&MatmulGlobalElems { lhs, rhs, out: result });
    let [lhs, rhs] = [(a, lhs), (b, rhs)].map(|(tensor, element)| InputBinding::new(tensor.clone().binding(), element));
    launch_ref(&strategy.clone().into(), &out.client, lhs, rhs, out.clone().binding(), &mut types)
}

/// The primitive of a tensor on a GPU.
pub(super) fn plain<const D: usize>(tensor: Tensor<D>) -> CubeTensor {
    primitive(tensor).unwrap_or_else(|| unreachable!("made on a GPU without gradients"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::device::any_gpu_for_tests;

    #[test]
    fn products_of_the_sizes_that_are_checked_are_right() {
        let Some(device) = any_gpu_for_tests() else { return };
        for sizes in CHECKED {
            assert!(is_right(&device, sizes, FloatDType::F32), "{sizes:?}");
        }
    }
}

//! Products of matrices on a GPU, by kernels that are named here: trying the library's many out for each size takes minutes when a
//! program first runs on a machine.

use burn::tensor::{DType, Tensor};
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

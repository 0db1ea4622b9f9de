//! The optimiser's step on a GPU, in one pass over each weight.

use burn::tensor::{DType, Tensor};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::kernels::update as kernels;
use super::{empty, gpu, grid, like, primitive, tensor};
use crate::model::update::{Factors, Moments, Updated};

/// Sums of squares of a tensor: enough units to fill a GPU, few enough to be joined at once.
const SUMS: usize = 1 << 12;

/// One step of a weight. `None` where a tensor is not on a GPU in single precision.
pub(in crate::model) fn step<const D: usize>(
    weight: &Tensor<D>,
    gradient: &Tensor<D>,
    average: &Tensor<D>,
    moments: &Moments,
    factors: &Factors,
) -> Option<Updated<D>> {
    let [weight, gradient, average] = [single(weight)?, single(gradient)?, single(average)?];
    let [first, second, clip] = [single(&moments.first)?, single(&moments.second)?, single(&factors.clip)?];
    let client = weight.client.clone();
    let total = weight.meta.num_elements();
    let (new_weight, new_average, new_first, new_second) = (like(&weight), like(&average), like(&first), like(&second));
    let (count, dim) = grid(&client, total);
    kernels::adam::launch(
        &client,
        count,
        dim,
        weight.into_tensor_arg(),
        gradient.into_tensor_arg(),
        average.into_tensor_arg(),
        first.into_tensor_arg(),
        second.into_tensor_arg(),
        clip.into_tensor_arg(),
        new_weight.clone().into_tensor_arg(),
        new_average.clone().into_tensor_arg(),
        new_first.clone().into_tensor_arg(),
        new_second.clone().into_tensor_arg(),
        total,
        factors.beta_1 as f32,
        (1.0 - factors.beta_1) as f32,
        factors.beta_2 as f32,
        (1.0 - factors.beta_2) as f32,
        factors.epsilon as f32,
        factors.rate as f32,
        factors.decay as f32,
        (1.0 - factors.decay) as f32,
    );
    Some(Updated {
        weight: tensor(new_weight),
        average: tensor(new_average),
        moments: Moments { first: tensor(new_first), second: tensor(new_second) },
    })
}

/// Partial sums of the squares of a tensor's values. `None` as for [`step`].
pub(in crate::model) fn square_sums<const D: usize>(values: &Tensor<D>) -> Option<Tensor<1>> {
    let values = single(values)?;
    let client = values.client.clone();
    let sums = empty(&client, &values.device, &[SUMS], DType::F32);
    let total = values.meta.num_elements();
    let (count, dim) = grid(&client, SUMS);
    kernels::square_sums::launch(&client, count, dim, values.into_tensor_arg(), sums.clone().into_tensor_arg(), total, SUMS);
    Some(tensor(sums))
}

/// The primitive without gaps.
fn single<const D: usize>(tensor: &Tensor<D>) -> Option<CubeTensor> {
    gpu(&tensor.device())?;
    primitive(tensor.clone()).filter(|tensor| tensor.dtype == DType::F32).map(into_contiguous)
}

//! Group normalisation with its activation on a GPU: statistics in single precision, whatever the precision of the data.

use burn::tensor::DType;
use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::tensor::CubeTensor;

use super::kernels::norm as kernels;
use super::{channels_last, channels_second, elem_type, empty, grid, like, vector_size};
use crate::model::ops::EPSILON;

/// Positions that a unit sums, at least: fewer would only make more sums to join.
const POSITIONS_PER_UNIT: usize = 64;
/// Units that fill a large GPU.
const MANY_UNITS: usize = 1 << 17;
/// Sums a channel that a unit joins.
const JOINED: usize = 64;

/// How a tensor `[n, z, y, x, c]` is divided among units.
#[derive(Clone, Copy, Debug)]
struct Plan {
    batch: usize,
    channels: usize,
    positions: usize,
    groups: usize,
    /// Sums a channel and element of the batch.
    rows: usize,
    /// Channels that a unit takes together where each is handled by itself.
    vector: usize,
}

impl Plan {
    fn new(x: &CubeTensor, groups: usize) -> Self {
        let shape = x.meta.shape();
        let (batch, channels, positions) = (shape[0], shape[4], shape[1] * shape[2] * shape[3]);
        let rows = positions.div_ceil(POSITIONS_PER_UNIT).min((MANY_UNITS / (batch * channels)).max(JOINED)).max(1);
        Self { batch, channels, positions, groups, rows, vector: vector_size(&[channels]) }
    }

    /// Sums for each row.
    fn sums(&self, like: &CubeTensor, rows: usize) -> (CubeTensor, usize) {
        let sums = empty(&like.client, &like.device, &[self.batch, rows, self.channels, 2], DType::F32);
        (sums, self.batch * rows * self.channels)
    }

    /// The sums of all rows, `[batch, channels, 2]`.
    fn joined(&self, mut sums: CubeTensor) -> CubeTensor {
        let mut rows = self.rows;
        while rows > 1 {
            let kept = rows.div_ceil(JOINED);
            let (to, total) = self.sums(&sums, kept);
            let (count, dim) = grid(&sums.client, total);
            let client = sums.client.clone();
            let (from, into) = (sums.into_tensor_arg(), to.clone().into_tensor_arg());
            kernels::fold::launch(&client, count, dim, from, into, total, self.channels, rows, kept);
            (sums, rows) = (to, kept);
        }
        sums
    }

    /// Vectors in all, in an element of the batch, and in a position.
    fn vectors(&self) -> (usize, usize, usize) {
        let per_position = self.channels / self.vector;
        (self.batch * self.positions * per_position, self.positions * per_position, per_position)
    }

    fn per_channel(&self, like: &CubeTensor) -> CubeTensor {
        empty(&like.client, &like.device, &[self.batch, self.channels], DType::F32)
    }
}

/// A normalisation with what its gradient needs. Tensors `[n, z, y, x, c]`; statistics `[n, c]`.
#[derive(Clone, Debug)]
pub(super) struct Normalised {
    plan: Plan,
    x: CubeTensor,
    out: CubeTensor,
    scale: CubeTensor,
    mean: CubeTensor,
    inverse: CubeTensor,
}

impl Normalised {
    /// `relu(scale (x - mean) / sqrt(variance + 1e-5) + shift [+ residual])` over each group of channels of `x [n, c, z, y, x]`.
    pub(super) fn new(x: CubeTensor, scale: CubeTensor, shift: CubeTensor, residual: Option<CubeTensor>, groups: usize) -> Self {
        let (x, scale, shift) = (channels_last(x), single(scale), single(shift));
        let residual = residual.map(channels_last);
        let plan = Plan::new(&x, groups);
        let (client, dtype) = (x.client.clone(), elem_type(x.dtype));
        let (sums, total) = plan.sums(&x, plan.rows);
        let (count, dim) = grid(&client, total);
        kernels::moments::launch(
            &client,
            count,
            dim,
            x.clone().into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            total,
            plan.positions,
            plan.channels,
            plan.rows,
            dtype,
        );
        let sums = plan.joined(sums);
        let [factor, offset, mean, inverse] = [(); 4].map(|()| plan.per_channel(&x));
        let total = plan.batch * plan.channels;
        let (count, dim) = grid(&client, total);
        kernels::affine::launch(
            &client,
            count,
            dim,
            x.clone().into_tensor_arg(),
            sums.into_tensor_arg(),
            scale.clone().into_tensor_arg(),
            shift.into_tensor_arg(),
            factor.clone().into_tensor_arg(),
            offset.clone().into_tensor_arg(),
            mean.clone().into_tensor_arg(),
            inverse.clone().into_tensor_arg(),
            total,
            plan.positions,
            plan.channels,
            plan.channels / plan.groups,
            EPSILON as f32,
            dtype,
        );
        let out = like(&x);
        let (total, per_batch, per_position) = plan.vectors();
        let (count, dim) = grid(&client, total);
        let add = residual.is_some();
        kernels::apply::launch(
            &client,
            count,
            dim,
            plan.vector,
            x.clone().into_tensor_arg(),
            factor.into_tensor_arg(),
            offset.into_tensor_arg(),
            residual.unwrap_or_else(|| x.clone()).into_tensor_arg(),
            out.clone().into_tensor_arg(),
            total,
            per_batch,
            per_position,
            add,
            dtype,
        );
        Self { plan, x, out, scale, mean, inverse }
    }

    /// The result `[n, c, z, y, x]`.
    pub(super) fn out(&self) -> CubeTensor {
        channels_second(self.out.clone())
    }

    /// Gradients of `x`, scale and shift and, if asked for, of the residual, from that of the result `[n, c, z, y, x]`. In single
    /// precision only.
    pub(super) fn gradients(&self, gradient: CubeTensor, with_residual: bool) -> ([CubeTensor; 3], Option<CubeTensor>) {
        let Self { plan, x, out, scale, mean, inverse } = self;
        let gradient = channels_last(gradient);
        let client = &x.client;
        let (sums, total) = plan.sums(x, plan.rows);
        let (count, dim) = grid(client, total);
        kernels::slopes::launch(
            client,
            count,
            dim,
            x.clone().into_tensor_arg(),
            out.clone().into_tensor_arg(),
            gradient.clone().into_tensor_arg(),
            mean.clone().into_tensor_arg(),
            inverse.clone().into_tensor_arg(),
            sums.clone().into_tensor_arg(),
            total,
            plan.positions,
            plan.channels,
            plan.rows,
        );
        let sums = plan.joined(sums);
        let [shift_slope, scale_slope] = [(); 2].map(|()| empty(client, &x.device, &[plan.channels], DType::F32));
        let (count, dim) = grid(client, plan.channels);
        kernels::parameter_slopes::launch(
            client,
            count,
            dim,
            sums.clone().into_tensor_arg(),
            shift_slope.clone().into_tensor_arg(),
            scale_slope.clone().into_tensor_arg(),
            plan.batch,
            plan.channels,
        );
        let [of_slope, of_input, constant] = [(); 3].map(|()| plan.per_channel(x));
        let total = plan.batch * plan.channels;
        let (count, dim) = grid(client, total);
        kernels::join_slopes::launch(
            client,
            count,
            dim,
            sums.into_tensor_arg(),
            scale.clone().into_tensor_arg(),
            inverse.clone().into_tensor_arg(),
            of_slope.clone().into_tensor_arg(),
            of_input.clone().into_tensor_arg(),
            constant.clone().into_tensor_arg(),
            total,
            plan.positions,
            plan.channels,
            plan.channels / plan.groups,
        );
        let to_input = like(x);
        let to_residual = with_residual.then(|| like(x));
        let (total, per_batch, per_position) = plan.vectors();
        let (count, dim) = grid(client, total);
        kernels::apply_slopes::launch(
            client,
            count,
            dim,
            plan.vector,
            x.clone().into_tensor_arg(),
            out.clone().into_tensor_arg(),
            gradient.into_tensor_arg(),
            mean.clone().into_tensor_arg(),
            of_slope.into_tensor_arg(),
            of_input.into_tensor_arg(),
            constant.into_tensor_arg(),
            to_input.clone().into_tensor_arg(),
            to_residual.clone().unwrap_or_else(|| plan.per_channel(x)).into_tensor_arg(),
            total,
            per_batch,
            per_position,
            with_residual,
        );
        ([channels_second(to_input), scale_slope, shift_slope], to_residual.map(channels_second))
    }
}

/// Contiguous and in single precision.
fn single(tensor: CubeTensor) -> CubeTensor {
    into_contiguous(if tensor.dtype == DType::F32 { tensor } else { cast(tensor, DType::F32) })
}

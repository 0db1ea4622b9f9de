//! The kernels as operations of burn's GPU backend, with their gradients.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, backend_extension};
use burn_cubecl::CubeBackend;
use burn_cubecl::tensor::CubeTensor;

use super::norm::Normalised;
use super::{conv, upsample};

/// Operations that have kernels of our own.
#[backend_extension(Cube, Autodiff)]
pub(in crate::model) trait GpuOps: Backend {
    /// `relu(norm(x) * scale + shift)` over groups of channels; `x [n, c, z, y, x]`.
    fn gpu_norm_relu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self>;

    /// `relu(norm(x) * scale + shift + residual)`; `residual` has the shape of `x`.
    fn gpu_norm_add_relu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self>;

    /// The convolution without bias of `x [n, in, z, y, x]` by `weight [out, in, k, k, k]`, padded by `(k - 1) / 2`.
    fn gpu_conv3d(x: FloatTensor<Self>, weight: FloatTensor<Self>, stride: usize) -> FloatTensor<Self>;

    /// `x [n, c, z, y, x]` doubled along each axis by repetition, followed by the channels of `skip [n, d, 2z, 2y, 2x]`.
    fn gpu_upsample_concat(x: FloatTensor<Self>, skip: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl GpuOps for CubeBackend {
    fn gpu_norm_relu(x: CubeTensor, scale: CubeTensor, shift: CubeTensor, groups: usize) -> CubeTensor {
        Normalised::new(x, scale, shift, None, groups).out()
    }

    fn gpu_norm_add_relu(x: CubeTensor, scale: CubeTensor, shift: CubeTensor, residual: CubeTensor, groups: usize) -> CubeTensor {
        Normalised::new(x, scale, shift, Some(residual), groups).out()
    }

    fn gpu_conv3d(x: CubeTensor, weight: CubeTensor, stride: usize) -> CubeTensor {
        conv::forward(x, weight, stride)
    }

    fn gpu_upsample_concat(x: CubeTensor, skip: CubeTensor) -> CubeTensor {
        upsample::concatenated(x, skip)
    }
}

#[derive(Debug)]
struct NormBackward;

impl Backward<CubeBackend, 3> for NormBackward {
    type State = Normalised;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradient = grads.consume::<CubeBackend>(&ops.node);
        let (gradients, _) = ops.state.gradients(gradient, false);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<CubeBackend>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct NormAddBackward;

impl Backward<CubeBackend, 4> for NormAddBackward {
    type State = Normalised;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x, scale, shift, residual] = ops.parents;
        let gradient = grads.consume::<CubeBackend>(&ops.node);
        let (gradients, of_residual) = ops.state.gradients(gradient, residual.is_some());
        for (node, gradient) in [x, scale, shift, residual].into_iter().zip(gradients.into_iter().chain(of_residual)) {
            if let Some(node) = node {
                grads.register::<CubeBackend>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct ConvBackward;

impl Backward<CubeBackend, 2> for ConvBackward {
    /// What was convolved, by what, and the stride.
    type State = (CubeTensor, CubeTensor, usize);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [to_x, to_weight] = ops.parents;
        let (x, weight, stride) = ops.state;
        let gradient = grads.consume::<CubeBackend>(&ops.node);
        if let Some(node) = to_x {
            let size = std::array::from_fn(|axis| x.meta.shape()[axis + 2]);
            let gradient = conv::input_gradient(gradient.clone(), weight.clone(), stride, size);
            grads.register::<CubeBackend>(node.id, gradient);
        }
        if let Some(node) = to_weight {
            let kernel = weight.meta.shape()[2];
            grads.register::<CubeBackend>(node.id, conv::weight_gradient(x, gradient, stride, kernel));
        }
    }
}

#[derive(Debug)]
struct UpsampleBackward;

impl Backward<CubeBackend, 2> for UpsampleBackward {
    /// Channels of what is doubled.
    type State = usize;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let gradients = upsample::gradients(grads.consume::<CubeBackend>(&ops.node), ops.state);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<CubeBackend>(node.id, gradient);
            }
        }
    }
}

impl<C: CheckpointStrategy> GpuOps for Autodiff<CubeBackend, C> {
    fn gpu_norm_relu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), scale.node(), shift.node()];
        let (x, scale, shift) = (x.into_primitive(), scale.into_primitive(), shift.into_primitive());
        match NormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let normalised = Normalised::new(x, scale, shift, None, groups);
                let out = normalised.out();
                prep.finish(normalised, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(CubeBackend::gpu_norm_relu(x, scale, shift, groups)),
        }
    }

    fn gpu_norm_add_relu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), scale.node(), shift.node(), residual.node()];
        let (x, scale, shift) = (x.into_primitive(), scale.into_primitive(), shift.into_primitive());
        let residual = residual.into_primitive();
        match NormAddBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let normalised = Normalised::new(x, scale, shift, Some(residual), groups);
                let out = normalised.out();
                prep.finish(normalised, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(CubeBackend::gpu_norm_add_relu(x, scale, shift, residual, groups)),
        }
    }

    fn gpu_conv3d(x: FloatTensor<Self>, weight: FloatTensor<Self>, stride: usize) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        match ConvBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let out = CubeBackend::gpu_conv3d(x.clone(), weight.clone(), stride);
                prep.finish((x, weight, stride), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(CubeBackend::gpu_conv3d(x, weight, stride)),
        }
    }

    fn gpu_upsample_concat(x: FloatTensor<Self>, skip: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node(), skip.node()];
        let (x, skip) = (x.into_primitive(), skip.into_primitive());
        match UpsampleBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let channels = x.meta.shape()[1];
                prep.finish(channels, CubeBackend::gpu_upsample_concat(x, skip))
            }
            OpsKind::UnTracked(prep) => prep.finish(CubeBackend::gpu_upsample_concat(x, skip)),
        }
    }
}

//! The network's operations on the CPU: our kernels as a burn backend extension on Flex, each with its own backward pass.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Flex, backend_extension};
use burn::tensor::{DType, Shape, TensorData};
use burn_flex::{FlexTensor, Layout};

use super::kernels::{
    Conv3dShape, GroupNormShape, Output, UpsampleShape, conv3d_backward_input, conv3d_backward_weight, conv3d_forward,
    group_norm_backward, group_norm_forward, upsample_concat_backward, upsample_concat_forward,
};
use super::ops::EPSILON;

/// Operations that have kernels of our own.
#[backend_extension(Flex, Autodiff)]
pub(super) trait CpuOps: Backend {
    /// A convolution without bias: `x [n, in, z, y, x]`, `weight [out, in, k, k, k]`, `k` 1 or 3, `stride` 1 or 2, padded by `k / 2`.
    fn network_conv3d(x: FloatTensor<Self>, weight: FloatTensor<Self>, stride: usize) -> FloatTensor<Self>;

    /// `relu(norm(x) * scale + shift)` over groups of channels; `x [n, c, z, y, x]`.
    fn network_norm_relu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self>;

    /// `relu(norm(x) * scale + shift + residual)`; `residual` has the shape of `x`.
    fn network_norm_add_relu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self>;

    /// `x [n, c, z, y, x]` doubled along each axis by repetition, followed by the channels of `skip [n, d, 2z, 2y, 2x]`.
    fn network_upsample_concat(x: FloatTensor<Self>, skip: FloatTensor<Self>) -> FloatTensor<Self>;
}

fn conv_shape(x: &FlexTensor, weight: &FlexTensor, stride: usize) -> Conv3dShape {
    let (x, w) = (x.layout().shape(), weight.layout().shape());
    Conv3dShape { batch: x[0], channels_in: x[1], channels_out: w[0], input: [x[2], x[3], x[4]], kernel: w[2], stride }
}

/// The values of a tensor in order; copied only where it is a view.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    if tensor.as_slice::<f32>().is_some() { tensor } else { tensor.to_contiguous() }
}

fn slice(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("made contiguous before, and the network computes in f32")
}

fn new_tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

/// A tensor whose memory is reused, as `fill` leaves it; `fill` writes every value.
fn filled<const D: usize>(shape: [usize; D], fill: impl FnOnce(&mut [f32])) -> FlexTensor {
    let mut out = Output::take(shape.iter().product());
    fill(out.values_mut());
    pooled(out, shape)
}

fn pooled<const D: usize>(out: Output, shape: [usize; D]) -> FlexTensor {
    FlexTensor::new(out.into_bytes(), Layout::contiguous(Shape::from(shape)), DType::F32)
}

impl CpuOps for Flex {
    fn network_conv3d(x: FlexTensor, weight: FlexTensor, stride: usize) -> FlexTensor {
        let (x, weight) = (contiguous(x), contiguous(weight));
        let shape = conv_shape(&x, &weight, stride);
        let [depth, height, width] = shape.output();
        filled([shape.batch, shape.channels_out, depth, height, width], |out| {
            conv3d_forward(&shape, slice(&x), slice(&weight), None, out);
        })
    }

    fn network_norm_relu(x: FlexTensor, scale: FlexTensor, shift: FlexTensor, groups: usize) -> FlexTensor {
        normalise(&contiguous(x), &contiguous(scale), &contiguous(shift), None, groups).out
    }

    fn network_norm_add_relu(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        residual: FlexTensor,
        groups: usize,
    ) -> FlexTensor {
        let residual = contiguous(residual);
        normalise(&contiguous(x), &contiguous(scale), &contiguous(shift), Some(&residual), groups).out
    }

    fn network_upsample_concat(x: FlexTensor, skip: FlexTensor) -> FlexTensor {
        let (x, skip) = (contiguous(x), contiguous(skip));
        let shape = upsample_shape(&x, &skip);
        let [z, y, w] = shape.size.map(|n| 2 * n);
        filled([shape.batch, shape.channels + shape.skip_channels, z, y, w], |out| {
            upsample_concat_forward(&shape, slice(&x), slice(&skip), out);
        })
    }
}

fn dims(tensor: &FlexTensor) -> [usize; 5] {
    let shape = tensor.layout().shape();
    std::array::from_fn(|axis| shape[axis])
}

fn upsample_shape(x: &FlexTensor, skip: &FlexTensor) -> UpsampleShape {
    let [batch, channels, z, y, x] = dims(x);
    UpsampleShape { batch, channels, skip_channels: dims(skip)[1], size: [z, y, x] }
}

fn norm_shape(x: &FlexTensor, groups: usize) -> GroupNormShape {
    let [batch, channels, z, y, x] = dims(x);
    GroupNormShape { batch, channels, voxels: z * y * x, groups }
}

/// A normalised tensor and what its backward pass needs.
struct Normalised {
    out: FlexTensor,
    mean: Vec<f32>,
    rstd: Vec<f32>,
}

fn normalise(x: &FlexTensor, scale: &FlexTensor, shift: &FlexTensor, residual: Option<&FlexTensor>, groups: usize) -> Normalised {
    let shape = norm_shape(x, groups);
    let mut mean = vec![0.0; shape.batch * groups];
    let mut rstd = mean.clone();
    let out = filled(dims(x), |out| {
        let (x, residual) = (slice(x), residual.map(slice));
        let (scale, shift) = (slice(scale), slice(shift));
        group_norm_forward(&shape, x, scale, shift, EPSILON as f32, residual, true, out, &mut mean, &mut rstd);
    });
    Normalised { out, mean, rstd }
}

/// Gradients of a convolution: saved are its input, its weight and its stride.
#[derive(Debug)]
struct ConvBackward;

impl Backward<Flex, 2> for ConvBackward {
    type State = (FlexTensor, FlexTensor, usize);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node_x, node_weight] = ops.parents;
        let (x, weight, stride) = ops.state;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let shape = conv_shape(&x, &weight, stride);
        if let Some(node) = node_weight {
            let k = shape.kernel;
            let gradient = filled([shape.channels_out, shape.channels_in, k, k, k], |out| {
                conv3d_backward_weight(&shape, slice(&x), slice(&grad), out);
            });
            grads.register::<Flex>(node.id, gradient);
        }
        if let Some(node) = node_x {
            let [depth, height, width] = shape.input;
            let gradient = filled([shape.batch, shape.channels_in, depth, height, width], |out| {
                conv3d_backward_input(&shape, slice(&weight), slice(&grad), out);
            });
            grads.register::<Flex>(node.id, gradient);
        }
    }
}

/// What the gradients of a normalisation need: its input and output, the scale, and the statistics of each group.
#[derive(Clone, Debug)]
struct NormState {
    x: FlexTensor,
    out: FlexTensor,
    scale: FlexTensor,
    mean: Vec<f32>,
    rstd: Vec<f32>,
    groups: usize,
}

impl NormState {
    /// Gradients of `x`, `scale`, `shift` and, if asked for, of the residual.
    fn gradients(&self, grad: &FlexTensor, with_residual: bool) -> ([FlexTensor; 3], Option<FlexTensor>) {
        let shape = norm_shape(&self.x, self.groups);
        let channels = shape.channels;
        let (mut grad_scale, mut grad_shift) = (vec![0.0; channels], vec![0.0; channels]);
        let mut residual = with_residual.then(|| Output::take(slice(&self.x).len()));
        let grad_x = filled(dims(&self.x), |grad_x| {
            group_norm_backward(
                &shape,
                slice(&self.x),
                Some(slice(&self.out)),
                slice(grad),
                slice(&self.scale),
                &self.mean,
                &self.rstd,
                grad_x,
                &mut grad_scale,
                &mut grad_shift,
                residual.as_mut().map(Output::values_mut),
            );
        });
        let residual = residual.map(|out| pooled(out, dims(&self.x)));
        ([grad_x, new_tensor(grad_scale, [channels]), new_tensor(grad_shift, [channels])], residual)
    }
}

#[derive(Debug)]
struct NormBackward;

impl Backward<Flex, 3> for NormBackward {
    type State = NormState;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (gradients, _) = ops.state.gradients(&grad, false);
        for (node, gradient) in ops.parents.into_iter().zip(gradients) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct NormAddBackward;

impl Backward<Flex, 4> for NormAddBackward {
    type State = NormState;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x, scale, shift, residual] = ops.parents;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let (gradients, grad_residual) = ops.state.gradients(&grad, residual.is_some());
        for (node, gradient) in [x, scale, shift, residual].into_iter().zip(gradients.into_iter().chain(grad_residual)) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct UpsampleBackward;

impl Backward<Flex, 2> for UpsampleBackward {
    type State = UpsampleShape;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node_x, node_skip] = ops.parents;
        let shape = ops.state;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let [z, y, x] = shape.size;
        let coarse = z * y * x;
        let mut grad_x = Output::take(shape.batch * shape.channels * coarse);
        let mut grad_skip = Output::take(shape.batch * shape.skip_channels * 8 * coarse);
        upsample_concat_backward(&shape, slice(&grad), grad_x.values_mut(), grad_skip.values_mut());
        if let Some(node) = node_x {
            grads.register::<Flex>(node.id, pooled(grad_x, [shape.batch, shape.channels, z, y, x]));
        }
        if let Some(node) = node_skip {
            grads.register::<Flex>(node.id, pooled(grad_skip, [shape.batch, shape.skip_channels, 2 * z, 2 * y, 2 * x]));
        }
    }
}

impl<C: CheckpointStrategy> CpuOps for Autodiff<Flex, C> {
    fn network_norm_relu(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), scale.node(), shift.node()];
        let (x, scale, shift) = (x.into_primitive(), scale.into_primitive(), shift.into_primitive());
        match NormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (x, scale, shift) = (contiguous(x), contiguous(scale), contiguous(shift));
                let Normalised { out, mean, rstd } = normalise(&x, &scale, &shift, None, groups);
                prep.finish(NormState { x, out: out.clone(), scale, mean, rstd, groups }, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::network_norm_relu(x, scale, shift, groups)),
        }
    }

    fn network_norm_add_relu(
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
                let (x, scale, shift) = (contiguous(x), contiguous(scale), contiguous(shift));
                let residual = contiguous(residual);
                let Normalised { out, mean, rstd } = normalise(&x, &scale, &shift, Some(&residual), groups);
                prep.finish(NormState { x, out: out.clone(), scale, mean, rstd, groups }, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::network_norm_add_relu(x, scale, shift, residual, groups)),
        }
    }

    fn network_upsample_concat(x: FloatTensor<Self>, skip: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node(), skip.node()];
        let (x, skip) = (x.into_primitive(), skip.into_primitive());
        match UpsampleBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let shape = upsample_shape(&x, &skip);
                prep.finish(shape, Flex::network_upsample_concat(x, skip))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::network_upsample_concat(x, skip)),
        }
    }

    fn network_conv3d(x: FloatTensor<Self>, weight: FloatTensor<Self>, stride: usize) -> FloatTensor<Self> {
        match ConvBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (x, weight) = (contiguous(x.into_primitive()), contiguous(weight.into_primitive()));
                let out = Flex::network_conv3d(x.clone(), weight.clone(), stride);
                prep.finish((x, weight, stride), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::network_conv3d(x.into_primitive(), weight.into_primitive(), stride)),
        }
    }
}

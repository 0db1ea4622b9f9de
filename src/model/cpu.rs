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
    group_norm_backward, group_norm_forward, prelu_backward, prelu_forward, upsample_add_forward, upsample_concat_backward,
    upsample_concat_forward,
};
use super::ops::EPSILON;

/// Operations that have kernels of our own.
#[backend_extension(Flex, Autodiff)]
pub(super) trait CpuOps: Backend {
    /// A convolution without bias: `x [n, in, z, y, x]`, `weight [out, in, k, k, k]`, padded by `(k - 1) / 2`; for `k` and `stride`
    /// see [`Conv3dShape`].
    fn network_conv3d(x: FloatTensor<Self>, weight: FloatTensor<Self>, stride: usize) -> FloatTensor<Self>;

    /// The transposed convolution that doubles each axis: `x [n, in, z, y, x]`, `weight [in, out, 2, 2, 2]`.
    fn network_doubling_conv3d(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `norm(x) * scale + shift` over groups of channels, rectified if `relu`; `x [n, c, z, y, x]`.
    fn network_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        relu: bool,
    ) -> FloatTensor<Self>;

    /// `norm(x) * scale + shift + residual`, rectified if `relu`; `residual` has the shape of `x`.
    fn network_norm_add(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        groups: usize,
        relu: bool,
    ) -> FloatTensor<Self>;

    /// `x [n, c, z, y, x]` where positive, else `slope [c]` times it.
    fn network_prelu(x: FloatTensor<Self>, slope: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x [n, c, z, y, x]` doubled along each axis by repetition, plus `fine [n, c, 2z, 2y, 2x]`.
    fn network_upsample_add(x: FloatTensor<Self>, fine: FloatTensor<Self>) -> FloatTensor<Self>;

    /// `x [n, c, z, y, x]` doubled along each axis by repetition, followed by the channels of `skip [n, d, 2z, 2y, 2x]`.
    fn network_upsample_concat(x: FloatTensor<Self>, skip: FloatTensor<Self>) -> FloatTensor<Self>;
}

fn conv_shape(x: &FlexTensor, weight: &FlexTensor, stride: usize) -> Conv3dShape {
    let (x, w) = (x.layout().shape(), weight.layout().shape());
    Conv3dShape { batch: x[0], channels_in: x[1], channels_out: w[0], input: [x[2], x[3], x[4]], kernel: w[2], stride }
}

/// The halving convolution whose gradient by its input is the doubling one.
fn doubling_shape(x: &FlexTensor, weight: &FlexTensor) -> Conv3dShape {
    let ([batch, channels, z, y, x], [_, out, ..]) = (dims(x), dims(weight));
    Conv3dShape { batch, channels_in: out, channels_out: channels, input: [2 * z, 2 * y, 2 * x], kernel: 2, stride: 2 }
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

    fn network_doubling_conv3d(x: FlexTensor, weight: FlexTensor) -> FlexTensor {
        let (x, weight) = (contiguous(x), contiguous(weight));
        let shape = doubling_shape(&x, &weight);
        let [depth, height, width] = shape.input;
        filled([shape.batch, shape.channels_in, depth, height, width], |out| {
            conv3d_backward_input(&shape, slice(&weight), slice(&x), out);
        })
    }

    fn network_norm(x: FlexTensor, scale: FlexTensor, shift: FlexTensor, groups: usize, relu: bool) -> FlexTensor {
        normalise(&contiguous(x), &contiguous(scale), &contiguous(shift), None, groups, relu).out
    }

    fn network_norm_add(
        x: FlexTensor,
        scale: FlexTensor,
        shift: FlexTensor,
        residual: FlexTensor,
        groups: usize,
        relu: bool,
    ) -> FlexTensor {
        let residual = contiguous(residual);
        normalise(&contiguous(x), &contiguous(scale), &contiguous(shift), Some(&residual), groups, relu).out
    }

    fn network_prelu(x: FlexTensor, slope: FlexTensor) -> FlexTensor {
        let (x, slope) = (contiguous(x), contiguous(slope));
        filled(dims(&x), |out| prelu_forward(slice(&x), slice(&slope), voxels(&x), out))
    }

    fn network_upsample_add(x: FlexTensor, fine: FlexTensor) -> FlexTensor {
        let (x, fine) = (contiguous(x), contiguous(fine));
        let shape = UpsampleShape { skip_channels: 0, ..upsample_shape(&x, &fine) };
        filled(dims(&fine), |out| upsample_add_forward(&shape, slice(&x), slice(&fine), out))
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

/// Values per channel.
fn voxels(x: &FlexTensor) -> usize {
    dims(x)[2..].iter().product()
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

fn normalise(
    x: &FlexTensor,
    scale: &FlexTensor,
    shift: &FlexTensor,
    residual: Option<&FlexTensor>,
    groups: usize,
    relu: bool,
) -> Normalised {
    let shape = norm_shape(x, groups);
    let mut mean = vec![0.0; shape.batch * groups];
    let mut rstd = mean.clone();
    let out = filled(dims(x), |out| {
        let (x, residual) = (slice(x), residual.map(slice));
        let (scale, shift) = (slice(scale), slice(shift));
        group_norm_forward(&shape, x, scale, shift, EPSILON as f32, residual, relu, out, &mut mean, &mut rstd);
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

/// What the gradients of a normalisation need: its input, its output where that was rectified, the scale, and the statistics of each
/// group.
#[derive(Clone, Debug)]
struct NormState {
    x: FlexTensor,
    out: Option<FlexTensor>,
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
                self.out.as_ref().map(slice),
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

#[derive(Debug)]
struct UpsampleAddBackward;

impl Backward<Flex, 2> for UpsampleAddBackward {
    type State = UpsampleShape;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node_x, node_fine] = ops.parents;
        let shape = ops.state;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        if let Some(node) = node_x {
            let [z, y, x] = shape.size;
            let gradient = filled([shape.batch, shape.channels, z, y, x], |out| {
                upsample_concat_backward(&shape, slice(&grad), out, &mut []);
            });
            grads.register::<Flex>(node.id, gradient);
        }
        if let Some(node) = node_fine {
            grads.register::<Flex>(node.id, grad);
        }
    }
}

/// Gradients of the rectifier with slopes: saved are its input and the slopes.
#[derive(Debug)]
struct PreluBackward;

impl Backward<Flex, 2> for PreluBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (x, slope) = ops.state;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        let mut grad_slope = vec![0.0; slice(&slope).len()];
        let grad_x = filled(dims(&x), |grad_x| {
            prelu_backward(slice(&x), slice(&slope), voxels(&x), slice(&grad), grad_x, &mut grad_slope);
        });
        let channels = grad_slope.len();
        for (node, gradient) in ops.parents.into_iter().zip([grad_x, new_tensor(grad_slope, [channels])]) {
            if let Some(node) = node {
                grads.register::<Flex>(node.id, gradient);
            }
        }
    }
}

/// Gradients of the doubling convolution: saved are its input and its weight.
#[derive(Debug)]
struct DoublingBackward;

impl Backward<Flex, 2> for DoublingBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [node_x, node_weight] = ops.parents;
        let (x, weight) = ops.state;
        let grad = contiguous(grads.consume::<Flex>(&ops.node));
        // Everything runs the other way than in the halving convolution.
        let shape = doubling_shape(&x, &weight);
        if let Some(node) = node_weight {
            let gradient = filled(dims(&weight), |out| conv3d_backward_weight(&shape, slice(&grad), slice(&x), out));
            grads.register::<Flex>(node.id, gradient);
        }
        if let Some(node) = node_x {
            let gradient = filled(dims(&x), |out| conv3d_forward(&shape, slice(&grad), slice(&weight), None, out));
            grads.register::<Flex>(node.id, gradient);
        }
    }
}

impl<C: CheckpointStrategy> CpuOps for Autodiff<Flex, C> {
    fn network_norm(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        relu: bool,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), scale.node(), shift.node()];
        let (x, scale, shift) = (x.into_primitive(), scale.into_primitive(), shift.into_primitive());
        match NormBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (x, scale, shift) = (contiguous(x), contiguous(scale), contiguous(shift));
                let Normalised { out, mean, rstd } = normalise(&x, &scale, &shift, None, groups, relu);
                prep.finish(NormState { x, out: relu.then(|| out.clone()), scale, mean, rstd, groups }, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::network_norm(x, scale, shift, groups, relu)),
        }
    }

    fn network_norm_add(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        groups: usize,
        relu: bool,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), scale.node(), shift.node(), residual.node()];
        let (x, scale, shift) = (x.into_primitive(), scale.into_primitive(), shift.into_primitive());
        let residual = residual.into_primitive();
        match NormAddBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (x, scale, shift) = (contiguous(x), contiguous(scale), contiguous(shift));
                let residual = contiguous(residual);
                let Normalised { out, mean, rstd } = normalise(&x, &scale, &shift, Some(&residual), groups, relu);
                prep.finish(NormState { x, out: relu.then(|| out.clone()), scale, mean, rstd, groups }, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::network_norm_add(x, scale, shift, residual, groups, relu)),
        }
    }

    fn network_prelu(x: FloatTensor<Self>, slope: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node(), slope.node()];
        let (x, slope) = (x.into_primitive(), slope.into_primitive());
        match PreluBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (x, slope) = (contiguous(x), contiguous(slope));
                let out = Flex::network_prelu(x.clone(), slope.clone());
                prep.finish((x, slope), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::network_prelu(x, slope)),
        }
    }

    fn network_upsample_add(x: FloatTensor<Self>, fine: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node(), fine.node()];
        let (x, fine) = (x.into_primitive(), fine.into_primitive());
        match UpsampleAddBackward.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let shape = UpsampleShape { skip_channels: 0, ..upsample_shape(&x, &fine) };
                prep.finish(shape, Flex::network_upsample_add(x, fine))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::network_upsample_add(x, fine)),
        }
    }

    fn network_doubling_conv3d(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        match DoublingBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let (x, weight) = (contiguous(x.into_primitive()), contiguous(weight.into_primitive()));
                let out = Flex::network_doubling_conv3d(x.clone(), weight.clone());
                prep.finish((x, weight), out)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::network_doubling_conv3d(x.into_primitive(), weight.into_primitive())),
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

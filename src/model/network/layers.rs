//! What the networks are built from.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use crate::model::initial::Initial;
use crate::model::ops;

/// Groups of channels that share a mean and a deviation in group normalisation.
const GROUPS: usize = 8;

/// Groups of a normalisation of `channels` channels: eight, or one per channel when there are fewer.
pub(super) fn groups(channels: usize) -> usize {
    GROUPS.min(channels)
}

/// A convolution without bias, `[out, in, k, k, k]`, padded by `(k - 1) / 2`.
#[derive(Module, Debug)]
pub(super) struct Conv {
    weight: Param<Tensor<5>>,
    stride: usize,
}

impl Conv {
    pub(super) fn new(draw: &mut Initial, channels_in: usize, channels_out: usize, kernel: usize, stride: usize) -> Self {
        Self { weight: draw.conv(channels_in, channels_out, kernel), stride }
    }

    pub(super) fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        ops::conv3d(x, self.weight.val(), self.stride)
    }
}

/// Group normalisation with a scale and a shift per channel.
#[derive(Module, Debug)]
pub(super) struct Norm {
    scale: Param<Tensor<1>>,
    shift: Param<Tensor<1>>,
    groups: usize,
}

impl Norm {
    pub(super) fn new(draw: &mut Initial, channels: usize) -> Self {
        Self { scale: draw.constant(channels, 1.0), shift: draw.constant(channels, 0.0), groups: groups(channels) }
    }

    /// `norm(x) [+ residual]`.
    pub(super) fn forward(&self, x: Tensor<5>, residual: Option<Tensor<5>>) -> Tensor<5> {
        ops::group_norm(x, self.scale.val(), self.shift.val(), self.groups, residual)
    }

    /// `relu(norm(x) [+ residual])`.
    pub(super) fn forward_relu(&self, x: Tensor<5>, residual: Option<Tensor<5>>) -> Tensor<5> {
        ops::group_norm_relu(x, self.scale.val(), self.shift.val(), self.groups, residual)
    }
}

/// A 3x3x3 convolution, normalised and rectified.
#[derive(Module, Debug)]
pub(super) struct ConvNorm {
    conv: Conv,
    norm: Norm,
}

impl ConvNorm {
    pub(super) fn new(draw: &mut Initial, channels_in: usize, channels_out: usize, stride: usize) -> Self {
        Self { conv: Conv::new(draw, channels_in, channels_out, 3, stride), norm: Norm::new(draw, channels_out) }
    }

    pub(super) fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.norm.forward_relu(self.conv.forward(x), None)
    }
}

/// The basic block of a ResNet: two convolutions round an identity, or round a 1x1x1 convolution where the shape changes.
#[derive(Module, Debug)]
pub(super) struct Residual {
    conv1: Conv,
    norm1: Norm,
    conv2: Conv,
    norm2: Norm,
    shortcut: Option<Conv>,
}

impl Residual {
    pub(super) fn new(draw: &mut Initial, channels_in: usize, channels_out: usize, stride: usize) -> Self {
        Self {
            conv1: Conv::new(draw, channels_in, channels_out, 3, stride),
            norm1: Norm::new(draw, channels_out),
            conv2: Conv::new(draw, channels_out, channels_out, 3, 1),
            norm2: Norm::new(draw, channels_out),
            shortcut: (channels_in != channels_out || stride != 1).then(|| Conv::new(draw, channels_in, channels_out, 1, stride)),
        }
    }

    pub(super) fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let y = self.norm1.forward_relu(self.conv1.forward(x.clone()), None);
        let identity = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        self.norm2.forward_relu(self.conv2.forward(y), Some(identity))
    }
}

/// A 1x1x1 convolution with bias: one heatmap a class.
#[derive(Module, Debug)]
pub(super) struct Head {
    weight: Param<Tensor<5>>,
    bias: Param<Tensor<1>>,
}

impl Head {
    pub(super) fn new(draw: &mut Initial, channels: usize, classes: usize) -> Self {
        Self { weight: draw.conv(channels, classes, 1), bias: draw.bias(channels, classes) }
    }

    pub(super) fn dtype(&self) -> DType {
        self.weight.val().dtype()
    }

    pub(super) fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let [classes] = self.bias.shape().dims();
        ops::conv3d(x, self.weight.val(), 1) + self.bias.val().reshape([1, classes, 1, 1, 1])
    }
}

/// The three 3x3x3 convolutions that stand for the 7x7x7 stem of a ResNet; the first has stride 2.
pub(super) fn draw_stem(draw: &mut Initial, width: usize) -> Vec<ConvNorm> {
    vec![ConvNorm::new(draw, 1, width, 2), ConvNorm::new(draw, width, width, 1), ConvNorm::new(draw, width, width, 1)]
}

/// The stages of a 3D ResNet: the first keeps the stem's resolution, each further one halves it.
pub(super) fn draw_encoder(draw: &mut Initial, widths: &[usize], blocks: &[usize]) -> Vec<Vec<Residual>> {
    (0..widths.len())
        .map(|stage| {
            (0..blocks[stage])
                .map(|block| match (stage, block) {
                    (0, _) => Residual::new(draw, widths[0], widths[0], 1),
                    (_, 0) => Residual::new(draw, widths[stage - 1], widths[stage], 2),
                    _ => Residual::new(draw, widths[stage], widths[stage], 1),
                })
                .collect()
        })
        .collect()
}

/// Weights of [`draw_stem`] and [`draw_encoder`].
pub(super) fn encoder_parameters(widths: &[usize], blocks: &[usize]) -> usize {
    let layer = layer_parameters;
    let mut count = layer(1, widths[0]) + 2 * layer(widths[0], widths[0]);
    for (stage, &width) in widths.iter().enumerate() {
        let before = widths[stage.saturating_sub(1)];
        let shortcut = if before != width || stage > 0 { before * width } else { 0 };
        count += layer(before, width) + layer(width, width) + shortcut;
        count += (blocks[stage] - 1) * 2 * layer(width, width);
    }
    count
}

/// Weights of a [`ConvNorm`].
pub(super) fn layer_parameters(channels_in: usize, channels_out: usize) -> usize {
    27 * channels_in * channels_out + 2 * channels_out
}

/// Weights of a [`Head`].
pub(super) fn head_parameters(channels: usize, classes: usize) -> usize {
    channels * classes + classes
}

/// What each stage of the encoder makes of `voxels [n, 1, z, y, x]`, finest first: `[n, width, z/2, y/2, x/2]` and so on.
pub(super) fn encode(stem: &[ConvNorm], encoder: &[Vec<Residual>], voxels: Tensor<5>) -> Vec<Tensor<5>> {
    let mut x = stem.iter().fold(voxels, |x, layer| layer.forward(x));
    let mut stages = Vec::with_capacity(encoder.len());
    for stage in encoder {
        x = stage.iter().fold(x, |x, block| block.forward(x));
        stages.push(x.clone());
    }
    stages
}

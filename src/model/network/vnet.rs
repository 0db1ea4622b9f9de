//! The V-Net (Milletari et al., arXiv 1606.04797): an encoder and a decoder at full resolution.
//!
//! Each stage is one to three 5x5x5 convolutions whose last output is added to the stage's input; 2x2x2 convolutions with stride 2 halve
//! the resolution and double the channels, transposed ones undo that, and the decoder takes the encoder's features of its resolution
//! beside its own. Every convolution is followed by a rectifier with a learnt slope, and normalised before it as in the authors' later
//! versions, here by groups. The output is a heatmap at stride 1 in place of the two channels of a segmentation.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use super::NetworkConfig;
use super::layers::{Conv, Head, Norm, head_parameters};
use crate::model::initial::Initial;
use crate::model::ops;

/// Edge of the kernels of the stages.
const KERNEL: usize = 5;
/// Slope of the rectifiers at the start (He et al., arXiv 1502.01852).
const SLOPE: f32 = 0.25;

/// A normalisation and a rectifier with a slope per channel.
#[derive(Module, Debug)]
struct Activation {
    norm: Norm,
    slope: Param<Tensor<1>>,
}

impl Activation {
    fn new(draw: &mut Initial, channels: usize) -> Self {
        Self { norm: Norm::new(draw, channels), slope: draw.constant(channels, SLOPE) }
    }

    /// Of `x`, with `residual` added before the rectifier.
    fn forward(&self, x: Tensor<5>, residual: Option<Tensor<5>>) -> Tensor<5> {
        ops::prelu(self.norm.forward(x, residual), self.slope.val())
    }
}

/// Weights of an activation.
fn activation_parameters(channels: usize) -> usize {
    3 * channels
}

/// Convolutions with the stage's input added to the output of the last.
#[derive(Module, Debug)]
struct Stage {
    conv: Vec<Conv>,
    activation: Vec<Activation>,
}

impl Stage {
    /// `count` convolutions to `width` channels; the input has as many, or one.
    fn new(draw: &mut Initial, channels_in: usize, width: usize, count: usize) -> Self {
        let channels = |index: usize| if index == 0 { channels_in } else { width };
        Self {
            conv: (0..count).map(|index| Conv::new(draw, channels(index), width, KERNEL, 1)).collect(),
            activation: (0..count).map(|_| Activation::new(draw, width)).collect(),
        }
    }

    fn parameters(channels_in: usize, width: usize, count: usize) -> usize {
        let conv = |channels_in: usize| KERNEL.pow(3) * channels_in * width;
        conv(channels_in) + (count - 1) * conv(width) + count * activation_parameters(width)
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let mut y = x.clone();
        let last = self.conv.len().saturating_sub(1);
        for (index, (conv, activation)) in self.conv.iter().zip(&self.activation).enumerate() {
            y = conv.forward(y);
            // The tomogram's single channel is added to each.
            let residual = (index == last).then(|| match y.dims()[1] / x.dims()[1] {
                1 => x.clone(),
                times => x.clone().repeat_dim(1, times),
            });
            y = activation.forward(y, residual);
        }
        y
    }
}

/// A 2x2x2 convolution with stride 2.
#[derive(Module, Debug)]
struct Down {
    conv: Conv,
    activation: Activation,
}

impl Down {
    fn new(draw: &mut Initial, channels_in: usize, channels_out: usize) -> Self {
        Self { conv: Conv::new(draw, channels_in, channels_out, 2, 2), activation: Activation::new(draw, channels_out) }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.activation.forward(self.conv.forward(x), None)
    }
}

/// A transposed 2x2x2 convolution with stride 2, `[in, out, 2, 2, 2]`.
#[derive(Module, Debug)]
struct Up {
    weight: Param<Tensor<5>>,
    activation: Activation,
}

impl Up {
    fn new(draw: &mut Initial, channels_in: usize, channels_out: usize) -> Self {
        Self { weight: draw.doubling_conv(channels_in, channels_out), activation: Activation::new(draw, channels_out) }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.activation.forward(ops::doubling_conv3d(x, self.weight.val()), None)
    }
}

/// See the module.
#[derive(Module, Debug)]
pub struct VNet {
    /// The encoder's stages, finest first.
    left: Vec<Stage>,
    /// From each of them to the next.
    down: Vec<Down>,
    /// From each stage to the next finer one, coarsest first.
    up: Vec<Up>,
    /// The decoder's stages, coarsest first.
    right: Vec<Stage>,
    head: Head,
}

/// Channels of a stage of the decoder: its own and the encoder's.
fn joined(width: usize) -> usize {
    2 * width
}

/// Channels of the input of the doubling convolution that leads to `stage`.
fn below(widths: &[usize], stage: usize) -> usize {
    let next = widths[stage + 1];
    if stage + 2 == widths.len() { next } else { joined(next) }
}

/// Channels that the head sees.
fn last_channels(widths: &[usize]) -> usize {
    if widths.len() == 1 { widths[0] } else { joined(widths[0]) }
}

/// Channels of each of the normalisations.
pub(super) fn normalised_channels(widths: &[usize]) -> impl Iterator<Item = usize> + '_ {
    widths.iter().flat_map(|width| [*width, joined(*width)])
}

/// Weights of a V-Net.
pub(super) fn parameters(config: &NetworkConfig) -> usize {
    let (widths, blocks) = (&config.widths, &config.blocks);
    let mut count = Stage::parameters(1, widths[0], blocks[0]) + head_parameters(last_channels(widths), config.classes);
    for stage in 1..widths.len() {
        let (width, finer) = (widths[stage], widths[stage - 1]);
        count += 8 * finer * width + activation_parameters(width) + Stage::parameters(width, width, blocks[stage]);
        count += 8 * below(widths, stage - 1) * finer + activation_parameters(finer);
        count += Stage::parameters(joined(finer), joined(finer), blocks[stage - 1]);
    }
    count
}

impl VNet {
    pub(super) fn new(draw: &mut Initial, config: &NetworkConfig) -> Self {
        let (widths, blocks) = (&config.widths, &config.blocks);
        let left = (0..widths.len())
            .map(|stage| Stage::new(draw, if stage == 0 { 1 } else { widths[stage] }, widths[stage], blocks[stage]))
            .collect();
        let down = widths.windows(2).map(|pair| Down::new(draw, pair[0], pair[1])).collect();
        let upwards = || (0..widths.len() - 1).rev();
        let up = upwards().map(|stage| Up::new(draw, below(widths, stage), widths[stage])).collect();
        let right =
            upwards().map(|stage| Stage::new(draw, joined(widths[stage]), joined(widths[stage]), blocks[stage])).collect();
        Self { left, down, up, right, head: Head::new(draw, last_channels(widths), config.classes) }
    }

    pub(super) fn dtype(&self) -> DType {
        self.head.dtype()
    }

    pub(super) fn forward(&self, voxels: Tensor<5>) -> Tensor<5> {
        let mut x = voxels;
        let mut skips = Vec::with_capacity(self.down.len());
        for (index, stage) in self.left.iter().enumerate() {
            x = stage.forward(x);
            if let Some(down) = self.down.get(index) {
                skips.push(x.clone());
                x = down.forward(x);
            }
        }
        for (up, stage) in self.up.iter().zip(&self.right) {
            x = up.forward(x);
            if let Some(skip) = skips.pop() {
                x = Tensor::cat(vec![x, skip], 1);
            }
            x = stage.forward(x);
        }
        self.head.forward(x)
    }
}

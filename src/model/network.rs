//! The asymmetric residual U-Net.
//!
//! A 3D ResNet encoder whose 7x7x7 stem is replaced by three 3x3x3 convolutions, and a decoder that stops at output stride 2,
//! so it is shallower than the encoder (arXiv 2510.22454, section 2). Normalisation is by groups, which does not depend on the
//! batch: live training uses batches of one to four.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor};

use super::initial::Initial;
use super::ops;
use crate::train::Preset;

/// Voxels per output cell along each axis. Cell `o` is centred on input index `2 o` (kernel 3, stride 2, padding 1).
pub const OUTPUT_STRIDE: usize = 2;

/// Channels that share a mean and a deviation in group normalisation: eight groups, or one per channel when there are fewer.
const GROUPS: usize = 8;

/// The shape of a network.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct NetworkConfig {
    /// Output channels: one a class, and one more for the background of a segmentation.
    pub classes: usize,
    /// Channels of each encoder stage; the first runs at stride 2 and each further one doubles it.
    pub widths: Vec<usize>,
    /// Residual blocks of each encoder stage.
    pub blocks: Vec<usize>,
}

impl NetworkConfig {
    /// The configuration of a preset for `classes` classes.
    pub fn preset(preset: Preset, classes: usize) -> Self {
        let (widths, blocks): (&[usize], &[usize]) = match preset {
            Preset::Compact => (&[24, 48, 96], &[1, 2, 2]),
            Preset::ResNet34 => (&[64, 128, 256, 512], &[3, 4, 6, 3]),
        };
        Self { classes, widths: widths.to_vec(), blocks: blocks.to_vec() }
    }

    /// Voxels that the edges of an input must be a multiple of: the stride of the deepest stage.
    pub fn total_stride(&self) -> usize {
        1 << self.widths.len()
    }

    /// Number of weights of this configuration.
    pub fn parameters(&self) -> usize {
        let conv = |channels_in: usize, channels_out: usize, kernel: usize| channels_in * channels_out * kernel.pow(3);
        let layer = |channels_in: usize, channels_out: usize| conv(channels_in, channels_out, 3) + 2 * channels_out;
        let widths = &self.widths;
        let mut count = layer(1, widths[0]) + 2 * layer(widths[0], widths[0]);
        for (stage, &width) in widths.iter().enumerate() {
            let before = widths[stage.saturating_sub(1)];
            let shortcut = if stage > 0 { conv(before, width, 1) } else { 0 };
            count += layer(before, width) + layer(width, width) + shortcut;
            count += (self.blocks[stage] - 1) * 2 * layer(width, width);
        }
        for stage in 1..widths.len() {
            count += layer(widths[stage] + widths[stage - 1], widths[stage - 1]) + layer(widths[stage - 1], widths[stage - 1]);
        }
        count + conv(widths[0], self.classes, 1) + self.classes
    }

    /// Weights drawn anew for this configuration.
    ///
    /// Convolutions are uniform in `+-1/sqrt(fan in)`, the field's usual start. The draw depends on `seed` alone, not on the
    /// device.
    pub fn init(&self, seed: u64, device: &Device) -> Network {
        let mut draw = Initial::new(seed, device);
        let widths = &self.widths;
        let stem = vec![
            ConvNorm::new(&mut draw, 1, widths[0], 2),
            ConvNorm::new(&mut draw, widths[0], widths[0], 1),
            ConvNorm::new(&mut draw, widths[0], widths[0], 1),
        ];
        let encoder = (0..widths.len())
            .map(|stage| {
                (0..self.blocks[stage])
                    .map(|block| match (stage, block) {
                        (0, _) => Residual::new(&mut draw, widths[0], widths[0], 1),
                        (_, 0) => Residual::new(&mut draw, widths[stage - 1], widths[stage], 2),
                        _ => Residual::new(&mut draw, widths[stage], widths[stage], 1),
                    })
                    .collect()
            })
            .collect();
        let decoder = (1..widths.len())
            .rev()
            .map(|stage| {
                vec![
                    ConvNorm::new(&mut draw, widths[stage] + widths[stage - 1], widths[stage - 1], 1),
                    ConvNorm::new(&mut draw, widths[stage - 1], widths[stage - 1], 1),
                ]
            })
            .collect();
        let head = Head { weight: draw.conv(widths[0], self.classes, 1), bias: draw.bias(widths[0], self.classes) };
        Network { stem, encoder, decoder, head }
    }
}

/// A convolution without bias, `[out, in, k, k, k]`, padded so that stride 1 keeps the size.
#[derive(Module, Debug)]
struct Conv {
    weight: Param<Tensor<5>>,
    stride: usize,
}

impl Conv {
    fn new(draw: &mut Initial, channels_in: usize, channels_out: usize, kernel: usize, stride: usize) -> Self {
        Self { weight: draw.conv(channels_in, channels_out, kernel), stride }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        ops::conv3d(x, self.weight.val(), self.stride)
    }
}

/// Group normalisation with a scale and a shift per channel.
#[derive(Module, Debug)]
struct Norm {
    scale: Param<Tensor<1>>,
    shift: Param<Tensor<1>>,
    groups: usize,
}

impl Norm {
    fn new(draw: &mut Initial, channels: usize) -> Self {
        Self { scale: draw.constant(channels, 1.0), shift: draw.constant(channels, 0.0), groups: GROUPS.min(channels) }
    }

    /// `relu(norm(x) [+ residual])`.
    fn forward_relu(&self, x: Tensor<5>, residual: Option<Tensor<5>>) -> Tensor<5> {
        ops::group_norm_relu(x, self.scale.val(), self.shift.val(), self.groups, residual)
    }
}

#[derive(Module, Debug)]
struct ConvNorm {
    conv: Conv,
    norm: Norm,
}

impl ConvNorm {
    fn new(draw: &mut Initial, channels_in: usize, channels_out: usize, stride: usize) -> Self {
        Self { conv: Conv::new(draw, channels_in, channels_out, 3, stride), norm: Norm::new(draw, channels_out) }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        self.norm.forward_relu(self.conv.forward(x), None)
    }
}

/// The basic block of a ResNet: two convolutions round an identity, or round a 1x1x1 convolution where the shape changes.
#[derive(Module, Debug)]
struct Residual {
    conv1: Conv,
    norm1: Norm,
    conv2: Conv,
    norm2: Norm,
    shortcut: Option<Conv>,
}

impl Residual {
    fn new(draw: &mut Initial, channels_in: usize, channels_out: usize, stride: usize) -> Self {
        Self {
            conv1: Conv::new(draw, channels_in, channels_out, 3, stride),
            norm1: Norm::new(draw, channels_out),
            conv2: Conv::new(draw, channels_out, channels_out, 3, 1),
            norm2: Norm::new(draw, channels_out),
            shortcut: (channels_in != channels_out || stride != 1).then(|| Conv::new(draw, channels_in, channels_out, 1, stride)),
        }
    }

    fn forward(&self, x: Tensor<5>) -> Tensor<5> {
        let y = self.norm1.forward_relu(self.conv1.forward(x.clone()), None);
        let identity = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        self.norm2.forward_relu(self.conv2.forward(y), Some(identity))
    }
}

#[derive(Module, Debug)]
struct Head {
    weight: Param<Tensor<5>>,
    bias: Param<Tensor<1>>,
}

/// The network: a tomogram's crop in, one heatmap a class out.
#[derive(Module, Debug)]
pub struct Network {
    stem: Vec<ConvNorm>,
    encoder: Vec<Vec<Residual>>,
    decoder: Vec<Vec<ConvNorm>>,
    head: Head,
}

impl Network {
    /// The type of the values that it computes with, and takes.
    pub(crate) fn dtype(&self) -> DType {
        self.head.weight.val().dtype()
    }

    /// Heatmaps `[batch, classes, z/2, y/2, x/2]` of normalised voxels `[batch, 1, z, y, x]`, whose edges are multiples of
    /// [`NetworkConfig::total_stride`]. Values are not confined to 0..1.
    pub fn forward(&self, voxels: Tensor<5>) -> Tensor<5> {
        let mut x = self.stem.iter().fold(voxels, |x, layer| layer.forward(x));
        let mut skips = Vec::with_capacity(self.encoder.len());
        for stage in &self.encoder {
            x = stage.iter().fold(x, |x, block| block.forward(x));
            skips.push(x.clone());
        }
        skips.pop();
        for stage in &self.decoder {
            if let Some(skip) = skips.pop() {
                x = ops::upsample_concat(x, skip);
            }
            x = stage.iter().fold(x, |x, layer| layer.forward(x));
        }
        let [classes] = self.head.bias.shape().dims();
        ops::conv3d(x, self.head.weight.val(), 1) + self.head.bias.val().reshape([1, classes, 1, 1, 1])
    }
}

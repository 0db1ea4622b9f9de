//! The networks: what they are called and how large they are. Normalisation is by groups, which does not depend on the batch: live
//! training uses batches of one to four.

mod fpn;
mod layers;
mod unet;
mod vnet;

use burn::module::Module;
use burn::tensor::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use self::fpn::Fpn;
use self::unet::UNet;
use self::vnet::VNet;
use super::initial::Initial;
use crate::train::Preset;

/// Kinds of network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// The asymmetric residual U-Net (arXiv 2510.22454): residual blocks, nearest upsampling, concatenated skips.
    UNet {
        /// Voxels per output cell along each axis: 2, or 4 for a decoder that is one stage shorter.
        output_stride: usize,
    },
    /// The V-Net (arXiv 1606.04797): full resolution, 5x5x5 kernels.
    VNet,
    /// The feature pyramid network (arXiv 1612.03144) over the U-Net's encoder: top-down sums.
    Fpn {
        /// Voxels per output cell along each axis: 2 or 4.
        output_stride: usize,
        /// Channels of the pyramid.
        width: usize,
    },
}

impl Default for Architecture {
    fn default() -> Self {
        Self::UNet { output_stride: 2 }
    }
}

/// The shape of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkConfig {
    /// The kind; what older model files do not say is the U-Net with output stride 2.
    #[serde(default)]
    pub architecture: Architecture,
    /// Output channels: one a class, and one more for the background of a segmentation.
    pub classes: usize,
    /// Channels of each encoder stage. In the U-Net and the pyramid the first runs at stride 2, in the V-Net at full resolution; each
    /// further one doubles the stride.
    pub widths: Vec<usize>,
    /// Residual blocks of each encoder stage; in the V-Net convolutions, of the decoder's stages too.
    pub blocks: Vec<usize>,
}

/// The encoder stage of the U-Net and the pyramid whose resolution is that of the output.
fn finest_stage(output_stride: usize) -> usize {
    output_stride.max(2).ilog2() as usize - 1
}

impl NetworkConfig {
    /// The configuration of a preset for `classes` classes.
    pub fn preset(preset: Preset, classes: usize) -> Self {
        let fpn = |width| Architecture::Fpn { output_stride: 2, width };
        let (architecture, widths, blocks): (_, &[usize], &[usize]) = match preset {
            Preset::Compact => (Architecture::default(), &[24, 48, 96], &[1, 2, 2]),
            Preset::ResNet34 => (Architecture::default(), &[64, 128, 256, 512], &[3, 4, 6, 3]),
            Preset::VNet => (Architecture::VNet, &[16, 32, 64, 128, 256], &[1, 2, 3, 3, 3]),
            Preset::VNetCompact => (Architecture::VNet, &[8, 16, 32], &[1, 1, 2]),
            Preset::Fpn => (fpn(256), &[64, 128, 256, 512], &[3, 4, 6, 3]),
            Preset::FpnCompact => (fpn(48), &[24, 48, 96], &[1, 2, 2]),
        };
        Self { architecture, classes, widths: widths.to_vec(), blocks: blocks.to_vec() }
    }

    /// A U-Net with output stride 2 and the given channels and residual blocks of each encoder stage.
    pub fn unet(classes: usize, widths: &[usize], blocks: &[usize]) -> Self {
        Self { architecture: Architecture::default(), classes, widths: widths.to_vec(), blocks: blocks.to_vec() }
    }

    /// The same network with another output stride; `None` where the architecture does not have it: the V-Net has 1, the others 2
    /// and 4.
    pub fn with_output_stride(mut self, stride: usize) -> Option<Self> {
        match &mut self.architecture {
            Architecture::UNet { output_stride } | Architecture::Fpn { output_stride, .. } => *output_stride = stride,
            Architecture::VNet => return (stride == 1).then_some(self),
        }
        self.fault().is_none().then_some(self)
    }

    /// Voxels per output cell along each axis: 1, 2 or 4. Cell `o` is centred on input index `stride * o` (kernel 3, stride 2, padding
    /// 1 in the encoders; the V-Net returns to full resolution).
    pub fn output_stride(&self) -> usize {
        match self.architecture {
            Architecture::UNet { output_stride } | Architecture::Fpn { output_stride, .. } => output_stride,
            Architecture::VNet => 1,
        }
    }

    /// Voxels that the edges of an input must be a multiple of: the stride of the deepest stage.
    pub fn total_stride(&self) -> usize {
        match self.architecture {
            Architecture::VNet => 1 << (self.widths.len() - 1),
            Architecture::UNet { .. } | Architecture::Fpn { .. } => 1 << self.widths.len(),
        }
    }

    /// Number of weights of this configuration.
    pub fn parameters(&self) -> usize {
        match self.architecture {
            Architecture::UNet { output_stride } => unet::parameters(self, output_stride),
            Architecture::VNet => vnet::parameters(self),
            Architecture::Fpn { output_stride, width } => fpn::parameters(self, output_stride, width),
        }
    }

    /// What makes no sense in the description, if anything does; the other methods need one that makes sense.
    pub fn fault(&self) -> Option<String> {
        let (widths, blocks) = (&self.widths, &self.blocks);
        let is_width = |width: &usize| (1..=4096).contains(width);
        if widths.is_empty()
            || widths.len() != blocks.len()
            || widths.len() > 8
            || !widths.iter().all(is_width)
            || !blocks.iter().all(|count| (1..=64).contains(count))
        {
            return Some(format!("its network makes no sense: widths {widths:?}, blocks {blocks:?}"));
        }
        let mut normalised = widths.clone();
        match self.architecture {
            Architecture::VNet => normalised = vnet::normalised_channels(widths).collect(),
            Architecture::UNet { output_stride } | Architecture::Fpn { output_stride, .. } => {
                if !matches!(output_stride, 2 | 4) || finest_stage(output_stride) >= widths.len() {
                    return Some(format!("its network makes no sense: output stride {output_stride}, widths {widths:?}"));
                }
            }
        }
        if let Architecture::Fpn { width, .. } = self.architecture {
            if !is_width(&width) {
                return Some(format!("its network makes no sense: a pyramid of {width} channels"));
            }
            normalised.push(width);
        }
        let odd = normalised.into_iter().find(|channels| !channels.is_multiple_of(layers::groups(*channels)));
        odd.map(|channels| {
            format!("its network makes no sense: {channels} channels are not {} equal groups", layers::groups(channels))
        })
    }

    /// Values of activations per voxel of the input that live at once at the widest point of the network, which is at its finest
    /// resolution: estimates for one forward pass.
    pub(crate) fn live_values_per_voxel(&self) -> f64 {
        let first = self.widths[0] as f64;
        let next = self.widths.get(1).copied().unwrap_or(0) as f64;
        match self.architecture {
            // Six tensors of the first width (skip, input, result, identity, normalised, scratch of the convolution), and in the
            // decoder two of both widths.
            Architecture::UNet { .. } => 1.0 + (6.0 * first + 2.0 * (first + next)) / 8.0,
            // In the decoder: the two that are joined, their union, result, normalised and scratch.
            Architecture::VNet => 1.0 + 6.0 * 2.0 * first,
            Architecture::Fpn { width, .. } => 1.0 + (6.0 * first).max(first + next + 5.0 * width as f64) / 8.0,
        }
    }

    /// Values per voxel of the input of the largest tensor.
    pub(crate) fn largest_values_per_voxel(&self) -> f64 {
        let first = self.widths[0] as f64;
        let next = self.widths.get(1).copied().unwrap_or(0) as f64;
        let values = match self.architecture {
            Architecture::UNet { .. } => (first + next) / 8.0,
            Architecture::VNet => 2.0 * first,
            Architecture::Fpn { width, .. } => first.max(width as f64) / 8.0,
        };
        values.max(1.0)
    }

    /// Weights drawn anew for this configuration.
    ///
    /// Convolutions are uniform in `+-1/sqrt(fan in)`, the field's usual start. The draw depends on `seed` alone, not on the
    /// device.
    pub fn init(&self, seed: u64, device: &Device) -> Network {
        let draw = &mut Initial::new(seed, device);
        match self.architecture {
            Architecture::UNet { output_stride } => Network::UNet(UNet::new(draw, self, output_stride)),
            Architecture::VNet => Network::VNet(VNet::new(draw, self)),
            Architecture::Fpn { output_stride, width } => Network::Fpn(Fpn::new(draw, self, output_stride, width)),
        }
    }
}

/// The network: a tomogram's crop in, one heatmap a class out.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are two or three of them, and burn's derive takes no boxes")]
pub enum Network {
    /// See [`Architecture::UNet`].
    UNet(UNet),
    /// See [`Architecture::VNet`].
    VNet(VNet),
    /// See [`Architecture::Fpn`].
    Fpn(Fpn),
}

impl Network {
    /// Voxels per output cell along each axis, as [`NetworkConfig::output_stride`].
    pub fn output_stride(&self) -> usize {
        match self {
            Self::UNet(network) => network.output_stride(),
            Self::VNet(_) => 1,
            Self::Fpn(network) => network.output_stride(),
        }
    }

    /// The type of the values that it computes with, and takes.
    pub(crate) fn dtype(&self) -> DType {
        match self {
            Self::UNet(network) => network.dtype(),
            Self::VNet(network) => network.dtype(),
            Self::Fpn(network) => network.dtype(),
        }
    }

    /// Heatmaps `[batch, classes, z/s, y/s, x/s]`, `s` the output stride, of normalised voxels `[batch, 1, z, y, x]`, whose edges are
    /// multiples of [`NetworkConfig::total_stride`]. Values are not confined to 0..1.
    pub fn forward(&self, voxels: Tensor<5>) -> Tensor<5> {
        match self {
            Self::UNet(network) => network.forward(voxels),
            Self::VNet(network) => network.forward(voxels),
            Self::Fpn(network) => network.forward(voxels),
        }
    }
}

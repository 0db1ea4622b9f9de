//! The feature pyramid network (Lin et al., arXiv 1612.03144) over the encoder of the U-Net.
//!
//! A 1x1x1 convolution brings each stage of the encoder to one width; from the coarsest on, the sum so far is doubled by repetition and
//! the next finer one added. The finest sum is smoothed by a 3x3x3 convolution before the head. The paper smooths without a rectifier
//! and its detectors begin with another 3x3 convolution and a rectifier; with one level the two are one, which is normalised as
//! everywhere here.

use burn::module::Module;
use burn::tensor::{DType, Tensor};

use super::layers::{
    Conv, ConvNorm, Head, Residual, draw_encoder, draw_stem, encode, encoder_parameters, head_parameters, layer_parameters,
};
use super::{NetworkConfig, finest_stage};
use crate::model::initial::Initial;
use crate::model::ops;

/// See the module.
#[derive(Module, Debug)]
pub struct Fpn {
    stem: Vec<ConvNorm>,
    encoder: Vec<Vec<Residual>>,
    /// Coarsest first.
    lateral: Vec<Conv>,
    smoothing: ConvNorm,
    head: Head,
}

/// Weights of a pyramid of `width` channels.
pub(super) fn parameters(config: &NetworkConfig, output_stride: usize, width: usize) -> usize {
    let lateral: usize = config.widths.iter().skip(finest_stage(output_stride)).map(|channels| channels * width).sum();
    let rest = layer_parameters(width, width) + head_parameters(width, config.classes);
    encoder_parameters(&config.widths, &config.blocks) + lateral + rest
}

impl Fpn {
    pub(super) fn new(draw: &mut Initial, config: &NetworkConfig, output_stride: usize, width: usize) -> Self {
        let stem = draw_stem(draw, config.widths[0]);
        let encoder = draw_encoder(draw, &config.widths, &config.blocks);
        let stages = config.widths.iter().skip(finest_stage(output_stride)).rev();
        let lateral = stages.map(|channels| Conv::new(draw, *channels, width, 1, 1)).collect();
        let smoothing = ConvNorm::new(draw, width, width, 1);
        Self { stem, encoder, lateral, smoothing, head: Head::new(draw, width, config.classes) }
    }

    pub(super) fn output_stride(&self) -> usize {
        2 << (self.encoder.len() - self.lateral.len())
    }

    pub(super) fn dtype(&self) -> DType {
        self.head.dtype()
    }

    pub(super) fn forward(&self, voxels: Tensor<5>) -> Tensor<5> {
        let stages = encode(&self.stem, &self.encoder, voxels);
        let levels = self.lateral.iter().zip(stages.into_iter().rev()).map(|(lateral, stage)| lateral.forward(stage));
        let Some(sum) = levels.reduce(ops::upsample_add) else { unreachable!("a network has at least one stage") };
        self.head.forward(self.smoothing.forward(sum))
    }
}

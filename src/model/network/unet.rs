//! The asymmetric residual U-Net.
//!
//! A 3D ResNet encoder whose 7x7x7 stem is replaced by three 3x3x3 convolutions, and a decoder that stops at output stride 2 or 4,
//! so it is shallower than the encoder (arXiv 2510.22454, section 2).

use burn::module::Module;
use burn::tensor::{DType, Tensor};

use super::layers::{
    ConvNorm, Head, Residual, draw_encoder, draw_stem, encode, encoder_parameters, head_parameters, layer_parameters,
};
use super::{NetworkConfig, finest_stage};
use crate::model::initial::Initial;
use crate::model::ops;

/// See the module.
#[derive(Module, Debug)]
pub struct UNet {
    stem: Vec<ConvNorm>,
    encoder: Vec<Vec<Residual>>,
    decoder: Vec<Vec<ConvNorm>>,
    head: Head,
}

/// Weights of a U-Net.
pub(super) fn parameters(config: &NetworkConfig, output_stride: usize) -> usize {
    let (widths, finest) = (&config.widths, finest_stage(output_stride));
    let decoder: usize = (finest + 1..widths.len())
        .map(|stage| {
            let width = widths[stage - 1];
            layer_parameters(widths[stage] + width, width) + layer_parameters(width, width)
        })
        .sum();
    encoder_parameters(widths, &config.blocks) + decoder + head_parameters(widths[finest], config.classes)
}

impl UNet {
    pub(super) fn new(draw: &mut Initial, config: &NetworkConfig, output_stride: usize) -> Self {
        let (widths, finest) = (&config.widths, finest_stage(output_stride));
        let stem = draw_stem(draw, widths[0]);
        let encoder = draw_encoder(draw, widths, &config.blocks);
        let decoder = (finest + 1..widths.len())
            .rev()
            .map(|stage| {
                let width = widths[stage - 1];
                vec![ConvNorm::new(draw, widths[stage] + width, width, 1), ConvNorm::new(draw, width, width, 1)]
            })
            .collect();
        Self { stem, encoder, decoder, head: Head::new(draw, widths[finest], config.classes) }
    }

    pub(super) fn output_stride(&self) -> usize {
        2 << (self.encoder.len() - 1 - self.decoder.len())
    }

    pub(super) fn dtype(&self) -> DType {
        self.head.dtype()
    }

    pub(super) fn forward(&self, voxels: Tensor<5>) -> Tensor<5> {
        let mut skips = encode(&self.stem, &self.encoder, voxels);
        let Some(mut x) = skips.pop() else { unreachable!("a network has at least one stage") };
        for stage in &self.decoder {
            if let Some(skip) = skips.pop() {
                x = ops::upsample_concat(x, skip);
            }
            x = stage.iter().fold(x, |x, layer| layer.forward(x));
        }
        self.head.forward(x)
    }
}

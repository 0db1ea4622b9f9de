//! Initial weights, drawn on the host so that every device starts from the same numbers.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Draws parameters one after the other.
pub(super) struct Initial<'a> {
    random: ChaCha8Rng,
    device: &'a Device,
}

impl<'a> Initial<'a> {
    pub(super) fn new(seed: u64, device: &'a Device) -> Self {
        Self { random: ChaCha8Rng::seed_from_u64(seed), device }
    }

    fn uniform(&mut self, count: usize, bound: f32) -> Vec<f32> {
        (0..count).map(|_| self.random.random_range(-bound..bound)).collect()
    }

    /// A convolution's weight `[out, in, k, k, k]`, uniform in `+-1/sqrt(in k^3)`.
    pub(super) fn conv(&mut self, channels_in: usize, channels_out: usize, kernel: usize) -> Param<Tensor<5>> {
        let fan_in = channels_in * kernel.pow(3);
        let values = self.uniform(channels_out * fan_in, 1.0 / (fan_in as f32).sqrt());
        Param::from_data(TensorData::new(values, [channels_out, channels_in, kernel, kernel, kernel]), self.device)
    }

    /// A doubling convolution's weight `[in, out, 2, 2, 2]`, uniform in `+-1/sqrt(in)`: each voxel of its output sums one tap.
    pub(super) fn doubling_conv(&mut self, channels_in: usize, channels_out: usize) -> Param<Tensor<5>> {
        let values = self.uniform(channels_in * channels_out * 8, 1.0 / (channels_in as f32).sqrt());
        Param::from_data(TensorData::new(values, [channels_in, channels_out, 2, 2, 2]), self.device)
    }

    /// The bias of a 1x1x1 convolution, uniform in `+-1/sqrt(in)`.
    pub(super) fn bias(&mut self, channels_in: usize, channels_out: usize) -> Param<Tensor<1>> {
        let values = self.uniform(channels_out, 1.0 / (channels_in as f32).sqrt());
        Param::from_data(TensorData::new(values, [channels_out]), self.device)
    }

    pub(super) fn constant(&mut self, count: usize, value: f32) -> Param<Tensor<1>> {
        Param::from_data(TensorData::new(vec![value; count], [count]), self.device)
    }
}

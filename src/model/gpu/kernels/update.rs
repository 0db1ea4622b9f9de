//! The optimiser's step.

use cubecl::prelude::*;

/// One step of Adam and of the running average, see [`Factors`](crate::model::update::Factors), a unit for each weight; `clip` has one value,
/// and `rest_1`, `rest_2` and `rest` are what the decays leave of 1.
#[cube(launch)]
pub fn adam(
    weight: &Tensor<f32>,
    gradient: &Tensor<f32>,
    average: &Tensor<f32>,
    first: &Tensor<f32>,
    second: &Tensor<f32>,
    clip: &Tensor<f32>,
    weight_out: &mut Tensor<f32>,
    average_out: &mut Tensor<f32>,
    first_out: &mut Tensor<f32>,
    second_out: &mut Tensor<f32>,
    total: usize,
    beta_1: f32,
    rest_1: f32,
    beta_2: f32,
    rest_2: f32,
    epsilon: f32,
    rate: f32,
    decay: f32,
    rest: f32,
) {
    let i = ABSOLUTE_POS;
    if i >= total {
        terminate!();
    }
    let slope = gradient[i] * clip[0];
    let mean = beta_1 * first[i] + rest_1 * slope;
    let square = beta_2 * second[i] + rest_2 * slope * slope;
    let value = weight[i] - rate * mean / (square.sqrt() + epsilon);
    first_out[i] = mean;
    second_out[i] = square;
    weight_out[i] = value;
    average_out[i] = decay * average[i] + rest * value;
}

/// Sums of the squares of every `units`-th value, a unit for each.
#[cube(launch)]
pub fn square_sums(values: &Tensor<f32>, sums: &mut Tensor<f32>, total: usize, units: usize) {
    let unit = ABSOLUTE_POS;
    if unit >= units {
        terminate!();
    }
    let mut sum = f32::new(0.0);
    let mut i = unit;
    while i < total {
        sum += values[i] * values[i];
        i += units;
    }
    sums[unit] = sum;
}

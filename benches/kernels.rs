//! The CPU kernels one by one: `cargo bench --profile dev --bench kernels`.

use burn::tensor::module::conv3d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use divan::{Bencher, black_box};
use semietpicker::model::kernels::{
    Conv3dShape, GroupNormShape, UpsampleShape, conv3d_backward_input, conv3d_backward_weight, conv3d_forward,
    group_norm_backward, group_norm_forward, upsample_concat_forward,
};

mod support;

/// Layers of the `compact` network on crops of 64^3 in a batch of two, then the single layers of the usual comparison:
/// batch, channels in, channels out, edge of the input, kernel, stride.
const SHAPES: [[usize; 6]; 13] = [
    [2, 1, 24, 64, 3, 2],
    [2, 24, 24, 32, 3, 1],
    [2, 24, 48, 32, 3, 2],
    [2, 48, 48, 16, 3, 1],
    [2, 48, 96, 16, 3, 2],
    [2, 96, 96, 8, 3, 1],
    [2, 144, 48, 16, 3, 1],
    [2, 72, 24, 32, 3, 1],
    [2, 24, 6, 32, 1, 1],
    [1, 16, 16, 64, 3, 1],
    [1, 32, 32, 48, 3, 1],
    [1, 64, 64, 24, 3, 1],
    [1, 128, 128, 12, 3, 1],
];

fn conv_shape([batch, channels_in, channels_out, edge, kernel, stride]: [usize; 6]) -> Conv3dShape {
    Conv3dShape { batch, channels_in, channels_out, input: [edge; 3], kernel, stride }
}

fn operations(shape: &Conv3dShape) -> divan::counter::ItemsCount {
    divan::counter::ItemsCount::new(shape.flops() as u64)
}

#[divan::bench(args = SHAPES)]
fn convolution_forward(bencher: Bencher<'_, '_>, shape: [usize; 6]) {
    let shape = conv_shape(shape);
    let (x, weight) = (support::noise(shape.input_len()), support::noise(shape.weight_len()));
    let mut out = vec![0.0; shape.output_len()];
    bencher.counter(operations(&shape)).bench_local(|| conv3d_forward(&shape, black_box(&x), &weight, None, &mut out));
}

#[divan::bench(args = SHAPES)]
fn convolution_input_gradient(bencher: Bencher<'_, '_>, shape: [usize; 6]) {
    let shape = conv_shape(shape);
    let (gradient, weight) = (support::noise(shape.output_len()), support::noise(shape.weight_len()));
    let mut out = vec![0.0; shape.input_len()];
    bencher.counter(operations(&shape)).bench_local(|| conv3d_backward_input(&shape, black_box(&weight), &gradient, &mut out));
}

#[divan::bench(args = SHAPES)]
fn convolution_weight_gradient(bencher: Bencher<'_, '_>, shape: [usize; 6]) {
    let shape = conv_shape(shape);
    let (x, gradient) = (support::noise(shape.input_len()), support::noise(shape.output_len()));
    let mut out = vec![0.0; shape.weight_len()];
    bencher.counter(operations(&shape)).bench_local(|| conv3d_backward_weight(&shape, black_box(&x), &gradient, &mut out));
}

/// Layers of the small V-Net on crops of 48^3 in a batch of two.
const VNET_SHAPES: [[usize; 6]; 6] = [
    [2, 1, 8, 48, 5, 1],
    [2, 16, 16, 48, 5, 1],
    [2, 16, 16, 24, 5, 1],
    [2, 32, 32, 24, 5, 1],
    [2, 32, 32, 12, 5, 1],
    [2, 8, 16, 48, 2, 2],
];

/// Forward and both gradients.
#[divan::bench(args = VNET_SHAPES, sample_count = 3, sample_size = 1)]
fn vnet_convolution(bencher: Bencher<'_, '_>, shape: [usize; 6]) {
    let shape = conv_shape(shape);
    let (x, weight, gradient) =
        (support::noise(shape.input_len()), support::noise(shape.weight_len()), support::noise(shape.output_len()));
    let (mut out, mut of_x, mut of_weight) =
        (vec![0.0; shape.output_len()], vec![0.0; shape.input_len()], vec![0.0; shape.weight_len()]);
    bencher.counter(divan::counter::ItemsCount::new(3 * shape.flops() as u64)).bench_local(|| {
        conv3d_forward(&shape, black_box(&x), &weight, None, &mut out);
        conv3d_backward_input(&shape, &weight, &gradient, &mut of_x);
        conv3d_backward_weight(&shape, &x, &gradient, &mut of_weight);
    });
}

/// The same by burn's own convolution.
#[divan::bench(args = VNET_SHAPES, sample_count = 1, sample_size = 1)]
fn vnet_convolution_of_burn(bencher: Bencher<'_, '_>, shape: [usize; 6]) {
    let shape = conv_shape(shape);
    let device = Device::flex().autodiff();
    let tensor =
        |values: Vec<f32>, dims: [usize; 5]| Tensor::<5>::from_data(TensorData::new(values, dims), &device).require_grad();
    let ([z, y, x], k) = (shape.input, shape.kernel);
    let input = tensor(support::noise(shape.input_len()), [shape.batch, shape.channels_in, z, y, x]);
    let weight = tensor(support::noise(shape.weight_len()), [shape.channels_out, shape.channels_in, k, k, k]);
    let options = ConvOptions::new([shape.stride; 3], [shape.padding(); 3], [1; 3], 1);
    bencher
        .counter(divan::counter::ItemsCount::new(3 * shape.flops() as u64))
        .bench_local(|| conv3d(input.clone(), weight.clone(), None, options.clone()).sum().backward());
}

/// Channels and edge of what the network normalises, in a batch of two.
const NORMS: [[usize; 2]; 3] = [[24, 32], [48, 16], [96, 8]];

fn norm_shape([channels, edge]: [usize; 2]) -> GroupNormShape {
    GroupNormShape { batch: 2, channels, voxels: edge * edge * edge, groups: 8 }
}

#[divan::bench(args = NORMS)]
fn group_norm_relu(bencher: Bencher<'_, '_>, size: [usize; 2]) {
    let shape = norm_shape(size);
    let x = support::noise(2 * shape.channels * shape.voxels);
    let (scale, shift) = (vec![1.0; shape.channels], vec![0.1; shape.channels]);
    let (mut out, mut mean, mut rstd) = (vec![0.0; x.len()], vec![0.0; 16], vec![0.0; 16]);
    bencher.counter(divan::counter::BytesCount::of_slice(&x)).bench_local(|| {
        group_norm_forward(&shape, black_box(&x), &scale, &shift, 1e-5, None, true, &mut out, &mut mean, &mut rstd);
    });
}

#[divan::bench(args = NORMS)]
fn group_norm_relu_gradients(bencher: Bencher<'_, '_>, size: [usize; 2]) {
    let shape = norm_shape(size);
    let x = support::noise(2 * shape.channels * shape.voxels);
    let (scale, mean, rstd) = (vec![1.0; shape.channels], vec![0.0; 16], vec![1.0; 16]);
    let (mut grad_x, mut grad_scale, mut grad_shift) = (vec![0.0; x.len()], vec![0.0; shape.channels], vec![0.0; shape.channels]);
    bencher.counter(divan::counter::BytesCount::of_slice(&x)).bench_local(|| {
        group_norm_backward(
            &shape,
            black_box(&x),
            Some(&x),
            &x,
            &scale,
            &mean,
            &rstd,
            &mut grad_x,
            &mut grad_scale,
            &mut grad_shift,
            None,
        );
    });
}

#[divan::bench]
fn upsample_and_concatenate(bencher: Bencher<'_, '_>) {
    let shape = UpsampleShape { batch: 2, channels: 48, skip_channels: 24, size: [16; 3] };
    let (x, skip) = (support::noise(2 * 48 * 16 * 16 * 16), support::noise(2 * 24 * 32 * 32 * 32));
    let mut out = vec![0.0; 2 * 72 * 32 * 32 * 32];
    bencher
        .counter(divan::counter::BytesCount::of_slice(&out))
        .bench_local(|| upsample_concat_forward(&shape, black_box(&x), &skip, &mut out));
}

fn main() {
    divan::main();
}

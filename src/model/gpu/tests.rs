//! The kernels against burn's plain operations. They run on any Vulkan adapter, a software renderer too.

use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};

use super::*;
use crate::model::device::any_gpu_for_tests;
use crate::model::ops::{
    conv3d, doubling_product, group_norm_relu, plain_conv3d, plain_doubling_conv3d, plain_group_norm_relu, plain_upsample_concat,
    upsample_concat,
};

fn noise<const D: usize>(shape: [usize; D], seed: u64, device: &Device) -> Tensor<D> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        })
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn apart<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (a.into_data(), b.into_data());
    a.iter::<f32>().zip(b.iter::<f32>()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn group_normalisation_agrees_with_the_plain_one_and_keeps_a_small_deviation_beside_a_large_mean() {
    let Some(device) = any_gpu_for_tests() else { return };
    let cpu = Device::flex();
    for (shape, groups, mean) in [
        ([2, 24, 3, 5, 7], 8, 0.0f64),
        ([1, 6, 4, 4, 4], 2, 3.0),
        ([1, 8, 16, 16, 16], 8, 100.0),
        ([3, 320, 2, 3, 2], 8, -1.0),
        ([1, 5, 1, 1, 3], 5, 0.5),
    ] {
        let channels = shape[1];
        let make = |device: &Device| {
            let x = noise(shape, 1, device).add_scalar(mean);
            let scale = noise([channels], 2, device).add_scalar(1.0);
            (x, scale, noise([channels], 3, device), noise(shape, 4, device))
        };
        let (x, scale, shift, residual) = make(&cpu);
        let (gx, gscale, gshift, gresidual) = make(&device);
        for with in [false, true] {
            let plain = plain_group_norm_relu(x.clone(), scale.clone(), shift.clone(), groups, with.then(|| residual.clone()));
            let ours = group_norm_relu(gx.clone(), gscale.clone(), gshift.clone(), groups, with.then(|| gresidual.clone()));
            let error = apart(plain, ours);
            // The input itself is only known to 1e-7 of its mean, against a deviation of 0.3.
            assert!(error < 2e-5 + 1e-5 * (mean as f32).abs(), "{shape:?} {groups} {with}: {error}");
        }
    }
}

#[test]
fn half_precision_data_are_normalised_with_single_precision_statistics() {
    let Some(device) = any_gpu_for_tests() else { return };
    if !supports_half(&device) {
        println!("skipped: the adapter has no half precision");
        return;
    }
    let shape = [1, 16, 12, 12, 12];
    let x = noise(shape, 1, &device).add_scalar(2.0).cast(FloatDType::F16);
    let (scale, shift) = (Tensor::ones([16], &*device), Tensor::zeros([16], &*device));
    let half = group_norm_relu(x.clone(), scale.clone(), shift.clone(), 8, None);
    assert_eq!(half.dtype(), DType::F16);
    let single = group_norm_relu(x.cast(FloatDType::F32), scale, shift, 8, None);
    // Values reach 1.8, where neighbouring numbers of half precision are 0.001 apart.
    assert!(apart(half.cast(FloatDType::F32), single) < 1.1e-3);
}

#[test]
fn upsampling_with_a_skip_agrees_with_the_plain_one() {
    let Some(device) = any_gpu_for_tests() else { return };
    for (x, skip) in [([2, 8, 2, 3, 4], [2, 4, 4, 6, 8]), ([1, 3, 1, 2, 3], [1, 5, 2, 4, 6]), ([2, 6, 3, 1, 2], [2, 2, 6, 2, 4])]
    {
        let (x, skip) = (noise(x, 1, &device), noise(skip, 2, &device));
        let plain = plain_upsample_concat(x.clone(), skip.clone());
        let ours = upsample_concat(x, skip);
        assert_eq!(apart(plain, ours), 0.0);
    }
}

/// Gradients of the sum of `f` of leaves times fixed numbers, one a leaf.
fn gradients(leaves: &[Tensor<5>], f: impl Fn(&[Tensor<5>]) -> Tensor<5>) -> Vec<Tensor<5>> {
    let leaves: Vec<Tensor<5>> = leaves.iter().map(|leaf| Tensor::from_inner(leaf.clone()).require_grad()).collect();
    let out = f(&leaves);
    let by = noise(out.dims(), 9, &out.device());
    let gradients = (out * by).sum().backward();
    leaves.iter().map(|leaf| leaf.grad(&gradients).expect("a leaf")).collect()
}

#[test]
fn gradients_of_the_normalisation_agree_with_the_plain_ones() {
    let Some(device) = any_gpu_for_tests() else { return };
    for (shape, groups) in [([2, 24, 3, 5, 7], 8), ([1, 6, 4, 4, 4], 2), ([3, 320, 2, 3, 2], 8)] {
        let per_channel = [1, shape[1], 1, 1, 1];
        let leaves = [
            noise(shape, 1, &device).add_scalar(0.7),
            noise(per_channel, 2, &device).add_scalar(1.0),
            noise(per_channel, 3, &device),
            noise(shape, 4, &device),
        ];
        for with in [false, true] {
            let call = |plain: bool| {
                gradients(&leaves[..if with { 4 } else { 3 }], |leaves| {
                    let flat = |leaf: &Tensor<5>| leaf.clone().reshape([shape[1]]);
                    let f = if plain { plain_group_norm_relu } else { group_norm_relu };
                    f(leaves[0].clone(), flat(&leaves[1]), flat(&leaves[2]), groups, leaves.get(3).cloned())
                })
            };
            for (leaf, (plain, ours)) in call(true).into_iter().zip(call(false)).enumerate() {
                let error = apart(plain, ours);
                assert!(error < 2e-4, "{shape:?} {with} leaf {leaf}: {error}");
            }
        }
    }
}

#[test]
fn gradients_of_upsampling_agree_with_the_plain_ones() {
    let Some(device) = any_gpu_for_tests() else { return };
    for (x, skip) in [([2, 8, 2, 3, 4], [2, 4, 4, 6, 8]), ([1, 3, 1, 2, 3], [1, 5, 2, 4, 6])] {
        let leaves = [noise(x, 1, &device), noise(skip, 2, &device)];
        let plain = gradients(&leaves, |leaves| plain_upsample_concat(leaves[0].clone(), leaves[1].clone()));
        let ours = gradients(&leaves, |leaves| upsample_concat(leaves[0].clone(), leaves[1].clone()));
        for (plain, ours) in plain.into_iter().zip(ours) {
            assert!(apart(plain, ours) < 1e-5);
        }
    }
}

/// Sizes, channels in and out, kernel and stride of convolutions.
const CONVOLUTIONS: [([usize; 3], usize, usize, usize, usize); 7] = [
    ([4, 6, 5], 8, 4, 3, 1),
    ([3, 5, 4], 1, 6, 3, 2),
    ([6, 4, 8], 4, 6, 3, 2),
    ([4, 4, 4], 8, 12, 1, 2),
    ([3, 3, 5], 6, 2, 1, 1),
    ([4, 6, 2], 4, 8, 2, 2),
    ([5, 6, 7], 2, 3, 5, 1),
];

#[test]
fn convolutions_agree_with_the_plain_ones_on_the_cpu() {
    let Some(device) = any_gpu_for_tests() else { return };
    for ([z, y, x], channels_in, channels_out, kernel, stride) in CONVOLUTIONS {
        let make = |device: &Device| {
            let weight = noise([channels_out, channels_in, kernel, kernel, kernel], 2, device);
            (noise([2, channels_in, z, y, x], 1, device), weight)
        };
        let ((x, weight), (gx, gweight)) = (make(&Device::flex()), make(&device));
        let error = apart(plain_conv3d(x, weight, stride), conv3d(gx, gweight, stride));
        assert!(error < 1e-5, "{channels_in} to {channels_out}, {kernel}, {stride}: {error}");
    }
}

#[test]
fn gradients_of_convolutions_agree_with_the_plain_ones_on_the_cpu() {
    let Some(device) = any_gpu_for_tests() else { return };
    for ([z, y, x], channels_in, channels_out, kernel, stride) in CONVOLUTIONS {
        let call = |device: &Device, f: fn(Tensor<5>, Tensor<5>, usize) -> Tensor<5>| {
            let weight = noise([channels_out, channels_in, kernel, kernel, kernel], 2, device);
            let leaves = [noise([2, channels_in, z, y, x], 1, device), weight];
            gradients(&leaves, |leaves| f(leaves[0].clone(), leaves[1].clone(), stride))
        };
        for (leaf, (plain, ours)) in call(&Device::flex(), plain_conv3d).into_iter().zip(call(&device, conv3d)).enumerate() {
            let error = apart(plain, ours);
            assert!(error < 5e-5, "{channels_in} to {channels_out}, {kernel}, {stride}, leaf {leaf}: {error}");
        }
    }
}

#[test]
fn a_convolution_in_parts_and_with_partial_sums_is_the_whole_one() {
    let Some(device) = any_gpu_for_tests() else { return };
    // Rows of the matrix are divided where it exceeds its limit: 125 x 32 columns leave 16384 rows a part, and there are 17408.
    let leaves = |device: &Device| [noise([1, 32, 16, 32, 34], 1, device), noise([2, 32, 5, 5, 5], 2, device)];
    let call = |device: &Device, f: fn(Tensor<5>, Tensor<5>, usize) -> Tensor<5>| {
        gradients(&leaves(device), |leaves| f(leaves[0].clone(), leaves[1].clone(), 1))
    };
    for (plain, ours) in call(&Device::flex(), conv3d).into_iter().zip(call(&device, conv3d)) {
        let scale = plain.clone().abs().max().into_scalar::<f32>();
        assert!(apart(plain, ours) < 1e-4 * scale);
    }
}

#[test]
fn the_doubling_convolution_of_gpus_agrees_with_the_plain_one() {
    // It is made of the library's operations, which are the same for all devices.
    let call = |f: fn(Tensor<5>, Tensor<5>) -> Tensor<5>| {
        let device = Device::flex();
        let leaves = [noise([2, 6, 3, 2, 4], 1, &device), noise([6, 4, 2, 2, 2], 2, &device)];
        let out = f(leaves[0].clone(), leaves[1].clone());
        [vec![out], gradients(&leaves, |leaves| f(leaves[0].clone(), leaves[1].clone()))].concat()
    };
    for (plain, ours) in call(plain_doubling_conv3d).into_iter().zip(call(doubling_product)) {
        assert!(apart(plain, ours) < 1e-5);
    }
}

#[test]
fn the_cpu_has_no_half_precision_kernels() {
    assert!(!supports_half(&Device::flex()));
}

//! Every instruction set against a plain f64 reference.

use super::*;

/// Uniform in [-1, 1) from a small counter-based generator.
fn noise(len: usize, seed: u64) -> Vec<f32> {
    (0..len as u64)
        .map(|i| {
            let mut z = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ seed.wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((z ^ (z >> 31)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// Calls `visit` with the indices (x, weight, out) of every product of the convolution.
fn for_each_product(shape: &Conv3dShape, mut visit: impl FnMut(usize, usize, usize)) {
    let (k, pad) = (shape.kernel, (shape.kernel - 1) / 2);
    let ([d, h, w], [od, oh, ow]) = (shape.input, shape.output());
    let (ci, co) = (shape.channels_in, shape.channels_out);
    for n in 0..shape.batch {
        for o in 0..co {
            for i in 0..ci {
                for (z, y, x) in (0..od * oh * ow).map(|v| (v / (oh * ow), v / ow % oh, v % ow)) {
                    for (kz, ky, kx) in (0..k * k * k).map(|t| (t / (k * k), t / k % k, t % k)) {
                        let at = [z * shape.stride + kz, y * shape.stride + ky, x * shape.stride + kx];
                        if (0..3).all(|a| at[a] >= pad && at[a] - pad < shape.input[a]) {
                            let [iz, iy, ix] = at.map(|p| p - pad);
                            visit(
                                ((n * ci + i) * d + iz) * h * w + iy * w + ix,
                                (o * ci + i) * k * k * k + (kz * k + ky) * k + kx,
                                ((n * co + o) * od + z) * oh * ow + y * ow + x,
                            );
                        }
                    }
                }
            }
        }
    }
}

fn assert_close(what: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
    let scale = expected.iter().fold(1e-30f64, |m, v| m.max(v.abs()));
    let worst = actual.iter().zip(expected).map(|(&a, &e)| (f64::from(a) - e).abs()).fold(0.0, f64::max);
    assert!(actual.iter().all(|v| v.is_finite()), "{what}: not finite");
    assert!(worst <= tolerance * scale, "{what}: error {worst:e} of scale {scale:e}");
}

fn available() -> Vec<Isa> {
    let (have, lack): (Vec<Isa>, Vec<Isa>) = Isa::ALL.iter().partition(|isa| isa.available());
    for isa in lack {
        println!("skipped: this processor lacks {isa:?}");
    }
    have
}

fn check(shape: &Conv3dShape) {
    let x = noise(shape.input_len(), 1);
    let weight = noise(shape.weight_len(), 2);
    let bias = noise(shape.channels_out, 3);
    let grad = noise(shape.output_len(), 4);
    let plane = shape.output().iter().product::<usize>();
    let mut out: Vec<f64> = (0..shape.output_len()).map(|i| f64::from(bias[i / plane % shape.channels_out])).collect();
    let mut grad_in = vec![0.0f64; x.len()];
    let mut grad_weight = vec![0.0f64; weight.len()];
    for_each_product(shape, |i, k, o| {
        out[o] += f64::from(x[i]) * f64::from(weight[k]);
        grad_in[i] += f64::from(weight[k]) * f64::from(grad[o]);
        grad_weight[k] += f64::from(x[i]) * f64::from(grad[o]);
    });
    for isa in available() {
        let what = |part: &str| format!("{part} of {shape:?} on {isa:?}");
        let mut result = vec![f32::NAN; out.len()];
        conv3d_forward_on(isa, shape, &x, &weight, Some(&bias), &mut result);
        assert_close(&what("output"), &result, &out, 2e-6);
        let mut result = vec![f32::NAN; x.len()];
        conv3d_backward_input_on(isa, shape, &weight, &grad, &mut result);
        assert_close(&what("input gradient"), &result, &grad_in, 2e-6);
        let mut result = vec![f32::NAN; weight.len()];
        conv3d_backward_weight_on(isa, shape, &x, &grad, &mut result);
        assert_close(&what("weight gradient"), &result, &grad_weight, 4e-6);
    }
}

#[test]
fn convolutions_and_their_gradients_equal_the_direct_sum() {
    let sizes = [[1, 1, 1], [2, 1, 3], [5, 4, 7], [3, 6, 17], [4, 8, 8], [2, 3, 33]];
    let channels = [(1, 1), (1, 24), (3, 5), (5, 3), (24, 25), (25, 24), (8, 16)];
    for kernel in [1, 3] {
        for stride in [1, 2] {
            for (i, &input) in sizes.iter().enumerate() {
                for (j, &(channels_in, channels_out)) in channels.iter().enumerate() {
                    // The pairs of large channels with every size would take long in the reference.
                    if channels_in * channels_out > 100 && (i + j) % 3 != 0 {
                        continue;
                    }
                    check(&Conv3dShape { batch: 1 + (i + j) % 3, channels_in, channels_out, input, kernel, stride });
                }
            }
        }
    }
}

#[test]
fn convolutions_of_edge_five_and_halving_ones_equal_the_direct_sum() {
    let sizes = [[2, 3, 2], [5, 4, 7], [3, 6, 17], [4, 8, 8], [2, 3, 33]];
    for (i, &input) in sizes.iter().enumerate() {
        for (j, (channels_in, channels_out)) in [(1, 1), (1, 8), (5, 3), (8, 17), (16, 16)].into_iter().enumerate() {
            let batch = 1 + (i + j) % 2;
            check(&Conv3dShape { batch, channels_in, channels_out, input, kernel: 2, stride: 2 });
            // The reference of the largest takes long.
            if channels_in * channels_out < 100 || (i + j) % 3 == 0 {
                check(&Conv3dShape { batch, channels_in, channels_out, input, kernel: 5, stride: 1 });
            }
        }
    }
    check(&Conv3dShape { batch: 1, channels_in: 7, channels_out: 9, input: [1, 1, 1], kernel: 5, stride: 1 });
}

#[test]
fn the_rectifier_with_slopes_equals_its_formula() {
    let (channels, voxels) = (3, 20_011);
    let (x, grad, slope) = (noise(2 * channels * voxels, 30), noise(2 * channels * voxels, 31), [0.25, -0.5, 1.5]);
    let (mut out, mut grad_x, mut grad_slope) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()], [f32::NAN; 3]);
    prelu_forward(&x, &slope, voxels, &mut out);
    prelu_backward(&x, &slope, voxels, &grad, &mut grad_x, &mut grad_slope);
    let mut sums = [0.0f64; 3];
    for (i, (&x, &grad)) in x.iter().zip(&grad).enumerate() {
        let channel = i / voxels % channels;
        let factor = if x > 0.0 { 1.0 } else { slope[channel] };
        assert_eq!((out[i], grad_x[i]), (factor * x, factor * grad));
        sums[channel] += f64::from(x.min(0.0)) * f64::from(grad);
    }
    assert_close("gradient of the slopes", &grad_slope, &sums, 1e-5);
}

#[test]
fn upsampled_sums_repeat_voxels() {
    let shape = UpsampleShape { batch: 2, channels: 3, skip_channels: 0, size: [2, 3, 5] };
    let (x, fine) = (noise(2 * 3 * 30, 40), noise(2 * 3 * 240, 41));
    let mut out = vec![f32::NAN; fine.len()];
    upsample_add_forward(&shape, &x, &fine, &mut out);
    for (i, &value) in out.iter().enumerate() {
        let (volume, z, y, w) = (i / 240, i / 60 % 4, i / 10 % 6, i % 10);
        assert_eq!(value, fine[i] + x[volume * 30 + z / 2 * 15 + y / 2 * 5 + w / 2]);
    }
}

/// Sum of the products of two tensors.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

#[test]
fn the_gradients_are_the_adjoints_of_the_convolution() {
    for (channels_in, channels_out, input, stride) in [(24, 24, [16; 3], 1), (24, 48, [16; 3], 2), (48, 17, [9, 12, 11], 1)] {
        let shape = Conv3dShape { batch: 2, channels_in, channels_out, input, kernel: 3, stride };
        let (x, weight) = (noise(shape.input_len(), 5), noise(shape.weight_len(), 6));
        let grad = noise(shape.output_len(), 7);
        let mut out = vec![0.0; grad.len()];
        let (mut grad_in, mut grad_weight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
        conv3d_forward(&shape, &x, &weight, None, &mut out);
        conv3d_backward_input(&shape, &weight, &grad, &mut grad_in);
        conv3d_backward_weight(&shape, &x, &grad, &mut grad_weight);
        let scale = (dot(&out, &out) * dot(&grad, &grad)).sqrt();
        let expected = dot(&out, &grad);
        assert!((dot(&x, &grad_in) - expected).abs() < 1e-6 * scale, "{shape:?}: input");
        assert!((dot(&weight, &grad_weight) - expected).abs() < 1e-6 * scale, "{shape:?}: weight");
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for (kernel, stride) in [(3, 1), (3, 2), (1, 1), (1, 2)] {
        let shape = Conv3dShape { batch: 2, channels_in: 9, channels_out: 24, input: [20, 18, 30], kernel, stride };
        let (x, weight) = (noise(shape.input_len(), 8), noise(shape.weight_len(), 9));
        let grad = noise(shape.output_len(), 10);
        let results = [1, 2, 5].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut out = vec![0.0; grad.len()];
                let (mut grad_in, mut grad_weight) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
                conv3d_forward(&shape, &x, &weight, None, &mut out);
                conv3d_backward_input(&shape, &weight, &grad, &mut grad_in);
                conv3d_backward_weight(&shape, &x, &grad, &mut grad_weight);
                (out, grad_in, grad_weight)
            })
        });
        assert!(results[0] == results[1] && results[0] == results[2], "{shape:?}");
    }
}

#[test]
#[should_panic(expected = "the weight has 26 values")]
fn a_slice_of_the_wrong_length_is_refused() {
    let shape = Conv3dShape { batch: 1, channels_in: 1, channels_out: 1, input: [2; 3], kernel: 3, stride: 1 };
    conv3d_forward(&shape, &[0.0; 8], &[0.0; 26], None, &mut [0.0; 8]);
}

#[test]
fn the_bias_gradient_is_the_sum_over_samples_and_voxels() {
    let grad = noise(3 * 5 * 77, 11);
    let mut actual = [f32::NAN; 5];
    bias_gradient(3, &grad, &mut actual);
    let expected: Vec<f64> = (0..5).map(|c| (0..3 * 77).map(|i| f64::from(grad[(i / 77 * 5 + c) * 77 + i % 77])).sum()).collect();
    assert_close("bias gradient", &actual, &expected, 1e-6);
}

/// Group normalisation in f64, straight from its definition.
fn reference_norm(shape: &GroupNormShape, x: &[f64], gamma: &[f64], beta: &[f64], residual: &[f64], relu: bool) -> Vec<f64> {
    let group = shape.channels / shape.groups * shape.voxels;
    let mut out = Vec::with_capacity(x.len());
    for (index, values) in x.chunks(group).enumerate() {
        let mean = values.iter().sum::<f64>() / group as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / group as f64;
        for (i, v) in values.iter().enumerate() {
            let channel = index % shape.groups * (shape.channels / shape.groups) + i / shape.voxels;
            let y = (v - mean) / (variance + 1e-5).sqrt() * gamma[channel] + beta[channel] + residual[index * group + i];
            out.push(if relu { y.max(0.0) } else { y });
        }
    }
    out
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

#[test]
fn group_norm_and_its_gradients_equal_the_definition() {
    for (batch, channels, voxels, groups, relu, with_residual) in
        [(2, 6, 35, 3, true, true), (1, 4, 7, 1, true, false), (2, 3, 64, 3, false, true), (1, 2, 40, 1, false, false)]
    {
        let shape = GroupNormShape { batch, channels, voxels, groups };
        let len = batch * channels * voxels;
        // An offset much larger than the spread is what a one-pass variance would get wrong.
        let x: Vec<f32> = noise(len, 12).iter().map(|v| v + 30.0).collect();
        let (gamma, beta) = (noise(channels, 13), noise(channels, 14));
        let residual = if with_residual { noise(len, 15) } else { vec![0.0; len] };
        let grad = noise(len, 16);
        let (mut out, mut mean, mut rstd) = (vec![0.0; len], vec![0.0; batch * groups], vec![0.0; batch * groups]);
        let given = with_residual.then_some(&residual[..]);
        group_norm_forward(&shape, &x, &gamma, &beta, 1e-5, given, relu, &mut out, &mut mean, &mut rstd);
        let (x64, gamma64, beta64, residual64) = (wide(&x), wide(&gamma), wide(&beta), wide(&residual));
        let forward = |x: &[f64], g: &[f64], b: &[f64], r: &[f64]| reference_norm(&shape, x, g, b, r, relu);
        assert_close("normalised", &out, &forward(&x64, &gamma64, &beta64, &residual64), 2e-5);

        let (mut grad_x, mut grad_residual) = (vec![0.0; len], vec![0.0; len]);
        let (mut grad_gamma, mut grad_beta) = (vec![0.0; channels], vec![0.0; channels]);
        group_norm_backward(
            &shape,
            &x,
            relu.then_some(&out[..]),
            &grad,
            &gamma,
            &mean,
            &rstd,
            &mut grad_x,
            &mut grad_gamma,
            &mut grad_beta,
            with_residual.then_some(&mut grad_residual[..]),
        );
        // Central differences of <out, grad> in f64.
        let numeric = |which: usize, count: usize| -> Vec<f64> {
            let loss = |at: usize, step: f64| -> f64 {
                let mut parts = [x64.clone(), gamma64.clone(), beta64.clone(), residual64.clone()];
                parts[which][at] += step;
                forward(&parts[0], &parts[1], &parts[2], &parts[3]).iter().zip(&grad).map(|(o, &g)| o * f64::from(g)).sum()
            };
            (0..count).map(|at| (loss(at, 1e-6) - loss(at, -1e-6)) / 2e-6).collect()
        };
        assert_close("gradient of x", &grad_x, &numeric(0, len), 1e-4);
        assert_close("gradient of gamma", &grad_gamma, &numeric(1, channels), 1e-4);
        assert_close("gradient of beta", &grad_beta, &numeric(2, channels), 1e-4);
        if with_residual {
            assert_close("gradient of the residual", &grad_residual, &numeric(3, len), 1e-4);
        }
    }
}

#[test]
fn group_norm_spans_several_stretches() {
    let shape = GroupNormShape { batch: 1, channels: 4, voxels: 20_011, groups: 2 };
    let len = 4 * 20_011;
    let x: Vec<f32> = noise(len, 17).iter().enumerate().map(|(i, v)| v + i as f32 * 1e-4).collect();
    let (gamma, beta) = (noise(4, 18), noise(4, 19));
    let (mut out, mut mean, mut rstd) = (vec![0.0; len], vec![0.0; 2], vec![0.0; 2]);
    group_norm_forward(&shape, &x, &gamma, &beta, 1e-5, None, false, &mut out, &mut mean, &mut rstd);
    let expected = reference_norm(&shape, &wide(&x), &wide(&gamma), &wide(&beta), &vec![0.0; len], false);
    assert_close("normalised", &out, &expected, 1e-5);
}

#[test]
fn upsampling_repeats_voxels_and_collects_their_gradients() {
    let shape = UpsampleShape { batch: 2, channels: 3, skip_channels: 2, size: [2, 3, 5] };
    let (x, skip) = (noise(2 * 3 * 30, 20), noise(2 * 2 * 240, 21));
    let mut out = vec![0.0; 2 * 5 * 240];
    upsample_concat_forward(&shape, &x, &skip, &mut out);
    for (i, &value) in out.iter().enumerate() {
        let (n, c, z, y, w) = (i / 1200, i / 240 % 5, i / 60 % 4, i / 10 % 6, i % 10);
        let expected =
            if c < 3 { x[(n * 3 + c) * 30 + z / 2 * 15 + y / 2 * 5 + w / 2] } else { skip[(n * 2 + c - 3) * 240 + i % 240] };
        assert_eq!(value, expected);
    }
    let grad = noise(out.len(), 22);
    let (mut grad_x, mut grad_skip) = (vec![0.0; x.len()], vec![0.0; skip.len()]);
    upsample_concat_backward(&shape, &grad, &mut grad_x, &mut grad_skip);
    let expected = dot(&out, &grad);
    assert!((dot(&x, &grad_x) + dot(&skip, &grad_skip) - expected).abs() < 1e-4);
}

//! The rectifier with a learnt slope a channel (He et al., arXiv 1502.01852, equation 1): `x` where it is positive, `slope * x`
//! elsewhere. Tensors are `[batch, channels, voxels]`.

use rayon::prelude::*;

/// Values handled by one task, few enough that f32 lanes hold their sums.
const STRETCH: usize = 1 << 14;

/// `out = x` where positive, else the channel's slope times `x`; `voxels` values a channel.
///
/// # Panics
/// When the lengths do not belong together.
pub fn prelu_forward(x: &[f32], slope: &[f32], voxels: usize, out: &mut [f32]) {
    check(x, slope, voxels, out.len());
    out.par_chunks_exact_mut(voxels).zip(x.par_chunks_exact(voxels)).enumerate().for_each(|(index, (out, x))| {
        let slope = slope[index % slope.len()];
        out.par_chunks_mut(STRETCH).zip(x.par_chunks(STRETCH)).for_each(|(out, x)| {
            out.iter_mut().zip(x).for_each(|(out, &x)| *out = if x > 0.0 { x } else { slope * x });
        });
    });
}

/// Gradients of [`prelu_forward`] by `x` and by the slopes, overwriting both.
///
/// # Panics
/// When the lengths do not belong together.
pub fn prelu_backward(x: &[f32], slope: &[f32], voxels: usize, grad: &[f32], grad_x: &mut [f32], grad_slope: &mut [f32]) {
    check(x, slope, voxels, grad.len());
    assert_eq!(grad.len(), grad_x.len(), "rectifier: length of the gradient of x");
    assert_eq!(slope.len(), grad_slope.len(), "rectifier: length of the gradient of the slopes");
    let volumes = grad_x.par_chunks_exact_mut(voxels).zip(grad.par_chunks_exact(voxels)).zip(x.par_chunks_exact(voxels));
    let sums: Vec<f64> = volumes
        .enumerate()
        .map(|(index, ((grad_x, grad), x))| {
            let slope = slope[index % slope.len()];
            let parts = grad_x.par_chunks_mut(STRETCH).zip(grad.par_chunks(STRETCH)).zip(x.par_chunks(STRETCH));
            let sums: Vec<f64> = parts.map(|((grad_x, grad), x)| stretch(grad_x, grad, x, slope)).collect();
            sums.iter().sum()
        })
        .collect();
    for (channel, to) in grad_slope.iter_mut().enumerate() {
        *to = sums.iter().skip(channel).step_by(slope.len()).sum::<f64>() as f32;
    }
}

fn check(x: &[f32], slope: &[f32], voxels: usize, other: usize) {
    assert_eq!(x.len(), other, "rectifier: length of the other tensor");
    let volume = voxels * slope.len();
    assert!(volume > 0 && !x.is_empty() && x.len().is_multiple_of(volume), "rectifier: the tensor is not whole samples");
}

/// The gradient by `x` of a stretch; returns the sum over its negative values of `grad * x`.
fn stretch(grad_x: &mut [f32], grad: &[f32], x: &[f32], slope: f32) -> f64 {
    const LANES: usize = 16;
    let mut lanes = [0.0f32; LANES];
    let parts = grad_x.chunks_mut(LANES).zip(grad.chunks(LANES)).zip(x.chunks(LANES));
    for ((grad_x, grad), x) in parts {
        for (((lane, to), &grad), &x) in lanes.iter_mut().zip(grad_x).zip(grad).zip(x) {
            *to = if x > 0.0 { grad } else { slope * grad };
            *lane += if x > 0.0 { 0.0 } else { grad * x };
        }
    }
    lanes.iter().map(|lane| f64::from(*lane)).sum()
}

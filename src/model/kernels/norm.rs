//! Group normalisation (Wu and He, "Group normalization", ECCV 2018), with the residual sum and the rectifier that
//! follow it in the network, so that each tensor is read and written once.
//!
//! out = relu((x - mean) * rstd * gamma + beta + residual), where mean and rstd = 1 / sqrt(variance + eps) are those of
//! one sample's group of channels. The loops are plain slices, compiled for each instruction set.

use super::simd::{Isa, Kernel, Simd};
use rayon::prelude::*;

/// Values handled at a time; two passes over so many come from the first-level cache.
const STRETCH: usize = 4096;
/// Stretches in one parallel task.
const TASK: usize = 4;
const LANES: usize = 32;

/// Shape of a normalised tensor `[batch, channels, voxels]` and its groups of neighbouring channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupNormShape {
    /// Samples.
    pub batch: usize,
    /// Channels.
    pub channels: usize,
    /// Values per channel.
    pub voxels: usize,
    /// Groups; divides the number of channels.
    pub groups: usize,
}

impl GroupNormShape {
    fn len(&self) -> usize {
        self.batch * self.channels * self.voxels
    }

    fn check(&self) {
        assert!(self.len() > 0 && self.groups > 0, "group normalisation needs at least one value: {self:?}");
        assert!(self.channels.is_multiple_of(self.groups), "{} groups do not divide {} channels", self.groups, self.channels);
    }

    fn group_channels(&self) -> usize {
        self.channels / self.groups
    }
}

fn check_len(what: &str, len: usize, expected: usize) {
    assert_eq!(len, expected, "group normalisation: {what} has {len} values, its shape needs {expected}");
}

/// Runs safe code with an instruction set.
fn run<K: Kernel>(isa: Isa, kernel: K) -> K::Output {
    // SAFETY: the kernels of this file are safe code, and `Isa::best` is available.
    unsafe { isa.run(kernel) }
}

/// Sum of the terms made from stretches, in lanes.
macro_rules! lane_sum {
    ($slices:expr, $pattern:pat => $term:expr, $($values:ident),+) => {{
        let mut lanes = [0.0f32; LANES];
        let whole = $slices / LANES * LANES;
        $(let $values = &$values[..$slices];)+
        let mut start = 0;
        while start < whole {
            $(let $values = &$values[start..start + LANES];)+
            for lane in 0..LANES {
                let $pattern = ($($values[lane]),+);
                lanes[lane] += $term;
            }
            start += LANES;
        }
        let mut rest = 0.0f32;
        for at in whole..$slices {
            let $pattern = ($($values[at]),+);
            rest += $term;
        }
        let mut half = LANES;
        while half > 1 {
            half /= 2;
            for lane in 0..half {
                lanes[lane] += lanes[lane + half];
            }
        }
        f64::from(lanes[0] + rest)
    }};
}

/// Number of values, mean and sum of squared deviations.
#[derive(Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    /// Those of two sets together (Chan, Golub and LeVeque 1979).
    fn merge(self, other: Moments) -> Moments {
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Moments {
            count,
            mean: self.mean + delta * other.count / count,
            squares: self.squares + other.squares + delta * delta * self.count * other.count / count,
        }
    }
}

struct StretchMoments<'a>(&'a [f32]);

impl Kernel for StretchMoments<'_> {
    type Output = Moments;
    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Moments {
        let x = self.0;
        let n = x.len();
        let mean = lane_sum!(n, v => v, x) / n as f64;
        let centre = mean as f32;
        // Deviations from the rounded mean; the second term removes what the rounding adds.
        let squares = lane_sum!(n, v => (v - centre) * (v - centre), x);
        let shift = mean - f64::from(centre);
        Moments { count: n as f64, mean, squares: (squares - shift * shift * n as f64).max(0.0) }
    }
}

struct Apply<'a> {
    x: &'a [f32],
    residual: Option<&'a [f32]>,
    mean: f32,
    scale: f32,
    shift: f32,
    relu: bool,
    out: &'a mut [f32],
}

/// max(value, 0), except that what is not a number stays so: a diverged network must be seen.
#[inline(always)]
fn rectify(value: f32) -> f32 {
    if value <= 0.0 { 0.0 } else { value }
}

impl Kernel for Apply<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Apply { x, residual, mean, scale, shift, relu, out } = self;
        match (residual, relu) {
            (None, false) => {
                for (o, &v) in out.iter_mut().zip(x) {
                    *o = (v - mean) * scale + shift;
                }
            }
            (None, true) => {
                for (o, &v) in out.iter_mut().zip(x) {
                    *o = rectify((v - mean) * scale + shift);
                }
            }
            (Some(residual), false) => {
                for ((o, &v), &r) in out.iter_mut().zip(x).zip(residual) {
                    *o = (v - mean) * scale + shift + r;
                }
            }
            (Some(residual), true) => {
                for ((o, &v), &r) in out.iter_mut().zip(x).zip(residual) {
                    *o = rectify((v - mean) * scale + shift + r);
                }
            }
        }
    }
}

/// Group normalisation of `x` `[batch, channels, voxels]` with `gamma` and `beta` per channel, an optional `residual`
/// (shape of `x`) added afterwards, and an optional rectifier, to `out`. `mean_out` and `rstd_out` `[batch * groups]`
/// receive what the backward pass needs. The variance is that of the population (divided by the number of values).
///
/// # Panics
/// When a slice does not have the length of its shape, or the groups do not divide the channels.
#[allow(clippy::too_many_arguments)]
pub fn group_norm_forward(
    shape: &GroupNormShape,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    eps: f32,
    residual: Option<&[f32]>,
    relu: bool,
    out: &mut [f32],
    mean_out: &mut [f32],
    rstd_out: &mut [f32],
) {
    shape.check();
    check_len("x", x.len(), shape.len());
    check_len("gamma", gamma.len(), shape.channels);
    check_len("beta", beta.len(), shape.channels);
    check_len("out", out.len(), shape.len());
    check_len("mean", mean_out.len(), shape.batch * shape.groups);
    check_len("rstd", rstd_out.len(), shape.batch * shape.groups);
    if let Some(residual) = residual {
        check_len("the residual", residual.len(), shape.len());
    }
    let isa = Isa::best();
    let channels = shape.group_channels();
    let group_len = channels * shape.voxels;
    let groups = x.par_chunks_exact(group_len).zip(out.par_chunks_exact_mut(group_len));
    let statistics = mean_out.par_iter_mut().zip(rstd_out);
    groups.zip(statistics).enumerate().for_each(|(index, ((x, out), (mean_out, rstd_out)))| {
        let stretches: Vec<Moments> =
            x.par_chunks(STRETCH).with_min_len(TASK).map(|stretch| run(isa, StretchMoments(stretch))).collect();
        let none = Moments { count: 0.0, mean: 0.0, squares: 0.0 };
        let moments = stretches.into_iter().fold(none, Moments::merge);
        let mean = moments.mean as f32;
        let rstd = (1.0 / (moments.squares / moments.count + f64::from(eps)).sqrt()) as f32;
        (*mean_out, *rstd_out) = (mean, rstd);
        let first_channel = index % shape.groups * channels;
        let residual = residual.map(|residual| &residual[index * group_len..][..group_len]);
        out.par_chunks_exact_mut(shape.voxels).enumerate().for_each(|(c, out)| {
            let channel = first_channel + c;
            let (scale, shift) = (rstd * gamma[channel], beta[channel]);
            let task = STRETCH * TASK;
            out.par_chunks_mut(task).enumerate().for_each(|(part, out)| {
                let range = c * shape.voxels + part * task..c * shape.voxels + part * task + out.len();
                let residual = residual.map(|residual| &residual[range.clone()]);
                run(isa, Apply { x: &x[range], residual, mean, scale, shift, relu, out });
            });
        });
    });
}

/// Sums over a stretch of the gradient g behind the rectifier, and of g * (x - mean).
struct StretchSums<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    gate: Option<&'a [f32]>,
    mean: f32,
}

impl Kernel for StretchSums<'_> {
    type Output = (f64, f64);
    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> (f64, f64) {
        let StretchSums { x, grad, gate, mean } = self;
        let n = x.len();
        match gate {
            None => (lane_sum!(n, g => g, grad), lane_sum!(n, (g, v) => g * (v - mean), grad, x)),
            Some(gate) => (
                lane_sum!(n, (g, o) => if o <= 0.0 { 0.0 } else { g }, grad, gate),
                lane_sum!(n, (g, v, o) => if o <= 0.0 { 0.0 } else { g * (v - mean) }, grad, x, gate),
            ),
        }
    }
}

/// grad_x = g * factor + (x - mean) * slope + offset, and g itself for the residual.
struct BackwardApply<'a> {
    x: &'a [f32],
    grad: &'a [f32],
    gate: Option<&'a [f32]>,
    mean: f32,
    factor: f32,
    slope: f32,
    offset: f32,
    grad_x: &'a mut [f32],
    grad_residual: Option<&'a mut [f32]>,
}

impl Kernel for BackwardApply<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let BackwardApply { x, grad, gate, mean, factor, slope, offset, grad_x, grad_residual } = self;
        if let Some(grad_residual) = grad_residual {
            match gate {
                None => grad_residual.copy_from_slice(grad),
                Some(gate) => {
                    for ((r, &g), &o) in grad_residual.iter_mut().zip(grad).zip(gate) {
                        *r = if o <= 0.0 { 0.0 } else { g };
                    }
                }
            }
        }
        match gate {
            None => {
                for ((d, &v), &g) in grad_x.iter_mut().zip(x).zip(grad) {
                    *d = g * factor + ((v - mean) * slope + offset);
                }
            }
            Some(gate) => {
                for (((d, &v), &g), &o) in grad_x.iter_mut().zip(x).zip(grad).zip(gate) {
                    let g = if o <= 0.0 { 0.0 } else { g };
                    *d = g * factor + ((v - mean) * slope + offset);
                }
            }
        }
    }
}

/// Gradients of [`group_norm_forward`].
///
/// `out` is the forward result and must be given exactly if the rectifier was on; `mean` and `rstd` are what the forward
/// pass stored. Overwrites `grad_x`, `grad_gamma`, `grad_beta` and, where given, `grad_residual`.
///
/// With g the gradient behind the rectifier, h = (x - mean) * rstd and <> the mean over the group:
/// grad_x = rstd * (gamma * g - <gamma * g> - h * <gamma * g * h>).
///
/// # Panics
/// When a slice does not have the length of its shape, or the groups do not divide the channels.
#[allow(clippy::too_many_arguments)]
pub fn group_norm_backward(
    shape: &GroupNormShape,
    x: &[f32],
    out: Option<&[f32]>,
    grad_out: &[f32],
    gamma: &[f32],
    mean: &[f32],
    rstd: &[f32],
    grad_x: &mut [f32],
    grad_gamma: &mut [f32],
    grad_beta: &mut [f32],
    grad_residual: Option<&mut [f32]>,
) {
    shape.check();
    check_len("x", x.len(), shape.len());
    check_len("the gradient of out", grad_out.len(), shape.len());
    check_len("gamma", gamma.len(), shape.channels);
    check_len("mean", mean.len(), shape.batch * shape.groups);
    check_len("rstd", rstd.len(), shape.batch * shape.groups);
    check_len("the gradient of x", grad_x.len(), shape.len());
    check_len("the gradient of gamma", grad_gamma.len(), shape.channels);
    check_len("the gradient of beta", grad_beta.len(), shape.channels);
    if let Some(out) = out {
        check_len("out", out.len(), shape.len());
    }
    if let Some(grad_residual) = &grad_residual {
        check_len("the gradient of the residual", grad_residual.len(), shape.len());
    }
    let isa = Isa::best();
    let channels = shape.group_channels();
    let voxels = shape.voxels;
    let group_len = channels * voxels;
    let residuals: Vec<Option<&mut [f32]>> = match grad_residual {
        Some(values) => values.chunks_exact_mut(group_len).map(Some).collect(),
        None => (0..shape.batch * shape.groups).map(|_| None).collect(),
    };
    let groups = grad_x.par_chunks_exact_mut(group_len).zip(residuals).enumerate();
    let sums: Vec<Vec<(f64, f64)>> = groups
        .map(|(index, (grad_x, mut grad_residual))| {
            let (mean, rstd) = (mean[index], rstd[index]);
            let first_channel = index % shape.groups * channels;
            let start = index * group_len;
            let of_channel = |c: usize| {
                let parts: Vec<(f64, f64)> = (0..voxels.div_ceil(STRETCH))
                    .into_par_iter()
                    .with_min_len(TASK)
                    .map(|part| {
                        let range = start + c * voxels + part * STRETCH..start + c * voxels + ((part + 1) * STRETCH).min(voxels);
                        let gate = out.map(|out| &out[range.clone()]);
                        run(isa, StretchSums { x: &x[range.clone()], grad: &grad_out[range], gate, mean })
                    })
                    .collect();
                let (plain, product) = parts.into_iter().fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
                (plain, product * f64::from(rstd))
            };
            let sums: Vec<(f64, f64)> = (0..channels).into_par_iter().map(of_channel).collect();
            let weighted = sums.iter().enumerate().fold((0.0, 0.0), |total, (c, sum)| {
                let gamma = f64::from(gamma[first_channel + c]);
                (total.0 + gamma * sum.0, total.1 + gamma * sum.1)
            });
            let count = group_len as f64;
            let offset = (-f64::from(rstd) * weighted.0 / count) as f32;
            let slope = (-f64::from(rstd) * f64::from(rstd) * weighted.1 / count) as f32;
            let task = STRETCH * TASK;
            let mut residual_parts: Vec<Option<&mut [f32]>> = match grad_residual.as_deref_mut() {
                Some(values) => values.chunks_exact_mut(voxels).flat_map(|c| c.chunks_mut(task)).map(Some).collect(),
                None => (0..channels * voxels.div_ceil(task)).map(|_| None).collect(),
            };
            let parts: Vec<&mut [f32]> = grad_x.chunks_exact_mut(voxels).flat_map(|c| c.chunks_mut(task)).collect();
            let per_channel = voxels.div_ceil(task);
            parts.into_par_iter().zip(residual_parts.par_iter_mut()).enumerate().for_each(|(at, (grad_x, residual))| {
                let (c, part) = (at / per_channel, at % per_channel);
                let first = start + c * voxels + part * task;
                let range = first..first + grad_x.len();
                run(
                    isa,
                    BackwardApply {
                        x: &x[range.clone()],
                        grad: &grad_out[range.clone()],
                        gate: out.map(|out| &out[range]),
                        mean,
                        factor: rstd * gamma[first_channel + c],
                        slope,
                        offset,
                        grad_x,
                        grad_residual: residual.as_deref_mut(),
                    },
                );
            });
            sums
        })
        .collect();
    for (channel, (gamma, beta)) in grad_gamma.iter_mut().zip(grad_beta).enumerate() {
        let (group, c) = (channel / channels, channel % channels);
        let samples = (0..shape.batch).map(|n| sums[n * shape.groups + group][c]);
        let (plain, product) = samples.fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
        (*gamma, *beta) = (product as f32, plain as f32);
    }
}

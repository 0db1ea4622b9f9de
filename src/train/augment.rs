//! Random changes of a crop that leave its labels true.
//!
//! Geometry is changed in voxels *and* in label coordinates before the target is rendered, so that a flipped particle is taught where
//! it lies, to a fraction of a voxel, and not half an output cell beside it.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};

use crate::model::Supervision;

/// Quarter turns about z and flips: the symmetries that keep the missing wedge within 90 degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Orientation {
    /// Quarter turns about z, 0 to 3.
    pub quarter_turns: u8,
    /// Flips along `(z, y, x)`, after the turns.
    pub flip: [bool; 3],
}

impl Orientation {
    pub(super) fn random(random: &mut impl Rng) -> Self {
        Self { quarter_turns: random.random_range(0..4), flip: std::array::from_fn(|_| random.random_bool(0.5)) }
    }

    /// Where a point of a cube of `n` voxels comes to lie.
    pub(super) fn apply(&self, position: [f64; 3], n: usize) -> [f64; 3] {
        let last = n as f64 - 1.0;
        let [z, mut y, mut x] = position;
        for _ in 0..self.quarter_turns {
            (y, x) = (last - x, y);
        }
        let turned = [z, y, x];
        std::array::from_fn(|axis| if self.flip[axis] { last - turned[axis] } else { turned[axis] })
    }

    /// The turned and flipped voxels of a cube of edge `n`.
    pub(super) fn apply_voxels(&self, voxels: &[f32], n: usize) -> Vec<f32> {
        // The mapping is affine: three corners say where every voxel goes.
        let index = |p: [f64; 3]| -> i64 {
            let q = self.apply(p, n);
            (q[0] as i64 * n as i64 + q[1] as i64) * n as i64 + q[2] as i64
        };
        let start = index([0.0; 3]);
        let step = [index([1.0, 0.0, 0.0]) - start, index([0.0, 1.0, 0.0]) - start, index([0.0, 0.0, 1.0]) - start];
        let mut out = vec![0.0; voxels.len()];
        for z in 0..n {
            for y in 0..n {
                let row = &voxels[(z * n + y) * n..][..n];
                let mut target = start + z as i64 * step[0] + y as i64 * step[1];
                for value in row {
                    out[target as usize] = *value;
                    target += step[2];
                }
            }
        }
        out
    }

    /// The labels and boxes of the turned and flipped cube.
    pub(super) fn apply_supervision(&self, supervision: &Supervision, n: usize) -> Supervision {
        let turn_box = |(first, last): ([f64; 3], [f64; 3])| {
            let (a, b) = (self.apply(first, n), self.apply(last, n));
            (std::array::from_fn(|i| a[i].min(b[i])), std::array::from_fn(|i| a[i].max(b[i])))
        };
        Supervision {
            markers: supervision.markers.iter().map(|(position, marker)| (self.apply(*position, n), *marker)).collect(),
            complete: supervision.complete.iter().map(|b| turn_box(*b)).collect(),
            inside: turn_box(supervision.inside),
        }
    }
}

/// Share of the crops whose contrast is bent, and of those that get noise.
const OFTEN: f64 = 0.3;

/// Scales by 0.85 to 1.15 and shifts by -0.15 to 0.15 deviations; in three of ten cases each, bends the contrast by a gamma of 0.85 to
/// 1.15 and adds noise of up to half a deviation. These are the intensity transforms of MONAI (`RandScaleIntensity`,
/// `RandShiftIntensity`, `RandAdjustContrast`, `RandGaussianNoise`).
pub(super) fn change_intensity(voxels: &mut [f32], random: &mut impl Rng) {
    let scale = random.random_range(0.85..1.15f32);
    let shift = random.random_range(-0.15..0.15f32);
    voxels.iter_mut().for_each(|v| *v = *v * scale + shift);
    if random.random_bool(OFTEN) {
        bend_contrast(voxels, random.random_range(0.85..1.15f32));
    }
    if random.random_bool(OFTEN) {
        let deviation = random.random_range(0.0..0.5f32);
        for value in voxels {
            let draw: f32 = StandardNormal.sample(random);
            *value += deviation * draw;
        }
    }
}

/// `low + range * ((v - low) / range)^gamma` over the range of the crop's values, which stay within it.
fn bend_contrast(voxels: &mut [f32], gamma: f32) {
    let (low, high) = voxels.iter().fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    let range = high - low;
    if range.is_finite() && range > 0.0 {
        voxels.iter_mut().for_each(|v| *v = low + range * ((*v - low) / range).powf(gamma));
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn voxels_and_labels_move_together() {
        let n = 6;
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..40 {
            let orientation = Orientation::random(&mut random);
            let p: [usize; 3] = std::array::from_fn(|_| random.random_range(0..n));
            let mut voxels = vec![0.0; n * n * n];
            voxels[(p[0] * n + p[1]) * n + p[2]] = 1.0;
            let moved = orientation.apply_voxels(&voxels, n);
            let q = orientation.apply(p.map(|v| v as f64), n).map(|v| v as usize);
            assert_eq!(moved[(q[0] * n + q[1]) * n + q[2]], 1.0);
            assert_eq!(moved.iter().sum::<f32>(), 1.0);
        }
    }

    #[test]
    fn four_quarter_turns_are_none_and_flips_undo_themselves() {
        let p = [1.0, 2.25, 4.5];
        let turn = Orientation { quarter_turns: 1, flip: [false; 3] };
        let turned = (0..4).fold(p, |p, _| turn.apply(p, 8));
        assert_eq!(turned, p);
        let flip = Orientation { quarter_turns: 0, flip: [true, false, true] };
        assert_eq!(flip.apply(flip.apply(p, 8), 8), p);
    }

    #[test]
    fn boxes_stay_ordered() {
        let supervision =
            Supervision { markers: vec![], complete: vec![([0.0, 1.0, 2.0], [3.0, 4.0, 5.0])], inside: ([0.0; 3], [7.0; 3]) };
        let turned = Orientation { quarter_turns: 1, flip: [true, true, false] }.apply_supervision(&supervision, 8);
        let (first, last) = turned.complete[0];
        assert!((0..3).all(|axis| first[axis] <= last[axis]));
        assert_eq!(turned.inside, supervision.inside);
    }

    #[test]
    fn contrast_keeps_the_ends_and_the_order() {
        let before: Vec<f32> = (0..50).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
        for gamma in [0.85, 1.0, 1.15] {
            let mut after = before.clone();
            bend_contrast(&mut after, gamma);
            let ends = |v: &[f32]| (v.iter().copied().fold(f32::MAX, f32::min), v.iter().copied().fold(f32::MIN, f32::max));
            let ((a, b), (c, d)) = (ends(&before), ends(&after));
            assert!((a - c).abs() < 1e-4 && (b - d).abs() < 1e-4);
            for (i, j) in (0..50).flat_map(|i| (0..50).map(move |j| (i, j))) {
                assert!(before[i] >= before[j] || after[i] <= after[j]);
            }
            assert_eq!(gamma == 1.0, before.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-5));
        }
        let mut flat = vec![2.0; 8];
        bend_contrast(&mut flat, 1.1);
        assert_eq!(flat, [2.0; 8]);
    }
}

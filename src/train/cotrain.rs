//! Learning from unlabelled tomograms: what the teacher sees and what the student sees.

use rand::{Rng, RngExt};

/// Edge of the cube that a seed of a dropped block grows to.
const BLOCK: usize = 3;

/// Occludes about `fraction` of the voxels of a cube of `edge` by blocks: Bernoulli seeds, grown by a 3x3x3 max-pool of stride 1, are
/// set to 0, the volume's mean. Parts of a particle vanish, rarely a whole one.
///
/// A voxel is lost when any of the 27 cells round it is a seed, so `p = 1 - (1 - f)^(1/27)` loses the fraction `f`
/// (DropBlock of arXiv 1810.12890, made three-dimensional by arXiv 2510.22454).
pub(super) fn drop_blocks(voxels: &mut [f32], edge: usize, fraction: f64, random: &mut impl Rng) {
    if fraction <= 0.0 {
        return;
    }
    let seed = 1.0 - (1.0 - fraction.min(0.99)).powf(1.0 / BLOCK.pow(3) as f64);
    // The distance to the next seed of a Bernoulli sequence is geometric: no draw per voxel is needed.
    let rate = (1.0 - seed).ln();
    let mut at = 0usize;
    loop {
        let uniform: f64 = random.random_range(f64::MIN_POSITIVE..1.0);
        at = at.saturating_add((uniform.ln() / rate) as usize);
        if at >= voxels.len() {
            return;
        }
        let (z, y, x) = (at / (edge * edge), at / edge % edge, at % edge);
        let reach = |i: usize| i.saturating_sub(1)..(i + 2).min(edge);
        for z in reach(z) {
            for y in reach(y) {
                voxels[(z * edge + y) * edge..][reach(x)].fill(0.0);
            }
        }
        at += 1;
    }
}

/// Weight of the consistency loss `step` steps into co-training: rises linearly to `weight` over `ramp` steps.
pub(super) fn consistency_weight(step: usize, ramp: usize, weight: f64) -> f64 {
    weight * (step as f64 / ramp.max(1) as f64).min(1.0)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_dropped_share_is_the_one_asked_for() {
        let mut random = ChaCha8Rng::seed_from_u64(2);
        for fraction in [0.0, 0.1, 0.2, 0.5] {
            let edge = 64;
            let mut voxels = vec![1.0; edge * edge * edge];
            drop_blocks(&mut voxels, edge, fraction, &mut random);
            let lost = voxels.iter().filter(|v| **v == 0.0).count() as f64 / voxels.len() as f64;
            assert!((lost - fraction).abs() < 0.03, "{lost} instead of {fraction}");
        }
    }

    #[test]
    fn the_ramp_starts_at_nothing_and_stays_at_its_weight() {
        assert_eq!(consistency_weight(0, 50, 2.0), 0.0);
        assert_eq!(consistency_weight(25, 50, 2.0), 1.0);
        assert_eq!(consistency_weight(500, 50, 2.0), 2.0);
        assert_eq!(consistency_weight(1, 0, 1.0), 1.0);
    }
}

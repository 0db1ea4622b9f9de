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

/// The supervised error is a mean over known cells; with fewer than this share of them the consistency loss grows no further.
const LEAST_KNOWN: f64 = 0.1;
/// No map above this is taken for background, however small alpha is.
const HIGHEST_BACKGROUND: f64 = 0.5;

/// Weight of the consistency loss `step` steps into co-training: rises linearly to `weight` over `ramp` steps, divided by the share
/// of the labelled crops' cells that are `known`. Both losses are means, that of the labels over the known cells alone: only so does a
/// cell of an unlabelled crop weigh as much as a labelled one.
pub(super) fn consistency_weight(step: usize, ramp: usize, weight: f64, known: f64) -> f64 {
    weight * (step as f64 / ramp.max(1) as f64).min(1.0) / known.clamp(LEAST_KNOWN, 1.0)
}

/// The height below which a teacher's map means a particle with less than `probability`, and so background: a network that
/// minimises `(Y + alpha) (Yhat - Y)^2` answers `(1 + alpha) p / (p + alpha)` to a probability `p`, see
/// [`expected_squared_error`](crate::model::expected_squared_error).
pub(super) fn background_below(probability: f64, alpha: f64) -> f64 {
    match probability > 0.0 {
        true => ((1.0 + alpha) * probability / (probability + alpha)).min(HIGHEST_BACKGROUND),
        false => 0.0,
    }
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
        assert_eq!(consistency_weight(0, 50, 2.0, 1.0), 0.0);
        assert_eq!(consistency_weight(25, 50, 2.0, 1.0), 1.0);
        assert_eq!(consistency_weight(500, 50, 2.0, 1.0), 2.0);
        assert_eq!(consistency_weight(1, 0, 1.0, 1.0), 1.0);
    }

    #[test]
    fn a_pseudo_labelled_cell_weighs_as_much_as_a_labelled_one() {
        assert_eq!(consistency_weight(500, 50, 1.0, 0.25), 4.0);
        assert_eq!(consistency_weight(500, 50, 1.0, 0.0), 10.0);
    }

    #[test]
    fn background_is_what_the_loss_makes_of_its_probability() {
        // The height that minimises p (1 + alpha) (m - 1)^2 + (1 - p) alpha m^2, by search.
        for (p, alpha) in [(0.05f64, 0.1f64), (0.02, 0.25), (0.05, 1.0)] {
            let cost = |m: f64| p * (1.0 + alpha) * (m - 1.0).powi(2) + (1.0 - p) * alpha * m * m;
            let best = (0..=10_000).map(|i| f64::from(i) / 1e4).min_by(|a, b| cost(*a).total_cmp(&cost(*b))).unwrap();
            assert!((background_below(p, alpha) - best).abs() < 2e-4, "{p} {alpha}");
        }
        assert_eq!(background_below(0.0, 0.1), 0.0);
        assert_eq!(background_below(0.05, 0.0), 0.5);
    }
}

//! Segmentation as a detector: what the network is taught, and what its output means.
//!
//! In the manner of DeepFinder (Moebel et al., Nature Methods 18, 2021) each particle is a ball of its class's label in a mask, and
//! what is in no ball is background. A network for `n` classes has `n + 1` output channels; the last is the background's.

use burn::tensor::activation::softmax;
use burn::tensor::{FloatDType, Tensor};

use super::target::{Marker, Supervision, Target, ball, render_target};
use crate::train::Detector;

/// Share of a particle's radius that its ball in the mask has. Particles that touch lie one and a half to two radii apart, so a gap
/// of at least half a radius stays between their balls.
const SHARE: f64 = 0.5;
/// Smallest radius of a ball in cells: beyond `sqrt(3) / 2` every ball holds a cell, wherever its centre lies.
const SMALLEST_RADIUS: f64 = 1.0;

/// Radius in cells of the ball in the mask of a particle of `radius_cells`.
pub fn mask_radius_cells(radius_cells: f64) -> f64 {
    (SHARE * radius_cells).max(SMALLEST_RADIUS)
}

/// Renders the mask of a crop of `crop` voxels `(z, y, x)` for classes of the given radii in voxels, at `stride` voxels per cell.
///
/// [`Target::heatmap`] holds one channel a class and the background's behind them, `[channel][z][y][x]`; one channel of
/// each cell is set. A cell belongs to the nearest of the particles whose ball ([`mask_radius_cells`]) holds it. [`Target::weight`] has one
/// channel for all: 1 where [`render_target`] knows every class, so that complete regions, sparse labels and negatives mean what
/// they mean to heatmaps. Round a negative that is a ball of 1.5 radii of the smallest class.
pub fn render_mask(crop: [usize; 3], radii_voxels: &[f64], supervision: &Supervision, stride: usize) -> Target {
    let Target { weight: known, cells, .. } = render_target(crop, radii_voxels, supervision, stride);
    let (per_class, classes) = (cells.iter().product::<usize>(), radii_voxels.len());
    let weight =
        (0..per_class).map(|cell| (0..classes).map(|class| known[class * per_class + cell]).fold(1.0, f32::min)).collect();
    let mut heatmap = vec![0.0; per_class * (classes + 1)];
    for (cell, class) in nearest(cells, stride as f64, radii_voxels, &supervision.markers).into_iter().enumerate() {
        heatmap[class * per_class + cell] = 1.0;
    }
    Target { heatmap, weight, cells }
}

/// The class of each cell, which is the number of classes for the background. `stride`: voxels per cell.
fn nearest(cells: [usize; 3], stride: f64, radii_voxels: &[f64], markers: &[([f64; 3], Marker)]) -> Vec<usize> {
    let per_class = cells.iter().product();
    let mut class_of = vec![radii_voxels.len(); per_class];
    let mut distance = vec![f64::MAX; per_class];
    for (position, marker) in markers {
        let (Marker::Particle(class) | Marker::HeldOut(class)) = *marker else { continue };
        let radius = mask_radius_cells(radii_voxels[class] / stride);
        ball(position.map(|p| p / stride), radius, cells, |cell, squared| {
            if squared < distance[cell] {
                distance[cell] = squared;
                class_of[cell] = class;
            }
        });
    }
    class_of
}

impl Detector {
    /// Output channels of a network for `classes` classes.
    pub fn channels(self, classes: usize) -> usize {
        match self {
            Self::Heatmap => classes,
            Self::Segmentation => classes + 1,
        }
    }

    /// Classes of a network of `channels` output channels.
    pub fn classes(self, channels: usize) -> usize {
        match self {
            Self::Heatmap => channels,
            Self::Segmentation => channels.saturating_sub(1),
        }
    }

    /// What a network's output `[batch, channels, z, y, x]` says: heatmaps as they are, or the probabilities of the classes and the
    /// background.
    pub(crate) fn activate(self, output: Tensor<5>) -> Tensor<5> {
        match self {
            Self::Heatmap => output,
            // A device in half precision has too few digits for probabilities near 1.
            Self::Segmentation => softmax(output.cast(FloatDType::F32), 1),
        }
    }

    /// The target of a crop of `crop` voxels `(z, y, x)` at `stride` voxels per cell: [`render_target`] or [`render_mask`].
    pub(crate) fn render(self, crop: [usize; 3], radii_voxels: &[f64], supervision: &Supervision, stride: usize) -> Target {
        match self {
            Self::Heatmap => render_target(crop, radii_voxels, supervision, stride),
            Self::Segmentation => render_mask(crop, radii_voxels, supervision, stride),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn supervision(markers: &[([f64; 3], Marker)], complete: bool) -> Supervision {
        let everywhere = ([0.0; 3], [31.0; 3]);
        Supervision {
            markers: markers.to_vec(),
            complete: complete.then_some(everywhere).into_iter().collect(),
            inside: everywhere,
        }
    }

    /// The class of each cell, and that exactly one channel has it.
    fn classes_of(target: &Target) -> Vec<usize> {
        let per_class: usize = target.cells.iter().product();
        let channels = target.heatmap.len() / per_class;
        (0..per_class)
            .map(|cell| {
                let held: Vec<usize> =
                    (0..channels).filter(|channel| target.heatmap[channel * per_class + cell] == 1.0).collect();
                assert_eq!(held.len(), 1, "cell {cell}");
                held[0]
            })
            .collect()
    }

    #[test]
    fn balls_have_half_the_radius_and_the_volume_of_it() {
        let mask = render_mask([32; 3], &[8.0, 12.0], &supervision(&[([16.0; 3], Marker::Particle(1))], true), 2);
        assert_eq!((mask.cells, mask.heatmap.len(), mask.weight.len()), ([16; 3], 3 * 4096, 4096));
        let classes = classes_of(&mask);
        // 0.5 x 12 / 2 = 3 cells round cell (8, 8, 8): the number of whole triples within, by hand 123.
        assert_eq!(classes.iter().filter(|class| **class == 1).count(), 123);
        assert!(classes.iter().all(|class| *class != 0));
        let at = |z: usize, y: usize, x: usize| classes[(z * 16 + y) * 16 + x];
        assert_eq!([at(8, 8, 11), at(8, 8, 12), at(5, 8, 8), at(4, 8, 8), at(10, 10, 9), at(10, 10, 10)], [1, 2, 1, 2, 1, 2]);
        assert!(mask.weight.iter().all(|weight| *weight == 1.0));
        // The smallest particle has a cell wherever it lies.
        for offset in [0.0, 0.4, 1.0, 1.3] {
            let mask = render_mask([32; 3], &[1.0], &supervision(&[([10.0 + offset; 3], Marker::Particle(0))], true), 2);
            assert!(classes_of(&mask).contains(&0), "{offset}");
        }
    }

    #[test]
    fn a_ball_is_cut_at_the_border_and_centred_between_cells() {
        let markers = [([0.0, 15.0, 15.0], Marker::Particle(0)), ([40.0, 15.0, 15.0], Marker::Particle(0))];
        let classes = classes_of(&render_mask([32; 3], &[8.0], &supervision(&markers, true), 2));
        let particle: Vec<usize> = (0..4096).filter(|cell| classes[*cell] == 0).collect();
        // The centre lies at cell (0, 7.5, 7.5), and the radius is 2 cells; the other particle lies outside.
        assert!(particle.iter().all(|cell| cell / 256 < 2));
        let mean = |axis: fn(usize) -> usize| particle.iter().map(|cell| axis(*cell) as f64).sum::<f64>() / particle.len() as f64;
        assert_eq!([mean(|cell| cell / 16 % 16), mean(|cell| cell % 16)], [7.5, 7.5]);
    }

    #[test]
    fn the_nearer_particle_has_the_cell_and_neighbours_do_not_touch() {
        // Equal particles at one and a half radii, the closest that they come.
        let near = [([16.0, 16.0, 10.0], Marker::Particle(0)), ([16.0, 16.0, 19.0], Marker::Particle(1))];
        let classes = classes_of(&render_mask([32; 3], &[6.0, 6.0], &supervision(&near, true), 2));
        let row: Vec<usize> = (0..16).map(|x| classes[(8 * 16 + 8) * 16 + x]).collect();
        // One to a side of cell 5 and two of 9.5, and one cell between them.
        assert_eq!(row[3..13], [2, 0, 0, 0, 2, 1, 1, 1, 1, 2]);
        // Labels closer than that: each cell goes to the nearer one.
        let close = [([16.0, 16.0, 12.0], Marker::Particle(1)), ([16.0, 16.0, 20.0], Marker::Particle(0))];
        let classes = classes_of(&render_mask([32; 3], &[12.0, 12.0], &supervision(&close, true), 2));
        let row: Vec<usize> = (0..16).map(|x| classes[(8 * 16 + 8) * 16 + x]).collect();
        assert_eq!(row[2..15], [2, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 2]);
    }

    #[test]
    fn only_what_every_class_knows_is_taught() {
        let markers = [([8.0; 3], Marker::Particle(0)), ([24.0; 3], Marker::Negative)];
        let supervision = supervision(&markers, false);
        let mask = render_mask([32; 3], &[4.0, 8.0], &supervision, 2);
        let heatmaps = render_target([32; 3], &[4.0, 8.0], &supervision, 2);
        let both = |cell: usize| heatmaps.weight[cell].min(heatmaps.weight[4096 + cell]);
        assert!((0..4096).all(|cell| mask.weight[cell] == both(cell)));
        let weight = |z: usize, y: usize, x: usize| mask.weight[(z * 16 + y) * 16 + x];
        // Round the particle and, for the smaller class, round the negative: 1.5 x 4 / 2 = 3 cells.
        assert_eq!([weight(4, 4, 7), weight(4, 4, 8), weight(12, 12, 15), weight(12, 8, 12)], [1.0, 0.0, 1.0, 0.0]);
        // All that a negative teaches is background.
        let classes = classes_of(&mask);
        assert!((0..4096).filter(|cell| cell / 256 > 8).all(|cell| classes[cell] == 2));
        assert!(classes.iter().zip(&mask.weight).all(|(class, weight)| *class == 2 || *weight == 1.0));
        // Padding teaches nothing.
        let padded = Supervision { complete: vec![([0.0; 3], [31.0; 3])], inside: ([4.0, 0.0, 0.0], [31.0; 3]), ..supervision };
        let padded = render_mask([32; 3], &[4.0], &Supervision { markers: vec![], ..padded }, 2);
        assert_eq!([padded.weight[256], padded.weight[2 * 256]], [0.0, 1.0]);
    }

    #[test]
    fn a_background_channel_is_added_and_taken_away() {
        for detector in [Detector::Heatmap, Detector::Segmentation] {
            assert_eq!(detector.classes(detector.channels(6)), 6);
        }
        assert_eq!([Detector::Heatmap.channels(6), Detector::Segmentation.channels(6)], [6, 7]);
    }
}

//! What the network is taught: a heatmap per class, and how far each of its cells is known.

/// Cells nearer than this many deviations to a centre are reached by its Gaussian; beyond it is below 1e-5.
const REACH: f64 = 5.0;
/// Radii round a label in which everything counts as known.
const KNOWN_RADII: f64 = 1.5;

/// A label as the target sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Marker {
    /// A particle of the class with this index.
    Particle(usize),
    /// No particle of any class.
    Negative,
    /// A particle of the class with this index that is kept for choosing thresholds: its place is not taught, but a neighbour's
    /// surroundings do not take it for background either.
    HeldOut(usize),
}

/// Labels and known boxes in the coordinates of one crop, whose first voxel has index 0.
#[derive(Clone, Debug, Default)]
pub struct Supervision {
    /// Positions `(z, y, x)`, continuous voxel indices of the crop; they may lie outside it.
    pub markers: Vec<([f64; 3], Marker)>,
    /// Boxes `(z, y, x)` in which everything is labelled: first and last coordinate that belongs to each, inclusive.
    pub complete: Vec<([f64; 3], [f64; 3])>,
    /// The part of the crop that is tomogram and not padding, in the same form.
    pub inside: ([f64; 3], [f64; 3]),
}

/// A target and its weight: `[class][z][y][x]` row-major, over the crop's output cells.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Heatmaps, 0 to 1.
    pub heatmap: Vec<f32>,
    /// 1 where the heatmap is known, 0 where it is not.
    pub weight: Vec<f32>,
    /// Cells `(z, y, x)`.
    pub cells: [usize; 3],
}

/// Renders the target of a crop of `crop` voxels `(z, y, x)` for classes of the given radii in voxels and a network of output stride
/// `stride`, whose cell `o` is centred on voxel `stride * o`.
///
/// `Y_c(p) = max_k exp(-|p - p_k / R|^2 / (2 sigma_c^2))` with `sigma_c = 0.5 r_c / R` in output cells and fractional `p_k / R`
/// (arXiv 2510.22454, equation 1). The weight of a cell is 1 in a complete box and in a ball of 1.5 radii round every particle (in
/// the channels of all classes: particles do not overlap) and every negative (in each channel with the radius of its class),
/// and 0 elsewhere, so that an unlabelled particle is never taught as background.
pub fn render_target(crop: [usize; 3], radii_voxels: &[f64], supervision: &Supervision, stride: usize) -> Target {
    let cells = crop.map(|edge| edge.div_ceil(stride));
    let stride = stride as f64;
    let per_class: usize = cells.iter().product();
    let mut heatmap = vec![0.0f32; per_class * radii_voxels.len()];
    let mut weight = vec![0.0f32; per_class * radii_voxels.len()];

    for (first, last) in &supervision.complete {
        let range = |axis: usize| cell_range(first[axis] / stride, last[axis] / stride, cells[axis]);
        for class in 0..radii_voxels.len() {
            for_each_cell([range(0), range(1), range(2)], cells, |index, _| weight[class * per_class + index] = 1.0);
        }
    }
    for (position, marker) in &supervision.markers {
        let centre = position.map(|p| p / stride);
        for (class, &radius) in radii_voxels.iter().enumerate() {
            let known = match marker {
                Marker::Particle(own) => Some(radii_voxels[*own]),
                Marker::Negative => Some(radius),
                Marker::HeldOut(_) => None,
            };
            if let Some(known) = known {
                ball(centre, known * KNOWN_RADII / stride, cells, |index, _| weight[class * per_class + index] = 1.0);
            }
            if [Marker::Particle(class), Marker::HeldOut(class)].contains(marker) {
                let sigma = 0.5 * radius / stride;
                ball(centre, REACH * sigma, cells, |index, squared| {
                    let value = (-squared / (2.0 * sigma * sigma)).exp() as f32;
                    let cell = &mut heatmap[class * per_class + index];
                    *cell = cell.max(value);
                });
            }
        }
    }
    let inside = [supervision.inside.0, supervision.inside.1].map(|corner| corner.map(|p| p / stride));
    blank_padding(&mut weight, inside, cells, radii_voxels.len());
    Target { heatmap, weight, cells }
}

/// Sets the weight of cells outside the tomogram, whose first and last cell coordinates are `inside`, to 0.
fn blank_padding(weight: &mut [f32], inside: [[f64; 3]; 2], cells: [usize; 3], classes: usize) {
    let ranges: [std::ops::Range<usize>; 3] =
        std::array::from_fn(|axis| cell_range(inside[0][axis], inside[1][axis], cells[axis]));
    if ranges.iter().zip(cells).all(|(range, n)| *range == (0..n)) {
        return;
    }
    let per_class: usize = cells.iter().product();
    for_each_cell([0..cells[0], 0..cells[1], 0..cells[2]], cells, |index, cell| {
        if (0..3).any(|axis| !ranges[axis].contains(&cell[axis])) {
            (0..classes).for_each(|class| weight[class * per_class + index] = 0.0);
        }
    });
}

/// The cells whose centre lies in `first ..= last`, in cell coordinates.
fn cell_range(first: f64, last: f64, cells: usize) -> std::ops::Range<usize> {
    let start = first.ceil().max(0.0) as usize;
    let end = (last.floor() + 1.0).clamp(0.0, cells as f64) as usize;
    start..end.max(start)
}

fn for_each_cell(ranges: [std::ops::Range<usize>; 3], cells: [usize; 3], mut visit: impl FnMut(usize, [usize; 3])) {
    for z in ranges[0].clone() {
        for y in ranges[1].clone() {
            for x in ranges[2].clone() {
                visit((z * cells[1] + y) * cells[2] + x, [z, y, x]);
            }
        }
    }
}

/// Visits the cells within `radius` of `centre` with their squared distance, all in cells.
pub(super) fn ball(centre: [f64; 3], radius: f64, cells: [usize; 3], mut visit: impl FnMut(usize, f64)) {
    let range = |axis: usize| cell_range(centre[axis] - radius, centre[axis] + radius, cells[axis]);
    for_each_cell([range(0), range(1), range(2)], cells, |index, cell| {
        let squared: f64 = (0..3).map(|axis| (cell[axis] as f64 - centre[axis]).powi(2)).sum();
        if squared <= radius * radius {
            visit(index, squared);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn everywhere(n: f64) -> ([f64; 3], [f64; 3]) {
        ([0.0; 3], [n; 3])
    }

    #[test]
    fn the_peak_keeps_its_fraction_of_a_cell() {
        let supervision = Supervision {
            markers: vec![([15.0, 16.0, 17.5], Marker::Particle(0))],
            complete: vec![everywhere(31.0)],
            inside: everywhere(31.0),
        };
        let target = render_target([32; 3], &[6.0], &supervision, 2);
        let at = |z: usize, y: usize, x: usize| f64::from(target.heatmap[(z * 16 + y) * 16 + x]);
        // sigma = 0.5 * 6 / 2 = 1.5 cells; the centre lies at cell (7.5, 8, 8.75).
        let expected = |z: f64, y: f64, x: f64| (-(z * z + y * y + x * x) / (2.0 * 1.5 * 1.5)).exp();
        assert!((at(7, 8, 9) - expected(0.5, 0.0, 0.25)).abs() < 1e-6);
        assert!((at(8, 8, 8) - expected(0.5, 0.0, 0.75)).abs() < 1e-6);
        // Not truncated before three deviations.
        assert!((at(3, 8, 9) - expected(4.5, 0.0, 0.25)).abs() < 1e-6);
        assert!(target.weight.iter().all(|w| *w == 1.0));
    }

    #[test]
    fn a_cell_is_centred_on_its_multiple_of_the_stride() {
        let supervision = Supervision {
            markers: vec![([16.0, 8.0, 20.5], Marker::Particle(0))],
            complete: vec![([0.0; 3], [20.0, 31.0, 31.0])],
            inside: everywhere(31.0),
        };
        for stride in [1usize, 2, 4] {
            let target = render_target([32; 3], &[8.0], &supervision, stride);
            let n = 32 / stride;
            assert_eq!(target.cells, [n; 3]);
            let cell = [16 / stride, 8 / stride, 20 / stride];
            let value = f64::from(target.heatmap[(cell[0] * n + cell[1]) * n + cell[2]]);
            assert!((value - (-0.25f64 / 32.0).exp()).abs() < 1e-6, "stride {stride}: {value}");
            let known = (0..n).filter(|z| target.weight[z * n * n] == 1.0).count();
            assert_eq!(known, 20 / stride + 1);
        }
    }

    #[test]
    fn sparse_labels_know_only_their_surroundings() {
        let supervision = Supervision {
            markers: vec![([16.0; 3], Marker::Particle(0)), ([40.0; 3], Marker::Negative)],
            complete: vec![],
            inside: everywhere(63.0),
        };
        let target = render_target([64; 3], &[6.0, 10.0], &supervision, 2);
        let n = 32;
        let weight = |class: usize, z: usize, y: usize, x: usize| target.weight[((class * n + z) * n + y) * n + x];
        // Round the particle, 1.5 x 6 / 2 = 4.5 cells in both channels.
        assert_eq!([weight(0, 8, 8, 12), weight(0, 8, 8, 13)], [1.0, 0.0]);
        assert_eq!([weight(1, 8, 8, 12), weight(1, 8, 8, 13)], [1.0, 0.0]);
        // Round the negative, 4.5 cells for the small class and 7.5 for the large one.
        assert_eq!([weight(0, 20, 20, 24), weight(0, 20, 20, 25)], [1.0, 0.0]);
        assert_eq!([weight(1, 20, 20, 27), weight(1, 20, 20, 28)], [1.0, 0.0]);
        // A negative teaches zero, another class's particle as well.
        assert_eq!(target.heatmap[n * n * n..].iter().cloned().fold(0.0, f32::max), 0.0);
        assert_eq!(weight(0, 0, 0, 0), 0.0);
    }

    #[test]
    fn a_particle_held_out_is_drawn_and_not_taught() {
        let neighbour = ([16.0, 16.0, 12.0], Marker::Particle(0));
        let held = ([16.0, 16.0, 24.0], Marker::HeldOut(0));
        let target =
            |markers| render_target([32; 3], &[6.0], &Supervision { markers, complete: vec![], inside: everywhere(31.0) }, 2);
        let (with, without) = (target(vec![neighbour, held]), target(vec![neighbour]));
        assert_eq!(with.weight, without.weight);
        // Between the two, where the neighbour's surroundings are known: sigma = 1.5 cells, 2 cells from the held particle.
        let between = (8 * 16 + 8) * 16 + 10;
        assert!(with.weight[between] == 1.0 && with.heatmap[between] > 0.4, "{}", with.heatmap[between]);
        assert!(without.heatmap[between] < 0.1);
    }

    #[test]
    fn padding_teaches_nothing() {
        let supervision =
            Supervision { markers: vec![], complete: vec![everywhere(31.0)], inside: ([4.0, 0.0, 0.0], [20.0, 31.0, 31.0]) };
        let target = render_target([32; 3], &[5.0], &supervision, 2);
        let known: Vec<bool> = (0..16).map(|z| target.weight[z * 256] == 1.0).collect();
        let expected: Vec<bool> = (0..16).map(|z| (2..=10).contains(&z)).collect();
        assert_eq!(known, expected);
    }
}

//! Peaks of a heatmap: picks to a fraction of a voxel.

use std::collections::HashMap;

use rayon::prelude::*;

/// Peaks below this height are noise of the background and are not reported.
pub const FLOOR: f32 = 0.05;

/// A peak of a heatmap, or a segment of a mask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Position `(z, y, x)` in cells.
    pub position: [f64; 3],
    /// Height at its highest cell, or the segment's score.
    pub score: f32,
}

/// A local maximum with what is next to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Flat index of the cell.
    pub cell: usize,
    /// Its height.
    pub score: f32,
    /// The heights before and after it along z, y and x; of no meaning beyond the border.
    pub around: [[f32; 2]; 3],
}

/// Cells to either side of a peak of a class of `radius` cells within which nothing is higher.
pub(super) fn reach_cells(radius: f64) -> usize {
    ((0.5 * radius).round() as usize | 1).max(3) / 2
}

/// Finds the peaks of a heatmap of `cells` `(z, y, x)` for a class of `radius` cells, by descending score.
///
/// A cell is a peak when it equals the maximum of its neighbourhood (a cube of half the radius, at least three cells: equal
/// particles come closer than one and a half radii, so it must stay small) and exceeds `floor`. A parabola per axis through the
/// logarithms, exact for a Gaussian, gives the fraction of a cell. Of peaks closer than half a radius, plateaus among them, the
/// highest stays.
pub fn find_peaks(heatmap: &[f32], cells: [usize; 3], radius: f64, floor: f32) -> Vec<Peak> {
    let reach = reach_cells(radius);
    let [_, height, width] = cells;
    let stride = [height * width, width, 1];
    let candidates: Vec<Candidate> = (0..cells[0])
        .into_par_iter()
        .flat_map_iter(|z| {
            let mut found = Vec::new();
            for y in 0..height {
                for x in 0..width {
                    let cell = (z * height + y) * width + x;
                    let score = heatmap[cell];
                    if score > floor && is_highest(heatmap, cells, [z, y, x], score, reach) {
                        let at = |i: Option<usize>| i.and_then(|i| heatmap.get(i)).copied().unwrap_or(0.0);
                        let around = stride.map(|step| [at(cell.checked_sub(step)), at(cell.checked_add(step))]);
                        found.push(Candidate { cell, score, around });
                    }
                }
            }
            found
        })
        .collect();
    choose(candidates, cells, radius)
}

/// The peaks among local maxima, which come in the order of their cells: placed to a fraction of a cell, thinned, by descending score.
pub(super) fn choose(candidates: Vec<Candidate>, [depth, height, width]: [usize; 3], radius: f64) -> Vec<Peak> {
    let cells = [depth, height, width];
    let mut peaks: Vec<Peak> = candidates
        .into_iter()
        .map(|Candidate { cell, score, around }| {
            let index = [cell / (height * width), cell / width % height, cell % width];
            let position = std::array::from_fn(|axis| {
                let is_inside = index[axis] > 0 && index[axis] + 1 < cells[axis];
                index[axis] as f64 + if is_inside { fraction(around[axis], score) } else { 0.0 }
            });
            Peak { position, score }
        })
        .collect();
    // Equal scores keep their order in space, so that the result does not depend on the number of threads.
    peaks.sort_by(|a, b| b.score.total_cmp(&a.score));
    without_neighbours(peaks, 0.5 * radius)
}

fn is_highest(heatmap: &[f32], cells: [usize; 3], [z, y, x]: [usize; 3], score: f32, reach: usize) -> bool {
    let range = |i: usize, n: usize| i.saturating_sub(reach)..(i + reach + 1).min(n);
    range(z, cells[0]).all(|z| {
        range(y, cells[1]).all(|y| {
            let row = (z * cells[1] + y) * cells[2];
            heatmap[row..][range(x, cells[2])].iter().all(|other| *other <= score)
        })
    })
}

/// Offset of the top between the heights before and after it, -0.5 to 0.5 cells.
fn fraction(around: [f32; 2], score: f32) -> f64 {
    let (before, top, after) = (f64::from(around[0]), f64::from(score), f64::from(around[1]));
    let (before, top, after) = match before > 0.0 && after > 0.0 {
        true => (before.ln(), top.ln(), after.ln()),
        false => (before, top, after),
    };
    let curvature = before - 2.0 * top + after;
    if curvature.abs() < 1e-9 { 0.0 } else { (0.5 * (before - after) / curvature).clamp(-0.5, 0.5) }
}

/// Drops peaks within `distance` of a higher one; `peaks` come by descending score.
pub(super) fn without_neighbours(peaks: Vec<Peak>, distance: f64) -> Vec<Peak> {
    let cell = distance.max(1.0);
    let key = |p: [f64; 3]| p.map(|v| (v / cell).floor() as i64);
    let mut grid: HashMap<[i64; 3], Vec<[f64; 3]>> = HashMap::new();
    let mut kept = Vec::with_capacity(peaks.len());
    for peak in peaks {
        let [z, y, x] = key(peak.position);
        let near = (-1..=1).any(|dz| {
            (-1..=1).any(|dy| {
                (-1..=1).any(|dx| {
                    grid.get(&[z + dz, y + dy, x + dx]).is_some_and(|others| {
                        others.iter().any(|other| crate::geometry::distance(*other, peak.position) <= distance)
                    })
                })
            })
        });
        if !near {
            grid.entry([z, y, x]).or_default().push(peak.position);
            kept.push(peak);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaussians(cells: [usize; 3], centres: &[[f64; 3]], sigma: f64) -> Vec<f32> {
        let mut out = Vec::new();
        for z in 0..cells[0] {
            for y in 0..cells[1] {
                for x in 0..cells[2] {
                    let p = [z as f64, y as f64, x as f64];
                    let value = centres
                        .iter()
                        .map(|c| (-crate::geometry::distance(p, *c).powi(2) / (2.0 * sigma * sigma)).exp())
                        .fold(0.0, f64::max);
                    out.push(value as f32);
                }
            }
        }
        out
    }

    #[test]
    fn a_gaussian_is_found_to_a_hundredth_of_a_cell() {
        for cells in [[20, 20, 20], [21, 19, 23]] {
            for centre in [[8.0, 9.0, 10.0], [8.3, 9.5, 10.74], [5.49, 12.51, 7.05]] {
                let peaks = find_peaks(&gaussians(cells, &[centre], 1.5), cells, 3.0, FLOOR);
                assert_eq!(peaks.len(), 1, "{centre:?}");
                assert!(crate::geometry::distance(peaks[0].position, centre) < 0.01, "{centre:?} {:?}", peaks[0]);
            }
        }
    }

    #[test]
    fn neighbours_at_one_and_a_half_radii_are_two() {
        let cells = [24; 3];
        let centres = [[12.0, 12.0, 8.0], [12.0, 12.0, 12.45]];
        let peaks = find_peaks(&gaussians(cells, &centres, 1.5), cells, 3.0, FLOOR);
        assert_eq!(peaks.len(), 2);
    }

    #[test]
    fn a_plateau_is_one_peak() {
        let cells = [10; 3];
        let mut heatmap = vec![0.0; 1000];
        for index in [555, 556, 565, 566] {
            heatmap[index] = 0.7;
        }
        let peaks = find_peaks(&heatmap, cells, 4.0, FLOOR);
        assert_eq!(peaks.len(), 1);
        assert_eq!(peaks[0].score, 0.7);
    }

    #[test]
    fn a_peak_at_the_border_and_an_empty_map_are_no_trouble() {
        let cells = [5, 6, 7];
        let mut heatmap = vec![0.0; 210];
        assert!(find_peaks(&heatmap, cells, 3.0, FLOOR).is_empty());
        heatmap[209] = 0.9;
        heatmap[0] = 0.4;
        let peaks = find_peaks(&heatmap, cells, 3.0, FLOOR);
        assert_eq!(peaks.iter().map(|p| p.position).collect::<Vec<_>>(), [[4.0, 5.0, 6.0], [0.0; 3]]);
        assert!(find_peaks(&vec![f32::NAN; 210], cells, 3.0, FLOOR).is_empty());
    }
}

//! How a volume is cut into overlapping windows of one size.

use crate::geometry::VoxelBox;

/// Windows of one size that cover a box, evenly spread.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiling {
    /// Edges of a window, voxels `(z, y, x)`.
    pub window: [usize; 3],
    /// First voxel of each window along each axis; may leave the volume at its far end.
    pub starts: [Vec<i64>; 3],
}

/// Cuts `region` into windows of at most `largest` voxels that overlap by at least `overlap` of `largest`. Window edges are
/// multiples of `multiple`, starts are multiples of two (the output stride).
pub fn tile(region: VoxelBox, largest: usize, overlap: f64, multiple: usize) -> Tiling {
    let largest = (largest / multiple).max(1) * multiple;
    let margin = ((largest as f64 * overlap) as usize).min(largest - multiple.min(largest - 1));
    let mut window = [0; 3];
    let starts = std::array::from_fn(|axis| {
        let start = region.start[axis] / 2 * 2;
        let length = region.end[axis].saturating_sub(start).max(1);
        let count = if length <= largest { 1 } else { (length - margin).div_ceil(largest - margin) };
        let edge = (length + (count - 1) * margin).div_ceil(count).next_multiple_of(multiple).min(largest);
        window[axis] = edge;
        let travel = length.saturating_sub(edge) as f64;
        (0..count)
            .map(|i| {
                let at = if count > 1 { travel * i as f64 / (count - 1) as f64 } else { 0.0 };
                // The last window may stick out by a voxel rather than leave one uncovered.
                start as i64 + ((at / 2.0).ceil() as i64) * 2
            })
            .collect()
    });
    Tiling { window, starts }
}

impl Tiling {
    /// First voxels `(z, y, x)` of all windows.
    pub fn origins(&self) -> Vec<[i64; 3]> {
        let [zs, ys, xs] = &self.starts;
        zs.iter().flat_map(|z| ys.iter().flat_map(move |y| xs.iter().map(move |x| [*z, *y, *x]))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voxel_is_covered_with_the_overlap() {
        for (length, largest) in [(7, 64), (64, 64), (65, 64), (208, 96), (630, 128), (79, 96), (1000, 48), (33, 32)] {
            let tiling = tile(VoxelBox::whole([length; 3]), largest, 0.25, 8);
            let (edge, starts) = (tiling.window[0], &tiling.starts[0]);
            assert!(edge % 8 == 0 && edge <= largest.next_multiple_of(8), "{length} {largest}");
            assert_eq!(starts[0], 0);
            assert!(starts[starts.len() - 1] + edge as i64 >= length as i64, "{length} {largest}: {tiling:?}");
            assert!(starts.iter().all(|s| s % 2 == 0));
            for pair in starts.windows(2) {
                assert!(pair[1] + (largest / 4) as i64 <= pair[0] + edge as i64 + 2, "{length} {largest}: {tiling:?}");
            }
        }
    }

    #[test]
    fn a_part_of_the_volume_needs_fewer_windows() {
        let part = tile(VoxelBox::new([0, 0, 101], [64, 64, 150]), 64, 0.25, 8);
        assert_eq!(part.origins(), [[0, 0, 100]]);
    }
}

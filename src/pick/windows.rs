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

/// How large windows may be, and by how much they overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Largest edge in voxels.
    pub edge: usize,
    /// Most voxels of a window.
    pub voxels: usize,
    /// Voxels by which neighbours overlap, at least.
    pub overlap: usize,
}

/// Whether windows are too large, the voxels to compute, and the number of windows: the less the better, in this order.
type Cost = (bool, usize, usize);
/// The edge of windows along an axis, and how many there are.
type Axis = (usize, usize);

/// Cuts `region` into windows within `limits`, of the sizes that compute the fewest voxels in all. Window edges are multiples of
/// `multiple` (and one such multiple at least, whatever the limits), starts are multiples of `stride` (the output stride).
pub fn tile(region: VoxelBox, limits: WindowLimits, multiple: usize, stride: usize) -> Tiling {
    let start = region.start.map(|voxel| voxel / stride * stride);
    let length: [usize; 3] = std::array::from_fn(|axis| region.end[axis].saturating_sub(start[axis]).max(1));
    let choices = length.map(|length| edges(length, limits, multiple));
    let mut best: Option<(Cost, [Axis; 3])> = None;
    for z in &choices[0] {
        for y in &choices[1] {
            for x in &choices[2] {
                let chosen = [*z, *y, *x];
                let window: usize = chosen.iter().map(|(edge, _)| edge).product();
                let windows: usize = chosen.iter().map(|(_, count)| count).product();
                // Where even the smallest windows are too large, the smallest it is.
                let too_large = window > limits.voxels;
                let cost = (too_large, if too_large { window } else { window.saturating_mul(windows) }, windows);
                if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                    best = Some((cost, chosen));
                }
            }
        }
    }
    let chosen = best.map_or([(multiple, 1); 3], |(_, chosen)| chosen);
    let starts = std::array::from_fn(|axis| {
        let (edge, count) = chosen[axis];
        let travel = length[axis].saturating_sub(edge) as f64;
        (0..count)
            .map(|i| {
                let at = if count > 1 { travel * i as f64 / (count - 1) as f64 } else { 0.0 };
                // The last window may stick out by a few voxels rather than leave one uncovered.
                (start[axis] + (at / stride as f64).ceil() as usize * stride) as i64
            })
            .collect()
    });
    Tiling { window: chosen.map(|(edge, _)| edge), starts }
}

/// Edges with which windows cover `length` voxels, each with its number of windows, fewest first.
fn edges(length: usize, limits: WindowLimits, multiple: usize) -> Vec<Axis> {
    let largest = (limits.edge / multiple).max(1) * multiple;
    let overlap = limits.overlap.min(largest - multiple.min(largest - 1));
    let mut edges: Vec<Axis> = Vec::new();
    let fewest = if length <= largest { 1 } else { (length - overlap).div_ceil(largest - overlap) };
    for count in fewest.. {
        let edge = (length + (count - 1) * overlap).div_ceil(count).next_multiple_of(multiple);
        // The same edge with more windows only costs; and a window must get on by more than it overlaps.
        if edges.last().is_some_and(|(last, _)| *last == edge) {
            if edge <= overlap + multiple {
                break;
            }
            continue;
        }
        if edge <= largest {
            edges.push((edge, count));
        }
        if edge <= (2 * overlap).max(multiple) {
            break;
        }
    }
    if edges.is_empty() {
        // Only where rounding the edge up left none: as many windows of the largest edge as it takes.
        edges.push((largest, length.saturating_sub(overlap).div_ceil(largest - overlap).max(1)));
    }
    edges
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

    fn cube(edge: usize) -> WindowLimits {
        WindowLimits { edge, voxels: edge.pow(3), overlap: edge / 4 }
    }

    #[test]
    fn every_voxel_is_covered_with_the_overlap() {
        let cases = [(7, 64), (64, 64), (65, 64), (208, 96), (630, 128), (79, 96), (1000, 48), (33, 32), (5, 8), (17, 8)];
        for ((length, largest), stride) in cases.into_iter().flat_map(|case| [1, 2, 4].map(|stride| (case, stride))) {
            let limits = cube(largest);
            let tiling = tile(VoxelBox::whole([length; 3]), limits, 8, stride);
            let (edge, starts) = (tiling.window[0], &tiling.starts[0]);
            assert!(edge % 8 == 0 && edge <= largest.next_multiple_of(8), "{length} {largest}");
            assert_eq!(starts[0], 0);
            assert!(starts[starts.len() - 1] + edge as i64 >= length as i64, "{length} {largest}: {tiling:?}");
            assert!(starts.iter().all(|s| s % stride as i64 == 0));
            let overlap = limits.overlap.min(largest - 8) as i64;
            for pair in starts.windows(2) {
                assert!(pair[1] + overlap <= pair[0] + edge as i64 + stride as i64, "{length} {largest}: {tiling:?}");
            }
        }
    }

    #[test]
    fn a_part_of_the_volume_needs_fewer_windows() {
        let part = tile(VoxelBox::new([0, 0, 101], [64, 64, 150]), cube(64), 8, 2);
        assert_eq!(part.origins(), [[0, 0, 100]]);
        let part = tile(VoxelBox::new([0, 0, 103], [64, 64, 150]), cube(64), 8, 4);
        assert_eq!(part.origins(), [[0, 0, 100]]);
        let part = tile(VoxelBox::new([0, 0, 103], [64, 64, 150]), cube(64), 8, 1);
        assert_eq!(part.origins(), [[0, 0, 103]]);
    }

    #[test]
    fn windows_grow_into_what_a_flat_volume_leaves_free() {
        let limits = WindowLimits { edge: 256, voxels: 128 * 128 * 128, overlap: 24 };
        let tiling = tile(VoxelBox::whole([40, 630, 630]), limits, 8, 2);
        assert_eq!(tiling.window[0], 40);
        let computed = tiling.window.iter().product::<usize>() * tiling.origins().len();
        assert!(computed as f64 <= 1.25 * (40.0 * 630.0 * 630.0), "{tiling:?}");
        assert!(tiling.window.iter().product::<usize>() <= limits.voxels);
    }

    #[test]
    fn the_computed_voxels_grow_with_the_volume() {
        let limits = WindowLimits { edge: 256, voxels: 4 << 20, overlap: 24 };
        for shape in [[64, 208, 208], [184, 630, 630], [368, 1024, 1024], [512, 2048, 2048]] {
            let tiling = tile(VoxelBox::whole(shape), limits, 16, 2);
            let computed = tiling.window.iter().product::<usize>() * tiling.origins().len();
            let share = computed as f64 / shape.iter().product::<usize>() as f64;
            // A cube of 4 Mi voxels, edge 161, gets on by 137 voxels a window: (161 / 137)^3 = 1.62 in the limit.
            assert!((1.0..1.65).contains(&share), "{shape:?}: {share} {:?}", tiling.window);
        }
    }
}

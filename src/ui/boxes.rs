//! Changing a complete region's box with the pointer.

use crate::geometry::VoxelBox;
use crate::labels::Region;
use crate::render::Plane;

/// Which edges of a box a drag moves in a plane: along the horizontal, then the vertical; `Some(false)` for the edge where the box
/// begins, `Some(true)` for the one where it ends.
pub type Sides = [Option<bool>; 2];

/// The edges of `voxels` within `reach` voxels of an image position, two at a corner; `None` when it is not at an edge.
pub fn edges_at(voxels: VoxelBox, plane: Plane, image: [f64; 2], reach: f64) -> Option<Sides> {
    let axes = [plane.horizontal(), plane.vertical()];
    let ends = axes.map(|axis| [voxels.start[axis] as f64, voxels.end[axis] as f64]);
    let beside = |side: usize| image[side] >= ends[side][0] - reach && image[side] <= ends[side][1] + reach;
    if !(beside(0) && beside(1)) {
        return None;
    }
    let sides = [0, 1].map(|side| {
        let away = ends[side].map(|end| (image[side] - end).abs());
        (away[0].min(away[1]) <= reach).then_some(away[1] < away[0])
    });
    (sides != [None; 2]).then_some(sides)
}

/// The region whose edge lies at an image position on the slice at `depth`, the smallest of several, and that edge.
pub fn region_edge_at<'a>(
    regions: impl Iterator<Item = &'a Region>,
    plane: Plane,
    (image, depth): ([f64; 2], usize),
    reach: f64,
) -> Option<(Region, Sides)> {
    regions
        .filter(|region| (region.voxels.start[plane.depth()]..region.voxels.end[plane.depth()]).contains(&depth))
        .filter_map(|region| edges_at(region.voxels, plane, image, reach).map(|sides| (*region, sides)))
        .min_by_key(|(region, _)| region.voxels.voxels())
}

/// The box with the edges `sides` moved to the border between voxels that is nearest to an image position. It stays inside a tomogram
/// of `shape` `(z, y, x)` voxels and keeps at least one voxel.
pub fn moved_edges(voxels: VoxelBox, plane: Plane, sides: Sides, image: [f64; 2], shape: [usize; 3]) -> VoxelBox {
    let mut moved = voxels;
    for (side, axis) in [plane.horizontal(), plane.vertical()].into_iter().enumerate() {
        let to = image[side].round().clamp(0.0, shape[axis] as f64) as usize;
        match sides[side] {
            Some(false) => moved.start[axis] = to.min(voxels.end[axis].saturating_sub(1)),
            Some(true) => moved.end[axis] = to.max(voxels.start[axis] + 1),
            None => {}
        }
    }
    moved
}

/// The box between two image positions of a plane in whole voxels; along the plane's depth it reaches from the first to the last of
/// `slices`, both included. `None` when it holds no voxel.
pub fn drawn_box(plane: Plane, from: [f64; 2], to: [f64; 2], slices: [usize; 2], shape: [usize; 3]) -> Option<VoxelBox> {
    let mut voxels = VoxelBox::whole(shape);
    for (side, axis) in [plane.horizontal(), plane.vertical()].into_iter().enumerate() {
        let (low, high) = (from[side].min(to[side]), from[side].max(to[side]));
        let size = shape[axis] as f64;
        voxels.start[axis] = low.floor().clamp(0.0, size) as usize;
        voxels.end[axis] = high.ceil().clamp(0.0, size) as usize;
    }
    voxels.start[plane.depth()] = slices[0];
    voxels.end[plane.depth()] = (slices[1] + 1).min(shape[plane.depth()]);
    (!voxels.is_empty()).then_some(voxels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::ItemId;

    const BOX: VoxelBox = VoxelBox { start: [2, 10, 20], end: [8, 30, 60] };
    const SHAPE: [usize; 3] = [16, 64, 128];

    #[test]
    fn edges_and_corners_are_grabbed_in_every_plane() {
        let at = |plane, image| edges_at(BOX, plane, image, 1.5);
        assert_eq!(at(Plane::Xy, [20.5, 20.0]), Some([Some(false), None]));
        assert_eq!(at(Plane::Xy, [61.0, 29.0]), Some([Some(true), Some(true)]));
        assert_eq!(at(Plane::Xz, [40.0, 8.4]), Some([None, Some(true)]));
        assert_eq!(at(Plane::Yz, [10.0, 5.0]), Some([Some(false), None]));
        assert_eq!(at(Plane::Xy, [40.0, 20.0]), None, "inside");
        assert_eq!(at(Plane::Xy, [20.0, 40.0]), None, "beyond the corner");
    }

    #[test]
    fn moved_edges_stay_in_the_tomogram_and_never_cross() {
        let moved = |sides, image| moved_edges(BOX, Plane::Xy, sides, image, SHAPE);
        assert_eq!(moved([Some(false), None], [25.4, 99.0]), VoxelBox::new([2, 10, 25], [8, 30, 60]));
        assert_eq!(moved([Some(false), None], [500.0, 0.0]), VoxelBox::new([2, 10, 59], [8, 30, 60]));
        assert_eq!(moved([Some(true), Some(true)], [500.0, -9.0]), VoxelBox::new([2, 10, 20], [8, 11, 128]));
        let side = moved_edges(BOX, Plane::Xz, [None, Some(true)], [0.0, 12.6], SHAPE);
        assert_eq!(side, VoxelBox::new([2, 10, 20], [13, 30, 60]));
    }

    #[test]
    fn the_smallest_region_on_the_slice_is_grabbed() {
        let region = |id, voxels| Region { id: ItemId(id), voxels };
        let regions = [
            region(1, BOX),
            region(2, VoxelBox::new([2, 10, 20], [8, 30, 40])),
            region(3, VoxelBox::new([9, 10, 20], [12, 30, 22])),
        ];
        let found = |depth| region_edge_at(regions.iter(), Plane::Xy, ([20.0, 20.0], depth), 1.0).map(|(region, _)| region.id.0);
        assert_eq!(found(5), Some(2));
        assert_eq!(found(10), Some(3));
        assert_eq!(found(1), None);
    }

    #[test]
    fn boxes_are_drawn_in_whole_voxels() {
        let drawn = |plane, from, to, slices| drawn_box(plane, from, to, slices, SHAPE);
        assert_eq!(drawn(Plane::Xy, [20.5, 4.5], [4.5, 12.5], [2, 6]), Some(VoxelBox::new([2, 4, 4], [7, 13, 21])));
        assert_eq!(drawn(Plane::Xz, [4.5, 2.5], [9.5, 5.5], [0, 63]), Some(VoxelBox::new([2, 0, 4], [6, 64, 10])));
        assert_eq!(drawn(Plane::Xy, [-9.0, -9.0], [-2.0, 3.0], [0, 15]), None);
    }
}

//! Boxes of voxels and the one rule for coordinates.
//!
//! A position is a *continuous voxel index*, 0-based: an integer is a voxel's centre, so a volume of `n` voxels spans
//! `-0.5 .. n - 0.5`. `angstrom = index * spacing`. Arrays and triples here are ordered `(z, y, x)`; files list `x, y, z`.

use serde::{Deserialize, Serialize};

/// A half-open box of whole voxels, `start <= index < end`, ordered `(z, y, x)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct VoxelBox {
    /// First voxel inside, `(z, y, x)`.
    pub start: [usize; 3],
    /// First voxel outside, `(z, y, x)`.
    pub end: [usize; 3],
}

impl VoxelBox {
    /// A box from its first voxel inside and its first voxel outside, `(z, y, x)`.
    pub fn new(start: [usize; 3], end: [usize; 3]) -> Self {
        Self { start, end }
    }

    /// The box of a whole volume of `shape` voxels, `(z, y, x)`.
    pub fn whole(shape: [usize; 3]) -> Self {
        Self { start: [0; 3], end: shape }
    }

    /// Extent in voxels, `(z, y, x)`; zero along an axis where `end <= start`.
    pub fn shape(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.end[axis].saturating_sub(self.start[axis]))
    }

    /// Number of voxels inside.
    pub fn voxels(&self) -> usize {
        self.shape().iter().product()
    }

    /// Whether no voxel lies inside.
    pub fn is_empty(&self) -> bool {
        self.voxels() == 0
    }

    /// Whether every voxel of `self` lies inside a volume of `shape` voxels.
    pub fn fits_in(&self, shape: [usize; 3]) -> bool {
        (0..3).all(|axis| self.start[axis] <= self.end[axis] && self.end[axis] <= shape[axis])
    }

    /// Whether the continuous voxel index `position` lies in a voxel of the box: `start - 0.5 <= p < end - 0.5`.
    pub fn contains(&self, position: [f64; 3]) -> bool {
        (0..3).all(|axis| position[axis] >= self.start[axis] as f64 - 0.5 && position[axis] < self.end[axis] as f64 - 0.5)
    }

    /// The common part of two boxes; empty when they do not touch.
    pub fn intersection(&self, other: &Self) -> Self {
        let start = std::array::from_fn(|axis| self.start[axis].max(other.start[axis]));
        Self { start, end: std::array::from_fn(|axis| self.end[axis].min(other.end[axis]).max(start[axis])) }
    }
}

/// Euclidean distance of two positions, in the unit that they share.
pub fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|axis| (a[axis] - b[axis]).powi(2)).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_belongs_to_the_voxel_whose_centre_is_nearest() {
        let b = VoxelBox::new([0, 0, 2], [1, 1, 4]);
        assert!(b.contains([0.0, 0.0, 1.5]));
        assert!(!b.contains([0.0, 0.0, 1.49]));
        assert!(b.contains([0.49, -0.5, 3.49]));
        assert!(!b.contains([0.0, 0.0, 3.5]));
    }

    #[test]
    fn disjoint_boxes_meet_in_nothing() {
        let a = VoxelBox::new([0, 0, 0], [2, 2, 2]);
        let b = VoxelBox::new([5, 0, 0], [7, 2, 2]);
        assert!(a.intersection(&b).is_empty());
        assert_eq!(a.intersection(&a), a);
    }
}

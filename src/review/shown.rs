//! Which picks are shown: above the threshold, in the mask, and not too near to a better one.

use std::collections::HashMap;

use crate::geometry::{VoxelBox, distance};
use crate::train::Pick;

/// What a class's picks must meet in one tomogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// The least score.
    pub threshold: f32,
    /// The least distance of two picks of the class, in voxels; 0 for none.
    pub distance_voxels: f64,
}

/// Whether each pick is shown. `picks` are of one tomogram, by descending score; `limits` has an entry a class, and a pick of a class
/// without one is not shown. Of two picks of a class nearer than the least distance the better one stays: picks are taken
/// in their order, and each hides those that follow within the distance.
pub fn shown(picks: &[Pick], limits: &[Limits], mask: Option<&VoxelBox>) -> Vec<bool> {
    let mut grids: Vec<Grid> = limits.iter().map(|limits| Grid::new(limits.distance_voxels)).collect();
    let is_shown = |pick: &Pick| {
        let Some(limits) = limits.get(pick.class) else { return false };
        let inside = mask.is_none_or(|mask| mask.contains(pick.position));
        pick.score >= limits.threshold && inside && grids[pick.class].add(pick.position)
    };
    picks.iter().map(is_shown).collect()
}

/// Positions in cells of the least distance's size, so that only the neighbouring cells are looked at.
struct Grid {
    least: f64,
    cells: HashMap<[i64; 3], Vec<[f64; 3]>>,
}

impl Grid {
    fn new(least: f64) -> Self {
        Self { least, cells: HashMap::new() }
    }

    /// Adds a position unless one is nearer than the least distance; says whether it did.
    fn add(&mut self, position: [f64; 3]) -> bool {
        let size = self.least;
        if !(size > 0.0 && size.is_finite()) {
            return true;
        }
        let cell = position.map(|coordinate| (coordinate / size).floor() as i64);
        let near = (0..27i64).any(|neighbour| {
            let at = [cell[0] + neighbour / 9 - 1, cell[1] + neighbour / 3 % 3 - 1, cell[2] + neighbour % 3 - 1];
            self.cells.get(&at).is_some_and(|there| there.iter().any(|other| distance(*other, position) < size))
        });
        if !near {
            self.cells.entry(cell).or_default().push(position);
        }
        !near
    }
}

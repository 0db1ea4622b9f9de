//! Random places without overlap.

use std::collections::HashMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Centres keep this distance from the outermost voxels' centres, in angstrom; large particles may stick out.
const MARGIN_ANGSTROM: f64 = 60.0;
/// Neighbours come no closer than this part of the sum of their radii: irregular particles interlock.
pub(super) const CLOSENESS: f64 = 0.85;
/// Edge of a cell of the neighbour search, in angstrom: no less than the largest distance that is ever asked for.
const CELL_ANGSTROM: f64 = 300.0;
/// Tries before a place is given up.
const TRIES: usize = 4000;

/// The least voxels along an axis in which a centre finds a place.
pub(super) fn minimum_extent(spacing_angstrom: f64) -> usize {
    (2.0 * MARGIN_ANGSTROM / spacing_angstrom).ceil() as usize + 1
}

/// The spheres that are taken; all lengths in angstrom, positions `(x, y, z)`, the first voxel's centre at the origin.
pub(super) struct Placement {
    extent: [f64; 3],
    cells: HashMap<[i64; 3], Vec<([f64; 3], f64)>>,
}

impl Placement {
    /// An empty volume of `shape` voxels `(z, y, x)`, no axis shorter than [`minimum_extent`].
    pub fn new(shape: [usize; 3], spacing_angstrom: f64) -> Self {
        let [z, y, x] = shape.map(|n| (n - 1) as f64 * spacing_angstrom);
        Self { extent: [x, y, z], cells: HashMap::new() }
    }

    /// Position of the last voxel's centre.
    pub fn extent(&self) -> [f64; 3] {
        self.extent
    }

    /// A random position at which a particle may be centred.
    pub fn random(&self, rng: &mut ChaCha8Rng) -> [f64; 3] {
        self.extent.map(|length| {
            let free = (length - 2.0 * MARGIN_ANGSTROM).max(0.0);
            MARGIN_ANGSTROM + free * rng.random::<f64>()
        })
    }

    fn cell(position: [f64; 3]) -> [i64; 3] {
        position.map(|p| (p / CELL_ANGSTROM).floor() as i64)
    }

    /// Whether a sphere overlaps with none that is taken.
    pub fn is_free(&self, position: [f64; 3], radius: f64) -> bool {
        let [x, y, z] = Self::cell(position);
        (-1..=1).flat_map(|dz| (-1..=1).flat_map(move |dy| (-1..=1).map(move |dx| [x + dx, y + dy, z + dz]))).all(|cell| {
            self.cells.get(&cell).is_none_or(|taken| {
                taken.iter().all(|&(other, r)| crate::geometry::distance(position, other) >= CLOSENESS * (radius + r))
            })
        })
    }

    /// Takes a sphere, free or not.
    pub fn take(&mut self, position: [f64; 3], radius: f64) {
        self.cells.entry(Self::cell(position)).or_default().push((position, radius));
    }

    /// Finds a free place at random and takes it; `None` when many tries find none.
    pub fn place(&mut self, radius: f64, rng: &mut ChaCha8Rng) -> Option<[f64; 3]> {
        let position = (0..TRIES).map(|_| self.random(rng)).find(|&position| self.is_free(position, radius))?;
        self.take(position, radius);
        Some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn the_cell_search_agrees_with_looking_at_everything() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut placement = Placement::new([60, 150, 150], 10.0);
        let mut taken: Vec<([f64; 3], f64)> = Vec::new();
        for _ in 0..2000 {
            let (position, radius) = (placement.random(&mut rng), rng.random_range(20.0..150.0));
            let free = taken.iter().all(|&(p, r)| crate::geometry::distance(p, position) >= CLOSENESS * (radius + r));
            assert_eq!(placement.is_free(position, radius), free);
            if free {
                placement.take(position, radius);
                taken.push((position, radius));
            }
        }
        assert!(taken.len() > 20);
    }

    #[test]
    fn a_volume_of_the_least_extent_has_one_place() {
        let n = minimum_extent(10.0);
        let position = Placement::new([n; 3], 10.0).random(&mut ChaCha8Rng::seed_from_u64(0));
        assert!(position.iter().all(|&p| p >= 0.0 && p <= (n - 1) as f64 * 10.0), "{position:?}");
    }
}

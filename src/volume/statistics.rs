//! Exact statistics of a whole volume, slab by slab.

use rayon::prelude::*;
use serde::Serialize;

use super::{VolumeError, VolumeSource};
use crate::geometry::VoxelBox;

/// Voxels of a slab: 8 MiB as `f32`, which caches of processors hold.
const SLAB_VOXELS: usize = 2 << 20;
/// Voxels of a block whose sums are formed in one go.
const BLOCK_VOXELS: usize = 1 << 14;

/// Statistics of a volume's finite voxels. All are NaN when no voxel is finite.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Statistics {
    /// The smallest value.
    pub min: f32,
    /// The largest value.
    pub max: f32,
    /// The mean.
    pub mean: f64,
    /// The standard deviation about the mean, divided by the number of voxels and not one less.
    pub std: f64,
    /// How many voxels are NaN or infinite; they are left out of the rest.
    pub not_finite: u64,
}

impl Statistics {
    /// Reads the whole of `source` at full resolution, a slab of at most 8 MiB at a time (or one row, if that is larger).
    /// The result does not depend on the number of threads.
    ///
    /// # Errors
    /// When reading fails.
    pub fn of(source: &dyn VolumeSource) -> Result<Self, VolumeError> {
        let shape = source.levels()[0].shape;
        let mut moments = Moments::default();
        let mut buffer = Vec::new();
        for slab in slabs(shape, SLAB_VOXELS) {
            buffer.resize(slab.voxels(), 0.0);
            source.read_region_as_stored(0, slab, &mut buffer)?;
            moments = moments.merged(Moments::of_all(&buffer));
        }
        Ok(moments.statistics())
    }

    /// The statistics of `values`.
    pub fn of_values(values: &[f32]) -> Self {
        Moments::of_all(values).statistics()
    }
}

/// Boxes of at most `voxels` voxels each (but at least a row) that cover a volume of `shape`, `(z, y, x)`, in the order of
/// its voxels: runs of whole sections, or of whole rows where a section is too large.
pub fn slabs(shape: [usize; 3], voxels: usize) -> impl Iterator<Item = VoxelBox> {
    let [z_size, y_size, x_size] = shape;
    let rows = (voxels / x_size.max(1)).clamp(1, y_size.max(1));
    let sections = if rows < y_size { 1 } else { (voxels / (y_size * x_size).max(1)).max(1) };
    (0..z_size).step_by(sections).flat_map(move |z| {
        (0..y_size).step_by(rows).map(move |y| {
            VoxelBox::new([z, y, 0], [z.saturating_add(sections).min(z_size), y.saturating_add(rows).min(y_size), x_size])
        })
    })
}

/// Count, mean, sum of squared differences from the mean, and extremes of some voxels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    count: u64,
    mean: f64,
    squares: f64,
    min: f32,
    max: f32,
    not_finite: u64,
}

impl Default for Moments {
    fn default() -> Self {
        Self { count: 0, mean: 0.0, squares: 0.0, min: f32::INFINITY, max: f32::NEG_INFINITY, not_finite: 0 }
    }
}

impl Moments {
    /// The moments of `values`, on all cores.
    pub(super) fn of_all(values: &[f32]) -> Self {
        let blocks: Vec<Self> = values.par_chunks(BLOCK_VOXELS).map(Self::of_block).collect();
        // In order, so that rounding is the same whatever core did which block.
        blocks.into_iter().fold(Self::default(), Self::merged)
    }

    fn of_block(values: &[f32]) -> Self {
        /// Sums side by side, so that additions need not wait for each other.
        const LANES: usize = 8;
        if values.iter().fold(false, |found, value| found | !value.is_finite()) {
            let finite: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
            let not_finite = (values.len() - finite.len()) as u64;
            return Self { not_finite, ..Self::of_block(&finite) };
        }
        let Some(&first) = values.first() else { return Self::default() };
        // Differences from a value of the block keep the squares small: no precision is lost to a large mean.
        let shift = f64::from(first);
        let (mut sums, mut squares) = ([0.0_f64; LANES], [0.0_f64; LANES]);
        let (mut min, mut max) = ([first; LANES], [first; LANES]);
        let mut add = |lane: usize, value: f32| {
            let difference = f64::from(value) - shift;
            sums[lane] += difference;
            squares[lane] += difference * difference;
            min[lane] = min[lane].min(value);
            max[lane] = max[lane].max(value);
        };
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            for (lane, value) in chunk.iter().enumerate() {
                add(lane, *value);
            }
        }
        rest.iter().enumerate().for_each(|(lane, value)| add(lane, *value));
        let (count, sum) = (values.len() as f64, sums.iter().sum::<f64>());
        Self {
            count: values.len() as u64,
            mean: shift + sum / count,
            squares: (squares.iter().sum::<f64>() - sum * sum / count).max(0.0),
            min: min.into_iter().fold(first, f32::min),
            max: max.into_iter().fold(first, f32::max),
            not_finite: 0,
        }
    }

    /// The moments of both sets together (Chan, Golub and LeVeque, Am. Stat. 37, 1983, 242).
    pub(super) fn merged(self, other: Self) -> Self {
        let not_finite = self.not_finite + other.not_finite;
        if self.count == 0 || other.count == 0 {
            return Self { not_finite, ..if self.count == 0 { other } else { self } };
        }
        let count = self.count + other.count;
        let difference = other.mean - self.mean;
        let share = other.count as f64 / count as f64;
        Self {
            count,
            mean: self.mean + difference * share,
            squares: self.squares + other.squares + difference * difference * self.count as f64 * share,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            not_finite,
        }
    }

    pub(super) fn statistics(self) -> Statistics {
        let Self { count, mean, squares, min, max, not_finite } = self;
        if count == 0 {
            return Statistics { min: f32::NAN, max: f32::NAN, mean: f64::NAN, std: f64::NAN, not_finite };
        }
        Statistics { min, max, mean, std: (squares / count as f64).sqrt(), not_finite }
    }
}

//! A volume that is in memory already: for tests, simulated data and heatmaps.

use std::path::{Path, PathBuf};

use super::{Level, VolumeError, VolumeInfo, VolumeSource, check_region, replace_not_finite};
use crate::geometry::VoxelBox;

/// A volume over a `Vec<f32>`.
#[derive(Clone, Debug)]
pub struct MemoryVolume {
    info: VolumeInfo,
    levels: [Level; 1],
    data: Vec<f32>,
    finite_mean: f32,
}

impl MemoryVolume {
    /// A volume of `shape` voxels, `(z, y, x)`, whose values are `data`, row-major, with an edge of `spacing_angstrom`
    /// (a number, or `None` when unknown).
    ///
    /// # Errors
    /// When a size is 0 or `data` has not one value a voxel.
    pub fn new(data: Vec<f32>, shape: [usize; 3], spacing_angstrom: impl Into<Option<f64>>) -> Result<Self, VolumeError> {
        let path = PathBuf::from("(in memory)");
        let Some(voxels) = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size)).filter(|n| *n > 0) else {
            return Err(VolumeError::Shape { shape, path });
        };
        if voxels != data.len() {
            return Err(VolumeError::Length { voxels, length: data.len(), path });
        }
        let (count, sum) = data
            .iter()
            .filter(|value| value.is_finite())
            .fold((0_usize, 0.0_f64), |(count, sum), value| (count + 1, sum + f64::from(*value)));
        let info = VolumeInfo {
            path,
            shape,
            spacing_angstrom: spacing_angstrom.into(),
            data_type: "float32".to_owned(),
            warnings: Vec::new(),
            facts: Vec::new(),
        };
        Ok(Self { info, levels: [Level::full(shape)], data, finite_mean: (sum / count.max(1) as f64) as f32 })
    }

    /// The same volume under the name `path`, which messages show.
    #[must_use]
    pub fn with_path(mut self, path: &Path) -> Self {
        self.info.path = path.to_path_buf();
        self
    }

    /// The voxels as given, `(z, y, x)` row-major.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Gives the voxels back.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}

impl VolumeSource for MemoryVolume {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn levels(&self) -> &[Level] {
        &self.levels
    }

    fn read_region(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        self.read_region_as_stored(level, region, out)?;
        replace_not_finite(out, || self.finite_mean);
        Ok(())
    }

    fn read_region_as_stored(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        check_region(&self.levels, level, region, out.len(), &self.info.path)?;
        if out.is_empty() {
            return Ok(());
        }
        let [_, rows, columns] = region.shape();
        let [_, y_size, x_size] = self.info.shape;
        for (index, row) in out.chunks_exact_mut(columns).enumerate() {
            let (z, y) = (region.start[0] + index / rows, region.start[1] + index % rows);
            let start = (z * y_size + y) * x_size + region.start[2];
            row.copy_from_slice(&self.data[start..start + columns]);
        }
        Ok(())
    }
}

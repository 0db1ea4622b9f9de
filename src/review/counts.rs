//! How many particles there are in each tomogram, and how densely.

use crate::geometry::VoxelBox;
use crate::labels::TomogramId;

/// Cubic ångström in a cubic micrometre: (10⁴)³.
const CUBIC_ANGSTROM_PER_CUBIC_MICROMETRE: f64 = 1e12;

/// The volume of a tomogram of `shape` voxels `(z, y, x)`, or of the part of it in `mask`, in cubic micrometres.
pub fn cubic_micrometres(shape: [usize; 3], mask: Option<&VoxelBox>, spacing_angstrom: f64) -> f64 {
    let whole = VoxelBox::whole(shape);
    let voxels = mask.map_or(whole, |mask| mask.intersection(&whole)).shape();
    voxels.iter().map(|n| *n as f64 * spacing_angstrom).product::<f64>() / CUBIC_ANGSTROM_PER_CUBIC_MICROMETRE
}

/// The particles of one tomogram.
#[derive(Clone, Debug, PartialEq)]
pub struct TomogramCount {
    /// The tomogram.
    pub tomogram: TomogramId,
    /// Its name.
    pub name: String,
    /// Number of particles of each class.
    pub counts: Vec<usize>,
    /// The volume in cubic micrometres in which they were counted; `None` while shape or spacing are not known.
    pub cubic_micrometres: Option<f64>,
}

impl TomogramCount {
    /// Particles of a class per cubic micrometre; `None` while the volume is not known.
    pub fn density(&self, class: usize) -> Option<f64> {
        let volume = self.cubic_micrometres.filter(|volume| *volume > 0.0)?;
        Some(self.counts.get(class).copied().unwrap_or(0) as f64 / volume)
    }
}

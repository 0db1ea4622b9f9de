//! Tomograms: where their voxels come from.
//!
//! Everything else reads voxels through [`VolumeSource`], whatever the file's form: lazily, by region and by level of
//! detail, as `f32`. [`open`] looks at a file's content and chooses the reader.
//!
//! | form | read | written |
//! |---|---|---|
//! | MRC, REC, MAP, ST: modes 0, 1, 2, 6, 12 and 101, either byte order, any axis order | memory-mapped | modes 2 and 12 ([`MrcWriter`]) |
//! | the same, compressed by gzip or bzip2 | decompressed to an unnamed temporary file, then mapped | no |
//! | TIFF and BigTIFF stacks, page = z, of integers and floats; ImageJ's and OME-TIFF's notes | memory-mapped, or by strip or tile | no |
//! | OME-Zarr 0.4 and 0.5 and bare Zarr arrays of version 2 or 3, from a folder or a web address, with their levels of detail | piece by piece, as asked for | no |
//! | a `Vec<f32>` ([`MemoryVolume`]) and another spacing of any volume ([`ResampledVolume`]) | yes | no |
//!
//! # Files that change while they are open
//! A mapped file is read when a region is asked for, not when it is opened. Each read first checks that the file still has
//! its length and gives an error when it has not. When another program shortens the file *during* a read, or a network disk
//! fails then, the operating system ends this program (SIGBUS): no program that maps files can rule that out. Do not
//! overwrite a tomogram in place while it is open; replacing it by a rename, as [`MrcWriter`] does, is safe.

mod centre;
mod describe;
mod error;
#[allow(unsafe_code, reason = "memory maps; each use states its invariant")]
mod mapped;
mod memory;
mod mrc;
mod mrc_header;
mod name;
mod normalised;
mod open;
mod resample;
mod sample;
mod statistics;
mod tiff;
mod tiff_directory;
mod tiff_spacing;
mod voxel;
mod write;
mod zarr;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::geometry::VoxelBox;

pub use crate::files::is_url;
pub use centre::{Density, local_centre};
pub use describe::{Description, VoxelValue, describe};
pub use error::VolumeError;
pub use memory::MemoryVolume;
pub use name::tomogram_name;
pub use normalised::NormalisedVolume;
pub use open::open;
pub use resample::ResampledVolume;
pub use sample::{ContrastLimits, HISTOGRAM_BINS, Histogram, Normalisation, VoxelSample};
pub use statistics::{Statistics, slabs};
pub use write::{MrcMode, MrcWriter, write_mrc};

/// What a file says about its volume.
#[derive(Clone, Debug, Serialize)]
pub struct VolumeInfo {
    /// Where it was read from.
    pub path: PathBuf,
    /// Voxels, `(z, y, x)`, at full resolution.
    pub shape: [usize; 3],
    /// Edge of a voxel in angstrom; `None` when the file does not say (0 or exactly 1 in an MRC header).
    pub spacing_angstrom: Option<f64>,
    /// The type of a stored voxel, in numpy's words: `int8` to `int64`, `uint8` to `uint64`, `float16` to `float64`; and `uint4` for
    /// voxels packed two to a byte.
    pub data_type: String,
    /// What had to be assumed, one sentence each.
    pub warnings: Vec<String>,
    /// What else the file says and how it was understood, for `semietpicker info`: form, compression, byte order, axes, how the
    /// spacing was found, and so on, in the order to be shown.
    pub facts: Vec<Fact>,
}

/// One thing that a file says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is about, in a word or two: `form`, `byte order`, `spacing`.
    pub name: String,
    /// What is said.
    pub value: String,
}

impl Fact {
    /// A fact from its name and value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A level of detail: level 0 is the full resolution, later levels are coarser.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Level {
    /// Voxels, `(z, y, x)`.
    pub shape: [usize; 3],
    /// Full-resolution voxels per voxel of this level, `(z, y, x)`.
    pub factor: [f64; 3],
}

impl Level {
    /// The full resolution of a volume of `shape` voxels, `(z, y, x)`.
    pub fn full(shape: [usize; 3]) -> Self {
        Self { shape, factor: [1.0; 3] }
    }
}

/// A volume whose voxels are read on demand, from any thread.
pub trait VolumeSource: Send + Sync {
    /// Shape, spacing and what was assumed.
    fn info(&self) -> &VolumeInfo;

    /// The levels of detail, finest first; never empty.
    fn levels(&self) -> &[Level];

    /// Reads the voxels of `region` at `level` into `out`, `(z, y, x)` row-major. Voxels that are not finite are read as the
    /// mean of the finite ones.
    ///
    /// # Errors
    /// When the region does not lie inside the level, when `out` has not exactly its length, or when reading fails.
    fn read_region(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError>;

    /// As [`read_region`](Self::read_region), but NaN and infinities come as they are stored: for counting them and for
    /// statistics that leave them out. A source that holds only finite voxels need not provide it.
    ///
    /// # Errors
    /// As for [`read_region`](Self::read_region).
    fn read_region_as_stored(&self, level: usize, region: VoxelBox, out: &mut [f32]) -> Result<(), VolumeError> {
        self.read_region(level, region, out)
    }
}

/// The check that every `read_region` begins with.
fn check_region(levels: &[Level], level: usize, region: VoxelBox, out_len: usize, path: &Path) -> Result<(), VolumeError> {
    let Some(shape) = levels.get(level).map(|level| level.shape) else {
        return Err(VolumeError::Level { level, levels: levels.len(), path: path.to_path_buf() });
    };
    if !region.fits_in(shape) {
        return Err(VolumeError::Region { start: region.start, end: region.end, shape, path: path.to_path_buf() });
    }
    if region.voxels() != out_len {
        return Err(VolumeError::Length { voxels: region.voxels(), length: out_len, path: path.to_path_buf() });
    }
    Ok(())
}

/// Whether a voxel is NaN or infinite; without an early end, so that it vectorises.
fn any_not_finite(voxels: &[f32]) -> bool {
    voxels.iter().fold(false, |found, value| found | !value.is_finite())
}

/// Writes `replacement` over every voxel that is not finite.
fn replace_not_finite(voxels: &mut [f32], replacement: impl FnOnce() -> f32) {
    // The second pass is rarely needed, and only then is the replacement computed.
    if any_not_finite(voxels) {
        let replacement = replacement();
        voxels.iter_mut().filter(|value| !value.is_finite()).for_each(|value| *value = replacement);
    }
}

/// Spacings outside are no voxel sizes but damaged fields.
const PLAUSIBLE_SPACING_ANGSTROM: std::ops::RangeInclusive<f64> = 0.01..=100_000.0;

/// A warning when the spacings along x, y and z differ by more than rounding explains.
fn anisotropy_warning([x, y, z]: [f64; 3]) -> Option<String> {
    const TOLERANCE: f64 = 1e-3;
    let is_like_x = |other: f64| (other - x).abs() <= TOLERANCE * x;
    (!is_like_x(y) || !is_like_x(z)).then(|| {
        format!("anisotropic voxels of {x} x {y} x {z} angstrom along x, y, z: the spacing along x is used for all three")
    })
}

/// The decimal with the fewest digits within a relative `rounding`: 10.123 for 10.12300020 and 2e-7.
fn simplest_decimal(value: f64, rounding: f64) -> f64 {
    if !value.is_finite() {
        return value;
    }
    let near = |text: String| text.parse::<f64>().ok().filter(|short| (short - value).abs() <= rounding * value.abs());
    (0..7).find_map(|digits| near(format!("{value:.digits$e}"))).unwrap_or(value)
}

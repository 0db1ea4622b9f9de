//! What `semietpicker info` tells about a file.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::{Fact, Level, Statistics, VolumeError, VolumeSource, open};
use crate::geometry::VoxelBox;

/// The value of one voxel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VoxelValue {
    /// The voxel, `(z, y, x)`.
    pub voxel: [usize; 3],
    /// Its value; the mean of the finite voxels where the file has NaN or an infinity.
    pub value: f32,
}

/// A volume in numbers: its `Display` is for people, its serialisation for programs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    /// Voxels, `(z, y, x)`.
    pub shape: [usize; 3],
    /// Edge of a voxel in angstrom; `None`, `null` in JSON, when the file does not say.
    pub spacing_angstrom: Option<f64>,
    /// The type of a stored voxel, in numpy's words.
    pub data_type: String,
    /// The smallest finite value; NaN, `null` in JSON, when there is none, and so for the next three.
    pub min: f32,
    /// The largest finite value.
    pub max: f32,
    /// The mean of the finite values.
    pub mean: f64,
    /// Their standard deviation.
    pub std: f64,
    /// How many voxels are NaN or infinite.
    pub not_finite: u64,
    /// The levels of detail, finest first.
    pub levels: Vec<Level>,
    /// What else the file says and how it was understood, as [`VolumeInfo::facts`](super::VolumeInfo::facts).
    pub facts: Vec<Fact>,
    /// What had to be assumed and what is odd, one sentence each.
    pub warnings: Vec<String>,
    /// The voxels asked for, in that order.
    pub values: Vec<VoxelValue>,
}

impl Description {
    /// Describes an open volume, reading all of it, and the values of `voxels`, `(z, y, x)` each.
    ///
    /// # Errors
    /// When a voxel lies outside or reading fails.
    pub fn of(source: &dyn VolumeSource, voxels: &[[usize; 3]]) -> Result<Self, VolumeError> {
        let info = source.info();
        let mut values = Vec::with_capacity(voxels.len());
        for &voxel in voxels {
            if (0..3).any(|axis| voxel[axis] >= info.shape[axis]) {
                return Err(VolumeError::Voxel { voxel, shape: info.shape, path: info.path.clone() });
            }
            let mut value = [0.0];
            source.read_region(0, VoxelBox::new(voxel, voxel.map(|index| index + 1)), &mut value)?;
            values.push(VoxelValue { voxel, value: value[0] });
        }
        let statistics = Statistics::of(source)?;
        let mut warnings = info.warnings.clone();
        warnings.extend(not_finite_warning(&statistics));
        if statistics.min == statistics.max {
            warnings.push(format!("constant: every voxel is {}", statistics.min));
        }
        Ok(Self {
            shape: info.shape,
            spacing_angstrom: info.spacing_angstrom,
            data_type: info.data_type.clone(),
            min: statistics.min,
            max: statistics.max,
            mean: statistics.mean,
            std: statistics.std,
            not_finite: statistics.not_finite,
            levels: source.levels().to_vec(),
            facts: info.facts.clone(),
            warnings,
            values,
        })
    }
}

fn not_finite_warning(statistics: &Statistics) -> Option<String> {
    match statistics.not_finite {
        0 => None,
        _ if statistics.mean.is_nan() => Some("no voxel is finite: all are NaN or infinite, and read as 0".to_owned()),
        1 => Some("1 voxel is not finite (NaN or infinite): it is read as the mean of the others".to_owned()),
        count => Some(format!("{count} voxels are not finite (NaN or infinite): they are read as the mean of the others")),
    }
}

/// Opens `path` and describes it: reads the whole volume, in bounded memory, for its statistics, and the values of `voxels`,
/// `(z, y, x)` each.
///
/// # Errors
/// As for [`open`], and when a voxel lies outside or reading fails.
pub fn describe(path: &Path, voxels: &[[usize; 3]]) -> Result<Description, VolumeError> {
    Description::of(open(path)?.as_ref(), voxels)
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [z, y, x] = self.shape;
        let mut lines = vec![("size", format!("{x} x {y} x {z} voxels (x, y, z)"))];
        lines.push(match self.spacing_angstrom {
            Some(spacing) => {
                let [z, y, x] = self.shape.map(|size| size as f64 * spacing / 10.0);
                ("spacing", format!("{spacing} angstrom ({x:.1} x {y:.1} x {z:.1} nm)"))
            }
            None => ("spacing", "unknown: add --spacing with its value in angstrom where a command needs it".to_owned()),
        });
        lines.push(("data type", self.data_type.clone()));
        lines.extend(self.facts.iter().map(|Fact { name, value }| (name.as_str(), value.clone())));
        for (index, Level { shape: [z, y, x], factor: [fz, fy, fx] }) in self.levels.iter().enumerate() {
            let size = if index == 0 { "full resolution".to_owned() } else { format!("1/{fx:.4} x 1/{fy:.4} x 1/{fz:.4}") };
            lines.push(("level", format!("{index}: {x} x {y} x {z} voxels, {size}")));
        }
        lines.push(("range", format!("{} to {}", self.min, self.max)));
        lines.push(("mean", format!("{:.6}, standard deviation {:.6}", self.mean, self.std)));
        lines.push(("not finite", format!("{} voxels", self.not_finite)));
        for VoxelValue { voxel: [z, y, x], value } in &self.values {
            lines.push(("voxel", format!("z {z}, y {y}, x {x}: {value}")));
        }
        lines.extend(self.warnings.iter().map(|warning| ("warning", warning.clone())));
        let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        for (index, (name, value)) in lines.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{name:<width$}  {value}")?;
        }
        Ok(())
    }
}

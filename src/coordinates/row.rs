//! Positions as files give them, and what is needed to place them in a tomogram.

use super::Format;

/// In what the coordinates of a row are given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// Angstrom: voxel index times spacing.
    Angstrom,
    /// Voxel index, 0-based, an integer being a voxel's centre.
    Voxel,
    /// Angstrom from the volume's centre: `(index - N / 2) * spacing`, `N` the voxels along the axis (RELION 5).
    CentredAngstrom,
    /// Pixels of the unbinned tilt series: index times spacing over that pixel's size (RELION 3 and 4); the size in angstrom
    /// where the file says it.
    TiltSeriesPixel(Option<f64>),
    /// Pixels of the unbinned tilt series from the volume's centre, `n // 2` (EMAN2); the size in angstrom where the file says it.
    CentredPixel(Option<f64>),
    /// Fractions of the volume's extent: index over the voxels along the axis (template matching in Warp).
    VolumeFraction,
}

/// A tomogram's grid, as far as it is known: what turns a file's units into voxels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Frame {
    /// Voxels `(z, y, x)`.
    pub shape: Option<[usize; 3]>,
    /// Edge of a voxel in angstrom.
    pub spacing_angstrom: Option<f64>,
    /// Pixel of the unbinned tilt series in angstrom, as the user says it: what the file itself says goes first.
    pub tilt_series_pixel_angstrom: Option<f64>,
}

/// What has to be asked before a position can be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Missing {
    /// The voxel spacing.
    #[error("the positions are in angstrom and the voxel spacing of the tomogram is unknown: set the spacing first")]
    Spacing,
    /// The size of the volume.
    #[error("the positions count from the volume's centre or by its size, which is unknown: open the tomogram first")]
    Shape,
    /// The pixel size of the tilt series.
    #[error("the positions are in pixels of the unbinned tilt series and the file does not say their size: give the pixel size")]
    TiltSeriesPixel,
}

/// A position of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct CoordinateRow {
    /// The tomogram's name, when the file gives one.
    pub tomogram: Option<String>,
    /// The class's name, never empty.
    pub class: String,
    /// The position `(x, y, z)`, finite, in `unit`.
    pub xyz: [f64; 3],
    /// The unit of `xyz`.
    pub unit: Unit,
    /// To be added to the position, `(x, y, z)` in angstrom: RELION's origins, already with their sign. Mostly 0.
    pub shift_angstrom: [f64; 3],
    /// The score, when there is one.
    pub score: Option<f32>,
    /// Where the position comes from, when the file says so.
    pub source: Option<String>,
    /// The line of the file, or the number of the position where there are no lines, from 1, for messages.
    pub line: u64,
}

impl CoordinateRow {
    /// The position as a voxel index `(z, y, x)` in a tomogram.
    ///
    /// # Errors
    /// Names what is not known of the tomogram but is needed for the unit.
    pub fn voxel_zyx(&self, frame: &Frame) -> Result<[f64; 3], Missing> {
        let spacing = || frame.spacing_angstrom.ok_or(Missing::Spacing);
        let pixel = |of_file: Option<f64>| of_file.or(frame.tilt_series_pixel_angstrom).ok_or(Missing::TiltSeriesPixel);
        let mut voxel = match self.unit {
            Unit::Voxel => self.xyz,
            Unit::Angstrom => {
                let spacing = spacing()?;
                self.xyz.map(|coordinate| coordinate / spacing)
            }
            Unit::CentredAngstrom => {
                let (spacing, shape) = (spacing()?, frame.shape.ok_or(Missing::Shape)?);
                std::array::from_fn(|axis| self.xyz[axis] / spacing + shape[2 - axis] as f64 / 2.0)
            }
            Unit::TiltSeriesPixel(of_file) => {
                let scale = pixel(of_file)? / spacing()?;
                self.xyz.map(|coordinate| coordinate * scale)
            }
            Unit::VolumeFraction => {
                let shape = frame.shape.ok_or(Missing::Shape)?;
                std::array::from_fn(|axis| self.xyz[axis] * shape[2 - axis] as f64)
            }
            Unit::CentredPixel(of_file) => {
                let (scale, shape) = (pixel(of_file)? / spacing()?, frame.shape.ok_or(Missing::Shape)?);
                std::array::from_fn(|axis| self.xyz[axis] * scale + (shape[2 - axis] / 2) as f64)
            }
        };
        if self.shift_angstrom != [0.0; 3] {
            let spacing = spacing()?;
            for (index, shift) in voxel.iter_mut().zip(self.shift_angstrom) {
                *index += shift / spacing;
            }
        }
        let [x, y, z] = voxel;
        Ok([z, y, x])
    }

    /// The position in angstrom `(x, y, z)`, index times spacing, in a tomogram.
    ///
    /// # Errors
    /// Names what is not known of the tomogram but is needed for the unit; positions in angstrom need nothing.
    pub fn angstrom_xyz(&self, frame: &Frame) -> Result<[f64; 3], Missing> {
        if self.unit == Unit::Angstrom {
            return Ok(std::array::from_fn(|axis| self.xyz[axis] + self.shift_angstrom[axis]));
        }
        let spacing = frame.spacing_angstrom.ok_or(Missing::Spacing)?;
        let [z, y, x] = self.voxel_zyx(frame)?;
        Ok([x, y, z].map(|index| index * spacing))
    }
}

/// What a file of positions was understood to say.
#[derive(Clone, Debug, PartialEq)]
pub struct Positions {
    /// The form in which it was read.
    pub format: Format,
    /// The positions.
    pub rows: Vec<CoordinateRow>,
    /// What had to be assumed or was left out, one sentence each.
    pub notes: Vec<String>,
}

/// What the user says about a file of positions that it does not say itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The form of the file; `None`: recognised by its content and name.
    pub format: Option<Format>,
    /// The class of positions in a file without classes; `None`: the file's own name stands for it, or its folder's where the
    /// name is a general one such as `particles.star`.
    pub class: Option<String>,
}

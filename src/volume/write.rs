//! Writing MRC volumes, section by section.

use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use half::f16;
use tempfile::NamedTempFile;

use super::VolumeError;
use super::mrc_header::HEADER_BYTES;
use super::statistics::Moments;
use crate::files::{folder_of, sync_folder, temporary_beside};

/// How voxels are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MrcMode {
    /// Mode 2, 32-bit floats, which every program reads.
    #[default]
    Float32,
    /// Mode 12, 16-bit floats: half the size, three digits, up to 65504; IMOD 4.11, RELION 4 and mrcfile 1.4 read it.
    Float16,
}

impl MrcMode {
    fn number(self) -> i32 {
        match self {
            Self::Float32 => 2,
            Self::Float16 => 12,
        }
    }

    fn data_type(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Float16 => "float16",
        }
    }
}

/// Writes a volume one section after the other, so that it need not be in memory.
///
/// The file appears under its name when [`finish`](Self::finish) has put everything on the disk; until then, and when the
/// writer is dropped before, whatever lay there is untouched.
pub struct MrcWriter {
    path: PathBuf,
    file: NamedTempFile,
    shape: [usize; 3],
    spacing_angstrom: Option<f64>,
    mode: MrcMode,
    sections: usize,
    moments: Moments,
    bytes: Vec<u8>,
}

impl MrcWriter {
    /// Begins a volume of `shape` voxels, `(z, y, x)`, with an edge of `spacing_angstrom` (a number, or `None` when unknown,
    /// which is written as a cell of 0), little-endian.
    ///
    /// # Errors
    /// When a size is 0 or beyond the header's 31 bits, the spacing is not positive, or the folder cannot be written.
    pub fn create(
        path: &Path,
        shape: [usize; 3],
        spacing_angstrom: impl Into<Option<f64>>,
        mode: MrcMode,
    ) -> Result<Self, VolumeError> {
        let spacing_angstrom = spacing_angstrom.into();
        if shape.iter().any(|size| *size == 0 || i32::try_from(*size).is_err()) {
            return Err(VolumeError::Shape { shape, path: path.to_path_buf() });
        }
        if let Some(spacing) = spacing_angstrom.filter(|spacing| !(spacing.is_finite() && *spacing > 0.0)) {
            return Err(VolumeError::Spacing { spacing_angstrom: spacing, source_angstrom: spacing, path: path.to_path_buf() });
        }
        let writing = |source| VolumeError::Write { path: path.to_path_buf(), source };
        let mut file = temporary_beside(path).map_err(writing)?;
        file.write_all(&[0; HEADER_BYTES]).map_err(writing)?;
        let moments = Moments::default();
        Ok(Self { path: path.to_path_buf(), file, shape, spacing_angstrom, mode, sections: 0, moments, bytes: Vec::new() })
    }

    /// Appends the next section, `(y, x)` row-major.
    ///
    /// # Errors
    /// When `section` has not one value a voxel, there is one section too many, a value is not finite or too large for the
    /// mode, or writing fails. The volume cannot be finished after an error.
    pub fn write_section(&mut self, section: &[f32]) -> Result<(), VolumeError> {
        let [sections, rows, columns] = self.shape;
        if section.len() != rows * columns {
            return Err(VolumeError::Length { voxels: rows * columns, length: section.len(), path: self.path.clone() });
        }
        if self.sections == sections {
            return Err(VolumeError::Sections { written: sections + 1, sections, path: self.path.clone() });
        }
        let refuse = |value: f32| VolumeError::Value {
            section: self.sections,
            value,
            data_type: self.mode.data_type(),
            path: self.path.clone(),
        };
        self.bytes.clear();
        let moments = match self.mode {
            MrcMode::Float32 => {
                if let Some(value) = section.iter().find(|value| !value.is_finite()) {
                    return Err(refuse(*value));
                }
                self.bytes.extend(section.iter().flat_map(|value| value.to_le_bytes()));
                Moments::of_all(section)
            }
            MrcMode::Float16 => {
                let halves: Vec<f16> = section.iter().map(|value| f16::from_f32(*value)).collect();
                if let Some(index) = halves.iter().position(|half| !half.is_finite()) {
                    return Err(refuse(section[index]));
                }
                self.bytes.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
                // The header describes what is stored: the rounded values.
                Moments::of_all(&halves.iter().map(|half| half.to_f32()).collect::<Vec<_>>())
            }
        };
        self.file.write_all(&self.bytes).map_err(|source| VolumeError::Write { path: self.path.clone(), source })?;
        self.moments = self.moments.merged(moments);
        self.sections += 1;
        Ok(())
    }

    /// Writes the header, waits until all is on the disk, and gives the file its name, replacing what had it.
    ///
    /// # Errors
    /// When sections are missing or writing fails; then nothing changes under the name.
    pub fn finish(mut self) -> Result<(), VolumeError> {
        if self.sections != self.shape[0] {
            return Err(VolumeError::Sections { written: self.sections, sections: self.shape[0], path: self.path });
        }
        let header = self.header();
        let mut write = || {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(&header)?;
            self.file.as_file().sync_all()
        };
        let written = write();
        let Self { path, file, .. } = self;
        let named = written.and_then(|()| file.persist(&path).map_err(|error| error.error));
        named.and_then(|_| sync_folder(folder_of(&path))).map_err(|source| VolumeError::Write { path, source })
    }

    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        let mut put = |offset: usize, bytes: &[u8]| header[offset..offset + bytes.len()].copy_from_slice(bytes);
        let statistics = self.moments.statistics();
        for axis in 0..3 {
            // The header lists x, y, z; `create` checked that sizes fit.
            let size = self.shape[2 - axis] as i32;
            put(4 * axis, &size.to_le_bytes());
            put(28 + 4 * axis, &size.to_le_bytes());
            let cell = self.spacing_angstrom.unwrap_or(0.0) * f64::from(size);
            put(40 + 4 * axis, &(cell as f32).to_le_bytes());
            put(52 + 4 * axis, &90.0_f32.to_le_bytes());
            put(64 + 4 * axis, &(axis as i32 + 1).to_le_bytes());
        }
        put(12, &self.mode.number().to_le_bytes());
        put(76, &statistics.min.to_le_bytes());
        put(80, &statistics.max.to_le_bytes());
        put(84, &(statistics.mean as f32).to_le_bytes());
        put(88, &1_i32.to_le_bytes());
        put(108, &20141_i32.to_le_bytes());
        put(208, b"MAP \x44\x44\0\0");
        // mrcfile-validate sums the squares of 16-bit floats in 16 bits, finds infinity and calls any true deviation wrong;
        // a negative one says that it is not given.
        let deviation = if self.mode == MrcMode::Float16 { -1.0 } else { statistics.std as f32 };
        put(216, &deviation.to_le_bytes());
        put(220, &1_i32.to_le_bytes());
        put(224, &[b' '; 80]);
        put(224, b"SemiETPicker");
        header
    }
}

/// Writes a whole volume of `shape` voxels, `(z, y, x)`, with an edge of `spacing_angstrom` (a number, or `None` when
/// unknown); `data` is row-major.
///
/// # Errors
/// As for [`MrcWriter`], and when `data` has not one value a voxel.
///
/// # Example
/// ```no_run
/// use semietpicker::volume::{MrcMode, write_mrc};
///
/// write_mrc("heatmap.mrc".as_ref(), [2, 3, 4], 10.0, &[0.5; 24], MrcMode::Float32)?;
/// # Ok::<(), semietpicker::volume::VolumeError>(())
/// ```
pub fn write_mrc(
    path: &Path,
    shape: [usize; 3],
    spacing_angstrom: impl Into<Option<f64>>,
    data: &[f32],
    mode: MrcMode,
) -> Result<(), VolumeError> {
    let mut writer = MrcWriter::create(path, shape, spacing_angstrom, mode)?;
    let section = shape[1].saturating_mul(shape[2]);
    let voxels = section.saturating_mul(shape[0]);
    if data.len() != voxels {
        return Err(VolumeError::Length { voxels, length: data.len(), path: path.to_path_buf() });
    }
    data.chunks_exact(section).try_for_each(|section| writer.write_section(section))?;
    writer.finish()
}
